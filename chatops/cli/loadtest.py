"""`chatops loadtest`."""

import dataclasses
import time
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from chatops.cli import options
from chatops.cli.context import Selection, open_environment, select
from chatops.cli.interrupts import as_interrupts, undisturbed
from chatops.cli.loadtest_plan import machine_of, show_plan
from chatops.cli.loadtest_run import (
    Outputs,
    Request,
    end,
    execute,
    missing_extra,
    run_load,
    show_result,
    write_outputs,
)
from chatops.cli.loadtest_scenario import choices, read_limits, read_rhythm, read_scenario_of
from chatops.cli.loadtest_target import Place, find_place, say_who_stays
from chatops.cli.quantities import share
from chatops.errors import ChatopsError, UsageError
from chatops.render.output import Output

if TYPE_CHECKING:
    from chatops.cli.loadtest_identities import KeptIdentities
    from chatops.load.preflight import Preflight
    from chatops.load.scenario import Scenario

MOST_PROCESSES = 256
MOST_REPEATS = 100

__all__ = ["loadtest", "run_load", "show_result"]


def loadtest(
    more_limits: Annotated[
        list[str] | None, typer.Argument(metavar="[LIMIT]...", help="More limits, after --fail-on.", show_default=False)
    ] = None,
    clients: Annotated[
        int | None, typer.Option("--clients", "-c", metavar="N", help="How many guests join (default: 100).")
    ] = None,
    duration: Annotated[
        float | None,
        typer.Option("--duration", "-d", metavar="SECONDS", help="How long the measured load lasts (default: 10)."),
    ] = None,
    rooms: Annotated[
        int | None, typer.Option("--rooms", metavar="N", help="How many rooms (default: a tenth of the guests).")
    ] = None,
    spread: Annotated[
        str | None,
        typer.Option("--spread", metavar="HOW", help="How guests spread over rooms: zipf (default), even or one."),
    ] = None,
    rate: Annotated[
        float | None, typer.Option("--rate", metavar="N", help="Posts per second of each guest (default: 0.1).")
    ] = None,
    total_rate: Annotated[
        float | None, typer.Option("--total-rate", metavar="N", help="Posts per second of all guests together.")
    ] = None,
    arrivals: Annotated[
        str | None, typer.Option("--arrivals", metavar="HOW", help="Posts follow by chance: poisson; or constant.")
    ] = None,
    shape: Annotated[
        str | None,
        typer.Option("--shape", metavar="HOW", help="The rate over time: constant (default), ramp, steps or spike."),
    ] = None,
    size: Annotated[
        int | None, typer.Option("--size", metavar="BYTES", help="The size of each message (default: 300).")
    ] = None,
    silent: Annotated[
        str | None, typer.Option("--silent", metavar="SHARE", help="How many guests only read, such as 90%.")
    ] = None,
    churn: Annotated[
        str | None, typer.Option("--churn", metavar="SHARE", help="How many leave and come back each minute.")
    ] = None,
    storm: Annotated[
        str | None, typer.Option("--storm", metavar="SHARE", help="Drop so many connections at once, half-way.")
    ] = None,
    expiry: Annotated[
        float | None,
        typer.Option("--expire-credentials", metavar="SECONDS", help="Then all need new credentials, and reconnect."),
    ] = None,
    warm_up: Annotated[
        float | None, typer.Option("--warm-up", metavar="SECONDS", help="Load before the measured window (default: 2).")
    ] = None,
    connect_rate: Annotated[
        float | None, typer.Option("--connect-rate", metavar="N", help="Connects per second while joining.")
    ] = None,
    receive_qos: Annotated[
        int | None, typer.Option("--receive-qos", metavar="N", help="QoS of the subscriptions: 0 (default) or 1.")
    ] = None,
    seed: Annotated[int | None, typer.Option("--seed", metavar="N", help="What chance follows from.")] = None,
    scenario_file: Annotated[
        Path | None, typer.Option("--scenario", metavar="FILE", help="A scenario in TOML; other options override it.")
    ] = None,
    identities: Annotated[
        int | None, typer.Option("--identities", metavar="N", help="Share so few anonymous identities.")
    ] = None,
    processes: Annotated[
        int | None,
        typer.Option(
            "--processes", metavar="N", help="Processes that share the guests (default: as many as it takes)."
        ),
    ] = None,
    cluster: Annotated[
        str | None,
        typer.Option("--cluster", metavar="URL", help="Run on the workers of a Dask scheduler (tcp://HOST:8786)."),
    ] = None,
    reuse: Annotated[
        bool, typer.Option("--reuse-identities", help="Keep the identities, encrypted, and take those kept before.")
    ] = False,
    forget: Annotated[
        bool, typer.Option("--forget-identities", help="Delete the kept identities, and do nothing else.")
    ] = False,
    fail_on: Annotated[
        list[str] | None,
        typer.Option("--fail-on", metavar="LIMIT", help="Fail when it comes true, such as 'delivery.p99>250ms'."),
    ] = None,
    abort: Annotated[bool, typer.Option("--abort", help="End the run as soon as a --fail-on has come true.")] = False,
    replay: Annotated[
        Path | None,
        typer.Option("--replay", metavar="FILE", help="Post in the rhythm of what `tail --record` recorded."),
    ] = None,
    speed: Annotated[float, typer.Option("--speed", metavar="N", help="Replay so many times as fast.")] = 1.0,
    scale: Annotated[float, typer.Option("--scale", metavar="N", help="Replay each message so many times.")] = 1.0,
    find_limit: Annotated[
        bool,
        typer.Option("--find-limit", help="Step the load up until a --fail-on comes true; show the most that held."),
    ] = False,
    repeats: Annotated[
        int | None,
        typer.Option("--repeat", metavar="N", help="Run it so many times, and show how the figures spread."),
    ] = None,
    plan_only: Annotated[
        bool, typer.Option("--plan", help="Show what the run would ask for, and what it takes on AWS, and stop.")
    ] = False,
    machine: Annotated[
        str | None,
        typer.Option("--machine", metavar="CORESxGIB", help="What --plan counts in (default: machines of 8x16)."),
    ] = None,
    max_cost: Annotated[
        float | None, typer.Option("--max-cost", metavar="DOLLARS", min=0, help="Refuse a run predicted to cost more.")
    ] = None,
    force: Annotated[bool, typer.Option("--force", help="Run even what cannot work.")] = False,
    folder: Annotated[
        Path | None, typer.Option("--out", metavar="DIR", help="The run's folder (default: runs/<time>-<env>).")
    ] = None,
    csv: Annotated[
        Path | None, typer.Option("--csv", metavar="FILE", help="Write the run second by second as CSV.")
    ] = None,
    junit: Annotated[
        Path | None, typer.Option("--junit", metavar="FILE", help="Write the thresholds as JUnit XML.")
    ] = None,
    env: options.EnvOption = None,
    profile: options.ProfileOption = None,
    env_dir: options.EnvDirOption = None,
    json_mode: options.JsonOption = False,
    quiet: options.QuietOption = False,
    verbose: options.VerboseOption = False,
) -> None:
    """Let many guests chat; count and time deliveries.

    Each guest has its own Cognito identity, credentials, signature and connection. Exit code 9 when a --fail-on came
    true, 10 when the generator was the bottleneck and the figures therefore are not valid, 7 when some guests could
    not join. Ctrl-C drains and still reports.

    Limits are on delivery, delivery_from_send, ack, ack_from_send and join (.p50 .p90 .p99 .p999 .p9999 .max), on
    lost, late, duplicate, reordered, received, joined, join.failed, posts.failed, disconnects (numbers or shares),
    on cost and join.seconds.

    \b
    Examples:
      chatops loadtest --clients 500
      chatops loadtest --clients 500 --fail-on 'delivery.p99>250ms' 'lost>0'
      chatops loadtest --scenario evening.toml --plan --env prod --max-cost 5
      chatops loadtest --plan --clients 1000000 --spread even --rate 0.01
      chatops loadtest --clients 200 --spread one --shape spike --storm 30%
      chatops loadtest --clients 500 --find-limit --fail-on 'delivery.p99>50ms'
      chatops loadtest --clients 500 --repeat 5 --out runs/before
      chatops loadtest --clients 50000 --cluster tcp://10.0.0.1:8786
    """
    out = Output(json_mode=json_mode, quiet=quiet, verbose=verbose)
    given: dict[str, Any] = {
        "clients": clients,
        "duration_s": duration,
        "rooms": rooms,
        "posts_per_s": rate,
        "total_posts_per_s": total_rate,
        "message_bytes": size,
        "silent_share": None if silent is None else share("--silent", silent),
        "churn_per_minute": None if churn is None else share("--churn", churn),
        "storm_share": None if storm is None else share("--storm", storm),
        "expiry_at_s": expiry,
        "warm_up_s": warm_up,
        "connects_per_s": connect_rate,
        "receive_qos": receive_qos,
        "seed": seed,
        "identities": identities,
        **choices(spread, arrivals, shape),
    }
    limits = read_limits(fail_on or [], more_limits or [], abort=abort)
    counted_in = machine_of(machine, plan_only=plan_only)
    rhythm = None
    if replay is not None:
        rhythm = read_rhythm(given, replay, speed=speed, scale=scale, seed=seed, find_limit=find_limit)
    scenario = read_scenario_of({name: value for name, value in given.items() if value is not None}, scenario_file)
    _check_processes(scenario, processes)
    _check_repeats(repeats, find_limit=find_limit, reuse=reuse, exports=(csv, junit))
    scheduler = None if cluster is None else _scheduler(cluster)
    selection = select(out, env, env_dir)
    environment = open_environment(out, selection)
    scenario = dataclasses.replace(scenario, prefix=environment.topic_prefix)
    place = find_place(selection, environment, profile)
    if forget:
        _forget(out, selection, place)
        return
    plan = place.preflight(scenario, max_cost)
    if plan_only:
        show_plan(out, place, scenario, plan, counted_in)
        if not force:
            plan.check()
        return
    _say_plan(out, plan)
    if not force:
        plan.check()
    request = Request(
        out,
        place,
        scenario,
        run=partial(execute, processes=processes, cluster=scheduler),
        rhythm=rhythm,
        limits=limits,
        abort=abort,
        force=force,
        max_cost=max_cost,
        outputs=Outputs(folder or _default_folder(environment.name), csv, junit),
    )
    with as_interrupts():
        if find_limit:
            from chatops.cli.loadtest_limit import search

            search(request)
        elif repeats is not None:
            from chatops.cli.loadtest_repeat import repeat

            repeat(request, repeats)
        else:
            _run(request, plan, _kept(out, place, selection) if reuse else None)


