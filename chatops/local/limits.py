"""AWS IoT Core's quotas, as data, and the meters that enforce rates.

The figures are the defaults of service code `iotcore` in a large Region (`docs/aws-facts.md`, section 4) and
Cognito's (section 2). What carries no quota code was read off a CONNACK of AWS IoT Core or is our own bound on
memory, and says so.
"""

import time
from collections.abc import Callable
from dataclasses import dataclass, replace


@dataclass(frozen=True, slots=True)
class Limits:
    """What is enforced; None is not enforced. Rates are per second, sizes in bytes, times in seconds.

    Attributes:
        connects_per_client: CONNECTs of one client id (L-033DE216).
        publishes_per_connection: in plus out; what exceeds it is discarded (L-083F3861).
        bytes_per_connection: each way; what exceeds it is delayed (L-D9C66F9D).
        subscriptions_per_connection: L-45957C13.
        subscriptions_per_request: L-A6574E9E.
        unacknowledged_in: QoS 1 publishes a client may have outstanding (L-8736D8E0).
        unacknowledged_out: QoS 1 publishes outstanding towards a client (L-0DD80F19).
        payload: L-13573643.
        packet: the CONNACK's maximum packet size.
        topic: L-ECD9BEEF.
        topic_slashes: L-AD5A8D4F.
        client_id: L-E2D9C89C.
        keep_alive_minimum: L-E77027EF, like the maximum.
        connection_lifetime: L-3F401592.
        session_expiry: the longest life of a session without a connection (AWS: up to 7 days).
        session_expiry_311: how long a session of MQTT 3.1.1 lives without a connection.
        topic_aliases: the CONNACK's topic alias maximum.
        subscription_ids: whether they are available; the CONNACK says no.
        connects: of the account (L-AEA1E176).
        connections: of the account at once (L-75CAB723).
        publishes_in: of the account (L-4B33E451).
        publishes_out: of the account (L-FE4EDCF9).
        subscriptions: of the account (L-589D5E1D).
        identities: GetId of the account.
        identity_credentials: GetCredentialsForIdentity of the account.
        retained_messages: of the account (AWS: 5,000).
        queued_messages: kept for one session; our bound.
        queued_bytes: kept for one session; our bound.
        outgoing_bytes: waiting for one slow reader; our bound.
    """

    connects_per_client: float | None = 1
    publishes_per_connection: float | None = 100
    bytes_per_connection: float | None = 512 * 1024
    subscriptions_per_connection: int | None = 50
    subscriptions_per_request: int | None = 8
    unacknowledged_in: int | None = 100
    unacknowledged_out: int | None = 100
    payload: int | None = 128 * 1024
    packet: int = 149_504
    topic: int | None = 256
    topic_slashes: int | None = 7
    client_id: int | None = 128
    keep_alive_minimum: int | None = 30
    keep_alive_maximum: int | None = 1200
    connection_lifetime: float | None = 86_400
    session_expiry: int = 604_800
    session_expiry_311: int = 3600
    topic_aliases: int = 8
    subscription_ids: bool = False
    connects: float | None = None
    connections: int | None = None
    publishes_in: float | None = None
    publishes_out: float | None = None
    subscriptions: float | None = None
    identities: float | None = None
    identity_credentials: float | None = None
    retained_messages: int = 5000
    queued_messages: int = 1000
    queued_bytes: int = 4 * 1024 * 1024
    outgoing_bytes: int = 1024 * 1024

    @classmethod
    def aws_protocol(cls) -> "Limits":
        """The quotas of a connection, which no account can raise: the default."""
        return cls()

    @classmethod
    def aws_account(cls) -> "Limits":
        """Those and the quotas of an account that never asked for more."""
        return replace(
            cls(),
            connects=500,
            connections=500_000,
            publishes_in=20_000,
            publishes_out=20_000,
            subscriptions=500,
            identities=25,
            identity_credentials=200,
        )

    @classmethod
    def none(cls) -> "Limits":
        """No quotas; only our own bounds on memory stay."""
        return cls(
            connects_per_client=None,
            publishes_per_connection=None,
            bytes_per_connection=None,
            subscriptions_per_connection=None,
            subscriptions_per_request=None,
            unacknowledged_in=None,
            unacknowledged_out=None,
            payload=None,
            packet=16 * 1024 * 1024,
            topic=None,
            topic_slashes=None,
            client_id=None,
            keep_alive_minimum=None,
            keep_alive_maximum=None,
            connection_lifetime=None,
            topic_aliases=64,
            subscription_ids=True,
        )


class RateLimiter:
    """A token bucket.

    Args:
        rate: tokens a second.
        burst: tokens it holds when full, which it is at first; a second's worth unless given.
        clock: seconds that never go back.
    """

    __slots__ = ("_burst", "_clock", "_rate", "_then", "_tokens")

    def __init__(self, rate: float, burst: float | None = None, clock: Callable[[], float] = time.monotonic) -> None:
        self._rate = rate
        self._burst = max(rate, 1.0) if burst is None else burst
        self._tokens = self._burst
        self._clock = clock
        self._then = clock()

    def allow(self, n: float = 1) -> bool:
        """Take `n` tokens if they are there; none otherwise."""
        self._refill()
        if self._tokens < n:
            return False
        self._tokens -= n
        return True

    def spend(self, n: float) -> float:
        """Take `n` tokens even if that makes a debt; returns the seconds until it is paid off."""
        self._refill()
        self._tokens -= n
        return 0.0 if self._tokens >= 0 else -self._tokens / self._rate

    @property
    def full(self) -> bool:
        """Whether nothing has been taken that has not come back: such a bucket can be forgotten."""
        self._refill()
        return self._tokens >= self._burst

    def _refill(self) -> None:
        now = self._clock()
        self._tokens = min(self._burst, self._tokens + (now - self._then) * self._rate)
        self._then = now


class KeyedLimiter:
    """A token bucket for each key, forgotten when full, so that memory follows the keys of the last moments."""

    __slots__ = ("_burst", "_clock", "_limiters", "_rate", "_sweep_at")

    def __init__(self, rate: float, burst: float, clock: Callable[[], float] = time.monotonic) -> None:
        self._rate = rate
        self._burst = burst
        self._clock = clock
        self._limiters: dict[str, RateLimiter] = {}
        self._sweep_at = 1024

    def __len__(self) -> int:
        return len(self._limiters)

    def allow(self, key: str) -> bool:
        """Take one token of `key`."""
        limiter = self._limiters.get(key)
        if limiter is None:
            if len(self._limiters) >= self._sweep_at:
                self._limiters = {k: known for k, known in self._limiters.items() if not known.full}
                self._sweep_at = max(1024, 2 * len(self._limiters))
            limiter = self._limiters[key] = RateLimiter(self._rate, self._burst, self._clock)
        return limiter.allow()
