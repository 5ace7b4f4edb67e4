"""A request as SigV4 sees it: what it claims about its signature, and its canonical form."""

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from urllib.parse import quote, unquote_to_bytes

from chatops.local.sigv4_refusals import Refusals, Refused, quoted

ALGORITHM = "AWS4-HMAC-SHA256"
_TERMINATOR = "aws4_request"
_LONGEST_PART = 128
"""Characters of an access key id, IAM's limit; regions and services are shorter. Signing keys are kept by these."""
_TARGET = re.compile(r"/[!-~]*", re.ASCII)
_METHOD = re.compile(r"[A-Z]{1,20}", re.ASCII)
_BAD_ESCAPE = re.compile(r"%(?![0-9A-Fa-f]{2})", re.ASCII)
# Canonical already: unreserved characters as they are, all others as upper-case escapes.
_CANONICAL = re.compile(
    r"(?:[A-Za-z0-9\-._~]+|%(?:[0189A-F][0-9A-F]|2[0-9A-CF]|3[A-F]|40|5[B-E]|60|7[B-DF]))*+", re.ASCII
)
_AMZ_DATE = re.compile(r"[0-9]{8}T[0-9]{6}Z", re.ASCII)
_SIGNATURE = re.compile(r"[0-9a-f]{64}", re.ASCII)
_EXPIRES = re.compile(r"[0-9]{1,9}", re.ASCII)
_QUERY_NAMES = frozenset(
    {
        "X-Amz-Algorithm",
        "X-Amz-Credential",
        "X-Amz-Date",
        "X-Amz-Expires",
        "X-Amz-SignedHeaders",
        "X-Amz-Signature",
        "X-Amz-Security-Token",
    }
)
_SIGN_AGAIN = "sign the request again with AWS Signature Version 4"


@dataclass(frozen=True, slots=True)
class Request:
    """A request cut into what signing needs.

    Attributes:
        path: raw, not decoded.
        headers: values by lower-case name, in the order received.
        parameters: the query's raw names and values, in the order received.
    """

    method: str
    path: str
    headers: Mapping[str, Sequence[str]]
    parameters: Sequence[tuple[str, str]] = field(repr=False)

    @classmethod
    def read(cls, method: str, target: str, headers: Iterable[tuple[str, str]]) -> "Request":
        """Cut a request up.

        Raises:
            Refused: with status 400 when it is not HTTP.
        """
        if not _METHOD.fullmatch(method):
            raise _bad_request(f"The method {quoted(method)} is not one of HTTP.")
        if not _TARGET.fullmatch(target):
            raise _bad_request("The request target is not a path of printable ASCII that starts with a slash.")
        path, _, query = target.partition("?")
        if _BAD_ESCAPE.search(query) or _BAD_ESCAPE.search(path):
            raise _bad_request("The request target has a % that is not followed by two hexadecimal digits.")
        by_name: dict[str, list[str]] = {}
        for name, value in headers:
            by_name.setdefault(name.lower(), []).append(value)
        pairs: list[tuple[str, str]] = []
        if query:
            for pair in query.split("&"):
                name, _, value = pair.partition("=")
                pairs.append((name, value))
        return cls(method, path, by_name, pairs)

    def only(self, name: str, refusals: Refusals) -> str | None:
        """Return the one value of a header; None when it is absent.

        Raises:
            Refused: it is there more than once.
        """
        values = self.headers.get(name)
        if values is None:
            return None
        if len(values) > 1:
            raise refusals.incomplete(f"the header {name} is there {len(values)} times", "send it once")
        return values[0].strip()

    def query(self, without: tuple[str, ...] = ()) -> str:
        """Return the canonical query: encoded byte by byte, sorted by encoded name, then value."""
        encoded = sorted((_encoded(name), _encoded(value)) for name, value in self.parameters if name not in without)
        return "&".join(f"{name}={value}" for name, value in encoded)

    def double_encoded_path(self) -> str:
        """Return the canonical path of all services but S3: dot segments and empty ones gone, encoded again."""
        kept: list[str] = []
        for segment in self.path.split("/"):
            if segment == "..":
                del kept[-1:]
            elif segment not in ("", "."):
                kept.append(segment)
        end = "/" if kept and self.path.endswith("/") else ""
        return quote("/" + "/".join(kept) + end, safe="/~")

    def canonical_headers(self, names: Iterable[str], host: str) -> str:
        """Return the signed headers, one a line: values trimmed, inner space collapsed, several joined by commas."""
        lines = []
        for name in names:
            values = [host] if name == "host" else self.headers[name]
            lines.append(f"{name}:{','.join(' '.join(value.split()) for value in values)}\n")
        return "".join(lines)


