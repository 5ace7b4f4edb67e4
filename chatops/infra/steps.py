"""Steps and plans: what the planner makes, the executor carries out, and the commands show."""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum
from typing import Any

from chatops.infra.page import Placement
from chatops.infra.resources import Desired, Kind


class Action(Enum):
    """What a step does to its resource."""

    CREATE = "create"
    CHANGE = "change"
    DELETE = "delete"
    KEEP = "keep"


@dataclass(frozen=True, slots=True)
class Step:
    """One thing to do.

    Attributes:
        name: the resource's name, or its id once it exists.
        reason: why, in a few words.
        before, after: documents to show as a difference, where there are any.
        destructive: whether something is lost that the same plan could not make again.
    """

    action: Action
    kind: Kind
    name: str
    reason: str
    before: Mapping[str, Any] | None = None
    after: Mapping[str, Any] | None = None
    destructive: bool = False


@dataclass(frozen=True, slots=True)
class Plan:
    """Every resource of an environment with what happens to it, in the order of execution.

    Attributes:
        placement: where the page is, or goes; None when there is none.
        is_publication: whether it is the page's alone.
    """

    desired: Desired
    pool_id: str | None
    steps: tuple[Step, ...]
    placement: Placement | None = None
    is_publication: bool = False

    @property
    def changes(self) -> tuple[Step, ...]:
        """The steps that change something."""
        return tuple(step for step in self.steps if step.action is not Action.KEEP)
