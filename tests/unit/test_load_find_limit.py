"""The search for the largest load: against chats whose limit is known."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chatops.load.find_limit import MOST_PROBES, RESOLUTION, Outcome, Probe, ended, find_limit


def chat(limit: float, beyond: Outcome = Outcome.BROKEN) -> "list[Probe]":
    made: list[Probe] = []

    def probe(rate: float) -> Probe:
        made.append(Probe(rate, rate * 10, Outcome.HELD if rate <= limit else beyond))
        return made[-1]

    found = find_limit(probe, 10.0)
    assert found.probes == tuple(made)
    if limit < 10:
        assert found.largest is None
    else:
        assert found.largest is not None
        assert found.largest.posts_per_s <= limit <= found.largest.posts_per_s * (1 + RESOLUTION)
    assert found.stopped_by is beyond
    return made


@given(st.floats(1, 50_000))
def test_the_limit_is_found_to_a_tenth(limit: float) -> None:
    assert len(chat(limit)) <= MOST_PROBES


@pytest.mark.parametrize("beyond", [Outcome.BROKEN, Outcome.REFUSED, Outcome.NOT_VALID])
def test_what_ended_the_search_is_said(beyond: Outcome) -> None:
    chat(130.0, beyond)


def test_a_chat_without_a_limit_ends_the_search_all_the_same() -> None:
    found = find_limit(lambda rate: Probe(rate, rate, Outcome.HELD), 1.0)
    assert len(found.probes) == MOST_PROBES
    assert found.largest is not None


def test_an_interrupted_search_keeps_what_it_has() -> None:
    outcomes = iter([Outcome.HELD, Outcome.ENDED])
    found = find_limit(lambda rate: Probe(rate, rate, next(outcomes)), 5.0)
    assert found.largest is not None
    assert found.largest.posts_per_s == 5.0
    assert found.document()["stopped_by"] == "ended"


def test_a_search_that_is_ended_between_two_steps_keeps_what_held() -> None:
    probes = [Probe(5, 5, Outcome.HELD), Probe(10, 10, Outcome.HELD), Probe(20, 20, Outcome.BROKEN)]
    assert ended(probes).largest == probes[1]
    assert ended([]).largest is None
    assert ended(probes[2:]).stopped_by is Outcome.ENDED