def _kept(out: Output, place: Place, selection: Selection) -> "KeptIdentities":
    from chatops.cli.loadtest_identities import kept_identities

    found = kept_identities(place, selection.runtime)
    aside = found.set_aside()
    if aside is not None:
        out.note(
            f"the kept identities cannot be read: the file is damaged, or another operator's; it is kept as {aside}"
        )
    return found


def _run(request: Request, plan: "Preflight", kept: "KeptIdentities | None") -> None:
    from chatops.cli.report_files import check_export_path
    from chatops.load.front import Wishes
    from chatops.load.run_folder import prepare, release

    out, place, outputs = request.out, request.place, request.outputs
    for path in (outputs.csv, outputs.junit):
        if path is not None:
            check_export_path(path)
    wishes = Wishes(
        limits=request.limits,
        abort=request.abort,
        known=kept.known() if kept is not None else (),
        keep=kept.keep if kept is not None else None,
        folder=outputs.folder,
        replay=request.rhythm,
    )
    made = prepare(outputs.folder, plan) if outputs.folder is not None else False
    if kept is None:
        say_who_stays(out, place, request.scenario)
    try:
        result = request.run(out, place, request.scenario, wishes)
    except (ChatopsError, KeyboardInterrupt):
        if outputs.folder is not None:
            release(outputs.folder, made=made)
        raise
    with undisturbed(out.note, "writing the report") as presses:
        try:
            show_result(out, result)
        finally:  # standard output may be full or gone: the run is kept all the same
            if kept is not None and (count := len(kept.known())):
                out.note(f"{count:,} identities are kept; --forget-identities deletes them")
            write_outputs(out, place, plan, result, outputs)
    if presses.count:
        raise KeyboardInterrupt
    end(result)


