"""A run's folder belongs to one run at a time."""

import os
import subprocess
from pathlib import Path

import pytest

from chatops.errors import ConfigurationError
from chatops.load.cost import Prices
from chatops.load.preflight import AccountQuotas, Preflight, preflight
from chatops.load.recording import MAGIC
from chatops.load.run_folder import CLAIM, prepare, release, write_run
from chatops.load.scenario import Scenario
from chatops.load.target import Rates


@pytest.fixture
def plan() -> Preflight:
    return preflight(Scenario(clients=2), Rates(), AccountQuotas(), prices=Prices())


def test_a_folder_that_a_living_process_claims_is_refused(tmp_path: Path, plan: Preflight) -> None:
    with subprocess.Popen(["sleep", "60"]) as other:
        (tmp_path / CLAIM).write_text(f"{other.pid}\n")
        with pytest.raises(ConfigurationError, match="Another run writes to"):
            prepare(tmp_path, plan)
        other.kill()
    prepare(tmp_path, plan)  # whoever claimed it is gone
    assert (tmp_path / CLAIM).read_text().split() == [str(os.getpid())]


@pytest.mark.parametrize("claim", [b"", b"nobody", b"-1", b"9" * 400, b"\xff\xfe", b"0"])
def test_a_damaged_claim_keeps_nobody_out(tmp_path: Path, plan: Preflight, claim: bytes) -> None:
    (tmp_path / CLAIM).write_bytes(claim)
    prepare(tmp_path, plan)


def test_a_claim_ends_with_the_run_or_with_giving_up(tmp_path: Path, plan: Preflight) -> None:
    done, given_up, started = tmp_path / "done", tmp_path / "given-up", tmp_path / "started"
    there = tmp_path / "there"
    there.mkdir()
    assert all(prepare(folder, plan) for folder in (done, given_up, started))
    assert not prepare(there, plan)
    write_run(done, {"run": "1"})
    assert [file.name for file in done.iterdir()] == ["run.json"]
    (given_up / "events").write_bytes(MAGIC)
    release(given_up, made=True)
    assert not given_up.exists()
    release(there, made=False)
    assert list(there.iterdir()) == []
    (started / "events").write_bytes(MAGIC + b"x")
    release(started, made=True)
    assert [file.name for file in started.iterdir()] == ["events"]
