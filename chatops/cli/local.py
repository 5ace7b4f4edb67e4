"""`chatops local …`: the embedded AWS."""

import datetime as dt
import os
import shlex
import sys
import time
from pathlib import Path
from typing import Annotated

import typer

from chatops.cli import options
from chatops.cli.context import Selection, ensure_local
from chatops.cli.local_fault import fault
from chatops.environment import LOCAL
from chatops.errors import ConfigurationError, DifferencesError, UsageError
from chatops.local import daemon
from chatops.local.record import StackRecord, log_path, read_record
from chatops.render.output import Output
from chatops.runtime import runtime_directory
from chatops.settings import DEFAULT_ENV_DIR

app = typer.Typer(
    help="The embedded AWS: start, stop, look, use.",
    no_args_is_help=True,
    rich_markup_mode=None,
)

app.command("fault")(fault)

QuotaOption = Annotated[
    str,
    typer.Option(
        "--quotas",
        metavar="WHICH",
        help="AWS's quotas to enforce: protocol (those of a connection), aws (the account's too), none.",
    ),
]
PortOption = Annotated[int, typer.Option("--port", metavar="N", min=0, max=65535, help="The control plane's port.")]
GatewayPortOption = Annotated[
    int, typer.Option("--gateway-port", metavar="N", min=0, max=65535, help="The gateway's port (ws).")
]
TlsPortOption = Annotated[
    int, typer.Option("--tls-port", metavar="N", min=0, max=65535, help="The gateway's port (wss).")
]
IdleOption = Annotated[
    float, typer.Option("--idle", metavar="MINUTES", min=0, help="Leave after so long without use; 0: never.")
]


@app.command()
def up(
    foreground: Annotated[bool, typer.Option("--foreground", help="Stay here and show the log.")] = False,
    port: PortOption = 0,
    gateway_port: GatewayPortOption = 0,
    tls_port: TlsPortOption = 0,
    region: Annotated[str, typer.Option("--region", metavar="REGION", help="The Region that it plays.")] = "us-east-1",
    quotas: QuotaOption = "protocol",
    idle: IdleOption = daemon.DEFAULT_IDLE_S / 60,
    json_mode: options.JsonOption = False,
    quiet: options.QuietOption = False,
    verbose: options.VerboseOption = False,
) -> None:
    """Start the local stack and set the chat up in it.

    In the background, until nobody has used it for a while. One that runs already is left as it is.

    \b
    Examples:
      chatops local up
      chatops local up --foreground
      chatops local up --quotas aws --port 4566
    """
    out = Output(json_mode=json_mode, quiet=quiet, verbose=verbose)
    if quotas not in {"protocol", "aws", "none"}:
        raise UsageError(f"There are no quotas {quotas!r}", "choose protocol, aws or none")
    selection = _selection()
    wanted = daemon.StartOptions(region, quotas, port, gateway_port, tls_port, idle * 60)
    if foreground:
        _run_here(out, selection, wanted)
    record = ensure_local(out, selection, wanted)
    changed = [
        name
        for name, asked, has in (
            ("--port", port, record.control_port),
            ("--gateway-port", gateway_port, record.gateway_port),
            ("--tls-port", tls_port, record.tls_port),
        )
        if asked not in {0, has}
    ]
    if changed or quotas != record.quotas or region != record.region:
        raise ConfigurationError(
            f"A local stack with other settings runs already ({_summary(record)})",
            "stop it with `chatops local down` first",
        )
    _show(out, record)


@app.command()
def down(
    json_mode: options.JsonOption = False,
    quiet: options.QuietOption = False,
    verbose: options.VerboseOption = False,
) -> None:
    """Stop the local stack; what was in it is gone.

    \b
    Example:
      chatops local down
    """
    out = Output(json_mode=json_mode, quiet=quiet, verbose=verbose)
    record = daemon.stop(runtime_directory(os.environ))
    if out.json_mode:
        out.document({"stopped": record is not None, "pid": record.pid if record else None})
    else:
        out.note(f"stopped (process {record.pid})" if record else "no local stack was running")


@app.command()
def status(
    json_mode: options.JsonOption = False,
    quiet: options.QuietOption = False,
    verbose: options.VerboseOption = False,
) -> None:
    """Say whether the local stack runs, and where.

    Exit code 8 when it does not run.

    \b
    Example:
      chatops local status --json
    """
    out = Output(json_mode=json_mode, quiet=quiet, verbose=verbose)
    directory = runtime_directory(os.environ)
    record = daemon.find(directory)
    if record is None:
        if out.json_mode:
            out.document({"running": False})
        stale = read_record(directory)
        was = f" (process {stale.pid} is gone without having been stopped)" if stale else ""
        raise DifferencesError(f"The local stack is not running{was}", "start it with `chatops local up`")
    _show(out, record, daemon.health(record))


