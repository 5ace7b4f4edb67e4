"""`chatops tail` beside `mosquitto_sub`: the same Mosquitto, the same messages, both sides in one run.

    python benchmarks/tail.py [--messages 1000000] [--skip-memory]

Mosquitto serves `mosquitto_sub` over TCP (its library knows no WebSockets) and the tail over WebSockets, with the
handshake that AWS would check and Mosquitto does not. Both write to a file: the tail JSON lines, mosquitto_sub its own
JSON (%j). CPU time is that of the process, the start included. With MQTT.js installed (`npm install mqtt`, named with
--mqtt-js DIR), its `mqtt_sub` is measured too; MQTTX's command line, which is built on it, is not on npm.
"""

import argparse
import json
import os
import re
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Generator, Sequence
from contextlib import contextmanager
from pathlib import Path

CHATOPS = [sys.executable, "-m", "chatops.cli.app"]
TOPIC = "/chat/lobby"
RATE = 15_000


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--messages", type=int, default=1_000_000, help="of the run that memory is read in")
    parser.add_argument("--skip-memory", action="store_true")
    parser.add_argument("--mqtt-js", type=Path, help="a folder in which `npm install mqtt` was run")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="chatops-benchmark-") as name:
        directory = Path(name)
        (directory / "env").mkdir()
        env = {**os.environ, "CHATOPS_RUNTIME_DIR": str(directory / "run"), "CHATOPS_ENV_DIR": str(directory / "env")}
        subprocess.run(
            [*CHATOPS, "local", "up", "-q", "--quotas", "none"], env=env, check=True, stdout=subprocess.DEVNULL
        )
        try:
            starts(env)
            ports = free_port(), free_port()
            with mosquitto(directory, ports):
                write_environment(directory, ports[1])
                cpu(directory, env, ports[0], arguments.mqtt_js)
                paced(directory, env, ports[0])
                if not arguments.skip_memory:
                    memory(directory, env, ports[0], arguments.messages)
            outage(directory, env, ports)
        finally:
            subprocess.run([*CHATOPS, "local", "down", "-q"], env=env, check=True)


def starts(env: dict[str, str]) -> None:
    """How long until the first message shows, and how long a post takes; on the local stack, the best of five."""
    posts, firsts = [], []
    for _ in range(5):
        begun = time.monotonic()
        subprocess.run(
            [*CHATOPS, "post", "lobby", "hello", "--env", "local", "-q"], env=env, check=True, capture_output=True
        )
        posts.append(time.monotonic() - begun)
    feeder = subprocess.Popen(
        [*CHATOPS, "post", "lobby", "-", "--lines", "--rate", "50", "--env", "local", "-q"],
        env=env, stdin=subprocess.PIPE, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
    )  # fmt: skip
    assert feeder.stdin is not None  # noqa: S101
    feeder.stdin.write(b"x\n" * 3000)
    feeder.stdin.flush()
    time.sleep(1.5)
    for _ in range(5):
        begun = time.monotonic()
        subprocess.run(
            [*CHATOPS, "tail", "lobby", "-n", "1", "--env", "local", "-q"], env=env, check=True, capture_output=True
        )
        firsts.append(time.monotonic() - begun)
    feeder.kill()
    feeder.wait()
    feeder.stdin.close()
    print(f"post, whole command:             best {min(posts):.2f} s, median {sorted(posts)[2]:.2f} s (target 0.5)")
    print(f"tail, start to first message:    best {min(firsts):.2f} s, median {sorted(firsts)[2]:.2f} s (target 1.0)")


def cpu(directory: Path, env: dict[str, str], port: int, mqtt_js: Path | None) -> None:
    """Messages for each second of CPU time, three runs a side, in turn."""
    count = 200_000
    messages = write_messages(directory, count)
    sides = {
        "mosquitto_sub -F %j": ["mosquitto_sub", "-p", str(port), "-t", TOPIC, "-C", str(count), "-F", "%j"],
        "chatops tail": [*CHATOPS, "tail", "lobby", "-n", str(count), "--env", "bench", "-q"],
    }
    if mqtt_js is not None:
        script = str(mqtt_js / "node_modules/mqtt/build/bin/sub.js")
        sides["MQTT.js mqtt_sub"] = ["node", script, "-p", str(port), "-h", "127.0.0.1", "-t", TOPIC, "-v"]
    best: dict[str, float] = {}
    for _ in range(3):
        for name, command in sides.items():
            with (directory / "out").open("wb") as out:
                process = subprocess.Popen(command, env=env, stdout=out, stderr=subprocess.DEVNULL)
                time.sleep(2.0)
                publish(port, messages)
                if name.startswith("MQTT.js"):
                    wait_quiet(directory / "out")
                    process.terminate()
                _, status, usage = os.wait4(process.pid, 0)
                process.returncode = os.waitstatus_to_exitcode(status)
            lines = (directory / "out").read_bytes().count(b"\n")
            per_s = lines / (usage.ru_utime + usage.ru_stime)
            print(
                f"  {name:<22} {lines:,} lines, {usage.ru_utime + usage.ru_stime:.2f} CPU-s: {per_s:,.0f} a CPU-second"
            )
            best[name] = max(best.get(name, 0.0), per_s)
    ours = best["chatops tail"]
    for name, theirs in best.items():
        if name != "chatops tail":
            print(
                f"tail per CPU-second:             {ours:,.0f}; {name} {theirs:,.0f}: {ours / theirs:.2f} times as many"
            )


