"""The HTTP control plane: every AWS service of the stack on one port of the loopback interface.

The event loop reads requests, verifies signatures and answers what guests and the data plane need (Cognito, iot-data,
quotas); everything else goes to moto's thread. The three calls that guests make unsigned take a short way through.
"""

import asyncio
import hashlib
import json
import logging
import re
import secrets
import time
from collections.abc import Callable, Mapping
from dataclasses import replace
from email.utils import formatdate
from typing import Any
from urllib.parse import unquote

from aiohttp import web
from aiohttp.http import HttpVersion11

from chatops.local import cognito, quotas
from chatops.local.authorizer import Authorizer
from chatops.local.aws_errors import NOT_IMPLEMENTED, ApiError, Protocol, not_in_the_local_stack, render
from chatops.local.aws_requests import (
    IOT_DATA,
    Call,
    Request,
    classify,
    header_fields,
    is_our_host,
    scope_of,
    service_named,
)
from chatops.local.broker import Broker
from chatops.local.bucket_reading import ANYBODY, BucketReader
from chatops.local.caller_identity import caller_identity
from chatops.local.cloudfront import CloudFront
from chatops.local.credentials import Credential, CredentialStore, Principal, PrincipalKind
from chatops.local.fault_control import FaultControl
from chatops.local.iot_data import IotData
from chatops.local.iot_endpoints import describe_endpoint
from chatops.local.limits import Limits
from chatops.local.moto_bridge import Answer, MotoBridge
from chatops.local.moto_snapshot import IamSnapshot
from chatops.local.record import FAULTS_PATH
from chatops.local.roles import RoleCatalogue
from chatops.local.shapes import parse_json_object
from chatops.local.sigv4 import Refused, SigningKeys, Verified, verify_headers, verify_query
from chatops.local.throttles import put_metric_data

_log = logging.getLogger(__name__)

HEALTH_PATH = "/_chatops/health"
MAX_S3_BODY_BYTES = 8 * 1024 * 1024
MAX_BODY_BYTES = 1024 * 1024
MAX_HEADER_BYTES = 32 * 1024
MAX_HEADERS = 128

_METHODS = frozenset({"GET", "HEAD", "POST", "PUT", "DELETE", "PATCH", "OPTIONS"})
_BODY_TIMEOUT_S = 60
_KEEP_ALIVE_S = 75
_LINGERING_S = 1.0
_SHUTDOWN_S = 1.0
_JSON_TYPE = "application/x-amz-json-1.1"
_PREFLIGHT = {
    "Access-Control-Allow-Origin": "*",
    "Access-Control-Allow-Methods": "POST",
    "Access-Control-Allow-Headers": (
        "amz-sdk-invocation-id,amz-sdk-request,cache-control,content-type,x-amz-content-sha256,x-amz-date,"
        "x-amz-security-token,x-amz-target,x-amz-user-agent,x-amzn-requestid"
    ),
    "Access-Control-Max-Age": "172800",
}
_CORS = {
    "Access-Control-Allow-Origin": "*",
    "Access-Control-Expose-Headers": "x-amzn-RequestId,x-amzn-ErrorType,x-amzn-ErrorMessage,Date",
}
_COGNITO_TARGET = f"{cognito.TARGET_PREFIX}."


