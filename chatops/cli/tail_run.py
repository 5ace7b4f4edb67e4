"""Running a tail: log in, watch, show, until something ends it."""

import asyncio
import contextlib
import io
import secrets
import signal
import sys
from collections.abc import Awaitable, Callable, Generator

from chatops.cli.context import Selection, reload, require_local
from chatops.cli.tail_options import TailOptions
from chatops.cli.tail_recorder import Recorder
from chatops.cli.tail_view import End, TailView
from chatops.environment import Environment
from chatops.mqtt.login import Login, address_of, log_in
from chatops.mqtt.signing import Keys
from chatops.mqtt.watching import Arrived, Connected, watch
from chatops.render.output import Output, ReaderGoneError

_LARGE_BATCH = 64
_BREATH_S = 0.01
_FOOTER_S = 0.5


def logins(selection: Selection, who: str, profile: str | None) -> Callable[[], Awaitable[Login]]:
    """Make what logs in afresh, as `guest` or `operator`, with the environment as it is by then."""

    async def login() -> Login:
        environment = reload(selection)
        if who == "guest":
            return await log_in(environment, selection.variables, selection.runtime)
        keys = await asyncio.to_thread(_operator_keys, selection, environment, profile)
        client_id = f"operator-{secrets.token_hex(4)}"
        return Login(address_of(environment), environment.region, keys, client_id, "operator")

    return login


def run_tail(out: Output, options: TailOptions, login: Callable[[], Awaitable[Login]]) -> End:
    """Tail until something ends it, which is returned.

    Raises:
        KeyboardInterrupt: Ctrl-C, or the signal TERM.
        ChatopsError: refused, or not able to connect at first.
    """
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")
    with _recorder(options) as recorder:
        view = TailView(out, options, recorder)
        try:
            return asyncio.run(_run(view, options, login))
        except asyncio.CancelledError:
            raise KeyboardInterrupt from None
        finally:
            with contextlib.suppress(BrokenPipeError, ReaderGoneError):
                view.close()


async def _run(view: TailView, options: TailOptions, login: Callable[[], Awaitable[Login]]) -> End:
    loop = asyncio.get_running_loop()
    this = asyncio.current_task()
    if this is not None:
        loop.add_signal_handler(signal.SIGTERM, this.cancel)
    footer = asyncio.create_task(_keep_footer(view)) if options.stats else None
    ends = options.ends
    over_at: float | None = None
    idle_at: float | None = None
    try:
        async with (
            contextlib.aclosing(watch(login, options.filters)) as events,
            asyncio.timeout(None) as limit,
        ):
            async for event in events:
                end = view.show(event)
                if end is not None:
                    return end
                if isinstance(event, Connected) and over_at is None and idle_at is None:
                    view.last_shown = loop.time()
                    over_at = loop.time() + ends.for_s if ends.for_s is not None else None
                if ends.idle_s is not None:
                    idle_at = view.last_shown + ends.idle_s
                limit.reschedule(min((at for at in (over_at, idle_at) if at is not None), default=None))
                if isinstance(event, Arrived) and len(event.deliveries) >= _LARGE_BATCH:
                    # Larger batches cost less; nobody sees a hundredth of a second.
                    await asyncio.sleep(_BREATH_S)
    except TimeoutError:
        if not limit.expired():
            raise
        return End.TIME if over_at is not None and loop.time() >= over_at else End.IDLE
    finally:
        if footer is not None:
            footer.cancel()
    raise AssertionError("watching never ends by itself")


async def _keep_footer(view: TailView) -> None:
    while True:
        view.refresh()
        await asyncio.sleep(_FOOTER_S)


@contextlib.contextmanager
def _recorder(options: TailOptions) -> Generator[Recorder | None]:
    if options.record is None:
        yield None
        return
    with Recorder(options.record, options.record_bytes, options.filters) as recorder:
        yield recorder


def _operator_keys(selection: Selection, environment: Environment, profile: str | None) -> Keys:
    from chatops.aws.session import Aws
    from chatops.cli.lifecycle import operator_target

    record = require_local(selection) if selection.is_local else None
    return Aws(operator_target(environment, record, profile)).keys()
