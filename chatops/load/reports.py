"""What the processes of a run tell one another about posts: when each was due, left, and how it ended.

A post's receivers may sit in another process, which owes it nothing to them before it knows that the post was
acknowledged. So each process reports its posts to those that have receivers in the room: 32 bytes a post, however many
deliveries it has.
"""

from array import array
from collections import deque
from collections.abc import Iterator, Mapping

from chatops.load.attendance import Post
from chatops.load.scenario import Scenario
from chatops.load.share import Share

_FIELDS = 4
MOST_BYTES = 1 << 24
"""More than any process reports at a time."""


class Reports:
    """One process's reports, going out and coming in.

    A report is four 64-bit numbers: the post's number, when it was due, when it left, and when it was acknowledged, or
    when it failed, as a negative number. Times are microseconds of the run's common clock.
    """

    def __init__(self, share: Share, scenario: Scenario) -> None:
        self._elsewhere = () if share.alone else share.elsewhere(scenario.room_of, scenario.room_count)
        self._out: dict[int, array[int]] = {}
        self._in: deque[array[int]] = deque()
        self._read = 0

    def answered(self, post: Post, at_us: int, *, acknowledged: bool) -> None:
        """Report a post of this process that was acknowledged or has failed."""
        if not self._elsewhere:
            return
        ended = at_us if acknowledged else -at_us
        for process in self._elsewhere[post.room.index]:
            column = self._out.get(process)
            if column is None:
                column = self._out[process] = array("q")
            column.extend((post.number, post.due_us, post.sent_us, ended))

    def hand_over(self) -> Mapping[int, bytes]:
        """What has gathered, by the process that it is for."""
        gathered, self._out = self._out, {}
        return {process: column.tobytes() for process, column in gathered.items()}

    def received(self, reports: bytes) -> None:
        """Take what another process reported.

        Raises:
            ValueError: it is no such thing.
        """
        column = array("q")
        if len(reports) % (_FIELDS * column.itemsize) or len(reports) > MOST_BYTES:
            raise ValueError(f"{len(reports)} bytes are no reports of posts")
        column.frombytes(reports)
        if column:
            self._in.append(column)

    @property
    def waiting(self) -> bool:
        """Whether there are reports to be taken."""
        return bool(self._in)

    def take(self, most: int) -> Iterator[tuple[int, int, int, int]]:
        """Yield reports, so many at most, in the order in which they came."""
        for _ in range(most):
            if not self._in:
                return
            column, at = self._in[0], self._read
            number, due_us, sent_us, ended = column[at : at + _FIELDS]
            self._read = at + _FIELDS
            if self._read >= len(column):
                self._in.popleft()
                self._read = 0
            yield number, due_us, sent_us, ended
