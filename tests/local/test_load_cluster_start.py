"""What a load test on a cluster refuses, before anything is made."""

import json
import os
import shutil
import socket
import subprocess
import sys
from pathlib import Path

import pytest
from distributed import Security

import chatops as package
from chatops.load.roll_call import this_build
from tests.local.cli import Finished, assert_two_line_error, chatops, variables
from tests.local.cluster import Cluster, cluster


def refused(here: Path, code: int, *words: str, cluster: str, more: tuple[str, ...] = (), **env: str) -> Finished:
    """Try to run on a cluster, and see that it is refused and that nothing is left of the attempt."""
    arguments = ("--clients", "4", "--duration", "1", "--env", "local", "--cluster", cluster, *more)
    done = chatops("loadtest", *arguments, env={**variables(here), **env}, cwd=here)
    assert_two_line_error(done, code, *words)
    assert not list((here / "runs").glob("*/*"))
    assert not list((here / "runs").glob("*"))
    assert done.stdout == ""
    return done


@pytest.mark.parametrize(
    ("address", "words"),
    [
        ("127.0.0.1:8786", "no scheme"),
        ("http://127.0.0.1:8787", "http://"),
        ("tcp://", "host"),
        ("tcp://127.0.0.1:99999", "Port out of range"),
        ("tcp://user:secret@127.0.0.1", "host and a port"),
        ("tcp://127.0.0.1:8786/status", "host and a port"),
    ],
)
def test_what_is_no_address_is_refused(here: Path, address: str, words: str) -> None:
    done = refused(here, 2, words, cluster=address)
    assert "secret" not in done.stderr


def test_where_nobody_or_something_else_answers(here: Path) -> None:
    web = json.loads((here / "ports.json").read_text())["control"]
    refused(here, 6, f"No Dask scheduler answers at tcp://127.0.0.1:{web}: something", cluster=f"tcp://127.0.0.1:{web}")
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        refused(here, 6, f"No Dask scheduler answers at tcp://127.0.0.1:{port}", cluster=f"tcp://127.0.0.1:{port}")
    refused(here, 6, f"No Dask scheduler answers at tcp://127.0.0.1:{port}", cluster=f"tcp://127.0.0.1:{port}")


def test_a_scheduler_without_workers(here: Path, tmp_path: Path) -> None:
    with cluster(tmp_path / "cluster", workers=0) as made:
        refused(here, 6, "No worker has joined", f"dask worker {made.address}", cluster=made.address)


def test_too_few_workers_and_one_without_chatops(here: Path, tmp_path: Path) -> None:
    """A package of that name which lacks what an engine needs stands for a worker without chatops."""
    (tmp_path / "old" / "chatops").mkdir(parents=True)
    (tmp_path / "old" / "chatops" / "__init__.py").write_text("")
    with cluster(tmp_path / "cluster", workers=1) as made:
        refused(here, 2, "3 engines", "1 threads", cluster=made.address, more=("--processes", "3"))
        made.worker(env={"PYTHONPATH": str(tmp_path / "old")})
        made.ready()
        done = refused(here, 3, "missing or too old", cluster=made.address, more=("--processes", "2"))
        assert done.stderr.count("tcp://127.0.0.1:") == 1
        assert_idle(made)


def test_workers_with_another_chatops_are_named(here: Path, tmp_path: Path) -> None:
    other = tmp_path / "other" / "chatops"
    shutil.copytree(Path(package.__file__).parent, other, ignore=shutil.ignore_patterns("site", "local", "__pycache__"))
    (other / "__init__.py").write_text('__version__ = "99.0"\n')
    with cluster(tmp_path / "cluster", workers=1) as made:
        made.worker(env={"PYTHONPATH": str(other.parent)})
        made.ready()
        done = refused(here, 3, "chatops 99.0", this_build().words(), cluster=made.address, more=("--processes", "2"))
        assert done.stderr.count("tcp://127.0.0.1:") == 1
        assert_idle(made)


def assert_idle(made: Cluster) -> None:
    """No engine was started."""
    assert made.engines() == made.leftovers() == []


def test_without_dask_the_extra_is_named(here: Path) -> None:
    program = (
        "import sys; sys.modules['dask'] = sys.modules['distributed'] = None; "
        "from chatops.cli.app import main; sys.argv[0] = 'chatops'; main()"
    )
    arguments = ("loadtest", "--clients", "2", "--env", "local", "--cluster", "tcp://127.0.0.1:8786")
    done = subprocess.run(
        [sys.executable, "-c", program, *arguments], env=variables(here), cwd=here, capture_output=True, check=False
    )
    assert_two_line_error(Finished(done.returncode, "", done.stderr.decode()), 3, "pip install 'chatops[cluster]'")


def test_dask_is_not_imported_where_no_cluster_is_asked_for(here: Path) -> None:
    program = (
        "import sys; from chatops.cli.app import run; "
        "run(['loadtest', '--clients', '2', '--env', 'local', '--plan', '--json', '--processes', '2']); "
        "sys.exit('distributed' in sys.modules)"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], env=variables(here), cwd=here, capture_output=True, check=False
    )
    assert done.returncode == 0, done.stderr


def test_tls_with_dasks_own_settings(here: Path, tmp_path: Path) -> None:
    mine, others = certificates(tmp_path / "mine"), certificates(tmp_path / "others")
    with cluster(tmp_path / "cluster", protocol="tls", **mine) as made:
        assert made.address.startswith("tls://")
        refused(here, 3, "certificates", "DASK_DISTRIBUTED__COMM__TLS__CA_FILE", cluster=made.address)
        refused(here, 6, "No Dask scheduler answers", cluster=made.address, **others)
        plain = made.address.replace("tls://", "tcp://")
        refused(here, 6, "No Dask scheduler answers", cluster=plain)
        arguments = ("--clients", "4", "--duration", "1", "--total-rate", "10", "--env", "local", "--processes", "2")
        env = {**variables(here), **mine}
        done = chatops("loadtest", *arguments, "--cluster", made.address, "--out", "tls", env=env, cwd=here)
        assert done.code in {0, 10}, done.stderr
        assert "2 engines on 1 machine" in done.stdout


def certificates(folder: Path) -> dict[str, str]:
    """A certificate of its own, and Dask's settings for it."""
    folder.mkdir()
    made = Security.temporary()
    found = {}
    for name, content in (
        ("CA_FILE", made.tls_ca_file),
        *((f"{who}__CERT", made.tls_client_cert) for who in ("CLIENT", "WORKER", "SCHEDULER")),
        *((f"{who}__KEY", made.tls_client_key) for who in ("CLIENT", "WORKER", "SCHEDULER")),
    ):
        file = folder / name
        file.touch(0o600)
        file.write_text(content)
        found[f"DASK_DISTRIBUTED__COMM__TLS__{name}"] = os.fspath(file)
    return found
