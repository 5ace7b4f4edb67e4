"""What a tail shows of losses and floods, in each form, and when a watcher acts by itself."""

import datetime as dt
import io
import json
import random
from pathlib import Path

import pytest

from chatops.chat.gaps import Gap
from chatops.chat.line_format import parse_line_format
from chatops.chat.messages import Envelope, Kind, encode
from chatops.chat.recordings import read_lines
from chatops.chat.selection import Selection
from chatops.cli.tail_options import Ends, TailOptions
from chatops.cli.tail_recorder import Recorder
from chatops.cli.tail_view import End, TailView
from chatops.mqtt.endpoint import GatewayAddress
from chatops.mqtt.guests import GuestCredentials
from chatops.mqtt.inbox import Delivery
from chatops.mqtt.login import Login
from chatops.mqtt.watching import Arrived, Connected, Lost, Overrun, Timing
from chatops.render.output import Output

NOW = dt.datetime(2026, 1, 31, 12, 0, tzinfo=dt.UTC)
GAP = Gap(NOW, NOW + dt.timedelta(seconds=5), "gone\x1b[2J")
FLOOD = Overrun(Gap(NOW, NOW + dt.timedelta(seconds=1), "too fast", 1234))


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def options(**changes: object) -> TailOptions:
    usual: dict[str, object] = {
        "filters": ("/chat/#",),
        "exclude": (),
        "wanted": Selection(),
        "share": 1.0,
        "line_format": None,
        "ends": Ends(),
        "record": None,
        "record_bytes": 4096,
        "stats": False,
    }
    return TailOptions(**{**usual, **changes})  # type: ignore[arg-type]


def view_of(stdout: io.StringIO, asked: TailOptions, recorder: Recorder | None = None) -> tuple[TailView, io.StringIO]:
    notes = io.StringIO()
    return TailView(Output(stdout=stdout, stderr=notes, variables={"NO_COLOR": "1"}), asked, recorder), notes


def arrived(*texts: str) -> Arrived:
    def delivery(text: str) -> Delivery:
        said = Envelope("01J", "us-east-1:ada", "Ada", Kind.CHAT, text, NOW)
        return Delivery("/chat/lobby", encode(said), retain=False, at=NOW.timestamp())

    return Arrived([delivery(text) for text in texts])


def test_piped_a_gap_is_a_json_line_between_the_messages() -> None:
    data = io.StringIO()
    view, notes = view_of(data, options())
    view.show(Connected("me"))
    view.show(arrived("before"))
    view.show(Lost("gone\x1b[2J", NOW))
    view.show(Connected("me too", GAP))
    view.show(FLOOD)
    view.show(arrived("after"))
    view.show(Lost("for good", NOW))
    view.close()
    lines = [json.loads(line) for line in data.getvalue().splitlines()]
    assert [line["kind"] for line in lines] == ["chat", "gap", "gap", "chat", "gap"]
    assert [line.get("missed") for line in lines if line["kind"] == "gap"] == [None, 1234, None]
    assert lines[1]["to"] == "2026-01-31T12:00:05.000Z"
    assert lines[-1]["to"] is None
    assert "\x1b" not in data.getvalue() + notes.getvalue()


def test_on_a_terminal_it_is_a_line_for_people() -> None:
    data = Terminal()
    view, _ = view_of(data, options())
    view.show(Connected("me", GAP))
    view.show(FLOOD)
    shown = data.getvalue()
    assert "-- gap" in shown
    assert "1,234 messages are not shown" in shown
    assert "\x1b" not in shown


def test_lines_of_ones_own_are_not_mixed_with_gaps(capsys: pytest.CaptureFixture[str]) -> None:
    data = io.StringIO()
    view, _ = view_of(data, options(line_format=parse_line_format("{text}")))
    view.show(arrived("one"))
    view.show(Connected("me", GAP))
    view.show(arrived("two"))
    assert data.getvalue() == "one\ntwo\n"
    assert "-- gap" in capsys.readouterr().err


def test_counting_ends_within_a_batch_and_gaps_are_recorded(tmp_path: Path) -> None:
    path = tmp_path / "chat.jsonl"
    data = io.StringIO()
    with Recorder(path, 4096, ["/chat/#"]) as recorder:
        view, _ = view_of(data, options(ends=Ends(count=3)), recorder)
        assert view.show(arrived("1", "2")) is None
        view.show(Connected("me", GAP))
        assert view.show(arrived("3", "4")) is End.COUNT
    assert [json.loads(line).get("text") for line in data.getvalue().splitlines()] == ["1", "2", None, "3"]
    found = list(read_lines(path.read_text().splitlines()))
    assert [isinstance(each, Gap) for each in found] == [False, False, True, False]


def test_what_is_excluded_or_not_asked_for_is_not_counted() -> None:
    data = io.StringIO()
    view, notes = view_of(data, options(exclude=("/chat/lobby",), ends=Ends(count=1), stats=True))
    assert view.show(arrived("1", "2")) is None
    assert data.getvalue() == ""
    view.close()
    assert "0 messages in" in notes.getvalue()


def login(expires_at: float) -> Login:
    keys = GuestCredentials("us-east-1:x", "ASIA", "secret", "token", expires_at)
    return Login(GatewayAddress("127.0.0.1", 1, tls=False), "us-east-1", keys, "x", "us-east-1:x")


@pytest.mark.parametrize(
    ("left", "expected"), [(3600.0, 3300.0), (400.0, 200.0), (20.0, 30.0), (-4000.0, 30.0), (1e6, 82_800.0)]
)
def test_a_connection_is_replaced_in_time_whatever_the_clocks_show(left: float, expected: float) -> None:
    assert Timing().renew_in(login(1000.0 + left), 1000.0) == expected


def test_attempts_are_spread_and_at_most_two_seconds_apart_for_two_minutes() -> None:
    random.seed(7)
    delays = [Timing().delay(failures, 60.0) for failures in range(1, 200)]
    assert max(delays) <= 2.0
    assert max(delays) - min(delays) > 1.5
    assert max(Timing().delay(50, 600.0) for _ in range(100)) > 2.0
