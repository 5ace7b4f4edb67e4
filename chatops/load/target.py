"""Where a load test goes, and how fast it may ask there."""

from dataclasses import dataclass

from chatops.mqtt.endpoint import GatewayAddress

QUOTA_SHARE = 0.8
"""The part of an account's quotas that a load test uses at most; the rest is the account's own traffic."""


@dataclass(frozen=True, slots=True)
class Rates:
    """How many a second; None is unpaced.

    Attributes:
        identities_per_s: GetId.
        credentials_per_s: GetCredentialsForIdentity.
        connects_per_s: CONNECT, and with it SUBSCRIBE, which has the same quota.
    """

    identities_per_s: float | None = None
    credentials_per_s: float | None = None
    connects_per_s: float | None = None

    @classmethod
    def aws(cls) -> "Rates":
        """Within the default quotas of an account: GetId 25/s, GetCredentialsForIdentity 200/s, CONNECT 500/s."""
        return cls(QUOTA_SHARE * 25, QUOTA_SHARE * 200, QUOTA_SHARE * 500)

    @classmethod
    def local(cls) -> "Rates":
        """For the local stack: only connects are paced, since a burst of them would measure its own queue."""
        return cls(connects_per_s=1000.0)


@dataclass(frozen=True, slots=True)
class Target:
    """A deployed chat.

    Attributes:
        cognito_url: the endpoint of Cognito identity pools.
        calls_at_once: how many Cognito calls are under way at most; more of them only queue.
    """

    address: GatewayAddress
    region: str
    cognito_url: str
    pool_id: str
    rates: Rates
    calls_at_once: int = 16
