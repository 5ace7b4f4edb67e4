"""What the control plane refuses, and how: signatures, hosts, origins, sizes, operations that are not there."""

import asyncio
import gzip
import json
import logging
import threading
import urllib.request
from collections.abc import Generator
from pathlib import Path
from typing import Any

import pytest
from botocore import UNSIGNED
from botocore.auth import SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials
from botocore.exceptions import ClientError
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from chatops.local.authorizer import OpenAuthorizer
from chatops.local.control_plane import ControlPlane
from chatops.local.credentials import CredentialStore
from chatops.local.limits import Limits
from chatops.local.moto_bridge import MotoBridge
from chatops.local.roles import RoleCatalogue
from tests.local.control_plane_harness import (
    ACCOUNT,
    OPERATOR,
    REGION,
    Keys,
    RunningControlPlane,
    error_of,
    operations_of,
    running_control_plane,
)

COGNITO = {"Content-Type": "application/x-amz-json-1.1", "X-Amz-Target": "AWSCognitoIdentityService.GetId"}


@pytest.fixture(scope="module")
def plane() -> Generator[RunningControlPlane]:
    with running_control_plane() as running:
        yield running


@pytest.fixture(scope="module")
def pool_id(plane: RunningControlPlane) -> str:
    made = plane.client("cognito-identity").create_identity_pool(
        IdentityPoolName="http", AllowUnauthenticatedIdentities=True
    )
    return str(made["IdentityPoolId"])


def signed(
    plane: RunningControlPlane,
    service: str,
    method: str,
    path: str,
    *,
    headers: dict[str, str] | None = None,
    body: bytes = b"",
) -> tuple[int, dict[str, str], bytes]:
    """One request signed by the operator, with a body that botocore would not send."""
    request = AWSRequest(method=method, url=plane.url + path, data=body, headers=headers or {})
    SigV4Auth(Credentials(OPERATOR.access_key_id, OPERATOR.secret_access_key), service, REGION).add_auth(request)
    return plane.http(method, path, headers=dict(request.headers.items()), body=body or None)


CALLS: list[tuple[str, str, dict[str, Any]]] = [
    ("iam", "list_roles", {}),
    ("sts", "get_caller_identity", {}),
    ("ec2", "describe_vpcs", {}),
    ("iot", "list_things", {}),
    ("iot-data", "publish", {"topic": "x"}),
    ("s3", "list_buckets", {}),
    ("cloudfront", "list_distributions", {}),
    ("cloudwatch", "list_metrics", {}),
    ("cognito-identity", "list_identity_pools", {"MaxResults": 1}),
    ("service-quotas", "list_services", {}),
]
JSON_CODES = ("MissingAuthenticationTokenException", "UnrecognizedClientException", "InvalidSignatureException")
QUERY_CODES = ("MissingAuthenticationToken", "InvalidClientTokenId", "SignatureDoesNotMatch")


def codes_of(service: str) -> tuple[str, str, str]:
    """AWS's codes for no signature, an unknown key, a wrong signature."""
    if service == "s3":
        return "AccessDenied", "InvalidAccessKeyId", "SignatureDoesNotMatch"
    if service == "cloudwatch":
        return "MissingAuthenticationTokenException", *QUERY_CODES[1:]
    return QUERY_CODES if service in {"iam", "sts", "ec2", "cloudfront"} else JSON_CODES


@pytest.mark.parametrize(("service", "operation", "parameters"), CALLS)
def test_signatures_are_checked(
    plane: RunningControlPlane, service: str, operation: str, parameters: dict[str, Any]
) -> None:
    _, unknown, mismatch = codes_of(service)
    strangers = Keys("AKIASTRANGER00000000", "secret")
    stranger = getattr(plane.client(service, strangers), operation)
    code, status, message = error_of(lambda: stranger(**parameters))
    assert code == unknown
    assert status in {400, 403}
    assert "AKIASTRANGER00000000" in message
    wrong = getattr(plane.client(service, Keys(OPERATOR.access_key_id, "wrong")), operation)
    code, status, message = error_of(lambda: wrong(**parameters))
    assert code == mismatch
    assert status in {400, 403}
    assert OPERATOR.secret_access_key not in message


