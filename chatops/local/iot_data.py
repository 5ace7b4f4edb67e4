"""The AWS IoT data plane over HTTPS: publishing and looking after connections, reaching the gateway's broker.

Locations and names are those of botocore's `iot-data` model. A topic with a leading slash arrives as `%2F…`, so the
raw path is what is read.
"""

import base64
import binascii
import json
import re
import uuid
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import unquote_to_bytes

from chatops.chat.iam import Decision, evaluate
from chatops.local.authorizer import Authorizer
from chatops.local.aws_errors import ApiError, Protocol, not_in_the_local_stack
from chatops.local.aws_requests import Request
from chatops.local.broker import Broker, Message
from chatops.local.credentials import Principal, PrincipalKind
from chatops.local.limits import Limits
from chatops.local.roles import RoleCatalogue
from chatops.local.topics import topic_problem

MAX_EXPIRY_S = 604_800
MAX_USER_PROPERTIES_BYTES = 8 * 1024
"""The total size of a message's user properties (AWS IoT Core quotas, MQTT 5)."""

_MAX_CLIENT_ID_BYTES = 128
_PAGE = 200
_INTEGER = re.compile(r"-?\d{1,18}", re.ASCII)
_SHADOWS = re.compile(r"/things/[^/]+/shadow|/api/things/shadow/ListNamedShadowsForThing/[^/]+")

Answer = dict[str, Any]


@dataclass(frozen=True, slots=True)
class _Query:
    """Query parameters, read as the model's types."""

    values: Mapping[str, str]

    def text(self, name: str) -> str | None:
        return self.values.get(name)

    def flag(self, name: str) -> bool:
        value = self.values.get(name, "false").lower()
        if value not in {"true", "false"}:
            raise _invalid(f"{name} must be true or false")
        return value == "true"

    def integer(self, name: str, *, least: int, most: int, default: int) -> int:
        value = self.values.get(name)
        if value is None:
            return default
        if not _INTEGER.fullmatch(value) or not least <= int(value) <= most:
            raise _invalid(f"{name} must be a whole number from {least} to {most}")
        return int(value)


