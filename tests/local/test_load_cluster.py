"""A load test on the workers of a Dask cluster: a real scheduler and real workers, and whatever befalls them."""

import asyncio
import json
import os
import pickle
import signal
import subprocess
import sys
import time
from collections.abc import Generator
from contextlib import AbstractContextManager
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from chatops.environment import Environment
from chatops.load import cluster as clusters
from chatops.load import processes
from chatops.load.clocks import SAME_CLOCK
from chatops.load.front import Front, Wishes
from chatops.load.generator import Verdict
from chatops.load.pacing import Arrivals
from chatops.load.progress import Progress
from chatops.load.recording import DELIVERIES, events_files, read_events
from chatops.load.result import RunResult
from chatops.load.roll_call import Presence
from chatops.load.scenario import Scenario
from tests.local.cli import Running, chatops, running, variables
from tests.local.cluster import Cluster, alive, cluster, wait_for
from tests.local.harness import RunningStack
from tests.local.test_load_engine import target_of
from tests.local.test_load_processes import SCENARIO, ledger


@pytest.fixture(scope="module")
def two(tmp_path_factory: pytest.TempPathFactory) -> Generator[Cluster]:
    """A cluster of two workers, for tests that leave it whole."""
    with cluster(tmp_path_factory.mktemp("cluster") / "two") as made:
        yield made


def load(
    stack: RunningStack,
    chat: Environment,
    made: Cluster,
    scenario: Scenario,
    engines: int | None = 2,
    *,
    events: Any = lambda _: None,
    **wishes: Any,
) -> RunResult:
    async def body() -> RunResult:
        return await clusters.run(
            scenario,
            target_of(stack, chat),
            cluster=made.address,
            engines=engines,
            events=events,
            stop=asyncio.Event(),
            wishes=Wishes(**wishes),
        )

    return asyncio.run(body())


def alone(stack: RunningStack, chat: Environment, scenario: Scenario, count: int) -> RunResult:
    async def body() -> RunResult:
        target = target_of(stack, chat)
        return await processes.run(scenario, target, processes=count, events=lambda _: None, stop=asyncio.Event())

    return asyncio.run(body())


def test_one_process_two_processes_and_two_engines_keep_the_same_ledger(
    stack: RunningStack, chat: Environment, two: Cluster, tmp_path: Path
) -> None:
    scenario = replace(SCENARIO, arrivals=Arrivals.POISSON, silent_share=0.5, seed=7)
    here = [alone(stack, chat, scenario, count) for count in (1, 2)]
    away = load(stack, chat, two, scenario, folder=tmp_path)
    assert ledger(here[0]) == ledger(here[1]) == ledger(away)
    assert away.counts.received == away.counts.expected > 300
    assert (away.counts.lost, away.counts.unexpected, len(away.processes)) == (0, 0, 2)
    assert away.latency["delivery"].count == away.counts.received
    assert away.cluster is not None
    assert [machine.reading for machine in away.cluster.machines] == [SAME_CLOCK]
    assert (away.cluster.between.deliveries, away.cluster.refused, away.cluster.late_workers) == (0, 0, ())
    assert [file.name for file in events_files(tmp_path)] == ["events-0", "events-1"]
    recorded = sum(
        len(block.columns["number"])
        for file in events_files(tmp_path)
        for block in read_events(file)
        if block.kind == DELIVERIES
    )
    assert recorded == sum(phase.counts.received for phase in away.phases)
    assert two.engines() == two.leftovers() == []
    assert "Traceback" not in two.logs()


def test_one_engine_and_people_who_come_back(stack: RunningStack, chat: Environment, two: Cluster) -> None:
    scenario = replace(SCENARIO, storm_share=0.5, storm_back_s=2.0, duration_s=4.0)
    for engines in (1, 2):
        result = load(stack, chat, two, scenario, engines)
        assert result.reconnects is not None
        assert (result.reconnects.storm_dropped, result.reconnects.storm_returned) == (10, 10)
        assert (result.counts.lost, result.counts.duplicate, result.counts.unexpected) == (0, 0, 0)


def test_no_credentials_of_the_operator_travel(
    stack: RunningStack, chat: Environment, monkeypatch: pytest.MonkeyPatch
) -> None:
    keys = stack.keys()
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", keys.access_key_id)
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", keys.secret_access_key)

    async def discard(_: Any) -> int:
        return len(keys.secret_access_key)

    async def body() -> list[bytes]:
        front = Front(
            SCENARIO,
            "0123abcd",
            target_of(stack, chat),
            events=lambda _: None,
            stop=asyncio.Event(),
            discard=discard,
            prices=clusters.Prices(),
            wishes=Wishes(folder=Path("somewhere")),
        )
        present = [Presence.here(f"tcp://127.0.0.1:{port}", SAME_CLOCK) for port in (1, 2)]
        made = clusters.assignments_for(front, present, {presence.clock: presence.reading for presence in present})
        return [pickle.dumps(assignment) for assignment in made]

    for shipped in asyncio.run(body()):
        assert SCENARIO.spread.value.encode() in shipped
        for secret in (keys.access_key_id, keys.secret_access_key):
            assert secret.encode() not in shipped


