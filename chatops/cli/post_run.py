"""Carrying out a post: when, how often, to which rooms, and what is left when something fails."""

import asyncio
import contextlib
import datetime as dt
import sys
import time
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from chatops.chat.messages import Kind, format_time
from chatops.chat.rooms import Room
from chatops.cli import post_input
from chatops.cli.compose import Composer, checked
from chatops.cli.context import Selection
from chatops.cli.post_channels import Channel, listener_login, open_channel
from chatops.cli.post_options import PostOptions
from chatops.environment import Environment
from chatops.errors import ChatopsError, PartlyDoneError, UsageError
from chatops.render.output import Output

if TYPE_CHECKING:
    from chatops.cli.post_echo import Echo

_PROGRESS_S = 0.5


@dataclass(slots=True)
class Outcome:
    """What has been posted.

    Attributes:
        receipts: one a message and room, the last ones only when there are many.
        failed: rooms that did not get a message, each with its error.
        messages: how many whole messages (lines, repetitions) have been posted to all rooms.
    """

    receipts: list[dict[str, Any]] = field(default_factory=list)
    failed: list[tuple[str, ChatopsError]] = field(default_factory=list)
    messages: int = 0

    def raise_failure(self, *, lines: bool) -> None:
        """Tell what failed, if anything did: as it is when nothing was posted, else with what is left."""
        if not self.failed:
            return
        room, error = self.failed[0]
        if lines:
            number = self.messages + 1
            if not self.messages and not self.receipts:
                raise error
            raise PartlyDoneError(
                f"{self.messages:,} messages were posted; number {number:,} was not, to {room}: {error.problem}",
                f"{error.remedy}; then go on with number {number:,} (`tail -n +{number}`, empty lines not counted)",
            )
        if not self.receipts:
            raise error
        listing = "; ".join(f"{topic}: {each.problem}" for topic, each in self.failed)
        raise PartlyDoneError(
            f"Posted to {', '.join(dict.fromkeys(receipt['room'] for receipt in self.receipts))}, but not to {listing}",
            error.remedy,
        )


class Poster:
    """Posts messages to rooms."""

    def __init__(self, channel: Channel, rooms: Sequence[Room], options: PostOptions, echo: "Echo | None") -> None:
        self._channel = channel
        self._rooms = rooms
        self._options = options
        self._echo = echo
        name = options.name if options.name is not None else ("operator" if channel.sender == "operator" else "guest")
        self._composer = Composer(channel.sender, name, Kind(options.kind))
        self.many = options.lines or options.repeat > 1

    async def post(self, data: bytes, outcome: Outcome) -> None:
        """Post one message to all rooms; where it fails is noted in `outcome`."""
        before = len(outcome.failed)
        if self.many:
            outcome.receipts = outcome.receipts[:1]
        for room in self._rooms:
            try:
                outcome.receipts.append(await self._to(room, data))
            except ChatopsError as error:
                outcome.failed.append((room.topic, error))
        if len(outcome.failed) == before:
            outcome.messages += 1

    async def _to(self, room: Room, data: bytes) -> dict[str, Any]:
        options = self._options
        begun = time.time()
        receipt: dict[str, Any] = {"room": room.topic, "id": None, "from": self._channel.sender}
        if options.raw:
            payload = checked(data)
            receipt["sent"] = format_time(dt.datetime.now(dt.UTC))
        else:
            message, payload = self._composer.compose(data.decode("utf-8", "replace"))
            receipt |= {"id": message.id, "sent": format_time(message.sent)}
        await self._channel.post(room.topic, payload, properties=options.properties, expiry_s=options.expiry_s)
        receipt |= {"bytes": len(payload), "acknowledged_ms": round((time.time() - begun) * 1000)}
        if self._echo is not None:
            receipt["echo_ms"] = await self._echo.wait(room.topic, payload, begun)
        return receipt


def run_post(
    out: Output,
    selection: Selection,
    environment: Environment,
    rooms: Sequence[Room],
    options: PostOptions,
    who: str,
    profile: str | None,
) -> Outcome:
    """Post; what failed is in the outcome.

    Raises:
        ChatopsError: nothing could be posted at all: no connection, no credentials, no text.
    """
    text = None if options.lines else post_input.whole(options)
    outcome = Outcome()

    async def run() -> None:
        async with contextlib.AsyncExitStack() as stack:
            if options.at is not None:
                await _wait_until(out, options.at)
            channel = await stack.enter_async_context(open_channel(selection, environment, who, profile))
            echo = None
            if options.wait_echo:
                from chatops.cli.post_echo import listening

                login = await listener_login(selection, environment, who, profile)
                echo = await stack.enter_async_context(listening(login, [room.topic for room in rooms]))
            poster = Poster(channel, rooms, options, echo)
            rate = options.rate if options.rate is not None else (channel.rate if poster.many else None)
            progress = _Progress(out, outcome) if poster.many else None
            try:
                async for data in _paced(_messages(options, text), rate):
                    await poster.post(data, outcome)
                    if progress is not None:
                        progress.show()
                    if outcome.failed and poster.many:
                        return
            finally:
                if progress is not None:
                    progress.end()

    asyncio.run(run())
    if options.lines and not outcome.messages and not outcome.failed:
        raise UsageError("There are no lines", "pipe some in, or name a --file")
    return outcome


async def _messages(options: PostOptions, text: bytes | None) -> AsyncIterator[bytes]:
    if text is None:
        async for line in post_input.lines(options):
            yield line
        return
    for _ in range(options.repeat):
        yield text


async def _paced(messages: AsyncIterator[bytes], rate: float | None) -> AsyncIterator[bytes]:
    """Let through so many a second; what comes late does not hurry the rest."""
    due = time.monotonic()
    async for message in messages:
        if rate is not None:
            now = time.monotonic()
            await asyncio.sleep(max(0.0, due - now))
            due = max(due, now) + 1 / rate
        yield message


async def _wait_until(out: Output, moment: dt.datetime) -> None:
    out.note(f"waiting until {moment:%Y-%m-%d %H:%M:%S}")
    # In parts: the clock may be set meanwhile, and machines sleep.
    while (left := (moment - dt.datetime.now(moment.tzinfo)).total_seconds()) > 0:  # noqa: ASYNC110  (a clock)
        await asyncio.sleep(min(left, 30.0))


class _Progress:
    """How many have been posted: on a terminal while it goes on, elsewhere at the end."""

    def __init__(self, out: Output, outcome: Outcome) -> None:
        self._out = out
        self._outcome = outcome
        self._begun = time.monotonic()
        self._shown = 0.0
        self._live = sys.stderr.isatty() and not out.quiet

    def show(self) -> None:
        now = time.monotonic()
        if self._live and now - self._shown >= _PROGRESS_S:
            self._shown = now
            sys.stderr.write(f"\r\x1b[2K{self._words(now)}")
            sys.stderr.flush()

    def end(self) -> None:
        if self._live:
            sys.stderr.write("\r\x1b[2K")
        self._out.note(self._words(time.monotonic()))

    def _words(self, now: float) -> str:
        passed = max(now - self._begun, 0.001)
        count = self._outcome.messages
        return f"posted {count:,} messages in {passed:.1f} s ({count / passed:,.1f}/s)"
