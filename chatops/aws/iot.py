"""AWS IoT Core: the gateway's name, and posting through the HTTPS data plane."""

import json
from collections.abc import Sequence

from chatops.aws.session import Aws
from chatops.errors import AwsError

DATA_ENDPOINT = "iot:Data-ATS"
"""Always named: without a type AWS answers the legacy endpoint, whose certificate browsers reject."""


def account_of(aws: Aws) -> str:
    """The account that the credentials belong to."""
    return str(aws.call("sts", "get_caller_identity")["Account"])


def describe_endpoint(aws: Aws, endpoint_type: str = DATA_ENDPOINT) -> str:
    """The host name of an endpoint of the account's."""
    address = aws.call("iot", "describe_endpoint", endpointType=endpoint_type).get("endpointAddress")
    if not address:
        raise AwsError(f"AWS names no endpoint of the type {endpoint_type}", "check the Region")
    return str(address)


def publish(
    aws: Aws,
    topic: str,
    payload: bytes,
    *,
    user_properties: Sequence[tuple[str, str]] = (),
    expiry_s: int | None = None,
    content_type: str | None = None,
) -> None:
    """Post at QoS 1; returns when AWS has accepted the message."""
    request: dict[str, object] = {"topic": topic, "qos": 1, "payload": payload}
    if user_properties:
        request["userProperties"] = json.dumps([{name: value} for name, value in user_properties])
    if expiry_s is not None:
        request["messageExpiry"] = expiry_s
    if content_type is not None:
        request["contentType"] = content_type
    aws.call("iot-data", "publish", **request)
