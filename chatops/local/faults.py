"""Faults on demand: what the gateway does wrong when it is told to, so that measurements of it can be proved.

Every kind of decision has its own seeded stream, so that the n-th delivery meets the same fate in every run with the
same seed, whatever other faults are on. Faults touch what clients exchange; AWS's reserved topics are left alone.
"""

import heapq
import itertools
import random
import time
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, fields, replace
from typing import Any, Self

from chatops.local.limits import RateLimiter

THROTTLES = ("connects", "publishes-in", "publishes-out", "subscriptions", "identities", "credentials")
"""The account's quotas, by name."""

MOST_DELAY_S = 60.0
MOST_WAITING = 200_000
"""Deliveries held back at a time; what exceeds it is dropped, and counted."""

_HELD_S = 5.0  # a delivery to be overtaken waits this long for one that does
_EARLY_S = 0.0005  # event loops count in milliseconds
_SHARES = ("drop_deliveries", "duplicate", "reorder", "refuse_connects", "refuse_requests")
_STATUSES = (429, 500, 503)


class FaultError(ValueError):
    """A fault that cannot be; the text says which and why."""


@dataclass(frozen=True, slots=True)
class FaultSettings:
    """The faults in force. Shares are from 0 to 1.

    Attributes:
        drop_deliveries: of the deliveries, lost.
        duplicate: of the deliveries, delivered twice.
        reorder: of the deliveries, held back until the same sender's next one has overtaken them.
        delay_s: by which every delivery comes later.
        refuse_connects: of the WebSocket upgrades, answered 503.
        refuse_requests: of the control plane's requests, answered `request_status`.
        throttle: quota name and rate per second.
        seed: what chance follows from.
    """

    drop_deliveries: float = 0.0
    duplicate: float = 0.0
    reorder: float = 0.0
    delay_s: float = 0.0
    refuse_connects: float = 0.0
    refuse_requests: float = 0.0
    request_status: int = 500
    throttle: tuple[tuple[str, float], ...] = ()
    seed: int = 1

    @property
    def on_deliveries(self) -> bool:
        """Whether any delivery meets a fault."""
        return bool(
            self.drop_deliveries or self.duplicate or self.reorder or self.delay_s or "publishes-out" in self.rates
        )

    @property
    def rates(self) -> dict[str, float]:
        """The throttles by name."""
        return dict(self.throttle)

    def changed(self, changes: Mapping[str, Any]) -> Self:
        """These settings with others in their place, by name; a throttle is added to those there are.

        Raises:
            FaultError: a name or a value that cannot be.
        """
        known = {each.name for each in fields(self)}
        values: dict[str, Any] = {}
        for name, value in changes.items():
            if name not in known:
                raise FaultError(f"there is no fault {name!r}; there are {', '.join(sorted(known))}")
            values[name] = self._checked(name, value)
        return replace(self, **values)

    def _checked(self, name: str, value: Any) -> Any:
        if name in _SHARES:
            return _number(name, value, 0, 1)
        if name == "delay_s":
            return _number(name, value, 0, MOST_DELAY_S)
        if name == "throttle":
            return self._throttles(value)
        if isinstance(value, bool) or not isinstance(value, int) or abs(value) >= 2**63:
            raise FaultError(f"{name} is a whole number")
        if name == "request_status" and value not in _STATUSES:
            raise FaultError(f"request_status is one of {', '.join(map(str, _STATUSES))}")
        return value

    def _throttles(self, value: Any) -> tuple[tuple[str, float], ...]:
        if not isinstance(value, dict):
            raise FaultError("throttle maps names of quotas to rates per second")
        rates = self.rates
        for name, rate in value.items():
            if name not in THROTTLES:
                raise FaultError(f"there is no quota {name!r}; there are {', '.join(THROTTLES)}")
            rates[name] = _number(f"the rate of {name}", rate, 0.001, 1e9)
        return tuple(sorted(rates.items()))

    def document(self) -> dict[str, Any]:
        """What is in force, without what is not."""
        found = {name: value for name, value in asdict(self).items() if value}
        if not self.refuse_requests:
            found.pop("request_status", None)
        return {**found, **({"throttle": self.rates} if self.throttle else {})}


