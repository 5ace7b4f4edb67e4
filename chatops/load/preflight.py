"""Before the first connection: what a run will ask of the account, how long it takes to begin, what it costs.

Pure arithmetic on the scenario and the quotas. What cannot work is *refused*, what will not be as expected is a
warning; the caller decides whether a refusal is final (`--force`).
"""

from dataclasses import asdict, dataclass
from typing import Any

from chatops.errors import UsageError
from chatops.load.cost import Prices
from chatops.load.scenario import Scenario, room_topic
from chatops.load.target import QUOTA_SHARE, Rates

PER_CONNECTION_PER_S = 100.0
"""Publishes in plus out of one connection; AWS IoT discards the rest without a word (L-083F3861, not adjustable)."""

PER_CONNECTION_BYTES_PER_S = 512 * 1024
"""L-D9C66F9D, not adjustable."""

_HEADER_BYTES = 8


@dataclass(frozen=True, slots=True)
class AccountQuotas:
    """The quotas of an account that a load test meets; None is not enforced. Rates are per second.

    Attributes:
        source: where the figures come from, for people.
        per_connection: whether the quotas of a connection are enforced.
    """

    source: str = "AWS's defaults"
    connects: float | None = 500
    connections: float | None = 500_000
    subscriptions: float | None = 500
    publishes_in: float | None = 20_000
    publishes_out: float | None = 20_000
    identities: float | None = 25
    credentials: float | None = 200
    per_connection: bool = True

    @classmethod
    def of_local_stack(cls, quotas: str) -> "AccountQuotas":
        """What the local stack enforces: `aws`, `protocol` or `none`."""
        if quotas == "aws":
            return cls("the local stack, as AWS's defaults")
        return cls(
            f"the local stack (quotas: {quotas})", None, None, None, None, None, None, None, quotas == "protocol"
        )

    def rates(self) -> Rates:
        """The paces at which guests may join: a part of the quotas, the rest being the account's own traffic."""
        return Rates(_paced(self.identities), _paced(self.credentials), _paced(self.connects))


@dataclass(frozen=True, slots=True)
class Preflight:
    """What a run will ask for. Rates are per second, at the load's peak.

    Attributes:
        ramp_s: until everybody has joined, at the paces in force.
        busiest_connection: publishes in plus out of one guest in the fullest room.
        refusals: why it cannot work; `warnings`: what will not be as expected.
    """

    clients: int
    identities: int
    rooms: int
    fullest_room: int
    connects: float | None
    get_id: float | None
    ramp_s: float
    load_s: float
    publishes_in: float
    publishes_out: float
    busiest_connection: float
    bytes_out: float
    cost_usd: float
    quotas: AccountQuotas
    refusals: tuple[str, ...] = ()
    warnings: tuple[str, ...] = ()

    def document(self) -> dict[str, Any]:
        """The JSON document of `chatops loadtest --plan --json`."""
        return asdict(self)

    def check(self) -> None:
        """Raise what makes the run pointless.

        Raises:
            UsageError: the first refusal.
        """
        if self.refusals:
            more = f" (and {len(self.refusals) - 1} more)" if len(self.refusals) > 1 else ""
            raise UsageError(f"{self.refusals[0]}{more}", "change the scenario, or insist with --force")


def preflight(
    scenario: Scenario,
    rates: Rates,
    quotas: AccountQuotas,
    *,
    prices: Prices,
    max_cost: float | None = None,
) -> Preflight:
    """Work out what a run will ask for and whether it can be had.

    Args:
        rates: the paces of joining in force.
        max_cost: in dollars; a run predicted to cost more is refused.
    """
    fullest = scenario.room_sizes[0]
    peak = scenario.peak
    each = scenario.posts_per_s_each * peak
    share_posting = scenario.poster_count / scenario.clients
    room_posts = scenario.offered_posts_per_s * peak / scenario.clients * fullest
    connects = scenario.connects_per_s or rates.connects_per_s
    paces = (
        (scenario.identity_count, rates.identities_per_s),
        (scenario.identity_count, rates.credentials_per_s),
        (scenario.clients, connects),
    )
    plan = Preflight(
        clients=scenario.clients,
        identities=scenario.identity_count,
        rooms=scenario.room_count,
        fullest_room=fullest,
        connects=connects,
        get_id=rates.identities_per_s,
        ramp_s=max((count / pace for count, pace in paces if pace), default=0.0),
        load_s=scenario.load_s,
        publishes_in=scenario.offered_posts_per_s * peak,
        publishes_out=scenario.offered_deliveries_per_s * peak,
        busiest_connection=room_posts + (each if share_posting else 0.0),
        bytes_out=scenario.offered_deliveries_per_s * peak * _packet_bytes(scenario),
        cost_usd=scenario.predicted_cost(prices, connects),
        quotas=quotas,
    )
    refusals, warnings = _judge(plan, scenario, room_posts * _packet_bytes(scenario), max_cost)
    return Preflight(
        **{name: getattr(plan, name) for name in plan.__slots__ if name not in {"refusals", "warnings"}},
        refusals=tuple(refusals),
        warnings=tuple(warnings),
    )


def _judge(
    plan: Preflight, scenario: Scenario, busiest_bytes: float, max_cost: float | None
) -> tuple[list[str], list[str]]:
    quotas = plan.quotas
    refusals: list[str] = []
    warnings: list[str] = []
    silent = (
        f"a guest in the fullest room ({plan.fullest_room:,} people) would send and receive "
        f"{plan.busiest_connection:,.0f} messages/s; AWS IoT silently discards what exceeds "
        f"{PER_CONNECTION_PER_S:g}/s of a connection"
    )
    if plan.busiest_connection > PER_CONNECTION_PER_S:
        (refusals if quotas.per_connection else warnings).append(silent)
    elif plan.busiest_connection > QUOTA_SHARE * PER_CONNECTION_PER_S:
        warnings.append(f"{silent}, and chance will exceed that now and then")
    if busiest_bytes > PER_CONNECTION_BYTES_PER_S:
        text = f"a guest in the fullest room would receive {busiest_bytes / 1024:,.0f} KiB/s; AWS IoT passes 512 KiB/s"
        (refusals if quotas.per_connection else warnings).append(text)
    checks = (
        (plan.connects, quotas.connects, "connects/s"),
        (plan.connects, quotas.subscriptions, "subscriptions/s"),
        (float(plan.clients), quotas.connections, "connections"),
        (plan.publishes_in, quotas.publishes_in, "inbound publishes/s"),
        (plan.publishes_out, quotas.publishes_out, "outbound publishes/s"),
    )
    for wanted, quota, what in checks:
        if wanted is None or quota is None:
            continue
        if wanted > quota:
            refusals.append(f"{wanted:,.0f} {what} are more than the account's {quota:,.0f} ({quotas.source})")
        elif wanted > QUOTA_SHARE * quota and what != "connects/s":
            warnings.append(f"{wanted:,.0f} {what} come near the account's {quota:,.0f}")
    if max_cost is not None and plan.cost_usd > max_cost:
        refusals.append(f"the run is predicted to cost ${plan.cost_usd:,.2f}, more than the ${max_cost:,.2f} allowed")
    if scenario.join_timeout_s and plan.ramp_s > 24 * 3600 - plan.load_s:
        refusals.append("joining and load together take longer than the 24 hours of a connection")
    return refusals, warnings


def _packet_bytes(scenario: Scenario) -> int:
    return scenario.message_bytes + len(room_topic(scenario.prefix, "00000000", 0)) + _HEADER_BYTES


def _paced(quota: float | None) -> float | None:
    return None if quota is None else QUOTA_SHARE * quota
