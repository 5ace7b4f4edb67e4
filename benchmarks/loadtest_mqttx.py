"""`mqttx bench sub` as its users run it, for `loadtest.py`: its CPU and memory, read from outside.

python loadtest_mqttx.py PORT CLIENTS POSTS_PER_S SECONDS ENTRY      (ENTRY: mqttx's cli/bin/index.js)

All clients are in one room: `bench sub` cannot spread them over rooms. It only receives, so this program posts, at
QoS 1 and an even pace, and its own CPU is not counted. mqttx says once a second how many messages it has received;
CPU is read whenever it does, and the window reaches from one such line to another.
"""

import json
import re
import statistics
import subprocess
import sys
import threading
import time

import paho.mqtt.client as mqtt
from processes import cpu_s, end, rss_mb

PORT, CLIENTS, RATE, SECONDS = (int(text) for text in sys.argv[1:5])
ENTRY = sys.argv[5]
ROOM = "/chat/peer"
PAYLOAD = b"x" * 300
_JOIN_LIMIT_S = 30.0
Sample = tuple[float, int, float]
"""When mqttx printed its line, how many it has received, its CPU seconds."""


def watch(process: "subprocess.Popen[str]", subscribed: threading.Event, samples: list[Sample]) -> None:
    """Read what mqttx says until it ends."""
    assert process.stdout is not None  # noqa: S101
    for line in process.stdout:
        if "All connections subscribed" in line:
            subscribed.set()
        found = re.search(r"Received total: (\d+)", line)
        if found:
            samples.append((time.monotonic(), int(found[1]), cpu_s(process.pid)))


def poster() -> mqtt.Client:
    """A connected client that subscribes to nothing."""
    client = mqtt.Client(mqtt.CallbackAPIVersion.VERSION2, transport="websockets", protocol=mqtt.MQTTv5)
    client.ws_set_options(path="/mqtt")
    client.connect("127.0.0.1", PORT)
    client.loop_start()
    return client


def post(client: mqtt.Client, seconds: float, memory: list[float], pid: int) -> None:
    """Post evenly; read the memory about twice a second."""
    begun = time.monotonic()
    for number in range(int(RATE * seconds)):
        time.sleep(max(0.0, begun + number / RATE - time.monotonic()))
        client.publish(ROOM, PAYLOAD, 1)
        if number % max(1, RATE // 2) == 0:
            memory.append(rss_mb(pid))


def main() -> None:
    command = ["node", ENTRY, "bench", "sub", "-l", "ws", "--path", "/mqtt", "-h", "127.0.0.1", "-p", str(PORT)]
    command += ["-c", str(CLIENTS), "-i", "1", "-t", ROOM, "-q", "0", "-v"]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    samples: list[Sample] = []
    memory: list[float] = []
    subscribed = threading.Event()
    reader = threading.Thread(target=watch, args=(process, subscribed, samples), daemon=True)
    reader.start()
    try:
        if not subscribed.wait(_JOIN_LIMIT_S):
            sys.exit("mqttx did not subscribe everybody")
        time.sleep(1.0)
        idle = rss_mb(process.pid)
        client = poster()
        post(client, 1.5, [], process.pid)
        before = len(samples)
        post(client, SECONDS + 1.5, memory, process.pid)
        after = len(samples)
        client.disconnect()
    finally:
        end(process)
    (begun, first, cpu), (ended, last, used) = samples[before], samples[after - 1]
    figures = {
        "received": last - first,
        "posted": round((last - first) / CLIENTS),
        "seconds": ended - begun,
        "cpu_s": used - cpu,
        "rss_mb": max(memory),
        "rss_idle_mb": idle,
        "rss_median_mb": statistics.median(memory),
    }
    sys.stdout.write(json.dumps(figures) + "\n")


if __name__ == "__main__":
    main()
