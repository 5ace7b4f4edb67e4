import http.client
import json
import re
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from chatops import environment
from chatops.aws import iam
from chatops.chat.policy import guest_policy
from chatops.environment import Environment
from tests.local.cli import assert_two_line_error, chatops, running, variables
from tests.local.harness import RunningStack


@pytest.fixture
def folder(stack: RunningStack, tmp_path: Path) -> Path:
    stack.set_up(tmp_path / "env", "dev")
    return tmp_path


def get(url: str, path: str, method: str = "GET") -> tuple[int, dict[str, str], bytes]:
    connection = http.client.HTTPConnection(urlsplit(url).netloc, timeout=30)
    try:
        connection.request(method, path)
        answer = connection.getresponse()
        return answer.status, dict(answer.getheaders()), answer.read()
    finally:
        connection.close()


def test_serve_serves_the_page_with_the_headers_of_production(folder: Path, stack: RunningStack) -> None:
    with running("site", "serve", "--env", "dev", "--no-open", env=variables(folder), cwd=folder) as command:
        url = command.line()
        assert url.startswith("http://127.0.0.1:")
        status, headers, body = get(url, "/")
        assert status == 200
        assert headers["Content-Type"] == "text/html; charset=utf-8"
        policy = headers["Content-Security-Policy"]
        assert "unsafe" not in policy
        assert "frame-ancestors 'none'" in policy
        assert stack.aws_url in policy
        assets = re.findall(r'(?:src|href)="(assets/[^"]+)"', body.decode())
        assert len(assets) >= 3
        for path in assets:
            status, headers, _ = get(url, f"/{path}")
            assert status == 200
            assert "immutable" in headers["Cache-Control"]
            assert headers["X-Content-Type-Options"] == "nosniff"
        status, headers, body = get(url, "/config.json")
        assert headers["Cache-Control"] == "no-cache"
        assert json.loads(body)["gateway"] == stack.gateway_url
        for path in ("/nothing", "/../pyproject.toml", "/%2e%2e/%2e%2e/etc/passwd", "/assets/", "/%ff"):
            status, headers, _ = get(url, path)
            assert status == 404
            assert "Content-Security-Policy" in headers
        assert get(url, "/", "POST")[0] == 405
        assert get(url, "/", "HEAD")[2] == b""


def test_build_writes_a_site_whose_scripts_are_checked(folder: Path, chat: Environment) -> None:
    done = chatops("site", "build", "--env", "dev", "--out", "out", "--json", env=variables(folder), cwd=folder)
    assert done.code == 0, done.stderr
    document = json.loads(done.stdout)
    written = {str(path.relative_to(folder / "out")) for path in (folder / "out").rglob("*") if path.is_file()}
    assert written == set(document["files"])
    index = (folder / "out" / "index.html").read_text()
    assert index.count('integrity="sha384-') == 2
    assert "{{" not in index
    again = chatops("site", "build", "--env", "dev", "--zip", "page.zip", env=variables(folder), cwd=folder)
    assert (again.code, again.stdout) == (0, "page.zip\n")


def test_what_cannot_be_is_said_in_two_lines(folder: Path) -> None:
    env = variables(folder)
    assert_two_line_error(chatops("site", "build", "--env", "nowhere", env=env, cwd=folder), 3, "nowhere")
    refused = chatops("site", "build", "--env", "dev", "--out", ".", env=env, cwd=folder)
    assert_two_line_error(refused, 3, "not a site")
    assert_two_line_error(chatops("site", "serve", "--port", "99999", env=env, cwd=folder), 2, "65535")


@pytest.mark.parametrize(("option", "talk"), [("--browser", "browser"), ("--no-browser", "chat")])
def test_verify_finds_a_served_page_right_and_talks_through_it(folder: Path, option: str, talk: str) -> None:
    env = variables(folder)
    with running("site", "serve", "--env", "dev", "--no-open", env=env, cwd=folder) as command:
        done = chatops("site", "verify", command.line(), "--env", "dev", option, "--json", env=env, cwd=folder)
    assert done.code == 0, done
    checks = {check["name"]: check["holds"] for check in json.loads(done.stdout)["checks"]}
    assert {"transport", "index.html", "config.json", "headers", talk} <= set(checks)
    assert sum(name.startswith("assets/") for name in checks) == 3


