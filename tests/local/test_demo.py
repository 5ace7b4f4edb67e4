from pathlib import Path

from chatops.local import daemon
from tests.local.cli import chatops, variables


def test_the_demo_does_what_it_says(tmp_path: Path) -> None:
    try:
        done = chatops("demo", "--clients", "50", "--duration", "1", env=variables(tmp_path))
        assert done.code == 0, done.stderr
        assert "hello from a guest" in done.stdout
        assert "hello from the operator" in done.stdout
        assert "refused, as on AWS" in done.stdout
        assert "joined       50 of 50 guests" in done.stdout
        assert " 0 lost" in done.stdout
        assert "chatops tail lobby" in done.stdout
        assert daemon.find(tmp_path) is not None
    finally:
        daemon.stop(tmp_path)
