"""What happens over hours, in seconds: virtual clocks in the page and in the stack, and traffic without a pause."""

import json
from collections.abc import Callable
from typing import Any

import pytest
from playwright.sync_api import CDPSession, Request, WebSocket, expect

from tests.browser.conftest import Chat, Guest

Open = Callable[..., Guest]
LOBBY = "#/chat/lobby"
PINGREQ, PINGRESP = b"\xc0\x00", b"\xd0\x00"
STEP_S = 10  # less than the page waits for an answer


class Sleeper:
    """A guest in a page whose timers a test can move, with the calls that it makes to Cognito."""

    def __init__(self, guest: Open, chat: Chat, **options: Any) -> None:
        # Playwright moves the clock by evaluating strings, which the page's own policy forbids.
        self.guest = guest("", **{"virtual_clock": True, "bypass_csp": True, **options})
        self.page = self.guest.page
        self.chat = chat
        self.calls: list[str] = []
        self._open = 0
        self._pings = 0
        self.page.on("websocket", self._watch_pings)
        self.page.on("request", self._asked)
        self.page.on("requestfinished", self._answered)
        self.page.goto(f"{chat.url}{LOBBY}")
        self.guest.enter("Ada")

    def _asked(self, request: Request) -> None:
        target = request.headers.get("x-amz-target", "")
        if request.method == "POST" and target:
            self.calls.append(target.rpartition(".")[2])
            self._open += 1

    def _answered(self, request: Request) -> None:
        self._open -= request.method == "POST"

    def _watch_pings(self, socket: WebSocket) -> None:
        def count(frame: str | bytes, kind: bytes, by: int) -> None:
            self._pings += by * (frame == kind)

        def forget(_socket: WebSocket) -> None:
            self._pings = 0

        socket.on("framesent", lambda frame: count(frame, PINGREQ, 1))
        socket.on("framereceived", lambda frame: count(frame, PINGRESP, -1))
        socket.on("close", forget)

    def pass_time(self, seconds: int) -> None:
        """Let time pass at both ends, timer after timer, as it does while a page is open. Answers take none of it."""
        for _ in range(0, seconds, STEP_S):
            self.chat.clock.ahead_s += STEP_S
            self.page.clock.run_for(STEP_S * 1000)
            while self._open or self._pings:
                self.page.wait_for_timeout(5)

    def sleep(self, seconds: int) -> None:
        """Close the lid, and open it again: no timer runs meanwhile."""
        self.chat.clock.ahead_s += seconds
        self.page.clock.fast_forward(seconds * 1000)


def test_credentials_are_replaced_before_they_expire_and_the_connection_stays(guest: Open, chat: Chat) -> None:
    ada = Sleeper(guest, chat)
    assert ada.calls == ["GetId", "GetCredentialsForIdentity"]
    ada.pass_time(54 * 60)
    assert ada.calls == ["GetId", "GetCredentialsForIdentity"]
    ada.pass_time(2 * 60)
    assert ada.calls == ["GetId", "GetCredentialsForIdentity", "GetCredentialsForIdentity"]
    expect(ada.page.locator("#status-words")).to_contain_text("Connected as")
    expect(ada.page.locator(".divider.gap")).to_have_count(0)
    # An hour on, the first ones are worth nothing; the connection still is, and so is the next one.
    ada.pass_time(6 * 60)
    assert chat.stack.call(chat.stack.stack.cut) == 1
    expect(ada.page.locator("#status-words")).not_to_contain_text("Connected as")
    ada.pass_time(2 * STEP_S)
    ada.guest.connected()
    ada.guest.say("still here after an hour")
    expect(ada.page.locator("li.own .delivery")).to_have_text("Sent")
    assert ada.calls.count("GetId") == 1


def test_a_laptop_that_slept_past_the_expiry_comes_back_by_itself(guest: Open, chat: Chat) -> None:
    ada = Sleeper(guest, chat)
    ada.guest.say("good night")
    expect(ada.page.locator("li.own .delivery")).to_have_text("Sent")
    before = ada.calls.count("GetCredentialsForIdentity")
    assert chat.stack.call(chat.stack.stack.cut) == 1  # the gateway gives up whoever gives no sign of life
    ada.sleep(8 * 3600)
    ada.pass_time(2 * STEP_S)
    ada.guest.connected()
    assert ada.calls.count("GetCredentialsForIdentity") > before
    assert ada.calls.count("GetId") == 1
    expect(ada.page.locator(".divider.gap")).to_have_count(1)
    ada.guest.say("good morning")
    expect(ada.page.locator("li.own .delivery").last).to_have_text("Sent")
    chat.flood("/chat/lobby", [b"you were missed"])
    expect(ada.guest.bubble("you were missed")).to_be_visible()


def test_a_laptop_that_slept_with_its_connection_open_makes_a_new_one(guest: Open, chat: Chat) -> None:
    ada = Sleeper(guest, chat)
    sockets: list[str] = []
    ada.page.on("websocket", lambda socket: sockets.append(socket.url))
    # Nobody told this side that the connection is dead: the clock has jumped, which is enough.
    ada.sleep(3600)
    expect(ada.page.locator(".divider.gap")).to_have_count(1)
    ada.guest.connected()
    assert len(sockets) == 1
    assert ada.calls.count("GetCredentialsForIdentity") == 2


@pytest.mark.parametrize("wrong_by_s", [-3 * 3600, 3 * 3600])
def test_a_guest_whose_clock_is_wrong_talks_all_the_same(guest: Open, chat: Chat, wrong_by_s: int) -> None:
    ada = Sleeper(guest, chat, clock_ahead_s=wrong_by_s)
    ada.guest.say("what time is it?")
    expect(ada.page.locator("li.own .delivery")).to_have_text("Sent")
    ada.pass_time(30 * 60)
    assert ada.calls == ["GetId", "GetCredentialsForIdentity"]


def test_eight_hours_of_traffic_stay_within_the_window(guest: Open, chat: Chat) -> None:
    """A message a second for eight hours, each of another guest: only the newest messages and people are kept."""
    ada = guest(LOBBY).enter("Ada")
    tools = ada.context.new_cdp_session(ada.page)
    hours = []
    for hour in range(8):
        first = hour * 3_600
        for start in range(first, first + 3_600, 400):
            chat.flood("/chat/lobby", (_message(number) for number in range(start, start + 400)))
            expect(ada.bubble(f"message {start + 399}")).to_be_visible()
        hours.append(_used(tools))
    expect(ada.page.locator("#who-count")).to_contain_text("500")
    assert ada.page.locator("#messages > li").count() < 100
    nodes, heap = zip(*hours, strict=True)
    # The window, 2,000 messages and 500 people, is full in the first hour; from then on nothing may be added.
    assert max(nodes[1:]) <= 1.5 * nodes[0]
    assert max(heap[2:]) <= heap[1] + 1_000_000, heap


def _message(number: int) -> bytes:
    return json.dumps(
        {
            "id": f"m{number}",
            "from": f"guest-{number:016x}",
            "name": f"Guest {number}",
            "kind": "chat",
            "text": f"message {number}",
            "sent": "2026-01-01T00:00:00Z",
        }
    ).encode()


def _used(tools: CDPSession) -> tuple[int, int]:
    """Nodes and bytes that are in use, when nothing waits for the garbage collector."""
    tools.send("HeapProfiler.collectGarbage")
    nodes = int(tools.send("Memory.getDOMCounters")["nodes"])
    return nodes, int(tools.send("Runtime.getHeapUsage")["usedSize"])
