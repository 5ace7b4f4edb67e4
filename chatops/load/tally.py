"""What the ledger counts, and what it names one by one."""

from dataclasses import dataclass, fields
from enum import StrEnum
from operator import add, attrgetter, sub
from typing import Self


class Kind(StrEnum):
    """How a delivery differed from what was expected."""

    LOST = "lost"
    LATE = "late"
    DUPLICATE = "duplicate"
    REORDERED = "reordered"
    UNEXPECTED = "unexpected"


@dataclass(frozen=True, slots=True)
class Difference:
    """One delivery that went wrong. Receiver and sender are client numbers; -1 when unknown."""

    kind: Kind
    sender: int
    sequence: int
    receiver: int


@dataclass(slots=True)
class Tally:
    """Counts of posts and deliveries; `+=` merges.

    Attributes:
        failed: posts that could not be sent (the sender was offline), were refused, or got no acknowledgement.
        lost_at_disconnect: of the lost, those whose receiver lost its connection within two seconds.
        lost_over_rate: of the lost, those in a second in which their receiver was sent more messages, with its own
            posts, than AWS IoT passes a connection (100/s).
        ambiguous: deliveries that may or may not have been due, since the receiver came or went meanwhile.
        ambiguous_received: of these, those that came.
        unacknowledged_received: deliveries of posts that were never acknowledged.
        missed: deliveries that nobody owed, since their receiver had left and was not back.
        unexpected: deliveries to somebody who was not subscribed, in another room, or of another run.
    """

    due: int = 0
    sent: int = 0
    acknowledged: int = 0
    failed: int = 0
    expected: int = 0
    received: int = 0
    lost: int = 0
    lost_at_disconnect: int = 0
    lost_over_rate: int = 0
    late: int = 0
    duplicate: int = 0
    reordered: int = 0
    ambiguous: int = 0
    ambiguous_received: int = 0
    missed: int = 0
    unacknowledged_received: int = 0
    unexpected: int = 0

    def __iadd__(self, other: Self) -> Self:
        for name in _TALLY_FIELDS:
            setattr(self, name, getattr(self, name) + getattr(other, name))
        return self

    def plus(self, other: "Tally") -> "Tally":
        """The sum of two."""
        return Tally(*map(add, _figures(self), _figures(other)))

    def since(self, earlier: "Tally") -> "Tally":
        """What was counted after `earlier`, an older copy of this."""
        return Tally(*map(sub, _figures(self), _figures(earlier)))


_TALLY_FIELDS = tuple(each.name for each in fields(Tally))
_figures = attrgetter(*_TALLY_FIELDS)
