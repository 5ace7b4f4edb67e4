"""`chatops report throttles`: the run's own misses beside CloudWatch's counts, on a stack that throttles."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from tests.local.cli import chatops, variables

FEW = ("--clients", "30", "--duration", "2", "--warm-up", "0.5", "--total-rate", "40", "--connect-rate", "30")


@pytest.fixture(scope="module")
def throttled(here: Path) -> dict[str, Any]:
    """The document of a run over both account quotas of publishing."""
    env = variables(here)
    throttles = ("--throttle", "publishes-in=20", "--throttle", "publishes-out=150")
    assert chatops("local", "fault", *throttles, env=env, cwd=here).code == 0
    done = chatops("loadtest", *FEW, "--env", "local", "--out", "throttled", env=env, cwd=here)
    assert done.code in {0, 10}, done.stderr
    assert chatops("local", "fault", "--clear", env=env, cwd=here).code == 0
    found = json.loads((here / "throttled" / "run.json").read_text(encoding="utf-8"))
    assert isinstance(found, dict)
    return found


def counts(document: Mapping[str, Any]) -> dict[str, tuple[int, int]]:
    return {each["name"]: (each["throttled"], each["missed"]) for each in document["counterparts"]}


def test_every_post_and_delivery_that_was_throttled_is_found(here: Path, throttled: dict[str, Any]) -> None:
    done = chatops("report", "throttles", "throttled", "--json", env=variables(here), cwd=here)
    assert done.code == 0, done.stderr
    found = counts(json.loads(done.stdout))
    assert found["posts"][0] == found["posts"][1] > 0
    assert found["deliveries"][0] == found["deliveries"][1] > 0
    assert found["connects"] == found["subscriptions"] == (0, 0)
    assert found["posts"][1] == throttled["failures"]["post"]["no acknowledgement (probably throttled)"]
    again = chatops("report", "throttles", "throttled", env=variables(here), cwd=here)
    assert f"{found['deliveries'][0]:,}" in again.stdout
    assert all(len(line) <= 80 for line in again.stdout.splitlines())


def test_a_damaged_or_missing_run_is_refused(here: Path, throttled: dict[str, Any]) -> None:
    env = variables(here)
    for change in ({"started_at": "yesterday"}, {"started_at": 1e300}, {"seconds": -1}, {"environment": None}):
        (here / "damaged").mkdir(exist_ok=True)
        (here / "damaged" / "run.json").write_text(json.dumps({**throttled, **change}), encoding="utf-8")
        done = chatops("report", "throttles", "damaged", env=env, cwd=here)
        assert (done.code, done.stderr.count("\n")) == (2, 2), done.stderr
        assert "does not say when and where" in done.stderr
    done = chatops("report", "throttles", "nowhere", env=env, cwd=here)
    assert done.code == 2
    done = chatops("report", "throttles", "throttled", "--env", "nobody", env=env, cwd=here)
    assert done.code == 3
