"""Everything that one process of a run has counted, and all of them together.

Totals merge in any order. A process sends what it counted since its last copy, so that the front holds the sum of all
and never a list of anything that grows with the deliveries.
"""

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field, replace

from chatops.load.distribution import Distribution
from chatops.load.joining import Joining
from chatops.load.ledger import MAX_DIFFERENCES
from chatops.load.progress import Stage
from chatops.load.restless import Reconnects
from chatops.load.statistics import Statistics
from chatops.load.tally import Difference, Tally


@dataclass(slots=True)
class Totals:
    """Counts of one process, or the sum of several.

    Attributes:
        tallies: posts and deliveries, by window and room.
        slip: how late posts left.
        first_message: from when a client could hear something until it did.
        arrivals: deliveries of any kind, whatever they turned out to be.
        lost: deliveries that did not come, of all windows.
        differences: deliveries that went wrong, one by one, as far as they are kept.
    """

    statistics: Statistics = field(default_factory=Statistics)
    tallies: dict[tuple[int, int], Tally] = field(default_factory=dict)
    joining: Joining = field(default_factory=Joining)
    slip: Distribution = field(default_factory=Distribution)
    first_message: Distribution = field(default_factory=Distribution)
    reconnects: Reconnects = field(default_factory=Reconnects)
    post_failures: Counter[str] = field(default_factory=Counter)
    disconnects: Counter[str] = field(default_factory=Counter)
    resubscribe_failures: Counter[str] = field(default_factory=Counter)
    connects: int = 0
    subscribes: int = 0
    posts_sent: int = 0
    arrivals: int = 0
    lost: int = 0
    differences: list[Difference] = field(default_factory=list)
    differences_omitted: int = 0

    def merge(self, other: "Totals") -> None:
        """Add what another process counted, or the same one since."""
        self.statistics.merge(other.statistics)
        for key, tally in other.tallies.items():
            self.tallies[key] = tally.plus(self.tallies.get(key, _NOTHING))
        self.joining.merge(other.joining)
        self.slip.merge(other.slip)
        self.first_message.merge(other.first_message)
        self.reconnects.merge(other.reconnects)
        self.post_failures.update(other.post_failures)
        self.disconnects.update(other.disconnects)
        self.resubscribe_failures.update(other.resubscribe_failures)
        for name in _NUMBERS:
            setattr(self, name, getattr(self, name) + getattr(other, name))
        room = MAX_DIFFERENCES - len(self.differences)
        self.differences += other.differences[:room]
        self.differences_omitted += len(other.differences[room:])

    def copy(self) -> "Totals":
        """The same counts, counted on apart."""
        return replace(
            self,
            statistics=self.statistics.copy(),
            tallies={key: replace(tally) for key, tally in self.tallies.items()},
            joining=self.joining.copy(),
            slip=self.slip.copy(),
            first_message=self.first_message.copy(),
            reconnects=self.reconnects.copy(),
            post_failures=self.post_failures.copy(),
            disconnects=self.disconnects.copy(),
            resubscribe_failures=self.resubscribe_failures.copy(),
            differences=self.differences[:],
        )

    def since(self, earlier: "Totals") -> "Totals":
        """What was counted after `earlier`, an older copy of this: merged into that copy, it makes them equal."""
        return Totals(
            statistics=self.statistics.since(earlier.statistics),
            tallies={
                key: tally.since(earlier.tallies.get(key, _NOTHING))
                for key, tally in self.tallies.items()
                if tally != earlier.tallies.get(key)
            },
            joining=self.joining.since(earlier.joining),
            slip=self.slip.since(earlier.slip),
            first_message=self.first_message.since(earlier.first_message),
            reconnects=self.reconnects.since(earlier.reconnects),
            post_failures=self.post_failures - earlier.post_failures,
            disconnects=self.disconnects - earlier.disconnects,
            resubscribe_failures=self.resubscribe_failures - earlier.resubscribe_failures,
            differences=self.differences[len(earlier.differences) :],
            **{name: getattr(self, name) - getattr(earlier, name) for name in _NUMBERS},
        )


_NUMBERS = ("connects", "subscribes", "posts_sent", "arrivals", "lost", "differences_omitted")
_NOTHING = Tally()


@dataclass(frozen=True, slots=True)
class Part:
    """How one process's part of a run went, beside what it counted.

    Attributes:
        stage: where it is.
        seconds: how long each stage took.
        cpu: CPU seconds per second, of the steady window once that is over.
        lag_ms_p99: of its canary; of the steady window from there on.
        slip_ms_p99: how late its posts left.
        rss_mb: its largest resident memory; `steady_rss_mb` the same when the steady window began.
        queue_max: the most deliveries that awscrt had handed over and the books had not taken yet, likewise.
        arrived, outstanding: deliveries by the end of the window, of posts due at least a second before that; None
            when the window did not end by itself.
        unstopped: clients that did not confirm their disconnecting.
        restless: people of it left and came back.
    """

    stage: Stage = Stage.JOINING
    seconds: Mapping[Stage, float] = field(default_factory=dict)
    cpu: float = 0.0
    lag_ms_p99: float = 0.0
    slip_ms_p99: float = 0.0
    rss_mb: float = 0.0
    steady_rss_mb: float | None = None
    queue_max: int = 0
    arrived: int | None = None
    outstanding: int | None = None
    unstopped: int = 0
    restless: bool = False
