"""Each protocol's error bodies, read back by botocore's own parsers."""

import pytest
from botocore import parsers
from botocore.model import StructureShape
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from chatops.local.aws_errors import ApiError, Protocol, not_in_the_local_stack, render

PARSERS = {
    Protocol.JSON: "json",
    Protocol.REST_JSON: "rest-json",
    Protocol.QUERY: "query",
    Protocol.EC2: "ec2",
    Protocol.REST_XML: "rest-xml",
    Protocol.S3: "rest-xml",
    Protocol.CBOR: "smithy-rpc-v2-cbor",
}


def read(error: ApiError, protocol: Protocol) -> tuple[str, str]:
    rendered = render(error, protocol, "request-1")
    assert rendered.status == error.status
    parsed = parsers.create_parser(PARSERS[protocol]).parse(
        {
            "status_code": rendered.status,
            "headers": {name.lower(): value for name, value in rendered.headers.items()},
            "body": rendered.body,
        },
        StructureShape("Output", {"type": "structure", "members": {}}),
    )
    return parsed["Error"]["Code"], parsed["Error"]["Message"]


@pytest.mark.parametrize("protocol", Protocol)
@pytest.mark.parametrize(
    "message", ["plain", "<script>&amp;</script> \"' ]]>", "no pool named Zoë 😀", "x" * 1500, "x" * 24, ""]
)
def test_botocore_reads_code_and_message(protocol: Protocol, message: str) -> None:
    found = read(ApiError("SomeException", message), protocol)
    assert found[0] == "SomeException"
    assert (found[1] or "") == message


@pytest.mark.parametrize("protocol", Protocol)
@settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(message=st.text(), code=st.text(st.characters(codec="ascii", categories=["L", "N"]), min_size=1, max_size=30))
def test_no_text_of_a_stranger_breaks_a_body(protocol: Protocol, message: str, code: str) -> None:
    assert read(ApiError(code, message), protocol)[0] == code


@pytest.mark.parametrize("protocol", Protocol)
def test_an_absent_operation_is_a_status_that_is_not_retried(protocol: Protocol) -> None:
    error = not_in_the_local_stack("iot TestAuthorization", protocol)
    assert error.status == 501
    assert read(error, protocol)[0].startswith("NotImplemented")


def test_headers_hold_no_line_breaks() -> None:
    rendered = render(ApiError("A\r\nB: c", "x"), Protocol.REST_JSON, "request-1")
    assert rendered.headers["x-amzn-ErrorType"] == "ABc"
