"""Why an upgrade to WebSocket was refused.

awscrt reports a refused handshake as one error code, whatever the status and the body said. A second request, made
by hand with a fresh signature, reads both.
"""

import json
from base64 import b64encode
from secrets import token_bytes

import aiohttp
from awscrt import auth, http
from yarl import URL

from chatops.errors import ChatopsError, ConnectionFailedError, NotAuthorisedError
from chatops.mqtt.endpoint import GatewayAddress
from chatops.mqtt.futures import outcome
from chatops.mqtt.signing import Keys

_TIMEOUT_S = 5.0
_READ_LIMIT = 2_000


async def explain_refusal(address: GatewayAddress, region: str, keys: Keys) -> ChatopsError | None:
    """Ask the gateway once more and turn its refusal into an error; None when it does not refuse.

    Returns:
        NotAuthorisedError for 401 and 403, with the gateway's own words; ConnectionFailedError for any other HTTP
        status or when nothing answers.
    """
    path = await presign(address, region, keys)
    base = address.url.replace("ws", "http", 1)
    url = base[: len(base) - len(address.path)] + path
    headers = {
        "Connection": "Upgrade",
        "Upgrade": "websocket",
        "Sec-WebSocket-Version": "13",
        "Sec-WebSocket-Key": b64encode(token_bytes(16)).decode(),
        "Sec-WebSocket-Protocol": "mqtt",
        "Host": address.host,
    }
    try:
        async with (
            aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=_TIMEOUT_S)) as session,
            session.get(URL(url, encoded=True), headers=headers, allow_redirects=False) as response,
        ):
            status = response.status
            said = (
                (await response.content.read(_READ_LIMIT)).decode("utf-8", "replace").strip() if status != 101 else ""
            )
    except (aiohttp.ClientConnectorError, TimeoutError, OSError):
        return ConnectionFailedError(
            f"The gateway cannot be reached at {address.url}",
            "check the network and the environment's gateway name; for the local stack, `chatops local status`",
        )
    except aiohttp.ClientError:
        return None
    if status in {401, 403}:
        return NotAuthorisedError(
            f"The gateway refused the signature with HTTP {status}: {_message(said)}",
            "check the clock, the region and the credentials; `chatops setup` mends the environment",
        )
    if status == 101:
        return None
    return ConnectionFailedError(
        f"The gateway answered with HTTP {status}: {_message(said)}", "check the environment's gateway name"
    )


async def presign(address: GatewayAddress, region: str, keys: Keys) -> str:
    """Sign `GET /mqtt` for a WebSocket upgrade; returns path and query, the session token appended after signing."""
    request = http.HttpRequest("GET", address.path, http.HttpHeaders([("host", address.host)]))
    config = auth.AwsSigningConfig(
        algorithm=auth.AwsSigningAlgorithm.V4,
        signature_type=auth.AwsSignatureType.HTTP_REQUEST_QUERY_PARAMS,
        credentials_provider=auth.AwsCredentialsProvider.new_static(
            keys.access_key_id, keys.secret_access_key, keys.session_token
        ),
        region=region,
        service="iotdevicegateway",
        omit_session_token=True,
    )
    await outcome(auth.aws_sign_request(request, config))
    return str(request.path)


def _message(said: str) -> str:
    """The words in a JSON body, or the body itself, on one line."""
    try:
        body = json.loads(said)
    except (ValueError, RecursionError):
        body = said
    if isinstance(body, dict):
        body = body.get("message") or body.get("Message") or said
    return " ".join(str(body).split())[:300] or "no reason given"
