"""From the options of a command to the environment that it works on, the embedded one included."""

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from chatops import environment as environments
from chatops import settings
from chatops.environment import LOCAL, Environment
from chatops.errors import ConfigurationError
from chatops.local import daemon
from chatops.local.record import StackRecord, environment_directory
from chatops.render.output import Output
from chatops.runtime import runtime_directory


@dataclass(frozen=True, slots=True)
class Selection:
    """Which environment a command works on, before anything is read or started."""

    name: str
    directory: Path
    runtime: Path
    variables: Mapping[str, str]

    @property
    def is_local(self) -> bool:
        """Whether it is the embedded one."""
        return self.name == LOCAL

    def endpoints_in_force(self) -> dict[str, str]:
        """The URL overrides that AWS's own variables set."""
        url = self.variables.get("AWS_ENDPOINT_URL")
        return {"aws": url} if url else {}


def select(out: Output, env: str | None, env_dir: str | None, *, may_create: bool = False) -> Selection:
    """Decide which environment is meant; a choice that nobody made is said on standard error.

    Args:
        may_create: whether the folder of environment files may be missing although it was named.
    """
    variables = os.environ
    directory = env_directory(env_dir, variables, may_create=may_create)
    chosen = settings.environment_name(env, variables, environments.names_in(directory))
    name = environments.check_name(chosen.value)
    if chosen.source.startswith("default"):
        out.note(f"environment: {name} ({chosen.source.removeprefix('default: ')})")
    return Selection(name, directory, runtime_directory(variables), variables)


def env_directory(env_dir: str | None, variables: Mapping[str, str], *, may_create: bool = False) -> Path:
    """The folder of environment files.

    Raises:
        ConfigurationError: it was named, by option or variable, and is not there.
    """
    found = settings.env_dir(env_dir, variables)
    if found.source != "default" and not may_create and not found.value.is_dir():
        raise ConfigurationError(f"There is no folder {found.value} ({found.source})", "name the one with your files")
    return found.value


def open_environment(out: Output, selection: Selection) -> Environment:
    """The environment; the embedded one is started and set up when it is not there yet.

    Raises:
        ConfigurationError: its file is missing or wrong, or the extra `local` is not installed.
    """
    if selection.is_local:
        ensure_local(out, selection, daemon.StartOptions())
    return reload(selection)


def reload(selection: Selection) -> Environment:
    """Read the environment anew, starting nothing."""
    if not selection.is_local:
        return environments.load(selection.directory, selection.name)
    directory = environment_directory(selection.runtime)
    if not environments.path_of(directory, LOCAL).exists():
        raise ConfigurationError("The local stack is not set up", "run `chatops local up`")
    return environments.load(directory, LOCAL)


def ensure_local(out: Output, selection: Selection, options: daemon.StartOptions) -> StackRecord:
    """Find or start the local stack, and set the chat up in it when that has not been done.

    Two commands that come at once get one stack and one chat: the second waits for the first.
    """
    directory = environment_directory(selection.runtime)
    with daemon.exclusive(selection.runtime):
        record = daemon.ensure(selection.runtime, options, out.note)
        if not environments.path_of(directory, LOCAL).exists():
            from chatops.cli.lifecycle import set_up_local

            set_up_local(out, record, directory)
    return record


def require_local(selection: Selection) -> StackRecord:
    """The running local stack.

    Raises:
        ConfigurationError: none runs.
    """
    record = daemon.find(selection.runtime)
    if record is None:
        raise ConfigurationError("The local stack is not running", "start it with `chatops local up`")
    return record
