from collections.abc import Generator
from pathlib import Path

import pytest

from chatops.environment import Environment
from tests.local.cli import chatops, variables
from tests.local.harness import RunningStack, running_stack
from tests.local.proxy import Proxy, running_proxy
from tests.local.shell import Capture, Shell


@pytest.fixture(scope="module")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Generator[RunningStack]:
    with running_stack(tmp_path_factory.mktemp("stack")) as running:
        yield running


@pytest.fixture(scope="module")
def chat(stack: RunningStack, tmp_path_factory: pytest.TempPathFactory) -> Environment:
    directory: Path = tmp_path_factory.mktemp("env")
    return stack.set_up(directory)


@pytest.fixture(scope="module")
def proxy(stack: RunningStack) -> Generator[Proxy]:
    with running_proxy(stack.aws_url) as made:
        yield made


@pytest.fixture
def shell(stack: RunningStack, proxy: Proxy, capsys: Capture, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Shell:
    monkeypatch.chdir(tmp_path)
    for name in ("AWS_PROFILE", "AWS_SESSION_TOKEN", "AWS_DEFAULT_REGION"):
        monkeypatch.delenv(name, raising=False)
    keys = stack.keys()
    settings = variables(
        tmp_path,
        AWS_ENDPOINT_URL=proxy.url,
        AWS_ACCESS_KEY_ID=keys.access_key_id,
        AWS_SECRET_ACCESS_KEY=keys.secret_access_key,
        AWS_REGION="us-east-1",
    )
    for name, value in settings.items():
        monkeypatch.setenv(name, value)
    proxy.actions.clear()
    proxy.deny = proxy.lose = proxy.before = None
    proxy.lose_after = 0
    proxy.throttle.clear()
    proxy.refuse.clear()
    return Shell(capsys, proxy, tmp_path)


@pytest.fixture(scope="module")
def here(tmp_path_factory: pytest.TempPathFactory) -> Generator[Path]:
    """A folder of its own with a stack of its own, started as a user does it."""
    folder = tmp_path_factory.mktemp("here")
    env = variables(folder)
    started = chatops("local", "up", env=env, cwd=folder)
    assert started.code == 0, started.stderr
    yield folder
    assert chatops("local", "down", env=env, cwd=folder).code == 0
