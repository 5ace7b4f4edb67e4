"""An installed Chromium, driven over its DevTools protocol: as much of it as it takes to be a guest of a page.

The browser runs headless, with a profile of its own that is gone afterwards, and listens on loopback only.
"""

import asyncio
import json
import os
import re
import shutil
import signal
import tempfile
from collections.abc import AsyncGenerator, Mapping
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Any

import aiohttp

from chatops.errors import ConnectionFailedError

_NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable", "microsoft-edge", "brave-browser")
_MAC = Path("/Applications/Google Chrome.app/Contents/MacOS/Google Chrome")
_SWITCHES = (
    "--headless=new",
    "--remote-debugging-port=0",
    "--no-first-run",
    "--no-default-browser-check",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-dev-shm-usage",
    "--disable-extensions",
    "--disable-gpu",
    "--disable-sync",
    "--mute-audio",
)
_START_S = 30.0
_CALL_S = 15.0
_POLL_S = 0.05
_END_S = 5.0
_MAX_MESSAGE = 16 * 1024 * 1024
_LISTENING = re.compile(r"DevTools listening on (ws://127\.0\.0\.1:\d+/\S+)")
_ENTER: Mapping[str, Any] = {"key": "Enter", "code": "Enter", "windowsVirtualKeyCode": 13, "text": "\r"}


class BrowserFailedError(ConnectionFailedError):
    """The browser, not the page, is at fault."""


def find_browser(variables: Mapping[str, str]) -> str | None:
    """The path of an installed browser that speaks the DevTools protocol, None when there is none."""
    path = variables.get("PATH", os.defpath)
    found = next(filter(None, (shutil.which(name, path=path) for name in _NAMES)), None)
    return found or (str(_MAC) if _MAC.exists() else None)


class PageSession:
    """One tab.

    Attributes:
        problems: what the page's console said of errors, and exceptions that nobody caught.
    """

    def __init__(self, socket: aiohttp.ClientWebSocketResponse) -> None:
        self._socket = socket
        self._session: str | None = None
        self._count = 0
        self._waiting: dict[int, asyncio.Future[dict[str, Any]]] = {}
        self.problems: list[str] = []
        self._reading = asyncio.create_task(self._read())

    async def open_tab(self) -> None:
        """Make a tab and attach to it."""
        target = await self.call("Target.createTarget", url="about:blank")
        attached = await self.call("Target.attachToTarget", targetId=target["targetId"], flatten=True)
        self._session = str(attached["sessionId"])
        for domain in ("Page", "Runtime", "Log"):
            await self.call(f"{domain}.enable")

    async def call(self, method: str, **parameters: Any) -> dict[str, Any]:
        """Call a method of the protocol.

        Raises:
            BrowserFailedError: it refuses, does not answer, or is gone.
        """
        self._count += 1
        number = self._count
        message: dict[str, Any] = {"id": number, "method": method, "params": parameters}
        if self._session is not None:
            message["sessionId"] = self._session
        future = self._waiting[number] = asyncio.get_running_loop().create_future()
        try:
            await self._socket.send_str(json.dumps(message))
            async with asyncio.timeout(_CALL_S):
                answer = await future
        except (TimeoutError, ConnectionError, aiohttp.ClientError):
            raise _browser_failed(f"it does not answer {method}") from None
        finally:
            self._waiting.pop(number, None)
        if "error" in answer:
            raise _browser_failed(f"{method}: {answer['error'].get('message')}")
        found = answer.get("result")
        return found if isinstance(found, dict) else {}

    async def goto(self, url: str) -> None:
        """Load a page.

        Raises:
            ConnectionFailedError: nothing can be loaded from there.
        """
        answer = await self.call("Page.navigate", url=url)
        if answer.get("errorText"):
            raise ConnectionFailedError(f"The browser cannot load {url}: {answer['errorText']}", "check the address")

    async def evaluate(self, expression: str) -> Any:
        """The value of a JavaScript expression in the page; None where it throws."""
        answer = await self.call("Runtime.evaluate", expression=expression, returnByValue=True)
        return None if "exceptionDetails" in answer else answer.get("result", {}).get("value")

    async def wait_for(self, expression: str, longest_s: float) -> bool:
        """Wait until an expression is true; says whether it became so."""
        deadline = asyncio.get_running_loop().time() + longest_s
        while not await self.evaluate(expression):
            if asyncio.get_running_loop().time() > deadline:
                return False
            await asyncio.sleep(_POLL_S)
        return True

    async def write(self, selector: str, text: str) -> None:
        """Write into a field as somebody at a keyboard does, and press Enter."""
        await self.evaluate(f"document.querySelector({json.dumps(selector)}).focus()")
        await self.call("Input.insertText", text=text)
        await self.call("Input.dispatchKeyEvent", type="keyDown", **_ENTER)
        await self.call("Input.dispatchKeyEvent", type="keyUp", **{**_ENTER, "text": ""})

    async def end(self) -> None:
        """Listen no more."""
        self._reading.cancel()
        with suppress(asyncio.CancelledError):
            await self._reading

    async def _read(self) -> None:
        async for raw in self._socket:
            if raw.type is not aiohttp.WSMsgType.TEXT:
                continue
            message = json.loads(raw.data)
            future = self._waiting.get(message.get("id", 0))
            if future is not None and not future.done():
                future.set_result(message)
            self._note(message.get("method", ""), message.get("params", {}))
        for future in self._waiting.values():
            if not future.done():
                future.set_exception(ConnectionError("the browser is gone"))

    def _note(self, method: str, parameters: Mapping[str, Any]) -> None:
        match method:
            case "Runtime.exceptionThrown":
                details = parameters.get("exceptionDetails", {})
                self.problems.append(str(details.get("exception", {}).get("description") or details.get("text")))
            case "Log.entryAdded" if parameters.get("entry", {}).get("level") == "error":
                self.problems.append(str(parameters["entry"].get("text")))
            case _:
                pass


