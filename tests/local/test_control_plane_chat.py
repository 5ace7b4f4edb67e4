"""A chat is set up and used through stock boto3 clients."""

import json
import re
import time
from collections.abc import Generator

import pytest
from botocore.exceptions import ClientError

from chatops.chat.policy import guest_policy, trust_policy
from chatops.local.packets import Message
from tests.local.control_plane_harness import (
    ACCOUNT,
    GATEWAY,
    REGION,
    Chat,
    Keys,
    RunningControlPlane,
    error_of,
    running_control_plane,
)


@pytest.fixture(scope="module")
def plane() -> Generator[RunningControlPlane]:
    with running_control_plane() as running:
        yield running


@pytest.fixture(scope="module")
def chat(plane: RunningControlPlane) -> Chat:
    return plane.set_up_chat("chat")


@pytest.fixture
def published(plane: RunningControlPlane, monkeypatch: pytest.MonkeyPatch) -> list[Message]:
    """What reaches the broker."""
    messages: list[Message] = []
    publish = plane.broker.publish

    def record(message: Message) -> int:
        messages.append(message)
        return publish(message)

    monkeypatch.setattr(plane.broker, "publish", record)
    return messages


def test_a_guest_publishes_in_a_room(plane: RunningControlPlane, chat: Chat, published: list[Message]) -> None:
    plane.client("iot-data", chat.guest).publish(topic="/chat/lobby", qos=1, payload=b"hello \xff")
    assert published == [Message("/chat/lobby", b"hello \xff", 1)]


@pytest.mark.parametrize("topic", ["/other/lobby", "chat/lobby", "$aws/things/x/shadow/update", "/chat"])
def test_a_guest_may_not_publish_elsewhere(
    plane: RunningControlPlane, chat: Chat, published: list[Message], topic: str
) -> None:
    code, status, message = error_of(lambda: plane.client("iot-data", chat.guest).publish(topic=topic, payload=b"x"))
    assert (code, status) == ("ForbiddenException", 403)
    assert "iot:Publish" in message
    assert topic in message
    assert published == []


def test_a_guest_may_not_retain(plane: RunningControlPlane, chat: Chat, published: list[Message]) -> None:
    guest = plane.client("iot-data", chat.guest)
    code, _, message = error_of(lambda: guest.publish(topic="/chat/lobby", payload=b"x", retain=True))
    assert code == "ForbiddenException"
    assert "iot:RetainPublish" in message
    assert published == []


def test_every_property_of_a_message_arrives(plane: RunningControlPlane, published: list[Message]) -> None:
    before = time.monotonic()
    plane.client("iot-data").publish(
        topic="/chat/é lobby/?&%2F",
        qos=1,
        retain=True,
        payload=b"{}",
        userProperties='[{"name": "Zoë"}, {"name": "again"}]',
        payloadFormatIndicator="UTF8_DATA",
        contentType="application/json; charset=utf-8",
        responseTopic="/chat/replies/é",
        correlationData="AAECAw==",
        messageExpiry=600,
    )
    (message,) = published
    assert message.expires_at is not None
    assert before + 600 <= message.expires_at <= time.monotonic() + 600
    assert message == Message(
        topic="/chat/é lobby/?&%2F",
        payload=b"{}",
        qos=1,
        retain=True,
        payload_format_indicator=1,
        content_type="application/json; charset=utf-8",
        response_topic="/chat/replies/é",
        correlation_data=b"\x00\x01\x02\x03",
        user_properties=(("name", "Zoë"), ("name", "again")),
        expires_at=message.expires_at,
    )


def test_retained_messages_are_listed_in_pages(plane: RunningControlPlane) -> None:
    data = plane.client("iot-data")
    topics = [f"/chat/kept/{number}" for number in range(5)]
    for topic in topics:
        data.publish(topic=topic, payload=topic.encode(), retain=True, qos=1)
    pages = list(data.get_paginator("list_retained_messages").paginate(PaginationConfig={"PageSize": 2}))
    found = [each for page in pages for each in page["retainedTopics"] if each["topic"] in topics]
    assert [each["topic"] for each in found] == topics
    assert {each["payloadSize"] for each in found} == {len(topics[0])}
    assert all(len(page["retainedTopics"]) <= 2 for page in pages)
    kept = data.get_retained_message(topic=topics[0])
    assert (kept["payload"], kept["qos"]) == (topics[0].encode(), 1)
    data.publish(topic=topics[0], payload=b"", retain=True)
    assert error_of(lambda: data.get_retained_message(topic=topics[0]))[:2] == ("ResourceNotFoundException", 404)


