"""How clients come in: identity, credentials, connection, subscription, each paced and timed by itself.

Cognito calls and connects run side by side, so that the ramp takes as long as its slowest pace. A client's join time is
the sum of its four stages; waiting for a pace is the load test's own and is not part of it.
"""

import asyncio
import time
from collections import Counter
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol, TypeVar

from chatops.errors import ChatopsError
from chatops.load.distribution import Distribution
from chatops.load.pacing import Slots
from chatops.load.swarm import Client, Swarm
from chatops.load.target import Rates
from chatops.mqtt.guests import REFRESH_MARGIN_S, GuestCredentials
from chatops.mqtt.handshake_probe import HandshakeTimes
from chatops.mqtt.signing import Keys

STAGES = ("identity", "credentials", "connect", "subscribe")
CONNECT_PARTS = ("transport", "upgrade", "connack")
"""What a connect is made of; see `chatops.mqtt.handshake_probe`."""

PROBES = 20
"""So many connects are taken apart, spread evenly over the clients of all processes."""

_CONNECTS_AT_ONCE = 256
_LEAST_LEFT_S = 60.0  # of credentials' life, to connect with
_Answer = TypeVar("_Answer")


class Vendor(Protocol):
    """Where identities and credentials come from; `chatops.mqtt.guests.Guests` is one."""

    async def new_identity(self) -> str:
        """Make an anonymous identity; raises ChatopsError."""

    async def credentials(self, identity_id: str) -> GuestCredentials:
        """Get its credentials; raises ChatopsError."""

    def forget(self, identity_id: str) -> None:
        """Have new credentials made when they are next asked for."""


Probe = Callable[[str, Keys], Awaitable[HandshakeTimes | None]]
"""Makes one connection more, with this client id, and takes it apart; None when it was not let in."""

MakeClient = Callable[[int, str, Callable[[], Keys]], Client]
"""Makes a connection: client number, MQTT client id, and where it finds its credentials."""


@dataclass(slots=True)
class Joining:
    """How the joining went. Mergeable, as all that is counted.

    Attributes:
        identities: those that were made; `reused` those of an earlier run.
        connect_parts: of the connections that were taken apart; `probes` says how many.
    """

    stages: dict[str, Distribution] = field(default_factory=lambda: {stage: Distribution() for stage in STAGES})
    whole: Distribution = field(default_factory=Distribution)
    joined: int = 0
    failures: Counter[str] = field(default_factory=Counter)
    refresh_failures: Counter[str] = field(default_factory=Counter)
    identities: list[str] = field(default_factory=list)
    reused: list[str] = field(default_factory=list)
    connect_parts: dict[str, Distribution] = field(
        default_factory=lambda: {part: Distribution() for part in CONNECT_PARTS}
    )
    probes: int = 0

    @property
    def failed(self) -> int:
        """How many clients could not join."""
        return self.failures.total()

    def merge(self, other: "Joining") -> None:
        """Add what another process counted."""
        for stage, found in other.stages.items():
            self.stages[stage].merge(found)
        self.whole.merge(other.whole)
        self.joined += other.joined
        self.failures.update(other.failures)
        self.refresh_failures.update(other.refresh_failures)
        self.identities += other.identities
        self.reused += other.reused
        for part, found in other.connect_parts.items():
            self.connect_parts[part].merge(found)
        self.probes += other.probes

    def copy(self) -> "Joining":
        """The same counts, counted on apart."""
        return Joining(
            {stage: found.copy() for stage, found in self.stages.items()},
            self.whole.copy(),
            self.joined,
            self.failures.copy(),
            self.refresh_failures.copy(),
            self.identities[:],
            self.reused[:],
            {part: found.copy() for part, found in self.connect_parts.items()},
            self.probes,
        )

    def since(self, earlier: "Joining") -> "Joining":
        """What was counted after `earlier`, an older copy of this."""
        return Joining(
            {stage: found.since(earlier.stages[stage]) for stage, found in self.stages.items()},
            self.whole.since(earlier.whole),
            self.joined - earlier.joined,
            self.failures - earlier.failures,
            self.refresh_failures - earlier.refresh_failures,
            self.identities[len(earlier.identities) :],
            self.reused[len(earlier.reused) :],
            {part: found.since(earlier.connect_parts[part]) for part, found in self.connect_parts.items()},
            self.probes - earlier.probes,
        )


@dataclass(slots=True, eq=False)
class _Holder:
    """An identity's credentials, replaced before they expire, so that those who share them can sign a reconnect."""

    current: GuestCredentials
    asking: asyncio.Lock = field(default_factory=asyncio.Lock)


