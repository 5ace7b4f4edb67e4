"""How a run stands, for whoever shows it live."""

from dataclasses import dataclass
from enum import StrEnum


class Stage(StrEnum):
    """Where a run is."""

    JOINING = "joining"
    WARM_UP = "warm-up"
    STEADY = "steady"
    DRAIN = "drain"
    LEAVING = "leaving"


@dataclass(frozen=True, slots=True)
class Progress:
    """How a run stands; sent twice a second. Rates and percentiles are of the last full second."""

    stage: Stage
    elapsed_s: float
    joined: int
    join_failed: int
    posts_sent: int
    deliveries: int
    posts_per_s: float
    deliveries_per_s: float
    p50_ms: float | None
    p99_ms: float | None
    lost: int
    errors: int
    cost_usd: float
    cpu: float
    lag_ms_p99: float
    queue_max: int = 0
