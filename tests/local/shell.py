"""The command line as on an account, with a proxy in between that fails on demand."""

import json
from pathlib import Path

import pytest

from chatops import environment
from chatops.cli.app import run
from tests.local.cli import Finished
from tests.local.proxy import Proxy

Capture = pytest.CaptureFixture[str]


class Shell:
    """The command line as on an account, in a folder of its own."""

    def __init__(self, capsys: Capture, proxy: Proxy, folder: Path) -> None:
        self._capsys = capsys
        self.proxy = proxy
        self.folder = folder

    def __call__(self, *arguments: str) -> Finished:
        self._capsys.readouterr()
        code = run(list(arguments))
        captured = self._capsys.readouterr()
        return Finished(code, captured.out, captured.err)

    def document(self, *arguments: str) -> dict[str, object]:
        done = self(*arguments, "--json")
        assert done.stdout, done.stderr
        document = json.loads(done.stdout)
        assert isinstance(document, dict)
        return document

    def environment(self, name: str) -> environment.Environment:
        return environment.load(self.folder / "env", name)


WRITES = ("Create", "Delete", "Put", "Set", "Update", "Attach", "Detach", "Tag", "Untag")


def writes(proxy: Proxy) -> list[str]:
    return [action for action in proxy.actions if action.partition(":")[2].startswith(WRITES)]
