import base64
import contextlib
import json
from dataclasses import dataclass, field
from typing import Any, cast

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from chatops.chat.iam import parse_policy
from chatops.local.authorizer import SigV4Authorizer
from chatops.local.aws_errors import ApiError
from chatops.local.aws_requests import Request
from chatops.local.broker import Broker, ConnectionInfo
from chatops.local.broker_retained import Retained
from chatops.local.credentials import CredentialStore, Principal, PrincipalKind
from chatops.local.iot_data import IotData
from chatops.local.limits import Limits
from chatops.local.packets import Message
from chatops.local.roles import Role, RoleCatalogue

ACCOUNT = "123456789012"
REGION = "us-east-1"
ROLE = f"arn:aws:iam::{ACCOUNT}:role/guest"
OPERATOR = Principal(PrincipalKind.OPERATOR, ACCOUNT)
GUEST = Principal(PrincipalKind.GUEST, ACCOUNT, REGION, f"{REGION}:1", f"{REGION}:2", ROLE)


@dataclass
class FakeBroker:
    connections: dict[str, ConnectionInfo] = field(default_factory=dict)
    filters: dict[str, list[tuple[str, int]]] = field(default_factory=dict)
    kept: dict[str, Retained] = field(default_factory=dict)
    published: list[Message] = field(default_factory=list)
    sent: list[tuple[str, Message]] = field(default_factory=list)
    dropped: list[tuple[str, bool, bool]] = field(default_factory=list)
    may_receive: bool = True

    def publish(self, message: Message) -> int:
        self.published.append(message)
        return 0

    def disconnect_client(self, client_id: str, *, clean_session: bool = False, prevent_will: bool = False) -> bool:
        self.dropped.append((client_id, clean_session, prevent_will))
        return client_id in self.connections

    def connection(self, client_id: str) -> ConnectionInfo | None:
        return self.connections.get(client_id)

    def subscriptions(self, client_id: str) -> list[tuple[str, int]] | None:
        return self.filters.get(client_id)

    def send_direct(self, client_id: str, message: Message) -> bool:
        self.sent.append((client_id, message))
        return self.may_receive

    def retained(self) -> list[tuple[str, int, int, float]]:
        return [
            (topic, len(each.message.payload), each.message.qos, each.modified_at) for topic, each in self.kept.items()
        ]

    def retained_message(self, topic: str) -> Retained | None:
        return self.kept.get(topic)


class Service:
    def __init__(self, limits: Limits | None = None) -> None:
        self.broker = FakeBroker()
        self.roles = RoleCatalogue()
        self.data = IotData(
            broker=cast("Broker", self.broker),
            authorizer=SigV4Authorizer(CredentialStore(), self.roles),
            roles=self.roles,
            limits=limits or Limits.aws_protocol(),
            account=ACCOUNT,
            monotonic=lambda: 1000.0,
        )

    def __call__(
        self, method: str, target: str, body: bytes = b"", *, principal: Principal = OPERATOR, **headers: str
    ) -> dict[str, Any]:
        fields = {f"x-amz-mqtt5-{name.replace('_', '-')}": value for name, value in headers.items()}
        return self.data.call(Request(method, target, tuple(fields.items()), fields, body), principal, REGION)

    def allow(self, action: str, resource: str) -> None:
        statement = {"Effect": "Allow", "Action": action, "Resource": f"arn:aws:iot:{REGION}:{ACCOUNT}:{resource}"}
        policy = parse_policy({"Version": "2012-10-17", "Statement": [statement]})
        self.roles.replace({ROLE: Role(ROLE, None, (policy,))})


@pytest.fixture
def service() -> Service:
    return Service()


def refusal(service: Service, method: str, target: str, body: bytes = b"", **more: Any) -> tuple[str, int]:
    with pytest.raises(ApiError) as caught:
        service(method, target, body, **more)
    return caught.value.code, caught.value.status


def connection(client_id: str, **changes: Any) -> ConnectionInfo:
    values: dict[str, Any] = {
        "client_id": client_id,
        "connected": True,
        "clean_session": False,
        "keep_alive_s": 30,
        "session_expiry_s": 3600,
        "source_ip": "127.0.0.1",
        "source_port": 4000,
        "target_ip": "127.0.0.1",
        "target_port": 5000,
        "principal": OPERATOR,
        "protocol_version": 5,
        "connected_since": 1_800_000_000.25,
    }
    return ConnectionInfo(**(values | changes))


@pytest.mark.parametrize(
    ("path", "topic"),
    [
        ("/topics/%2Fchat%2Flobby", "/chat/lobby"),
        ("/topics/chat/lobby", "chat/lobby"),
        ("/topics//chat/lobby", "/chat/lobby"),
        ("/topics/%2F%2F", "//"),
        ("/topics/a%20b%3F%C3%A9%2525", "a b?é%25"),
        ("/topics/a+b%zz", None),
        ("/topics/a%2Bb", None),
    ],
)
def test_topics_are_read_from_the_raw_path(service: Service, path: str, topic: str | None) -> None:
    if topic is None:
        assert refusal(service, "POST", path) == ("InvalidRequestException", 400)
        return
    assert service("POST", f"{path}?qos=1", b"text")["message"] == "OK"
    assert service.broker.published == [Message(topic, b"text", 1)]