@pytest.mark.parametrize(
    ("operation", "parameters"),
    [
        ("get_connection", {}),
        ("delete_connection", {"cleanSession": True}),
        ("list_subscriptions", {}),
        ("send_direct_message", {"topic": "/chat/x", "payload": b"x"}),
    ],
)
def test_an_unknown_connection_is_not_found(
    plane: RunningControlPlane, operation: str, parameters: dict[str, object]
) -> None:
    call = getattr(plane.client("iot-data"), operation)
    code, status, message = error_of(lambda: call(clientId="nobody/here", **parameters))
    assert (code, status) == ("ResourceNotFoundException", 404)
    assert "nobody/here" in message


@pytest.mark.parametrize(
    ("parameters", "code"),
    [
        ({"topic": "/chat/#"}, "InvalidRequestException"),
        ({"topic": "/chat/+/x"}, "InvalidRequestException"),
        ({"topic": "/1/2/3/4/5/6/7/8"}, "InvalidRequestException"),
        ({"topic": "é" * 129}, "InvalidRequestException"),
        ({"topic": "$aws/things/x/shadow/update"}, "InvalidRequestException"),
        ({"topic": "/chat/x", "qos": 2}, "InvalidRequestException"),
        ({"topic": "/chat/x", "userProperties": '{"a": "b"}'}, "InvalidRequestException"),
        ({"topic": "/chat/x", "userProperties": '[{"a": 1}]'}, "InvalidRequestException"),
        ({"topic": "/chat/x", "correlationData": "not base64"}, "InvalidRequestException"),
        ({"topic": "/chat/x", "payloadFormatIndicator": "XML"}, "InvalidRequestException"),
        ({"topic": "/chat/x", "messageExpiry": -1}, "InvalidRequestException"),
        ({"topic": "/chat/x", "responseTopic": "/chat/#"}, "InvalidRequestException"),
        ({"topic": ""}, "MethodNotAllowedException"),
        ({"topic": "/chat/x", "payload": b"x" * (128 * 1024 + 1)}, "RequestEntityTooLargeException"),
    ],
)
def test_a_message_that_aws_refuses_is_refused(
    plane: RunningControlPlane, published: list[Message], parameters: dict[str, object], code: str
) -> None:
    data = plane.client("iot-data")
    assert error_of(lambda: data.publish(**({"payload": b"x"} | parameters)))[0] == code
    assert published == []


def test_the_largest_message_is_taken(plane: RunningControlPlane, published: list[Message]) -> None:
    plane.client("iot-data").publish(topic="a" * 256, payload=b"x" * (128 * 1024))
    assert len(published) == 1


def test_shadows_are_not_part_of_the_stack(plane: RunningControlPlane) -> None:
    data = plane.client("iot-data")
    assert plane.received(lambda: data.get_thing_shadow(thingName="x")) == 1
    code, status, message = error_of(lambda: data.list_named_shadows_for_thing(thingName="x"))
    assert (code, status) == ("NotImplementedException", 501)
    assert "not part of the local stack" in message


def test_credentials_are_different_for_everybody_and_last_an_hour(plane: RunningControlPlane, chat: Chat) -> None:
    anonymous = plane.anonymous()
    first = anonymous.get_credentials_for_identity(IdentityId=chat.identity_id)
    second = anonymous.get_credentials_for_identity(IdentityId=chat.identity_id)
    assert first["IdentityId"] == chat.identity_id
    for name in ("AccessKeyId", "SecretKey", "SessionToken"):
        assert first["Credentials"][name] != second["Credentials"][name]
    assert abs(first["Credentials"]["Expiration"].timestamp() - time.time() - 3600) < 60
    assert re.fullmatch(r"ASIA[A-Z2-7]{16}", first["Credentials"]["AccessKeyId"])


def test_a_policy_change_is_in_force_at_once(plane: RunningControlPlane) -> None:
    chat = plane.set_up_chat("changing")
    guest = plane.client("iot-data", chat.guest)
    iam = plane.client("iam")
    guest.publish(topic="/chat/lobby", payload=b"x")
    iam.put_role_policy(
        RoleName="changing",
        PolicyName="guest",
        PolicyDocument=json.dumps(guest_policy(region=REGION, account=ACCOUNT, prefix="/talk/")),
    )
    guest.publish(topic="/talk/lobby", payload=b"x")
    assert error_of(lambda: guest.publish(topic="/chat/lobby", payload=b"x"))[0] == "ForbiddenException"
    iam.delete_role_policy(RoleName="changing", PolicyName="guest")
    assert error_of(lambda: guest.publish(topic="/talk/lobby", payload=b"x"))[0] == "ForbiddenException"


