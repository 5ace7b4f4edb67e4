"""What a run on a cluster says of its machines."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from chatops.load.clocks import Agreement, Reading


@dataclass(frozen=True, slots=True)
class Machine:
    """One monotonic clock, and who read it.

    Attributes:
        host: its name, for people.
        workers: the engines that each worker carried, by its address.
        reading: how far the scheduler's clock was ahead; the error covers the drift where `checked`.
        checked: it was read again after the load.
    """

    host: str
    workers: Mapping[str, tuple[int, ...]]
    reading: Reading
    checked: bool

    def document(self) -> dict[str, Any]:
        """Its part of a run's JSON document."""
        return {
            "host": self.host,
            "workers": {worker: list(engines) for worker, engines in self.workers.items()},
            "clock_error_ms": round(self.reading.bound_ns / 1e6, 4),
            "clock_checked_again": self.checked,
        }


@dataclass(frozen=True, slots=True)
class ClusterReport:
    """The machines of a run.

    Attributes:
        scheduler: its address.
        between: what can be said of deliveries between machines.
        late_workers: joined the cluster after the engines had been placed, and were not used.
        refused: tasks that ran a second time and were sent away.
        allowed_failures: how often the scheduler would run a task again; it is None when it does not say.
    """

    scheduler: str
    machines: tuple[Machine, ...]
    between: Agreement
    late_workers: tuple[str, ...] = ()
    refused: int = 0
    allowed_failures: int | None = None

    @property
    def warnings(self) -> tuple[str, ...]:
        """What the reader of the figures has to know."""
        found = []
        if self.between.reason is not None:
            found.append(self.between.reason)
        unchecked = sum(not machine.checked for machine in self.machines)
        if unchecked and len(self.machines) > 1:
            found.append(f"the clocks of {unchecked} machines could not be compared again after the load")
        if self.late_workers:
            joined = f"{len(self.late_workers)} workers joined the cluster after the start and carried nobody"
            found.append(f"{joined}: {', '.join(self.late_workers[:3])}")
        return tuple(found)

    def document(self) -> dict[str, Any]:
        """Its part of a run's JSON document."""
        return {
            "scheduler": self.scheduler,
            "machines": [machine.document() for machine in self.machines],
            "between_machines": self.between.document(),
            "late_workers": list(self.late_workers),
            "refused_tasks": self.refused,
            "allowed_failures": self.allowed_failures,
        }
