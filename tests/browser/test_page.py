import json
import re
from collections.abc import Callable

import pytest
from playwright.sync_api import Page, expect

from tests.browser.conftest import AXE, Chat, Guest
from tests.local.cli import chatops, running, variables

Open = Callable[..., Guest]
LOBBY = "#/chat/lobby"
PHONE = {"viewport": {"width": 320, "height": 640}, "has_touch": True, "is_mobile": True}


def test_two_guests_and_an_operator_talk_across_page_tail_and_post(guest: Open, chat: Chat) -> None:
    env = variables(chat.folder)
    with running("tail", "lobby", "--env", "dev", "--json", env=env, cwd=chat.folder) as tail:
        tail.note("/chat/lobby")
        ada, eve = guest(LOBBY).enter("Ada"), guest(LOBBY, **PHONE).enter("Eve")
        ada.say("hello from the page")
        expect(eve.bubble("hello from the page")).to_be_visible()
        expect(ada.page.locator("li.own .delivery")).to_have_text("Sent")
        eve.say("مرحبا بالجميع")
        expect(ada.bubble("مرحبا بالجميع")).to_be_visible()
        keys = chat.stack.keys()
        operator = {**env, "AWS_ACCESS_KEY_ID": keys.access_key_id, "AWS_SECRET_ACCESS_KEY": keys.secret_access_key}
        posted = chatops("post", "lobby", "hello from the operator", "--env", "dev", env=operator, cwd=chat.folder)
        assert posted.code == 0, posted.stderr
        for one in (ada, eve):
            expect(one.bubble("hello from the operator")).to_be_visible()
        heard = []
        while "hello from the operator" not in heard:
            heard.append(json.loads(tail.line()).get("text"))
        assert [text for text in heard if text and text.startswith(("hello", "مرحبا"))] == [
            "hello from the page",
            "مرحبا بالجميع",
            "hello from the operator",
        ]
        ada.page.locator("#who-count").click()
        expect(ada.page.locator("#who-list")).to_contain_text("Ada (you)")
        expect(ada.page.locator("#who-list")).to_contain_text("Eve")
        ada.picture("room-desktop")
        eve.picture("room-phone")


def test_unread_messages_of_other_rooms_are_counted_and_marked(guest: Open, chat: Chat) -> None:
    ada = guest(LOBBY).enter("Ada")
    ada.page.get_by_role("link", name="games/chess").click()
    expect(ada.page.get_by_role("heading", name="games/chess")).to_be_visible()
    assert ada.page.url.endswith("#/chat/games/chess")
    chat.post("/chat/lobby", "one")
    chat.post("/chat/lobby", "two")
    expect(ada.page.get_by_label("2 unread")).to_be_visible()
    expect(ada.page).to_have_title("(2) games/chess · Our chat")
    ada.page.get_by_role("link", name="lobby").click()
    expect(ada.page.locator(".divider.new")).to_have_count(1)
    expect(ada.page.get_by_label("2 unread")).to_have_count(0)
    ada.page.keyboard.press("Escape")
    expect(ada.page.get_by_text("Choose a room")).to_be_visible()


def test_a_reload_keeps_the_guest_and_the_room(guest: Open) -> None:
    ada = guest(LOBBY).enter("Ada")
    before = ada.page.locator("#me").inner_text()
    ada.page.reload()
    ada.connected()
    expect(ada.page.get_by_role("heading", name="lobby")).to_be_visible()
    expect(ada.page.locator("#me")).to_have_text(before)
    ada.page.get_by_role("button", name="Sign out").click()
    expect(ada.page.get_by_label("Your name")).to_have_value("Ada")
    ada.page.reload()
    expect(ada.page.get_by_role("button", name="Enter as guest")).to_be_visible()