class Joiner:
    """Brings the clients of one process in.

    Args:
        swarm: where they go.
        vendor: where their credentials come from.
        make_client: makes a connection.
        rates: the paces, of all processes together.
        calls_at_once: how many Cognito calls are under way at most.
        stop: ends the joining early.
        known: identities of an earlier run by number, taken in the place of new ones.
        probe: takes a few connects apart; none when it is None.
        clock: seconds since the epoch, for the credentials' expiry.
    """

    def __init__(
        self,
        swarm: Swarm,
        vendor: Vendor,
        make_client: MakeClient,
        rates: Rates,
        *,
        calls_at_once: int,
        stop: asyncio.Event,
        known: Mapping[int, str] | None = None,
        probe: Probe | None = None,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self.joining = Joining()
        self.first_error: ChatopsError | None = None
        self.last_credentials: GuestCredentials | None = None
        self._clock = clock
        self._known = known or {}
        self._probe = probe
        self._identities = swarm.scenario.identity_count
        self._vended: dict[int, asyncio.Future[tuple[GuestCredentials, float] | str]] = {}
        self._of_identity: dict[int, _Holder] = {}
        self._holders: dict[int, _Holder] = {}
        self._swarm = swarm
        self._vendor = vendor
        self._make_client = make_client
        self._calls_at_once = calls_at_once
        self._stop = stop
        self._loop = asyncio.get_running_loop()
        processes = swarm.share.count
        self._identity_slots = Slots(_part(rates.identities_per_s, processes))
        self._credential_slots = Slots(_part(rates.credentials_per_s, processes))
        self._connect_slots = Slots(_part(swarm.scenario.connects_per_s or rates.connects_per_s, processes))

    async def join(self, clients: Sequence[int]) -> None:
        """Bring `clients` in; failures are counted by cause, not raised."""
        waiting = iter(clients)
        vended: asyncio.Queue[tuple[int, GuestCredentials, float] | None] = asyncio.Queue()

        async def vend() -> None:
            for client in waiting:
                if self._stop.is_set():
                    return
                made = await self._credentials_for(client)
                if isinstance(made, str):
                    self.joining.failures[made] += 1
                else:
                    vended.put_nowait((client, *made))

        async def connect() -> None:
            while (item := await vended.get()) is not None:
                if not self._stop.is_set():
                    await self._connect(*item)

        connectors = min(_CONNECTS_AT_ONCE, len(clients))
        async with asyncio.TaskGroup() as group:
            for _ in range(connectors):
                group.create_task(connect())
            await asyncio.gather(*(vend() for _ in range(min(self._calls_at_once, len(clients)))))
            for _ in range(connectors):
                vended.put_nowait(None)

    async def _credentials_for(self, client: int) -> tuple[GuestCredentials, float] | str:
        """A client's credentials and the seconds they took, or the cause of failure.

        Clients that share an identity wait for the first of them; only its time counts.
        """
        index = client % self._identities
        waiting = self._vended.get(index)
        if waiting is None:
            waiting = self._vended[index] = self._loop.create_future()
            waiting.set_result(await self._vend(index))
            return waiting.result()
        made = await asyncio.shield(waiting)
        return made if isinstance(made, str) else (made[0], 0.0)

    async def _vend(self, index: int) -> tuple[GuestCredentials, float] | str:
        """Get one identity and its credentials; returns them and the seconds it took, or the cause of failure."""
        known = self._known.get(index)
        if known is not None and (vended := await self._vend_known(known)) is not None:
            return vended
        joining = self.joining
        stage = STAGES[0]
        try:
            await self._pause(self._identity_slots)
            identity, identity_s = await self._timed(stage, self._vendor.new_identity())
            joining.identities.append(identity)
            await self._pause(self._credential_slots)
            stage = STAGES[1]
            credentials, credentials_s = await self._timed(stage, self._vendor.credentials(identity))
        except ChatopsError as error:
            self.first_error = self.first_error or error
            return f"{stage}: {type(error).__name__.removesuffix('Error')}"
        self.last_credentials = credentials
        return credentials, identity_s + credentials_s

    async def _vend_known(self, identity: str) -> tuple[GuestCredentials, float] | None:
        """Credentials for an identity of an earlier run; None when it is gone and a new one is needed."""
        await self._pause(self._credential_slots)
        try:
            credentials, took = await self._timed(STAGES[1], self._vendor.credentials(identity))
        except ChatopsError:
            return None
        self.joining.reused.append(identity)
        self.last_credentials = credentials
        return credentials, took

    async def _connect(self, client: int, credentials: GuestCredentials, spent_s: float) -> None:
        joining, swarm = self.joining, self._swarm
        await self._pause(self._connect_slots)
        if self._stop.is_set():
            return
        holder = self._of_identity.setdefault(client % self._identities, _Holder(credentials))
        if not await self._fresh(holder, _LEAST_LEFT_S):  # the wait for its turn was longer than they last
            joining.failures[f"{STAGES[1]}: expired"] += 1
            return
        stage = STAGES[2]
        try:
            connection = self._make_client(client, self._client_id(client, credentials), lambda: holder.current)
            cause, connect_ns = await swarm.connect(client, connection)
            if cause is None:
                joining.stages[stage].record(connect_ns // 1000)
                stage = STAGES[3]
                cause, subscribe_ns = await swarm.subscribe(client, identity=credentials.identity_id)
        except Exception as error:  # noqa: BLE001  (one client's failure, whatever it is, must not end the others' run)
            cause = type(error).__name__
        if cause is not None:
            swarm.drop(client)
            joining.failures[f"{stage}: {cause}"] += 1
            return
        joining.stages[stage].record(subscribe_ns // 1000)
        joining.whole.record(round(spent_s * 1e6) + (connect_ns + subscribe_ns) // 1000)
        joining.joined += 1
        self._holders[client] = holder
        if self._probe is not None and client % -(-swarm.scenario.clients // PROBES) == 0:
            await self._take_apart(self._probe, client, holder.current)

    async def _take_apart(self, probe: Probe, client: int, credentials: GuestCredentials) -> None:
        """Make one connection more, as this client's identity, and note what each part of it took."""
        await self._pause(self._connect_slots)
        if self._stop.is_set():
            return
        times = await probe(f"{credentials.identity_id}-{self._swarm.run}-p{client}", credentials)
        if times is None:
            return
        self._swarm.connects += 1  # metered as any other
        self.joining.probes += 1
        for part, took_s in zip(CONNECT_PARTS, (times.transport_s, times.upgrade_s, times.connack_s), strict=True):
            self.joining.connect_parts[part].record(round(took_s * 1e6))

    def _client_id(self, client: int, credentials: GuestCredentials) -> str:
        """The policy lets an identity connect as itself, and with a suffix, as several tabs do.

        A reused identity gets a new suffix in every run: AWS IoT takes one CONNECT a second of each client id.
        """
        if self._identities == self._swarm.scenario.clients and not self._known:
            return credentials.identity_id
        return f"{credentials.identity_id}-{self._swarm.run}-{client}"

    async def keep_fresh(self, every_s: float = 30.0) -> None:
        """Replace credentials that are about to expire, for as long as this runs; a failure is tried again."""
        while True:
            await asyncio.sleep(every_s)
            for holder in dict.fromkeys(self._holders.values()):
                await self._fresh(holder, REFRESH_MARGIN_S)

    async def renew(self, client: int) -> bool:
        """Replace a client's credentials, for its next connection; False when Cognito refused, which is counted."""
        return await self._replace(self._holders[client])

    async def _fresh(self, holder: _Holder, left_s: float) -> bool:
        """See to it that credentials last for so long; of all who share them one asks for new ones."""
        async with holder.asking:
            if holder.current.expires_at > self._clock() + left_s:
                return True
            return await self._replace(holder)

    async def _replace(self, holder: _Holder) -> bool:
        await self._pause(self._credential_slots)
        self._vendor.forget(holder.current.identity_id)
        try:
            holder.current = await self._vendor.credentials(holder.current.identity_id)
        except ChatopsError as error:
            self.joining.refresh_failures[type(error).__name__.removesuffix("Error")] += 1
            return False
        return True

    async def _timed(self, stage: str, call: Awaitable[_Answer]) -> tuple[_Answer, float]:
        started = self._loop.time()
        answer = await call
        took = self._loop.time() - started
        self.joining.stages[stage].record(round(took * 1e6))
        return answer, took

    async def _pause(self, slots: Slots) -> None:
        """Wait for a slot, or for the end."""
        now = self._loop.time()
        wait = slots.take(now) - now
        if wait > 0:
            try:
                async with asyncio.timeout(wait):
                    await self._stop.wait()
            except TimeoutError:
                pass


def _part(rate: float | None, processes: int) -> float | None:
    """One process's part of a pace."""
    return None if rate is None else rate / processes