@pytest.mark.parametrize(
    "path", ["/topics/%FF", "/topics/%00", "/topics/a%23", "/topics/" + "a" * 257, "/topics/$aws/x"]
)
def test_topics_that_cannot_be_are_refused(service: Service, path: str) -> None:
    assert refusal(service, "POST", path) == ("InvalidRequestException", 400)
    assert service.broker.published == []


@pytest.mark.parametrize(("asked", "kept"), [(0, 1), (1, 1), (60, 60), (604_800, 604_800), (4_000_000_000, 604_800)])
def test_expiry_is_kept_within_a_week(service: Service, asked: int, kept: int) -> None:
    service("POST", f"/topics/x?messageExpiry={asked}")
    assert service.broker.published[0].expires_at == 1000.0 + kept


@pytest.mark.parametrize("query", ["qos=x", "qos=2", "qos=", "qos=1e0", "qos=\u0661", "retain=yes", "messageExpiry=1.5",
                                   "messageExpiry=99999999999999999999", "responseTopic=", "qos=%ff"])  # fmt: skip
def test_parameters_that_cannot_be_are_refused(service: Service, query: str) -> None:
    assert refusal(service, "POST", f"/topics/x?{query}")[0] == "InvalidRequestException"
    assert service.broker.published == []


def packed(value: Any) -> str:
    return base64.b64encode(json.dumps(value).encode()).decode()


@pytest.mark.parametrize(
    ("header", "pairs"),
    [
        (packed([{"a": "b"}, {"a": "c"}]), (("a", "b"), ("a", "c"))),
        (packed('[{"a": "b"}]'), (("a", "b"),)),
        (packed([{"a": "b", "c": "d"}]), (("a", "b"), ("c", "d"))),
        (packed([]), ()),
    ],
)
def test_user_properties_are_read(service: Service, header: str, pairs: tuple[tuple[str, str], ...]) -> None:
    service("POST", "/topics/x", user_properties=header)
    assert service.broker.published[0].user_properties == pairs


@pytest.mark.parametrize(
    "header",
    ["", "!", "e30", packed({}), packed(None), packed([["a", "b"]]), packed([{"a": None}]), packed("text"),
     packed([{"a": "x" * 9000}]), packed([{"a": "\ud800"}]), base64.b64encode(b"[" * 5000).decode(),
     base64.b64encode(b"\xff").decode()],
)  # fmt: skip
def test_user_properties_that_cannot_be_are_refused(service: Service, header: str) -> None:
    assert refusal(service, "POST", "/topics/x", user_properties=header) == ("InvalidRequestException", 400)


def test_payloads_are_as_large_as_the_limits_allow() -> None:
    assert refusal(Service(), "POST", "/topics/x", b"x" * 131_073) == ("RequestEntityTooLargeException", 413)
    unlimited = Service(Limits.none())
    unlimited("POST", "/topics/" + "a/" * 200 + "a", b"x" * 131_073)
    assert len(unlimited.broker.published) == 1


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [("GET", "/topics/x", 405), ("POST", "/topics/", 405), ("POST", "/topics", 405), ("PUT", "/retainedMessage/x", 405),
     ("GET", "/", 404), ("GET", "/nothing", 404), ("POST", "/connections/x", 404), ("GET", "/connections/x/y", 404),
     ("GET", "/connections/", 404), ("GET", "/things/x/shadow", 501), ("POST", "/things/x/shadow", 501),
     ("GET", "/api/things/shadow/ListNamedShadowsForThing/x", 501), ("GET", "/connections/$x", 400),
     ("GET", "/connections/" + "x" * 129, 400), ("GET", "/connections/%FF", 400)],
)  # fmt: skip
def test_other_paths_are_refused(service: Service, method: str, path: str, status: int) -> None:
    assert refusal(service, method, path)[1] == status


def test_a_connection_is_described(service: Service) -> None:
    service.broker.connections["a/b"] = connection("a/b")
    found = service("GET", "/connections/a%2Fb")
    assert found == {
        "connected": True,
        "clientId": "a/b",
        "cleanSession": False,
        "keepAliveDuration": 30,
        "sessionExpiry": 3600,
        "connectedSince": 1_800_000_000_250,
    }
    socket = {"sourceIp": "127.0.0.1", "sourcePort": 4000, "targetIp": "127.0.0.1", "targetPort": 5000}
    assert service("GET", "/connections/a%2Fb?includeSocketInformation=true") == found | socket


def test_a_lost_connection_is_described(service: Service) -> None:
    service.broker.connections["x"] = connection(
        "x", connected=False, disconnected_since=1_800_000_001.0, disconnect_reason="CONNECTION_LOST"
    )
    found = service("GET", "/connections/x")
    assert (found["connected"], found["disconnectedSince"]) == (False, 1_800_000_001_000)
    assert found["disconnectReason"] == "CONNECTION_LOST"


