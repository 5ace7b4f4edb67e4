"""Placing engines on workers, and telling which workers run something else."""

from collections import Counter
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chatops.load.clocks import Reading
from chatops.load.roll_call import Build, Presence, clocks_of, differing, place, this_build

HERE = Presence.here("tcp://10.0.0.1:1", Reading(5, 3))


@given(st.dictionaries(st.text(min_size=1), st.integers(1, 8), min_size=1, max_size=6), st.data())
def test_no_worker_carries_more_engines_than_it_has_threads(threads: dict[str, int], data: st.DataObject) -> None:
    engines = data.draw(st.integers(1, sum(threads.values())))
    placed = Counter(place(threads, engines))
    assert placed.total() == engines
    assert all(count <= threads[worker] for worker, count in placed.items())
    assert place(threads, engines) == place(dict(reversed(threads.items())), engines)


def test_engines_spread_over_workers_as_these_have_room() -> None:
    assert Counter(place({"a": 8, "b": 8}, 4)) == {"a": 2, "b": 2}
    assert Counter(place({"a": 6, "b": 2}, 4)) == {"a": 3, "b": 1}
    with pytest.raises(ValueError, match="cannot carry 3"):
        place({"a": 2}, 3)


def test_what_an_engine_says_of_itself_survives_the_way() -> None:
    assert Presence.of(HERE.plain()) == HERE
    with pytest.raises((KeyError, TypeError)):
        Presence.of({"worker": "x", "build": {"unknown": 1}})


def test_workers_that_run_something_else_are_named_once() -> None:
    build = this_build()
    others = [
        replace(HERE, worker=f"tcp://10.0.0.{number}:1", build=other)
        for number, other in enumerate(
            (
                replace(build, chatops="99"),
                replace(build, code="00000000"),
                replace(build, python="3.99"),
                build,
                replace(build, chatops="99"),
            )
        )
    ]
    found = differing(build, [HERE, *others, others[0]])
    assert [words.split()[0][-3] for words in found] == ["0", "1", "2", "4"]
    assert "Python 3.99" in found[2]
    assert differing(build, [HERE]) == ()


def test_a_build_is_known_by_what_an_engine_runs() -> None:
    build = this_build()
    assert build == this_build()
    assert build != Build(build.chatops, "0" * 8, build.python)
    assert len(build.code) == 8


def test_clocks_come_in_the_order_of_their_engines() -> None:
    present = [replace(HERE, clock=name) for name in ("b", "a", "b", "c")]
    assert clocks_of(present) == ("b", "a", "c")
