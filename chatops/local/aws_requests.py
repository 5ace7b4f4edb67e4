"""What an incoming request is: which service, region, operation and protocol, told from its outside.

The service is the one in the SigV4 credential scope. Requests without a signature are told by `X-Amz-Target`, form
body or path, which only decides in which protocol they are refused: nothing but Cognito's public operations is
answered unsigned.
"""

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from urllib.parse import parse_qsl, unquote_to_bytes

from chatops.local.aws_errors import ApiError, Protocol
from chatops.local.cognito import TARGET_PREFIX as COGNITO_TARGET

_CREDENTIAL = re.compile(r"Credential=[^/,\s]{1,128}/\d{8}/([\w-]{1,64})/([\w.-]{1,64})/aws4_request")
_ACTION = re.compile(r"[A-Za-z][A-Za-z0-9]{0,127}")
_CBOR_PATH = re.compile(r"/service/[\w.]{1,128}/operation/([A-Za-z0-9]{1,128})")
_IOT_DATA_PATHS = ("/topics/", "/connections/", "/retainedMessage", "/things/", "/api/things/")

IOT_DATA = "iotdata"
_ALIASES = {"iotdevicegateway": IOT_DATA, "data.iot": IOT_DATA}
_ACTION_PREFIXES = {"monitoring": "cloudwatch", IOT_DATA: "iot", "data-ats.iot": "iot"}
_REST_XML = frozenset({"cloudfront", "route53", "s3-outposts"})


@dataclass(frozen=True, slots=True)
class Request:
    """An HTTP request, whole.

    Attributes:
        target: raw path and query as received.
        headers: as received, in order.
        fields: the same with lower-case names; the last one counts.
    """

    method: str
    target: str
    headers: Sequence[tuple[str, str]]
    fields: Mapping[str, str]
    body: bytes

    @property
    def path(self) -> str:
        """The raw path, not decoded."""
        return self.target.partition("?")[0]

    @property
    def query(self) -> str:
        """The raw query."""
        return self.target.partition("?")[2]

    def parameters(self) -> dict[str, str]:
        """Decode the query; of a name that comes twice the last value counts.

        Raises:
            ApiError: it is not UTF-8 or has too many parameters.
        """
        try:
            return dict(
                parse_qsl(self.query, keep_blank_values=True, encoding="utf-8", errors="strict", max_num_fields=100)
            )
        except ValueError:
            raise ApiError("InvalidRequestException", "The query string cannot be decoded") from None


@dataclass(frozen=True, slots=True)
class Call:
    """What a request wants.

    Attributes:
        service: the signing name, such as `cognito-identity`, `iotdata`, `monitoring`; empty if it cannot be told.
        operation: its name where the protocol tells it without the service model, else None.
        signed: `header`, `query` or empty.
    """

    service: str
    region: str
    protocol: Protocol
    operation: str | None
    signed: str

    @property
    def action_prefix(self) -> str:
        """The service's prefix in IAM actions."""
        return _ACTION_PREFIXES.get(self.service, self.service)


def service_named(signing_name: str) -> str:
    """Fold the names that a service signs with into one."""
    name = signing_name.lower()
    return _ALIASES.get(name, name)


def scope_of(target: str, fields: Mapping[str, str]) -> tuple[str, str, str]:
    """Tell service, region and the place of the signature (`header`, `query`, empty) without reading the body."""
    where, written = "header", fields.get("authorization", "")
    if not written:
        where, written = "query", _credential_in_query(target)
    if not written:
        return "", "", ""
    found = _CREDENTIAL.search(written)
    if found is None:
        return "", "", where
    return service_named(found[2]), found[1], where


def _credential_in_query(target: str) -> str:
    if "X-Amz-Credential=" not in target:
        return ""
    for piece in target.partition("?")[2].split("&"):
        if piece.startswith("X-Amz-Credential="):
            return unquote_to_bytes(piece[len("X-Amz-") :]).decode("utf-8", "replace")
    return ""


def classify(request: Request) -> Call:
    """Tell what `request` wants, without judging it."""
    service, region, signed = scope_of(request.target, request.fields)
    target = request.fields.get("x-amz-target", "")
    content_type = request.fields.get("content-type", "")
    if service == "s3":
        return Call(service, region, Protocol.S3, None, signed)
    if request.fields.get("smithy-protocol") == "rpc-v2-cbor":
        found = _CBOR_PATH.fullmatch(request.path)
        return Call(service, region, Protocol.CBOR, found[1] if found else None, signed)
    if target:
        prefix, _, operation = target.rpartition(".")
        if not service and prefix == COGNITO_TARGET:
            service = "cognito-identity"
        return Call(service, region, Protocol.JSON, operation[:128], signed)
    if service in _REST_XML:
        return Call(service, region, Protocol.REST_XML, None, signed)
    if content_type.startswith("application/x-www-form-urlencoded") or (
        service in {"iam", "sts"} and "Action=" in request.query
    ):
        protocol = Protocol.EC2 if service == "ec2" else Protocol.QUERY
        return Call(service, region, protocol, _form_action(request), signed)
    if service or request.path.startswith(_IOT_DATA_PATHS):
        return Call(service, region, Protocol.REST_JSON, None, signed)
    return Call(service, region, Protocol.S3, None, signed)


def _form_action(request: Request) -> str | None:
    """Find `Action` in a form body or query. The first one counts."""
    for text in (request.body[:65536].decode("utf-8", "replace"), request.query):
        for piece in text.split("&", 1000)[:1000]:
            if piece.startswith("Action="):
                action = unquote_to_bytes(piece[len("Action=") :]).decode("utf-8", "replace")
                return action if _ACTION.fullmatch(action) else None
    return None


def hostname_of(host: str) -> str:
    """Take the port off a Host header and fold it to lower case."""
    name = host.strip().lower()
    if name.startswith("["):
        inside, _, port = name.partition("]")
        return f"{inside}]" if not port or port.startswith(":") else name
    return name.partition(":")[0].rstrip(".")


def is_our_host(host: str) -> bool:
    """Say whether a Host header is one that stock tools send to a local stack.

    Loopback and AWS's own names only: a page of a stranger whose name was rebound to 127.0.0.1 sends that name. Names
    under `localhost` (virtual-hosted buckets) never leave the machine (RFC 6761).
    """
    name = hostname_of(host)
    if name == "localhost" or name.endswith((".localhost", ".amazonaws.com", ".amazonaws.com.cn")):
        return True
    if name == "[::1]":
        return True
    parts = name.split(".")
    return (
        len(parts) == 4
        and parts[0] == "127"
        and all(part.isascii() and part.isdecimal() and len(part) <= 3 for part in parts)
    )


def header_fields(headers: Iterable[tuple[str, str]]) -> Mapping[str, str]:
    """Fold header names to lower case; of one that comes twice the last value counts."""
    return {name.lower(): value for name, value in headers}
