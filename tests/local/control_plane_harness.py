"""A control plane on its own thread and port 0, and stock clients for it."""

import asyncio
import json
import socket
import threading
import urllib.error
import urllib.request
from collections.abc import Callable, Generator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, TypeVar

import boto3
import botocore.session
import uvloop
from botocore import UNSIGNED
from botocore.config import Config
from botocore.exceptions import ClientError

from chatops.chat.policy import guest_policy, trust_policy
from chatops.local.authorizer import SigV4Authorizer
from chatops.local.broker import Broker
from chatops.local.control_plane import ControlPlane
from chatops.local.credentials import Credential, CredentialStore, Principal, PrincipalKind
from chatops.local.limits import Limits
from chatops.local.roles import RoleCatalogue

ACCOUNT = "123456789012"
REGION = "us-east-1"
GATEWAY = "127.0.0.1:41234"
OPERATOR = Credential("AKIAOPERATOR00000000", "operator-secret", None, None, Principal(PrincipalKind.OPERATOR, ACCOUNT))

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Keys:
    access_key_id: str
    secret: str
    token: str | None = None


@dataclass(slots=True)
class Chat:
    """A chat set up through the control plane: its pool, its role, one guest."""

    pool_id: str
    role_arn: str
    identity_id: str
    guest: Keys


@dataclass(slots=True)
class RunningControlPlane:
    plane: ControlPlane
    broker: Broker
    roles: RoleCatalogue
    credentials: CredentialStore
    authorizer: SigV4Authorizer
    loop: asyncio.AbstractEventLoop
    requests: list[None] = field(default_factory=list)
    _clients: dict[Any, Any] = field(default_factory=dict)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.plane.port}"

    def on_loop(self, function: Callable[[], T]) -> T:
        async def call() -> T:
            return function()

        return asyncio.run_coroutine_threadsafe(call(), self.loop).result(10)

    def client(self, service: str, keys: Keys | None = None, region: str = REGION, **config: Any) -> Any:
        """A stock boto3 client with explicit endpoint, region and keys."""
        used = keys or Keys(OPERATOR.access_key_id, OPERATOR.secret_access_key)
        known = (service, used, region, repr(config))
        if known not in self._clients:
            self._clients[known] = boto3.client(
                service,
                endpoint_url=self.url,
                region_name=region,
                aws_access_key_id=used.access_key_id,
                aws_secret_access_key=used.secret,
                aws_session_token=used.token,
                config=Config(**config),
            )
        return self._clients[known]

    def anonymous(self, service: str = "cognito-identity") -> Any:
        return self.client(service, signature_version=UNSIGNED)

    def received(self, call: Callable[[], Any]) -> int:
        """Count the requests that `call` causes; it must fail with a ClientError."""
        before = len(self.requests)
        try:
            call()
        except ClientError:
            return len(self.requests) - before
        raise AssertionError("the call was answered")

    def set_up_chat(self, name: str) -> Chat:
        cognito = self.client("cognito-identity")
        iam = self.client("iam")
        pool_id = cognito.create_identity_pool(IdentityPoolName=name, AllowUnauthenticatedIdentities=True)[
            "IdentityPoolId"
        ]
        role = iam.create_role(RoleName=name, AssumeRolePolicyDocument=json.dumps(trust_policy(pool_id)))
        policy = guest_policy(region=REGION, account=ACCOUNT, prefix="/chat/")
        iam.put_role_policy(RoleName=name, PolicyName="guest", PolicyDocument=json.dumps(policy))
        arn = role["Role"]["Arn"]
        cognito.set_identity_pool_roles(IdentityPoolId=pool_id, Roles={"unauthenticated": arn})
        identity_id = self.anonymous().get_id(IdentityPoolId=pool_id)["IdentityId"]
        return Chat(pool_id, arn, identity_id, self.guest_keys(identity_id))

    def guest_keys(self, identity_id: str) -> Keys:
        vended = self.anonymous().get_credentials_for_identity(IdentityId=identity_id)["Credentials"]
        return Keys(vended["AccessKeyId"], vended["SecretKey"], vended["SessionToken"])

    def http(
        self, method: str, path: str, *, headers: dict[str, str] | None = None, body: bytes | None = None
    ) -> tuple[int, dict[str, str], bytes]:
        """One plain HTTP request; returns status, headers with lower-case names, body."""
        request = urllib.request.Request(self.url + path, data=body, headers=headers or {}, method=method)  # noqa: S310
        opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
        try:
            with opener.open(request, timeout=30) as response:
                return response.status, {k.lower(): v for k, v in response.headers.items()}, response.read()
        except urllib.error.HTTPError as error:
            with error:
                return error.code, {k.lower(): v for k, v in error.headers.items()}, error.read()

    def raw(self, data: bytes) -> bytes:
        """Send bytes as they are, read until the server closes the connection."""
        with socket.create_connection(("127.0.0.1", self.plane.port), timeout=10) as connection:
            connection.sendall(data)
            received = b""
            while chunk := connection.recv(65536):
                received += chunk
            return received


def error_of(call: Callable[[], Any]) -> tuple[str, int, str]:
    """Code, HTTP status and message of the ClientError that `call` must raise."""
    try:
        call()
    except ClientError as error:
        metadata = error.response["ResponseMetadata"]
        found = error.response["Error"]
        return found["Code"], metadata["HTTPStatusCode"], found["Message"]
    raise AssertionError("the call was answered")


def operations_of(service: str) -> list[str]:
    return list(botocore.session.get_session().get_service_model(service).operation_names)


@contextmanager
def running_control_plane(limits: Limits | None = None) -> Generator[RunningControlPlane]:
    used = Limits.aws_protocol() if limits is None else limits
    loop = uvloop.new_event_loop()
    thread = threading.Thread(target=loop.run_forever)
    thread.start()
    requests: list[None] = []

    async def start() -> RunningControlPlane:
        credentials = CredentialStore()
        roles = RoleCatalogue()
        authorizer = SigV4Authorizer(credentials, roles)
        broker = Broker(authorizer, used)
        plane = ControlPlane(
            broker=broker,
            credentials=credentials,
            roles=roles,
            limits=used,
            account=ACCOUNT,
            region=REGION,
            gateway_address=lambda: GATEWAY,
            operator=OPERATOR,
            authorizer=authorizer,
            instance_id="instance-1",
            on_activity=lambda: requests.append(None),
        )
        await plane.start()
        return RunningControlPlane(plane, broker, roles, credentials, authorizer, loop, requests)

    running = asyncio.run_coroutine_threadsafe(start(), loop).result(30)
    try:
        yield running
    finally:
        for client in running._clients.values():
            client.close()
        asyncio.run_coroutine_threadsafe(running.plane.stop(), loop).result(30)
        loop.call_soon_threadsafe(loop.stop)
        thread.join()
        loop.close()