class Faults:
    """Decides what goes wrong, delivery by delivery.

    Args:
        call_later: has a function called after so many seconds, on the thread that all of this runs on.
        clock: seconds that never go back.
        throttled: called for each delivery that a throttle keeps back.
    """

    def __init__(
        self,
        call_later: Callable[[float, Callable[[], None]], object],
        *,
        clock: Callable[[], float] = time.monotonic,
        throttled: Callable[[], None] = lambda: None,
    ) -> None:
        self._throttled = throttled
        self.settings = FaultSettings()
        self.counts: Counter[str] = Counter()
        self._call_later = call_later
        self._clock = clock
        self._chances: dict[str, random.Random] = {}
        self._waiting: list[tuple[float, int, Callable[[], bool]]] = []
        self._numbers = itertools.count()
        self._timer_at = float("inf")
        self._last_due = float("-inf")
        self._held: dict[tuple[Any, Any, str], Callable[[], bool]] = {}
        self._outbound: RateLimiter | None = None

    def change(self, settings: FaultSettings) -> None:
        """Put settings in force; chance begins anew. What is held back already still comes."""
        self.settings = settings
        self._chances.clear()
        rate = settings.rates.get("publishes-out")
        self._outbound = None if rate is None else RateLimiter(rate, clock=self._clock)

    def refuses_connect(self) -> bool:
        """Whether the next connection is refused."""
        return self._chance("refuse_connects", "connects_refused")

    def refuses_request(self) -> bool:
        """Whether the next request to the control plane is refused."""
        return self._chance("refuse_requests", "requests_refused")

    def deliver(self, receiver: object, sender: object, topic: str, send: Callable[[], bool]) -> bool:
        """Deliver with whatever goes wrong; `send` delivers once. Returns whether it goes out, as far as is known."""
        if topic.startswith("$"):
            return send()
        if self._outbound is not None and not self._outbound.allow():
            self.counts["throttled"] += 1
            self._throttled()
            return False
        if self._chance("drop_deliveries", "dropped"):
            return False
        twice = self._chance("duplicate", "duplicated")
        key = (receiver, sender, topic)
        overtaken = self._held.pop(key, None)
        if overtaken is None and len(self._held) < MOST_WAITING and self._chance("reorder", "reordered"):
            self._held[key] = send
            self._wait(self._clock() + self.settings.delay_s + _HELD_S, lambda: self._release(key, send))
            return True
        going = self._send(send)
        if twice:
            self._send(send)
        if overtaken is not None:
            self._send(overtaken)
        return going

    def _send(self, send: Callable[[], bool]) -> bool:
        delay = self.settings.delay_s
        if not delay and self._last_due <= self._clock():
            return send()
        if len(self._waiting) >= MOST_WAITING:
            self.counts["overflowed"] += 1
            return False
        if delay:
            self.counts["delayed"] += 1
        self._last_due = max(self._last_due, self._clock() + delay)  # nothing overtakes what is delayed already
        self._wait(self._last_due, send)
        return True

    def _release(self, key: tuple[Any, Any, str], send: Callable[[], bool]) -> bool:
        """Let a delivery go that nothing has overtaken in time."""
        if self._held.get(key) is not send:
            return False
        del self._held[key]
        return send()

    def _wait(self, at: float, send: Callable[[], bool]) -> None:
        heapq.heappush(self._waiting, (at, next(self._numbers), send))
        self._set_timer(at)

    def _set_timer(self, at: float) -> None:
        if at < self._timer_at:
            self._timer_at = at
            self._call_later(max(0.0, at - self._clock()), self._due)

    def _due(self) -> None:
        self._timer_at = float("inf")
        now = self._clock() + _EARLY_S
        waiting = self._waiting
        while waiting and waiting[0][0] <= now:
            heapq.heappop(waiting)[2]()
        if waiting:
            self._set_timer(waiting[0][0])

    def _chance(self, share: str, counted: str) -> bool:
        value: float = getattr(self.settings, share)
        if not value:
            return False
        stream = self._chances.get(share)
        if stream is None:
            stream = self._chances[share] = random.Random(f"{self.settings.seed}/{share}")  # noqa: S311  (no secret)
        met = stream.random() < value
        self.counts[counted] += met
        return met


def _number(name: str, value: Any, least: float, most: float) -> float:
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not least <= value <= most:
        raise FaultError(f"{name} lies between {least:g} and {most:g}")
    return float(value)
