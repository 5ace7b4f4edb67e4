"""The embedded stack for tests: in a thread with its own event loop, real sockets, port 0."""

import asyncio
import threading
import time
from collections.abc import Callable, Coroutine, Generator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeVar

import uvloop

from chatops import environment as environments
from chatops.aws.iot import account_of, describe_endpoint
from chatops.aws.session import AccessKeys, Aws, AwsTarget
from chatops.environment import Environment
from chatops.infra.executor import execute
from chatops.infra.planner import make_plan
from chatops.infra.resources import Desired
from chatops.local.stack import Ports, Quotas, Stack

T = TypeVar("T")


class RunningStack:
    """A stack on its own thread; `run` executes a coroutine on its loop."""

    def __init__(self, stack: Stack, loop: asyncio.AbstractEventLoop) -> None:
        self.stack = stack
        self._loop = loop
        self._aws: Aws | None = None

    def run(self, coroutine: Coroutine[Any, Any, T]) -> T:
        return asyncio.run_coroutine_threadsafe(coroutine, self._loop).result(30)

    def call(self, function: Callable[[], T]) -> T:
        async def on_loop() -> T:
            return function()

        return self.run(on_loop())

    @property
    def aws_url(self) -> str:
        return f"http://127.0.0.1:{self.stack.ports.control}"

    @property
    def gateway_url(self) -> str:
        return f"ws://127.0.0.1:{self.stack.ports.gateway}/mqtt"

    def keys(self) -> AccessKeys:
        return AccessKeys(self.stack.operator.access_key_id, self.stack.operator.secret_access_key)

    def aws(self) -> Aws:
        """One for all: making clients takes longer than most calls."""
        if self._aws is None:
            self._aws = Aws(AwsTarget(region=self.stack.region, endpoints={"aws": self.aws_url}, keys=self.keys()))
        return self._aws

    def set_up(self, directory: Path, name: str = "test", aws_url: str | None = None) -> Environment:
        """Set a chat up, through the same plan as the command does.

        Args:
            aws_url: what the environment's file is to say, where not the stack's own.
        """
        aws = self.aws()
        desired = Desired(
            name=name,
            region=self.stack.region,
            account=account_of(aws),
            gateway=describe_endpoint(aws),
            endpoints={"aws": aws_url or self.aws_url, "gateway": self.gateway_url},
        )
        execute(aws, make_plan(aws, desired, directory), directory, lambda _event: None)
        return environments.load(directory, name)


@contextmanager
def running_stack(
    directory: Path,
    *,
    quotas: Quotas = Quotas.PROTOCOL,
    ports: Ports | None = None,
    clock: Callable[[], float] = time.time,
) -> Generator[RunningStack]:
    loop = uvloop.new_event_loop()
    stack = Stack(directory, quotas=quotas, ports=ports, clock=clock)
    thread = threading.Thread(target=loop.run_forever)
    thread.start()
    running = RunningStack(stack, loop)
    try:
        running.run(stack.start())
        try:
            yield running
        finally:
            running.run(stack.stop())
    finally:
        loop.call_soon_threadsafe(loop.stop)
        thread.join()
        loop.run_until_complete(loop.shutdown_asyncgens())
        loop.close()
