"""Which quotas a load test needs raised and how to ask for it, and what cannot be raised."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from chatops.aws import quota_codes as codes
from chatops.aws.quota_codes import Quota
from chatops.load.message import MIN_MESSAGE_BYTES
from chatops.load.preflight import (
    ACCOUNT_QUOTAS,
    PER_CONNECTION_BYTES_PER_S,
    PER_CONNECTION_PER_S,
    AccountQuotas,
    busiest_bytes_per_s,
    packet_bytes,
    renewals_per_s,
)
from chatops.load.scenario import Scenario, Spread
from chatops.load.target import QUOTA_SHARE

JOIN_GOAL_S = 1800.0
"""Everybody should be in within half an hour: guests' credentials last an hour, and the load wants the other half."""

MOST_DESIRED = 1e10
"""Service Quotas takes no larger DesiredValue (botocore's service model)."""

_LEAST_PEOPLE = 2  # in a room; fewer chat with themselves
_ROUNDING = 1e-9  # so that what has two figures already keeps them


@dataclass(frozen=True, slots=True)
class Raise:
    """A quota to have raised. Rates are per second.

    Attributes:
        needed: what the scenario takes; for joining, what it takes to be done within `JOIN_GOAL_S`.
        now: the account's quota; `desired`: what to ask for, so that 0.8 of it is enough.
        times: `desired` as a multiple of `now`. The largest breaks first as the number of guests grows.
        command: asks for it; None when Service Quotas takes no such number.
    """

    service: str
    code: str
    words: str
    needed: float
    now: float
    desired: float
    times: float
    command: str | None


@dataclass(frozen=True, slots=True)
class Limit:
    """A quota that AWS raises for nobody.

    Attributes:
        needed: what the scenario takes, `most` what AWS allows, in the quota's own unit.
        change: what to change in the scenario when it is not `held`.
    """

    code: str
    words: str
    needed: float
    most: float
    held: bool
    change: str


@dataclass(frozen=True, slots=True)
class Fitting:
    """The same scenario with one thing changed, so that it stays within 0.8 of quotas; None: as it is, or never.

    Attributes:
        option: whether the rates are of each posting guest (`--rate`) or of all (`--total-rate`).
        rate_for_connection: posts per second within the limits of a connection, which nobody raises.
        rate_for_account: likewise, within the account's quotas as they are, too.
        rooms_for_connection, rooms_for_account: at the scenario's own rate, rooms to spread evenly over.
    """

    option: str
    rate_for_connection: float | None
    rate_for_account: float | None
    rooms_for_connection: int | None
    rooms_for_account: int | None


def raises(scenario: Scenario, quotas: AccountQuotas, ramp_s: float, region: str) -> tuple[Raise, ...]:
    """The quotas to have raised, in the order in which they break as the number of guests grows."""
    found = []
    for name, needed in _needs(scenario, ramp_s).items():
        now = getattr(quotas, name)
        if now is not None and needed > QUOTA_SHARE * now * (1 + _ROUNDING):
            found.append(_raise(ACCOUNT_QUOTAS[name], needed, now, region))
    return tuple(sorted(found, key=lambda each: -each.times))


def _needs(scenario: Scenario, ramp_s: float) -> Mapping[str, float]:
    back = scenario.reconnects_per_s
    connects = max(scenario.connects_per_s or scenario.clients / JOIN_GOAL_S, back)
    renewals = max(renewals_per_s(scenario, min(ramp_s, JOIN_GOAL_S)), 0.0 if scenario.expiry_at_s is None else back)
    return {
        "identities": scenario.identity_count / JOIN_GOAL_S,
        "credentials": max(scenario.identity_count / JOIN_GOAL_S, renewals),
        "connects": connects,
        "subscriptions": connects,
        "connections": float(scenario.clients),
        "publishes_in": scenario.offered_posts_per_s * scenario.peak,
        "publishes_out": scenario.offered_deliveries_per_s * scenario.peak,
    }


def _raise(quota: Quota, needed: float, now: float, region: str) -> Raise:
    desired = rounded_up(needed / QUOTA_SHARE)
    command = (
        f"aws service-quotas request-service-quota-increase --region {region} "
        f"--service-code {quota.service} --quota-code {quota.code} --desired-value {desired:.0f}"
    )
    return Raise(
        service=quota.service,
        code=quota.code,
        words=quota.words,
        needed=needed,
        now=now,
        desired=desired,
        times=desired / now if now else desired,
        command=command if desired <= MOST_DESIRED else None,
    )


