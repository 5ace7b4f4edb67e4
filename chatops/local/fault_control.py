"""Faults over HTTP: `GET`, `POST` and `DELETE /_chatops/faults`, for whoever can read the stack's record.

The token follows from the operator's secret key, so that neither goes over the wire and no page in a browser can
guess it. `POST` takes the settings by name (`FaultSettings`), and `cut`, `freeze` and `expire_credentials`, which
happen once, as `{"after_s": 3}`; `freeze` needs `"seconds"` too.
"""

import asyncio
import hmac
import json
import logging
import time
from collections.abc import Callable, Mapping
from typing import Any, Protocol

from aiohttp import web

from chatops.local.authorizer import Refused, SigV4Authorizer
from chatops.local.credentials import CredentialStore, Principal
from chatops.local.faults import MOST_DELAY_S, FaultError, Faults, FaultSettings

_LOG = logging.getLogger(__name__)
_ANSWER_FIRST_S = 0.02  # before a freeze, so that whoever asked for it hears of it
_MOST_BYTES = 16 * 1024
_ONCE = ("cut", "freeze", "expire_credentials")


class FaultyAuthorizer(SigV4Authorizer):
    """Lets in whom `SigV4Authorizer` lets in, except those whom an injected fault keeps out."""

    faults: Faults | None = None

    def authenticate(self, method: str, target: str, headers: Any) -> Principal:
        """See `Authorizer`."""
        if self.faults is not None and self.faults.refuses_connect():
            raise Refused(503, "ServiceUnavailable", "an injected fault refuses this connection")
        return super().authenticate(method, target, headers)


class Meddling(Protocol):
    """What a stack lets faults do to it."""

    def interfere(self, faults: Faults | None) -> None:
        """Have every delivery pass through the faults, or none."""

    def throttle(self, quota: str, rate: float | None) -> None:
        """Enforce an account quota; None is what the stack enforces without faults."""

    def cut(self) -> int:
        """Reset every connection; returns how many there were."""

    def delivery_throttled(self) -> None:
        """A throttle has kept a delivery back."""


class FaultControl:
    """Carries out what is asked for over HTTP.

    Args:
        stack: what the faults happen to.
        credentials: those that `expire_credentials` lets expire.
        token: what a request has to show.
        sleep: stops everything for so many seconds.
    """

    def __init__(
        self,
        stack: Meddling,
        credentials: CredentialStore,
        token: str,
        *,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        self.faults = Faults(
            lambda delay, function: asyncio.get_running_loop().call_later(delay, function),
            throttled=stack.delivery_throttled,
        )
        self._stack = stack
        self._credentials = credentials
        self._token = token
        self._sleep = sleep
        self._planned: dict[asyncio.TimerHandle, str] = {}

    def refused_status(self) -> int | None:
        """The HTTP status with which the control plane is to refuse its next request, None to answer it."""
        return self.faults.settings.request_status if self.faults.refuses_request() else None

    def set(self, settings: FaultSettings) -> None:
        """Put settings in force."""
        for name in sorted({*settings.rates, *self.faults.settings.rates} - {"publishes-out"}):
            self._stack.throttle(name, settings.rates.get(name))
        self.faults.change(settings)
        self._stack.interfere(self.faults if settings.on_deliveries else None)

    def clear(self) -> None:
        """Let everything be well again; what was to happen later does not."""
        for timer in self._planned:
            timer.cancel()
        self._planned.clear()
        self.set(FaultSettings())

    def document(self) -> dict[str, Any]:
        """What is in force, what is to come, and what has happened so far."""
        return {
            "faults": self.faults.settings.document(),
            "planned": sorted(self._planned.values()),
            "counts": {name: count for name, count in sorted(self.faults.counts.items()) if count},
        }

    def apply(self, asked: Mapping[str, Any]) -> None:
        """Take changes over; all of them or, when one cannot be, none.

        Raises:
            FaultError: which one, and why.
        """
        once = [(name, *_moment(name, asked[name])) for name in _ONCE if name in asked]
        settings = self.faults.settings.changed({k: v for k, v in asked.items() if k not in _ONCE})
        if settings != self.faults.settings:
            self.set(settings)
        for name, after_s, seconds in once:
            self._plan(name, after_s, seconds)

    def _plan(self, name: str, after_s: float, seconds: float) -> None:
        def happen() -> None:
            self._planned.pop(timer, None)
            self._do(name, seconds)

        timer = asyncio.get_running_loop().call_later(after_s + _ANSWER_FIRST_S, happen)
        self._planned[timer] = f"{name} in {after_s:g} s" if name != "freeze" else f"freeze for {seconds:g} s"

    def _do(self, name: str, seconds: float) -> None:
        match name:
            case "cut":
                self.faults.counts["cut"] += self._stack.cut()
            case "expire_credentials":
                self.faults.counts["expired"] += self._credentials.expire_guests()
            case _:
                self.faults.counts["frozen"] += 1
                self._sleep(seconds)
        _LOG.info("injected fault: %s", name)

    async def answer(self, incoming: web.BaseRequest) -> web.Response:
        """Answer one request to `FAULTS_PATH`."""
        shown = incoming.headers.get("Authorization", "").removeprefix("Bearer ")
        if not hmac.compare_digest(shown.encode(errors="replace"), self._token.encode()):
            return _problem(403, "the token is not this stack's")
        try:
            match incoming.method:
                case "GET":
                    pass
                case "DELETE":
                    self.clear()
                case "POST":
                    self.apply(await _read(incoming))
                case _:
                    return _problem(405, "faults are read with GET, set with POST and cleared with DELETE")
        except FaultError as error:
            return _problem(400, str(error))
        return web.json_response(self.document())


async def _read(incoming: web.BaseRequest) -> dict[str, Any]:
    if (incoming.content_length or 0) > _MOST_BYTES:
        raise FaultError("the request is too long")
    raw = bytearray()
    async for chunk in incoming.content.iter_any():
        raw += chunk
        if len(raw) > _MOST_BYTES:
            raise FaultError("the request is too long")
    try:
        document = json.loads(bytes(raw))
    except (ValueError, RecursionError):
        raise FaultError("the request is no JSON") from None
    if not isinstance(document, dict):
        raise FaultError("the request is no JSON object")
    return document


def _moment(name: str, value: Any) -> tuple[float, float]:
    """When something is to happen, and for how long."""
    if not isinstance(value, dict) or not value.keys() <= {"after_s", "seconds"}:
        raise FaultError(f'{name} is asked for as {{"after_s": 0}}; freeze with "seconds" too')
    found = []
    for key, default in (("after_s", 0), ("seconds", 0)):
        number = value.get(key, default)
        if isinstance(number, bool) or not isinstance(number, (int, float)) or not 0 <= number <= MOST_DELAY_S:
            raise FaultError(f"{key} of {name} lies between 0 and {MOST_DELAY_S:g}")
        found.append(float(number))
    if name == "freeze" and not found[1]:
        raise FaultError("freeze needs seconds")
    return found[0], found[1]


def _problem(status: int, text: str) -> web.Response:
    return web.json_response({"problem": text}, status=status)