class IotData:
    """The service.

    Args:
        broker: what is published to, and whose connections are looked after.
        authorizer: decides what guests may publish.
        roles: decides what else they may do.
        limits: sizes of topics and payloads.
        account: the account of the resources.
        monotonic: seconds that never go back, the broker's time.
    """

    def __init__(
        self,
        *,
        broker: Broker,
        authorizer: Authorizer,
        roles: RoleCatalogue,
        limits: Limits,
        account: str,
        monotonic: Callable[[], float],
    ) -> None:
        self._broker = broker
        self._authorizer = authorizer
        self._roles = roles
        self._limits = limits
        self._account = account
        self._monotonic = monotonic

    def call(self, request: Request, principal: Principal, region: str) -> Answer:
        """Carry a request out.

        Args:
            request: whole, its signature verified.
            principal: who signed it.
            region: the region of the credential scope.

        Raises:
            ApiError: as the service would refuse.
        """
        query = _Query(request.parameters())
        path = request.path
        caller = _Caller(principal, region, self._account, self._roles)
        first, _, rest = path[1:].partition("/")
        match (request.method, first):
            case ("POST", "topics") if rest:
                return self._publish(request, query, _decoded(rest), caller)
            case ("GET", "retainedMessage") if not rest:
                return self._list_retained(query, caller)
            case ("GET", "retainedMessage"):
                return self._get_retained(_decoded(rest), caller)
            case (_, "connections") if rest:
                return self._connection(request, query, rest, caller)
            case _ if _SHADOWS.fullmatch(path):
                raise not_in_the_local_stack("A device shadow", Protocol.REST_JSON)
            case (_, "topics" | "retainedMessage"):
                raise ApiError(
                    "MethodNotAllowedException", "The path and the method do not go together, or it lacks a topic", 405
                )
            case _:
                raise ApiError("ResourceNotFoundException", "The AWS IoT data plane has no such path", 404)

    # --- messages

    def _publish(self, request: Request, query: _Query, topic: str, caller: "_Caller") -> Answer:
        message = self._message(request, query, topic, retain=query.flag("retain"))
        if not self._authorizer.may_publish(caller.principal, topic, retain=message.retain):
            raise caller.forbidden("iot:RetainPublish" if message.retain else "iot:Publish", f"topic/{topic}")
        self._refuse_reserved(topic)
        self._broker.publish(message)
        return {"message": "OK", "traceId": str(uuid.uuid4())}

    def _send_direct(self, request: Request, query: _Query, client_id: str, caller: "_Caller") -> Answer:
        caller.require("iot:SendDirectMessage", f"client/{client_id}")
        topic = query.text("topic")
        if topic is None:
            raise _invalid("topic is missing")
        query.integer("timeout", least=1, most=15, default=15)
        qos = 1 if query.flag("confirmation") else 0
        message = self._message(request, query, topic, qos=qos)
        self._refuse_reserved(topic)
        connection = self._broker.connection(client_id)
        if connection is None or not connection.connected:
            raise _no_connection(client_id)
        if not self._broker.send_direct(client_id, message):
            raise ApiError("ForbiddenException", f"The client {client_id} may not receive on {topic}", 403)
        return {"message": "OK", "traceId": str(uuid.uuid4())}

    def _message(
        self, request: Request, query: _Query, topic: str, *, retain: bool = False, qos: int | None = None
    ) -> Message:
        self._check_topic(topic, "topic")
        if len(request.body) > (self._limits.payload or len(request.body)):
            raise ApiError(
                "RequestEntityTooLargeException", f"The payload is larger than {self._limits.payload} bytes", 413
            )
        response_topic = query.text("responseTopic")
        if response_topic is not None:
            self._check_topic(response_topic, "responseTopic")
        return Message(
            topic=topic,
            payload=request.body,
            qos=query.integer("qos", least=0, most=1, default=0) if qos is None else qos,
            retain=retain,
            payload_format_indicator=_format_indicator(request.fields.get("x-amz-mqtt5-payload-format-indicator")),
            content_type=query.text("contentType"),
            response_topic=response_topic,
            correlation_data=_correlation_data(request.fields.get("x-amz-mqtt5-correlation-data")),
            user_properties=_user_properties(request.fields.get("x-amz-mqtt5-user-properties")),
            expires_at=self._expiry(query),
        )

    def _expiry(self, query: _Query) -> float | None:
        if query.text("messageExpiry") is None:
            return None
        seconds = query.integer("messageExpiry", least=0, most=2**32 - 1, default=0)
        return self._monotonic() + min(max(seconds, 1), MAX_EXPIRY_S)

    def _check_topic(self, topic: str, name: str) -> None:
        problem = topic_problem(topic, max_bytes=self._limits.topic, max_slashes=self._limits.topic_slashes)
        if problem is not None:
            raise _invalid(f"{name}: {problem}")

    @staticmethod
    def _refuse_reserved(topic: str) -> None:
        if topic.startswith("$"):
            raise _invalid("topics that start with $ are reserved, and the local stack has nothing behind them")

    # --- retained messages

    def _list_retained(self, query: _Query, caller: "_Caller") -> Answer:
        caller.require("iot:ListRetainedMessages", "*", whole=True)
        limit = query.integer("maxResults", least=1, most=_PAGE, default=_PAGE)
        after = _position(query.text("nextToken"))
        found = sorted(each for each in self._broker.retained() if each[0] > after)
        answer: Answer = {
            "retainedTopics": [
                {"topic": topic, "payloadSize": size, "qos": qos, "lastModifiedTime": _milliseconds(modified_at)}
                for topic, size, qos, modified_at in found[:limit]
            ]
        }
        if len(found) > limit:
            answer["nextToken"] = base64.urlsafe_b64encode(found[limit - 1][0].encode()).decode()
        return answer

    def _get_retained(self, topic: str, caller: "_Caller") -> Answer:
        self._check_topic(topic, "topic")
        caller.require("iot:GetRetainedMessage", f"topic/{topic}")
        found = self._broker.retained_message(topic)
        if found is None:
            raise ApiError("ResourceNotFoundException", f"No message is retained on {topic}", 404)
        answer = {
            "topic": topic,
            "payload": base64.b64encode(found.message.payload).decode(),
            "qos": found.message.qos,
            "lastModifiedTime": _milliseconds(found.modified_at),
        }
        if found.message.user_properties:
            pairs = [{key: value} for key, value in found.message.user_properties]
            answer["userProperties"] = base64.b64encode(json.dumps(pairs).encode()).decode()
        return answer

    # --- connections

    def _connection(self, request: Request, query: _Query, rest: str, caller: "_Caller") -> Answer:
        raw_id, _, below = rest.partition("/")
        client_id = _decoded(raw_id)
        if not 1 <= len(client_id.encode()) <= _MAX_CLIENT_ID_BYTES or client_id.startswith("$"):
            raise _invalid(f"clientId must have 1 to {_MAX_CLIENT_ID_BYTES} bytes and not start with $")
        match (request.method, below):
            case ("DELETE", ""):
                return self._delete_connection(query, client_id, caller)
            case ("GET", ""):
                return self._get_connection(query, client_id, caller)
            case ("GET", "subscriptions"):
                return self._list_subscriptions(query, client_id, caller)
            case ("POST", "messages"):
                return self._send_direct(request, query, client_id, caller)
            case _:
                raise ApiError("ResourceNotFoundException", "The AWS IoT data plane has no such path", 404)

    def _delete_connection(self, query: _Query, client_id: str, caller: "_Caller") -> Answer:
        caller.require("iot:DeleteConnection", f"client/{client_id}")
        dropped = self._broker.disconnect_client(
            client_id, clean_session=query.flag("cleanSession"), prevent_will=query.flag("preventWillMessage")
        )
        if not dropped:
            raise _no_connection(client_id)
        return {}

    def _get_connection(self, query: _Query, client_id: str, caller: "_Caller") -> Answer:
        caller.require("iot:GetConnection", f"client/{client_id}")
        found = self._broker.connection(client_id)
        if found is None:
            raise _no_connection(client_id)
        answer: Answer = {
            "connected": found.connected,
            "clientId": client_id,
            "cleanSession": found.clean_session,
            "keepAliveDuration": found.keep_alive_s,
            "sessionExpiry": found.session_expiry_s,
            "connectedSince": _milliseconds(found.connected_since),
        }
        if found.disconnected_since is not None:
            answer["disconnectedSince"] = _milliseconds(found.disconnected_since)
        if found.disconnect_reason is not None:
            answer["disconnectReason"] = found.disconnect_reason
        if query.flag("includeSocketInformation"):
            answer |= {
                "sourceIp": found.source_ip,
                "sourcePort": found.source_port,
                "targetIp": found.target_ip,
                "targetPort": found.target_port,
            }
        return answer

    def _list_subscriptions(self, query: _Query, client_id: str, caller: "_Caller") -> Answer:
        caller.require("iot:ListSubscriptions", f"client/{client_id}")
        limit = query.integer("maxResults", least=1, most=_PAGE, default=_PAGE)
        after = _position(query.text("nextToken"))
        subscriptions = self._broker.subscriptions(client_id)
        if subscriptions is None:
            raise _no_connection(client_id)
        found = sorted(each for each in subscriptions if each[0] > after)
        answer: Answer = {"subscriptions": [{"topicFilter": text, "qos": qos} for text, qos in found[:limit]]}
        if len(found) > limit:
            answer["nextToken"] = base64.urlsafe_b64encode(found[limit - 1][0].encode()).decode()
        return answer