def test_two_tabs_are_one_guest_and_both_stay_connected(guest: Open, chat: Chat) -> None:
    ada = guest(LOBBY).enter("Ada")
    other = ada.context.new_page()
    ada.watch(other)
    other.goto(chat.url + LOBBY)
    ada.connected(other)
    ada.say("from the first tab")
    expect(ada.bubble("from the first tab", other)).to_be_visible()
    ada.say("from the other tab", other)
    expect(ada.page.locator("li.own .bubble").get_by_text("from the other tab")).to_be_visible()
    assert ada.page.locator("#me").inner_text() == other.locator("#me").inner_text()
    ada.connected()


def test_what_is_written_offline_is_sent_once_and_the_gap_is_shown(guest: Open) -> None:
    ada, eve = guest(LOBBY).enter("Ada"), guest(LOBBY).enter("Eve")
    eve.say("before")
    expect(ada.bubble("before")).to_be_visible()
    ada.context.set_offline(True)
    expect(ada.page.locator("#status-words")).to_have_text("Offline")
    ada.say("written offline")
    expect(ada.page.locator("li.own .delivery")).to_have_text("Sending…")
    ada.picture("offline")
    ada.context.set_offline(False)
    expect(ada.page.locator("li.own .delivery")).to_have_text("Sent")
    eve.say("after")
    expect(ada.bubble("after")).to_be_visible()
    expect(eve.bubble("written offline")).to_have_count(1)
    expect(ada.page.locator(".divider.gap")).to_have_count(1)


def test_a_gateway_that_dies_and_comes_back_is_found_again(guest: Open, chat: Chat) -> None:
    ada, eve = guest(LOBBY).enter("Ada"), guest(LOBBY).enter("Eve")
    gateway = chat.stack.stack.gateway
    port = gateway.port
    chat.stack.run(gateway.stop())
    expect(ada.page.locator("#banner-words")).to_contain_text("kept and sent later")
    ada.say("while it was dead")
    chat.stack.run(gateway.start(port=port))
    ada.connected()
    eve.connected()
    eve.say("and back")
    expect(ada.bubble("and back")).to_be_visible()
    expect(ada.page.locator("li.own .delivery")).to_have_text("Sent")
    expect(ada.page.locator(".divider.gap")).to_have_count(1)


def test_a_refusal_of_the_policy_is_said_in_words(guest: Open) -> None:
    ada = guest("#/chat/secret").enter("Ada")
    expect(ada.page.locator("#meter")).to_have_text("The operator's policy refuses this room.")
    expect(ada.page.locator("#text")).to_be_disabled()
    ada.picture("refused")
    ada.page.get_by_role("link", name="notices").click()
    ada.say("may I?")
    expect(ada.page.locator(".delivery.failed")).to_contain_text("policy refuses posting here")
    ada.page.get_by_role("button", name="Retry").click()
    expect(ada.page.locator(".delivery.failed")).to_contain_text("policy refuses posting here")
    ada.connected()


SCRIPT = "<img src=x onerror=alert(1)><script>alert(2)</script>"


def test_nothing_that_a_stranger_writes_is_html(guest: Open, chat: Chat) -> None:
    ada = guest(f"#/chat/{SCRIPT.replace('/', '%2F')}").enter(SCRIPT)
    expect(ada.page.locator("#room-name")).to_have_text(SCRIPT)
    envelope = {
        "id": SCRIPT,
        "from": SCRIPT,
        "name": SCRIPT,
        "kind": "chat",
        "text": SCRIPT,
        "sent": "2026-01-01T00:00:00Z",
    }
    room = f"/chat/{SCRIPT}"
    chat.post(room, json.dumps(envelope))
    chat.post(room, json.dumps({**envelope, "id": "2", "kind": "system"}))
    chat.post(room, json.dumps({**envelope, "id": "3", "text": 'javascript:alert(3) https://a.test/"onclick=alert(4)'}))
    chat.post(room, SCRIPT)
    chat.post(room, b"\xff\xfe\x00")
    expect(ada.page.locator("#messages")).to_contain_text("bytes that are not text")
    expect(ada.bubble(SCRIPT)).to_have_count(2)
    expect(ada.page.locator("#chat img, #chat script")).to_have_count(0)
    links = ada.page.locator("#messages a")
    expect(links).to_have_count(1)
    assert links.first.get_attribute("href") == "https://a.test/"
    assert links.first.get_attribute("rel") == "noopener noreferrer nofollow ugc"


