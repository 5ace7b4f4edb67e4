"""What a run missed, beside what AWS says that it throttled: posts that were never acknowledged, lost deliveries."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from chatops.load.books import NO_ANSWER

SCHEMA = 1
KIND = "chatops report throttles"


@dataclass(frozen=True, slots=True)
class Counterpart:
    """One kind of throttling.

    Attributes:
        throttled: as CloudWatch has it, of the whole account.
        missed: what this run missed that this would explain.
        words: what that is.
    """

    name: str
    throttled: int
    missed: int
    words: str


def counterparts(
    document: Mapping[str, Any], *, connects: int, subscriptions: int, publishes_in: int, publishes_out: int
) -> tuple[Counterpart, ...]:
    """Put what was throttled beside what a run's document misses, warm-up included.

    Raises:
        KeyError, TypeError, ValueError: the document is no run's.
    """
    failures = document["failures"]
    phases = document["phases"].values()
    join = {str(cause): int(count) for cause, count in failures.get("join", {}).items()}

    def joins(stage: str) -> int:
        return sum(count for cause, count in join.items() if cause.startswith(f"{stage}:"))

    lost = sum(int(phase["deliveries"]["lost"]) for phase in phases)
    unanswered = int(failures.get("post", {}).get(NO_ANSWER, 0))
    return (
        Counterpart("connects", connects, joins("connect"), "guests that could not connect"),
        Counterpart("subscriptions", subscriptions, joins("subscribe"), "guests that could not subscribe"),
        Counterpart("posts", publishes_in, unanswered, "posts never acknowledged"),
        Counterpart("deliveries", publishes_out, lost, "deliveries lost"),
    )
