"""Any payload can be read, an envelope survives the way there and back, and ids sort."""

import json
from dataclasses import replace
from datetime import UTC, datetime, timedelta, timezone
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chatops.chat.messages import (
    Binary,
    Envelope,
    Kind,
    MessageIds,
    PlainText,
    decode,
    encode,
    format_time,
    guest_sender,
    parse_time,
)

FIELDS: dict[str, Any] = {
    "id": "01JZ0000000000000000000000",
    "from": "eu-west-1:1",
    "name": "Ada",
    "kind": "chat",
    "text": "hello",
    "sent": "2026-01-31T23:59:59.123Z",
}
ENVELOPE = Envelope(
    "01JZ0000000000000000000000",
    "eu-west-1:1",
    "Ada",
    Kind.CHAT,
    "hello",
    datetime(2026, 1, 31, 23, 59, 59, 123_000, UTC),
)

TEXT = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"))
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | TEXT,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXT, inner, max_size=3),
    max_leaves=10,
)
ENVELOPES = st.builds(
    Envelope,
    id=TEXT.filter(bool),
    sender=TEXT,
    name=TEXT,
    kind=st.sampled_from(Kind),
    text=TEXT,
    sent=st.integers(min_value=-62_000_000_000_000, max_value=250_000_000_000_000).map(
        lambda milliseconds: datetime(1970, 1, 1, tzinfo=UTC) + timedelta(milliseconds=milliseconds)
    ),
    extra=st.dictionaries(TEXT.filter(lambda key: key not in FIELDS), JSON, max_size=3),
)


def payload(**changes: Any) -> bytes:
    return json.dumps({k: v for k, v in (FIELDS | changes).items() if v is not ...}).encode()


class TestEncode:
    def test_keys_order_and_form(self) -> None:
        expected = (
            '{"id":"01JZ0000000000000000000000","from":"eu-west-1:1","name":"Ada","kind":"chat",'
            '"text":"hello","sent":"2026-01-31T23:59:59.123Z"}'
        )
        assert encode(ENVELOPE) == expected.encode()

    @given(ENVELOPES)
    def test_there_and_back(self, envelope: Envelope) -> None:
        assert decode(encode(envelope)) == envelope

    def test_lone_surrogates_become_replacement_characters(self) -> None:
        odd = Envelope("1", "a", "b", Kind.CHAT, "x\ud800y\udc80 😀", ENVELOPE.sent)
        decoded = decode(encode(odd))
        assert isinstance(decoded, Envelope)
        assert decoded.text == "x\ufffdy\ufffd 😀"

    def test_what_json_cannot_hold(self) -> None:
        for value, error in ((float("nan"), ValueError), (float("inf"), ValueError), (object(), TypeError)):
            with pytest.raises(error):
                encode(Envelope("1", "a", "b", Kind.CHAT, "", ENVELOPE.sent, {"x": value}))

    @pytest.mark.parametrize(
        ("changes", "says"),
        [
            ({"id": ""}, "needs an id"),
            ({"sent": datetime(2026, 1, 1)}, "time zone"),  # noqa: DTZ001
            ({"extra": {"text": "x"}}, "key of the envelope"),
        ],
    )
    def test_an_envelope_cannot_be_made_wrong(self, changes: dict[str, Any], says: str) -> None:
        with pytest.raises(ValueError, match=says):
            replace(ENVELOPE, **changes)

    def test_envelopes_can_be_put_in_sets(self) -> None:
        assert len({ENVELOPE, decode(payload()), decode(payload(x=[1]))}) == 2


