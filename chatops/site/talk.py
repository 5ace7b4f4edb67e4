"""Talking as a guest of a published page: through the page itself in a browser, or over MQTT where there is none."""

import asyncio
import secrets
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from chatops.chat.messages import Envelope, Kind, MessageIds, decode, encode, guest_sender
from chatops.chat.text import safe_text
from chatops.environment import Environment
from chatops.errors import ChatopsError
from chatops.mqtt.connection import ChatConnection, connect
from chatops.mqtt.login import Login, log_in
from chatops.site.devtools import BrowserFailedError, PageSession, browser_page

_TIMEOUT_S = 15.0
_LONGEST_QUOTE = 300


@dataclass(frozen=True, slots=True)
class Check:
    """One expectation. `words` says what was found, or what is wrong with it."""

    name: str
    holds: bool
    words: str


class Talk:
    """A guest talks, in a room that nobody knows."""

    def __init__(self, environment: Environment, variables: Mapping[str, str], runtime: Path) -> None:
        self._environment = environment
        self._variables = variables
        self._runtime = runtime
        self._room = f"{environment.topic_prefix}verify-{secrets.token_hex(8)}"
        self._text = secrets.token_hex(8)

    async def over_mqtt(self) -> Check:
        """A guest hears what another connection of it says."""
        try:
            listener, speaker = await self._log_in(), await self._log_in()
            async with (
                connect(listener.address, listener.region, listener.keys, listener.client_id) as hearing,
                connect(speaker.address, speaker.region, speaker.keys, speaker.client_id) as speaking,
            ):
                await hearing.subscribe([self._room])
                await speaking.publish(self._room, _payload(guest_sender(speaker.identity), self._text))
                heard = await self._hears(hearing)
        except ChatopsError as error:
            return Check("chat", False, f"a guest cannot talk: {error.problem}")
        return Check("chat", heard, "a guest talks and hears" if heard else "a guest's message does not arrive")

    async def through_the_page(self, url: str, browser: str) -> Check:
        """A guest of the page, in a browser, and one over MQTT talk to each other.

        Raises:
            BrowserFailedError: the browser cannot be used.
        """
        try:
            other = await self._log_in()
            async with (
                connect(other.address, other.region, other.keys, other.client_id) as chat,
                browser_page(browser) as page,
            ):
                await chat.subscribe([self._room])
                words = await self._conversation(url, page, chat, guest_sender(other.identity))
                errors = [problem for problem in page.problems if problem]
        except BrowserFailedError:
            raise
        except ChatopsError as error:
            return Check("browser", False, error.problem)
        if words is None and errors:
            words = f"the page works, and its console says: {_quoted(errors[0])}"
        return Check("browser", words is None, words or "a guest enters, talks and hears through the page")

    async def _conversation(self, url: str, page: PageSession, chat: ChatConnection, sender: str) -> str | None:
        """Returns what goes wrong, None when nothing does."""
        await page.goto(f"{url}#{self._room}")
        if not await page.wait_for("document.querySelector('#login')?.hidden === false", _TIMEOUT_S):
            said = await page.evaluate("document.querySelector('#broken-why')?.textContent")
            return f"the page does not start: {_quoted(said) or 'it stays empty'}"
        await page.write("#login-name", "verify")
        status = "document.querySelector('#status-words').textContent"
        if not await page.wait_for(f"{status}.startsWith('Connected')", _TIMEOUT_S):
            said = await page.evaluate("document.querySelector('#banner-words').textContent")
            return f"a guest of the page is not connected: {_quoted(said) or 'no word why'}"
        await page.write("#text", self._text)
        if not await self._hears(chat):
            return "what a guest writes in the page does not arrive"
        answer = secrets.token_hex(8)
        await chat.publish(self._room, _payload(sender, answer))
        shown = f"document.querySelector('#messages').textContent.includes('{answer}')"
        if not await page.wait_for(shown, _TIMEOUT_S):
            return "what others write does not show in the page"
        return None

    async def _log_in(self) -> Login:
        return await log_in(self._environment, self._variables, self._runtime)

    async def _hears(self, chat: ChatConnection) -> bool:
        try:
            async with asyncio.timeout(_TIMEOUT_S):
                async for batch in chat.deliveries():
                    for delivery in batch:
                        message = decode(delivery.payload)
                        if isinstance(message, Envelope) and message.text == self._text:
                            return True
        except TimeoutError:
            pass
        return False


def _quoted(said: object) -> str:
    """What a page says, in one line that no terminal takes for more than text."""
    return safe_text(" ".join(str(said or "").split()))[:_LONGEST_QUOTE]


def _payload(sender: str, text: str) -> bytes:
    return encode(
        Envelope(id=MessageIds().new(), sender=sender, name="verify", kind=Kind.CHAT, text=text, sent=datetime.now(UTC))
    )