def test_managed_policies_count_in_their_default_version(plane: RunningControlPlane) -> None:
    chat = plane.set_up_chat("managed")
    guest = plane.client("iot-data", chat.guest)
    iam = plane.client("iam")
    iam.delete_role_policy(RoleName="managed", PolicyName="guest")

    def document(prefix: str) -> str:
        return json.dumps(guest_policy(region=REGION, account=ACCOUNT, prefix=prefix))

    arn = iam.create_policy(PolicyName="talk", PolicyDocument=document("/talk/"))["Policy"]["Arn"]
    iam.attach_role_policy(RoleName="managed", PolicyArn=arn)
    guest.publish(topic="/talk/lobby", payload=b"x")
    iam.create_policy_version(PolicyArn=arn, PolicyDocument=document("/sing/"), SetAsDefault=True)
    guest.publish(topic="/sing/lobby", payload=b"x")
    assert error_of(lambda: guest.publish(topic="/talk/lobby", payload=b"x"))[0] == "ForbiddenException"
    iam.detach_role_policy(RoleName="managed", PolicyArn=arn)
    assert error_of(lambda: guest.publish(topic="/sing/lobby", payload=b"x"))[0] == "ForbiddenException"


def test_a_permissions_boundary_is_not_overlooked(plane: RunningControlPlane) -> None:
    chat = plane.set_up_chat("bounded")
    guest = plane.client("iot-data", chat.guest)
    plane.client("iam").put_role_permissions_boundary(
        RoleName="bounded", PermissionsBoundary=f"arn:aws:iam::{ACCOUNT}:policy/any"
    )
    assert error_of(lambda: guest.publish(topic="/chat/lobby", payload=b"x"))[0] == "ForbiddenException"


def test_a_role_that_is_gone_is_a_bad_configuration(plane: RunningControlPlane) -> None:
    chat = plane.set_up_chat("going")
    iam = plane.client("iam")
    iam.delete_role_policy(RoleName="going", PolicyName="guest")
    iam.delete_role(RoleName="going")
    vend = plane.anonymous().get_credentials_for_identity
    code, status, message = error_of(lambda: vend(IdentityId=chat.identity_id))
    assert (code, status) == ("InvalidIdentityPoolConfigurationException", 400)
    assert chat.role_arn in message
    guest = plane.client("iot-data", chat.guest)
    assert error_of(lambda: guest.publish(topic="/chat/lobby", payload=b"x"))[0] == "ForbiddenException"


def test_the_trust_policy_decides_whose_guests_take_the_role(plane: RunningControlPlane) -> None:
    chat = plane.set_up_chat("trusting")
    iam = plane.client("iam")
    vend = plane.anonymous().get_credentials_for_identity
    other = trust_policy(f"{REGION}:00000000-0000-0000-0000-000000000000")
    iam.update_assume_role_policy(RoleName="trusting", PolicyDocument=json.dumps(other))
    code, _, message = error_of(lambda: vend(IdentityId=chat.identity_id))
    assert code == "InvalidIdentityPoolConfigurationException"
    assert "trust policy" in message
    iam.update_assume_role_policy(RoleName="trusting", PolicyDocument=json.dumps(trust_policy(chat.pool_id)))
    assert vend(IdentityId=chat.identity_id)["IdentityId"] == chat.identity_id


def test_endpoints_stay_the_same(plane: RunningControlPlane) -> None:
    iot = plane.client("iot")

    def address(kind: str) -> str:
        return str(iot.describe_endpoint(endpointType=kind)["endpointAddress"])

    assert address("iot:Data-ATS") == GATEWAY
    assert iot.describe_endpoint()["endpointAddress"] == GATEWAY
    for kind in ("iot:CredentialProvider", "iot:Jobs"):
        assert address(kind) == address(kind)
        assert address(kind).endswith(f".iot.{REGION}.amazonaws.com")
    assert error_of(lambda: address("iot:Nothing"))[:2] == ("InvalidRequestException", 400)