class At:
    """Does something once, as soon as a run has come far enough."""

    def __init__(self, action: Any, deliveries: int = 400) -> None:
        self._action, self._deliveries = action, deliveries
        self.done = False

    def __call__(self, progress: Progress) -> None:
        if progress.deliveries > self._deliveries and not self.done:
            self.done = True
            self._action()


def test_a_killed_worker_makes_the_run_partial_and_another_one_comes_too_late(
    stack: RunningStack, chat: Environment, tmp_path: Path
) -> None:
    with cluster(tmp_path / "cluster", workers=3) as made:

        def strike() -> None:
            made.workers[1].kill()
            made.worker()

        strike_once = At(strike)
        (tmp_path / "run").mkdir()
        scenario = replace(SCENARIO, duration_s=10.0)
        result = load(stack, chat, made, scenario, 3, events=strike_once, folder=tmp_path / "run")
        assert strike_once.done
        made.ready()
        engines = made.engines()
        wait_for(lambda: not any(alive(pid) for pid in engines), made)
        assert made.leftovers() == []
    words = " ".join(result.reasons)
    assert result.verdict in {Verdict.PARTIAL, Verdict.NOT_VALID}
    assert "is gone), and with it its" in words
    counts = result.counts
    assert (counts.lost, counts.duplicate, counts.reordered, counts.unexpected) == (0, 0, 0, 0)
    assert counts.expected == counts.received > 500
    assert result.cluster is not None
    assert len(result.cluster.late_workers) == 1
    assert any("1 workers joined the cluster after the start" in warning for warning in result.warnings)
    assert len(events_files(tmp_path / "run")) == len(result.recorded) == 2


def test_an_engine_that_is_killed_is_named_while_its_worker_lives_on(
    stack: RunningStack, chat: Environment, two: Cluster
) -> None:
    def strike() -> None:
        os.kill(two.engines()[0], signal.SIGKILL)

    result = load(stack, chat, two, replace(SCENARIO, duration_s=5.0), events=At(strike))
    words = " ".join(result.reasons)
    assert result.verdict in {Verdict.PARTIAL, Verdict.NOT_VALID}
    assert "killed by SIGKILL), and with it its 10 clients" in words
    assert (result.counts.lost, result.counts.unexpected) == (0, 0)
    assert result.cluster is not None
    assert all(machine.checked for machine in result.cluster.machines)