def fitting(scenario: Scenario, quotas: AccountQuotas) -> Fitting:
    """What would stay within the quotas; rates are rounded down, rooms up."""
    peak = scenario.peak
    posts = scenario.offered_posts_per_s * peak
    connection: list[tuple[float, float | None]] = [
        (scenario.busiest_messages_per_s, PER_CONNECTION_PER_S),
        (busiest_bytes_per_s(scenario), PER_CONNECTION_BYTES_PER_S),
    ]
    account: list[tuple[float, float | None]] = [
        *connection,
        (posts, quotas.publishes_in),
        (scenario.offered_deliveries_per_s * peak, quotas.publishes_out),
    ]
    total = scenario.total_posts_per_s is not None
    rate = scenario.offered_posts_per_s if total else scenario.posts_per_s
    return Fitting(
        "--total-rate" if total else "--rate",
        _scaled(rate, connection),
        _scaled(rate, account),
        _even_rooms(scenario, _share_of(connection), None),
        _even_rooms(scenario, _share_of(account), quotas.publishes_out),
    )


def limits(scenario: Scenario, ramp_s: float, fits: Fitting) -> tuple[Limit, ...]:
    """What AWS raises for nobody, and what to change in the scenario instead."""
    ways = [f"fewer posts ({fits.option} {plain(fits.rate_for_connection)})"] if fits.rate_for_connection else []
    if fits.rooms_for_connection is not None:
        ways.append(f"smaller rooms (--spread even --rooms {fits.rooms_for_connection})")
    busiest = busiest_bytes_per_s(scenario)
    smaller = []
    if busiest > PER_CONNECTION_BYTES_PER_S:
        packet = math.floor(QUOTA_SHARE * PER_CONNECTION_BYTES_PER_S / busiest * packet_bytes(scenario))
        size = packet - (packet_bytes(scenario) - scenario.message_bytes)
        smaller = [f"smaller messages (--size {size})"] if size >= MIN_MESSAGE_BYTES else []
    return (
        _limit(codes.CONNECTION_PUBLISHES, scenario.busiest_messages_per_s, " or ".join(ways)),
        _limit(codes.CONNECTION_BYTES, busiest / 1024, " or ".join([*smaller, *ways])),
        _limit(codes.CONNECTION_SUBSCRIPTIONS, 1.0, "a guest listens to one room; for more rooms, more guests"),
        _limit(
            codes.CONNECTION_SECONDS,
            ramp_s + scenario.load_s,
            "join more quickly (--identities, or the quotas below) or a shorter --duration",
        ),
    )


def _limit(quota: Quota, needed: float, change: str) -> Limit:
    held = needed <= quota.default
    return Limit(quota.code, quota.words, needed, quota.default, held, "" if held else change or "a smaller scenario")


def _share_of(pairs: Sequence[tuple[float, float | None]]) -> float:
    """How much of 0.8 of the quotas is needed: the largest quotient."""
    return max(needed / (QUOTA_SHARE * most) for needed, most in pairs if most)


def _scaled(rate: float, pairs: Sequence[tuple[float, float | None]]) -> float | None:
    share = _share_of(pairs)
    return rounded_down(rate / share) if share > 1 else None


def _even_rooms(scenario: Scenario, share: float, outbound: float | None) -> int | None:
    """The fewest rooms to spread evenly over, at most 0.8 of what a connection and the outbound quota pass."""
    posts = scenario.offered_posts_per_s * scenario.peak
    if share <= 1 or not posts:
        return None
    heard = posts / scenario.clients  # by everybody in a room, for each guest in it
    own = scenario.posts_per_s_each * scenario.peak
    people = [
        (QUOTA_SHARE * PER_CONNECTION_PER_S - own) / heard,
        QUOTA_SHARE * PER_CONNECTION_BYTES_PER_S / packet_bytes(scenario) / heard,
    ]
    if outbound is not None:
        people.append(QUOTA_SHARE * outbound / posts)
    most = math.floor(min(people))
    if most < _LEAST_PEOPLE:
        return None
    rooms = math.ceil(scenario.clients / most)
    return rooms if scenario.spread is not Spread.EVEN or rooms > scenario.room_count else None


def plain(value: float) -> str:
    """A rate as an option takes it, without an exponent."""
    return f"{value:.12f}".rstrip("0").rstrip(".")


def rounded_up(value: float) -> float:
    """The next number with two significant figures."""
    step = 10.0 ** (math.floor(math.log10(value)) - 1)
    return float(f"{math.ceil(value / step - _ROUNDING) * step:.2g}")


def rounded_down(value: float) -> float:
    """The last number with two significant figures."""
    step = 10.0 ** (math.floor(math.log10(value)) - 1)
    return float(f"{math.floor(value / step + _ROUNDING) * step:.2g}")
