"""What Ctrl-C and its kin (SIGTERM of `timeout` and CI, SIGHUP of a closed terminal) do to something long.

The first lets it drain and report, the second ends it at once; what belongs to the end, such as deleting identities,
is done either way. Later ones do nothing, since a held key sends many, until somebody has waited in vain.
"""

import asyncio
import contextlib
import os
import signal
import time
from collections.abc import Callable, Generator
from typing import Any

from chatops.errors import ExitCode

SIGNALS = tuple(getattr(signal, name) for name in ("SIGINT", "SIGTERM", "SIGHUP") if hasattr(signal, name))
_PATIENCE_S = 3.0
"""Whoever interrupts once more, so long after the second time, wants the process gone, whatever it leaves behind."""


@contextlib.contextmanager
def as_interrupts() -> Generator[None]:
    """Let every one of the signals raise KeyboardInterrupt, so that `finally` does what it is there for."""
    before = {number: signal.getsignal(number) for number in SIGNALS}
    for number in SIGNALS:
        if before[number] is not signal.SIG_IGN:  # as `nohup` and shells' background jobs have it
            signal.signal(number, signal.default_int_handler)
    try:
        yield
    except KeyboardInterrupt:
        ending()
        raise
    finally:
        for number, handler in before.items():
            if signal.getsignal(number) is signal.default_int_handler:
                signal.signal(number, handler)


def ending() -> None:
    """Ignore the signals from now on: the process is about to end, and a held key must not kill it meanwhile."""
    for number in SIGNALS:
        signal.signal(number, signal.SIG_IGN)


@contextlib.contextmanager
def draining(stop: asyncio.Event, note: Callable[[str], None]) -> Generator[None]:
    """For the current task: the first signal sets `stop`, the second cancels the task."""
    task = asyncio.current_task()
    assert task is not None  # noqa: S101  (there is one in a coroutine)
    presses = Presses(note)

    def first() -> None:
        note("interrupted: draining; once more to end at once, without a report")
        stop.set()

    with _handled(presses, first, task.cancel, loop=asyncio.get_running_loop()):
        yield


@contextlib.contextmanager
def undisturbed(note: Callable[[str], None], doing: str) -> Generator["Presses"]:
    """Let signals wait for something short at the end, which `doing` names; the value tells whether there were any."""
    presses = Presses(note)
    with _handled(presses, lambda: note(f"{doing}: a moment"), lambda: None, loop=None):
        yield presses


class Presses:
    """How often somebody interrupted, and when."""

    def __init__(self, note: Callable[[str], None]) -> None:
        self.count = 0
        self.second_at = float("inf")
        self._note = note

    def press(self, first: Callable[[], Any], second: Callable[[], Any]) -> None:
        """Take one signal."""
        self.count += 1
        if self.count == 1:
            first()
        elif self.count == 2:
            self.second_at = time.monotonic()
            second()
        elif time.monotonic() - self.second_at > _PATIENCE_S:
            self._note("ended; identities may stay in the pool")
            os._exit(int(ExitCode.INTERRUPTED))


@contextlib.contextmanager
def _handled(
    presses: Presses, first: Callable[[], Any], second: Callable[[], Any], *, loop: asyncio.AbstractEventLoop | None
) -> Generator[None]:
    before = {number: signal.getsignal(number) for number in SIGNALS}
    taken = [number for number in SIGNALS if before[number] is not signal.SIG_IGN]
    for number in taken:
        if loop is not None:
            loop.add_signal_handler(number, presses.press, first, second)
        else:
            signal.signal(number, lambda *_: presses.press(first, second))
    try:
        yield
    finally:
        for number in taken:
            if loop is not None:
                loop.remove_signal_handler(number)
            signal.signal(number, before[number])
