"""The load test beside its peers: CPU of the generator for each delivery, on the same traffic, in turns.

    python benchmarks/loadtest.py [--repeats 3] [--mqttx ENTRY] [--mqttjs DIR] [--locust PYTHON] [--joins]

One gateway without checks runs in a process of its own. Each peer connects the same number of clients to it, posts at
the same rate at QoS 1, and receives at QoS 0. chatops signs each handshake, times each delivery from due and from sent,
enters it in the ledger and writes it to disk. `mqttx bench sub` (ENTRY: the path of an installed MQTTX's file
`cli/bin/index.js`) only counts and does not post; all its clients are in one room, with as many deliveries a second,
and it is compared with chatops doing (and posting) the same. MQTT.js, which it is made of (`npm install mqtt` into
DIR), posts and counts. Locust's MQTT user (a Python with locust and paho-mqtt) is run in two forms: as it is, with a
bare counter for deliveries, which Locust's statistics do not know of; and with the request event for each delivery
that counts and times it there; the latter also with everybody in one room. `--joins` then measures joining and memory
with real guests against a whole local stack. Figures are medians of the repeats; nothing is asserted.
"""

import argparse
import contextlib
import json
import os
import signal
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Generator
from pathlib import Path
from typing import Any

HERE = Path(__file__).resolve().parent
ROOT = HERE.parent
LOCUST_CLIENTS = 100
"""Locust saturates long before the others: it gets a tenth of the traffic, and is compared by CPU a delivery."""


@contextlib.contextmanager
def gateway() -> Generator[int]:
    """The gateway in a process of its own; its port."""
    command = [sys.executable, str(HERE / "gateway_server.py")]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=variables())
    assert process.stdout is not None  # noqa: S101
    try:
        yield int(json.loads(process.stdout.readline())["port"])
    finally:
        process.send_signal(signal.SIGTERM)
        process.wait(20)


def variables(**more: str) -> dict[str, str]:
    return {**os.environ, "PYTHONPATH": f"{ROOT}{os.pathsep}{HERE}", **more}


def run(command: list[str], env: dict[str, str], **options: Any) -> dict[str, Any]:
    """One peer's run; its figures are the last line that it prints."""
    done = subprocess.run(command, env=env, capture_output=True, text=True, timeout=180, check=False, **options)
    lines = [line for line in done.stdout.splitlines() if line.startswith("{")]
    if not lines:
        raise SystemExit(f"{command[0]} failed:\n{done.stderr[-2000:]}")
    found = json.loads(lines[-1])
    assert isinstance(found, dict)  # noqa: S101
    return found


def show(name: str, runs: list[dict[str, Any]]) -> float:
    """A line of figures; returns deliveries per CPU-second."""
    each = statistics.median(figures["received"] / figures["cpu_s"] for figures in runs)
    rate = statistics.median(figures["received"] / figures["seconds"] for figures in runs)
    memory = statistics.median(figures["rss_mb"] for figures in runs)
    words = ""
    if "p50_ms" in runs[0]:
        p50, p99 = (statistics.median(figures[key] for figures in runs) for key in ("p50_ms", "p99_ms"))
        lost = sum(figures["lost"] for figures in runs)
        verdicts = ", ".join(figures["verdict"] for figures in runs)
        words = f"   p50 {p50:.2f} ms, p99 {p99:.2f} ms, {lost} lost; {verdicts}"
    print(f"{name:<34}{rate:>10,.0f}/s{each:>14,.0f}{1e6 / each:>9.1f} µs{memory:>8,.0f} MB{words}")
    return each


