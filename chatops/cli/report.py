"""`chatops report …`: recorded load tests, read again."""

from collections.abc import Callable
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, TypeVar

import typer

from chatops.cli import options
from chatops.errors import ThresholdError, UsageError
from chatops.render.output import Output

if TYPE_CHECKING:
    from chatops.load.compare import Comparison

T = TypeVar("T")

app = typer.Typer(help="Recorded load tests: show, compare, export.", no_args_is_help=True, rich_markup_mode=None)

RunArgument = Annotated[Path, typer.Argument(metavar="RUN", help="A run's folder.")]


@app.command()
def show(
    run: RunArgument,
    differences: Annotated[
        int, typer.Option("--differences", metavar="N", min=0, help="Name so many deliveries that went wrong.")
    ] = 0,
    fail_on: Annotated[
        list[str] | None, typer.Option("--fail-on", metavar="LIMIT", help="Judge the run by a threshold anew.")
    ] = None,
    json_mode: options.JsonOption = False,
    quiet: options.QuietOption = False,
    verbose: options.VerboseOption = False,
) -> None:
    """Show a recorded run, or how the figures of a folder of repeats spread.

    Exit code 9 when a --fail-on is true of it.

    \b
    Examples:
      chatops report show runs/20261122-104500-local
      chatops report show runs/before
      chatops report show runs/20261122-104500-local --differences 20
      chatops report show runs/before/01 --fail-on 'delivery.p99>100ms'
    """
    import dataclasses

    from chatops.load.thresholds import judge, parse
    from chatops.render.loadtest import result_lines

    out = Output(json_mode=json_mode, quiet=quiet, verbose=verbose)
    limits = [parse(part) for text in fail_on or [] for part in text.split(",")]
    runs = _repeats(run)
    if len(runs) > 1:
        _show_repeats(out, run, runs, judged=bool(limits or differences))
        return
    document = runs[0]
    if limits:
        document["thresholds"] = [dataclasses.asdict(each) for each in _read(run, lambda: judge(limits, document))]
    named = _named(run, differences) if differences else []
    if out.json_mode:
        out.document({**document, **({"named": named} if differences else {})})
    else:
        out.lines(_read(run, lambda: list(result_lines(out, document))))
        out.lines(
            f"{each['kind']:<12} sender {each['sender']}, post {each['sequence']}, receiver {each['receiver']}"
            for each in named
        )
    broken = [each["expression"] for each in document["thresholds"] if not each["held"]] if limits else []
    if broken:
        raise ThresholdError(f"Not kept: {', '.join(broken)}", "see the figures above")


@app.command()
def compare(
    before: Annotated[Path, typer.Argument(metavar="BEFORE", help="A run, or a folder with repeats of it.")],
    after: Annotated[Path, typer.Argument(metavar="AFTER", help="Likewise.")],
    fail_on: Annotated[
        list[str] | None,
        typer.Option("--fail-on", metavar="RULE", help="Fail when a figure got worse by more, such as p99+10%."),
    ] = None,
    json_mode: options.JsonOption = False,
    quiet: options.QuietOption = False,
    verbose: options.VerboseOption = False,
) -> None:
    """Compare two runs, or two sets of repeats.

    With two repeats or more on each side every difference gets its 95 % confidence interval, and --fail-on fails only
    on what is certain. Runs that are not valid are refused. Exit code 9 when a rule is broken.

    \b
    Examples:
      chatops report compare runs/monday runs/tuesday
      chatops report compare runs/before runs/after --fail-on p99+10%,received-1%
    """
    from chatops.load.compare import compare as compare_runs
    from chatops.load.compare import parse_rule

    out = Output(json_mode=json_mode, quiet=quiet, verbose=verbose)
    rules = [parse_rule(part) for text in fail_on or [] for part in text.split(",")]
    sides = _repeats(before), _repeats(after)
    found = _read(f"{before} or {after}", lambda: compare_runs(*sides, rules))
    _show_comparison(out, found)
    if found.broken:
        raise ThresholdError(f"Not kept: {', '.join(found.broken)}", "see the figures above")


