"""`chatops env …`: environments and where their values come from."""

import os
import shlex
from typing import Annotated

import typer

from chatops import environment as environments
from chatops import settings
from chatops.chat.text import safe_text
from chatops.cli import options
from chatops.cli.context import env_directory, open_environment, select
from chatops.environment import LOCAL, Environment
from chatops.errors import ChatopsError, ExitCode
from chatops.render.output import Output

app = typer.Typer(help="Environments: list, show, check, choose.", no_args_is_help=True, rich_markup_mode=None)

NameArgument = Annotated[str, typer.Argument(metavar="NAME", help="The environment.")]


@app.command("list")
def list_environments(
    env_dir: options.EnvDirOption = None,
    json_mode: options.JsonOption = False,
    quiet: options.QuietOption = False,
    verbose: options.VerboseOption = False,
) -> None:
    """List the environments; * marks the one in use.

    \b
    Example:
      chatops env list
    """
    out = Output(json_mode=json_mode, quiet=quiet, verbose=verbose)
    directory = env_directory(env_dir, os.environ)
    names = environments.names_in(directory)
    chosen = settings.environment_name(None, os.environ, names).value
    rows = []
    for name in [*names, LOCAL]:
        try:
            found = environments.load(directory, name) if name != LOCAL else None
            rows.append((name, name == chosen, found.region if found else "", _gateway(found)))
        except ChatopsError as error:
            rows.append((name, name == chosen, "", f"cannot be used: {error.problem}"))
    if out.json_mode:
        keys = ("name", "current", "region", "gateway")
        out.document([dict(zip(keys, row, strict=True)) for row in rows])
        return
    width = max(len(name) for name, *_ in rows)
    out.lines(
        safe_text(f"{'*' if current else ' '} {name:<{width}}  {region:<14}  {words}".rstrip())
        for name, current, region, words in rows
    )


@app.command()
def show(
    env: options.EnvOption = None,
    env_dir: options.EnvDirOption = None,
    json_mode: options.JsonOption = False,
    quiet: options.QuietOption = False,
    verbose: options.VerboseOption = False,
) -> None:
    """Show each value with its source.

    \b
    Examples:
      chatops env show --env production
      chatops env show --json
    """
    out = Output(json_mode=json_mode, quiet=quiet, verbose=verbose)
    selection = select(out, env, env_dir)
    environment = open_environment(out, selection)
    values = _sourced(environment)
    values["environment"] = settings.environment_name(env, os.environ, environments.names_in(selection.directory))
    if not selection.is_local:
        values["env-dir"] = settings.env_dir(env_dir, os.environ)
    if out.json_mode:
        out.document(
            {name: {"value": _plain(sourced.value), "source": sourced.source} for name, sourced in values.items()}
        )
        return
    width = max(len(name) for name in values)
    out.lines(
        safe_text(f"{name:<{width}}  {_words(sourced.value)}  ({sourced.source})") for name, sourced in values.items()
    )


@app.command()
def validate(
    names: Annotated[
        list[str] | None, typer.Argument(metavar="[NAME]...", help="The environments (default: all).")
    ] = None,
    env_dir: options.EnvDirOption = None,
    json_mode: options.JsonOption = False,
    quiet: options.QuietOption = False,
    verbose: options.VerboseOption = False,
) -> None:
    """Check environment files.

    Exit code 3 when one is wrong; each problem is said with its file, line and column.

    \b
    Examples:
      chatops env validate
      chatops env validate production --json
    """
    out = Output(json_mode=json_mode, quiet=quiet, verbose=verbose)
    directory = env_directory(env_dir, os.environ)
    results: dict[str, str | None] = {}
    if environments.path_of(directory, LOCAL).exists():
        results[LOCAL] = "the name is reserved for the embedded stack, and this file is never read; rename it"
    for name in names or environments.names_in(directory):
        try:
            environments.load(directory, name)
            results[name] = None
        except ChatopsError as error:
            results[name] = f"{error.problem}; {error.remedy}"
    if out.json_mode:
        out.document({name: {"valid": problem is None, "problem": problem} for name, problem in results.items()})
    else:
        out.lines(safe_text(f"{name}: {problem or 'valid'}") for name, problem in results.items())
        if not results:
            out.note(f"the folder {directory} has no environments yet")
    if any(results.values()):
        raise typer.Exit(int(ExitCode.CONFIGURATION))


@app.command()
def use(
    name: NameArgument,
    env_dir: options.EnvDirOption = None,
    quiet: options.QuietOption = False,
    verbose: options.VerboseOption = False,
) -> None:
    """Print what makes an environment this shell's.

    \b
    Example:
      eval "$(chatops env use production)"
    """
    out = Output(quiet=quiet, verbose=verbose)
    if name != LOCAL:
        environments.load(settings.env_dir(env_dir, os.environ).value, name)
    out.data(f"export {settings.ENV_NAME_VARIABLE}={shlex.quote(name)}")


def _gateway(environment: Environment | None) -> str:
    return environment.gateway if environment else "the embedded stack"


def _sourced(environment: Environment) -> dict[str, settings.Sourced[object]]:
    """Every value of an environment: from its file, derived, or a default."""
    document = environment.document()
    file = f"{environment.name}.json"
    values: dict[str, settings.Sourced[object]] = {
        "iotGatewayName": settings.Sourced(environment.gateway, file),
        "cognitoIdentityPoolId": settings.Sourced(environment.identity_pool_id, file),
        "region": settings.Sourced(environment.region, file if "region" in document else "the identity pool's id"),
        "topicPrefix": settings.Sourced(environment.topic_prefix, file if "topicPrefix" in document else "default"),
        "title": settings.Sourced(environment.title, file if environment.title else "default"),
        "rooms": settings.Sourced(list(environment.rooms), file if environment.rooms else "default"),
    }
    for key, mapping in (
        ("endpoints", environment.endpoints),
        ("site", environment.site),
        ("managed", environment.managed),
    ):
        for name, value in mapping.items():
            values[f"{key}.{name}"] = settings.Sourced(value, file)
    return values


def _plain(value: object) -> object:
    return str(value) if not isinstance(value, str | list | None) else value


def _words(value: object) -> str:
    match value:
        case None:
            return "-"
        case list():
            return ", ".join(str(item) for item in value) or "-"
        case _:
            return str(value)