def test_a_connection_is_dropped_as_asked(service: Service) -> None:
    service.broker.connections["x"] = connection("x")
    assert service("DELETE", "/connections/x?cleanSession=true&preventWillMessage=true") == {}
    assert service("DELETE", "/connections/x") == {}
    assert service.broker.dropped == [("x", True, True), ("x", False, False)]
    assert refusal(service, "DELETE", "/connections/nobody") == ("ResourceNotFoundException", 404)


def test_subscriptions_are_listed_in_pages(service: Service) -> None:
    service.broker.filters["x"] = [(f"/chat/{number}/#", number % 2) for number in range(5)]
    first = service("GET", "/connections/x/subscriptions?maxResults=3")
    second = service("GET", f"/connections/x/subscriptions?maxResults=3&nextToken={first['nextToken']}")
    assert first["subscriptions"] + second["subscriptions"] == [
        {"topicFilter": f"/chat/{number}/#", "qos": number % 2} for number in range(5)
    ]
    assert "nextToken" not in second
    assert refusal(service, "GET", "/connections/x/subscriptions?maxResults=201")[1] == 400
    assert refusal(service, "GET", "/connections/x/subscriptions?nextToken=%C3%BC")[1] == 400
    assert refusal(service, "GET", "/connections/nobody/subscriptions") == ("ResourceNotFoundException", 404)


def test_a_message_goes_to_one_client(service: Service) -> None:
    service.broker.connections["x"] = connection("x")
    target = "/connections/x/messages?topic=%2Fchat%2Flobby&confirmation=true&timeout=3&contentType=text%2Fplain"
    assert service("POST", target, b"hello")["message"] == "OK"
    assert service.broker.sent == [("x", Message("/chat/lobby", b"hello", 1, content_type="text/plain"))]
    service.broker.may_receive = False
    assert refusal(service, "POST", target) == ("ForbiddenException", 403)
    service.broker.connections["x"] = connection("x", connected=False)
    assert refusal(service, "POST", target) == ("ResourceNotFoundException", 404)
    assert refusal(service, "POST", "/connections/x/messages") == ("InvalidRequestException", 400)
    assert refusal(service, "POST", "/connections/x/messages?topic=%23") == ("InvalidRequestException", 400)


def test_a_retained_message_is_told_whole(service: Service) -> None:
    message = Message("/chat/x", b"\xff", 1, retain=True, user_properties=(("a", "b"), ("a", "c")))
    service.broker.kept["/chat/x"] = Retained(message, 1_800_000_000.5)
    found = service("GET", "/retainedMessage/%2Fchat%2Fx")
    assert base64.b64decode(found["payload"]) == b"\xff"
    assert json.loads(base64.b64decode(found["userProperties"])) == [{"a": "b"}, {"a": "c"}]
    assert (found["topic"], found["qos"], found["lastModifiedTime"]) == ("/chat/x", 1, 1_800_000_000_500)


@pytest.mark.parametrize(
    ("method", "target", "action", "resource"),
    [
        ("POST", "/topics/%2Fchat%2Fx", "iot:Publish", "topic//chat/*"),
        ("GET", "/connections/x", "iot:GetConnection", "client/x"),
        ("DELETE", "/connections/x", "iot:DeleteConnection", "client/x"),
        ("GET", "/connections/x/subscriptions", "iot:ListSubscriptions", "client/*"),
        ("POST", "/connections/x/messages?topic=%2Fchat%2Fx", "iot:SendDirectMessage", "client/x"),
        ("GET", "/retainedMessage/%2Fchat%2Fx", "iot:GetRetainedMessage", "topic//chat/x"),
    ],
)
def test_guests_may_do_what_their_role_allows(
    service: Service, method: str, target: str, action: str, resource: str
) -> None:
    service.broker.connections["x"] = connection("x")
    service.broker.filters["x"] = []
    service.broker.kept["/chat/x"] = Retained(Message("/chat/x", b"x", 0), 0.0)
    assert refusal(service, method, target, principal=GUEST) == ("ForbiddenException", 403)
    service.allow(action, "other/*")
    assert refusal(service, method, target, principal=GUEST) == ("ForbiddenException", 403)
    service.allow(action, resource)
    assert isinstance(service(method, target, principal=GUEST), dict)


def test_reserved_topics_are_forbidden_to_guests_before_they_are_invalid(service: Service) -> None:
    assert refusal(service, "POST", "/topics/$aws/things/x", principal=GUEST) == ("ForbiddenException", 403)


@settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(
    method=st.sampled_from(["GET", "POST", "DELETE", "PUT"]),
    head=st.sampled_from(["/topics/", "/connections/", "/retainedMessage/", "/retainedMessage", "/"]),
    tail=st.text(st.characters(min_codepoint=0x21, max_codepoint=0x7E), max_size=30),
    properties=st.text(max_size=30) | st.binary(max_size=30).map(lambda data: base64.b64encode(data).decode()),
)
def test_no_request_breaks_the_service(method: str, head: str, tail: str, properties: str) -> None:
    with contextlib.suppress(ApiError):
        json.dumps(Service()(method, head + tail, b"x", user_properties=properties, correlation_data=properties))
