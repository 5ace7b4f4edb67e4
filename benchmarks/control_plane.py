"""The control plane: calls that guests make, and what an operator's calls do to deliveries.

    python benchmarks/control_plane.py

Part one: GetId and GetCredentialsForIdentity, 16 at a time from one client program, against the local stack and against
moto's own server, each in a process of its own, in turn. moto answers with the same keys for everybody; ours are signed
for, judged by the role's trust policy, and differ.

Part two: deliveries of a load test with and without an operator who lists roles all the time: work of moto's, in the
process and under the interpreter lock of the gateway.
"""

import asyncio
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from chatops.aws.session import Aws
from chatops.cli.lifecycle import local_target
from chatops.environment import load
from chatops.errors import ChatopsError
from chatops.local.daemon import find
from chatops.local.record import StackRecord, environment_directory
from chatops.mqtt.guests import Guests

CHATOPS = [sys.executable, "-m", "chatops.cli.app"]
MOTO = (
    "import sys, time; from moto.server import ThreadedMotoServer;"
    "import logging; logging.getLogger('werkzeug').setLevel(logging.ERROR);"
    "s = ThreadedMotoServer(ip_address='127.0.0.1', port=0, verbose=False); s.start();"
    "print(s.get_host_and_port()[1], flush=True); sys.stdin.read()"
)
GUESTS = 1000
AT_ONCE = 16


@contextmanager
def stack() -> Iterator[tuple[dict[str, str], StackRecord, str]]:
    """A stack with a chat; yields variables, its record and the pool."""
    with tempfile.TemporaryDirectory(prefix="chatops-bench-") as directory:
        env = {name: value for name, value in os.environ.items() if not name.startswith(("AWS_", "CHATOPS_"))}
        env["CHATOPS_RUNTIME_DIR"] = directory
        subprocess.run([*CHATOPS, "local", "up", "-q"], env=env, check=True, stdout=subprocess.DEVNULL)
        try:
            record = find(Path(directory))
            if record is None:
                raise SystemExit("the stack did not start")
            yield env, record, load(environment_directory(Path(directory)), "local").identity_pool_id
        finally:
            subprocess.run([*CHATOPS, "local", "down", "-q"], env=env, check=False)


@contextmanager
def moto() -> Iterator[tuple[str, str]]:
    """Moto's own server with an identity pool; yields its URL and the pool."""
    process = subprocess.Popen(
        [sys.executable, "-c", MOTO],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    )
    try:
        if process.stdout is None:
            raise SystemExit("moto has no output")
        for line in process.stdout:
            if line.strip().isdigit():
                url = f"http://127.0.0.1:{line.strip()}"
                break
        else:
            raise SystemExit("moto did not start")
        import boto3  # noqa: PLC0415  (only this part needs it)

        client = boto3.client(
            "cognito-identity",
            endpoint_url=url,
            region_name="us-east-1",
            aws_access_key_id="test",
            aws_secret_access_key="test",
        )
        pool = client.create_identity_pool(IdentityPoolName="bench", AllowUnauthenticatedIdentities=True)
        yield url, pool["IdentityPoolId"]
    finally:
        process.kill()
        process.wait()


async def vend(url: str, pool_id: str) -> float:
    """Calls per second for GUESTS guests, two calls each."""
    async with Guests(url, pool_id, connections=AT_ONCE) as guests:
        left = iter(range(GUESTS))

        async def worker() -> None:
            for _ in left:
                await guests.credentials(await guests.new_identity())

        begun = time.perf_counter()
        await asyncio.gather(*(worker() for _ in range(AT_ONCE)))
        return 2 * GUESTS / (time.perf_counter() - begun)


def part_one() -> None:
    with stack() as (_, record, pool), moto() as (moto_url, moto_pool):
        ours, theirs = [], []
        for turn in range(6):
            pair = (asyncio.run(vend(record.control_url, pool)), asyncio.run(vend(moto_url, moto_pool)))
            if turn:
                ours.append(pair[0])
                theirs.append(pair[1])
    ratio = statistics.median(a / b for a, b in zip(ours, theirs, strict=True))
    print(f"GetId + GetCredentialsForIdentity, local stack: median {statistics.median(ours):6.0f} calls/s")
    print(f"GetId + GetCredentialsForIdentity, moto server: median {statistics.median(theirs):6.0f} calls/s")
    print(f"ratio of pairs: {ratio:.1f}")


def deliveries(env: dict[str, str], record: StackRecord, *, disturbed: bool) -> tuple[float, float, int]:
    """p50 and p99 in milliseconds, and the operator's calls per second."""
    command = [*CHATOPS, "loadtest", "--clients", "200", "--duration", "6", "--env", "local", "--json"]
    process = subprocess.Popen(command, env=env, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
    calls = 0
    begun = time.perf_counter()
    aws = Aws(local_target(record))
    while disturbed and process.poll() is None:
        try:
            aws.call("iam", "list_roles")
            calls += 1
        except ChatopsError as error:
            raise SystemExit(error.problem) from None
        time.sleep(0.02)
    output = process.communicate()[0]
    found = json.loads(output)["latency_ms"]["delivery_from_send"]
    return found["p50"], found["p99"], round(calls / (time.perf_counter() - begun))


def part_two() -> None:
    with stack() as (env, record, _):
        quiet, disturbed, rates = [], [], []
        for _ in range(3):
            quiet.append(deliveries(env, record, disturbed=False)[:2])
            p50, p99, rate = deliveries(env, record, disturbed=True)
            disturbed.append((p50, p99))
            rates.append(rate)
    for words, figures in (("alone", quiet), (f"with {statistics.median(rates):.0f} operator calls/s", disturbed)):
        p50 = statistics.median(figure[0] for figure in figures)
        p99 = statistics.median(figure[1] for figure in figures)
        print(f"deliveries {words}: p50 {p50:.1f} ms, p99 {p99:.1f} ms")


if __name__ == "__main__":
    part_one()
    part_two()
