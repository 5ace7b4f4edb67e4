"""A load test in several processes: one ledger over all of them, whoever dies on the way."""

import asyncio
import json
import os
import signal
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from chatops.environment import Environment
from chatops.errors import ChatopsError, ConnectionFailedError
from chatops.load import processes
from chatops.load.front import Wishes
from chatops.load.generator import Verdict
from chatops.load.pacing import Arrivals
from chatops.load.progress import Progress
from chatops.load.recording import DELIVERIES, events_files, read_events
from chatops.load.replay import Beat, Replay
from chatops.load.result import RunResult
from chatops.load.scenario import Scenario, Spread
from chatops.load.tally import Kind
from chatops.local.faults import FaultSettings
from tests.local.cli import assert_two_line_error, chatops, running, variables
from tests.local.harness import RunningStack
from tests.local.test_load_engine import target_of

SCENARIO = Scenario(
    clients=20,
    rooms=4,
    spread=Spread.EVEN,
    total_posts_per_s=60.0,
    arrivals=Arrivals.CONSTANT,
    warm_up_s=0.5,
    duration_s=2.0,
    drain_limit_s=20.0,
)


def load(stack: RunningStack, chat: Environment, scenario: Scenario, count: int, **wishes: Any) -> RunResult:
    async def body() -> RunResult:
        return await processes.run(
            scenario,
            target_of(stack, chat),
            processes=count,
            events=lambda _: None,
            stop=asyncio.Event(),
            wishes=Wishes(**wishes),
        )

    return asyncio.run(body())


def ledger(result: RunResult) -> dict[str, Any]:
    """What must not depend on how the clients are shared out."""
    return {
        "joined": result.joined,
        "counts": result.counts,
        "rooms": [(room.topic[-4:], room.people, room.counts) for room in result.rooms],
        "due": [second.due for second in result.timeline],
        "phases": [(phase.name, phase.counts) for phase in result.phases],
    }


def test_one_two_and_three_processes_keep_the_same_ledger(
    stack: RunningStack, chat: Environment, tmp_path: Path
) -> None:
    found = {count: load(stack, chat, SCENARIO, count, folder=tmp_path) for count in (1, 2, 3)}
    assert ledger(found[1]) == ledger(found[2]) == ledger(found[3])
    result = found[3]
    assert (result.counts.sent, result.counts.expected, result.counts.lost) == (120, 600, 0)
    assert (result.identities.made, len(result.processes)) == (20, 3)
    assert result.latency["delivery"].count == result.counts.received
    assert result.latency["ack"].count == 120
    assert 0 < (result.latency["delivery"].p50 or 0) < 1000
    assert [file.name for file in events_files(tmp_path)] == ["events-0", "events-1", "events-2"]
    recorded = sum(
        len(block.columns["number"])
        for file in events_files(tmp_path)
        for block in read_events(file)
        if block.kind == DELIVERIES
    )
    assert recorded == sum(phase.counts.received for phase in result.phases)


def test_poisson_posts_and_a_shared_identity_are_shared_out_alike(stack: RunningStack, chat: Environment) -> None:
    scenario = replace(SCENARIO, arrivals=Arrivals.POISSON, identities=5, silent_share=0.5, seed=7)
    one, two = (load(stack, chat, scenario, count) for count in (1, 2))
    assert ledger(one) == ledger(two)
    assert two.identities.made == 5


def test_a_replayed_rhythm_is_shared_out_alike(stack: RunningStack, chat: Environment) -> None:
    beats = tuple(Beat(index / 20, index % 4, index) for index in range(40))
    scenario = replace(SCENARIO, warm_up_s=0.0)
    one, two = (load(stack, chat, scenario, count, replay=Replay(beats, 4, 2.0)) for count in (1, 2))
    assert ledger(one) == ledger(two)
    assert two.counts.sent == 40


def test_people_who_leave_and_come_back_are_the_same_ones(stack: RunningStack, chat: Environment) -> None:
    scenario = replace(SCENARIO, storm_share=0.5, storm_back_s=2.0, duration_s=4.0)
    one, two = (load(stack, chat, scenario, count) for count in (1, 2))
    for result in (one, two):
        assert result.reconnects is not None
        assert (result.reconnects.storm_dropped, result.reconnects.storm_returned) == (10, 10)
        assert 0 < (result.reconnects.storm_back_s or 0) < 30
        assert (result.counts.lost, result.counts.duplicate, result.counts.unexpected) == (0, 0, 0)
        assert result.counts.missed > 0


def test_dropped_and_doubled_deliveries_between_processes_are_found(stack: RunningStack, chat: Environment) -> None:
    scenario = replace(SCENARIO, total_posts_per_s=150.0)
    faults = stack.stack.faults
    wanted = FaultSettings().changed({"drop_deliveries": 0.05, "duplicate": 0.05, "seed": 3})
    stack.call(lambda: faults.set(wanted))
    try:
        result = load(stack, chat, scenario, 2)
    finally:
        stack.call(faults.clear)
    counts = result.counts
    assert counts.expected == counts.received + counts.lost
    assert 0.02 < counts.lost / counts.expected < 0.09
    assert 0.02 < counts.duplicate / counts.expected < 0.09
    named = [each.kind for each in result.differences]
    whole = [phase.counts for phase in result.phases]
    assert named.count(Kind.LOST) == sum(each.lost for each in whole)
    assert named.count(Kind.DUPLICATE) == sum(each.duplicate for each in whole)