@pytest.mark.parametrize(
    ("service", "operation", "parameters"), [call for call in CALLS if call[0] not in {"cloudfront", "iot"}]
)
def test_unsigned_calls_are_refused(
    plane: RunningControlPlane, service: str, operation: str, parameters: dict[str, Any]
) -> None:
    # those of iot and cloudfront cannot be told from S3's without a signature, and are refused in its words
    call = getattr(plane.client(service, signature_version=UNSIGNED), operation)
    code, status, _ = error_of(lambda: call(**parameters))
    assert code == codes_of(service)[0]
    assert status in {400, 403}


@pytest.mark.parametrize(
    ("service", "operation", "parameters"),
    [
        ("iam", "simulate_custom_policy", {"PolicyInputList": ["{}"], "ActionNames": ["iot:Connect"]}),
        ("iot", "test_authorization", {"authInfos": [{"actionType": "CONNECT", "resources": ["a"]}]}),
        ("iot-data", "get_thing_shadow", {"thingName": "x"}),
        ("cognito-identity", "lookup_developer_identity", {"IdentityPoolId": "us-east-1:0"}),
        ("cognito-identity", "get_principal_tag_attribute_map", {"IdentityPoolId": "a:0", "IdentityProviderName": "x"}),
        ("service-quotas", "get_association_for_service_quota_template", {}),
        ("sts", "get_session_token", {}),
        ("sts", "get_federation_token", {"Name": "x1"}),
        ("cloudfront", "list_cloud_front_origin_access_identities", {}),
        ("cloudwatch", "list_metric_streams", {}),
        ("logs", "list_anomalies", {}),
        ("lambda", "list_functions", {}),
        ("sns", "list_topics", {}),
        ("translate", "list_languages", {}),
    ],
)
@pytest.mark.parametrize("mode", ["legacy", "standard"])
def test_what_is_not_there_says_so_and_is_not_asked_for_again(
    plane: RunningControlPlane, service: str, operation: str, parameters: dict[str, Any], mode: str
) -> None:
    call = getattr(plane.client(service, retries={"mode": mode, "max_attempts": 4}), operation)
    assert plane.received(lambda: call(**parameters)) == 1
    code, status, message = error_of(lambda: call(**parameters))
    assert code in {"NotImplemented", "NotImplementedException"}
    assert status == 501
    assert "not part of the local stack" in message


def test_a_failure_inside_moto_is_one_clean_error(plane: RunningControlPlane, caplog: pytest.LogCaptureFixture) -> None:
    # moto reads a parameter that botocore would have insisted on
    body = b"Action=GetRole&Version=2010-05-08&RoleName.x=1&MaxItems=nonsense"
    with caplog.at_level(logging.CRITICAL):
        status, _, answer = signed(
            plane,
            "iam",
            "POST",
            "/",
            headers={"Content-Type": "application/x-www-form-urlencoded"},
            body=body.replace(b"GetRole", b"ListRoles"),
        )
    assert status in {400, 501}
    assert b"<Code>" in answer
    assert b"Traceback" not in answer


