"""A signed gateway URL, made with nothing but the standard library: what any other program has to do.

Written from AWS's description of SigV4 for MQTT over WebSocket; shares no code with chatops.
"""

import datetime as dt
import hashlib
import hmac
from urllib.parse import quote


def signed_path(host: str, region: str, access_key: str, secret_key: str, session_token: str) -> str:
    """Path and query of `wss://<host>/mqtt`, signed; the session token is appended after signing."""
    now = dt.datetime.now(dt.UTC)
    date, moment = now.strftime("%Y%m%d"), now.strftime("%Y%m%dT%H%M%SZ")
    scope = f"{date}/{region}/iotdevicegateway/aws4_request"
    query = (
        "X-Amz-Algorithm=AWS4-HMAC-SHA256"
        f"&X-Amz-Credential={quote(f'{access_key}/{scope}', safe='')}"
        f"&X-Amz-Date={moment}&X-Amz-SignedHeaders=host"
    )
    empty = hashlib.sha256(b"").hexdigest()
    request = f"GET\n/mqtt\n{query}\nhost:{host}\n\nhost\n{empty}"
    to_sign = f"AWS4-HMAC-SHA256\n{moment}\n{scope}\n{hashlib.sha256(request.encode()).hexdigest()}"
    key = f"AWS4{secret_key}".encode()
    for part in (date, region, "iotdevicegateway", "aws4_request"):
        key = hmac.digest(key, part.encode(), "sha256")
    signature = hmac.digest(key, to_sign.encode(), "sha256").hex()
    return f"/mqtt?{query}&X-Amz-Signature={signature}&X-Amz-Security-Token={quote(session_token, safe='')}"
