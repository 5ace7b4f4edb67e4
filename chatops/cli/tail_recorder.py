"""Writing what a tail shows to a file that can be replayed."""

import os
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from pathlib import Path
from types import TracebackType
from typing import Self

from chatops.chat.recordings import header_line, is_header
from chatops.errors import ConfigurationError
from chatops.files import check_regular

_LONGEST_HEADER = 64 * 1024


class Recorder:
    """Appends lines; a file that has reached its size gets a number, and a new one is begun.

    `chat.jsonl` is the one being written, `chat.1.jsonl` the oldest. Each call of `write` is one system call, so that
    a crash cuts the last line at most.

    Args:
        path: the file; one that is there is continued when it is a recording.
        most_bytes: the size at which the next file is begun.

    Raises:
        ConfigurationError: it cannot be written, or is something else.
    """

    def __init__(self, path: Path, most_bytes: int, rooms: Sequence[str]) -> None:
        self._path = path
        self._most = most_bytes
        self._rooms = rooms
        self._handle = -1
        self._size = 0

    def __enter__(self) -> Self:
        self._open()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._close()

    def write(self, lines: Iterable[str]) -> None:
        """Append lines and let them go to the file at once.

        Raises:
            ConfigurationError: the disk is full, say.
        """
        part: list[str] = []
        size = 0
        for line in lines:
            if self._size + size + len(line) + 1 > self._most and self._size + size > _LONGEST_HEADER_SHARE:
                self._append(part)
                self._rotate()
                part, size = [], 0
            part.append(line)
            size += len(line) + 1
        self._append(part)

    def _open(self) -> None:
        try:
            flags = os.O_RDWR | os.O_APPEND | os.O_CREAT | os.O_NONBLOCK | os.O_CLOEXEC
            self._handle = os.open(self._path, flags, 0o600)
            check_regular(self._handle, self._path)
            self._size = os.fstat(self._handle).st_size
            if not self._size:
                self._append([header_line(self._rooms, datetime.now(UTC))])
                return
            first = os.pread(self._handle, _LONGEST_HEADER, 0).split(b"\n", 1)[0].decode("utf-8", "replace")
            last = os.pread(self._handle, 1, self._size - 1)
        except OSError as error:
            self._close()
            raise self._problem(error) from None
        if not is_header(first):
            self._close()
            raise ConfigurationError(f"{self._path} is there, and is no recording", "choose another name for --record")
        if last != b"\n":
            self._append([""])  # the last run was cut off within a line

    def _append(self, lines: Sequence[str]) -> None:
        data = "".join(f"{line}\n" for line in lines).encode()
        try:
            written = 0
            while written < len(data):
                written += os.write(self._handle, data[written:])
        except OSError as error:
            raise self._problem(error) from None
        self._size += len(data)

    def _rotate(self) -> None:
        self._close()
        number = 1
        while (target := self._path.with_name(f"{self._path.stem}.{number}{self._path.suffix}")).exists():
            number += 1
        try:
            self._path.rename(target)
        except OSError as error:
            raise self._problem(error) from None
        self._open()

    def _close(self) -> None:
        if self._handle >= 0:
            os.close(self._handle)
            self._handle = -1

    def _problem(self, error: OSError) -> ConfigurationError:
        return ConfigurationError(f"{self._path} cannot be written: {error.strerror}", "choose another --record file")


_LONGEST_HEADER_SHARE = 1024
"""A file with no more than this in it is not full, whatever its size may be: each takes one message at least."""
