"""What was throttled, by the minute, as CloudWatch has it of AWS IoT Core (namespace `AWS/IoT`, dimension Protocol).

The counts wait here until somebody asks CloudWatch; moto keeps them from there on.
"""

import time
from collections import Counter
from collections.abc import Callable
from enum import StrEnum
from urllib.parse import urlencode

NAMESPACE = "AWS/IoT"
MINUTE_S = 60
_MOST = 4 * 24 * 60  # a day's minutes of each metric


class Throttled(StrEnum):
    """The metrics, by AWS's names."""

    CONNECT = "Connect.Throttle"
    PUBLISH_IN = "PublishIn.Throttle"
    PUBLISH_OUT = "PublishOut.Throttle"
    SUBSCRIBE = "Subscribe.Throttle"


class Throttles:
    """Counts of what was throttled.

    Args:
        clock: seconds since the epoch.
    """

    def __init__(self, clock: Callable[[], float] = time.time) -> None:
        self._clock = clock
        self._counts: Counter[tuple[Throttled, int]] = Counter()

    def count(self, metric: Throttled) -> None:
        """Count one request or message."""
        self._counts[metric, int(self._clock() // MINUTE_S)] += 1
        if len(self._counts) > _MOST:
            del self._counts[next(iter(self._counts))]

    def take(self) -> list[tuple[Throttled, int, int]]:
        """Metric, the minute's beginning in seconds since the epoch, and count; what is taken is forgotten."""
        counts, self._counts = self._counts, Counter()
        return [(metric, minute * MINUTE_S, count) for (metric, minute), count in counts.items()]


def put_metric_data(taken: list[tuple[Throttled, int, int]]) -> bytes:
    """The body of CloudWatch's PutMetricData in the query protocol."""
    fields = {"Action": "PutMetricData", "Version": "2010-08-01", "Namespace": NAMESPACE}
    for number, (metric, at, count) in enumerate(taken, 1):
        member = f"MetricData.member.{number}"
        fields[f"{member}.MetricName"] = metric.value
        fields[f"{member}.Dimensions.member.1.Name"] = "Protocol"
        fields[f"{member}.Dimensions.member.1.Value"] = "MQTT"
        fields[f"{member}.Timestamp"] = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(at))
        fields[f"{member}.Unit"] = "Count"
        fields[f"{member}.Value"] = f"{count}"
    return urlencode(fields).encode()
