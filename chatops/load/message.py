"""The load test's message: a valid chat envelope with the ledger's data at a fixed position.

    {"load":"<run 8><sender 6><sequence 6><due 13><sent 13>","id":…,"from":…,"name":…,"kind":"chat","text":…,"sent":…}

The numbers are hexadecimal and the times microseconds of the sender's monotonic clock. A receiver compares the first
17 bytes and reads the post's number from the next 12; it parses no JSON. Page and
tail show such a message as any other.
"""

import json
from dataclasses import dataclass
from datetime import UTC, datetime

MAX_SENDER = 0xFF_FFFF
MAX_SEQUENCE = 0xFF_FFFF
MIN_MESSAGE_BYTES = 256
HEADER_BYTES = 56
"""How much of a payload a receiver needs to keep."""

_MARKER = b'{"load":"'
_RUN_END = len(_MARKER) + 8
_POST_END = _RUN_END + 12
_DUE_END = _POST_END + 13
_SENT_END = _DUE_END + 13
_WORDS = b"the quick brown fox jumps over the lazy dog "
_BEFORE_TIME = b'","sent":"'
_END = b'"}'


@dataclass(frozen=True, slots=True)
class Header:
    """What a message says about its post. Times are in microseconds of the sender's monotonic clock."""

    run: str
    sender: int
    sequence: int
    due_us: int
    sent_us: int


def post_number(sender: int, sequence: int) -> int:
    """One number for a post: sender and sequence."""
    return sender << 24 | sequence


def marker(run: str) -> bytes:
    """The bytes with which all messages of a run begin."""
    return _MARKER + run.encode("ascii")


def read_post_number(head: bytes, beginning: bytes) -> int:
    """The post's number in the beginning of a payload; -1 when the payload is not of this run."""
    if head[:_RUN_END] != beginning or len(head) < HEADER_BYTES:
        return -1
    try:
        return int(head[_RUN_END:_POST_END], 16)
    except ValueError:
        return -1


def read_header(head: bytes) -> Header | None:
    """Read all of a header; None when the payload is no load-test message."""
    if len(head) < HEADER_BYTES or not head.startswith(_MARKER) or head[_SENT_END : _SENT_END + 1] != b'"':
        return None
    digits = head[_RUN_END:_SENT_END]
    if not digits.isalnum():
        return None
    try:
        number = int(digits[:12], 16)
        due_us, sent_us = int(digits[12:25], 16), int(digits[25:], 16)
        run = head[len(_MARKER) : _RUN_END].decode("ascii")
    except ValueError:
        return None
    return Header(run, number >> 24, number & MAX_SEQUENCE, due_us, sent_us)


def filler(size: int) -> bytes:
    """Text of that many bytes."""
    return (_WORDS * (size // len(_WORDS) + 1))[:size]


class Composer:
    """Writes one sender's messages, all of the same size.

    Args:
        run: eight hexadecimal digits.
        sender: the client's number, at most `MAX_SENDER`.
        identity: the envelope's `from`.
        text: as many bytes as a whole payload has, from `filler`; all senders share them. A long identity may make
            the smallest payloads a little larger.
    """

    __slots__ = ("_before", "_middle", "_sender", "_text")

    def __init__(self, run: str, sender: int, identity: str, text: bytes) -> None:
        if not 0 <= sender <= MAX_SENDER:
            raise ValueError(f"sender {sender} does not fit the header")
        self._before = marker(run) + f"{sender:06x}".encode()
        self._sender = f"{sender:06x}"
        quoted = json.dumps(identity)
        self._middle = f'","from":{quoted},"name":"guest {sender}","kind":"chat","text":"'.encode()
        fixed = HEADER_BYTES + len(',"id":"') + 23 + len(self._middle) + len(_BEFORE_TIME) + 24 + len(_END)
        self._text = memoryview(text)[: max(0, len(text) - fixed)]

    def compose(self, sequence: int, *, due_us: int, sent_us: int, epoch_s: float) -> bytes:
        """Write one message; `epoch_s` is the wall-clock time of sending for the envelope.

        Raises:
            OverflowError: the sender has posted more often than the header can count (16.7 million times).
        """
        if sequence > MAX_SEQUENCE:
            raise OverflowError(f"sequence {sequence} does not fit the header")
        head = (
            f'{sequence:06x}{due_us:013x}{sent_us:013x}","id":"{int(epoch_s * 1000):011x}{self._sender}{sequence:06x}'
        )
        written = datetime.fromtimestamp(epoch_s, UTC).isoformat(timespec="milliseconds")[:23] + "Z"
        return b"".join((self._before, head.encode(), self._middle, self._text, _BEFORE_TIME, written.encode(), _END))