def test_engines_refuse_a_start_that_has_passed(
    stack: RunningStack, chat: Environment, two: Cluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(clusters, "LEAD_S", -5.0)
    result = load(stack, chat, two, SCENARIO)
    assert result.verdict is Verdict.PARTIAL
    assert " ".join(result.reasons).count("learned of the start") == 2
    assert (result.joined, result.counts.due, result.counts.received) == (20, 0, 0)


def test_a_task_that_dask_runs_again_is_sent_away(stack: RunningStack, chat: Environment, tmp_path: Path) -> None:
    tried: list[subprocess.Popen[bytes]] = []
    with cluster(tmp_path / "cluster", threads=2) as made:

        def again() -> None:
            tried.append(subprocess.Popen([sys.executable, "-c", _AGAIN, made.address]))

        result = load(stack, chat, made, replace(SCENARIO, duration_s=6.0), events=At(again))
        assert tried[0].wait(60) == 0
    assert result.cluster is not None
    assert result.cluster.refused == 1
    assert (result.counts.lost, result.counts.unexpected, result.counts.duplicate) == (0, 0, 0)
    assert result.counts.expected == result.counts.received == 1800
    assert result.identities.made == 20


_AGAIN = """
import sys
from distributed import Client

def names(dask_scheduler):
    return [key for key in dask_scheduler.tasks if key.startswith("chatops-")]

with Client(sys.argv[1]) as client:
    run = client.run_on_scheduler(names)[0].split("-")[1]
    call = f"__import__('chatops.load.cluster_engine', fromlist=['carry']).carry({run!r}, 0)"
    client.submit(eval, call, key="again", pure=False).result(timeout=30)
"""


@pytest.mark.parametrize("restarted", [False, True])
def test_a_scheduler_that_is_killed_or_restarted_ends_the_run_in_a_report(
    stack: RunningStack, chat: Environment, tmp_path: Path, *, restarted: bool
) -> None:
    with cluster(tmp_path / "cluster") as made:
        strike = At(made.restart if restarted else made.scheduler.kill)
        result = load(stack, chat, made, replace(SCENARIO, duration_s=60.0), events=strike)
        assert strike.done
        engines = made.engines()
        wait_for(lambda: not any(alive(pid) for pid in engines), made)
        assert made.leftovers() == []
    assert result.verdict in {Verdict.PARTIAL, Verdict.NOT_VALID}
    assert " ".join(result.reasons).count("is gone") == 2
    counts = result.counts
    assert (counts.lost, counts.duplicate, counts.unexpected) == (0, 0, 0)
    assert 0 < counts.received < 60 * 300


def test_a_scheduler_that_hangs_counts_as_gone(stack: RunningStack, chat: Environment, tmp_path: Path) -> None:
    with cluster(tmp_path / "cluster") as made:
        engines: list[int] = []

        def freeze() -> None:
            engines.extend(made.engines())
            made.scheduler.send_signal(signal.SIGSTOP)

        result = load(stack, chat, made, replace(SCENARIO, duration_s=120.0), events=At(freeze))
        assert len(engines) == 2
        wait_for(lambda: not any(alive(pid) for pid in engines), made)
        assert made.leftovers() == []
        made.scheduler.send_signal(signal.SIGCONT)
    assert "it said nothing for 20 s" in " ".join(result.reasons)
    assert result.counts.lost == 0


# As a user has it.


LONG = ("--clients", "12", "--duration", "600", "--total-rate", "40", "--env", "local")
SHORT = ("--clients", "12", "--duration", "1", "--warm-up", "0.2", "--total-rate", "40", "--env", "local")


def test_the_command_runs_on_a_cluster_and_shows_its_machines(here: Path, two: Cluster) -> None:
    arguments = (*SHORT, "--cluster", two.address, "--processes", "2", "--json", "--out", "away")
    done = chatops("loadtest", *arguments, env=variables(here), cwd=here)
    assert done.code in {0, 10}, done.stderr
    document = json.loads(done.stdout)
    assert document["clients"] == {"asked": 12, "joined": 12, "failed": 0}
    assert document["deliveries"]["received"] == document["deliveries"]["expected"] > 0
    assert document["identities"]["discarded"] == document["identities"]["made"] == 12
    assert json.loads((here / "away" / "run.json").read_text())["events"]["complete"]
    (machine,) = document["cluster"]["machines"]
    assert sorted(machine["workers"].values()) == [[0], [1]]
    assert document["cluster"]["between_machines"]["timed"]
    assert document["cluster"]["allowed_failures"] == 3
    shown = chatops("report", "show", "away", "--differences", "3", env=variables(here), cwd=here)
    assert shown.code == 0, shown.stderr
    assert "2 engines on 1 machine" in shown.stdout
    assert two.address in (here / "away" / "report.html").read_text()


def test_ctrl_c_reaches_the_engines_and_the_run_is_reported(here: Path, two: Cluster) -> None:
    with started(here, two, "stopped") as command:
        command.note("steady")
        engines = two.engines()
        command.process.send_signal(signal.SIGINT)
        assert command.process.wait(60) == 130
    assert len(engines) == 2
    wait_for(lambda: not any(alive(pid) for pid in engines), two)
    document = json.loads((here / "stopped" / "run.json").read_text())
    assert document["interrupted"]
    assert document["deliveries"]["lost"] == 0
    assert document["identities"]["discarded"] == document["identities"]["made"] == 12
    assert two.leftovers() == []


def test_a_front_that_dies_leaves_no_clients_behind(here: Path, two: Cluster) -> None:
    with started(here, two, "orphans") as command:
        command.note("steady")
        engines = two.engines()
        command.process.send_signal(signal.SIGKILL)
        command.process.wait(30)
    assert len(engines) == 2
    wait_for(lambda: not any(alive(pid) for pid in engines), two)
    assert two.leftovers() == []


def test_a_second_ctrl_c_ends_at_once_and_leaves_no_clients_behind(here: Path, two: Cluster) -> None:
    with started(here, two, "twice") as command:
        command.note("steady")
        engines = two.engines()
        two.workers[0].send_signal(signal.SIGSTOP)  # so that its engine does not hear of the first one
        try:
            command.process.send_signal(signal.SIGINT)
            time.sleep(1)
            assert command.process.poll() is None
            command.process.send_signal(signal.SIGINT)
            assert command.process.wait(60) == 130
        finally:
            two.workers[0].send_signal(signal.SIGCONT)
    wait_for(lambda: not any(alive(pid) for pid in engines), two)


def started(here: Path, made: Cluster, name: str) -> AbstractContextManager[Running]:
    arguments = ("loadtest", *LONG, "--cluster", made.address, "--processes", "2", "--out", name)
    return running(*arguments, env=variables(here), cwd=here)