class TestDecode:
    def test_an_envelope(self) -> None:
        assert decode(payload()) == ENVELOPE
        assert decode(b" \r\n\t" + payload() + b"\n") == ENVELOPE

    @pytest.mark.parametrize("kind", list(Kind))
    def test_kinds(self, kind: Kind) -> None:
        decoded = decode(payload(kind=kind.value))
        assert isinstance(decoded, Envelope)
        assert decoded.kind is kind

    def test_unknown_keys_are_kept(self) -> None:
        extra = {"replyTo": "x", "n": [1, 2.5, None, True, {"a": "é"}], "": ""}
        decoded = decode(payload(**extra))
        assert isinstance(decoded, Envelope)
        assert dict(decoded.extra) == extra
        assert json.loads(encode(decoded)) == FIELDS | extra

    def test_extra_cannot_be_changed_behind_the_envelopes_back(self) -> None:
        decoded = decode(payload(x=1))
        assert isinstance(decoded, Envelope)
        with pytest.raises(TypeError):
            decoded.extra["x"] = 2  # type: ignore[index]

    @pytest.mark.parametrize("key", list(FIELDS))
    @pytest.mark.parametrize("value", [..., None, 1, 1.5, True, [], {}, ["x"], {"x": "y"}])
    def test_missing_and_wrong_types_are_plain_text(self, key: str, value: object) -> None:
        raw = payload(**{key: value})
        assert decode(raw) == PlainText(raw.decode())

    @pytest.mark.parametrize(
        "changes",
        [
            {"id": ""},
            {"kind": "CHAT"},
            {"kind": "shout"},
            {"sent": ""},
            {"sent": "yesterday"},
            {"sent": "2026-01-31"},
            {"sent": "2026-01-31T23:59:59"},
            {"sent": "2026-02-30T00:00:00Z"},
            {"sent": "2026-01-31T23:59:60Z"},
            {"sent": "2026-01-31T24:00:00Z"},
            {"sent": "20260131T235959Z"},
            {"sent": "2026-W05-6T00:00:00Z"},
            {"sent": "2026-01-31T23:59:59.123Z\n"},
            {"sent": "0001-01-01T00:00:00+23:59"},
            {"sent": "9999-12-31T23:59:59-23:59"},
            {"sent": "٢٠٢٦-01-31T23:59:59Z"},
            {"text": "\ud800"},
            {"x": "\udfff"},
            {"\ud800": 1},
        ],
    )
    def test_wrong_values_are_plain_text(self, changes: dict[str, Any]) -> None:
        raw = payload(**changes)
        assert decode(raw) == PlainText(raw.decode())

    @pytest.mark.parametrize(
        "text",
        [
            "",
            " ",
            "hello",
            "{",
            "{}",
            "[]",
            "null",
            '"text"',
            "NaN",
            "\ufeff" + json.dumps(FIELDS),
            json.dumps(FIELDS) + "x",
            json.dumps(FIELDS) * 2,
            json.dumps(FIELDS)[:-1] + ',"text":"again"}',
            json.dumps(FIELDS)[:-1] + ',"x":{"a":1,"a":2}}',
            json.dumps(FIELDS)[:-1] + ',"x":NaN}',
            json.dumps(FIELDS)[:-1] + ',"x":-Infinity}',
            json.dumps(FIELDS)[:-1] + ',"x":1e999}',
            json.dumps(FIELDS)[:-1] + ',"x":' + "9" * 100_000 + "}",
            json.dumps(FIELDS)[:-1] + ',"x":' + "[" * 33 + "]" * 33 + "}",
            json.dumps(FIELDS)[:-1] + ',"x":' + "[" * 60_000 + "]" * 60_000 + "}",
            "[" * 130_000,
            '{"a":' * 20_000,
            "{" * 130_000,
            "\x1b[2J",
        ],
    )
    def test_other_text_is_plain_text(self, text: str) -> None:
        assert decode(text.encode()) == PlainText(text)

    def test_nesting_within_reason_is_kept(self) -> None:
        nested: Any = "x"
        for _ in range(30):
            nested = [nested]
        decoded = decode(payload(x=nested))
        assert isinstance(decoded, Envelope)
        assert decoded.extra["x"] == nested

    @pytest.mark.parametrize(
        "raw", [b"\xff", b"\x00", b"text\x00", b"\xed\xa0\x80", b"\xc0\x80", b"\xf4\x90\x80\x80", bytes(range(256))]
    )
    def test_binary(self, raw: bytes) -> None:
        assert decode(raw) == Binary(raw)

    @given(st.binary())
    def test_any_bytes(self, raw: bytes) -> None:
        decoded = decode(raw)
        if isinstance(decoded, Binary):
            assert decoded.payload == raw
        else:
            assert isinstance(decoded, PlainText)
            assert decoded.text.encode() == raw

    @given(st.dictionaries(st.sampled_from([*FIELDS, "x"]), JSON | st.sampled_from(list(FIELDS.values()))))
    def test_any_object(self, fields: dict[str, Any]) -> None:
        raw = json.dumps(FIELDS | fields).encode()
        decoded = decode(raw)
        if isinstance(decoded, Envelope):
            assert format_time(decoded.sent) == json.loads(encode(decoded))["sent"]
            assert dict(decoded.extra).keys() <= {"x"}
        else:
            assert decoded == PlainText(raw.decode())


