"""Proving that a published page is this version's, for this environment, and that a guest can talk through it.

What is fetched may be anybody's: sizes are bounded, it is compared with what this version would publish, and only a
page that is the same, byte by byte, is opened in a browser.
"""

import hashlib
import json
from base64 import b64encode
from collections.abc import AsyncGenerator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from urllib.parse import urljoin, urlsplit

import aiohttp

from chatops.environment import Environment
from chatops.errors import ConnectionFailedError, UsageError
from chatops.mqtt.endpoint import is_loopback
from chatops.site.build import CONFIG, INDEX, Site
from chatops.site.devtools import BrowserFailedError
from chatops.site.headers import cache_control, content_type, security_headers
from chatops.site.talk import Check, Talk

MAX_FILE_BYTES = 1024 * 1024
_TIMEOUT_S = 15.0


@dataclass(frozen=True, slots=True)
class _Fetched:
    status: int
    headers: Mapping[str, str]
    body: bytes


def check_url(url: str) -> str:
    """Return the address of a page, ending in a slash or in `index.html`.

    Raises:
        UsageError: it is none, or holds credentials.
    """
    try:
        parts = urlsplit(url)
        host, _ = parts.hostname, parts.port
    except ValueError:
        host = None
    if host is None or parts.scheme not in {"http", "https"} or parts.username or parts.query or parts.fragment:
        raise UsageError(f"{url!r} is not the address of a page", "write it like https://chat.example.org/")
    return url if parts.path.endswith(f"/{INDEX}") else url.rstrip("/") + "/"


async def verify(
    url: str,
    site: Site,
    environment: Environment,
    variables: Mapping[str, str],
    runtime: Path,
    browser: str | None = None,
    *,
    demanded: bool = False,
) -> AsyncGenerator[Check]:
    """Compare the page at `url` with `site`, and chat as one of its guests; yields each finding as it is made.

    Args:
        url: checked by `check_url`.
        variables: the process's environment variables.
        runtime: the user's runtime directory, where the guest identity is remembered.
        browser: the path of a browser to open the page in; None talks over MQTT alone. It is opened only when every
            file is this version's: nobody else's script is run.
        demanded: whether a browser that does not start is a finding; else the talk is over MQTT then.

    Raises:
        ConnectionFailedError: nothing answers at that address.
    """
    timeout = aiohttp.ClientTimeout(total=_TIMEOUT_S)
    async with aiohttp.ClientSession(timeout=timeout) as session:
        index = await _fetch(session, url)
        yield _transport(url)
        files = [_index(index, site)]
        yield files[-1]
        for path in site.upload_order:
            if path not in {INDEX, CONFIG}:
                files.append(_asset(path, await _fetch(session, urljoin(url, path)), site.files[path]))
                yield files[-1]
        files.append(_config(await _fetch(session, urljoin(url, CONFIG)), site.files[CONFIG]))
        yield files[-1]
        yield _headers(index, site)
    talk = Talk(environment, variables, runtime)
    if browser is not None and not all(check.holds for check in files):
        yield Check("browser", False, "not opened: the page is not this version's")
        browser = None
    reason = ""
    if browser is not None:
        try:
            yield await talk.through_the_page(url, browser)
        except BrowserFailedError as error:
            reason = f" (over MQTT alone: {error.problem})"
            if demanded:
                yield Check("browser", False, error.problem)
        else:
            return
    check = await talk.over_mqtt()
    yield replace(check, words=f"{check.words}{reason}")


async def _fetch(session: aiohttp.ClientSession, url: str) -> _Fetched:
    try:
        async with session.get(url) as response:
            body = bytearray()
            async for chunk in response.content.iter_chunked(65_536):
                body += chunk
                if len(body) > MAX_FILE_BYTES:
                    break
            return _Fetched(response.status, response.headers.copy(), bytes(body))
    except (aiohttp.ClientError, TimeoutError, ValueError) as error:
        raise ConnectionFailedError(
            f"{url} cannot be fetched: {type(error).__name__}", "check the address and the network"
        ) from None


def _transport(url: str) -> Check:
    parts = urlsplit(url)
    encrypted = parts.scheme == "https" or is_loopback(parts.hostname or "")
    return Check("transport", encrypted, "encrypted, or on this machine" if encrypted else "unencrypted: use https")


def _index(found: _Fetched, site: Site) -> Check:
    if found.status != 200:
        return Check(INDEX, False, f"answers {found.status}")
    if found.body == site.files[INDEX]:
        return Check(INDEX, True, "is this version's, for this environment")
    return Check(INDEX, False, "is another version's, or another environment's: build and publish it again")


def _asset(path: str, found: _Fetched, wanted: bytes) -> Check:
    if found.status != 200:
        return Check(path, False, f"answers {found.status}")
    if found.body != wanted:
        return Check(path, False, f"is not what this version publishes ({_digest(found.body)})")
    if found.headers.get("Content-Type", "").partition(";")[0] != content_type(path).partition(";")[0]:
        return Check(path, False, "has the wrong Content-Type: browsers will not load it")
    return Check(path, True, _digest(wanted))


def _config(found: _Fetched, wanted: bytes) -> Check:
    if found.status != 200:
        return Check(CONFIG, False, f"answers {found.status}")
    try:
        document = json.loads(found.body)
    except (ValueError, RecursionError):
        return Check(CONFIG, False, "is not JSON")
    expected = json.loads(wanted)
    if not isinstance(document, dict):
        return Check(CONFIG, False, "holds no JSON object")
    wrong = sorted(key for key in expected if document.get(key) != expected[key])
    if wrong:
        return Check(CONFIG, False, f"differs from the environment file in {', '.join(wrong)}")
    return Check(CONFIG, True, "agrees with the environment file")


def _headers(index: _Fetched, site: Site) -> Check:
    wanted = {**security_headers(site.policy), "Cache-Control": cache_control(INDEX)}
    wrong = [name for name, value in wanted.items() if index.headers.get(name) != value]
    if wrong:
        return Check("headers", False, f"missing or other than `site serve` sends: {', '.join(wrong)}")
    return Check("headers", True, "as `site serve` sends them")


def _digest(body: bytes) -> str:
    return f"sha384-{b64encode(hashlib.sha384(body).digest()).decode()[:16]}…"
