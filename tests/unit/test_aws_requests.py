import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from chatops.local.aws_errors import ApiError, Protocol
from chatops.local.aws_requests import Call, Request, classify, hostname_of, is_our_host

JSON_TYPE = "application/x-amz-json-1.1"
FORM = "application/x-www-form-urlencoded; charset=utf-8"


def scope(service: str, region: str = "eu-west-1") -> str:
    return (
        f"AWS4-HMAC-SHA256 Credential=AKIA0/20260101/{region}/{service}/aws4_request, "
        "SignedHeaders=host;x-amz-date, Signature=00"
    )


def request(
    method: str = "POST", target: str = "/", body: bytes = b"", headers: dict[str, str] | None = None
) -> Request:
    fields = {name.lower(): value for name, value in (headers or {}).items()}
    return Request(method, target, tuple((headers or {}).items()), fields, body)


@pytest.mark.parametrize(
    ("incoming", "call"),
    [
        (
            request(headers={"Authorization": scope("iam"), "Content-Type": FORM}, body=b"Version=1&Action=ListRoles"),
            Call("iam", "eu-west-1", Protocol.QUERY, "ListRoles", "header"),
        ),
        (
            request("GET", "/?Action=GetCallerIdentity&Version=1", headers={"Authorization": scope("sts")}),
            Call("sts", "eu-west-1", Protocol.QUERY, "GetCallerIdentity", "header"),
        ),
        (
            request(headers={"Authorization": scope("ec2"), "Content-Type": FORM}, body=b"Action=DescribeVpcs"),
            Call("ec2", "eu-west-1", Protocol.EC2, "DescribeVpcs", "header"),
        ),
        (
            request(headers={"Authorization": scope("cognito-identity"), "X-Amz-Target": "A.TagResource"}),
            Call("cognito-identity", "eu-west-1", Protocol.JSON, "TagResource", "header"),
        ),
        (
            request(headers={"X-Amz-Target": "AWSCognitoIdentityService.GetId", "Content-Type": JSON_TYPE}),
            Call("cognito-identity", "", Protocol.JSON, "GetId", ""),
        ),
        (
            request("GET", "/things", headers={"Authorization": scope("iot")}),
            Call("iot", "eu-west-1", Protocol.REST_JSON, None, "header"),
        ),
        (
            request("POST", "/topics/x", headers={"Authorization": scope("iotdevicegateway")}),
            Call("iotdata", "eu-west-1", Protocol.REST_JSON, None, "header"),
        ),
        (request("POST", "/topics/x"), Call("", "", Protocol.REST_JSON, None, "")),
        (
            request("GET", "/2020-05-31/distribution", headers={"Authorization": scope("cloudfront", "us-east-1")}),
            Call("cloudfront", "us-east-1", Protocol.REST_XML, None, "header"),
        ),
        (
            request("PUT", "/b/k", headers={"Authorization": scope("s3"), "X-Amz-Target": "A.B"}),
            Call("s3", "eu-west-1", Protocol.S3, None, "header"),
        ),
        (
            request("GET", "/b/k?X-Amz-Credential=AKIA0%2F20260101%2Feu-west-1%2Fs3%2Faws4_request&X-Amz-Signature=0"),
            Call("s3", "eu-west-1", Protocol.S3, None, "query"),
        ),
        (
            request(
                target="/service/GraniteServiceVersion20100801/operation/ListMetrics",
                headers={"Authorization": scope("monitoring"), "smithy-protocol": "rpc-v2-cbor"},
            ),
            Call("monitoring", "eu-west-1", Protocol.CBOR, "ListMetrics", "header"),
        ),
        (request("GET", "/"), Call("", "", Protocol.S3, None, "")),
        (request(headers={"Authorization": "Bearer x"}), Call("", "", Protocol.S3, None, "header")),
        (
            request(headers={"Authorization": scope("iam"), "Content-Type": FORM}, body=b"Action=%00<&Action=B"),
            Call("iam", "eu-west-1", Protocol.QUERY, None, "header"),
        ),
    ],
)
def test_requests_are_told_by_their_outside(incoming: Request, call: Call) -> None:
    assert classify(incoming) == call


def test_iam_actions_have_the_services_prefix() -> None:
    assert Call("monitoring", "", Protocol.CBOR, None, "").action_prefix == "cloudwatch"
    assert Call("iotdata", "", Protocol.REST_JSON, None, "").action_prefix == "iot"
    assert Call("iam", "", Protocol.QUERY, None, "").action_prefix == "iam"


@settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(
    authorization=st.text(max_size=80) | st.builds(scope, st.text(max_size=10), st.text(max_size=10)),
    target=st.text(max_size=80),
    content_type=st.sampled_from([FORM, JSON_TYPE, "", "text/plain"]),
    amz_target=st.text(max_size=20),
    body=st.binary(max_size=80),
)
def test_nothing_is_too_strange_to_be_told(
    authorization: str, target: str, content_type: str, amz_target: str, body: bytes
) -> None:
    headers = {"Authorization": authorization, "Content-Type": content_type, "X-Amz-Target": amz_target}
    assert isinstance(classify(request("POST", target, body, headers)), Call)


def test_queries_are_decoded() -> None:
    assert request(target="/x?qos=1&topic=%2Fa%20b+c&empty=").parameters() == {
        "qos": "1",
        "topic": "/a b c",
        "empty": "",
    }


@pytest.mark.parametrize("query", ["a=%ff", "&".join("a=b" for _ in range(200))])
def test_queries_that_cannot_be_decoded_are_refused(query: str) -> None:
    with pytest.raises(ApiError, match="InvalidRequestException"):
        request(target=f"/x?{query}").parameters()


@pytest.mark.parametrize(
    ("host", "name"),
    [("Localhost:80", "localhost"), ("[::1]:80", "[::1]"), ("a.b.", "a.b"), ("", ""), ("127.0.0.1", "127.0.0.1")],
)
def test_ports_are_taken_off_hosts(host: str, name: str) -> None:
    assert hostname_of(host) == name


@pytest.mark.parametrize(
    "host",
    ["", "example.com", "127.0.0.1.example.com", "localhost.example.com", "127.0.0", "127.1", "1.127.0.0.1", "[::2]",
     "127.0.0.1000", "amazonaws.com.example.com", "xamazonaws.com", "[::1].example.com", "127.0.0.\u0661"],
)  # fmt: skip
def test_other_hosts_are_not_ours(host: str) -> None:
    assert not is_our_host(host)


@settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.text(max_size=40))
def test_no_host_is_too_strange_to_be_judged(host: str) -> None:
    assert isinstance(is_our_host(host), bool)
