"""Identity pools and identities of the local stack, in memory."""

import secrets
import uuid
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

MAX_POOLS = 1000
"""Identity pools an account may have by default (Amazon Cognito quotas)."""

MAX_IDENTITIES = 1_000_000
"""AWS has no such limit; here it keeps a stranger from filling the memory, since GetId needs no signature."""


@dataclass(slots=True)
class Identity:
    """One guest. `serial` orders identities by age; times are in seconds since the epoch."""

    identity_id: str
    pool: "Pool"
    serial: int
    created: float
    modified: float


@dataclass(slots=True)
class Pool:
    """An identity pool.

    Attributes:
        settings: what CreateIdentityPool and UpdateIdentityPool were given, without id and tags.
        roles: ARNs by `authenticated` and `unauthenticated`.
    """

    pool_id: str
    region: str
    serial: int
    settings: dict[str, Any]
    tags: dict[str, str]
    roles: dict[str, str] = field(default_factory=dict)
    role_mappings: dict[str, Any] = field(default_factory=dict)
    identities: dict[str, Identity] = field(default_factory=dict)

    @property
    def allows_guests(self) -> bool:
        """Whether unauthenticated identities are allowed."""
        return bool(self.settings["AllowUnauthenticatedIdentities"])


class Pools:
    """All pools of all regions, and their identities.

    Args:
        clock: seconds since the epoch.
    """

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._pools: dict[str, Pool] = {}
        self._identities: dict[str, Identity] = {}
        self._serial = 0

    def create(self, region: str, settings: dict[str, Any], tags: Mapping[str, str]) -> Pool:
        """Add a pool; its id cannot be guessed."""
        pool = Pool(f"{region}:{uuid.uuid4()}", region, self._next_serial(), settings, dict(tags))
        self._pools[pool.pool_id] = pool
        return pool

    def find(self, pool_id: str) -> Pool | None:
        """Look a pool up in any region."""
        return self._pools.get(pool_id)

    def count(self, region: str) -> int:
        """How many pools a region has."""
        return sum(pool.region == region for pool in self._pools.values())

    def of_region(self, region: str, after: int = 0) -> Iterator[Pool]:
        """Iterate over a region's pools with a serial above `after`, oldest first."""
        return (pool for pool in self._pools.values() if pool.region == region and pool.serial > after)

    def delete(self, pool: Pool) -> None:
        """Take a pool away with all its identities."""
        del self._pools[pool.pool_id]
        for identity_id in pool.identities:
            del self._identities[identity_id]

    @property
    def is_full(self) -> bool:
        """Whether no further identity fits."""
        return len(self._identities) >= MAX_IDENTITIES

    def new_identity(self, pool: Pool) -> Identity:
        """Add an identity, `<region>:<uuid4>`."""
        now = self._clock()
        identity_id = f"{pool.region}:{_random_uuid4()}"
        identity = Identity(identity_id, pool, self._next_serial(), now, now)
        pool.identities[identity_id] = self._identities[identity_id] = identity
        return identity

    def identity(self, identity_id: str) -> Identity | None:
        """Look an identity up."""
        return self._identities.get(identity_id)

    def delete_identity(self, identity: Identity) -> None:
        """Take one identity away."""
        del self._identities[identity.identity_id]
        del identity.pool.identities[identity.identity_id]

    def _next_serial(self) -> int:
        self._serial += 1
        return self._serial


def _random_uuid4() -> str:
    """Make the text of a version 4 UUID; several times as fast as `str(uuid.uuid4())`."""
    digits = secrets.token_hex(16)
    variant = "89ab"[int(digits[16], 16) & 3]
    return f"{digits[:8]}-{digits[8:12]}-4{digits[13:16]}-{variant}{digits[17:20]}-{digits[20:]}"
