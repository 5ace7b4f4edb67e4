"""moto, called as a WSGI application in one worker thread: whatever the stack does not answer itself.

moto is neither fast nor safe to call from several threads, and importing it takes most of a second, so a thread of
its own imports it and then takes calls in order. After each call that may have changed IAM that same thread takes a
snapshot, which reaches the event loop before the answer does: a policy change is in force once the caller knows of it.

Services through which moto would reach beyond this process (Docker, HTTP deliveries) are not offered.
"""

import asyncio
import contextlib
import io
import logging
import os
import re
import zlib
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any, cast
from urllib.parse import unquote_to_bytes

from chatops.local.aws_errors import NOT_IMPLEMENTED, ApiError, not_in_the_local_stack
from chatops.local.aws_requests import Call, Request
from chatops.local.moto_snapshot import IamSnapshot, SnapshotTaker

_log = logging.getLogger(__name__)

MAX_DECOMPRESSED_BYTES = 8 * 1024 * 1024

_REACHING_OUT = frozenset(
    {
        "apigateway",
        "batch",
        "cloudformation",
        "events",
        "execute-api",
        "firehose",
        "lambda",
        "rds-data",
        "sns",
        "states",
    }
)
_REACHING_OUT_BACKENDS = frozenset(
    {
        "apigateway",
        "apigatewaymanagementapi",
        "apigatewayv2",
        "awslambda",
        "awslambda_simple",
        "batch",
        "batch_simple",
        "cloudformation",
        "events",
        "firehose",
        "instance_metadata",
        "moto_api",
        "rdsdata",
        "scheduler",
        "sns",
        "stepfunctions",
    }
)
"""moto's modules for the same, since its routing takes more names than AWS's; and its own inner interface."""

_NAME = re.compile(r"[a-z0-9-]{1,64}")
_EXAMPLE_KEYS = frozenset({"GetSessionToken", "GetFederationToken"})
"""Calls of STS for which moto hands everybody the same published example keys."""

_READING_ACTIONS = ("Get", "List", "Simulate", "Generate")
_DROPPED_REQUEST_HEADERS = frozenset(
    {
        "authorization",
        "connection",
        "content-length",
        "expect",
        "transfer-encoding",
        "x-moto-account-id",
    }
)
_DROPPED_ANSWER_HEADERS = frozenset({"connection", "content-length", "date", "server", "transfer-encoding"})
_WERKZEUG_PAGE = b"<!doctype html>\n<html lang=en>\n<title>"


@dataclass(frozen=True, slots=True)
class Answer:
    """What moto answered."""

    status: int
    headers: tuple[tuple[str, str], ...]
    body: bytes


WsgiApplication = Callable[[dict[str, Any], Callable[..., Any]], Iterable[bytes]]


@dataclass(slots=True)
class _Moto:
    """What the worker thread holds once moto is imported."""

    create_app: Callable[[str], WsgiApplication]
    infer_host: Callable[[dict[str, Any], str], str | None]
    host_patterns: Sequence[tuple[str, re.Pattern[str]]]
    modules: frozenset[str]
    snapshots: SnapshotTaker
    reset: Callable[[], None]
    routers: Callable[[str], Any]
    request_class: Callable[[dict[str, Any]], Any]
    apps: dict[str, WsgiApplication] = field(default_factory=dict)