def test_an_unexpected_exception_of_moto_is_logged_and_not_asked_for_again(
    plane: RunningControlPlane, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    plane.client("iam").list_roles()  # moto is imported

    def break_down(*_: object) -> None:
        raise KeyError("secret detail")

    assert plane.plane._moto._moto is not None
    monkeypatch.setattr(plane.plane._moto._moto, "infer_host", break_down)
    iam = plane.client("iam")
    assert plane.received(iam.list_roles) == 1
    code, status, message = error_of(iam.list_roles)
    assert (code, status) == ("InternalFailure", 501)
    assert "secret detail" not in message
    assert "secret detail" in caplog.text


def test_guests_do_not_wait_for_moto(monkeypatch: pytest.MonkeyPatch) -> None:
    imported = threading.Event()
    load = MotoBridge._load

    def slow_load(self: MotoBridge) -> None:
        imported.wait(20)
        load(self)

    monkeypatch.setattr(MotoBridge, "_load", slow_load)
    with running_control_plane() as plane:
        try:
            pool = plane.client("cognito-identity").create_identity_pool(
                IdentityPoolName="early", AllowUnauthenticatedIdentities=True
            )
            assert plane.anonymous().get_id(IdentityPoolId=pool["IdentityPoolId"])["IdentityId"]
            answers: list[Any] = []
            waiting = threading.Thread(target=lambda: answers.append(plane.client("iam").list_roles()["Roles"]))
            waiting.start()
            plane.client("iot-data").publish(topic="/chat/lobby", payload=b"x")
            assert answers == []
        finally:
            imported.set()
        waiting.join(20)
        assert answers == [[]]


def test_the_users_aws_configuration_is_not_looked_at(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    with running_control_plane() as plane:
        logs, iot = plane.client("logs"), plane.client("iot")
        broken = tmp_path / "config"
        broken.write_text("no configuration", encoding="utf-8")
        monkeypatch.setenv("AWS_CONFIG_FILE", str(broken))
        monkeypatch.setenv("AWS_PROFILE", "misspelled")
        assert logs.describe_log_groups()["logGroups"] == []
        assert iot.list_things()["things"] == []


def test_a_new_stack_starts_empty() -> None:
    with running_control_plane() as first:
        first.client("iam").create_user(UserName="left-over")
    with running_control_plane() as second:
        assert second.client("iam").list_users()["Users"] == []


def test_a_port_that_is_taken_is_an_error_and_leaves_nothing_behind(plane: RunningControlPlane) -> None:
    other = ControlPlane(
        broker=plane.broker,
        credentials=CredentialStore(),
        roles=RoleCatalogue(),
        limits=Limits.none(),
        account=ACCOUNT,
        region=REGION,
        gateway_address=str,
        operator=OPERATOR,
        authorizer=OpenAuthorizer(ACCOUNT),
        instance_id="instance-2",
        on_activity=lambda: None,
    )

    async def start_and_stop() -> None:
        with pytest.raises(OSError, match="address already in use"):
            await other.start(port=plane.plane.port)
        await other.stop()
        await other.stop()

    asyncio.run(start_and_stop())


# --- hosts, origins, health


@pytest.mark.parametrize(
    "host",
    ["127.0.0.1:9", "localhost", "LOCALHOST:80", "[::1]:80", "127.1.2.3", "sts.amazonaws.com", "bucket.localhost:4566"],
)
def test_loopback_and_aws_names_are_welcome(plane: RunningControlPlane, host: str) -> None:
    assert plane.http("GET", "/_chatops/health", headers={"Host": host})[0] == 200


@pytest.mark.parametrize(
    "host",
    [
        "evil.example",
        "127.0.0.1.evil.example",
        "localhost.evil.example",
        "169.254.169.254",
        "amazonaws.com.evil.example",
        "10.0.0.1",
        "0x7f.1",
        "127.0.0.1@evil.example",
    ],
)
def test_a_rebound_name_is_refused(plane: RunningControlPlane, host: str) -> None:
    status, headers, body = plane.http("GET", "/_chatops/health", headers={"Host": host})
    assert status == 403
    assert b"instance-1" not in body
    assert "access-control-allow-origin" not in headers


def test_a_request_without_a_host_is_refused(plane: RunningControlPlane) -> None:
    assert plane.raw(b"GET /_chatops/health HTTP/1.0\r\n\r\n").startswith(b"HTTP/1.0 403 ")


def test_health_tells_the_instance(plane: RunningControlPlane) -> None:
    status, headers, body = plane.http("GET", "/_chatops/health")
    found = json.loads(body)
    assert status == 200
    assert headers["content-type"].startswith("application/json")
    assert (found["service"], found["instance"], found["connections"]) == ("chatops", "instance-1", 0)
    assert found["uptimeSeconds"] >= 0


def test_pages_of_other_origins_may_become_guests(plane: RunningControlPlane, pool_id: str) -> None:
    origin = {"Origin": "http://127.0.0.1:3000"}
    wanted = {"Access-Control-Request-Method": "POST", "Access-Control-Request-Headers": "content-type,x-amz-target"}
    status, headers, _ = plane.http("OPTIONS", "/", headers=origin | wanted)
    assert status == 200
    assert headers["access-control-allow-origin"] == "*"
    assert "POST" in headers["access-control-allow-methods"]
    assert {"content-type", "x-amz-target"} <= set(headers["access-control-allow-headers"].split(","))
    body = json.dumps({"IdentityPoolId": pool_id}).encode()
    status, headers, answer = plane.http("POST", "/", headers=COGNITO | origin, body=body)
    assert status == 200
    assert headers["access-control-allow-origin"] == "*"
    assert json.loads(answer)["IdentityId"].startswith(f"{REGION}:")
    status, headers, _ = plane.http("POST", "/", headers=COGNITO | origin, body=b"{}")
    assert (status, headers["access-control-allow-origin"]) == (400, "*")


@pytest.mark.parametrize("operation", ["ListIdentityPools", "CreateIdentityPool", "GetIdentityPoolRoles"])
def test_pages_of_other_origins_may_do_nothing_else(plane: RunningControlPlane, operation: str) -> None:
    target = {"X-Amz-Target": f"AWSCognitoIdentityService.{operation}", "Origin": "http://evil.example"}
    status, headers, _ = plane.http("POST", "/", headers=COGNITO | target, body=b"{}")
    assert status == 400
    assert "access-control-allow-origin" not in headers
    status, headers, _ = plane.http(
        "OPTIONS", "/topics/x", headers={"Origin": "http://evil.example", "Access-Control-Request-Method": "POST"}
    )
    assert status == 403
    assert "access-control-allow-origin" not in headers


def test_moto_opens_nothing_to_other_origins(plane: RunningControlPlane) -> None:
    _, headers, _ = signed(plane, "s3", "GET", "/", headers={"Origin": "http://evil.example"})
    assert "access-control-allow-origin" not in headers


# --- S3 and friends, through moto


def test_objects_go_to_s3_and_back(plane: RunningControlPlane) -> None:
    s3 = plane.client("s3")
    s3.create_bucket(Bucket="site")
    s3.put_object(
        Bucket="site", Key="a b/ü.html", Body=b"<h1>", ContentType="text/html", Metadata={"a_b": "c", "d-e": "f"}
    )
    head = s3.head_object(Bucket="site", Key="a b/ü.html")
    assert (head["ContentLength"], head["ContentType"]) == (4, "text/html")
    assert head["Metadata"] == {"a_b": "c", "d-e": "f"}
    assert s3.get_object(Bucket="site", Key="a b/ü.html")["Body"].read() == b"<h1>"
    s3.put_object(Bucket="site", Key="packed", Body=gzip.compress(b"text"), ContentEncoding="gzip")
    assert gzip.decompress(s3.get_object(Bucket="site", Key="packed")["Body"].read()) == b"text"
    assert [each["Key"] for each in s3.list_objects_v2(Bucket="site")["Contents"]] == ["a b/ü.html", "packed"]
    assert error_of(lambda: s3.head_object(Bucket="site", Key="none"))[:2] == ("404", 404)
    assert error_of(lambda: s3.get_object(Bucket="none", Key="none"))[:2] == ("NoSuchBucket", 404)


def test_an_object_may_have_8_mib_and_not_more(plane: RunningControlPlane) -> None:
    s3 = plane.client("s3")
    s3.create_bucket(Bucket="large")
    s3.put_object(Bucket="large", Key="x", Body=b"x" * 8 * 1024 * 1024)
    assert s3.head_object(Bucket="large", Key="x")["ContentLength"] == 8 * 1024 * 1024
    assert error_of(lambda: s3.put_object(Bucket="large", Key="y", Body=b"x" * (8 * 1024 * 1024 + 1)))[0] == (
        "EntityTooLarge"
    )
    assert s3.list_buckets()["Buckets"]


def test_presigned_links_work_until_they_are_altered(plane: RunningControlPlane) -> None:
    s3 = plane.client("s3", signature_version="s3v4")
    s3.create_bucket(Bucket="links")
    s3.put_object(Bucket="links", Key="a b", Body=b"text")
    link = s3.generate_presigned_url("get_object", Params={"Bucket": "links", "Key": "a b"}, ExpiresIn=60)
    path = link.removeprefix(plane.url)
    assert plane.http("GET", path)[::2] == (200, b"text")
    altered = path[:-1] + ("0" if path[-1] != "0" else "1")
    status, _, body = plane.http("GET", altered)
    assert status == 403
    assert b"<Code>SignatureDoesNotMatch</Code>" in body


def test_compressed_bodies_are_read_within_bounds(plane: RunningControlPlane) -> None:
    headers = {"Content-Type": "application/x-www-form-urlencoded", "Content-Encoding": "gzip"}
    small = gzip.compress(b"Action=ListUsers&Version=2010-05-08")
    status, _, body = signed(plane, "iam", "POST", "/?Action=ListUsers", headers=headers, body=small)
    assert (status, b"<ListUsersResponse" in body) == (200, True)
    bomb = gzip.compress(b"Action=ListUsers&x=" + b"x" * 100_000_000)
    status, _, _ = signed(plane, "iam", "POST", "/?Action=ListUsers", headers=headers, body=bomb)
    assert status == 413
    status, _, _ = signed(plane, "iam", "POST", "/?Action=ListUsers", headers=headers, body=b"no gzip")
    assert status == 400


def test_metrics_and_distributions_are_kept(plane: RunningControlPlane) -> None:
    cloudwatch = plane.client("cloudwatch")
    cloudwatch.put_metric_data(Namespace="chat", MetricData=[{"MetricName": "posts", "Value": 1.0}])
    assert [each["MetricName"] for each in cloudwatch.list_metrics(Namespace="chat")["Metrics"]] == ["posts"]
    assert plane.client("cloudfront").list_distributions()["DistributionList"]["Quantity"] == 0
    assert plane.client("iot").list_topic_rules()["rules"] == []
    assert plane.client("service-quotas").get_service_quota(ServiceCode="iotcore", QuotaCode="L-AEA1E176")["Quota"][
        "Value"
    ] == (500.0)


def test_an_account_named_by_the_caller_is_ignored(plane: RunningControlPlane) -> None:
    headers = {"Content-Type": "application/x-www-form-urlencoded", "x-moto-account-id": "999999999999"}
    _, _, body = signed(
        plane, "iam", "POST", "/", headers=headers, body=b"Action=CreateUser&Version=2010-05-08&UserName=ours"
    )
    assert f"arn:aws:iam::{ACCOUNT}:user/ours".encode() in body


def test_pagination_tokens_of_retained_messages_are_ours(plane: RunningControlPlane) -> None:
    data = plane.client("iot-data")
    with pytest.raises(ClientError, match="InvalidRequestException"):
        data.list_retained_messages(nextToken="\u00fc")


# --- hostile bytes


HOSTILE_BODIES = [
    b"",
    b"[]",
    b"null",
    b'"text"',
    b"{",
    b"\xff\xfe{}",
    b'{"IdentityPoolId": "\xff"}',
    b'{"IdentityPoolId": "\\ud800"}',
    b'{"IdentityPoolId": 1}',
    b'{"IdentityPoolId": ' + b"9" * 5000 + b"}",
    b'{"IdentityPoolId": 1e999}',
    b'{"IdentityPoolId": NaN}',
    b'{"IdentityPoolId": {"a": []}}',
    b'{"IdentityPoolId": "a:0", "IdentityPoolId": "a:1"}',
    b'{"IdentityPoolId": "a:0", "Nothing": 1}',
    b'{"IdentityPoolId": "' + b"a" * 100_000 + b'"}',
    b"[" * 100_000,
    b'{"a":' * 100_000,
    b'{"IdentityPoolId": "a:0", "Logins": ' + b"[" * 900 + b"]" * 900 + b"}",
]


@pytest.mark.parametrize("body", HOSTILE_BODIES, ids=range(len(HOSTILE_BODIES)))
def test_hostile_json_is_a_bad_request(plane: RunningControlPlane, body: bytes) -> None:
    status, _, answer = plane.http("POST", "/", headers=COGNITO, body=body)
    assert status == 400
    assert json.loads(answer)["__type"] in {"SerializationException", "ValidationException"}


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(
    body=st.binary(max_size=200)
    | st.recursive(
        st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(),
        lambda each: (
            st.lists(each, max_size=3)
            | st.dictionaries(st.sampled_from(["IdentityId", "IdentityPoolId", "Logins", "LoginsToRemove", "x"]), each)
        ),
        max_leaves=8,
    ).map(lambda value: json.dumps(value).encode()),
    operation=st.sampled_from(["GetId", "GetCredentialsForIdentity", "GetOpenIdToken", "UnlinkIdentity"]),
)
def test_no_unsigned_body_breaks_the_service(plane: RunningControlPlane, body: bytes, operation: str) -> None:
    target = {"X-Amz-Target": f"AWSCognitoIdentityService.{operation}"}
    status, _, answer = plane.http("POST", "/", headers=COGNITO | target, body=body)
    assert status == 400
    assert set(json.loads(answer)) == {"__type", "message"}


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(body=st.binary(max_size=100), operation=st.sampled_from(operations_of("cognito-identity")))
def test_no_signed_body_breaks_the_service(plane: RunningControlPlane, body: bytes, operation: str) -> None:
    headers = COGNITO | {"X-Amz-Target": f"AWSCognitoIdentityService.{operation}"}
    status, _, _ = signed(plane, "cognito-identity", "POST", "/", headers=headers, body=body)
    assert status in {400, 501}


@settings(max_examples=80, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(
    authorization=st.text(
        st.characters(min_codepoint=0x20, max_codepoint=0xFF, exclude_characters="\x7f"), max_size=120
    )
    | st.builds(
        "AWS4-HMAC-SHA256 Credential={}/20260101/{}/{}/aws4_request, SignedHeaders=host, Signature={}".format,
        st.sampled_from([OPERATOR.access_key_id, "x", ""]),
        st.sampled_from(["us-east-1", "", "x"]),
        st.sampled_from(["iam", "s3", "iotdata", "cognito-identity", "nothing"]),
        st.text("0123456789abcdef", max_size=64),
    ),
    path=st.text(st.characters(min_codepoint=0x21, max_codepoint=0x7E, exclude_characters="#"), max_size=40),
    method=st.sampled_from(["GET", "POST", "PUT", "DELETE", "HEAD", "PATCH"]),
)
def test_no_unverified_request_gets_further(
    plane: RunningControlPlane, authorization: str, path: str, method: str
) -> None:
    request = (
        f"{method} /{path} HTTP/1.1\r\nHost: 127.0.0.1\r\nAuthorization: {authorization}\r\nConnection: close\r\n\r\n"
    )
    answer = plane.raw(request.encode("latin-1"))
    status = int(answer.split(b" ", 2)[1])
    assert status in {400, 403, 501} or path.startswith("_chatops")


@pytest.mark.parametrize(
    "data",
    [
        b"\x16\x03\x01\x02\x00\x01\x00",
        b"GET / HTTP/9.9\r\n\r\n",
        b"POST / HTTP/1.1\r\nHost: localhost\r\nContent-Length: -1\r\n\r\n",
        b"POST / HTTP/1.1\r\nHost: localhost\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        b"GET /" + b"a" * 70_000 + b" HTTP/1.1\r\nHost: localhost\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: localhost\r\nA: " + b"a" * 70_000 + b"\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: localhost\r\n" + b"A: b\r\n" * 1000 + b"\r\n",
        b"GET http://evil.example/ HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n",
        b"CONNECT evil.example:80 HTTP/1.1\r\nHost: localhost\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: localhost\r\nAuthorization: \xff\xfe\r\nConnection: close\r\n\r\n",
    ],
)
def test_hostile_http_is_refused(plane: RunningControlPlane, data: bytes) -> None:
    answer = plane.raw(data)
    assert answer == b"" or answer.split(b" ", 2)[1] in {b"400", b"403", b"405"}
    assert plane.http("GET", "/_chatops/health")[0] == 200


def test_a_body_that_is_too_large_is_not_read(plane: RunningControlPlane) -> None:
    head = (
        b"POST / HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\nX-Amz-Target: AWSCognitoIdentityService.GetId\r\n"
    )
    answer = plane.raw(head + b"Content-Length: 99999999999\r\n\r\n{}")
    assert answer.startswith(b"HTTP/1.1 413 ")
    assert b"RequestEntityTooLargeException" in answer
    chunk = b"10000\r\n" + b"x" * 0x10000 + b"\r\n"
    answer = plane.raw(head + b"Transfer-Encoding: chunked\r\n\r\n" + chunk * 17 + b"0\r\n\r\n")
    assert answer.startswith(b"HTTP/1.1 413 ")


def test_every_request_counts_as_activity(plane: RunningControlPlane) -> None:
    before = len(plane.requests)
    with urllib.request.build_opener(urllib.request.ProxyHandler({})).open(f"{plane.url}/_chatops/health"):
        pass
    plane.client("iam").list_users()
    plane.http("POST", "/", headers=COGNITO, body=b"{")
    assert len(plane.requests) == before + 3