def paced(directory: Path, env: dict[str, str], port: int) -> None:
    """15,000 messages a second for ten seconds: does everything come?"""
    count = RATE * 10
    with tail(directory, env, ["-n", str(count), "--idle", "10s"]) as process:
        send_paced(port, count, RATE)
        process.wait(60)
    lines = (directory / "out").read_bytes().count(b"\n")
    print(f"paced at {RATE:,}/s:              {lines:,} of {count:,} shown")


def memory(directory: Path, env: dict[str, str], port: int, count: int) -> None:
    """The tail's resident memory after 10,000 messages and after all."""
    with tail(directory, env, ["--idle", "10s"]) as process:
        send_paced(port, 10_000, RATE)
        time.sleep(1)
        early = resident_mb(process.pid)
        send_paced(port, count - 10_000, RATE)
        time.sleep(1)
        late = resident_mb(process.pid)
        process.wait(60)
    lines = (directory / "out").read_bytes().count(b"\n")
    print(
        f"memory:                          {early:.1f} MB after 10,000 messages, {late:.1f} MB after {lines:,}: "
        f"{late - early:+.1f} MB (target ±10)"
    )


def outage(directory: Path, env: dict[str, str], ports: tuple[int, int]) -> None:
    """The gateway is killed, and back after five seconds."""
    broker = start_mosquitto(directory, ports)
    with tail(directory, env, []) as process:
        broker.kill()
        broker.wait()
        time.sleep(5)
        broker = start_mosquitto(directory, ports)
        back = time.time()
        while not (directory / "out").read_bytes():
            time.sleep(0.05)
        process.terminate()
        process.wait()
    broker.terminate()
    broker.wait()
    gap = json.loads((directory / "out").read_text().splitlines()[0])
    moment = time.mktime(time.strptime(gap["to"][:19], "%Y-%m-%dT%H:%M:%S")) - time.timezone + float(gap["to"][19:-1])
    print(
        f"after an outage of 5 s:          connected {moment - back:.2f} s after it was back (target 3); "
        f"{json.dumps(gap)}"
    )


@contextmanager
def tail(directory: Path, env: dict[str, str], arguments: Sequence[str]) -> Generator["subprocess.Popen[bytes]"]:
    """A tail that is connected, its lines in the file `out`."""
    with (directory / "out").open("wb") as out:
        process = subprocess.Popen(
            [*CHATOPS, "tail", "lobby", "--env", "bench", *arguments], env=env, stdout=out, stderr=subprocess.PIPE
        )
        assert process.stderr is not None  # noqa: S101
        try:
            while b"watching" not in process.stderr.readline():
                pass
            yield process
        finally:
            process.kill()
            process.wait()
            process.stderr.close()


def write_messages(directory: Path, count: int) -> Path:
    path = directory / "messages"
    with path.open("w", encoding="utf-8") as file:
        file.writelines(message(number) for number in range(count))
    return path


def message(number: int) -> str:
    """About 210 bytes, as people write them."""
    return (
        f'{{"id":"01J{number:023d}","from":"us-east-1:4f2a9c11-0000-4000-8000-{number % 500:012d}",'
        f'"name":"Guest {number % 500}","kind":"chat","text":"message number {number}, as long as people write",'
        f'"sent":"2026-01-31T23:59:59.123Z"}}\n'
    )


def publish(port: int, messages: Path) -> None:
    with messages.open("rb") as file:
        subprocess.run(["mosquitto_pub", "-p", str(port), "-t", TOPIC, "-l"], stdin=file, check=True)


def send_paced(port: int, count: int, rate: int) -> None:
    process = subprocess.Popen(["mosquitto_pub", "-p", str(port), "-t", TOPIC, "-l"], stdin=subprocess.PIPE)
    assert process.stdin is not None  # noqa: S101
    begun = time.monotonic()
    sent = 0
    while sent < count:
        due = min(count, int((time.monotonic() - begun) * rate))
        process.stdin.write("".join(message(number) for number in range(sent, due)).encode())
        process.stdin.flush()
        sent = due
        time.sleep(0.005)
    process.stdin.close()
    process.wait()


def wait_quiet(path: Path) -> None:
    size = -1
    while size != (size := path.stat().st_size):
        time.sleep(1.0)


def write_environment(directory: Path, port: int) -> None:
    """An environment whose gateway is Mosquitto, and whose guests come from the local stack."""
    source = next((directory / "run").rglob("local.json"))
    document = json.loads(source.read_text())
    document["endpoints"]["gateway"] = f"ws://127.0.0.1:{port}/mqtt"
    (directory / "env" / "bench.json").write_text(json.dumps(document))


@contextmanager
def mosquitto(directory: Path, ports: tuple[int, int]) -> Generator[None]:
    process = start_mosquitto(directory, ports)
    try:
        yield
    finally:
        process.terminate()
        process.wait()


def start_mosquitto(directory: Path, ports: tuple[int, int]) -> "subprocess.Popen[bytes]":
    command = shutil.which("mosquitto") or "/usr/sbin/mosquitto"
    path = directory / "mosquitto.conf"
    path.write_text(
        "allow_anonymous true\nmax_queued_messages 0\nmax_inflight_messages 0\n"
        f"listener {ports[0]} 127.0.0.1\n"
        f"listener {ports[1]} 127.0.0.1\nprotocol websockets\nsocket_domain ipv4\n"
    )
    process = subprocess.Popen([command, "-c", str(path)], stderr=subprocess.DEVNULL)
    while True:
        try:
            socket.create_connection(("127.0.0.1", ports[1]), 1).close()
        except OSError:
            time.sleep(0.01)
        else:
            return process


def resident_mb(pid: int) -> float:
    found = re.search(r"VmRSS:\s+(\d+) kB", Path(f"/proc/{pid}/status").read_text())
    return int(found[1]) / 1024 if found else 0.0


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


if __name__ == "__main__":
    main()
