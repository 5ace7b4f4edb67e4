"""A load test on paper: what a scenario takes on AWS, from machines to quotas, before anything is there.

Pure arithmetic on the scenario, the quotas and the constants of `chatops.load.sizing`; nothing in it grows with the
number of guests but the list of rooms. `docs/scale.md` explains the figures.
"""

from dataclasses import asdict, dataclass, replace
from typing import Any

from chatops.load.cost import Prices, Usage, metered_steps, session_minutes, usage
from chatops.load.generator import WARN_CPU
from chatops.load.preflight import AccountQuotas, packet_bytes, renewals_per_s
from chatops.load.raises import Fitting, Limit, Raise, fitting, limits, raises
from chatops.load.scenario import Scenario, Spread, room_topic
from chatops.load.sizing import Load, Machine, Sizing, size

HOUR_S = 3600.0


@dataclass(frozen=True, slots=True)
class Stage:
    """One part of the joining; all go on side by side, so that the slowest decides.

    Attributes:
        count: how many there are to do.
        quota: per second; None for what the generator itself can do.
        pace: per second, 0.8 of the quota.
        seconds: `count` at that pace.
    """

    name: str
    count: int
    quota: float | None
    pace: float
    seconds: float


@dataclass(frozen=True, slots=True)
class Spreading:
    """The same people and posts in rooms of another spread. Rates are per second, at the load's peak.

    Attributes:
        busiest_connection: publishes in plus out of one guest in the fullest room.
        chosen: it is the scenario's.
    """

    spread: str
    rooms: int
    fullest_room: int
    deliveries: float
    busiest_connection: float
    chosen: bool


@dataclass(frozen=True, slots=True)
class HourlyCost:
    """What AWS charges for an hour at the scenario's rate, at the given prices; machines are not in it.

    Attributes:
        connectivity_usd, messages_usd: the parts of `usd`.
        messages: connects, subscribes, publishes in and out, in steps of 5 KB.
        machine_hours: of the fleet, at whatever these cost.
    """

    usd: float
    connectivity_usd: float
    messages_usd: float
    messages: int
    machine_hours: int


@dataclass(frozen=True, slots=True)
class Scale:
    """What a scenario takes on AWS.

    Attributes:
        quotas: what it is held against: the account's, or AWS's defaults.
        joining: the stages; `slowest` is the name of the one that decides, `join_s` how long it takes.
        renewals_per_s: credentials replaced per second while the load lasts, 0 when it is over within their hour.
        raises: in the order in which to ask.
        notes: what else is to be known.
    """

    quotas: AccountQuotas
    region: str
    sizing: Sizing
    joining: tuple[Stage, ...]
    slowest: str
    join_s: float
    renewals_per_s: float
    spreads: tuple[Spreading, ...]
    hour: HourlyCost
    limits: tuple[Limit, ...]
    fitting: Fitting
    raises: tuple[Raise, ...]
    notes: tuple[str, ...]

    def document(self) -> dict[str, Any]:
        """The part `scale` of `chatops loadtest --plan --json`."""
        return asdict(self)


def scale(
    scenario: Scenario, quotas: AccountQuotas, *, prices: Prices, region: str, machine: Machine | None = None
) -> Scale:
    """Work out what a scenario takes on AWS.

    Args:
        quotas: the account's; where none are enforced, as on the local stack, AWS's defaults count.
        region: for the commands that ask for more.
        machine: what the fleet consists of.
    """
    if not quotas.enforced:
        quotas = AccountQuotas(f"AWS's defaults; not enforced by {quotas.source}")
    sizing = size(_load(scenario), machine or Machine())
    joining = _joining(scenario, quotas, sizing)
    slowest = max(joining, key=lambda stage: stage.seconds)
    fits = fitting(scenario, quotas)
    return Scale(
        quotas=quotas,
        region=region,
        sizing=sizing,
        joining=joining,
        slowest=slowest.name,
        join_s=slowest.seconds,
        renewals_per_s=renewals_per_s(scenario, slowest.seconds),
        spreads=_spreads(scenario),
        hour=_hour(scenario, prices, sizing.machines),
        limits=limits(scenario, slowest.seconds, fits),
        fitting=fits,
        raises=raises(scenario, quotas, slowest.seconds, region),
        notes=tuple(_notes(scenario, sizing)),
    )