@dataclass(frozen=True, slots=True)
class _Caller:
    """Who calls, and how to refuse them."""

    principal: Principal
    region: str
    account: str
    roles: RoleCatalogue

    def require(self, action: str, resource: str, *, whole: bool = False) -> None:
        """Refuse guests whose role does not allow `action`; operators may do everything."""
        if self.principal.kind is PrincipalKind.OPERATOR:
            return
        role = self.roles.find(self.principal.role_arn or "")
        arn = resource if whole else f"arn:aws:iot:{self.region}:{self.account}:{resource}"
        context = {
            "cognito-identity.amazonaws.com:sub": self.principal.identity_id or "",
            "cognito-identity.amazonaws.com:aud": self.principal.pool_id or "",
        }
        policies = role.policies if role is not None else ()
        if evaluate(policies, action=action, resource=arn, context=context) is not Decision.ALLOW:
            raise self.forbidden(action, resource)

    def forbidden(self, action: str, resource: str) -> ApiError:
        """Refuse as AWS IoT does, but say what is missing."""
        return ApiError("ForbiddenException", f"Forbidden: not authorized to perform {action} on {resource}", 403)


def _decoded(text: str) -> str:
    try:
        return unquote_to_bytes(text).decode("utf-8")
    except UnicodeError:
        raise _invalid("the path is not UTF-8 text") from None


def _format_indicator(value: str | None) -> int:
    match value:
        case None | "UNSPECIFIED_BYTES":
            return 0
        case "UTF8_DATA":
            return 1
        case _:
            raise _invalid("payloadFormatIndicator must be UNSPECIFIED_BYTES or UTF8_DATA")


def _correlation_data(value: str | None) -> bytes | None:
    if value is None:
        return None
    try:
        return base64.b64decode(value, validate=True)
    except (binascii.Error, ValueError):
        raise _invalid("correlationData must be base64") from None


def _user_properties(value: str | None) -> tuple[tuple[str, str], ...]:
    """Read the header: base64 of a JSON array of objects. SDKs that are handed text encode it as JSON once more."""
    if value is None:
        return ()
    refusal = _invalid("userProperties must be base64 of a JSON array of objects whose values are strings")
    try:
        parsed = json.loads(base64.b64decode(value, validate=True).decode("utf-8"))
        if isinstance(parsed, str):
            parsed = json.loads(parsed)
    except (binascii.Error, ValueError, RecursionError):
        raise refusal from None
    if not isinstance(parsed, list) or not all(isinstance(each, dict) for each in parsed):
        raise refusal
    pairs = [(key, text) for each in parsed for key, text in each.items()]
    if not all(isinstance(text, str) for _, text in pairs):
        raise refusal
    try:
        size = sum(len(part.encode()) for pair in pairs for part in pair)
    except UnicodeError:
        raise refusal from None
    if size > MAX_USER_PROPERTIES_BYTES:
        raise _invalid(f"userProperties are larger than {MAX_USER_PROPERTIES_BYTES} bytes")
    return tuple(pairs)


def _position(token: str | None) -> str:
    """Read a pagination token: the name after which to go on."""
    if token is None:
        return ""
    try:
        return base64.urlsafe_b64decode(token.encode("ascii")).decode("utf-8")
    except (binascii.Error, UnicodeError, ValueError):
        raise _invalid("nextToken was not given out by this service") from None


def _milliseconds(epoch_s: float) -> int:
    return int(epoch_s * 1000)


def _invalid(reason: str) -> ApiError:
    return ApiError("InvalidRequestException", f"The request is not valid: {reason}")


def _no_connection(client_id: str) -> ApiError:
    return ApiError("ResourceNotFoundException", f"The client {client_id} is not connected", 404)
