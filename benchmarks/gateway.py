"""The gateway beside Mosquitto: the same client program drives both over WebSockets, in turns, on this machine.

    python benchmarks/gateway.py [--repeats 5] [--seconds 4]

Three servers run all the time, each in its own process: Mosquitto, the gateway without checks, and the gateway with
SigV4 signatures and the guest policy checked. Every figure is the median of the repeats; ratios are medians of paired
runs, which follow one another at once. Throughput is measured with bounded numbers of messages on their way;
delivery times at a fixed rate, below saturation. Mosquitto's settings are at the end of this file.
"""

import argparse
import contextlib
import json
import os
import platform
import shutil
import signal
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Generator
from dataclasses import dataclass
from pathlib import Path

HERE = Path(__file__).resolve().parent
MOSQUITTO = shutil.which("mosquitto") or "/usr/sbin/mosquitto"

PACED = 20_000
"""Deliveries a second at which delivery times are compared."""

Figures = dict[str, float]


@dataclass(frozen=True)
class Server:
    """A running server and how the client reaches it."""

    name: str
    pid: int
    port: int
    guests: str = ""


@dataclass(frozen=True)
class Scenario:
    """One kind of run."""

    title: str
    arguments: tuple[str, ...]


SCENARIOS = (
    Scenario(f"{PACED:,} deliveries/s, QoS 1 in, QoS 0 out", ("--rate", str(PACED))),
    Scenario("saturated, QoS 1 in, QoS 0 out", ()),
    Scenario(f"{PACED:,} deliveries/s, QoS 1 in, QoS 1 out", ("--rate", str(PACED), "--qos-out", "1")),
    Scenario("saturated, QoS 1 in, QoS 1 out", ("--qos-out", "1")),
)


@contextlib.contextmanager
def mosquitto(directory: Path) -> Generator[Server]:
    """Start Mosquitto on a free port."""
    port, unused = free_port(), free_port()
    configuration = directory / "mosquitto.conf"
    configuration.write_text(SETTINGS.format(port=port, unused=unused))
    process = subprocess.Popen([MOSQUITTO, "-c", str(configuration)])
    try:
        wait_for(port)
        yield Server("Mosquitto", process.pid, port)
    finally:
        end(process)


@contextlib.contextmanager
def gateway(directory: Path, clients: int, *, checks: bool) -> Generator[Server]:
    """Start the gateway on a free port."""
    guests = str(directory / "guests.json") if checks else ""
    arguments = ["--guests", guests, "--clients", str(clients)] if checks else []
    process = subprocess.Popen(
        [sys.executable, str(HERE / "gateway_server.py"), *arguments],
        stdout=subprocess.PIPE,
        env={**os.environ, "PYTHONPATH": str(HERE.parent)},
        text=True,
    )
    try:
        port = json.loads(process.stdout.readline())["port"] if process.stdout else 0
        yield Server("gateway, checks on" if checks else "gateway", process.pid, port, guests)
    finally:
        end(process)


def run(server: Server, scenario: Scenario, options: argparse.Namespace) -> Figures:
    """One run of the client program."""
    command = [sys.executable, str(HERE / "gateway_client.py"), *scenario.arguments]
    command += ["--port", str(server.port), "--server", str(server.pid), "--mqtt", str(options.mqtt)]
    command += ["--clients", str(options.clients), "--rooms", str(options.rooms), "--seconds", str(options.seconds)]
    command += ["--guests", server.guests] if server.guests else []
    done = subprocess.run(command, check=True, capture_output=True, text=True, timeout=300)
    figures: Figures = json.loads(done.stdout)
    return figures


def report(scenario: Scenario, results: dict[str, list[Figures]]) -> None:
    """Print one scenario's medians, and ratios to Mosquitto."""
    print(f"\n{scenario.title}")
    print(f"{'':20} {'p50 ms':>9} {'p99 ms':>9} {'deliveries/s':>13} {'lost':>6} {'server CPU':>11} {'client CPU':>11}")
    peers = results["Mosquitto"]
    for name, runs in results.items():
        lost = max(figures["expected"] - figures["received"] for figures in runs)
        print(
            f"{name:20} {median(runs, 'p50_ms'):9.2f} {median(runs, 'p99_ms'):9.2f} "
            f"{median(runs, 'deliveries_s'):13,.0f} {lost:6.0f} "
            f"{median(runs, 'server_cpu'):11.0%} {median(runs, 'client_cpu'):11.0%}"
        )
        if runs is not peers:
            ratios = [
                f"{key.removesuffix('_ms').removesuffix('_s')} x "
                f"{statistics.median(mine[key] / theirs[key] for mine, theirs in zip(runs, peers, strict=True)):.2f}"
                for key in ("p50_ms", "p99_ms", "deliveries_s")
            ]
            print(f"{'':20} to Mosquitto, paired: {', '.join(ratios)}")


def median(runs: list[Figures], key: str) -> float:
    """The median of one figure over runs."""
    return statistics.median(figures[key] for figures in runs)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--seconds", type=float, default=3)
    parser.add_argument("--clients", type=int, default=500)
    parser.add_argument("--rooms", type=int, default=50)
    parser.add_argument("--mqtt", type=int, default=5, choices=(4, 5), help="4 is MQTT 3.1.1")
    parser.add_argument("--only", type=int, help="number of the only scenario to run, from 1")
    options = parser.parse_args()
    scenarios = [SCENARIOS[options.only - 1]] if options.only else list(SCENARIOS)
    print(f"{options.clients} clients in {options.rooms} rooms, {os.cpu_count()} cores, {platform.python_version()}")
    with contextlib.ExitStack() as stack:
        directory = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        directory.chmod(0o755)  # Mosquitto gives up its privileges before it reads
        servers = [
            stack.enter_context(mosquitto(directory)),
            stack.enter_context(gateway(directory, options.clients, checks=False)),
            stack.enter_context(gateway(directory, options.clients, checks=True)),
        ]
        for scenario in scenarios:
            results: dict[str, list[Figures]] = {server.name: [] for server in servers}
            for repeat in range(options.repeats):
                for server in servers if repeat % 2 == 0 else reversed(servers):
                    results[server.name].append(run(server, scenario, options))
            report(scenario, results)


def free_port() -> int:
    """A port that is free now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def wait_for(port: int) -> None:
    """Wait until something listens."""
    for _ in range(100):
        with contextlib.suppress(ConnectionRefusedError), socket.create_connection(("127.0.0.1", port)):
            return
        time.sleep(0.05)
    sys.exit("the server did not start")


def end(process: subprocess.Popen[str] | subprocess.Popen[bytes]) -> None:
    """Stop a process."""
    process.send_signal(signal.SIGTERM)
    process.wait(10)
    if process.stdout:
        process.stdout.close()


# Queues without bounds and TCP_NODELAY, so that Mosquitto neither drops nor waits. With a WebSockets listener alone
# Mosquitto 2.0.11 refuses to start, hence the unused one. `socket_domain` keeps it off other interfaces.
SETTINGS = """\
allow_anonymous true
set_tcp_nodelay true
max_queued_messages 0
max_inflight_messages 0
persistence false
log_dest none
listener {unused} 127.0.0.1
listener {port} 127.0.0.1
protocol websockets
socket_domain ipv4
"""

if __name__ == "__main__":
    main()