class MotoBridge:
    """Calls moto without blocking the event loop.

    Args:
        account: the account of all resources.
        on_iam_change: gets a snapshot on the event loop's thread, before the call that made it is answered.
    """

    def __init__(self, *, account: str, on_iam_change: Callable[[IamSnapshot], None]) -> None:
        self._account = account
        self._on_iam_change = on_iam_change
        self._executor: ThreadPoolExecutor | None = None
        self._moto: _Moto | None = None

    def start(self) -> None:
        """Begin importing moto; calls made before it is there wait in line."""
        self._executor = ThreadPoolExecutor(max_workers=1, thread_name_prefix="moto")
        self._executor.submit(self._load)

    async def stop(self) -> None:
        """Forget everything and end the thread, once the calls in line are done."""
        executor, self._executor = self._executor, None
        if executor is None:
            return
        await asyncio.get_running_loop().run_in_executor(executor, self._reset)
        executor.shutdown(wait=True)

    async def call(self, request: Request, call: Call, access_key_id: str) -> Answer:
        """Let moto answer.

        Args:
            request: whole, its signature verified.
            call: what it wants.
            access_key_id: who signed it.

        Raises:
            ApiError: moto has no such operation, or failed.
        """
        loop = asyncio.get_running_loop()
        if self._executor is None:
            raise ApiError("ServiceUnavailable", "The local stack is stopping", NOT_IMPLEMENTED)
        return await loop.run_in_executor(self._executor, self._call, loop, request, call, access_key_id)

    async def operation_name(self, request: Request, call: Call) -> str:
        """Name the operation of a request, from the service model where the protocol does not tell."""
        if call.operation is not None or self._executor is None:
            return call.operation or f"{request.method} {request.path[:64]}"
        loop = asyncio.get_running_loop()
        return await loop.run_in_executor(self._executor, self._operation_name, request, call)

    # --- in the worker thread

    def _load(self) -> None:
        try:
            from moto.backends import list_of_moto_modules  # noqa: PLC0415  (likewise)
            from moto.core.base_backend import AccountSpecificBackend  # noqa: PLC0415  (likewise)
            from moto.core.request import Request as MotoRequest  # noqa: PLC0415  (slow; belongs in this thread)
            from moto.core.routing import get_service_router  # noqa: PLC0415  (likewise)
            from moto.iam.models import iam_backends  # noqa: PLC0415  (likewise)
            from moto.moto_api._internal.models import moto_api_backend  # noqa: PLC0415  (no public reset)
            from moto.moto_server.werkzeug_app import (  # noqa: PLC0415  (likewise)
                DomainDispatcherApplication,
                create_backend_app,
            )
            from moto.sts.models import sts_backends  # noqa: PLC0415  (likewise)
        except ImportError:
            _log.exception("moto cannot be imported: only what the stack answers itself will work")
            return
        session = _session_of_nobody()
        AccountSpecificBackend.get_session = staticmethod(lambda: session)  # type: ignore[assignment, method-assign]
        dispatcher = DomainDispatcherApplication(create_backend_app)
        self._moto = _Moto(
            create_app=cast("Callable[[str], WsgiApplication]", create_backend_app),
            infer_host=dispatcher.infer_service_region_host,
            host_patterns=dispatcher.backend_url_patterns,
            modules=frozenset(list_of_moto_modules()),
            snapshots=SnapshotTaker(self._account, iam_backends, sts_backends),
            reset=moto_api_backend.reset,
            routers=get_service_router,
            request_class=MotoRequest,
        )

    def _reset(self) -> None:
        if self._moto is not None:
            self._moto.reset()

    def _loaded(self, call: Call) -> _Moto:
        if self._moto is None:
            raise not_in_the_local_stack(f"{call.service} (moto is not installed)", call.protocol)
        return self._moto

    def _call(self, loop: asyncio.AbstractEventLoop, request: Request, call: Call, access_key_id: str) -> Answer:
        moto = self._loaded(call)
        if _NAME.fullmatch(call.service) is None or _NAME.fullmatch(call.region or "us-east-1") is None:
            raise not_in_the_local_stack(f"A service or Region named {call.service[:64]!r}", call.protocol)
        if call.service in _REACHING_OUT or (call.service == "sts" and call.operation in _EXAMPLE_KEYS):
            raise not_in_the_local_stack(f"{call.service} {call.operation or ''}".strip(), call.protocol)
        environ = _environ(request, call, access_key_id, self._account)
        try:
            application = _application(moto, environ, call)
            answer = _run(application, environ)
        except NotImplementedError:
            raise self._missing(request, call) from None
        except ApiError:
            raise
        except Exception:  # noqa: BLE001  (moto answers bad input with whatever Python raises)
            _log.exception("moto failed on %s %s", call.service, call.operation or request.path[:200])
            raise ApiError(
                "InternalFailure", "The local stack failed on this request; its log says why", NOT_IMPLEMENTED
            ) from None
        finally:
            self._take_snapshot(loop, moto, call)
        return self._checked(answer, request, call)

    def _checked(self, answer: Answer, request: Request, call: Call) -> Answer:
        """Turn answers that AWS would not give into errors that SDKs understand and do not repeat."""
        if answer.status < 400:
            return answer
        if answer.body.startswith(_WERKZEUG_PAGE):
            if answer.status in {404, 405}:
                raise self._missing(request, call)
            raise ApiError("ValidationError", "The request cannot be read", 400)
        if answer.status == 404 and not answer.body and call.service != "s3" and request.method != "HEAD":
            raise self._missing(request, call)
        if answer.status >= 500 and answer.status != NOT_IMPLEMENTED:
            return Answer(NOT_IMPLEMENTED, answer.headers, answer.body)
        return answer

    def _missing(self, request: Request, call: Call) -> ApiError:
        name = call.operation or self._operation_name(request, call)
        return not_in_the_local_stack(f"{call.service} {name}", call.protocol)

    def _operation_name(self, request: Request, call: Call) -> str:
        fallback = call.operation or f"{request.method} {request.path[:64]}"
        if self._moto is None:
            return fallback
        environ = _environ(request, call, "", self._account)
        try:
            operation, _ = self._moto.routers(call.service).match(self._moto.request_class(environ))
        except Exception:  # noqa: BLE001  (a name for a message; whatever moto raises, the path will do)
            return fallback
        return str(operation.name)

    def _take_snapshot(self, loop: asyncio.AbstractEventLoop, moto: _Moto, call: Call) -> None:
        if call.service not in {"iam", "sts"} or (call.operation or "").startswith(_READING_ACTIONS):
            return
        try:
            snapshot = moto.snapshots.take()
        except Exception:  # noqa: BLE001  (moto's models are not ours)
            _log.exception("the roles of moto cannot be read: the gateway keeps judging by the last snapshot")
            return
        with contextlib.suppress(RuntimeError):  # the loop is closed: nobody is left to be told
            loop.call_soon_threadsafe(self._on_iam_change, snapshot)


