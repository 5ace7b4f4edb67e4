import re
from pathlib import Path

from chatops.local import daemon
from chatops.site.bundle import load_bundle
from tests.local.cli import chatops, variables
from tests.local.test_site import get


def test_the_demo_does_what_it_says(tmp_path: Path) -> None:
    load_bundle(print)  # the demo publishes the page where it is built
    try:
        done = chatops("demo", "--clients", "50", "--duration", "1", env=variables(tmp_path))
        assert done.code == 0, done.stderr
        assert "hello from a guest" in done.stdout
        assert "hello from the operator" in done.stdout
        assert "refused, as on AWS" in done.stdout
        assert "joined       50 of 50 guests" in done.stdout
        assert " 0 lost" in done.stdout
        assert "chatops tail lobby" in done.stdout
        page = re.search(r"^   (http://127\.0\.0\.1:\d+/) +the guests' page", done.stdout, re.MULTILINE)
        assert page is not None, done.stdout
        status, headers, body = get(page[1], "/")  # it stays, as the stack does
        assert status == 200
        assert b"Enter as guest" in body
        assert headers["X-Frame-Options"] == "DENY"
        assert daemon.find(tmp_path) is not None
    finally:
        daemon.stop(tmp_path)
