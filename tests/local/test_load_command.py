"""`chatops loadtest` and `chatops report` as commands: plans, refusals, folders, exports, exit codes."""

import contextlib
import json
import re
import shutil
import subprocess
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from pathlib import Path
from queue import Empty
from typing import Any
from xml.etree import ElementTree as ET

import pytest

from chatops.chat.recordings import RecordedMessage, header_line, message_line
from chatops.cli.app import run
from tests.local.cli import COMMAND, WAIT_S, chatops, variables

SMALL = ("--clients", "12", "--duration", "1", "--warm-up", "0.2", "--total-rate", "40", "--env", "local")


@pytest.fixture(scope="module")
def made(here: Path) -> Path:
    """The folder of one small run."""
    arguments = (*SMALL, "--out", "made", "--csv", "made.csv", "--junit", "made.xml", "--fail-on", "lost>0")
    done = chatops("loadtest", *arguments, env=variables(here), cwd=here)
    assert done.code in {0, 10}, done.stderr
    return here / "made"


@pytest.fixture
def inside(here: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Run commands in this process, in that folder."""
    for name, value in variables(here).items():
        monkeypatch.setenv(name, value)
    monkeypatch.chdir(here)
    return here


def document_of(folder: Path) -> dict[str, Any]:
    found = json.loads((folder / "run.json").read_text(encoding="utf-8"))
    assert isinstance(found, dict)
    return found


def test_a_run_leaves_a_folder_that_can_be_read_again(made: Path) -> None:
    document = document_of(made)
    assert (document["kind"], document["schema"]) == ("chatops loadtest", 1)
    assert document["environment"]["name"] == "local"
    assert document["events"]["complete"]
    assert document["events"]["rows"]["deliveries"] >= document["deliveries"]["received"] > 0
    assert document["scenario"]["clients"] == 12
    assert {"chatops", "python", "processors"} <= document["made_with"].keys()
    assert document["identities"]["discarded"] == document["identities"]["made"] == 12
    text = (made / "run.json").read_text() + (made / "report.html").read_text()
    assert not re.search(r"ASIA[A-Z2-7]{16}|us-east-1:[0-9a-f-]{36}", text)
    assert (made.parent / "made.csv").read_text().startswith("second,due,sent,acknowledged,failed,deliveries,p50_ms")
    suite = ET.fromstring((made.parent / "made.xml").read_text())  # noqa: S314  (our own)
    assert [case.get("name") for case in suite] == ["the measurement is valid", "not lost>0"]


def test_the_report_loads_nothing_and_runs_nothing(made: Path) -> None:
    page = (made / "report.html").read_text(encoding="utf-8")
    assert "default-src 'none'" in page
    assert not re.search(r"<script|<link|<img|<iframe|src=|href=|@import|url\(|https?://|\son[a-z]+=", page)
    assert page.count("<svg") >= 4


def test_a_full_standard_output_costs_no_run(here: Path, made: Path) -> None:
    with Path("/dev/full").open("w") as full:
        done = subprocess.run(
            [*COMMAND, "loadtest", *SMALL, "--out", "full"],
            env=variables(here),
            cwd=here,
            stdout=full,
            stderr=subprocess.PIPE,
            text=True,
            check=False,
            timeout=WAIT_S,
        )
    assert done.returncode == 3
    assert done.stderr.splitlines()[-2:] == [
        "error: Standard output cannot be written: No space left on device",
        "  fix: redirect it to where there is room",
    ]
    assert document_of(here / "full")["deliveries"]["received"] > 0


def test_show_compare_and_export_read_it(inside: Path, made: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["report", "show", "made"]) == 0
    shown = capsys.readouterr().out
    assert "deliveries" in shown
    assert all(len(line) <= 100 for line in shown.splitlines())
    assert run(["report", "show", "made", "--json", "--differences", "3"]) == 0
    assert json.loads(capsys.readouterr().out)["named"] == []
    assert run(["report", "show", "made", "--fail-on", "delivery.p50>0.001ms"]) == 9
    assert "NOT KEPT" in capsys.readouterr().out
    if document_of(made)["verdict"] == "valid":
        assert run(["report", "compare", "made", "made", "--fail-on", "p99+1%", "--json"]) == 0
        assert {change["difference"] for change in json.loads(capsys.readouterr().out)["changes"]} == {0}
    for name in ("csv", "junit", "html"):
        assert run(["report", "export", "made", "--format", name]) == 0
        assert capsys.readouterr().out
    assert run(["report", "export", "made", "--format", "pdf"]) == 2


@pytest.mark.parametrize(
    "arguments",
    [
        ["--clients", "0"],
        ["--clients", "-3"],
        ["--clients", "10", "--rooms", "11"],
        ["--rate", "-1"],
        ["--rate", "nan"],
        ["--total-rate", "1e12"],
        ["--identities", "0"],
        ["--clients", "5", "--identities", "6"],
        ["--silent", "101%"],
        ["--churn", "x"],
        ["--storm", "-1%"],
        ["--shape", "wave"],
        ["--spread", "wide"],
        ["--arrivals", "never"],
        ["--receive-qos", "2"],
        ["--fail-on", "deliverry.p99>1s"],
        ["--fail-on", "lost"],
        ["--abort"],
        ["lobby"],
        ["--fail-on", "lost>0", "lobby"],
        ["--scenario", "missing.toml"],
        ["--max-cost", "-1"],
        ["--clients", "500", "--rooms", "1", "--total-rate", "101"],
        ["--clients", "500", "--max-cost", "0"],
    ],
)
def test_what_cannot_be_is_refused_before_anything_is_made(
    inside: Path, arguments: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    before = sorted(inside.rglob("run*"))
    assert run(["loadtest", "--env", "local", *arguments]) == 2
    lines = [line for line in capsys.readouterr().err.splitlines() if not line.startswith("warning: ")]
    assert len(lines) == 2
    assert lines[1].startswith("  fix: ")
    assert sorted(inside.rglob("run*")) == before


def test_an_unknown_key_is_shown_with_line_and_column(inside: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (inside / "evening.toml").write_text('clients = 20\n\n[churn]\n  speed = "fast"\n')
    assert run(["loadtest", "--env", "local", "--scenario", "evening.toml"]) == 2
    assert "evening.toml, line 4, column 3" in capsys.readouterr().err


def test_a_plan_shows_what_a_run_would_ask_for_and_makes_nothing(
    inside: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (inside / "storm.toml").write_text("clients = 40\nposts_per_s = 1\n[storm]\nshare = 0.3\n")
    assert run(["loadtest", "--env", "local", "--scenario", "storm.toml", "--clients", "50", "--plan", "--json"]) == 0
    plan = json.loads(capsys.readouterr().out)
    assert plan["clients"] == plan["identities"] == 50
    assert plan["publishes_in"] == 50
    assert plan["publishes_out"] > plan["publishes_in"]
    assert 0 < plan["cost_usd"] < 1
    assert run(["loadtest", "--env", "local", "--clients", "300", "--rooms", "1", "--total-rate", "200", "--plan"]) == 2
    output = capsys.readouterr()
    assert "refused" in output.out
    assert "100/s" in output.err
    assert run(["loadtest", "--env", "local", "--clients", "1000000", "--rate", "0", "--plan"]) == 0
    assert "held against AWS's defaults; not enforced by the local stack" in " ".join(capsys.readouterr().out.split())
    assert not list(inside.glob("runs/*"))


def test_thresholds_that_are_not_kept_end_with_9_and_are_listed(
    inside: Path, made: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    arguments = ("--fail-on", "delivery.p50>0.001ms", "lost>0", "--out", "broken", "--json")
    code = run(["loadtest", *SMALL, *arguments])
    shown = capsys.readouterr()
    document = json.loads(shown.out)
    if document["verdict"] == "valid":
        assert code == 9
        assert "Not kept: delivery.p50>0.001ms" in shown.err
    else:  # a machine too busy to measure on
        assert code == 10
    assert [each["expression"] for each in document["thresholds"]] == ["delivery.p50>0.001ms", "lost>0"]
    assert not document["thresholds"][0]["held"]
    assert run(["loadtest", *SMALL, "--out", "broken"]) == 3
    assert "holds a run already" in capsys.readouterr().err


def test_folders_that_cannot_be_written_are_refused_before_anything_starts(
    inside: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (inside / "file").write_text("")
    for arguments in (["--out", "file"], ["--out", "/proc/chatops"], ["--csv", "/proc/x.csv"], ["--junit", "no/x"]):
        assert run(["loadtest", *SMALL, *arguments]) == 3
        lines = capsys.readouterr().err.splitlines()
        assert "cannot be written" in lines[-2]
        assert lines[-1].startswith("  fix: ")


def test_a_run_that_is_refused_leaves_nothing_behind(
    inside: Path, made: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    arguments = ["loadtest", *SMALL, "--out", "never", "--csv", "never.csv"]
    assert run(["local", "fault", "--refuse-requests", "100%"]) == 0
    try:
        assert run(arguments) == 5
    finally:
        assert run(["local", "fault", "--clear"]) == 0
    assert not list(inside.glob("never*"))
    usage = shutil.disk_usage(inside)
    with monkeypatch.context() as patched:
        patched.setattr(shutil, "disk_usage", lambda _: usage._replace(free=1000))
        assert run(arguments) == 3
        assert not list(inside.glob("never*"))
        (inside / "never").mkdir()
        assert run(arguments) == 3
        assert list(inside.glob("never*")) == [inside / "never"]  # it was there before
    (inside / "never").rmdir()


def test_kept_identities_are_encrypted_reused_and_deleted(
    inside: Path, made: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    def identities(folder: str) -> dict[str, Any]:
        run(["loadtest", *SMALL, "--identities", "4", "--reuse-identities", "--json", "--out", folder])
        found = json.loads(capsys.readouterr().out)["identities"]
        assert isinstance(found, dict)
        return found

    assert identities("reuse1")["made"] == 4
    kept = next(inside.glob("identities-*"))
    assert b"us-east-1" not in kept.read_bytes()
    assert kept.stat().st_mode & 0o077 == 0
    again = identities("reuse2")
    assert (again["made"], again["reused"], again["kept"]) == (0, 4, 4)
    run(["loadtest", *SMALL, "--identities", "2", "--reuse-identities", "--out", "reuse3"])
    assert "4 identities are kept" in capsys.readouterr().err
    assert run(["loadtest", "--forget-identities", "--env", "local"]) == 0
    assert "4 kept identities deleted" in capsys.readouterr().err
    assert not kept.exists()


def test_a_file_of_identities_that_cannot_be_read_is_kept_aside(
    inside: Path, made: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run(["loadtest", *SMALL, "--identities", "2", "--reuse-identities", "--out", "aside1"])
    kept = next(inside.glob("identities-*"))
    kept.write_bytes(damaged := kept.read_bytes()[:-9])
    capsys.readouterr()
    run(["loadtest", *SMALL, "--identities", "3", "--reuse-identities", "--out", "aside2"])
    said = capsys.readouterr().err
    aside = kept.with_name(f"{kept.name}.1")
    assert f"it is kept as {aside}" in said
    assert "3 identities are kept" in said
    assert aside.read_bytes() == damaged
    assert aside.stat().st_mode & 0o077 == 0
    kept.write_text("not ours")
    assert run(["loadtest", "--forget-identities", "--env", "local"]) == 0
    assert "0 kept identities deleted" in capsys.readouterr().err
    assert kept.with_name(f"{kept.name}.2").read_text() == "not ours"
    for path in inside.glob("identities-*"):
        path.unlink()


def test_the_largest_load_is_searched_for_and_shown(
    inside: Path, made: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    small = ("--clients", "6", "--rooms", "1", "--duration", "0.5", "--warm-up", "0", "--env", "local", "--json")
    code = run(["loadtest", *small, "--total-rate", "60", "--find-limit", "--fail-on", "lost>0", "--out", "limit"])
    found = json.loads(capsys.readouterr().out)
    assert [probe["posts_per_s"] for probe in found["probes"]][:2] == [60, 120][: len(found["probes"])]
    if code == 0:
        assert found["stopped_by"] in {"refused", "not valid"}
        assert 60 <= found["largest"]["posts_per_s"] < 100
        assert document_of(inside / "limit" / "01")["posts"]["due"] > 0
    else:  # a machine too busy to measure on
        assert code == 10
    assert run(["loadtest", *small, "--find-limit"]) == 2
    assert "--fail-on" in capsys.readouterr().err


def test_repeats_share_their_identities_and_show_how_their_figures_spread(
    inside: Path, made: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    few = ("--clients", "6", "--rooms", "1", "--duration", "0.5", "--warm-up", "0", "--env", "local")
    code = run(["loadtest", *few, "--total-rate", "30", "--repeat", "3", "--seed", "5", "--out", "many", "--json"])
    said = capsys.readouterr()
    found = json.loads(said.out)
    assert "repeat 3 of 3: " in said.err
    assert [each["seed"] for each in found["runs"]] == [5, 6, 7]
    for words in (["export"], ["throttles"]):
        assert run(["report", *words, "many"]) == 2
        problem, remedy = capsys.readouterr().err.splitlines()[-2:]
        assert "holds 3 runs" in problem
        assert "many/01" in remedy
    # the identities of the first run serve all, and are deleted at the end
    made_and_reused = [document_of(inside / "many" / name)["identities"] for name in ("01", "02", "03")]
    assert [(each["made"], each["reused"]) for each in made_and_reused] == [(6, 0), (0, 6), (0, 6)]
    if code == 0:
        assert found["counted"] == 3
        assert found["figures"]["joined"]["least"] == 6.0
        assert run(["report", "compare", "many", "many"]) == 0
        assert "may be chance" in capsys.readouterr().out
    else:  # a machine too busy to measure on
        assert (code, found["counted"] < 3) == (10, True)
    assert run(["report", "show", "many", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["figures"] == found["figures"]
    assert run(["report", "show", "many", "--fail-on", "lost>0"]) == 2
    assert "holds 3 runs" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--repeat", "1"], "ask for 2 to 100"),
        (["--repeat", "101"], "ask for 2 to 100"),
        (["--repeat", "3", "--find-limit", "--fail-on", "lost>0"], "--find-limit"),
        (["--repeat", "3", "--reuse-identities"], "--reuse-identities"),
        (["--repeat", "3", "--junit", "x.xml"], "report export"),
        (["--repeat", "30", "--max-cost", "0.02", "--clients", "100"], "30 repeats are predicted to cost"),
    ],
)
def test_repeats_that_cannot_be_are_refused_before_anything_is_made(
    inside: Path, made: Path, capsys: pytest.CaptureFixture[str], arguments: list[str], words: str
) -> None:
    assert run(["loadtest", "--env", "local", "--out", "refused", *arguments]) == 2
    assert words in capsys.readouterr().err
    assert not (inside / "refused").exists()


def test_a_systems_soft_limit_of_open_files_does_not_keep_guests_out(here: Path, made: Path) -> None:
    arguments = ("--clients", "200", "--duration", "0.5", "--warm-up", "0", "--rate", "0.1", "--env", "local")
    done = subprocess.run(
        [
            "bash",
            "-c",
            'ulimit -Sn 128; exec "$@"',
            "bash",
            *COMMAND,
            "loadtest",
            *arguments,
            "--out",
            "files",
            "--json",
        ],
        env=variables(here),
        cwd=here,
        capture_output=True,
        timeout=WAIT_S,
        check=False,
    )
    assert json.loads(done.stdout)["clients"] == {"asked": 200, "joined": 200, "failed": 0}


def test_a_recording_is_replayed(inside: Path, made: Path, capsys: pytest.CaptureFixture[str]) -> None:
    noon = datetime(2026, 11, 22, 12, tzinfo=UTC)
    said = [RecordedMessage(noon + timedelta(seconds=n / 4), "/chat/lobby", b"secret words") for n in range(8)]
    lines = [header_line(["/chat/lobby"], noon), *map(message_line, said)]
    (inside / "chat.jsonl").write_text("\n".join(lines))
    arguments = ("--clients", "5", "--replay", "chat.jsonl", "--speed", "2", "--scale", "3", "--env", "local")
    assert run(["loadtest", *arguments, "--json", "--out", "replayed"]) in {0, 10}
    document = json.loads(capsys.readouterr().out)
    assert document["posts"]["due"] == document["posts"]["acknowledged"] == 24
    assert document["deliveries"]["received"] == document["deliveries"]["expected"] == 24 * 5
    assert "secret" not in (inside / "replayed" / "run.json").read_text()
    for clash in (["--rate", "1"], ["--duration", "5"], ["--find-limit", "--fail-on", "lost>0"], ["--speed", "0"]):
        assert run(["loadtest", *arguments, *clash]) == 2
        capsys.readouterr()


def test_ctrl_c_drains_and_reports(inside: Path, made: Path) -> None:
    import signal  # noqa: PLC0415

    from tests.local.cli import running  # noqa: PLC0415

    # 10 posts/s, so that a machine that stalls for seconds does not catch up with more than 100 messages in one of them
    arguments = (*SMALL[:2], "--duration", "600", "--total-rate", "10", "--env", "local", "--out", "stopped")
    with running("loadtest", *arguments, env=variables(inside), cwd=inside) as command:
        said: list[str] = []
        while not said or "steady" not in said[-1]:
            assert command.process.poll() is None or not command.err.empty(), said
            with contextlib.suppress(Empty):
                said.append(command.err.get(timeout=1))
        command.process.send_signal(signal.SIGINT)
        assert command.process.wait(30) == 130
    document = document_of(inside / "stopped")
    assert document["interrupted"]
    assert document["verdict"] != "valid"
    assert document["deliveries"]["lost"] == 0


def test_without_an_operator_it_runs_and_says_that_identities_stay(
    inside: Path, made: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (inside / "env").mkdir(exist_ok=True)
    (inside / "env" / "anyones.json").write_text((inside / "env" / "local.json").read_text())
    arguments = ("--env", "anyones", "--clients", "3", "--rooms", "1", "--duration", "0.3", "--warm-up", "0")
    assert run(["loadtest", *arguments, "--out", "stay"]) in {0, 10}
    assert "the 3 identities that this run makes will stay in the pool" in capsys.readouterr().err
    assert document_of(inside / "stay")["identities"]["discarded"] == 0
    assert run(["loadtest", *arguments, "--reuse-identities", "--out", "stay2"]) == 3
    assert "operator" in capsys.readouterr().err
    assert not (inside / "stay2").exists()


def damaged(made: Path, target: Path, change: Mapping[str, Any]) -> Path:
    target.mkdir()
    (target / "run.json").write_text(json.dumps({**document_of(made), **change}))
    return target


def test_files_that_are_no_runs_are_refused(
    inside: Path, made: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "text.json").write_text("hello")
    (tmp_path / "list.json").write_text("[]")
    (tmp_path / "deep.json").write_text("[" * 100_000)
    (tmp_path / "other.json").write_text('{"schema": 1}')
    damaged(made, tmp_path / "newer", {"schema": 99})
    for name in ("text.json", "list.json", "deep.json", "other.json", "newer", "missing"):
        for arguments in (["show"], ["export"], ["compare", str(made)]):
            assert run(["report", arguments[0], *arguments[1:], str(tmp_path / name)]) == 2
            assert capsys.readouterr().err.splitlines()[-1].startswith("  fix: ")


@pytest.mark.parametrize(
    "change",
    [
        {"clients": {}},
        {"clients": {"asked": "x", "joined": [], "failed": None}},
        {"latency_ms": {"delivery": 5, "join": {"p50": "fast"}}},
        {"rooms": [{"room": 1}], "timeline": [{"second": "x"}], "failures": {"join": [1]}},
        {"thresholds": [5], "reconnects": 7, "generator": {"cpu": {}}},
        {"started_at": 1e300, "histograms": {"delivery": {"hdr": "x" * 10, "max_us": "y"}}},
    ],
)
def test_damaged_figures_are_refused(
    inside: Path, made: Path, tmp_path: Path, change: dict[str, Any], capsys: pytest.CaptureFixture[str]
) -> None:
    folder = damaged(made, tmp_path / "run", change)
    codes = [run(["report", "show", str(folder)])]
    codes += [run(["report", "export", str(folder), "--format", name]) for name in ("csv", "junit", "html")]
    assert set(codes) <= {0, 2}
    assert 2 in codes
    assert "bug" not in capsys.readouterr().err


def test_what_a_stranger_wrote_into_a_run_stays_text(
    inside: Path, made: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    evil = "<script>alert(1)</script>\"' onload=x \x1b[31m"
    document = document_of(made)
    change = {
        "run": evil,
        "reasons": [evil],
        "warnings": [evil],
        "failures": {"join": {evil: 1}, evil: {evil: 2}},
        "rooms": [{**document["rooms"][0], "room": evil}],
        "environment": {"name": evil, "gateway": evil, "region": evil},
        "made_with": {evil: evil},
        "thresholds": [{"expression": evil, "measured": 1.0, "held": False}],
    }
    folder = damaged(made, tmp_path / "evil", change)
    assert run(["report", "export", str(folder), "--format", "html"]) == 0
    page = capsys.readouterr().out
    assert "<script" not in page
    assert "\x1b" not in page
    assert run(["report", "show", str(folder)]) == 0
    assert "\x1b" not in capsys.readouterr().out
    assert run(["report", "export", str(folder), "--format", "junit"]) == 0
    ET.fromstring(capsys.readouterr().out)  # noqa: S314  (that it can be parsed is the point)


def test_damaged_events_are_refused(
    inside: Path, made: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    whole = (made / "events").read_bytes()
    folder = damaged(made, tmp_path / "run", {})
    for raw in (b"", b"hello", whole[:-3], whole[:40], whole[:17] + b"\xff" * 40, whole + b"\x01"):
        (folder / "events").write_bytes(raw)
        code = run(["report", "show", str(folder), "--differences", "5"])
        assert code == 2
        capsys.readouterr()


def test_the_page_renders_in_a_browser_without_a_word_of_complaint(made: Path, tmp_path: Path) -> None:
    """Where Chromium is installed; the text of the page is there in any case."""
    import shutil  # noqa: PLC0415

    browser = shutil.which("chromium") or shutil.which("google-chrome")
    page = (made / "report.html").resolve()
    if browser is None:
        assert "<svg" in page.read_text()
        return
    done = subprocess.run(
        [
            browser,
            "--headless",
            "--no-sandbox",
            "--disable-gpu",
            f"--user-data-dir={tmp_path}",
            "--dump-dom",
            page.as_uri(),
        ],
        capture_output=True,
        timeout=60,
        check=True,
    )
    text = done.stdout.decode()
    assert "Latency distribution" in text
    assert "<polyline" in text
