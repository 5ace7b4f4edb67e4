"""What a load test does, as validated data: who, where, how often, how long.

The predictions (deliveries a second, messages metered, dollars) follow from the same numbers and are shown before the
first connection.
"""

import math
from array import array
from dataclasses import dataclass, fields
from enum import StrEnum
from functools import cached_property
from typing import Any

from chatops.chat.rooms import DEFAULT_PREFIX, MAX_PAYLOAD_BYTES, check_prefix, parse_room
from chatops.errors import UsageError
from chatops.load.cost import Prices, Usage, metered_steps, session_minutes, usage
from chatops.load.message import MIN_MESSAGE_BYTES
from chatops.load.pacing import Arrivals, uniform
from chatops.load.profile import MAX_FACTOR, MAX_PHASES, Phase, Profile, Shape, shaped
from chatops.load.target import Rates

MAX_CLIENTS = 5_000_000
MAX_POSTS_PER_S = 1_000_000.0
MAX_CONNECTS_PER_S = 100_000.0
MAX_SESSION_S = 24 * 3600.0
"""AWS IoT ends a WebSocket after 24 hours."""

LEAST_AWAY_S = 1.2
"""AWS IoT takes one CONNECT a second of each client id."""

_PLACES = 1 << 40  # streams of `uniform` above the clients' own
_SILENCE = 1 << 41
_UNPACED = Rates()


class Spread(StrEnum):
    """How people spread over rooms."""

    ZIPF = "zipf"
    EVEN = "even"
    ONE = "one"