@app.command()
def logs(
    follow: Annotated[bool, typer.Option("--follow", "-f", help="Go on showing what comes.")] = False,
    lines: Annotated[int, typer.Option("--lines", "-n", metavar="N", min=0, help="How many of the last lines.")] = 50,
    quiet: options.QuietOption = False,
    verbose: options.VerboseOption = False,
) -> None:
    """Show the local stack's log.

    \b
    Examples:
      chatops local logs -n 200
      chatops local logs --follow
    """
    out = Output(quiet=quiet, verbose=verbose)
    path = log_path(runtime_directory(os.environ))
    try:
        file = path.open(encoding="utf-8", errors="backslashreplace")
    except FileNotFoundError:
        raise ConfigurationError("The local stack has no log yet", "start it with `chatops local up`") from None
    with file:
        last = file.read().splitlines()[-lines:] if lines else []
        out.lines(last)
        while follow:
            if new := file.read():
                out.lines(new.splitlines())
            else:
                time.sleep(0.2)


@app.command("env")
def print_env(
    unset: Annotated[bool, typer.Option("--unset", help="Print what takes it back.")] = False,
    quiet: options.QuietOption = False,
    verbose: options.VerboseOption = False,
) -> None:
    """Print variables for any AWS tool.

    They make it, and chatops itself, take the local stack for an account, until --unset takes them back. It does not
    bring back what they replaced.

    \b
    Examples:
      eval "$(chatops local env)"
      aws cognito-identity list-identity-pools --max-results 10
      chatops setup --env dev --yes
      eval "$(chatops local env --unset)"
    """
    out = Output(quiet=quiet, verbose=verbose)
    names = ("AWS_ENDPOINT_URL", "AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_REGION", "AWS_DEFAULT_REGION")
    others = ("AWS_SESSION_TOKEN", "AWS_PROFILE")
    if unset:
        out.lines(f"unset {name}" for name in names)
        return
    selection = _selection()
    record = ensure_local(out, selection, daemon.StartOptions())
    values = (record.control_url, record.access_key_id, record.secret_access_key, record.region, record.region)
    out.lines(f"unset {name}" for name in others)
    out.lines(f"export {name}={shlex.quote(value)}" for name, value in zip(names, values, strict=True))


def _selection() -> Selection:
    return Selection(LOCAL, Path(DEFAULT_ENV_DIR), runtime_directory(os.environ), os.environ)


def _run_here(out: Output, selection: Selection, wanted: daemon.StartOptions) -> None:
    """Become the stack's process: its log on this terminal, its end with Ctrl-C."""
    import secrets

    running = daemon.find(selection.runtime)
    if running is not None:
        raise ConfigurationError(
            f"A local stack runs already ({_summary(running)})", "stop it with `chatops local down` first"
        )
    daemon.check_installed()
    out.note("Ctrl-C ends it")
    sys.stdout.flush()
    command = daemon.command_line(selection.runtime, wanted, secrets.token_hex(8))
    os.execve(command[0], [*command, "--foreground"], daemon.clean_variables(os.environ))  # noqa: S606


def _summary(record: StackRecord) -> str:
    return (
        f"process {record.pid}, AWS on port {record.control_port}, gateway on ports {record.gateway_port} "
        f"and {record.tls_port}, Region {record.region}, quotas {record.quotas}"
    )


def _show(out: Output, record: StackRecord, health: dict[str, object] | None = None) -> None:
    document = {
        "running": True,
        "pid": record.pid,
        "version": record.version,
        "region": record.region,
        "account": record.account,
        "aws": record.control_url,
        "gateway": record.gateway_url,
        "gateway_tls": record.gateway_tls_url,
        "certificate": record.certificate,
        "quotas": record.quotas,
        "started": dt.datetime.fromtimestamp(record.started, dt.UTC).isoformat(timespec="milliseconds"),
        **({"connections": health.get("connections")} if health is not None else {}),
    }
    if out.json_mode:
        out.document(document)
        return
    since = time.strftime("%H:%M:%S", time.localtime(record.started))
    rows = [
        ("AWS", record.control_url),
        ("gateway", f"{record.gateway_url} and {record.gateway_tls_url}"),
        ("process", f"{record.pid}, since {since}, quotas: {record.quotas}"),
    ]
    if health is not None:
        rows.append(("connections", str(health.get("connections"))))
    out.lines(f"{name:<12} {value}" for name, value in rows)
