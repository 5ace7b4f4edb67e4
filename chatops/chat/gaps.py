"""Gaps: what a watcher has not seen, and why."""

from dataclasses import dataclass
from datetime import datetime


@dataclass(frozen=True, slots=True)
class Gap:
    """A time in which messages were missed, or may have been.

    Attributes:
        since: from when on; not later than the first message that was missed.
        until: until when, None while it lasts.
        reason: for people, such as "session taken over".
        missed: how many messages, None when nobody can know.
    """

    since: datetime
    until: datetime | None
    reason: str
    missed: int | None = None