class TestTime:
    @pytest.mark.parametrize(
        ("text", "seconds"),
        [
            ("1970-01-01T00:00:01.500Z", 1.5),
            ("1970-01-01t00:00:00z", 0.0),
            ("1970-01-01 02:00:00.1+02:00", 0.1),
            ("1970-01-01T00:00:00.123456789-00:30", 1800.123456),
        ],
    )
    def test_forms(self, text: str, seconds: float) -> None:
        moment = parse_time(text)
        assert moment is not None
        assert moment.timestamp() == seconds
        assert moment.tzinfo is UTC

    @pytest.mark.parametrize(
        ("moment", "text"),
        [
            (datetime(1970, 1, 1, tzinfo=UTC), "1970-01-01T00:00:00.000Z"),
            (datetime(2026, 1, 31, 23, 59, 59, 999_900, UTC), "2026-01-31T23:59:59.999Z"),
            (datetime(2026, 1, 1, tzinfo=timezone(timedelta(hours=5, minutes=30))), "2025-12-31T18:30:00.000Z"),
        ],
    )
    def test_written(self, moment: datetime, text: str) -> None:
        assert format_time(moment) == text

    def test_a_time_without_a_zone_is_not_guessed_at(self) -> None:
        with pytest.raises(ValueError, match="time zone"):
            format_time(datetime(2026, 1, 1))  # noqa: DTZ001

    @given(st.text(max_size=40))
    def test_any_text(self, text: str) -> None:
        assert parse_time(text) is None or text[:4].isdigit()


class TestIds:
    def test_form(self) -> None:
        one = MessageIds(lambda: 0.0, lambda _: 0).new()
        assert one == "0" * 26
        most = MessageIds(lambda: (2**48 - 1) / 1000, lambda bits: 2**bits - 1).new()
        assert most == "7" + "Z" * 25
        # The time of this instant in the first ten characters, as the ULID specification's own example has it.
        assert MessageIds(lambda: 1469918176.385, lambda _: 0).new() == "01ARYZ6S41" + "0" * 16

    def test_real_ones_are_unique_and_sorted(self) -> None:
        ids = MessageIds()
        made = [ids.new() for _ in range(5_000)]
        assert made == sorted(made)
        assert len(set(made)) == len(made)
        assert all(len(one) == 26 and set(one) <= set("0123456789ABCDEFGHJKMNPQRSTVWXYZ") for one in made)
        assert MessageIds().new() != MessageIds().new()

    @given(
        times=st.lists(st.floats(min_value=0, max_value=2e9), min_size=1, max_size=20),
        chances=st.sampled_from([0, 1, 2**80 - 1, 2**79]),
    )
    def test_monotonic_whatever_the_clock_does(self, times: list[float], chances: int) -> None:
        clock = iter(times)
        ids = MessageIds(lambda: next(clock), lambda _: chances)
        made = [ids.new() for _ in times]
        assert made == sorted(set(made))

    def test_when_chance_runs_out_time_moves_on(self) -> None:
        ids = MessageIds(lambda: 1.0, lambda bits: 2**bits - 1)
        first, second = ids.new(), ids.new()
        assert second > first
        assert second[10:] == "0" * 16

    @pytest.mark.parametrize("now", [-1.0, 2**48 / 1000, 1e300])
    def test_a_clock_that_is_off_by_ages(self, now: float) -> None:
        with pytest.raises(OverflowError):
            MessageIds(lambda: now).new()


def test_what_a_guest_is_called_tells_nobody_its_identity() -> None:
    identity = "us-east-1:7b0cb1f2-1111-4222-8333-444455556666"
    name = guest_sender(identity)
    assert name == guest_sender(identity) != guest_sender(identity + "0")
    assert name.startswith("guest-")
    assert "7b0c" not in name
