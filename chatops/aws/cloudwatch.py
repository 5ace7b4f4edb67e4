"""CloudWatch's account of AWS IoT Core (namespace `AWS/IoT`): what was throttled.

Its figures are of the whole account and Region, by the minute, whoever caused them, and come some minutes late.
"""

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from chatops.aws.session import Aws

_METRICS = ("Connect.Throttle", "Subscribe.Throttle", "PublishIn.Throttle", "PublishOut.Throttle")
_PERIOD_S = 60


@dataclass(frozen=True, slots=True)
class Throttled:
    """What AWS IoT Core throttled between two full minutes.

    Attributes:
        since, until: the minutes that the figures cover.
    """

    since: datetime
    until: datetime
    connects: int
    subscriptions: int
    publishes_in: int
    publishes_out: int


def throttled(aws: Aws, started_at: float, seconds: float) -> Throttled:
    """What was throttled around a run.

    Args:
        started_at: seconds since the epoch.
        seconds: how long it took.
    """
    begin = datetime.fromtimestamp(started_at, UTC).replace(second=0, microsecond=0)
    last = datetime.fromtimestamp(started_at + seconds, UTC).replace(second=0, microsecond=0)
    end = last + timedelta(seconds=_PERIOD_S)
    answer = aws.call(
        "cloudwatch",
        "get_metric_data",
        MetricDataQueries=[_query(number, metric) for number, metric in enumerate(_METRICS)],
        StartTime=begin,
        EndTime=end,
    )
    sums = dict.fromkeys(range(len(_METRICS)), 0)
    for result in answer["MetricDataResults"]:
        sums[int(str(result["Id"])[1:])] += round(sum(result["Values"]))
    return Throttled(begin, end, *sums.values())


def _query(number: int, metric: str) -> dict[str, object]:
    """Guests speak MQTT; the data plane's HTTP posts are the operator's."""
    return {
        "Id": f"m{number}",
        "MetricStat": {
            "Metric": {
                "Namespace": "AWS/IoT",
                "MetricName": metric,
                "Dimensions": [{"Name": "Protocol", "Value": "MQTT"}],
            },
            "Period": _PERIOD_S,
            "Stat": "Sum",
        },
    }
