"""One of several processes of a run, whatever carries its messages: does its part and keeps the front informed."""

import asyncio
from collections.abc import Callable
from typing import assert_never

from chatops.errors import ChatopsError, ConnectionFailedError
from chatops.load.alone import swarm_network
from chatops.load.engine import Engine
from chatops.load.protocol import (
    POSTS_S,
    REPORT_S,
    Alive,
    AllAnswered,
    Answered,
    Assignment,
    Begin,
    Delta,
    Finished,
    FromProcess,
    Joined,
    Lost,
    Posts,
    Stop,
    ToProcess,
)
from chatops.load.recording import Recorder
from chatops.load.swarm import Swarm
from chatops.load.totals import Totals
from chatops.mqtt.guests import Guests
from chatops.mqtt.handshake_probe import HandshakeProbe

Send = Callable[[FromProcess], None]
"""Takes a message to the front; must not block."""


class Worker:
    """One process of a run.

    Args:
        assignment: its part.
        send: takes messages to the front.
    """

    def __init__(self, assignment: Assignment, send: Send) -> None:
        self._assignment = assignment
        self._send = send
        self._stop = asyncio.Event()
        self._begun: asyncio.Future[int | None] = asyncio.get_running_loop().create_future()
        self._all_answered = asyncio.Event()
        self._swarm = Swarm(
            assignment.scenario,
            assignment.run,
            asyncio.get_running_loop(),
            share=assignment.share,
            ahead_ns=assignment.ahead_ns,
        )
        self._lost: set[int] = set()
        self._swarm.books.ledger.process_lost = lambda sender: assignment.share.of(sender) in self._lost
        self._told = Totals()
        self._number = 0
        self._late: ConnectionFailedError | None = None

    def received(self, message: ToProcess) -> None:
        """Take a message of the front, on the event loop's thread."""
        match message:
            case Begin(start_ns):
                if not self._begun.done():
                    self._begun.set_result(start_ns)
            case Posts(reports):
                self._swarm.books.reports.received(reports)
            case AllAnswered():
                self._all_answered.set()
            case Lost(process):
                self._lost.add(process)
            case Stop():
                self.abandoned()
            case Alive():
                pass
            case _:
                assert_never(message)

    def abandoned(self) -> None:
        """End early; also when the front is gone."""
        self._stop.set()
        self._all_answered.set()
        if not self._begun.done():
            self._begun.set_result(None)

    async def run(self) -> None:
        """Do the part, tell the front, and leave nobody behind; errors are told, not raised."""
        assignment = self._assignment
        recorder = None
        if assignment.events is not None:
            recorder = Recorder(assignment.events, most_bytes=assignment.events_home)
        error: ChatopsError | None = None
        try:
            target = assignment.target
            async with Guests(target.cognito_url, target.pool_id, connections=target.calls_at_once) as vendor:
                engine = Engine(
                    self._swarm,
                    target,
                    vendor,
                    swarm_network(self._swarm, target).client,
                    stop=self._stop,
                    link=self,
                    known=assignment.known,
                    probe=HandshakeProbe(target.address, target.region),
                    recorder=recorder,
                    replay=assignment.replay,
                )
                telling = asyncio.create_task(self._tell_regularly(engine))
                try:
                    await engine.run()
                    error = self._late
                    if error is None and self._begun.result() is None and not self._stop.is_set():
                        error = await engine.nobody_joined()
                finally:
                    telling.cancel()
                    await asyncio.gather(telling, return_exceptions=True)
                    await self._tell(engine)
        except ChatopsError as problem:
            error = problem
        finally:
            recorded = await asyncio.to_thread(recorder.close) if recorder is not None else None
        if error is None:
            self._send(Finished(recorded))
        else:
            self._send(Finished(recorded, type(error).__name__, (error.problem, error.remedy)))

    # The link of the engine.

    async def start_ns(self, joined: int) -> int | None:
        """Tell the front, and wait for the instant that it names."""
        self._send(Joined(joined))
        start_ns = await self._begun
        late_ns = 0 if start_ns is None else self._swarm.now_ns() - start_ns
        if late_ns <= 0 or not self._assignment.punctual:
            return start_ns
        self._late = ConnectionFailedError(
            f"it learned of the start {late_ns / 1e9:.1f} s after it", "look at its connection to the scheduler"
        )
        return None

    async def all_answered(self) -> None:
        """Hand the last posts over, tell the front, and wait until the others have told it too."""
        self._hand_over_posts()
        self._send(Answered())
        await self._all_answered.wait()

    # What is told.

    async def _tell_regularly(self, engine: Engine) -> None:
        rounds = round(REPORT_S / POSTS_S)
        while True:
            for _ in range(rounds):
                await asyncio.sleep(POSTS_S)
                self._hand_over_posts()
            await self._tell(engine)

    def _hand_over_posts(self) -> None:
        posts = self._swarm.books.reports.hand_over()
        if posts:
            self._send(Delta(self._next(), posts=posts))

    async def _tell(self, engine: Engine) -> None:
        """Tell what was counted since the last time. The copy for the next time is made by merging what was told."""
        since = engine.totals.since(self._told)
        await asyncio.sleep(0)
        self._told.merge(since)
        await asyncio.sleep(0)
        self._send(Delta(self._next(), engine.part, since))

    def _next(self) -> int:
        self._number += 1
        return self._number - 1
