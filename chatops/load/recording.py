"""A run on disk: `run.json` for its figures, and `events`, a compact columnar file of everything that happened.

`events` begins with a line that names the format. Then come blocks, each a header of four little-endian numbers (kind
u8, rows u32, bytes u32, compressed bytes u32) and its columns one after another, compressed with zlib. Times are
microseconds since the start of the load; a post's number is sender * 2^24 + sequence.

    kind 1, posts         number u64, room u32, window u8, due i64, sent i64
    kind 2, answers       number u64, at i64, acknowledged u8
    kind 3, deliveries    number u64, receiver u32, at i64
    kind 4, differences   kind u8 (see KINDS), number i64 (-1: of no post), receiver u32

A run of several processes has such a file of each, `events-0`, `events-1` and so on; their times count from the same
instant.

A thread of its own compresses and writes, so that the measurement does not wait for the disk. A disk that fills up
ends the recording, not the run.
"""

import queue
import struct
import sys
import threading
import zlib
from array import array
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from chatops.errors import UsageError
from chatops.files import open_regular
from chatops.load.message import post_number
from chatops.load.tally import Difference, Kind

POSTS, ANSWERS, DELIVERIES, DIFFERENCES = 1, 2, 3, 4
COLUMNS: dict[int, tuple[tuple[str, str], ...]] = {
    POSTS: (("number", "Q"), ("room", "I"), ("window", "B"), ("due", "q"), ("sent", "q")),
    ANSWERS: (("number", "Q"), ("at", "q"), ("acknowledged", "B")),
    DELIVERIES: (("number", "Q"), ("receiver", "I"), ("at", "q")),
    DIFFERENCES: (("kind", "B"), ("number", "q"), ("receiver", "I")),
}
KINDS = tuple(Kind)
"""What a difference's kind means, by its number."""

EVENTS = "events"
MAGIC = b"chatops events 1\n"
MOST_ROWS = 1 << 20
_HEADER = struct.Struct("<BIII")
_QUEUED_BLOCKS = 64
_LEVEL = 1

Columns = tuple["array[int]", ...]


class Recorder:
    """Writes the events of a run.

    The columns are open to whoever records: `deliveries` is hot, and a method call for each would be felt.

    Args:
        path: the file to write; made anew.
        most_bytes: how large the file may become, None for no limit; differences are written in any case.

    Attributes:
        zero_us: the monotonic time that events count from, set when the load starts.
    """

    def __init__(self, path: Path, *, most_bytes: int | None = None) -> None:
        self.zero_us = 0
        self.problem: str | None = None
        self.rows: dict[int, int] = dict.fromkeys(COLUMNS, 0)
        self._path = path
        self._left = most_bytes
        self._full = False
        self._columns: dict[int, Columns] = {kind: _empty(kind) for kind in COLUMNS}
        self._queue: queue.Queue[tuple[int, Columns] | None] = queue.Queue(_QUEUED_BLOCKS)
        self._file = path.open("wb")
        self._file.write(MAGIC)
        self._thread = threading.Thread(target=self._write_all, name="chatops-recorder", daemon=True)
        self._thread.start()

    @property
    def deliveries(self) -> Columns:
        """Where deliveries go: number, receiver, monotonic microseconds. Ask again after each `flush`."""
        return self._columns[DELIVERIES]

    def post(self, sender: int, sequence: int, room: int, window: int, due_us: int, sent_us: int) -> None:
        """Record a post."""
        numbers, rooms, windows, dues, sents = self._columns[POSTS]
        numbers.append(post_number(sender, sequence))
        rooms.append(room)
        windows.append(window)
        dues.append(due_us)
        sents.append(sent_us)

    def answer(self, number: int, at_us: int, *, acknowledged: bool) -> None:
        """Record an acknowledgement or a failure."""
        numbers, times, outcomes = self._columns[ANSWERS]
        numbers.append(number)
        times.append(at_us)
        outcomes.append(acknowledged)

    def differences(self, differences: Iterable[Difference]) -> None:
        """Record what went wrong, one by one."""
        kinds, numbers, receivers = self._columns[DIFFERENCES]
        for each in differences:
            kinds.append(KINDS.index(each.kind))
            numbers.append(post_number(each.sender, each.sequence) if each.sender >= 0 else -1)
            receivers.append(each.receiver)

    def flush(self) -> None:
        """Hand over what has gathered; about once a second."""
        for kind, columns in self._columns.items():
            if columns[0]:
                self._columns[kind] = _empty(kind)
                self._hand_over(kind, columns)

    def close(self) -> "Recorded":
        """Write everything out and end."""
        self.flush()
        self._queue.put(None)
        self._thread.join()
        try:
            self._file.close()
        except OSError as error:
            self.problem = self.problem or f"{error.strerror}"
        return Recorded(self._path.name, dict(self.rows), self.problem)

    def _hand_over(self, kind: int, columns: Columns) -> None:
        for start in range(0, len(columns[0]), MOST_ROWS):
            portion = tuple(column[start : start + MOST_ROWS] for column in columns)
            try:
                self._queue.put_nowait((kind, portion))
            except queue.Full:
                self.problem = self.problem or "the disk is too slow"

    def _write_all(self) -> None:
        while (item := self._queue.get()) is not None:
            kind, columns = item
            if self.problem is not None and not (self._full and kind == DIFFERENCES):
                continue
            packed = _packed(kind, columns, self.zero_us)
            if self._left is not None and kind != DIFFERENCES:
                self._left -= len(packed)
                if self._left < 0:
                    self._full = True
                    self.problem = "its later part was left out, since no more may be brought from another machine"
                    continue
            try:
                self._file.write(packed)
                self.rows[kind] += len(columns[0])
            except OSError as error:
                self.problem, self._full = f"{error.strerror}", False