def _session_of_nobody() -> Any:
    """Make the session in which moto looks up regions, blind to the user's AWS configuration.

    moto's own would read it, and fail where a profile is misspelled or a file half-written.
    """
    import boto3  # noqa: PLC0415  (moto brings it; not to be imported on the event loop's thread)
    from botocore.session import Session  # noqa: PLC0415  (likewise)

    nothing = (None, None, None, None)
    nowhere = (None, None, os.devnull, None)
    blind = Session(session_vars={"profile": nothing, "config_file": nowhere, "credentials_file": nowhere})
    return boto3.Session(botocore_session=blind)


def _application(moto: _Moto, environ: dict[str, Any], call: Call) -> WsgiApplication:
    host = moto.infer_host(environ, environ["PATH_INFO"]) or ""
    backend = host if host in moto.modules else None
    if backend is None:
        url = f"http://{host}"
        backend = next((name for name, pattern in moto.host_patterns if pattern.match(url)), None)
    if backend is None or backend in _REACHING_OUT_BACKENDS:
        raise not_in_the_local_stack(f"The service {call.service}", call.protocol)
    application = moto.apps.get(backend)
    if application is None:
        application = moto.apps[backend] = moto.create_app(backend)
    return application


def _environ(request: Request, call: Call, access_key_id: str, account: str) -> dict[str, Any]:
    """Write the request as WSGI has it, with the two keys by which moto learns raw paths and header spellings."""
    body = request.body
    dropped = set(_DROPPED_REQUEST_HEADERS)
    if call.service != "s3" and request.fields.get("content-encoding", "") == "gzip":
        body = _decompressed(body)
        dropped.add("content-encoding")
    path = unquote_to_bytes(request.path).decode("latin-1")
    host, _, port = request.fields.get("host", "localhost").partition(":")
    environ: dict[str, Any] = {
        "REQUEST_METHOD": request.method,
        "SCRIPT_NAME": "",
        "PATH_INFO": path,
        "QUERY_STRING": request.query,
        "RAW_URI": request.target,
        "REQUEST_URI": request.target,
        "SERVER_NAME": host,
        "SERVER_PORT": port or "80",
        "SERVER_PROTOCOL": "HTTP/1.1",
        "REMOTE_ADDR": "127.0.0.1",
        "CONTENT_LENGTH": str(len(body)),
        "wsgi.version": (1, 0),
        "wsgi.url_scheme": "http",
        "wsgi.input": io.BytesIO(body),
        "wsgi.errors": io.StringIO(),
        "wsgi.multithread": False,
        "wsgi.multiprocess": False,
        "wsgi.run_once": False,
        "moto.preserved_header_names": {},
    }
    for name, value in request.headers:
        if name.lower() in dropped:
            continue
        key = name.upper().replace("-", "_")
        if "_" in name:
            if not name.lower().startswith("x-amz-meta-"):
                continue
            environ["moto.preserved_header_names"][f"HTTP_{key}"] = name
        if key != "CONTENT_TYPE":
            key = f"HTTP_{key}"
        environ[key] = f"{environ[key]},{value}" if key in environ else value
    environ["HTTP_X_MOTO_ACCOUNT_ID"] = account
    environ["HTTP_AUTHORIZATION"] = (
        f"AWS4-HMAC-SHA256 Credential={access_key_id}/20000101/{call.region}/{call.service}/aws4_request, "
        "SignedHeaders=host, Signature=verified"
    )
    return environ


def _decompressed(body: bytes) -> bytes:
    unpacker = zlib.decompressobj(wbits=zlib.MAX_WBITS | 16)
    try:
        data = unpacker.decompress(body, MAX_DECOMPRESSED_BYTES)
    except zlib.error:
        raise ApiError("SerializationException", "The body is not gzip, although the header says so") from None
    if unpacker.unconsumed_tail or not unpacker.eof:
        raise ApiError("RequestEntityTooLargeException", "The decompressed body is too large, or cut short", 413)
    return data


def _run(application: WsgiApplication, environ: dict[str, Any]) -> Answer:
    started: list[tuple[str, list[tuple[str, str]]]] = []

    def start_response(status: str, headers: list[tuple[str, str]], exc_info: Any = None) -> Callable[[bytes], None]:  # noqa: ARG001  (WSGI's signature)
        started.append((status, headers))
        return lambda _: None

    chunks = application(environ, start_response)
    try:
        body = b"".join(chunks)
    finally:
        close = getattr(chunks, "close", None)
        if close is not None:
            close()
    status, headers = started[-1]
    is_head = environ["REQUEST_METHOD"] == "HEAD"
    kept = tuple(
        (name, value)
        for name, value in headers
        if not name.lower().startswith("access-control-")
        and (name.lower() not in _DROPPED_ANSWER_HEADERS or (is_head and name.lower() == "content-length"))
    )
    return Answer(int(status.split(" ", 1)[0]), kept, b"" if is_head else body)
