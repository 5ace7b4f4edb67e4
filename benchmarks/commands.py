"""How long the commands take, as whole processes, each beside what it is measured against.

    python benchmarks/commands.py [help] [up] [setup] [demo] [loadtest]

Each part prints its median, least and largest time; `help` in pairs with `python -c "import typer, rich"`. The local
stack runs in a process of its own, in a private runtime directory, on loopback, and is stopped at the end.
"""

import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from chatops.local import daemon

CHATOPS = [sys.executable, "-m", "chatops.cli.app"]
BASE = [sys.executable, "-c", "import typer, rich"]


def timed(command: list[str], env: dict[str, str]) -> tuple[float, str]:
    """Seconds of wall time, and standard output."""
    begun = time.perf_counter()
    done = subprocess.run(command, env=env, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False)
    seconds = time.perf_counter() - begun
    if done.returncode:
        raise SystemExit(f"{' '.join(command)} exited with {done.returncode}: {done.stderr}")
    return seconds, done.stdout


def summary(seconds: list[float]) -> str:
    return (
        f"median {statistics.median(seconds):6.3f} s  (least {min(seconds):.3f}, largest {max(seconds):.3f}, "
        f"{len(seconds)} runs)"
    )


@contextmanager
def private() -> Iterator[dict[str, str]]:
    """Variables with a runtime directory of their own; a stack that was started in it is stopped."""
    with tempfile.TemporaryDirectory(prefix="chatops-bench-") as directory:
        env = {name: value for name, value in os.environ.items() if not name.startswith(("AWS_", "CHATOPS_"))}
        env["CHATOPS_RUNTIME_DIR"] = directory
        try:
            yield env
        finally:
            subprocess.run([*CHATOPS, "local", "down", "-q"], env=env, check=False)


def bench_help() -> None:
    env = dict(os.environ)
    ours, base = [], []
    for run in range(16):
        pair = timed([*CHATOPS, "--help"], env)[0], timed(BASE, env)[0]
        if run:
            ours.append(pair[0])
            base.append(pair[1])
    ratios = [a / b for a, b in zip(ours, base, strict=True)]
    print(f"chatops --help               {summary(ours)}")
    print(f'python -c "import typer, rich" {summary(base)}')
    print(f"ratio of pairs               median {statistics.median(ratios):.2f} (wanted: at most 2)")


def bench_up() -> None:
    ready, whole = [], []
    for _ in range(5):
        with private() as env:
            begun = time.perf_counter()
            daemon.start(Path(env["CHATOPS_RUNTIME_DIR"]), daemon.StartOptions())
            ready.append(time.perf_counter() - begun)
        with private() as env:
            whole.append(timed([*CHATOPS, "local", "up"], env)[0])
    print(f"stack ready after its start  {summary(ready)} (wanted: at most 2 s)")
    print(f"local up, chat set up        {summary(whole)}")


def bench_demo() -> None:
    whole = []
    for _ in range(3):
        with private() as env:
            whole.append(timed([*CHATOPS, "demo"], env)[0])
    print(f"demo, nothing running before {summary(whole)} (wanted: at most 20 s)")


def bench_loadtest() -> None:
    joined, lost, verdicts, stages = [], [], [], []
    for _ in range(5):
        with private() as env:
            timed([*CHATOPS, "local", "up"], env)
            command = [*CHATOPS, "loadtest", "--clients", "500", "--env", "local", "--json"]
            document = json.loads(timed(command, env)[1])
        if document["clients"]["joined"] != 500:
            raise SystemExit(f"only {document['clients']} joined")
        joined.append(document["join"]["seconds"])
        lost.append(document["deliveries"]["lost"])
        verdicts.append(document["verdict"])
        stages.append(document["latency_ms"]["delivery"]["p50"])
    print(f"500 guests joined            {summary(joined)} (wanted: at most 5 s)")
    print(f"deliveries lost              {lost}, verdicts {verdicts}, delivery p50 {stages} ms")


def bench_setup() -> None:
    fresh, again = [], []
    with private() as env, tempfile.TemporaryDirectory(prefix="chatops-bench-") as folder:
        shown = timed([*CHATOPS, "local", "env"], env)[1]
        for line in shown.splitlines():
            if line.startswith("export "):
                name, _, value = line.removeprefix("export ").partition("=")
                env[name] = value.strip("'")
        for run in range(5):
            command = [*CHATOPS, "setup", "--env", f"bench{run}", "--env-dir", folder, "--yes"]
            fresh.append(timed(command, env)[0])
            again.append(timed(command, env)[0])
    print(f"setup, fresh                 {summary(fresh)} (wanted: at most 3 s)")
    print(f"setup, again                 {summary(again)} (wanted: at most 1 s)")


PARTS: dict[str, Callable[[], None]] = {
    "help": bench_help,
    "up": bench_up,
    "setup": bench_setup,
    "demo": bench_demo,
    "loadtest": bench_loadtest,
}


def main() -> None:
    unknown = set(sys.argv[1:]) - set(PARTS)
    if unknown:
        raise SystemExit(f"no such part: {', '.join(sorted(unknown))}; choose among {', '.join(PARTS)}")
    print(f"{os.cpu_count()} cores, Python {sys.version.split()[0]}, {Path(sys.executable).name}")
    for name in sys.argv[1:] or PARTS:
        PARTS[name]()


if __name__ == "__main__":
    main()