@asynccontextmanager
async def browser_page(executable: str) -> AsyncGenerator[PageSession]:
    """A tab of a browser that is started for it and ended after it.

    Raises:
        BrowserFailedError: the browser does not start.
    """
    with tempfile.TemporaryDirectory(prefix="chatops-browser-", ignore_cleanup_errors=True) as profile:
        process = await _started(executable, profile)
        try:
            address = await _address(process)
            # What it goes on saying must be taken from the pipe, or it stops in the middle of a word.
            draining = asyncio.create_task(_drain(process))
            async with (
                aiohttp.ClientSession() as session,
                session.ws_connect(address, max_msg_size=_MAX_MESSAGE) as socket,
            ):
                page = PageSession(socket)
                try:
                    await page.open_tab()
                    yield page
                finally:
                    await page.end()
                    draining.cancel()
        except aiohttp.ClientError as error:
            raise _browser_failed(type(error).__name__) from None
        finally:
            await _ended(process)


async def _started(executable: str, profile: str) -> asyncio.subprocess.Process:
    # As root Chromium has no sandbox of its own; what it is shown was compared byte by byte before.
    switches = [*_SWITCHES, *(["--no-sandbox"] if os.geteuid() == 0 else [])]
    try:
        return await asyncio.create_subprocess_exec(
            executable,
            *switches,
            f"--user-data-dir={profile}",
            "about:blank",
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.DEVNULL,
            stderr=asyncio.subprocess.PIPE,
            start_new_session=True,
        )
    except OSError as error:
        raise _browser_failed(f"{executable}: {error.strerror}") from None


async def _address(process: asyncio.subprocess.Process) -> str:
    """Where the browser listens, as it says on standard error: a confined one (snap) writes its files elsewhere."""
    with suppress(TimeoutError, ValueError):
        async with asyncio.timeout(_START_S):
            while process.stderr is not None and (line := await process.stderr.readline()):
                found = _LISTENING.search(line.decode("utf-8", "replace"))
                if found is not None:
                    return found[1]
            await process.wait()
            raise _browser_failed("it ended at once")
    raise _browser_failed("it does not start")


async def _drain(process: asyncio.subprocess.Process) -> None:
    while process.stderr is not None and await process.stderr.read(65_536):
        pass


async def _ended(process: asyncio.subprocess.Process) -> None:
    """End the browser and the processes that it started."""
    for number in (signal.SIGTERM, signal.SIGKILL):
        with suppress(ProcessLookupError):
            os.killpg(process.pid, number)
        with suppress(TimeoutError):
            async with asyncio.timeout(_END_S):
                await process.wait()
                return


def _browser_failed(why: str) -> BrowserFailedError:
    return BrowserFailedError(f"The browser cannot be used: {why}", "verify without it: --no-browser")
