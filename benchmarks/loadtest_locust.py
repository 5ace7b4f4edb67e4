"""Locust's own MQTT user (`MqttUser`, on paho), for `loadtest.py`; run with a Python that has locust and paho-mqtt.

python loadtest_locust.py PORT CLIENTS ROOMS POSTS_PER_S SECONDS FORM

FORM is `counter`: what Locust does by itself. Its MQTT user fires a request event for each connect, subscribe and
publish, and none for a delivery; here a bare counter hears those, so nothing of them is in Locust's statistics.
FORM is `events`: each delivery fires a request event with the time since it was sent, as a locustfile does that wants
deliveries counted and timed. That is the form that compares with a ledger; what is reported as received is then what
Locust's own statistics have counted.
"""

import json
import os
import resource
import sys
import time
import warnings

from gevent import monkey

monkey.patch_all()
warnings.simplefilter("ignore")  # Locust uses paho's first callback interface, and paho says so for every client

import gevent  # noqa: E402  (after patching)
from locust import constant, task  # noqa: E402
from locust.contrib.mqtt import MqttUser  # noqa: E402
from locust.env import Environment  # noqa: E402

PORT, CLIENTS, ROOMS, RATE, SECONDS = (int(text) for text in sys.argv[1:6])
FORM = sys.argv[6]
COUNTS = {"received": 0, "posted": 0, "joined": 0, "spawned": 0}
FILLING = b"x" * (300 - 17)


class Guest(MqttUser):
    """One guest: subscribes to its room, posts in its turn, hears its room."""

    host = "127.0.0.1"
    port = PORT
    transport = "websockets"
    ws_path = "/mqtt"
    use_loop_selectors = True  # the default, `select`, ends at 340 connections, and was no cheaper at 100
    wait_time = constant(CLIENTS / RATE)

    def on_start(self) -> None:
        """Subscribe once connected; wait for the others."""
        self.room = f"/chat/peer-{COUNTS['spawned'] % ROOMS}"
        COUNTS["spawned"] += 1
        self.client.on_message = self._heard_and_fired if FORM == "events" else self._heard
        while not self.client.is_connected():
            gevent.sleep(0.01)
        self.client.subscribe(self.room, 0)
        COUNTS["joined"] += 1
        while COUNTS["joined"] < CLIENTS:
            gevent.sleep(0.05)
        gevent.sleep(CLIENTS / RATE * (hash(self.client.client_id) % 1000) / 1000)  # not all at once

    def _heard(self, *_: object) -> None:
        COUNTS["received"] += 1

    def _heard_and_fired(self, _client: object, _data: object, message: object) -> None:
        self.environment.events.request.fire(
            request_type="MQTT",
            name="receive",
            response_time=(time.time() - float(message.payload[:17])) * 1000,
            response_length=len(message.payload),
            exception=None,
            context={},
        )

    @task
    def post(self) -> None:
        """Post once."""
        self.client.publish(self.room, b"%17.6f" % time.time() + FILLING, 1)
        COUNTS["posted"] += 1


def received(environment: Environment) -> int:
    """Deliveries so far."""
    return environment.stats.get("receive", "MQTT").num_requests if FORM == "events" else COUNTS["received"]


def main() -> None:
    environment = Environment(user_classes=[Guest])
    runner = environment.create_local_runner()
    runner.start(CLIENTS, spawn_rate=100)
    while COUNTS["joined"] < CLIENTS:
        gevent.sleep(0.1)
    gevent.sleep(2)
    before, begun = resource.getrusage(resource.RUSAGE_SELF), time.monotonic()
    heard, posted = received(environment), COUNTS["posted"]
    gevent.sleep(SECONDS)
    after, seconds = resource.getrusage(resource.RUSAGE_SELF), time.monotonic() - begun
    figures = {
        "received": received(environment) - heard,
        "posted": COUNTS["posted"] - posted,
        "seconds": seconds,
        "cpu_s": after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime,
        "rss_mb": after.ru_maxrss / 1024,
    }
    sys.stdout.write(json.dumps(figures) + "\n")
    sys.stdout.flush()
    os._exit(0)  # hundreds of greenlets in paho's loops do not end by themselves


if __name__ == "__main__":
    main()