def test_a_flood_keeps_the_document_small_and_the_newest_in_view(guest: Open, chat: Chat) -> None:
    ada = guest(LOBBY).enter("Ada")
    for start in range(0, 3_000, 100):
        chat.flood("/chat/lobby", (f"flood {number}".encode() for number in range(start, start + 100)))
    expect(ada.bubble("flood 2999")).to_be_visible()
    assert ada.page.locator("#messages > li").count() < 100
    ada.page.locator("#log").hover()
    ada.page.mouse.wheel(0, -3_000)
    expect(ada.page.get_by_role("button", name="Latest")).to_be_visible()
    shown = ada.page.locator("#messages .bubble").first.inner_text()
    chat.post("/chat/lobby", "one more")
    expect(ada.page.get_by_role("button", name="1 new")).to_be_visible()
    assert ada.page.locator("#messages .bubble").first.inner_text() == shown
    ada.page.get_by_role("button", name="1 new").click()
    expect(ada.bubble("one more")).to_be_visible()


def test_too_long_a_message_is_measured_and_kept(guest: Open) -> None:
    ada = guest(LOBBY).enter("Ada")
    ada.page.locator("#text").fill("x" * (128 * 1024))
    expect(ada.page.locator("#meter")).to_contain_text("bytes too long")
    expect(ada.page.get_by_role("button", name="Send")).to_be_disabled()
    ada.page.locator("#text").press("Enter")
    assert len(ada.page.locator("#text").input_value()) >= 128 * 1024


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [320, 1280])
def test_every_screen_is_accessible_and_fits(guest: Open, chat: Chat, scheme: str, width: int) -> None:
    # Playwright evaluates strings, which the page's own policy forbids
    one = guest(LOBBY, bypass_csp=True, color_scheme=scheme, viewport={"width": width, "height": 700})
    name = f"{scheme}-{width}"
    expect(one.page.get_by_label("Your name")).to_be_visible()
    _check(one, f"login-{name}")
    one.enter("Ada")
    one.say("mine https://example.org/")
    chat.post(
        "/chat/lobby",
        json.dumps(
            {
                "id": f"theirs-{name}",
                "from": "eu-west-1:1",
                "name": "Eve",
                "kind": "chat",
                "text": "w" * 400,
                "sent": "2026-01-01T00:00:00Z",
            }
        ),
    )
    expect(one.bubble("w" * 400)).to_be_visible()
    one.page.locator("#who-count").click()
    expect(one.page.locator("#who-list")).to_contain_text("Ada")
    _check(one, f"room-{name}")
    one.page.goto(f"{chat.url}#")
    _check(one, f"rooms-{name}")
    one.page.goto(f"{chat.url}#/chat/notices")
    one.say("no")
    expect(one.page.locator(".delivery.failed")).to_be_visible()
    _check(one, f"refused-{name}")
    one.context.set_offline(True)
    expect(one.page.locator("#banner")).to_be_visible()
    _check(one, f"offline-{name}")


def _check(one: Guest, name: str) -> None:
    one.picture(name)
    page: Page = one.page
    page.evaluate(AXE.read_text(encoding="utf-8"))
    found = page.evaluate("axe.run(document, {resultTypes: ['violations']}).then((result) => result.violations)")
    words = [f"{each['id']}: {[node['html'][:160] for node in each['nodes']]}" for each in found]
    assert not words, f"{name}: {words}"
    assert page.evaluate("document.documentElement.scrollWidth <= window.innerWidth"), name


def test_a_broken_configuration_is_said_in_words(guest: Open, chat: Chat) -> None:
    one = guest("nothing")
    one.page.route(re.compile("config\\.json"), lambda route: route.fulfill(body="{}", content_type="application/json"))
    one.page.goto(chat.url)
    expect(one.page.get_by_role("alert")).to_have_text('config.json lacks "title"')
    one.problems.clear()
