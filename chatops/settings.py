"""Where the values that steer a command come from: flag, then variable, then file, then default.

Each resolved value carries its source, so that `env show` and error messages can say why it is what it is. Resolved
once, by the command line; everything below takes the frozen result.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Generic, TypeVar

ENV_NAME_VARIABLE = "CHATOPS_ENV"
ENV_DIR_VARIABLE = "CHATOPS_ENV_DIR"
DEFAULT_ENV_DIR = "env"

Value_co = TypeVar("Value_co", covariant=True)


@dataclass(frozen=True, slots=True)
class Sourced(Generic[Value_co]):
    """A value and where it comes from, such as "--env", "CHATOPS_ENV" or "default"."""

    value: Value_co
    source: str


def env_dir(flag: str | None, variables: Mapping[str, str]) -> Sourced[Path]:
    """The folder with the environment files."""
    if flag is not None:
        return Sourced(Path(flag), "--env-dir")
    if variable := variables.get(ENV_DIR_VARIABLE):
        return Sourced(Path(variable), ENV_DIR_VARIABLE)
    return Sourced(Path(DEFAULT_ENV_DIR), "default")


def environment_name(flag: str | None, variables: Mapping[str, str], present: list[str]) -> Sourced[str]:
    """Which environment a command uses.

    Args:
        flag: what `--env` says.
        variables: the process's environment variables.
        present: the names that have a file.

    Returns:
        The name; its source starts with "default" when nobody chose it, which the command then says.
    """
    if flag is not None:
        return Sourced(flag, "--env")
    if variable := variables.get(ENV_NAME_VARIABLE):
        return Sourced(variable, ENV_NAME_VARIABLE)
    if len(present) == 1:
        return Sourced(present[0], "default: the only environment file")
    if "dev" in present:
        return Sourced("dev", "default: dev is there")
    return Sourced("local", "default: the embedded stack")
