"""The HTTPS data plane's client, against servers that fail in every way."""

import threading
from collections.abc import Generator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from chatops.errors import AwsError, ConfigurationError, ConnectionFailedError, NotAuthorisedError, ThrottledError
from chatops.mqtt.data_plane import DataPlane


@dataclass(frozen=True)
class Keys:
    access_key_id: str = "AKIAEXAMPLE"
    secret_access_key: str = "secret"
    session_token: str | None = "token"


@dataclass
class Server:
    """Answers requests with a list of statuses; None closes the connection without a word."""

    answers: list[int | None]
    seen: list[tuple[str, dict[str, str], bytes]] = field(default_factory=list)
    connections: set[tuple[str, int]] = field(default_factory=set)
    url: str = ""


@contextmanager
def serving(*answers: int | None, body: bytes = b'{"message": "no\\u001b[2J"}', kind: str = "") -> Generator[Server]:
    state = Server(list(answers))

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self) -> None:
            data = self.rfile.read(int(self.headers["content-length"]))
            state.seen.append((self.path, dict(self.headers.items()), data))
            state.connections.add(self.client_address)
            answer = state.answers.pop(0)
            if answer is None:
                self.close_connection = True
                return
            self.send_response(answer)
            if kind:
                self.send_header("x-amzn-ErrorType", f"{kind}:http://example")
            self.send_header("content-length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *arguments: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever, args=(0.02,))
    thread.start()
    state.url = f"http://127.0.0.1:{server.server_address[1]}"
    try:
        yield state
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def post(server: Server, times: int = 1) -> None:
    plane = DataPlane(server.url, "us-east-1", Keys, {})
    try:
        for _ in range(times):
            plane.publish("/chat/lobby ü", b"\x00payload", user_properties=[("a", "ü")], expiry_s=60)
    finally:
        plane.close()


def test_a_request_is_signed_and_one_connection_serves_several() -> None:
    with serving(200, 200, 200) as server:
        post(server, 3)
    assert len(server.connections) == 1
    path, headers, data = server.seen[0]
    assert path == "/topics/%2Fchat%2Flobby%20%C3%BC?qos=1&messageExpiry=60"
    assert data == b"\x00payload"
    found = {name.lower(): value for name, value in headers.items()}
    assert found["authorization"].startswith("AWS4-HMAC-SHA256 Credential=AKIAEXAMPLE/")
    assert "/us-east-1/iotdata/aws4_request" in found["authorization"]
    assert found["x-amz-security-token"] == "token"
    assert found["host"] == server.url.removeprefix("http://")


@pytest.mark.parametrize("first", [None, 500, 503, 429])
def test_what_may_pass_is_tried_again(first: int | None) -> None:
    with serving(first, 200) as server:
        post(server)
    assert len(server.seen) == 2


@pytest.mark.parametrize(
    ("status", "kind", "expected"),
    [
        (403, "ForbiddenException", NotAuthorisedError),
        (403, "InvalidSignatureException", NotAuthorisedError),
        (413, "RequestEntityTooLargeException", AwsError),
        (400, "", AwsError),
    ],
)
def test_a_refusal_is_told_at_once(status: int, kind: str, expected: type[Exception]) -> None:
    with serving(status, kind=kind) as server, pytest.raises(expected) as refused:
        post(server)
    assert len(server.seen) == 1
    assert "\x1b" not in str(refused.value)


@pytest.mark.parametrize(
    ("status", "expected"), [(429, ThrottledError), (500, AwsError), (None, ConnectionFailedError)]
)
def test_what_does_not_pass_ends_in_an_error(
    status: int | None, expected: type[Exception], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("chatops.mqtt.data_plane.time.sleep", lambda _seconds: None)
    with serving(*[status] * 4) as server, pytest.raises(expected):
        post(server)
    assert len(server.seen) == 4


def test_answers_without_sense_do_no_harm(monkeypatch: pytest.MonkeyPatch) -> None:
    for body in (b"", b"[" * 5000, b"\xff\x00", b'"x"', b'{"message": {"a": 1}}'):
        with serving(400, body=body) as server, pytest.raises(AwsError):
            post(server)


def test_an_url_that_cannot_be_used() -> None:
    for url in ("ftp://x", "x", "https://"):
        with pytest.raises(ConfigurationError):
            DataPlane(url, "us-east-1", Keys, {})