def test_verify_without_a_browser_talks_over_mqtt(folder: Path) -> None:
    env = variables(folder)
    without = {**env, "PATH": str(folder)}
    with running("site", "serve", "--env", "dev", "--no-open", env=env, cwd=folder) as command:
        url = command.line()
        done = chatops("site", "verify", url, "--env", "dev", env=without, cwd=folder)
        demanded = chatops("site", "verify", url, "--env", "dev", "--browser", env=without, cwd=folder)
        (folder / "chromium").write_text("#!/bin/sh\nexit 1\n")
        (folder / "chromium").chmod(0o755)
        broken = chatops("site", "verify", url, "--env", "dev", env=without, cwd=folder)
        useless = chatops("site", "verify", url, "--env", "dev", "--browser", env=without, cwd=folder)
    assert done.code == 0, done
    assert "ok     chat: a guest talks and hears\n" in done.stdout
    assert_two_line_error(demanded, 3, "No browser is installed")
    assert broken.code == 0, broken
    assert "ok     chat: a guest talks and hears (over MQTT alone: The browser cannot be used: it ended at once)\n" in (
        broken.stdout
    )
    assert useless.code == 8
    assert "WRONG  browser: The browser cannot be used: it ended at once\n" in useless.stdout


def test_verify_says_that_a_guest_of_the_page_is_refused(folder: Path, stack: RunningStack) -> None:
    env = variables(folder)
    found = environment.load(folder / "env", "dev")
    elsewhere = guest_policy(region="us-east-1", account="123456789012", prefix="/elsewhere/")
    arn = "arn:aws:iot:us-east-1:123456789012"
    elsewhere["Statement"].append({"Effect": "Allow", "Action": "iot:Subscribe", "Resource": f"{arn}:topicfilter/*"})
    iam.put_inline_policy(stack.aws(), found.managed["role"], found.managed["policy"], elsewhere)
    try:
        with running("site", "serve", "--env", "dev", "--no-open", env=env, cwd=folder) as command:
            done = chatops("site", "verify", command.line(), "--env", "dev", "--browser", env=env, cwd=folder)
    finally:
        stack.set_up(folder / "env", "dev")
    assert done.code == 8, done
    # The page's will lies where the policy now refuses it: the whole connection is.
    assert "WRONG  browser: a guest of the page is not connected: The operator's policy refuses" in done.stdout


def test_verify_says_what_is_wrong_with_another_page(folder: Path) -> None:
    env = variables(folder)
    path = folder / "env" / "dev.json"
    with running("site", "serve", "--env", "dev", "--no-open", env=env, cwd=folder) as command:
        url = command.line()
        document = json.loads(path.read_text())
        path.write_text(json.dumps({**document, "title": "Renamed", "rooms": ["/chat/new"]}))
        done = chatops("site", "verify", url, "--env", "dev", env=env, cwd=folder)
    assert done.code == 8, done
    assert "WRONG  config.json: differs from the environment file in rooms, title\n" in done.stdout
    assert "WRONG  browser: not opened: the page is not this version's\n" in done.stdout
    assert "ok     chat: a guest talks and hears\n" in done.stdout


def test_verify_says_that_nothing_is_there(folder: Path, stack: RunningStack) -> None:
    env = variables(folder)
    refused = chatops("site", "verify", "http://127.0.0.1:1/", "--env", "dev", env=env, cwd=folder)
    assert_two_line_error(refused, 6, "cannot be fetched")
    for url in ("chat.example.org", "ftp://x/", "https://me:pw@x/", "https://x:port/", "http://[", ""):
        assert_two_line_error(chatops("site", "verify", url, "--env", "dev", env=env, cwd=folder), 2, "address")
    other = chatops("site", "verify", stack.aws_url, "--env", "dev", "--json", env=env, cwd=folder)
    assert other.code == 8, other
    assert not json.loads(other.stdout)["checks"][1]["holds"]
