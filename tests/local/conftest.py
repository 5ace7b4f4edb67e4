from collections.abc import Generator
from pathlib import Path

import pytest

from chatops.environment import Environment
from tests.local.harness import RunningStack, running_stack


@pytest.fixture(scope="module")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Generator[RunningStack]:
    with running_stack(tmp_path_factory.mktemp("stack")) as running:
        yield running


@pytest.fixture(scope="module")
def chat(stack: RunningStack, tmp_path_factory: pytest.TempPathFactory) -> Environment:
    directory: Path = tmp_path_factory.mktemp("env")
    return stack.set_up(directory)
