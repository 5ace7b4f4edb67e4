"""AWS errors, and how each of AWS's wire protocols spells them.

A refusal is one exception; the protocol decides the form. What the local stack does not have answers with HTTP 501,
because neither botocore nor the other SDKs retry that status, while they retry 500, 502, 503 and 504.
"""

import json
from dataclasses import dataclass
from enum import Enum
from html import escape

NOT_IMPLEMENTED = 501
_LONGEST_MESSAGE = 2000


class Protocol(Enum):
    """How a service puts requests and errors on the wire."""

    JSON = "json"
    REST_JSON = "rest-json"
    QUERY = "query"
    EC2 = "ec2"
    REST_XML = "rest-xml"
    S3 = "s3"
    CBOR = "smithy-rpc-v2-cbor"

    @property
    def is_json(self) -> bool:
        """Whether codes carry the suffix `Exception`, as the JSON family's do."""
        return self in {Protocol.JSON, Protocol.REST_JSON, Protocol.CBOR}


class ApiError(Exception):
    """A request refused the way AWS refuses it.

    Args:
        code: AWS's error code, such as `ResourceNotFoundException`.
        message: for the caller; must hold no secret.
        status: the HTTP status.
    """

    def __init__(self, code: str, message: str, status: int = 400) -> None:
        super().__init__(f"{code}: {message}")
        self.code = code
        self.message = message
        self.status = status


def not_in_the_local_stack(what: str, protocol: Protocol) -> ApiError:
    """Say that an operation exists in AWS (perhaps) but not here."""
    code = "NotImplementedException" if protocol.is_json else "NotImplemented"
    return ApiError(code, f"{what} is not part of the local stack", NOT_IMPLEMENTED)


@dataclass(frozen=True, slots=True)
class ErrorBody:
    """An error as it goes over the wire."""

    status: int
    headers: dict[str, str]
    body: bytes


def render(error: ApiError, protocol: Protocol, request_id: str) -> ErrorBody:
    """Spell `error` in `protocol`."""
    code = _printable(error.code)[:128]
    message = _printable(error.message)[:_LONGEST_MESSAGE]
    match protocol:
        case Protocol.JSON:
            body = json.dumps({"__type": code, "message": message}).encode()
            headers = {"Content-Type": "application/x-amz-json-1.1"}
        case Protocol.REST_JSON:
            body = json.dumps({"message": message}).encode()
            headers = {"Content-Type": "application/json", "x-amzn-ErrorType": _token(code)}
        case Protocol.CBOR:
            body = b"\xa2" + b"".join(map(_cbor_text, ("__type", code, "message", message)))
            headers = {
                "Content-Type": "application/cbor",
                "smithy-protocol": "rpc-v2-cbor",
                "x-amzn-query-error": f"{_token(code)};Sender",
            }
        case Protocol.QUERY | Protocol.REST_XML:
            body = (
                f"<ErrorResponse><Error><Type>Sender</Type><Code>{escape(code)}</Code>"
                f"<Message>{escape(message)}</Message></Error><RequestId>{request_id}</RequestId></ErrorResponse>"
            ).encode()
            headers = {"Content-Type": "text/xml"}
        case Protocol.EC2:
            body = (
                f"<Response><Errors><Error><Code>{escape(code)}</Code><Message>{escape(message)}</Message></Error>"
                f"</Errors><RequestID>{request_id}</RequestID></Response>"
            ).encode()
            headers = {"Content-Type": "text/xml"}
        case Protocol.S3:
            body = (
                f'<?xml version="1.0" encoding="UTF-8"?>\n<Error><Code>{escape(code)}</Code>'
                f"<Message>{escape(message)}</Message><RequestId>{request_id}</RequestId></Error>"
            ).encode()
            headers = {"Content-Type": "application/xml"}
    return ErrorBody(error.status, headers, body)


def _printable(text: str) -> str:
    """Drop what XML 1.0 and headers cannot carry; strangers' text ends up in messages."""
    return "".join(character if character.isprintable() else "\ufffd" for character in text)


def _token(text: str) -> str:
    return "".join(
        character for character in text if character.isascii() and (character.isalnum() or character in "._-")
    )


def _cbor_text(text: str) -> bytes:
    data = text.encode()
    if len(data) < 24:
        return bytes([0x60 | len(data)]) + data
    return b"\x79" + len(data).to_bytes(2, "big") + data