@dataclass(frozen=True, slots=True)
class Recorded:
    """A file of events: its name, how many rows of each kind it has, and what is missing in it."""

    file: str
    rows: Mapping[int, int]
    problem: str | None = None


@dataclass(frozen=True, slots=True)
class Block:
    """Rows of one kind; `columns` by name."""

    kind: int
    columns: "dict[str, array[int]]"


def read_events(path: Path) -> Iterator[Block]:
    """Read a recording's events, block by block.

    Raises:
        UsageError: the file cannot be read, is no such file, or is damaged.
    """
    try:
        with open_regular(path) as file:
            if file.read(len(MAGIC)) != MAGIC:
                raise UsageError(f"{path} holds no events that this version reads", "check the path")
            while header := file.read(_HEADER.size):
                if len(header) < _HEADER.size:
                    raise _damaged(path)
                kind, rows, size, packed_size = _HEADER.unpack(header)
                if kind not in COLUMNS or not 0 < rows <= MOST_ROWS or size != rows * _row_bytes(kind):
                    raise _damaged(path)
                if packed_size > _most_packed(size):
                    raise _damaged(path)
                yield Block(kind, _unpacked(kind, rows, file.read(packed_size), size, path))
    except OSError as error:
        raise UsageError(f"{path} cannot be read: {error.strerror}", "check the path") from None


def events_files(folder: Path) -> list[Path]:
    """The files of events in a run's folder: one, or one of each process."""
    several = sorted(folder.glob(f"{EVENTS}-*"), key=lambda file: (len(file.name), file.name))
    return several or [folder / EVENTS]


def _packed(kind: int, columns: Columns, zero_us: int) -> bytes:
    parts = []
    for (name, code), column in zip(COLUMNS[kind], columns, strict=True):
        timed = name in {"due", "sent", "at"}
        values = array(code, (value - zero_us for value in column)) if timed else column
        if sys.byteorder == "big":
            values = values[:]
            values.byteswap()
        parts.append(values.tobytes())
    raw = b"".join(parts)
    packed = zlib.compress(raw, _LEVEL)
    return _HEADER.pack(kind, len(columns[0]), len(raw), len(packed)) + packed


def _unpacked(kind: int, rows: int, packed: bytes, size: int, path: Path) -> "dict[str, array[int]]":
    unpack = zlib.decompressobj()
    try:
        raw = unpack.decompress(packed, size)
    except zlib.error:
        raise _damaged(path) from None
    if len(raw) != size or not unpack.eof:
        raise _damaged(path)
    found: dict[str, array[int]] = {}
    position = 0
    for name, code in COLUMNS[kind]:
        column = array(code)
        end = position + rows * column.itemsize
        column.frombytes(raw[position:end])
        if sys.byteorder == "big":
            column.byteswap()
        found[name] = column
        position = end
    return found


def _most_packed(size: int) -> int:
    """The most that zlib makes of so many bytes (its compressBound)."""
    return size + (size >> 12) + (size >> 14) + (size >> 25) + 13


def _row_bytes(kind: int) -> int:
    return sum(array(code).itemsize for _, code in COLUMNS[kind])


def _empty(kind: int) -> Columns:
    return tuple(array(code) for _, code in COLUMNS[kind])


def _damaged(path: Path) -> UsageError:
    return UsageError(f"{path} is damaged", "the run may have been killed while it wrote; `run.json` has its figures")
