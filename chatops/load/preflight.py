"""Before the first connection: what a run will ask of the account, how long it takes to begin, what it costs.

Pure arithmetic on the scenario and the quotas. What cannot work is *refused*, what will not be as expected is a
warning; the caller decides whether a refusal is final (`--force`).
"""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from decimal import Decimal
from typing import Any

from chatops.aws import quota_codes as codes
from chatops.errors import UsageError
from chatops.load.cost import Prices
from chatops.load.scenario import Scenario, room_topic
from chatops.load.target import QUOTA_SHARE, Rates
from chatops.mqtt.guests import REFRESH_MARGIN_S

PER_CONNECTION_PER_S = codes.CONNECTION_PUBLISHES.default
"""Publishes in plus out of one connection; AWS IoT discards the rest without a word."""

PER_CONNECTION_BYTES_PER_S = codes.CONNECTION_BYTES.default * 1024

CREDENTIALS_LIFE_S = 3600.0
"""How long a guest's credentials live; not settable in Cognito's enhanced flow (Amazon Cognito developer guide)."""

ACCOUNT_QUOTAS: Mapping[str, codes.Quota] = {
    "connects": codes.CONNECTS,
    "connections": codes.CONNECTIONS,
    "subscriptions": codes.SUBSCRIPTIONS,
    "publishes_in": codes.INBOUND_PUBLISHES,
    "publishes_out": codes.OUTBOUND_PUBLISHES,
    "identities": codes.IDENTITIES,
    "credentials": codes.CREDENTIALS,
}
"""The quotas of an account that a load test meets, by their names in `AccountQuotas`."""

_HEADER_BYTES = 8


@dataclass(frozen=True, slots=True)
class AccountQuotas:
    """The quotas of an account that a load test meets; None is not enforced. Rates are per second.

    Attributes:
        source: where the figures come from, for people.
        per_connection: whether the quotas of a connection are enforced.
    """

    source: str = "AWS's defaults"
    connects: float | None = codes.CONNECTS.default
    connections: float | None = codes.CONNECTIONS.default
    subscriptions: float | None = codes.SUBSCRIPTIONS.default
    publishes_in: float | None = codes.INBOUND_PUBLISHES.default
    publishes_out: float | None = codes.OUTBOUND_PUBLISHES.default
    identities: float | None = codes.IDENTITIES.default
    credentials: float | None = codes.CREDENTIALS.default
    per_connection: bool = True

    @classmethod
    def of_account(cls, known: Mapping[str, float]) -> "AccountQuotas":
        """What Service Quotas says, by the names here; AWS's defaults for what it does not say."""
        missing = [quota.words for name, quota in ACCOUNT_QUOTAS.items() if name not in known]
        if not known:
            return cls("AWS's defaults: Service Quotas could not be asked")
        values: dict[str, Any] = {name: known[name] for name in ACCOUNT_QUOTAS if name in known}
        return cls("Service Quotas" + (f"; AWS's defaults: {', '.join(missing)}" if missing else ""), **values)

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
        joining = [quota for quota in (self.connects, self.subscriptions) if quota is not None]
        return Rates(_paced(self.identities), _paced(self.credentials), _paced(min(joining, default=None)))

    @property
    def enforced(self) -> bool:
        """Whether they are an account's, or as an account's."""
        return self.connections is not None


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
    peak = scenario.peak
    connects = scenario.connects_per_s or rates.connects_per_s
    plan = Preflight(
        clients=scenario.clients,
        identities=scenario.identity_count,
        rooms=scenario.room_count,
        fullest_room=scenario.room_sizes[0],
        connects=connects,
        get_id=rates.identities_per_s,
        ramp_s=scenario.ramp_s(rates),
        load_s=scenario.load_s,
        publishes_in=scenario.offered_posts_per_s * peak,
        publishes_out=scenario.offered_deliveries_per_s * peak,
        busiest_connection=scenario.busiest_messages_per_s,
        bytes_out=scenario.offered_deliveries_per_s * peak * packet_bytes(scenario),
        cost_usd=scenario.predicted_cost(prices, rates),
        quotas=quotas,
    )
    refusals, warnings = _judge(plan, scenario, max_cost)
    warnings += _timing_warnings(scenario, rates, quotas, plan.ramp_s)
    return Preflight(
        **{name: getattr(plan, name) for name in plan.__slots__ if name not in {"refusals", "warnings"}},
        refusals=tuple(refusals),
        warnings=tuple(warnings),
    )


def busiest_bytes_per_s(scenario: Scenario) -> float:
    """What a guest in the fullest room receives per second, at the load's peak."""
    share = scenario.room_sizes[0] / scenario.clients
    return scenario.offered_posts_per_s * scenario.peak * share * packet_bytes(scenario)


def renewals_per_s(scenario: Scenario, ramp_s: float) -> float:
    """How many credentials are replaced per second on average, once the first come near the end of their hour.

    Guests that share an identity share its credentials.
    """
    period = CREDENTIALS_LIFE_S - REFRESH_MARGIN_S
    return scenario.identity_count / period if ramp_s + scenario.load_s > period else 0.0


def _timing_warnings(scenario: Scenario, rates: Rates, quotas: AccountQuotas, ramp_s: float) -> list[str]:
    found = []
    renewals = renewals_per_s(scenario, ramp_s)
    if rates.credentials_per_s and renewals > rates.credentials_per_s:
        found.append(
            f"credentials last an hour, and {renewals:,.0f}/s would have to be replaced at a pace of "
            f"{rates.credentials_per_s:,.0f}/s: guests that then lose their connection cannot sign"
        )
    if quotas.connects is not None and scenario.reconnects_per_s > quotas.connects:
        found.append(
            f"{scenario.reconnects_per_s:,.0f} connects/s of those who come back are more than the account's "
            f"{quotas.connects:,.0f}: AWS refuses some of them, and they take longer"
        )
    return found


def _judge(plan: Preflight, scenario: Scenario, max_cost: float | None) -> tuple[list[str], list[str]]:
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
    busiest_bytes = busiest_bytes_per_s(scenario)
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
        refusals.append(
            f"the run is predicted to cost ${_plain(plan.cost_usd)}, more than the ${_plain(max_cost)} allowed"
        )
    if scenario.join_timeout_s and plan.ramp_s > 24 * 3600 - plan.load_s:
        refusals.append("joining and load together take longer than the 24 hours of a connection")
    return refusals, warnings


def _plain(dollars: float) -> str:
    """An amount with all its digits and no exponent."""
    return f"{dollars:,.4f}" if dollars >= 0.01 else f"{Decimal(f'{dollars:.4g}').normalize():f}"


def packet_bytes(scenario: Scenario) -> int:
    """The size of a delivered message on the wire, without TLS and TCP."""
    return scenario.message_bytes + len(room_topic(scenario.prefix, "00000000", 0)) + _HEADER_BYTES


def _paced(quota: float | None) -> float | None:
    return None if quota is None else QUOTA_SHARE * quota
