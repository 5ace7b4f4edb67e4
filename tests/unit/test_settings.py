from pathlib import Path

import pytest

from chatops import settings


@pytest.mark.parametrize(
    ("flag", "variables", "present", "value", "source"),
    [
        ("prod", {"CHATOPS_ENV": "other"}, ["dev"], "prod", "--env"),
        (None, {"CHATOPS_ENV": "other"}, ["dev"], "other", "CHATOPS_ENV"),
        (None, {"CHATOPS_ENV": ""}, ["staging"], "staging", "default: the only environment file"),
        (None, {}, ["dev", "staging"], "dev", "default: dev is there"),
        (None, {}, ["production", "staging"], "local", "default: the embedded stack"),
        (None, {}, [], "local", "default: the embedded stack"),
    ],
)
def test_which_environment_a_command_uses(
    flag: str | None, variables: dict[str, str], present: list[str], value: str, source: str
) -> None:
    found = settings.environment_name(flag, variables, present)
    assert (found.value, found.source) == (value, source)


def test_where_environment_files_are() -> None:
    assert settings.env_dir(None, {}).value == Path("env")
    assert settings.env_dir(None, {"CHATOPS_ENV_DIR": "/x"}).value == Path("/x")
    assert settings.env_dir("y", {"CHATOPS_ENV_DIR": "/x"}).source == "--env-dir"