def deliveries(options: argparse.Namespace) -> None:
    print(f"{'':<34}{'deliveries':>12}{'per CPU-s':>14}{'each':>12}{'memory':>11}")
    traffic = [str(options.clients), str(options.rooms), str(options.rate), str(options.seconds)]
    tenth = [str(LOCUST_CLIENTS), str(options.rooms // 5), str(options.rate // 10), str(options.seconds)]
    runs: dict[str, list[dict[str, Any]]] = {}
    with gateway() as port:
        for _ in range(options.repeats):
            program = [sys.executable, str(HERE / "loadtest_chatops.py"), str(port)]
            runs.setdefault("chatops: timed, accounted, written", []).append(run([*program, *traffic], variables()))
            one_room = [traffic[0], "1", str(max(1, options.rate // options.rooms)), traffic[3]]
            runs.setdefault("chatops, all in one room", []).append(run([*program, *one_room], variables()))
            if options.mqttjs:
                peer = ["node", str(HERE / "loadtest_peer.js"), str(port), *traffic]
                found = run(peer, variables(NODE_PATH=str(Path(options.mqttjs) / "node_modules")))
                runs.setdefault("MQTT.js: counted", []).append(found)
            if options.mqttx:
                posts = max(1, options.rate // options.rooms)  # each reaches everybody, not only a room
                numbers = [str(options.clients), str(posts), str(options.seconds)]
                peer = [sys.executable, str(HERE / "loadtest_mqttx.py"), str(port), *numbers, options.mqttx]
                runs.setdefault("mqttx bench: counted", []).append(run(peer, variables()))
            if options.locust:
                for form, words in (("counter", "a bare counter"), ("events", "counted and timed")):
                    peer = [options.locust, str(HERE / "loadtest_locust.py"), str(port), *tenth, form]
                    runs.setdefault(f"Locust, a tenth: {words}", []).append(run(peer, dict(os.environ)))
                rate = options.rate * options.clients // options.rooms // 10 // LOCUST_CLIENTS
                together = [str(LOCUST_CLIENTS), "1", str(max(1, rate)), str(options.seconds), "events"]
                peer = [options.locust, str(HERE / "loadtest_locust.py"), str(port), *together]
                runs.setdefault("Locust, a tenth, all in one room", []).append(run(peer, dict(os.environ)))
    rates = {name: show(name, found) for name, found in runs.items()}
    ours, in_one_room, *_ = rates.values()
    for name, each in list(rates.items())[2:]:
        mine = in_one_room if name.startswith("mqttx") or "one room" in name else ours
        print(f"chatops takes on {mine / each:.2f} x as many deliveries a CPU-second as {name}")


def joins(options: argparse.Namespace) -> None:
    """Real guests against a whole stack: credentials, signatures, policy."""
    with tempfile.TemporaryDirectory() as folder:
        env = variables(CHATOPS_RUNTIME_DIR=folder)
        command = [sys.executable, "-m", "chatops.cli.app"]
        subprocess.run([*command, "local", "up", "-q", "--quotas", "none"], env=env, check=True, cwd=folder)
        try:
            base = None
            for clients in (10, 500, options.most):
                arguments = ["--clients", str(clients), "--rate", "0.01", "--duration", "2", "--warm-up", "0", "--json"]
                load = [*command, "loadtest", "--env", "local", "-q", *arguments, "--out", f"{folder}/{clients}"]
                done = subprocess.run(load, env=env, capture_output=True, text=True, cwd=folder, check=False)
                document = json.loads(done.stdout)
                memory = document["generator"]["rss_mb"]
                base = memory if base is None else base
                each = (memory - base) * 1024 / clients
                print(
                    f"{clients:>7,} guests joined in {document['join']['seconds']:.2f} s "
                    f"({document['clients']['failed']} failed), {memory:,.0f} MB"
                    + (f", {each:.0f} KiB each beyond the first ten" if clients > 10 else "")
                )
        finally:
            subprocess.run([*command, "local", "down", "-q"], env=env, check=True, cwd=folder)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--clients", type=int, default=500)
    parser.add_argument("--rooms", type=int, default=50)
    parser.add_argument("--rate", type=int, default=1000, help="posts per second of all")
    parser.add_argument("--seconds", type=int, default=5)
    parser.add_argument("--mqttx", metavar="ENTRY", help="the path of mqttx's cli/bin/index.js")
    parser.add_argument("--mqttjs", metavar="DIR", help="where npm has installed mqtt")
    parser.add_argument("--locust", metavar="PYTHON", help="a Python with locust and paho-mqtt")
    parser.add_argument("--joins", action="store_true", help="measure joining as well")
    parser.add_argument("--most", type=int, default=10_000, help="how many guests join at most")
    options = parser.parse_args()
    deliveries(options)
    if options.joins:
        joins(options)


if __name__ == "__main__":
    main()
