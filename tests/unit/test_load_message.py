"""The load test's messages: valid envelopes, readable at a fixed position, refused when they are not ours."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chatops.chat.messages import Envelope, decode
from chatops.load.message import (
    HEADER_BYTES,
    MAX_SENDER,
    MAX_SEQUENCE,
    MIN_MESSAGE_BYTES,
    Composer,
    Header,
    filler,
    marker,
    post_number,
    read_header,
    read_post_number,
)

RUN = "0123abcd"
IDENTITY = "eu-west-1:7b0c8a2e-0000-4000-8000-123456789abc"


def compose(sender: int = 5, sequence: int = 9, size: int = 300, identity: str = IDENTITY) -> bytes:
    composer = Composer(RUN, sender, identity, filler(size))
    return composer.compose(sequence, due_us=1_000_001, sent_us=1_000_777, epoch_s=1_700_000_000.123)


@pytest.mark.parametrize("size", [MIN_MESSAGE_BYTES, 300, 5_000, 128 * 1024])
@pytest.mark.parametrize("sender", [0, 123, MAX_SENDER])
def test_a_message_is_an_envelope_of_the_size_asked_for(size: int, sender: int) -> None:
    payload = compose(sender=sender, size=size)
    assert len(payload) == size
    envelope = json.loads(payload)
    assert envelope["from"] == IDENTITY
    assert envelope["kind"] == "chat"
    assert envelope["sent"] == "2023-11-14T22:13:20.123Z"
    assert set(envelope) == {"load", "id", "from", "name", "kind", "text", "sent"}
    read = decode(payload)
    assert isinstance(read, Envelope)
    assert read.name == f"guest {sender}"
    assert read.sent.isoformat() == "2023-11-14T22:13:20.123000+00:00"


def test_the_longest_identity_still_makes_a_whole_message() -> None:
    payload = compose(size=MIN_MESSAGE_BYTES, identity="ap-northeast-1:" + "f" * 40)
    assert json.loads(payload)["from"].startswith("ap-northeast-1")
    assert read_header(payload[:HEADER_BYTES]) is not None


@given(st.integers(0, MAX_SENDER), st.integers(0, MAX_SEQUENCE), st.integers(0, 2**50), st.integers(0, 2**50))
def test_what_was_written_is_read(sender: int, sequence: int, due_us: int, sent_us: int) -> None:
    payload = Composer(RUN, sender, "x", filler(300)).compose(
        sequence, due_us=due_us, sent_us=sent_us, epoch_s=1_700_000_000.0
    )
    head = payload[:HEADER_BYTES]
    assert read_header(head) == Header(RUN, sender, sequence, due_us, sent_us)
    assert read_post_number(head, marker(RUN)) == post_number(sender, sequence)
    assert read_post_number(head, marker("ffffffff")) == -1


@given(st.binary(max_size=80) | st.binary(max_size=60).map(lambda tail: marker(RUN) + tail))
def test_any_other_bytes_are_not_a_message_and_never_an_error(payload: bytes) -> None:
    number = read_post_number(payload, marker(RUN))
    assert number >= -1
    header = read_header(payload)
    assert header is None or header.sequence <= MAX_SEQUENCE


def test_signs_and_spaces_that_int_would_take_are_no_header() -> None:
    head = bytearray(compose()[:HEADER_BYTES])
    head[20:21] = b"_"
    assert read_header(bytes(head)) is None
    head[20:21] = b"+"
    assert read_header(bytes(head)) is None


def test_counts_beyond_the_header_are_refused() -> None:
    with pytest.raises(OverflowError):
        compose(sequence=MAX_SEQUENCE + 1)
    with pytest.raises(ValueError, match="sender"):
        compose(sender=MAX_SENDER + 1)


def test_ids_differ_and_sort_by_time() -> None:
    composer = Composer(RUN, 1, IDENTITY, filler(300))
    ids = [
        json.loads(composer.compose(n, due_us=0, sent_us=0, epoch_s=1_700_000_000 + n / 10))["id"] for n in range(20)
    ]
    assert ids == sorted(set(ids))
