"""`chatops loadtest`."""

import dataclasses
import signal
import sys
from collections.abc import Awaitable, Callable, Sequence
from typing import TYPE_CHECKING, Annotated

import typer

from chatops.cli import options
from chatops.cli.context import Selection, open_environment, require_local, select
from chatops.environment import Environment
from chatops.errors import ChatopsError, ExitCode, UsageError
from chatops.render.output import Output

if TYPE_CHECKING:
    from chatops.load.progress import Progress
    from chatops.load.result import RunResult
    from chatops.load.scenario import Scenario
    from chatops.load.target import Rates


def loadtest(
    clients: Annotated[int, typer.Option("--clients", "-c", metavar="N", help="How many guests join.")] = 100,
    duration: Annotated[
        float, typer.Option("--duration", "-d", metavar="SECONDS", help="How long the measured load lasts.")
    ] = 10.0,
    rooms: Annotated[
        int | None, typer.Option("--rooms", metavar="N", help="How many rooms (default: a tenth of the guests).")
    ] = None,
    spread: Annotated[
        str, typer.Option("--spread", metavar="HOW", help="How guests spread over rooms: zipf, even or one.")
    ] = "zipf",
    rate: Annotated[float, typer.Option("--rate", metavar="N", help="Posts per second of each guest.")] = 0.1,
    total_rate: Annotated[
        float | None, typer.Option("--total-rate", metavar="N", help="Posts per second of all guests together.")
    ] = None,
    size: Annotated[int, typer.Option("--size", metavar="BYTES", help="The size of each message.")] = 300,
    warm_up: Annotated[
        float, typer.Option("--warm-up", metavar="SECONDS", help="Load before the measured window.")
    ] = 2.0,
    seed: Annotated[int, typer.Option("--seed", metavar="N", help="What chance follows from.")] = 1,
    env: options.EnvOption = None,
    profile: options.ProfileOption = None,
    env_dir: options.EnvDirOption = None,
    json_mode: options.JsonOption = False,
    quiet: options.QuietOption = False,
    verbose: options.VerboseOption = False,
) -> None:
    """Let many guests chat; count and time deliveries.

    Each guest has its own Cognito identity, credentials, signature and connection. Exit code 10 when the generator
    was the bottleneck and the figures therefore are not valid, 7 when some guests could not join.

    \b
    Examples:
      chatops loadtest --clients 500
      chatops loadtest --clients 2000 --rate 0.05 --duration 60 --json > run.json
      chatops loadtest --clients 200 --rooms 1 --spread one --total-rate 20
    """
    out = Output(json_mode=json_mode, quiet=quiet, verbose=verbose)
    from chatops.load.scenario import Scenario, Spread

    if spread not in {choice.value for choice in Spread}:
        raise UsageError(f"Guests cannot spread {spread!r}", "choose --spread zipf, even or one")
    scenario = Scenario(
        clients=clients,
        rooms=rooms,
        spread=Spread(spread),
        posts_per_s=rate,
        total_posts_per_s=total_rate,
        message_bytes=size,
        warm_up_s=warm_up,
        duration_s=duration,
        seed=seed,
    )
    selection = select(out, env, env_dir)
    environment = open_environment(out, selection)
    scenario = dataclasses.replace(scenario, prefix=environment.topic_prefix)
    result = run_load(out, selection, environment, scenario, profile)
    show_result(out, result)
    if result.interrupted:
        raise typer.Exit(int(ExitCode.INTERRUPTED))
    _judge(result)


def run_load(
    out: Output, selection: Selection, environment: Environment, scenario: "Scenario", profile: str | None = None
) -> "RunResult":
    """Run a load test against an environment, its progress on standard error."""
    import asyncio

    from chatops.load.engine import run
    from chatops.load.target import Target
    from chatops.mqtt.login import address_of, cognito_url
    from chatops.render.loadtest import scenario_line

    address = address_of(environment)
    target = Target(
        address=address,
        region=environment.region,
        cognito_url=cognito_url(environment, selection.variables),
        pool_id=environment.identity_pool_id,
        rates=_rates(selection, on_aws=address.tls),
    )
    out.note(scenario_line(scenario))
    discard = _discard(out, selection, environment, profile)
    show = _Progress(out)

    async def load() -> "RunResult":
        stop = asyncio.Event()
        loop = asyncio.get_running_loop()

        def interrupted() -> None:
            # The first Ctrl-C drains and reports; the second ends at once.
            stop.set()
            loop.remove_signal_handler(signal.SIGINT)

        loop.add_signal_handler(signal.SIGINT, interrupted)
        return await run(scenario, target, events=show, stop=stop, discard=discard)

    try:
        result = asyncio.run(load())
    finally:
        show.end()
    if result.identities.problem:
        out.note(f"the {result.identities.made:,} identities stay in the pool: {result.identities.problem}")
    return result


def _rates(selection: Selection, *, on_aws: bool) -> "Rates":
    """How fast guests may join: within AWS's quotas wherever these are enforced."""
    from chatops.load.target import Rates

    if on_aws or (selection.is_local and require_local(selection).quotas == "aws"):
        return Rates.aws()
    return Rates.local()


def show_result(out: Output, result: "RunResult") -> None:
    """Print the result."""
    from chatops.render.loadtest import result_lines

    if out.json_mode:
        out.document(result.document())
    else:
        out.lines(result_lines(out, result))


class _Progress:
    """One line on standard error: rewritten in place on a terminal, one a stage elsewhere."""

    def __init__(self, out: Output) -> None:
        self._out = out
        self._stage = ""
        self._live = sys.stderr.isatty() and not out.quiet

    def __call__(self, progress: "Progress") -> None:
        from chatops.render.loadtest import progress_line

        if self._live:
            sys.stderr.write(f"\r{progress_line(progress):<79.79}")
            sys.stderr.flush()
        elif progress.stage.value != self._stage:
            self._out.note(progress_line(progress))
        self._stage = progress.stage.value

    def end(self) -> None:
        if self._live:
            sys.stderr.write("\r" + " " * 79 + "\r")
            sys.stderr.flush()


def _discard(
    out: Output, selection: Selection, environment: Environment, profile: str | None
) -> Callable[[Sequence[str]], Awaitable[int]] | None:
    """What deletes the run's identities afterwards; without an operator's credentials they stay, which is said."""
    import asyncio

    from chatops.aws.cognito import delete_identities
    from chatops.aws.session import Aws
    from chatops.cli.lifecycle import operator_target

    record = require_local(selection) if selection.is_local else None
    try:
        aws = Aws(operator_target(environment, record, profile))
        aws.keys()
    except ChatopsError as error:
        out.note(f"the identities that this run makes will stay in the pool: {error.problem}")
        return None

    async def discard(identity_ids: Sequence[str]) -> int:
        return await asyncio.to_thread(delete_identities, aws, identity_ids)

    return discard


def _judge(result: "RunResult") -> None:
    """Exit as the verdict demands; what is wrong has been printed."""
    from chatops.load.generator import Verdict

    match result.verdict:
        case Verdict.NOT_VALID:
            raise typer.Exit(int(ExitCode.NOT_VALID))
        case Verdict.PARTIAL:
            raise typer.Exit(int(ExitCode.PARTLY_DONE))
        case Verdict.VALID:
            if result.join_failed:
                raise typer.Exit(int(ExitCode.PARTLY_DONE))