def _bad_request(message: str) -> Refused:
    return Refused(400, "BadRequest", message)


def _encoded(raw: str) -> str:
    return raw if _CANONICAL.fullmatch(raw) else quote(unquote_to_bytes(raw), safe="-._~")


@dataclass(frozen=True, slots=True)
class Claim:
    """What a request says about its signature. Nothing of it is verified yet.

    Attributes:
        date: the day of the credential scope, `YYYYMMDD`.
        timestamp: when it was signed, as it stands in the string to sign.
        signed_at: the same in seconds since the epoch.
        expires_s: X-Amz-Expires, if given.
        token: the session token, if given.
    """

    access_key_id: str
    date: str
    region: str
    service: str
    signed_headers: tuple[str, ...]
    signature: str = field(repr=False)
    timestamp: str
    signed_at: float
    expires_s: int | None
    token: str | None = field(repr=False)

    @property
    def scope(self) -> str:
        """The credential scope without the key, as it stands in the string to sign."""
        return f"{self.date}/{self.region}/{self.service}/{_TERMINATOR}"


def header_claim(request: Request) -> Claim:
    """Read the claim of a request that is signed in its headers.

    Raises:
        Refused: nothing is signed, or something is absent, doubled or malformed.
    """
    unknown = Refusals()
    authorization = request.only("authorization", unknown)
    if not authorization:
        raise unknown.missing("the request has no Authorization header", _SIGN_AGAIN)
    algorithm, _, rest = authorization.partition(" ")
    _check_algorithm(algorithm, unknown)
    fields: dict[str, str] = {}
    for item in rest.split(",", 8):
        name, equals, value = item.strip().partition("=")
        if not equals or name in fields or name not in ("Credential", "SignedHeaders", "Signature"):
            raise unknown.incomplete(
                f"the Authorization header has {quoted(name)} where Credential, SignedHeaders and Signature stand once",
                _SIGN_AGAIN,
            )
        fields[name] = value
    refusals = Refusals(_scope(fields.get("Credential", ""), "Authorization", unknown)[3])
    for name in ("Credential", "SignedHeaders", "Signature"):
        if name not in fields:
            raise refusals.incomplete(f"the Authorization header has no {name}", _SIGN_AGAIN)
    return _claim(
        fields["Credential"],
        fields["SignedHeaders"],
        fields["Signature"],
        _header_timestamp(request, refusals),
        expires=None,
        token=request.only("x-amz-security-token", refusals),
        request=request,
        refusals=refusals,
    )


def query_claim(request: Request, refusals: Refusals) -> Claim:
    """Read the claim of a request that is signed in its query.

    Raises:
        Refused: nothing is signed, or something is absent, doubled or malformed.
    """
    values: dict[str, str] = {}
    for raw_name, raw_value in request.parameters:
        name = unquote_to_bytes(raw_name).decode("latin-1") if "%" in raw_name else raw_name
        if name in _QUERY_NAMES:
            if name in values:
                raise refusals.incomplete(f"the query has {name} more than once", "send it once")
            if raw_name != name:
                raise refusals.incomplete(f"the query spells {name} with escapes", _SIGN_AGAIN)
            values[name] = unquote_to_bytes(raw_value).decode("latin-1")
    if not values:
        raise refusals.missing("the request is not signed: its query has no X-Amz-… parameters", _SIGN_AGAIN)
    for name in ("X-Amz-Algorithm", "X-Amz-Credential", "X-Amz-Date", "X-Amz-SignedHeaders", "X-Amz-Signature"):
        if name not in values:
            raise refusals.incomplete(f"the query has no {name}", _SIGN_AGAIN)
    _check_algorithm(values["X-Amz-Algorithm"], refusals)
    return _claim(
        values["X-Amz-Credential"],
        values["X-Amz-SignedHeaders"],
        values["X-Amz-Signature"],
        values["X-Amz-Date"],
        expires=values.get("X-Amz-Expires"),
        token=values.get("X-Amz-Security-Token"),
        request=request,
        refusals=refusals,
    )