@app.command()
def export(
    run: RunArgument,
    format_name: Annotated[str, typer.Option("--format", metavar="NAME", help="csv, junit or html.")] = "csv",
    output: Annotated[
        Path | None, typer.Option("--output", "-o", metavar="FILE", help="Where to (default: standard output).")
    ] = None,
    quiet: options.QuietOption = False,
    verbose: options.VerboseOption = False,
) -> None:
    """Write a recorded run as CSV, JUnit XML or HTML.

    \b
    Examples:
      chatops report export runs/monday > monday.csv
      chatops report export runs/monday --format junit -o loadtest.xml
      chatops report export runs/monday --format html -o monday.html
    """
    from chatops.cli.report_files import exported, write_text
    from chatops.load.run_folder import read_run

    out = Output(quiet=quiet, verbose=verbose)
    document = read_run(run)
    text = _read(run, lambda: exported(document, format_name))
    if output is None:
        out.data(text.removesuffix("\n"))
    else:
        write_text(output, text)
        out.note(f"written: {output}")


@app.command()
def throttles(
    run: RunArgument,
    env: options.EnvOption = None,
    profile: options.ProfileOption = None,
    env_dir: options.EnvDirOption = None,
    json_mode: options.JsonOption = False,
    quiet: options.QuietOption = False,
    verbose: options.VerboseOption = False,
) -> None:
    """Ask CloudWatch what AWS throttled during a run.

    AWS does not refuse a post that is over a quota: it never acknowledges it, and a delivery over one never comes.
    CloudWatch counts both, for the whole account, and knows of them some minutes later. The environment is the run's
    own unless --env names another.

    \b
    Example:
      chatops report throttles runs/20261122-104500-production
    """
    from chatops.cli.report_throttles import show_throttles

    show_throttles(Output(json_mode=json_mode, quiet=quiet, verbose=verbose), run, env, env_dir, profile)


def _read(run: Path | str, view: Callable[[], T]) -> T:
    """Make a view of a run's document, which anyone may have written.

    Raises:
        UsageError: it holds what no run holds.
    """
    try:
        return view()
    except (KeyError, TypeError, ValueError, AttributeError, ArithmeticError, OSError) as error:  # OSError: of times
        raise UsageError(
            f"{run} is damaged: {type(error).__name__} while reading it", "name a folder that `chatops loadtest` made"
        ) from None


def _repeats(path: Path) -> list[dict[str, Any]]:
    """The runs that a path stands for."""
    from chatops.load.run_folder import read_run, runs_in

    try:
        inner = runs_in(path)
    except OSError as error:
        raise UsageError(f"{path} cannot be read: {error.strerror}", "name a folder that `loadtest` made") from None
    return [read_run(child) for child in inner or [path]]


def _named(run: Path, most: int) -> list[dict[str, Any]]:
    """The first deliveries of a run that went wrong."""
    from chatops.load.message import MAX_SEQUENCE
    from chatops.load.recording import DIFFERENCES, KINDS, events_files, read_events

    found: list[dict[str, Any]] = []
    for block in chain.from_iterable(read_events(file) for file in events_files(run)):
        if block.kind != DIFFERENCES:
            continue
        rows = zip(block.columns["kind"], block.columns["number"], block.columns["receiver"], strict=True)
        for kind, number, receiver in rows:
            if len(found) >= most:
                return found
            name = KINDS[kind].value if kind < len(KINDS) else "?"
            sender, sequence = (number >> 24, number & MAX_SEQUENCE) if number >= 0 else (-1, -1)
            found.append({"kind": name, "sender": sender, "sequence": sequence, "receiver": receiver})
    return found


def _show_repeats(out: Output, folder: Path, runs: list[dict[str, Any]], *, judged: bool) -> None:
    """Show what `loadtest --repeat` showed.

    Raises:
        UsageError: what was asked for is of a single run.
    """
    from chatops.load.repeats import Repeats
    from chatops.render.loadtest_repeat import repeats_lines

    if judged:
        raise UsageError(f"{folder} holds {len(runs)} runs", "name one of them, to judge it or to see its differences")
    found = Repeats(len(runs), tuple(runs))
    if out.json_mode:
        out.document(_read(folder, found.document))
    else:
        out.lines(_read(folder, lambda: list(repeats_lines(out, found))))


def _show_comparison(out: Output, found: "Comparison") -> None:
    from chatops.render.report import comparison_lines

    if out.json_mode:
        out.document(found.document())
    else:
        out.lines(comparison_lines(out, found))
