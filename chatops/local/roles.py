"""The roles that decide what guests may do, as the gateway sees them: a snapshot of IAM with a generation number."""

from collections.abc import Mapping
from dataclasses import dataclass

from chatops.chat.iam import Policy


@dataclass(frozen=True, slots=True)
class Role:
    """An IAM role: who may take it and what it may do. Unparsable policies are `None` and grant nothing."""

    arn: str
    trust: Policy | None
    policies: tuple[Policy, ...]


class RoleCatalogue:
    """The current roles by ARN. `generation` grows with every change, so that cached decisions can be dropped."""

    def __init__(self) -> None:
        self._roles: Mapping[str, Role] = {}
        self.generation = 0

    def replace(self, roles: Mapping[str, Role]) -> None:
        """Put a new snapshot in place; an equal one changes nothing."""
        if roles != self._roles:
            self._roles = dict(roles)
            self.generation += 1

    def find(self, arn: str) -> Role | None:
        """Look up a role; None when it does not exist (any more)."""
        return self._roles.get(arn)
