"""`chatops demo`."""

import contextlib
import dataclasses
import datetime as dt
import os
import time
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from chatops import settings
from chatops.cli import options
from chatops.cli.context import Selection, ensure_local, reload
from chatops.cli.loadtest import run_load, show_result
from chatops.environment import LOCAL, Environment, names_in
from chatops.errors import ConnectionFailedError, ExitCode, NotAuthorisedError
from chatops.local import daemon
from chatops.render.output import Output

if TYPE_CHECKING:
    import asyncio

    from chatops.local.record import StackRecord
    from chatops.mqtt.watching import Event

_ROOM = "/chat/lobby"
_WAIT_S = 15.0
_NEXT = (
    ("chatops tail lobby{env}", "in this terminal, and in another:"),
    ('chatops post lobby "hello"{env}', "the tail shows it"),
    ("chatops site serve{env}", "the guests' page, from this terminal"),
    ("chatops loadtest --clients 2000{env}", "more people"),
    ("chatops doctor{env}", "what strangers can and cannot do, proved"),
    ("chatops local status", "where the stack listens; `chatops local down` ends it"),
    ("chatops setup --env production", "the same chat on your AWS account; shows the plan and asks"),
)


def demo(
    clients: Annotated[int, typer.Option("--clients", metavar="N", min=1, help="Guests of the load test.")] = 500,
    duration: Annotated[float, typer.Option("--duration", metavar="SECONDS", help="How long it loads.")] = 5.0,
    quiet: options.QuietOption = False,
    verbose: options.VerboseOption = False,
) -> None:
    """Try everything on an embedded AWS.

    Sets a chat up, watches a room, posts to it, is refused what guests may not do, publishes the guests' page, and
    load-tests the chat. Needs no account. The embedded AWS stays, and the page with it, for what you try next, until
    nobody has used it for half an hour.

    \b
    Example:
      chatops demo
    """
    out = Output(quiet=quiet, verbose=verbose)
    import asyncio

    from chatops.load.scenario import Scenario
    from chatops.runtime import runtime_directory

    scenario = Scenario(clients=clients, warm_up_s=1.0, duration_s=duration)
    selection = Selection(LOCAL, Path("env"), runtime_directory(os.environ), os.environ)
    begun = time.monotonic()
    _heading(out, 1, "An AWS on this machine, and the chat set up in it")
    record = ensure_local(out, selection, daemon.StartOptions())
    environment = reload(selection)
    out.data(f"   AWS at {record.control_url}, gateway at {record.gateway_url}")
    out.data(f"   identity pool {environment.identity_pool_id}; rooms {', '.join(environment.rooms)}")
    _heading(out, 2, f"A guest watches {_ROOM}; another guest and the operator post")
    asyncio.run(_talk(out, selection, environment, record))
    _heading(out, 3, "The guests' page, published: a private bucket behind CloudFront, both of the embedded AWS")
    page = _publish(out, selection, environment, record)
    _heading(out, 4, f"A load test: {clients:,} anonymous guests, each with its own identity and signature")
    result = run_load(out, selection, environment, dataclasses.replace(scenario, prefix=environment.topic_prefix))
    show_result(out, result)
    if result.interrupted:
        raise typer.Exit(int(ExitCode.INTERRUPTED))
    _heading(out, 5, f"Done in {time.monotonic() - begun:.0f} s. What to try next")
    # Where another environment is the default, commands must not reach it by mistake.
    default = settings.environment_name(None, os.environ, names_in(settings.env_dir(None, os.environ).value)).value
    env = "" if default == LOCAL else " --env local"
    commands = [(command.format(env=env), words) for command, words in _NEXT]
    if page is not None:
        commands = [
            (page, "the guests' page: open it in two windows"),
            *(c for c in commands if "site serve" not in c[0]),
        ]
    width = max(len(command) for command, _ in commands)
    out.lines(f"   {command:<{width}}  {words}" for command, words in commands)


def _publish(out: Output, selection: Selection, environment: Environment, record: "StackRecord") -> str | None:
    """Publish the page in the embedded AWS, as on the real one; returns its address."""
    from chatops.cli.lifecycle import desired_environment, local_account
    from chatops.cli.page import content_maker
    from chatops.infra.executor import execute
    from chatops.infra.page_executor import wait_until_deployed
    from chatops.infra.planner import make_publication
    from chatops.local.record import environment_directory

    content = content_maker(out, may_build=False)
    if content(environment) is None:
        out.data("   not here: the page is not built yet; `chatops site serve` builds it in a checkout, with Node")
        return None
    account = local_account(record, environment_directory(selection.runtime))
    desired = desired_environment(account, LOCAL, look_up_gateway=False)
    plan = make_publication(account.aws, desired, account.directory, None, None, content)
    execute(account.aws, plan, account.directory, lambda _event: None, content)
    site = reload(selection).site
    wait_until_deployed(account.aws, site["distribution"], "until the page is everywhere", out.detail)
    out.data(f"   {site['url']} from the bucket {site['bucket']}")
    return site["url"]


async def _talk(out: Output, selection: Selection, environment: Environment, record: "StackRecord") -> None:
    """One guest watches; another one and the operator post; what must be refused is."""
    import asyncio

    from chatops.aws.iot import publish
    from chatops.aws.session import Aws
    from chatops.chat.messages import guest_sender
    from chatops.cli.compose import compose
    from chatops.cli.lifecycle import local_target
    from chatops.mqtt.connection import connect
    from chatops.mqtt.login import Login, log_in
    from chatops.mqtt.watching import watch

    async def login() -> Login:
        return await log_in(environment, selection.variables, selection.runtime)

    events: asyncio.Queue[Event] = asyncio.Queue()

    async def listen() -> None:
        async for event in watch(login, [_ROOM]):
            events.put_nowait(event)

    watching = asyncio.create_task(listen())
    try:
        await _next_event(events, watching)
        guest = await login()
        async with connect(guest.address, guest.region, guest.keys, guest.client_id) as chat:
            await chat.publish(_ROOM, compose(guest_sender(guest.identity), "Ada", "hello from a guest, over MQTT")[1])
            await _show(out, events, watching)
            await asyncio.to_thread(
                publish,
                Aws(local_target(record)),
                _ROOM,
                compose("operator", "operator", "hello from the operator, over HTTPS")[1],
            )
            await _show(out, events, watching)
            try:
                await chat.publish("$aws/things/x/shadow/update", b"{}")
            except NotAuthorisedError as error:
                out.data(f"   refused, as on AWS: {error.problem}")
    finally:
        watching.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await watching


async def _show(out: Output, events: "asyncio.Queue[Event]", watching: "asyncio.Task[None]") -> None:
    from chatops.mqtt.watching import Arrived
    from chatops.render.messages import message_record, terminal_line

    event = await _next_event(events, watching)
    if isinstance(event, Arrived):
        for delivery in event.deliveries:
            line = terminal_line(out, message_record(delivery, dt.datetime.now(dt.UTC)), several_rooms=True)
            out.lines([f"   {line}"])


async def _next_event(events: "asyncio.Queue[Event]", watching: "asyncio.Task[None]") -> "Event":
    import asyncio

    getting = asyncio.create_task(events.get())
    done, _ = await asyncio.wait({getting, watching}, timeout=_WAIT_S, return_when=asyncio.FIRST_COMPLETED)
    if getting in done:
        return getting.result()
    getting.cancel()
    if watching in done:
        watching.result()
    raise ConnectionFailedError("The posted message did not arrive", "see `chatops local logs`")


def _heading(out: Output, number: int, text: str) -> None:
    out.lines([out.styled(f"{number}. {text}", "1")])
