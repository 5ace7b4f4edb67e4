"""Scenario files: the same data as flags, and the place of whatever is wrong."""

import contextlib
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from chatops.errors import UsageError
from chatops.load.pacing import Arrivals
from chatops.load.profile import Phase, Shape
from chatops.load.scenario import Scenario, Spread
from chatops.load.scenario_file import locate, make_scenario, read_scenario

WHOLE = """
# an evening
clients = 500
rooms = 50
spread = "even"
arrivals = "constant"
posts_per_s = 0.2
message_bytes = 400
silent_share = 0.9
identities = 25

[[phases]]
name = "arriving"
seconds = 20
from = 0
to = 1

[[phases]]
seconds = 40

[churn]
share_per_minute = 0.1
away_s = 3

[storm]
share = 0.3
at_s = 30
back_within_s = 8
"""


def written(tmp_path: Path, text: str) -> Path:
    path = tmp_path / "scenario.toml"
    path.write_text(text, encoding="utf-8")
    return path


def test_a_file_says_all_that_flags_say(tmp_path: Path) -> None:
    scenario = make_scenario(read_scenario(written(tmp_path, WHOLE)))
    assert scenario == Scenario(
        clients=500,
        rooms=50,
        spread=Spread.EVEN,
        arrivals=Arrivals.CONSTANT,
        posts_per_s=0.2,
        message_bytes=400,
        silent_share=0.9,
        identities=25,
        phases=(Phase("arriving", 20.0, 0.0, 1.0), Phase("phase 2", 40.0)),
        churn_per_minute=0.1,
        away_s=3.0,
        storm_share=0.3,
        storm_at_s=30.0,
        storm_back_s=8.0,
    )
    assert scenario.duration_s == 60.0


def test_shapes_can_be_named(tmp_path: Path) -> None:
    values = read_scenario(written(tmp_path, 'shape = "spike"\nspike_factor = 3'))
    assert make_scenario(values).shape is Shape.SPIKE


@pytest.mark.parametrize(
    ("text", "line", "column", "words"),
    [
        ("clients = 5\nclientz = 5\n", 2, 1, "clients"),
        ("clients = 5\n  romms = 2\n", 2, 3, "rooms"),
        ("clients = 5.5\n", 1, 1, "whole number"),
        ("clients = true\n", 1, 1, "whole number"),
        ('posts_per_s = "fast"\n', 1, 1, "a number"),
        ('spread = "wide"\n', 1, 1, "zipf, even, one"),
        ("[churn]\nshare = 0.1\n", 2, 1, "share_per_minute"),
        ("churn = 3\n", 1, 1, "[churn]"),
        ("phases = 3\n", 1, 1, "[[phases]]"),
        ("[[phases]]\nseconds = 1\n[[phases]]\nsecs = 2\n", 4, 1, "seconds"),
        ("[[phases]]\nseconds = 1\n\n[[phases]]\nrate = 2\n", 4, 2, "no length"),
        ("[storms]\nshare = 1\n", 1, 1, "storm"),
        ("clients = 1e30\n", 1, 1, "whole number"),
        ("posts_per_s = 1e30\n", 1, 1, "bounds"),
        ("total_posts_per_s = 5\nposts_per_s = 1\n", 1, 1, "beside posts_per_s"),
        ("duration_s = 5\n[[phases]]\nseconds = 1\n", 1, 1, "beside phases"),
        ('shape = "ramp"\n[[phases]]\nseconds = 1\n', 1, 1, "beside phases"),
        ("[[phases]]\nseconds = 1\n[[phases]]\nseconds = 1\nrate = 1\n  from = 2\n", 6, 3, "beside rate"),
        ("[[phases]]\nseconds = 1\nto = 2\nrate = 1\n", 3, 1, "beside rate"),
    ],
)
def test_what_is_wrong_is_shown_with_its_place(tmp_path: Path, text: str, line: int, column: int, words: str) -> None:
    with pytest.raises(UsageError) as caught:
        read_scenario(written(tmp_path, text))
    assert f"line {line}, column {column}" in caught.value.problem
    assert words in f"{caught.value.problem}; {caught.value.remedy}"


@pytest.mark.parametrize("text", ["clients = ", "clients == 3", "[", "a" * 100, "\x00", "clients = 5\nclients = 6"])
def test_what_is_no_toml_is_refused_with_its_place(tmp_path: Path, text: str) -> None:
    with pytest.raises(UsageError) as caught:
        read_scenario(written(tmp_path, text))
    assert "(at " in caught.value.problem


def test_a_byte_order_mark_is_no_part_of_a_scenario(tmp_path: Path) -> None:
    (tmp_path / "evening.toml").write_bytes(b"\xef\xbb\xbfclients = 5\r\nclientz = 5\r\n")
    with pytest.raises(UsageError, match="line 2, column 1"):
        read_scenario(tmp_path / "evening.toml")
    (tmp_path / "evening.toml").write_bytes(b"\xef\xbb\xbfclients = 5\r\n")
    assert read_scenario(tmp_path / "evening.toml") == {"clients": 5}


def test_files_that_cannot_be_read_are_refused(tmp_path: Path) -> None:
    for path in (tmp_path / "none.toml", tmp_path):
        with pytest.raises(UsageError):
            read_scenario(path)
    (tmp_path / "binary.toml").write_bytes(b"\xff\xfe\x00")
    (tmp_path / "large.toml").write_bytes(b"#" * (1024 * 1024 + 1))
    for name in ("binary.toml", "large.toml"):
        with pytest.raises(UsageError):
            read_scenario(tmp_path / name)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.text(alphabet='abclients=[]"#.\n 0123phases', max_size=80))
def test_no_file_does_more_than_be_refused(tmp_path: Path, text: str) -> None:
    with contextlib.suppress(UsageError):
        make_scenario(read_scenario(written(tmp_path, text)))


def test_a_key_that_is_not_found_is_located_at_its_table() -> None:
    assert locate("a = 1\n[storm]\nb = 2\n", ("storm", "c")) == (2, 1)
    assert locate("a = 1\n", ("z",)) == (1, 1)
