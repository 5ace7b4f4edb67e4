"""Which process of several carries which client."""

from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Share:
    """One process's part of the clients: every `count`-th identity from `index` on.

    Neighbours in a room so sit in different processes, and clients that share an identity in the same one.

    Attributes:
        index: this process, from 0.
        count: how many processes there are.
        identities: how many identities carry the clients.
        machines: the machine of each process, as any text; empty when all are on one.
    """

    index: int = 0
    count: int = 1
    identities: int = 1
    machines: tuple[str, ...] = ()

    @property
    def alone(self) -> bool:
        """Whether there is only one process."""
        return self.count == 1

    def of(self, client: int) -> int:
        """The process that carries a client."""
        return client % self.identities % self.count

    def mine(self, client: int) -> bool:
        """Tell whether this process carries a client."""
        return self.of(client) == self.index

    def identities_of(self, known: Sequence[str]) -> dict[int, str]:
        """Those of the identities of an earlier run that fall to this process, by number."""
        return {number: known[number] for number in range(self.index, min(len(known), self.identities), self.count)}

    def across(self, client: int) -> bool:
        """Tell whether a client is on another machine."""
        return bool(self.machines) and self.machines[self.of(client)] != self.machines[self.index]

    def elsewhere(self, room_of: Sequence[int], rooms: int) -> tuple[tuple[int, ...], ...]:
        """The other processes that have clients in each room."""
        found: list[set[int]] = [set() for _ in range(rooms)]
        for client, room in enumerate(room_of):
            found[room].add(self.of(client))
        return tuple(tuple(sorted(processes - {self.index})) for processes in found)
