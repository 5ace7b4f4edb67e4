"""A real Chromium on the page, as `site serve` serves it, in front of an embedded stack.

A missing browser is a failure, not a skip. Pictures of the screens are kept on every run, outside the repository: in
the folder that CHATOPS_SCREENSHOTS names, else in `chatops-screenshots` in the system's folder for temporary files.
"""

import os
import shutil
import tempfile
import time
from collections.abc import Callable, Generator, Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Browser, BrowserContext, ConsoleMessage, Locator, Page, expect, sync_playwright

from chatops import environment as environments
from chatops.aws.iot import publish
from chatops.aws.session import Aws
from chatops.chat.policy import guest_policy
from chatops.infra.executor import execute
from chatops.infra.planner import make_plan
from chatops.infra.resources import Desired
from chatops.local.broker import Message
from chatops.local.stack import Quotas
from tests.local.cli import running, variables
from tests.local.harness import RunningStack, running_stack

WAIT_MS = 30_000
SWITCHES = (
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
)
AXE = Path(__file__).resolve().parents[2] / "chatops/site/web/node_modules/axe-core/axe.min.js"


@dataclass
class Guest:
    """One browser profile with the page open in it; every error that it reports fails its test."""

    context: BrowserContext
    page: Page
    problems: list[str] = field(default_factory=list)

    def watch(self, page: Page) -> None:
        def on_console(message: ConsoleMessage) -> None:
            if message.type == "error" and "ERR_" not in message.text and "WebSocket connection" not in message.text:
                self.problems.append(message.text)

        page.on("console", on_console)
        page.on("pageerror", lambda error: self.problems.append(str(error)))
        page.on("dialog", lambda dialog: (self.problems.append(f"dialog {dialog.message}"), dialog.dismiss()))

    def enter(self, name: str) -> "Guest":
        self.page.get_by_label("Your name").fill(name)
        self.page.get_by_role("button", name="Enter as guest").click()
        self.connected()
        return self

    def connected(self, page: Page | None = None) -> None:
        status = (page or self.page).locator("#status-words")
        expect(status).to_contain_text("Connected as")

    def say(self, text: str, page: Page | None = None) -> None:
        box = (page or self.page).locator("#text")
        box.fill(text)
        box.press("Enter")

    def bubble(self, text: str, page: Page | None = None) -> Locator:
        return (page or self.page).locator("#messages .bubble").get_by_text(text, exact=True)

    def picture(self, name: str) -> None:
        default = Path(tempfile.gettempdir()) / "chatops-screenshots"
        folder = Path(os.environ.get("CHATOPS_SCREENSHOTS") or default)
        self.page.screenshot(path=folder / f"{name}.png")


class Clock:
    """The stack's clock: the machine's, and as much ahead of it as a test says."""

    def __init__(self) -> None:
        self.ahead_s = 0.0

    def __call__(self) -> float:
        return time.time() + self.ahead_s


@dataclass(frozen=True)
class Chat:
    """The chat that the page is of."""

    url: str
    folder: Path
    stack: RunningStack
    clock: Clock

    def aws(self) -> Aws:
        return self.stack.aws()

    def post(self, room: str, payload: str | bytes) -> None:
        raw = payload.encode() if isinstance(payload, str) else payload
        publish(self.aws(), room, raw)

    def flood(self, room: str, payloads: Iterable[bytes]) -> None:
        """Have the broker deliver messages, all in one go, as if others had posted them."""
        messages = [Message(topic=room, payload=payload, qos=0) for payload in payloads]

        def deliver() -> None:
            for message in messages:
                self.stack.stack.broker.publish(message)

        self.stack.call(deliver)


@pytest.fixture(scope="module")
def chat(tmp_path_factory: pytest.TempPathFactory) -> Generator[Chat]:
    """A chat whose policy denies guests the room `secret`, and writing in `notices`."""
    folder = tmp_path_factory.mktemp("page")
    clock = Clock()
    with running_stack(folder, quotas=Quotas.NONE, clock=clock) as stack:
        aws = stack.aws()
        account = "123456789012"
        policy = guest_policy(region=stack.stack.region, account=account, prefix="/chat/")
        arn = f"arn:aws:iot:{stack.stack.region}:{account}"
        policy["Statement"] += [
            {"Effect": "Deny", "Action": "iot:Subscribe", "Resource": f"{arn}:topicfilter//chat/secret"},
            {"Effect": "Deny", "Action": "iot:Publish", "Resource": f"{arn}:topic//chat/notices"},
        ]
        desired = Desired(
            name="dev",
            region=stack.stack.region,
            account=account,
            gateway=f"127.0.0.1:{stack.stack.ports.gateway}",
            title="Our chat",
            rooms=("/chat/lobby", "/chat/games/chess", "/chat/secret", "/chat/notices"),
            endpoints={"aws": stack.aws_url, "gateway": stack.gateway_url},
            policy=policy,
        )
        execute(aws, make_plan(aws, desired, folder / "env"), folder / "env", lambda _event: None)
        environments.load(folder / "env", "dev")
        command = ("site", "serve", "--env", "dev", "--no-open")
        with running(*command, env=variables(folder), cwd=folder) as serving:
            yield Chat(serving.line(), folder, stack, clock)


@pytest.fixture(scope="module")
def browser(chat: Chat) -> Generator[Browser]:
    """Started after the stack and ended before it: Playwright has an event loop running on this thread meanwhile."""
    executable = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
    if executable is None:
        pytest.fail("there is no Chromium: apt-get install chromium", pytrace=False)
    expect.set_options(timeout=WAIT_MS)
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=executable, args=list(SWITCHES))
        yield browser
        browser.close()


@pytest.fixture
def guest(browser: Browser, chat: Chat) -> Generator[Callable[..., Guest]]:
    """Opens the page as a new person."""
    chat.clock.ahead_s = 0.0
    made: list[Guest] = []

    def open_page(address: str = "", *, virtual_clock: bool = False, clock_ahead_s: int = 0, **options: Any) -> Guest:
        context = browser.new_context(**options)
        context.set_default_timeout(WAIT_MS)
        if virtual_clock:
            context.clock.install(time=chat.clock() + clock_ahead_s)
        new = Guest(context, context.new_page())
        made.append(new)
        new.watch(new.page)
        new.page.goto(chat.url + address)
        return new

    yield open_page
    for one in made:
        one.context.close()
    assert [problem for one in made for problem in one.problems] == []