@dataclass(frozen=True)
class Scenario:
    """One load test.

    Attributes:
        clients: how many guests join.
        rooms: how many rooms they spread over; None is a tenth of the clients, at least one.
        spread: evenly, by Zipf's law (the n-th room draws n to the power of minus `zipf_exponent`), or all in one.
        posts_per_s: posts per second of each posting client.
        total_posts_per_s: posts per second of all together, in place of `posts_per_s`.
        arrivals: how one client's posts follow one another.
        message_bytes: size of each payload.
        silent_share: the part of the clients that only reads, 0 to 1.
        connects_per_s: pace of the joining; None takes the target's.
        warm_up_s, duration_s: seconds of load before and within the steady window that the figures describe.
        drain_limit_s: how long to wait at most for what is still under way; the wait is twice the largest latency seen.
        join_timeout_s: a client that takes longer to join has failed.
        seed: what rooms, silence and Poisson gaps follow from.
        prefix: the environment's topic prefix.
        receive_qos: QoS of the subscriptions; at 1 AWS meters an acknowledgement for each delivery.
        identities: how many anonymous identities carry the clients; None is one each.
        shape: how the rate changes over the steady window; `spike_factor` is how many times the rate a spike is.
        phases: the same in detail, in place of `shape` and `duration_s`.
        churn_per_minute: the part of the clients that leaves in a minute, each to come back after `away_s` on average.
        expiry_at_s: everybody's credentials expire so many seconds into the steady window: all get new ones, sign anew
            and are back within `expiry_back_s`; never when None.
        storm_share: the part of the clients whose connections drop at once, `storm_at_s` into the steady window (its
            middle when None), to come back within `storm_back_s`.

    Raises:
        UsageError: a value, or a combination, that cannot be.
    """

    clients: int
    rooms: int | None = None
    spread: Spread = Spread.ZIPF
    zipf_exponent: float = 1.0
    posts_per_s: float = 0.1
    total_posts_per_s: float | None = None
    arrivals: Arrivals = Arrivals.POISSON
    message_bytes: int = 300
    silent_share: float = 0.0
    connects_per_s: float | None = None
    warm_up_s: float = 2.0
    duration_s: float = 10.0
    drain_limit_s: float = 10.0
    join_timeout_s: float = 30.0
    seed: int = 1
    prefix: str = DEFAULT_PREFIX
    receive_qos: int = 0
    identities: int | None = None
    shape: Shape = Shape.CONSTANT
    spike_factor: float = 5.0
    phases: tuple[Phase, ...] = ()
    churn_per_minute: float = 0.0
    away_s: float = 5.0
    storm_share: float = 0.0
    storm_at_s: float | None = None
    storm_back_s: float = 10.0
    expiry_at_s: float | None = None
    expiry_back_s: float = 10.0

    def __post_init__(self) -> None:
        if self.phases:
            self._check_phases()
            object.__setattr__(self, "duration_s", math.fsum(phase.seconds for phase in self.phases))
        self._check_people()
        self._check_posts()
        self._check_times()
        if not -(2**63) <= self.seed < 2**63:
            raise UsageError(f"The seed {self.seed} is not a 64-bit number", "try 1")
        if self.receive_qos not in {0, 1}:
            raise UsageError(f"AWS IoT has no QoS {self.receive_qos}", "choose 0 or 1")
        check_prefix(self.prefix)
        parse_room(room_topic(self.prefix, "00000000", MAX_CLIENTS), self.prefix)

    def _check_people(self) -> None:
        _whole("number of clients", self.clients, 1, MAX_CLIENTS, "ask for at least one client")
        if self.rooms is not None:
            _whole("number of rooms", self.rooms, 1, MAX_CLIENTS, "ask for at least one room")
            if self.rooms > self.clients:
                raise UsageError(
                    f"{self.rooms} rooms are more than the {self.clients} clients that would be in them",
                    f"ask for at most {self.clients} rooms, or for more clients",
                )
            if self.spread is Spread.ONE and self.rooms != 1:
                raise UsageError(f"{self.rooms} rooms cannot be one big room", "leave the number of rooms out")
        if self.identities is not None:
            _whole(
                "number of identities", self.identities, 1, MAX_CLIENTS, "leave them out to have one for each client"
            )
            if self.identities > self.clients:
                raise UsageError(
                    f"{self.identities:,} identities are more than the {self.clients:,} clients that would carry them",
                    "ask for as many as there are clients at most",
                )
        _real("Zipf exponent", self.zipf_exponent, 0, 10, "1 is what chats look like")
        _real("silent share", self.silent_share, 0, 1, "0.9 means that one in ten posts")

    def _check_posts(self) -> None:
        if self.total_posts_per_s is None:
            _real("posts per second", self.posts_per_s, 0, MAX_POSTS_PER_S, "0.1 is a lively person")
        else:
            _real("total posts per second", self.total_posts_per_s, 0, MAX_POSTS_PER_S, "try 50")
        _real("spike factor", self.spike_factor, 0, MAX_FACTOR, "5 is a lively spike")
        if self.offered_posts_per_s * self.peak > MAX_POSTS_PER_S:
            raise UsageError(
                f"{self.offered_posts_per_s * self.peak:,.0f} posts per second in all cannot be",
                f"stay below {MAX_POSTS_PER_S:,.0f}; AWS IoT takes 20,000 by default",
            )
        _whole("message size", self.message_bytes, MIN_MESSAGE_BYTES, MAX_PAYLOAD_BYTES, "300 is usual")

    def _check_times(self) -> None:
        if self.connects_per_s is not None:
            _real("connects per second", self.connects_per_s, 0, MAX_CONNECTS_PER_S, "AWS IoT takes 500 by default")
            if self.connects_per_s == 0:
                raise UsageError("0 connects per second would never join anyone", "AWS IoT takes 500 by default")
        _real("warm-up", self.warm_up_s, 0, MAX_SESSION_S, "2 seconds are usual")
        _real("duration", self.duration_s, 0, MAX_SESSION_S, "10 seconds show a lot")
        if self.duration_s == 0:
            raise UsageError("A load test of 0 seconds measures nothing", "give a duration, such as 10")
        _real("drain limit", self.drain_limit_s, 0, 600, "10 seconds are usual")
        _real("join timeout", self.join_timeout_s, 1, 600, "30 seconds are usual")
        if self.warm_up_s + self.duration_s > MAX_SESSION_S:
            raise UsageError("The load lasts longer than the 24 hours of a connection", "shorten it")
        _real("churn per minute", self.churn_per_minute, 0, 60, "0.1 is a tenth of the people a minute")
        _real("time away", self.away_s, LEAST_AWAY_S, 3600, "5 seconds are usual")
        _real("storm share", self.storm_share, 0, 1, "0.3 drops three in ten connections")
        _real("storm's return", self.storm_back_s, LEAST_AWAY_S, 600, "10 seconds are usual")
        _real("return after the credentials' expiry", self.expiry_back_s, LEAST_AWAY_S, 600, "10 seconds are usual")
        if self.expiry_at_s is not None:
            _real("time of the credentials' expiry", self.expiry_at_s, 0, self.duration_s, "try half the duration")
        if self.storm_at_s is not None:
            _real("storm's time", self.storm_at_s, 0, self.duration_s, "leave it out for the middle of the window")

    def _check_phases(self) -> None:
        if len(self.phases) > MAX_PHASES:
            raise UsageError(f"{len(self.phases):,} phases are too many", f"{MAX_PHASES:,} are the most")
        for phase in self.phases:
            _real(f"length of the phase {phase.name!r}", phase.seconds, 0.1, MAX_SESSION_S, "10 seconds show a lot")
            for rate in (phase.begin, phase.end):
                _real(f"rate of the phase {phase.name!r}", rate, 0, MAX_FACTOR, "1 is the scenario's own rate")
        if self.shape is not Shape.CONSTANT:
            raise UsageError("A scenario has either a shape or phases", "leave one of them out")

    def __getstate__(self) -> dict[str, Any]:
        """What another process needs: what follows from it, the rooms of a million, is worked out there."""
        return {field.name: self.__dict__[field.name] for field in fields(self)}

    @property
    def room_count(self) -> int:
        """How many rooms there are."""
        if self.spread is Spread.ONE:
            return 1
        return self.rooms if self.rooms is not None else max(1, self.clients // 10)

    @cached_property
    def room_sizes(self) -> tuple[int, ...]:
        """How many clients are in each room, the fullest first; with few people to a room the last ones stay empty."""
        count = self.room_count
        if self.spread is not Spread.ZIPF or not self.zipf_exponent:
            each, more = divmod(self.clients, count)
            return (each + 1,) * more + (each,) * (count - more)
        # Arrays, and a stable sort in place of a key with the room's number: a million rooms would take 240 MB.
        shares = array("d", ((rank + 1) ** -self.zipf_exponent for rank in range(count)))
        total = math.fsum(shares)
        for room, weight in enumerate(shares):
            shares[room] = self.clients * weight / total
        sizes = array("q", map(int, shares))
        for room, size in enumerate(sizes):
            shares[room] = size - shares[room]
        for room in sorted(range(count), key=shares.__getitem__)[: self.clients - sum(sizes)]:
            sizes[room] += 1
        return tuple(sorted(sizes, reverse=True))

    @cached_property
    def room_of(self) -> tuple[int, ...]:
        """Each client's room, by client number; shuffled by the seed, so that rooms fill up side by side."""
        order = sorted(range(self.clients), key=lambda client: uniform(self.seed, _PLACES, client))
        places = [0] * self.clients
        position = 0
        for room, size in enumerate(self.room_sizes):
            for client in order[position : position + size]:
                places[client] = room
            position += size
        return tuple(places)

    @property
    def poster_count(self) -> int:
        """How many clients post."""
        return self.clients - round(self.clients * self.silent_share)

    @cached_property
    def posters(self) -> tuple[int, ...]:
        """The clients that post, by number."""
        if self.poster_count == self.clients:
            return tuple(range(self.clients))
        order = sorted(range(self.clients), key=lambda client: uniform(self.seed, _SILENCE, client))
        return tuple(sorted(order[: self.poster_count]))

    @property
    def offered_posts_per_s(self) -> float:
        """Posts per second of all clients together."""
        if self.total_posts_per_s is not None:
            return self.total_posts_per_s if self.poster_count else 0.0
        return self.posts_per_s * self.poster_count

    @property
    def posts_per_s_each(self) -> float:
        """Posts per second of one posting client."""
        return self.offered_posts_per_s / self.poster_count if self.poster_count else 0.0

    @cached_property
    def offered_deliveries_per_s(self) -> float:
        """Predicted deliveries per second: each post reaches its whole room, its sender included."""
        square = sum(size * size for size in self.room_sizes)
        return self.offered_posts_per_s / self.clients * square

    @property
    def load_s(self) -> float:
        """Seconds in which posts are due."""
        return self.warm_up_s + self.duration_s

    @property
    def identity_count(self) -> int:
        """How many anonymous identities the run takes."""
        return self.clients if self.identities is None else self.identities

    @cached_property
    def profile(self) -> Profile:
        """The rate over warm-up and steady window, as multiples of `offered_posts_per_s`."""
        steady = self.phases or shaped(self.shape, self.duration_s, self.spike_factor)
        return Profile((Phase("warm-up", self.warm_up_s, steady[0].begin, steady[0].begin), *steady))

    @property
    def peak(self) -> float:
        """The highest multiple of the rate."""
        return max(
            (max(phase.begin, phase.end) for phase in self.phases),
            default=max(1.0, self.spike_factor) if self.shape is Shape.SPIKE else 1.0,
        )

    @property
    def storm_s(self) -> float:
        """When the storm is, in seconds from the start of the load."""
        return self.warm_up_s + (self.duration_s / 2 if self.storm_at_s is None else self.storm_at_s)

    @property
    def returns(self) -> float:
        """How many connections are expected to be made anew, by churn, storm and expired credentials."""
        expiry = 0 if self.expiry_at_s is None else 1
        return self.clients * (self.churn_per_minute * self.duration_s / 60 + self.storm_share + expiry)

    @property
    def restless(self) -> bool:
        """Whether people leave and come back."""
        return self.churn_per_minute > 0 or self.storm_share > 0 or self.expiry_at_s is not None

    @property
    def busiest_messages_per_s(self) -> float:
        """Publishes in plus out of a posting guest in the fullest room, at the load's peak."""
        each = self.posts_per_s_each if self.poster_count else 0.0
        return (self.offered_posts_per_s / self.clients * self.room_sizes[0] + each) * self.peak

    @property
    def reconnects_per_s(self) -> float:
        """How many connections are made anew per second when it is worst: churn, and the storm or the expiry."""
        storm = self.storm_share / self.storm_back_s
        expiry = 0.0 if self.expiry_at_s is None else 1 / self.expiry_back_s
        return self.clients * (self.churn_per_minute / 60 + max(storm, expiry))

    def ramp_s(self, rates: Rates) -> float:
        """Seconds until everybody has joined, at the slowest of the paces."""
        paces = (
            (self.identity_count, rates.identities_per_s),
            (self.identity_count, rates.credentials_per_s),
            (self.clients, self.connects_per_s or rates.connects_per_s),
        )
        return max((count / pace for count, pace in paces if pace), default=0.0)

    def predicted_usage(self, rates: Rates) -> Usage:
        """What AWS will meter if everything goes as planned, joining at these paces included.

        Connection minutes are counted as if everybody joined at once: those who join last are connected for less.
        """
        topic = room_topic(self.prefix, "00000000", self.room_count)
        return usage(
            connects=self.clients + round(self.returns),
            subscribes=self.clients + round(self.returns),
            posts=round(self.offered_posts_per_s * self.profile.effort),
            deliveries=round(self.offered_deliveries_per_s * self.profile.effort),
            steps=metered_steps(self.message_bytes, len(topic.encode())),
            receive_qos=self.receive_qos,
            minutes=self.clients * session_minutes(self.ramp_s(rates) + self.load_s),
        )

    def predicted_cost(self, prices: Prices, rates: Rates = _UNPACED) -> float:
        """Predicted cost in US dollars."""
        return self.predicted_usage(rates).dollars(prices)


def room_topic(prefix: str, run: str, room: int) -> str:
    """The topic of a load test's room: its own for every run, so that two runs do not hear each other."""
    return f"{prefix}load-{run}-{room:04d}"


def _whole(name: str, value: int, least: int, most: int, remedy: str) -> None:
    if not least <= value <= most:
        raise UsageError(f"{value:,} is no possible {name}: it lies between {least:,} and {most:,}", remedy)


def _real(name: str, value: float, least: float, most: float, remedy: str) -> None:
    if not (math.isfinite(value) and least <= value <= most):
        raise UsageError(f"{value:g} is no possible {name}: it lies between {least:g} and {most:,.0f}", remedy)
