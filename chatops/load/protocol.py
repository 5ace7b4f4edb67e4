"""What the front of a run and its processes say to one another.

The messages are plain frozen values, fit for pickling. Nothing in them grows with the number of deliveries: counts,
differences in the ledger, and 32 bytes for each post that another process has receivers for.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from chatops.load.recording import Recorded
from chatops.load.replay import Replay
from chatops.load.scenario import Scenario
from chatops.load.share import Share
from chatops.load.target import Target
from chatops.load.totals import Part, Totals

REPORT_S = 1.0
"""A process tells what it has counted this often; its posts more often, see `POSTS_S`."""

POSTS_S = 0.25


@dataclass(frozen=True, slots=True)
class Assignment:
    """What one process has to do. No credentials of the operator are in it: guests need none.

    Attributes:
        run: the eight hexadecimal digits of the run.
        share: its clients.
        known: identities of an earlier run that fall to it, by number.
        events: the file to write down what happens, None for none.
        ahead_ns: how far the common clock is ahead of the process's own.
        events_home: write down what happens in a temporary file of at most so many bytes and bring it to the front;
            for a process that cannot write where the front does.
        punctual: refuse a start that has passed, instead of catching up on it.
    """

    scenario: Scenario
    run: str
    target: Target
    share: Share
    known: Mapping[int, str] = field(default_factory=dict)
    events: Path | None = None
    replay: Replay | None = None
    ahead_ns: int = 0
    events_home: int | None = None
    punctual: bool = False


# From a process to the front.


@dataclass(frozen=True, slots=True)
class Joined:
    """All of its clients that could have joined."""

    joined: int


@dataclass(frozen=True, slots=True)
class Delta:
    """What it counted since the last one, how it goes, and its posts for other processes.

    Attributes:
        number: from 0, without a gap.
        totals: None when only posts are handed over.
    """

    number: int
    part: Part | None = None
    totals: Totals | None = None
    posts: Mapping[int, bytes] | None = None


@dataclass(frozen=True, slots=True)
class Answered:
    """None of its posts is without an answer any more; all of them have been handed over."""


@dataclass(frozen=True, slots=True)
class Finished:
    """It has left; everything was handed over before.

    Attributes:
        error: problem and remedy, when nobody could join or the process failed.
        kind: the class of that error.
    """

    recorded: Recorded | None = None
    kind: str = ""
    error: tuple[str, str] | None = None


FromProcess = Joined | Delta | Answered | Finished


@dataclass(frozen=True, slots=True)
class Piece:
    """A part of the process's file of events, in order; comes before `Finished`, from other machines only."""

    content: bytes


# From the front to a process.


@dataclass(frozen=True, slots=True)
class Begin:
    """The load begins then, in nanoseconds of the common clock; not at all when None."""

    start_ns: int | None


@dataclass(frozen=True, slots=True)
class Posts:
    """How posts of another process ended; see `chatops.load.reports`."""

    reports: bytes


@dataclass(frozen=True, slots=True)
class AllAnswered:
    """No process has a post without an answer any more."""


@dataclass(frozen=True, slots=True)
class Lost:
    """A process is gone; what it sent last may never be reported."""

    process: int


@dataclass(frozen=True, slots=True)
class Stop:
    """End early: drain, tell, leave."""


@dataclass(frozen=True, slots=True)
class Alive:
    """The front is there; said when there is nothing else to say, where silence means that it is gone."""


ToProcess = Begin | Posts | AllAnswered | Lost | Stop | Alive
