"""What an operator's key must not reach through moto: the network, and moto's own inner interface."""

import socket

import boto3
import pytest
from botocore.auth import SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials
from botocore.httpsession import URLLib3Session

from tests.local.harness import RunningStack


def signed(stack: RunningStack, service: str, method: str, path: str, body: str = "") -> int:
    keys = stack.keys()
    request = AWSRequest(method, stack.aws_url + path, data=body)
    if body:
        request.headers["Content-Type"] = "application/x-www-form-urlencoded"
    SigV4Auth(Credentials(keys.access_key_id, keys.secret_access_key), service, "us-east-1").add_auth(request)
    status = URLLib3Session().send(request.prepare()).status_code
    assert isinstance(status, int)
    return status


@pytest.mark.parametrize("service", ["sns", "sns.x", "lambda.x", "motoapi", "motoapi.amazonaws.com", "events.x"])
def test_services_that_reach_out_are_not_there_under_any_name(stack: RunningStack, service: str) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        listener.settimeout(0.2)
        port = listener.getsockname()[1]
        topic = "arn:aws:sns:us-east-1:123456789012:t"
        for body in (
            "Action=CreateTopic&Name=t&Version=2010-03-31",
            f"Action=Subscribe&TopicArn={topic}&Protocol=http&Endpoint=http%3A%2F%2F127.0.0.1%3A{port}%2F",
            f"Action=Publish&TopicArn={topic}&Message=x&Version=2010-03-31",
        ):
            assert signed(stack, service, "POST", "/", body) >= 400
        with pytest.raises(TimeoutError):
            listener.accept()


@pytest.mark.parametrize("service", ["motoapi", "motoapi.amazonaws.com", "moto_api", "iam", "s3"])
def test_motos_own_interface_cannot_be_reached(stack: RunningStack, service: str) -> None:
    iam = boto3.client(
        "iam",
        endpoint_url=stack.aws_url,
        region_name="us-east-1",
        aws_access_key_id=stack.keys().access_key_id,
        aws_secret_access_key=stack.keys().secret_access_key,
    )
    name = f"stays-{service.replace('.', '-')}"
    iam.create_role(RoleName=name, AssumeRolePolicyDocument='{"Version": "2012-10-17", "Statement": []}')
    signed(stack, service, "POST", "/moto-api/reset")
    assert iam.get_role(RoleName=name)["Role"]["RoleName"] == name
    iam.close()


def test_a_header_that_steers_the_operation_must_be_signed(stack: RunningStack) -> None:
    keys = stack.keys()
    request = AWSRequest("POST", stack.aws_url + "/", data="{}", headers={"Content-Type": "application/x-amz-json-1.1"})
    credentials = Credentials(keys.access_key_id, keys.secret_access_key)
    SigV4Auth(credentials, "cognito-identity", "us-east-1").add_auth(request)
    request.headers["X-Amz-Target"] = "AWSCognitoIdentityService.ListIdentityPools"
    answer = URLLib3Session().send(request.prepare())
    assert answer.status_code in {400, 403}
    assert b"signed" in answer.content