def _load(scenario: Scenario) -> Load:
    deliveries = scenario.offered_deliveries_per_s * scenario.peak
    return Load(
        clients=scenario.clients,
        rooms=scenario.room_count,
        posts=scenario.offered_posts_per_s * scenario.peak,
        deliveries=deliveries,
        bytes_out=deliveries * packet_bytes(scenario),
        identities=scenario.identity_count,
        seconds=scenario.load_s,
    )


def _joining(scenario: Scenario, quotas: AccountQuotas, sizing: Sizing) -> tuple[Stage, ...]:
    rates = quotas.rates()
    connects = scenario.connects_per_s or rates.connects_per_s
    stages = (
        ("GetId", scenario.identity_count, quotas.identities, rates.identities_per_s),
        ("GetCredentialsForIdentity", scenario.identity_count, quotas.credentials, rates.credentials_per_s),
        ("CONNECT", scenario.clients, quotas.connects, connects),
        ("SUBSCRIBE", scenario.clients, quotas.subscriptions, connects),
        ("the generator", scenario.clients, None, sizing.joins_per_s),
    )
    return tuple(Stage(name, count, quota, pace, count / pace) for name, count, quota, pace in stages if pace)


def _spreads(scenario: Scenario) -> tuple[Spreading, ...]:
    found = []
    for spread in (Spread.EVEN, Spread.ZIPF, Spread.ONE):
        if spread is scenario.spread:
            other = scenario
        elif spread is Spread.ONE or scenario.spread is Spread.ONE:
            other = replace(scenario, spread=spread, rooms=None)
        else:
            other = replace(scenario, spread=spread)
        found.append(
            Spreading(
                spread=spread.value,
                rooms=other.room_count,
                fullest_room=other.room_sizes[0],
                deliveries=other.offered_deliveries_per_s * other.peak,
                busiest_connection=other.busiest_messages_per_s,
                chosen=spread is scenario.spread,
            )
        )
    return tuple(found)


def _hour(scenario: Scenario, prices: Prices, machines: int) -> HourlyCost:
    topic = room_topic(scenario.prefix, "00000000", scenario.room_count)
    used = usage(
        connects=scenario.clients,
        subscribes=scenario.clients,
        posts=round(scenario.offered_posts_per_s * HOUR_S),
        deliveries=round(scenario.offered_deliveries_per_s * HOUR_S),
        steps=metered_steps(scenario.message_bytes, len(topic.encode())),
        receive_qos=scenario.receive_qos,
        minutes=scenario.clients * session_minutes(HOUR_S),
    )
    connectivity = Usage(minutes=used.minutes).dollars(prices)
    return HourlyCost(used.dollars(prices), connectivity, used.dollars(prices) - connectivity, used.messages, machines)


def _notes(scenario: Scenario, sizing: Sizing) -> list[str]:
    found = []
    if scenario.identity_count < sizing.processes <= scenario.clients:
        found.append(
            f"guests that share an identity stay in one process: {scenario.identity_count:,} identities keep "
            f"{scenario.identity_count:,} processes busy at most; take --identities {sizing.processes} or more"
        )
    if sizing.front.cores > WARN_CPU:
        found.append(
            f"the front would be busy with {sizing.front.cores:,.1f} cores' work, and has one: fewer posts, fewer "
            "rooms with posts in the same second, or several runs side by side"
        )
    if sizing.machines > 1:
        found.append(
            "each machine is counted with a source address of its own; machines behind one NAT share its address, and "
            "Linux gives 28,232 ports an address unless net.ipv4.ip_local_port_range says 1024 65535"
        )
    return found