def test_when_nobody_can_join_the_reason_comes_through(stack: RunningStack, chat: Environment) -> None:
    nowhere = replace(chat, identity_pool_id=f"{chat.region}:00000000-0000-0000-0000-000000000000")
    with pytest.raises(ChatopsError) as caught:
        load(stack, nowhere, SCENARIO, 2)
    assert not isinstance(caught.value, ConnectionFailedError)
    assert "00000000" in caught.value.problem


def children_of(pid: int) -> list[int]:
    """The processes that carry the clients; the resource tracker of multiprocessing is none of them."""
    found = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                parent = int((entry / "stat").read_text().rpartition(")")[2].split()[1])
                command = (entry / "cmdline").read_bytes()
            except OSError:
                continue
            if parent == pid and b"spawn_main" in command:
                found.append(int(entry.name))
    return sorted(found)


def alive(pid: int) -> bool:
    try:
        return (Path("/proc") / str(pid) / "stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


def test_a_killed_process_makes_the_run_partial_and_its_messages_are_not_called_lost(
    stack: RunningStack, chat: Environment
) -> None:
    killed: list[int] = []
    seen: list[Progress] = []

    def events(progress: Progress) -> None:
        seen.append(progress)
        if progress.deliveries > 100 and not killed:
            killed.append(children_of(os.getpid())[1])
            os.kill(killed[0], signal.SIGKILL)

    async def body() -> RunResult:
        scenario = replace(SCENARIO, duration_s=6.0)
        return await processes.run(scenario, target_of(stack, chat), processes=3, events=events, stop=asyncio.Event())

    result = asyncio.run(body())
    assert killed
    assert result.verdict is Verdict.PARTIAL or result.verdict is Verdict.NOT_VALID
    words = " ".join(result.reasons)
    assert "killed by SIGKILL" in words
    assert "its 7 clients (1, 4, 7 … 19)" in words
    counts = result.counts
    assert (counts.lost, counts.duplicate, counts.reordered, counts.unexpected) == (0, 0, 0, 0)
    assert counts.expected == counts.received > 500
    assert seen[-1].joined == 20
    assert children_of(os.getpid()) == []


LONG = ("--clients", "12", "--duration", "600", "--total-rate", "40", "--env", "local", "--processes", "2")


def test_the_command_shares_the_guests_out(here: Path) -> None:
    arguments = ("--clients", "12", "--duration", "1", "--warm-up", "0.2", "--total-rate", "40", "--env", "local")
    done = chatops("loadtest", *arguments, "--processes", "2", "--json", "--out", "two", env=variables(here), cwd=here)
    assert done.code in {0, 10}, done.stderr
    document = json.loads(done.stdout)
    assert document["clients"] == {"asked": 12, "joined": 12, "failed": 0}
    assert len(document["generator"]["processes"]) == 2
    assert document["deliveries"]["received"] == document["deliveries"]["expected"] > 0
    assert json.loads((here / "two" / "run.json").read_text())["events"]["files"] == ["events-0", "events-1"]
    shown = chatops("report", "show", "two", "--differences", "3", env=variables(here), cwd=here)
    assert shown.code == 0, shown.stderr


@pytest.mark.parametrize(("count", "words"), [("0", "0 processes"), ("13", "13 processes"), ("9999", "9,999 p")])
def test_impossible_numbers_of_processes_are_refused(here: Path, count: str, words: str) -> None:
    done = chatops("loadtest", "--clients", "12", "--env", "local", "--processes", count, env=variables(here), cwd=here)
    assert_two_line_error(done, 2, words)


def test_ctrl_c_reaches_all_processes_and_the_run_is_reported(here: Path) -> None:
    with running("loadtest", *LONG, "--out", "stopped", env=variables(here), cwd=here) as command:
        command.note("steady")
        carriers = children_of(command.process.pid)
        command.process.send_signal(signal.SIGINT)
        assert command.process.wait(60) == 130
    assert len(carriers) == 2
    assert not any(alive(pid) for pid in carriers)
    document = json.loads((here / "stopped" / "run.json").read_text())
    assert document["interrupted"]
    assert document["deliveries"]["lost"] == 0
    assert document["identities"]["discarded"] == document["identities"]["made"] == 12


def test_a_front_that_dies_leaves_no_clients_behind(here: Path) -> None:
    with running("loadtest", *LONG, "--out", "orphans", env=variables(here), cwd=here) as command:
        command.note("steady")
        carriers = children_of(command.process.pid)
        command.process.send_signal(signal.SIGKILL)
        command.process.wait(30)
        assert len(carriers) == 2
        end = time.monotonic() + 40
        while any(alive(pid) for pid in carriers) and time.monotonic() < end:
            time.sleep(0.1)
        assert not any(alive(pid) for pid in carriers)
