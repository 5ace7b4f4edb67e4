"""Reading files that somebody named: regular ones alone, and no more of one than can be meant.

A pipe would be waited for, a device read without end, and the size that the system tells of either is 0.
"""

import errno
import json
import math
import os
import stat
from pathlib import Path
from typing import Any, BinaryIO, NoReturn

MOST_JSON_NUMBER = 1 << 63
"""JSON numbers are kept below this; larger ones do not even become a float."""


class NumberError(ValueError):
    """A JSON document holds what no figure is: NaN, an infinity, or a number out of all bounds."""


def open_regular(path: Path) -> BinaryIO:
    """Open a file for reading.

    Raises:
        OSError: it cannot be opened, or is no regular file; `strerror` is for people.
    """
    handle = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC)  # a pipe must not block
    try:
        check_regular(handle, path)
    except OSError:
        os.close(handle)
        raise
    return os.fdopen(handle, "rb")


def check_regular(handle: int, path: Path) -> None:
    """Make sure that an open file is a regular one.

    Raises:
        OSError: it is a folder, a pipe, a device.
    """
    mode = os.fstat(handle).st_mode
    if stat.S_ISDIR(mode):
        raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR), str(path))
    if not stat.S_ISREG(mode):
        raise OSError(errno.EINVAL, "it is not a regular file", str(path))


def read_bounded(path: Path, most_bytes: int) -> bytes:
    """Read a whole file.

    Raises:
        OSError: it cannot be read, is no regular file, or is larger than `most_bytes`; `strerror` is for people.
    """
    with open_regular(path) as file:
        raw = file.read(most_bytes + 1)
    if len(raw) > most_bytes:
        raise OSError(errno.EFBIG, f"it is larger than {_size(most_bytes)}", str(path))
    return raw


def strict_json(raw: bytes) -> Any:
    """Decode a JSON document that holds finite numbers of a sane size only.

    Raises:
        NumberError: it holds others.
        ValueError: it is not JSON, or not UTF-8.
        RecursionError: it is nested too deeply.
    """
    return json.loads(raw.decode("utf-8"), parse_constant=_refused, parse_float=_float, parse_int=_int)


def _refused(text: str) -> NoReturn:
    raise NumberError(text)


def _float(text: str) -> float:
    value = float(text)
    if not math.isfinite(value):
        _refused(text[:40])
    return value


def _int(text: str) -> int:
    if len(text.lstrip("-")) > len(str(MOST_JSON_NUMBER)) or abs(int(text)) > MOST_JSON_NUMBER:
        _refused(text[:40])
    return int(text)


def _size(count: int) -> str:
    return f"{count >> 20} MiB" if count >= 1 << 20 else f"{count >> 10} KiB"