def _check_algorithm(algorithm: str, refusals: Refusals) -> None:
    if algorithm != ALGORITHM:
        raise refusals.incomplete(f"the algorithm {quoted(algorithm)} is not supported", f"sign with {ALGORITHM}")


def _scope(credential: str, where: str, refusals: Refusals) -> tuple[str, str, str, str]:
    parts = credential.split("/", 8)
    if len(parts) != 5 or parts[4] != _TERMINATOR or not all(0 < len(part) <= _LONGEST_PART for part in parts):
        raise refusals.incomplete(
            f"the credential of {where} is malformed", "it is <key id>/<YYYYMMDD>/<region>/<service>/aws4_request"
        )
    return parts[0], parts[1], parts[2], parts[3]


def _claim(
    credential: str,
    signed_headers: str,
    signature: str,
    timestamp: str,
    *,
    expires: str | None,
    token: str | None,
    request: Request,
    refusals: Refusals,
) -> Claim:
    access_key_id, date, region, service = _scope(credential, "the request", refusals)
    if not _AMZ_DATE.fullmatch(timestamp) or (signed_at := _seconds(timestamp)) is None:
        raise refusals.incomplete(
            f"the date {quoted(timestamp)} is malformed", "X-Amz-Date looks like 20260131T235959Z, in UTC"
        )
    if not timestamp.startswith(date) or len(date) != 8:
        raise refusals.mismatch(
            f"the date of the credential scope, {quoted(date)}, is not that of the request, {quoted(timestamp)}",
            "sign both with the same date",
        )
    names = tuple(signed_headers.split(";"))
    if "host" not in names:
        raise refusals.mismatch("the Host header is not among SignedHeaders", "sign at least host")
    for name in names:
        if name not in request.headers:
            raise refusals.mismatch(
                f"the signed header {quoted(name)} is missing from the request", "send what was signed"
            )
    if not _SIGNATURE.fullmatch(signature):
        raise refusals.mismatch("the signature is not 64 lower-case hexadecimal digits", _SIGN_AGAIN)
    if expires is not None and not _EXPIRES.fullmatch(expires):
        raise refusals.incomplete(f"X-Amz-Expires is {quoted(expires)}", "it is a number of seconds")
    return Claim(
        access_key_id=access_key_id,
        date=date,
        region=region,
        service=service,
        signed_headers=names,
        signature=signature,
        timestamp=timestamp,
        signed_at=signed_at,
        expires_s=None if expires is None else int(expires),
        token=token,
    )


def _header_timestamp(request: Request, refusals: Refusals) -> str:
    """Return when the request was signed: X-Amz-Date, or else Date in either of its formats."""
    timestamp = request.only("x-amz-date", refusals)
    if timestamp is not None:
        return timestamp
    date = request.only("date", refusals)
    if date is None:
        raise refusals.incomplete("the request has neither X-Amz-Date nor Date", _SIGN_AGAIN)
    if _AMZ_DATE.fullmatch(date):
        return date
    try:
        moment = parsedate_to_datetime(date[:64])
        return moment.astimezone(UTC).strftime("%Y%m%dT%H%M%SZ")
    except (ValueError, TypeError, OverflowError, IndexError):
        raise refusals.incomplete(f"the Date {quoted(date)} is malformed", "send X-Amz-Date") from None


def _seconds(timestamp: str) -> float | None:
    try:
        return datetime.fromisoformat(timestamp).timestamp()
    except (ValueError, OverflowError):
        return None