class ControlPlane:
    """The server.

    Args:
        broker: of the gateway, which iot-data reaches.
        credentials: who may sign; guests' credentials are issued into it.
        roles: kept up to date with moto's IAM.
        limits: which of AWS's quotas to enforce.
        account: the account of everything.
        region: for what has no region of its own.
        gateway_address: tells `host:port` of the gateway, asked at each DescribeEndpoint.
        operator: the key that may do everything.
        authorizer: decides what guests may publish.
        instance_id: told by the health check.
        on_activity: called at each request.
        faults: what goes wrong on purpose.
        clock: seconds since the epoch.
        monotonic: seconds that never go back.
    """

    def __init__(
        self,
        *,
        broker: Broker,
        credentials: CredentialStore,
        roles: RoleCatalogue,
        limits: Limits,
        account: str,
        region: str,
        gateway_address: Callable[[], str],
        operator: Credential,
        authorizer: Authorizer,
        instance_id: str,
        on_activity: Callable[[], None],
        faults: FaultControl | None = None,
        clock: Callable[[], float] = time.time,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._broker = broker
        self._credentials = credentials
        self._roles = roles
        self._account = account
        self._region = region
        self._gateway_address = gateway_address
        self._instance_id = instance_id
        self._on_activity = on_activity
        self._faults = faults
        self._clock = clock
        self._monotonic = monotonic
        self._started = monotonic()
        self._signing_keys = SigningKeys()
        self._keys_of_moto: Mapping[str, Credential] = {}
        self._host_known = ""
        self._runner: web.ServerRunner | None = None
        self.port = 0
        credentials.add(operator)
        self._cognito = cognito.CognitoIdentity(
            credentials=credentials, roles=roles, limits=limits, account=account, clock=clock, monotonic=monotonic
        )
        self._quotas = quotas.ServiceQuotas(account=account)
        self._iot_data = IotData(
            broker=broker, authorizer=authorizer, roles=roles, limits=limits, account=account, monotonic=monotonic
        )
        self._moto = MotoBridge(account=account, on_iam_change=self._iam_changed)
        self._buckets = BucketReader(self._moto, region, operator.access_key_id)
        self._cloudfront = CloudFront(
            account=account, reader=self._buckets, monotonic=monotonic, on_activity=on_activity
        )

    async def start(self, *, host: str = "127.0.0.1", port: int = 0) -> None:
        """Listen; sets `port`. moto is imported meanwhile.

        Raises:
            OSError: the port is taken.
        """
        server = web.Server(
            self._handle,
            access_log=None,
            auto_decompress=False,  # signatures and hashes are over the bytes as sent
            keepalive_timeout=_KEEP_ALIVE_S,
            lingering_time=_LINGERING_S,
            logger=_quiet_logger(),
            max_field_size=MAX_HEADER_BYTES,
            max_headers=MAX_HEADERS,
            max_line_size=MAX_HEADER_BYTES,
        )
        self._runner = web.ServerRunner(server, shutdown_timeout=_SHUTDOWN_S)
        await self._runner.setup()
        await web.TCPSite(self._runner, host, port).start()
        self.port = int(self._runner.addresses[0][1])
        self._moto.start()

    async def stop(self) -> None:
        """Stop listening, drop every connection and forget moto's resources."""
        runner, self._runner = self._runner, None
        if runner is not None:
            await runner.cleanup()
        await self._cloudfront.stop()
        await self._moto.stop()

    def throttle_guests(self, operation: str, rate: float | None) -> None:
        """Enforce a rate of GetId or GetCredentialsForIdentity; None is the quota that `limits` has."""
        self._cognito.throttle(operation, rate)

    # --- one request

    async def _handle(self, incoming: web.BaseRequest) -> web.StreamResponse:
        self._on_activity()
        if incoming.method in _METHODS:
            response = await self._answer(incoming)
        else:
            response = web.Response(status=405)
            response.force_close()
        if not incoming.content.is_eof():
            response.force_close()  # a refused body may still come, or (100-continue) never
        return response

    async def _answer(self, incoming: web.BaseRequest) -> web.StreamResponse:
        request_id = secrets.token_hex(16)
        host = incoming.headers.get("Host", "")
        if host != self._host_known:
            if not is_our_host(host):
                return web.Response(status=403, text="This is a local stack: ask it by its loopback address.\n")
            self._host_known = host
        if self._faults is not None and incoming.raw_path != HEALTH_PATH:
            if incoming.raw_path == FAULTS_PATH:
                return await self._faults.answer(incoming)
            if (status := self._faults.refused_status()) is not None:
                return _injected(incoming, status, request_id)
        target = incoming.headers.get("X-Amz-Target", "")
        if target.startswith(_COGNITO_TARGET) and incoming.method == "POST":
            operation = target[len(_COGNITO_TARGET) :]
            if operation in cognito.PUBLIC_OPERATIONS:
                return await self._public(incoming, operation, request_id)
        if incoming.method == "OPTIONS" and "Access-Control-Request-Method" in incoming.headers:
            return _preflight(incoming)
        if incoming.method == "GET" and incoming.raw_path == HEALTH_PATH:
            return web.json_response(self._health())
        return await self._signed(incoming, request_id)

    async def _public(self, incoming: web.BaseRequest, operation: str, request_id: str) -> web.Response:
        """Answer what guests may ask for without a signature, from any origin."""
        try:
            members = parse_json_object(await _body(incoming, MAX_BODY_BYTES, Protocol.JSON))
            response = _json(self._cognito.call(operation, members, ""), _JSON_TYPE, request_id)
        except ApiError as error:
            response = _error(error, Protocol.JSON, request_id)
        except Exception as error:  # noqa: BLE001  (a stranger must never see a traceback)
            response = _error(_unexpected(error, operation), Protocol.JSON, request_id)
        response.headers.update(_CORS)
        response.headers["Date"] = formatdate(self._clock(), usegmt=True)  # by which a page sets a wrong clock right
        return response

    async def _signed(self, incoming: web.BaseRequest, request_id: str) -> web.Response:
        target = incoming.raw_path
        headers = tuple(incoming.headers.items())
        fields = header_fields(headers)
        call = classify(Request(incoming.method, target, headers, fields, b""))
        try:
            _refuse_unreadable(target, headers)
            limit = MAX_S3_BODY_BYTES if scope_of(target, fields)[0] == "s3" else MAX_BODY_BYTES
            body = await _body(incoming, limit, call.protocol)
            request = Request(incoming.method, target, headers, fields, body)
            call = classify(request)
            if not call.signed and (public := await self._public_object(request, call)) is not None:
                return public
            verified = self._verify(request, call)
            call = replace(call, service=service_named(verified.service), region=verified.region)
            return await self._dispatch(request, call, verified, request_id)
        except ApiError as error:
            return _error(error, call.protocol, request_id)
        except Exception as error:  # noqa: BLE001  (likewise)
            return _error(_unexpected(error, f"{call.service} {call.operation}"), call.protocol, request_id)

    async def _public_object(self, request: Request, call: Call) -> web.Response | None:
        """An object of a bucket that lets anybody read, as the page of a website is."""
        bucket, _, key = unquote(request.path[1:], errors="replace").partition("/")
        if call.protocol is not Protocol.S3 or request.method not in {"GET", "HEAD"} or not key or request.query:
            return None
        found = await self._buckets.read(bucket, key, ANYBODY, {}, method=request.method)
        return _response(found) if found is not None else None

    def _verify(self, request: Request, call: Call) -> Verified:
        """Verify the signature; says `not part of the local stack` for what AWS answers unsigned and we do not."""
        if call.operation in {"AssumeRoleWithWebIdentity", "AssumeRoleWithSAML"} and not call.signed:
            raise not_in_the_local_stack(f"sts {call.operation}", call.protocol)
        if not call.signed:
            raise _missing_signature(call.protocol)
        now = self._clock()
        try:
            if call.signed == "query":
                if call.service != "s3":
                    raise not_in_the_local_stack(f"A presigned URL of {call.service or 'this service'}", call.protocol)
                return verify_query(
                    method=request.method,
                    target=request.target,
                    headers=request.headers,
                    credentials=self._credentials,
                    now=now,
                    service="s3",
                    keys=self._signing_keys,
                )
            return verify_headers(
                method=request.method,
                target=request.target,
                headers=request.headers,
                body_sha256=hashlib.sha256(request.body).hexdigest(),
                credentials=self._credentials,
                now=now,
                keys=self._signing_keys,
            )
        except Refused as refusal:
            raise ApiError(refusal.code, refusal.message, refusal.status) from None

    async def _dispatch(self, request: Request, call: Call, verified: Verified, request_id: str) -> web.Response:
        principal = verified.credential.principal
        if (call.service, call.operation) == ("sts", "GetCallerIdentity") and self._is_ours(verified.credential):
            return web.Response(
                body=caller_identity(verified.credential, request_id), headers={"Content-Type": "text/xml"}
            )
        if call.service == IOT_DATA:
            answer = self._iot_data.call(request, principal, call.region)
            return _json(answer, "application/json", request_id)
        if principal.kind is not PrincipalKind.OPERATOR:
            name = await self._moto.operation_name(request, call)
            raise _access_denied(principal, f"{call.action_prefix}:{name}", call.protocol)
        match call.service:
            case "cognito-identity":
                return self._json_service(self._cognito.call, cognito.TARGET_PREFIX, request, call, request_id)
            case "servicequotas":
                return self._json_service(self._quotas.call, quotas.TARGET_PREFIX, request, call, request_id)
            case "iot" if request.method == "GET" and request.path == "/endpoint":
                found = describe_endpoint(
                    request.parameters().get("endpointType"),
                    account=self._account,
                    region=call.region,
                    gateway=self._gateway_address(),
                )
                return _json(found, "application/json", request_id)
            case "cloudfront" if (answered := await self._cloudfront.call(request)) is not None:
                return _response(answered)
            case "monitoring":
                await self._hand_over_throttles(verified.credential.access_key_id)
        return _response(await self._moto.call(request, call, verified.credential.access_key_id))

    async def _hand_over_throttles(self, access_key_id: str) -> None:
        """Give moto's CloudWatch what the gateway has counted, before it is asked for anything."""
        taken = self._broker.counters.throttles.take()
        if taken:
            fields = {"content-type": "application/x-www-form-urlencoded", "host": "monitoring.amazonaws.com"}
            request = Request("POST", "/", tuple(fields.items()), fields, put_metric_data(taken))
            call = Call("monitoring", self._region, Protocol.QUERY, "PutMetricData", "header")
            await self._moto.call(request, call, access_key_id)

    @staticmethod
    def _json_service(
        service: Callable[[str, Mapping[str, Any], str], dict[str, Any]],
        prefix: str,
        request: Request,
        call: Call,
        request_id: str,
    ) -> web.Response:
        if request.fields.get("x-amz-target") != f"{prefix}.{call.operation}":
            raise ApiError("UnknownOperationException", f"X-Amz-Target must name an operation of {prefix}")
        answer = service(call.operation or "", parse_json_object(request.body), call.region)
        return _json(answer, _JSON_TYPE, request_id)

    def _is_ours(self, credential: Credential) -> bool:
        """Say whether a key is the stack's own, not one made through moto."""
        return credential.access_key_id not in self._keys_of_moto

    def _health(self) -> dict[str, Any]:
        return {
            "service": "chatops",
            "instance": self._instance_id,
            "uptimeSeconds": round(self._monotonic() - self._started, 3),
            "connections": self._broker.connection_count,
        }

    def _iam_changed(self, snapshot: IamSnapshot) -> None:
        """Take over moto's roles and keys; a key that is gone there is gone here."""
        self._roles.replace(snapshot.roles)
        for key in self._keys_of_moto.keys() - snapshot.credentials.keys():
            self._credentials.discard(key)
        for key, credential in snapshot.credentials.items():
            if key not in self._keys_of_moto:
                self._credentials.add(credential)
        self._keys_of_moto = snapshot.credentials


def _injected(incoming: web.BaseRequest, status: int, request_id: str) -> web.Response:
    """Refuse a request by an injected fault, in the form that its service has."""
    headers = tuple(incoming.headers.items())
    call = classify(Request(incoming.method, incoming.raw_path, headers, header_fields(headers), b""))
    code = {429: "TooManyRequestsException", 500: "InternalErrorException"}.get(status, "ServiceUnavailableException")
    response = _error(ApiError(code, "an injected fault refuses this request", status), call.protocol, request_id)
    response.headers.update(_CORS)
    return response


async def _body(incoming: web.BaseRequest, limit: int, protocol: Protocol) -> bytes:
    """Read the body, never more than `limit` bytes of it."""
    if not incoming.body_exists:
        return b""
    if (incoming.content_length or 0) > limit:
        raise _too_large(limit, protocol)
    if "Expect" in incoming.headers:
        await _continue(incoming)
    chunks = []
    size = 0
    try:
        async with asyncio.timeout(_BODY_TIMEOUT_S):
            async for chunk in incoming.content.iter_any():
                size += len(chunk)
                if size > limit:
                    raise _too_large(limit, protocol)
                chunks.append(chunk)
    except TimeoutError:
        raise ApiError("RequestTimeout", "The body did not arrive in time") from None
    except web.RequestPayloadError:
        raise ApiError("SerializationException", "The body cannot be read") from None
    return chunks[0] if len(chunks) == 1 else b"".join(chunks)


async def _continue(incoming: web.BaseRequest) -> None:
    """Tell a client that waits for it to send the body, as S3's clients do."""
    if incoming.version == HttpVersion11 and incoming.headers["Expect"].lower() == "100-continue":
        await incoming.writer.write(b"HTTP/1.1 100 Continue\r\n\r\n")
        incoming.writer.output_size = 0


def _too_large(limit: int, protocol: Protocol) -> ApiError:
    if protocol is Protocol.S3:
        return ApiError("EntityTooLarge", f"The local stack takes at most {limit} bytes in one request", 400)
    return ApiError("RequestEntityTooLargeException", f"The body is larger than {limit} bytes", 413)


def _refuse_unreadable(target: str, headers: tuple[tuple[str, str], ...]) -> None:
    if not target.startswith("/"):
        raise ApiError("InvalidURI", "The request must name a path, not a whole URL")
    try:
        target.encode()
        for name, value in headers:
            name.encode()
            value.encode()
    except UnicodeError:
        raise ApiError("SerializationException", "A header is not UTF-8 text") from None


def _preflight(incoming: web.BaseRequest) -> web.Response:
    """Answer as Cognito does; its public operations are all that a page of another origin can use."""
    if incoming.raw_path == "/" and incoming.headers["Access-Control-Request-Method"] == "POST":
        return web.Response(status=200, headers=_PREFLIGHT)
    return web.Response(status=403, text="Only Amazon Cognito's public operations can be called cross-origin.\n")


def _json(answer: Mapping[str, Any], content_type: str, request_id: str) -> web.Response:
    return web.Response(
        body=json.dumps(answer, separators=(",", ":")).encode(),
        headers={"Content-Type": content_type, "x-amzn-RequestId": request_id},
    )


def _response(answer: Answer) -> web.Response:
    response = web.Response(status=answer.status, body=answer.body)
    response.headers.popall("Content-Type", None)
    response.headers.extend(answer.headers)
    return response


def _error(error: ApiError, protocol: Protocol, request_id: str) -> web.Response:
    rendered = render(error, protocol, request_id)
    return web.Response(
        status=rendered.status, headers=rendered.headers | {"x-amzn-RequestId": request_id}, body=rendered.body
    )


def _unexpected(error: Exception, what: str) -> ApiError:
    _log.error("failed on %s", re.sub(r"[^ -~]", "?", what)[:200], exc_info=error)
    return ApiError("InternalFailure", "The local stack failed on this request; its log says why", NOT_IMPLEMENTED)


def _missing_signature(protocol: Protocol) -> ApiError:
    message = "Missing Authentication Token: the request is not signed"
    match protocol:
        case Protocol.JSON:
            return ApiError("MissingAuthenticationTokenException", message, 400)
        case Protocol.REST_JSON | Protocol.CBOR:
            return ApiError("MissingAuthenticationTokenException", message, 403)
        case Protocol.S3:
            return ApiError("AccessDenied", "Access Denied: the request is not signed", 403)
        case _:
            return ApiError("MissingAuthenticationToken", message, 403)


def _access_denied(principal: Principal, action: str, protocol: Protocol) -> ApiError:
    role = (principal.role_arn or "").rpartition("/")[2]
    who = f"arn:aws:sts::{principal.account}:assumed-role/{role}/CognitoIdentityCredentials"
    message = f"User: {who} is not authorized to perform: {action}"
    match protocol:
        case Protocol.JSON:
            return ApiError("AccessDeniedException", message, 400)
        case Protocol.REST_JSON | Protocol.CBOR:
            return ApiError("AccessDeniedException", message, 403)
        case Protocol.EC2:
            return ApiError("UnauthorizedOperation", message, 403)
        case _:
            return ApiError("AccessDenied", message, 403)


def _quiet_logger() -> logging.Logger:
    """A logger for aiohttp that says nothing: it would write raw lines of strangers, tokens among them, to the log."""
    logger = logging.getLogger("chatops.local.control_plane.http")
    logger.setLevel(logging.CRITICAL + 1)
    return logger