@pytest.mark.parametrize(
    ("service", "operation", "parameters", "action"),
    [
        ("iam", "list_roles", {}, "iam:ListRoles"),
        ("iot", "list_things", {}, "iot:ListThings"),
        ("iot", "describe_endpoint", {}, "iot:DescribeEndpoint"),
        ("s3", "list_buckets", {}, "s3:ListBuckets"),
        ("cloudwatch", "list_metrics", {}, "cloudwatch:ListMetrics"),
        ("cloudfront", "list_distributions", {}, "cloudfront:ListDistributions"),
        ("cognito-identity", "list_identity_pools", {"MaxResults": 1}, "cognito-identity:ListIdentityPools"),
        ("service-quotas", "list_services", {}, "servicequotas:ListServices"),
        ("iot-data", "delete_connection", {"clientId": "x"}, "iot:DeleteConnection"),
        ("iot-data", "get_connection", {"clientId": "x"}, "iot:GetConnection"),
        ("iot-data", "list_subscriptions", {"clientId": "x"}, "iot:ListSubscriptions"),
        ("iot-data", "send_direct_message", {"clientId": "x", "topic": "/chat/x"}, "iot:SendDirectMessage"),
        ("iot-data", "list_retained_messages", {}, "iot:ListRetainedMessages"),
        ("iot-data", "get_retained_message", {"topic": "/chat/x"}, "iot:GetRetainedMessage"),
    ],
)
def test_guests_are_no_operators(
    plane: RunningControlPlane, chat: Chat, service: str, operation: str, parameters: dict[str, object], action: str
) -> None:
    client = plane.client(service, chat.guest)
    code, status, message = error_of(lambda: getattr(client, operation)(**parameters))
    assert code in {"AccessDenied", "AccessDeniedException", "ForbiddenException"}
    assert status in {400, 403}
    assert action in message


def test_a_guest_learns_who_it_is(plane: RunningControlPlane, chat: Chat) -> None:
    found = plane.client("sts", chat.guest).get_caller_identity()
    assert (found["Account"], found["Arn"]) == (
        ACCOUNT,
        f"arn:aws:sts::{ACCOUNT}:assumed-role/chat/CognitoIdentityCredentials",
    )
    assert plane.client("sts").get_caller_identity()["Arn"] == f"arn:aws:iam::{ACCOUNT}:user/operator"


def test_deleted_identities_and_pools_vend_nothing(plane: RunningControlPlane) -> None:
    chat = plane.set_up_chat("ending")
    cognito, anonymous = plane.client("cognito-identity"), plane.anonymous()
    other = anonymous.get_id(IdentityPoolId=chat.pool_id)["IdentityId"]
    assert cognito.delete_identities(IdentityIdsToDelete=[chat.identity_id])["UnprocessedIdentityIds"] == []
    vend = anonymous.get_credentials_for_identity
    assert error_of(lambda: vend(IdentityId=chat.identity_id))[0] == "ResourceNotFoundException"
    assert vend(IdentityId=other)["IdentityId"] == other
    cognito.delete_identity_pool(IdentityPoolId=chat.pool_id)
    assert error_of(lambda: vend(IdentityId=other))[0] == "ResourceNotFoundException"
    assert error_of(lambda: anonymous.get_id(IdentityPoolId=chat.pool_id))[0] == "ResourceNotFoundException"


def test_keys_made_through_iam_sign_until_they_are_deleted(plane: RunningControlPlane) -> None:
    iam = plane.client("iam")
    iam.create_user(UserName="colleague")
    made = iam.create_access_key(UserName="colleague")["AccessKey"]
    colleague = plane.client("sts", Keys(made["AccessKeyId"], made["SecretAccessKey"]))
    assert colleague.get_caller_identity()["Arn"] == f"arn:aws:iam::{ACCOUNT}:user/colleague"
    iam.update_access_key(UserName="colleague", AccessKeyId=made["AccessKeyId"], Status="Inactive")
    with pytest.raises(ClientError):
        colleague.get_caller_identity()
    iam.update_access_key(UserName="colleague", AccessKeyId=made["AccessKeyId"], Status="Active")
    assert colleague.get_caller_identity()["Account"] == ACCOUNT
    iam.delete_access_key(UserName="colleague", AccessKeyId=made["AccessKeyId"])
    with pytest.raises(ClientError):
        colleague.get_caller_identity()


def test_sessions_of_sts_sign_with_their_token(plane: RunningControlPlane, chat: Chat) -> None:
    made = plane.client("sts").assume_role(RoleArn=chat.role_arn, RoleSessionName="ci")["Credentials"]
    session = Keys(made["AccessKeyId"], made["SecretAccessKey"], made["SessionToken"])
    assert plane.client("sts", session).get_caller_identity()["Arn"].endswith("assumed-role/chat/ci")
    without = Keys(made["AccessKeyId"], made["SecretAccessKey"])
    assert error_of(plane.client("sts", without).get_caller_identity)[0] == "InvalidClientTokenId"
