"""A long run's last quarter beside its first."""

from chatops.load.drift import Drift, find_drift
from chatops.load.statistics import Statistics, Window


def rows(latency_of_second: dict[int, int]) -> Statistics:
    statistics = Statistics()
    for second, latency_us in latency_of_second.items():
        for _ in range(100):
            statistics.bin(Window.STEADY, second).delivered(latency_us, latency_us)
    return statistics


def test_a_service_that_slows_down_is_found_out() -> None:
    found = find_drift(rows({second: 1_000 + second * 500 for second in range(2, 102)}).rows, 2, 100, (50, 52))
    assert found is not None
    assert found.p50_ms is not None
    assert found.p50_ms[0] < 20 < found.p50_ms[1]
    assert len(found.drifted) == 2
    assert "p99 of deliveries rose" in found.drifted[1]
    assert found.document()["rss_mb"] == {"first": 50, "last": 52}


def test_a_steady_one_is_not_and_the_middle_does_not_matter() -> None:
    statistics = rows({second: 90_000 if 40 <= second < 60 else 2_000 for second in range(100)})
    statistics.seal(50)
    found = find_drift(statistics.rows, 0, 100, None)
    assert found is not None
    assert found.drifted == ()
    assert found.p99_ms is not None
    assert found.p99_ms[0] == found.p99_ms[1]


def test_memory_that_grows_is_named() -> None:
    assert Drift(None, None, (100, 121)).drifted == ("the generator's memory grew from 100 to 121 MB",)
    assert Drift(None, None, (100, 119)).drifted == ()


def test_short_or_silent_windows_say_nothing() -> None:
    assert find_drift({}, 0, 59, None) is None
    found = find_drift({}, 0, 60, None)
    assert found is not None
    assert found.document() == {"p50_ms": None, "p99_ms": None, "rss_mb": None, "drifted": []}
