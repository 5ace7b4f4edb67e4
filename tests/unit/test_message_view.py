import datetime as dt
import io
import json
import unicodedata

from hypothesis import given
from hypothesis import strategies as st

from chatops.chat.messages import Envelope, Kind, encode
from chatops.mqtt.connection import Delivery
from chatops.render.messages import json_line, message_record, terminal_line
from chatops.render.output import Output

NOW = dt.datetime(2026, 1, 31, 23, 59, 59, 123_456, tzinfo=dt.UTC)
PLAIN = Output(stdout=io.StringIO(), stderr=io.StringIO(), variables={})


def envelope(**changes: object) -> bytes:
    fields: dict[str, object] = {
        "id": "01J",
        "sender": "us-east-1:4f2a9c11-0000-4000-8000-000000000000",
        "name": "Ada",
        "kind": Kind.CHAT,
        "text": "hello",
        "sent": NOW,
    }
    return encode(Envelope(**{**fields, **changes}))  # type: ignore[arg-type]


def record(payload: bytes, topic: str = "/chat/lobby") -> dict[str, object]:
    return message_record(Delivery(topic, payload, retain=False), NOW)


def line(payload: bytes) -> str:
    return terminal_line(PLAIN, record(payload), several_rooms=False)


def test_an_envelope() -> None:
    found = record(envelope())
    assert found["received"] == found["sent"] == "2026-01-31T23:59:59.123Z"
    assert (found["name"], found["kind"], found["text"], found["encoding"]) == ("Ada", "chat", "hello", "envelope")
    assert line(envelope()).endswith("Ada (4f2a9c): hello")


def test_text_and_binary_are_shown_as_such() -> None:
    assert record(b"hi")["encoding"] == "text"
    assert line(b"hi").endswith(" hi")
    assert record(b"\xff\x00")["text"] == "/wA="
    assert line(b"\xff\x00").endswith("(2 bytes of binary data)")


def test_joins_leaves_and_system_messages_are_told_apart() -> None:
    assert line(envelope(kind=Kind.JOIN)).endswith("Ada (4f2a9c) joined")
    assert line(envelope(kind=Kind.LEAVE)).endswith("Ada (4f2a9c) left")
    assert " * Ada (4f2a9c) hello" in line(envelope(kind=Kind.SYSTEM))


HOSTILE = st.text(st.characters(exclude_categories=["Cs"]), max_size=60) | st.sampled_from(
    ["\x1b[2J", "\x9b31m", "a\u202eb", "a\r\nb", "\u2028", "[red]x[/]", "<script>", "\x07", "\x00"]
)


def hostile_characters(shown: str) -> list[str]:
    """Controls, formats (but the joiner within an emoji), separators of lines, surrogates."""
    joiner = "\u200d"
    return [c for c in shown if c != joiner and unicodedata.category(c) in {"Cc", "Cf", "Cs", "Zl", "Zp"}]


@given(HOSTILE, HOSTILE, HOSTILE, st.sampled_from(list(Kind)))
def test_no_control_character_gets_through_on_any_output(name: str, text: str, sender: str, kind: Kind) -> None:
    payload = envelope(name=name, text=text, sender=sender, kind=kind)
    found = record(payload, topic="/chat/\x1b[31m")
    shown = terminal_line(PLAIN, found, several_rooms=True)
    assert not hostile_characters(shown)
    printed = json_line(found)
    assert printed.isascii()
    assert printed.isprintable()
    assert json.loads(printed)["text"] == found["text"]


@given(st.binary(max_size=200))
def test_no_bytes_crash_the_view(payload: bytes) -> None:
    shown = line(payload)
    assert "\n" not in shown
    assert "\x1b" not in shown
    assert json_line(record(payload)).isprintable()
