"""`chatops report throttles`: what AWS throttled during a recorded run."""

from dataclasses import asdict
from pathlib import Path

from chatops.cli.context import open_environment, require_local, select
from chatops.errors import UsageError
from chatops.render.output import Output

_LATEST = 1e11  # seconds since the epoch; far beyond any run, and within what dates can be
_LONGEST_S = 1e8


def show_throttles(out: Output, run: Path, env: str | None, env_dir: str | None, profile: str | None) -> None:
    """Ask CloudWatch and show its answer beside the run's own figures.

    Raises:
        UsageError: there is no such run, or it does not say when and where it was.
        NotAuthorisedError: the operator may not ask CloudWatch.
    """
    from chatops.aws.cloudwatch import throttled
    from chatops.aws.session import Aws
    from chatops.cli.lifecycle import operator_target
    from chatops.load.run_folder import read_run
    from chatops.load.throttling import KIND, SCHEMA, counterparts
    from chatops.render.throttles import throttles_lines

    document = read_run(run)
    unknown = UsageError(f"{run} does not say when and where it was run", "name a folder that `chatops loadtest` made")
    try:
        name = env or str(document["environment"]["name"])
        started_at, seconds = float(document["started_at"]), float(document["seconds"])
        counterparts(document, connects=0, subscriptions=0, publishes_in=0, publishes_out=0)
    except (KeyError, TypeError, ValueError, AttributeError):
        raise unknown from None
    if not (0 <= started_at < _LATEST and 0 <= seconds < _LONGEST_S):
        raise unknown
    selection = select(out, name, env_dir)
    environment = open_environment(out, selection)
    record = require_local(selection) if selection.is_local else None
    found = throttled(Aws(operator_target(environment, record, profile)), started_at, seconds)
    rows = counterparts(
        document,
        connects=found.connects,
        subscriptions=found.subscriptions,
        publishes_in=found.publishes_in,
        publishes_out=found.publishes_out,
    )
    if out.json_mode:
        out.document(
            {
                "schema": SCHEMA,
                "kind": KIND,
                "run": document.get("run"),
                "since": found.since.isoformat(),
                "until": found.until.isoformat(),
                "counterparts": [asdict(row) for row in rows],
            }
        )
    else:
        out.lines(throttles_lines(found.since, found.until, rows))
