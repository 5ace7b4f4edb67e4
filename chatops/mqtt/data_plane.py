"""Posting through AWS IoT's HTTPS data plane, over one connection that is kept.

boto3 takes half a second of CPU before its first request leaves; this takes what signing and sending take. Signed by
awscrt, as the handshakes are. Keys come from whoever knows them.
"""

import base64
import contextlib
import hashlib
import http.client
import json
import random
import ssl
import time
import urllib.request
from collections.abc import Callable, Mapping, Sequence
from urllib.parse import quote, urlsplit

from awscrt import auth
from awscrt import http as crt_http

from chatops.errors import (
    AwsError,
    ChatopsError,
    ConfigurationError,
    ConnectionFailedError,
    NotAuthorisedError,
    ThrottledError,
)
from chatops.mqtt.signing import Keys

_TIMEOUT_S = 20.0
_ATTEMPTS = 4
_READ_LIMIT = 64 * 1024


class DataPlane:
    """A client of the data plane; close it at the end.

    Args:
        url: `https://` and the gateway's name, or the local stack's address.
        keys: asked for each request, so that they may change.
        variables: the process's environment variables (proxy, AWS_CA_BUNDLE).
    """

    def __init__(self, url: str, region: str, keys: Callable[[], Keys], variables: Mapping[str, str]) -> None:
        parts = urlsplit(url)
        if parts.scheme not in {"http", "https"} or not parts.hostname:
            raise ConfigurationError(f"The data plane's URL {url!r} cannot be used", "mend the environment's endpoints")
        self._url = f"{parts.scheme}://{parts.netloc}"
        self._host, self._netloc = parts.hostname, parts.netloc
        self._port = parts.port or (443 if parts.scheme == "https" else 80)
        self._tls = parts.scheme == "https"
        self._ca_file = variables.get("AWS_CA_BUNDLE") or None
        self._region = region
        self._keys = keys
        self._connection: http.client.HTTPConnection | None = None

    def close(self) -> None:
        """Close the connection."""
        if self._connection is not None:
            self._connection.close()
            self._connection = None

    def publish(
        self,
        topic: str,
        payload: bytes,
        *,
        user_properties: Sequence[tuple[str, str]] = (),
        expiry_s: int | None = None,
    ) -> None:
        """Post at QoS 1; returns when AWS has accepted the message.

        A request whose answer is lost is sent again, so that a message may come twice, with the same id.

        Raises:
            NotAuthorisedError: the keys, or what they may do, do not suffice.
            ThrottledError, AwsError: AWS refuses, after several tries where trying may help.
            ConnectionFailedError: it cannot be reached.
        """
        query = "qos=1" + (f"&messageExpiry={expiry_s}" if expiry_s is not None else "")
        path = f"/topics/{quote(topic, safe='')}?{query}"
        headers = [("content-type", "application/octet-stream")]
        if user_properties:
            pairs = json.dumps([{name: value} for name, value in user_properties])
            headers.append(("x-amz-mqtt5-user-properties", base64.b64encode(pairs.encode()).decode()))
        problem: ChatopsError | None = None
        for attempt in range(_ATTEMPTS):
            if attempt:
                time.sleep(random.uniform(0, 0.1 * 4**attempt))  # noqa: S311  (jitter, not a secret)
            try:
                status, kind, body = self._send(path, headers, payload)
            except (OSError, http.client.HTTPException) as error:
                self.close()
                problem = ConnectionFailedError(
                    f"AWS cannot be reached at {self._url} ({error or type(error).__name__})",
                    "check the network, the Region and the endpoints",
                )
                continue
            if status == 200:
                return
            problem = _refusal(status, kind, body, topic)
            if status < 500 and status != 429:
                break
        if problem is not None:
            raise problem

    def _send(self, path: str, headers: Sequence[tuple[str, str]], payload: bytes) -> tuple[int, str, bytes]:
        request = crt_http.HttpRequest("POST", path, crt_http.HttpHeaders([("host", self._netloc), *headers]))
        signed = self._sign(request, payload)
        connection = self._connection or self._connect()
        self._connection = connection
        connection.request("POST", path, body=payload, headers=dict(signed))
        response = connection.getresponse()
        body = response.read(_READ_LIMIT)
        kind = (response.headers.get("x-amzn-errortype") or "").partition(":")[0]
        if response.will_close or not response.isclosed():
            self.close()
        return response.status, kind, body

    def _sign(self, request: crt_http.HttpRequest, payload: bytes) -> list[tuple[str, str]]:
        keys = self._keys()
        config = auth.AwsSigningConfig(
            algorithm=auth.AwsSigningAlgorithm.V4,
            signature_type=auth.AwsSignatureType.HTTP_REQUEST_HEADERS,
            credentials_provider=auth.AwsCredentialsProvider.new_static(
                keys.access_key_id, keys.secret_access_key, keys.session_token
            ),
            region=self._region,
            service="iotdata",
            signed_body_value=hashlib.sha256(payload).hexdigest(),
        )
        auth.aws_sign_request(request, config).result(_TIMEOUT_S)
        return list(request.headers)

    def _connect(self) -> http.client.HTTPConnection:
        if not self._tls:
            return http.client.HTTPConnection(self._host, self._port, timeout=_TIMEOUT_S)
        context = ssl.create_default_context(cafile=self._ca_file)
        proxy = urllib.request.getproxies().get("https")
        if proxy is None or urllib.request.proxy_bypass(self._host):
            return http.client.HTTPSConnection(self._host, self._port, timeout=_TIMEOUT_S, context=context)
        parts = urlsplit(proxy if "//" in proxy else f"//{proxy}")
        tunnel = http.client.HTTPSConnection(
            parts.hostname or "", parts.port or 8080, timeout=_TIMEOUT_S, context=context
        )
        tunnel.set_tunnel(self._host, self._port)
        return tunnel


def _refusal(status: int, kind: str, body: bytes, topic: str) -> ChatopsError:
    said = body.decode("utf-8", "replace")
    with contextlib.suppress(ValueError, RecursionError):
        document = json.loads(body)
        if isinstance(document, dict):
            said = str(document.get("message") or document.get("Message") or said)
    said = "".join(c if c.isprintable() else " " for c in said).strip()[:300] or f"HTTP {status}"
    if status in {401, 403}:
        if kind in {"ForbiddenException", ""}:
            return NotAuthorisedError(
                f"These AWS credentials may not iot:Publish to {topic}: {said}",
                "grant iot:Publish on the room's topic, or use other credentials (--profile)",
            )
        return NotAuthorisedError(
            f"AWS does not accept these credentials for iot:Publish: {kind}: {said}",
            'check the keys, the profile and the clock; for the local stack, eval "$(chatops local env)" again',
        )
    if status == 429:
        return ThrottledError(f"AWS takes no more posts for now: {said}", "wait a moment, or post with --rate")
    return AwsError(f"AWS refused the message: {kind or status}: {said}", "see the message above")
