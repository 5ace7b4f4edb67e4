"""SigV4 query signatures for the gateway benchmark's guests, without an SDK: hundreds are made at once."""

import datetime as dt
import hashlib
import hmac
import json
from dataclasses import asdict, dataclass
from pathlib import Path
from urllib.parse import quote


@dataclass(frozen=True, slots=True)
class Guest:
    """A guest's temporary credentials."""

    identity: str
    access_key_id: str
    secret_access_key: str
    session_token: str
    region: str

    @staticmethod
    def load(path: str) -> "list[Guest]":
        """Read what `dump` wrote."""
        return [Guest(**fields) for fields in json.loads(Path(path).read_text())]

    @staticmethod
    def dump(path: str, guests: "list[Guest]") -> None:
        """Write guests to a file for the client process."""
        Path(path).write_text(json.dumps([asdict(guest) for guest in guests]))


def signed_path(guest: Guest, host: str) -> str:
    """The path and query that let `guest` in at `host`; the token is appended after signing."""
    now = dt.datetime.now(dt.UTC)
    stamp = now.strftime("%Y%m%dT%H%M%SZ")
    scope = f"{stamp[:8]}/{guest.region}/iotdevicegateway/aws4_request"
    query = "&".join(
        (
            "X-Amz-Algorithm=AWS4-HMAC-SHA256",
            f"X-Amz-Credential={quote(f'{guest.access_key_id}/{scope}', safe='')}",
            f"X-Amz-Date={stamp}",
            "X-Amz-SignedHeaders=host",
        )
    )
    empty = hashlib.sha256(b"").hexdigest()
    request = f"GET\n/mqtt\n{query}\nhost:{host}\n\nhost\n{empty}"
    text = f"AWS4-HMAC-SHA256\n{stamp}\n{scope}\n{hashlib.sha256(request.encode()).hexdigest()}"
    key = f"AWS4{guest.secret_access_key}".encode()
    for part in scope.split("/"):
        key = hmac.digest(key, part.encode(), "sha256")
    signature = hmac.digest(key, text.encode(), "sha256").hex()
    return f"/mqtt?{query}&X-Amz-Signature={signature}&X-Amz-Security-Token={quote(guest.session_token, safe='')}"
