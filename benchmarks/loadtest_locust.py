"""Locust's own MQTT user (paho), for `loadtest.py`; run with a Python that has locust and paho-mqtt.

python loadtest_locust.py PORT CLIENTS ROOMS POSTS_PER_S SECONDS
"""

import json
import random
import resource
import sys
import time

from gevent import monkey

monkey.patch_all()

import gevent  # noqa: E402  (after patching)
from locust import User, constant, task  # noqa: E402
from locust.contrib.mqtt import MqttClient  # noqa: E402
from locust.env import Environment  # noqa: E402

PORT, CLIENTS, ROOMS, RATE, SECONDS = (int(text) for text in sys.argv[1:6])
COUNTS = {"received": 0, "posted": 0, "joined": 0}
PAYLOAD = b"x" * 300


class Guest(User):
    """One guest: subscribes to its room, posts in its turn, counts what it hears."""

    wait_time = constant(CLIENTS / RATE)

    def on_start(self) -> None:
        """Connect and subscribe."""
        self.room = f"/chat/peer-{random.randrange(ROOMS)}"  # noqa: S311
        self.client = MqttClient(environment=self.environment, transport="websockets", use_loop_selectors=True)
        self.client.ws_set_options(path="/mqtt")
        self.client.on_message = self._heard
        self.client.connect("127.0.0.1", PORT, keepalive=300)
        self.client.loop_start()
        while not self.client.is_connected():
            gevent.sleep(0.01)
        self.client.subscribe(self.room, 0)
        COUNTS["joined"] += 1

    def _heard(self, *_: object) -> None:
        COUNTS["received"] += 1

    @task
    def post(self) -> None:
        """Post once."""
        if COUNTS["joined"] >= CLIENTS:
            self.client.publish(self.room, PAYLOAD, 1)
            COUNTS["posted"] += 1


def main() -> None:
    environment = Environment(user_classes=[Guest])
    runner = environment.create_local_runner()
    runner.start(CLIENTS, spawn_rate=100)
    while COUNTS["joined"] < CLIENTS:
        gevent.sleep(0.1)
    gevent.sleep(1)
    before, begun = resource.getrusage(resource.RUSAGE_SELF), time.monotonic()
    received, posted = COUNTS["received"], COUNTS["posted"]
    gevent.sleep(SECONDS)
    after, seconds = resource.getrusage(resource.RUSAGE_SELF), time.monotonic() - begun
    figures = {
        "received": COUNTS["received"] - received,
        "posted": COUNTS["posted"] - posted,
        "seconds": seconds,
        "cpu_s": after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime,
        "rss_mb": after.ru_maxrss / 1024,
    }
    sys.stdout.write(json.dumps(figures) + "\n")
    sys.stdout.flush()
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    import os  # noqa: PLC0415

    os._exit(0)


if __name__ == "__main__":
    main()