def _check_processes(scenario: "Scenario", processes: int | None) -> None:
    if processes is None:
        return
    if processes < 1:
        raise UsageError(
            f"{processes} processes cannot run a load test", "ask for at least one, or leave --processes out"
        )
    if processes > min(scenario.identity_count, MOST_PROCESSES):
        most = min(scenario.identity_count, MOST_PROCESSES)
        raise UsageError(
            f"{processes:,} processes are more than the {most:,} that this scenario can be shared out over",
            "guests that share an identity stay together; leave --processes out to have as many as it takes",
        )


def _check_repeats(count: int | None, *, find_limit: bool, reuse: bool, exports: tuple[Path | None, ...]) -> None:
    if count is None:
        return
    if not 2 <= count <= MOST_REPEATS:
        raise UsageError(f"--repeat {count} is no number of repeats", f"ask for 2 to {MOST_REPEATS}")
    clashes = {"--find-limit": find_limit, "--reuse-identities": reuse, "--csv and --junit": any(exports)}
    for name, clashing in clashes.items():
        if clashing:
            raise UsageError(
                f"--repeat cannot be combined with {name}",
                "repeats share their identities anyway; `chatops report export` exports each",
            )


def _scheduler(address: str) -> str:
    """Check what `--cluster` names, before anything else is looked at."""
    try:
        from chatops.load.cluster_link import scheduler_address
    except ModuleNotFoundError as error:
        raise missing_extra(error) from None
    return scheduler_address(address)


def _say_plan(out: Output, plan: "Preflight") -> None:
    from chatops.render.loadtest import plan_lines

    for warning in plan.warnings:
        out.note(f"warning: {warning}")
    for line in plan_lines(plan):
        out.detail(line)


def _default_folder(environment: str) -> Path:
    from chatops.load.run_folder import default_folder

    return default_folder(environment, time.time())


def _forget(out: Output, selection: Selection, place: Place) -> None:
    """Delete the kept identities, in the pool and here."""
    from chatops.aws.cognito import delete_identities

    kept = _kept(out, place, selection)
    known = kept.known()
    if known and place.operator is not None:
        delete_identities(place.operator, known)
    kept.forget()
    out.note(f"{len(known):,} kept identities deleted")
