"""Quotas as data, and the meters of rates."""

from dataclasses import dataclass, fields

from hypothesis import given
from hypothesis import strategies as st

from chatops.local.limits import KeyedLimiter, Limits, RateLimiter


@dataclass
class Clock:
    now: float = 100.0

    def __call__(self) -> float:
        return self.now


def test_the_protocol_quotas_are_those_of_aws() -> None:
    limits = Limits.aws_protocol()
    assert limits == Limits()
    assert (limits.publishes_per_connection, limits.bytes_per_connection) == (100, 524_288)
    assert (limits.subscriptions_per_connection, limits.subscriptions_per_request) == (50, 8)
    assert (limits.payload, limits.topic, limits.topic_slashes) == (131_072, 256, 7)
    assert limits.connects is limits.identities is limits.publishes_in is None


def test_the_account_quotas_come_on_top() -> None:
    limits = Limits.aws_account()
    assert (limits.connects, limits.publishes_in, limits.publishes_out) == (500, 20_000, 20_000)
    assert (limits.identities, limits.identity_credentials, limits.subscriptions) == (25, 200, 500)
    assert limits.payload == Limits.aws_protocol().payload


def test_none_leaves_only_bounds_on_memory() -> None:
    limits = Limits.none()
    enforced = {field.name for field in fields(limits) if getattr(limits, field.name) is not None}
    assert enforced == {
        "packet",
        "session_expiry",
        "session_expiry_311",
        "topic_aliases",
        "subscription_ids",
        "retained_messages",
        "queued_messages",
        "queued_bytes",
        "outgoing_bytes",
    }


def test_a_bucket_empties_and_refills() -> None:
    clock = Clock()
    limiter = RateLimiter(10, clock=clock)
    assert [limiter.allow() for _ in range(12)] == [True] * 10 + [False] * 2
    clock.now += 0.25
    assert [limiter.allow() for _ in range(4)] == [True, True, False, False]
    clock.now += 1000
    assert sum(limiter.allow() for _ in range(20)) == 10


def test_a_burst_of_its_own() -> None:
    clock = Clock()
    limiter = RateLimiter(1, 1, clock)
    assert limiter.allow()
    assert not limiter.allow()
    clock.now += 1
    assert limiter.allow()


def test_a_slow_rate_still_lets_one_through() -> None:
    limiter = RateLimiter(0.1, clock=Clock())
    assert limiter.allow()
    assert not limiter.allow()


def test_a_debt_says_how_long_it_lasts() -> None:
    clock = Clock()
    limiter = RateLimiter(100, clock=clock)
    assert limiter.spend(60) == 0
    assert limiter.spend(90) == 0.5
    assert not limiter.allow()
    clock.now += 0.5
    assert limiter.spend(0) == 0
    assert not limiter.allow()


@given(st.lists(st.tuples(st.floats(0, 3), st.integers(1, 5)), max_size=60), st.integers(1, 50))
def test_never_more_than_rate_times_time_plus_burst(steps: list[tuple[float, int]], rate: int) -> None:
    clock = Clock()
    limiter = RateLimiter(rate, clock=clock)
    taken = 0
    for wait, count in steps:
        clock.now += wait
        taken += count * limiter.allow(count)
        assert taken <= rate * (clock.now - 100.0) + rate + 1e-6


def test_each_key_has_its_own_bucket_and_full_ones_are_forgotten() -> None:
    clock = Clock()
    limiter = KeyedLimiter(1, 1, clock)
    assert limiter.allow("a")
    assert limiter.allow("b")
    assert not limiter.allow("a")
    for number in range(5000):
        limiter.allow(str(number))
        clock.now += 0.01
    assert len(limiter) < 1500
    clock.now += 2
    assert limiter.allow("a")
