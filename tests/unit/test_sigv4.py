"""Requests signed by awscrt and by botocore are let in; anything altered is refused, and the refusal says why."""

import calendar
import hashlib
import re
import time
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from urllib.parse import parse_qsl, quote, urlsplit

import pytest
from awscrt import auth, http
from botocore.auth import S3SigV4QueryAuth, SigV4QueryAuth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials
from hypothesis import given, settings
from hypothesis import strategies as st

from chatops.local.credentials import Credential, CredentialStore, Principal, PrincipalKind
from chatops.local.sigv4 import (
    MAX_EXPIRES_S,
    SKEW_S,
    Refused,
    SigningKeys,
    Verified,
    verify_query,
)

ACCOUNT = "123456789012"
REGION = "us-east-1"
SERVICE = "iotdevicegateway"
NOW = 1_790_000_000.0
EMPTY = hashlib.sha256().hexdigest()
GUEST = Credential(
    "ASIAGUESTGUESTGUEST1",
    "guest/secret+of/forty+characters",
    "token/with+signs==",
    NOW + 3600,
    Principal(PrincipalKind.GUEST, ACCOUNT, REGION, f"{REGION}:1", f"{REGION}:pool", "arn:aws:iam::1:role/guest"),
)
OPERATOR = Credential("AKIAOPERATOR", "operator-secret", None, None, Principal(PrincipalKind.OPERATOR, ACCOUNT))


@pytest.fixture
def credentials() -> CredentialStore:
    store = CredentialStore(clock=lambda: NOW)
    store.add(GUEST)
    store.add(OPERATOR)
    return store


@dataclass(frozen=True, slots=True)
class Signed:
    target: str
    headers: list[tuple[str, str]]


def crt_signed(
    target: str = "/mqtt",
    headers: list[tuple[str, str]] | None = None,
    *,
    credential: Credential = GUEST,
    at: float = NOW,
    region: str = REGION,
    service: str = SERVICE,
    omit_token: bool = True,
    expires_s: int | None = None,
) -> Signed:
    """What awscrt makes of an upgrade request; by default as the AWS IoT SDKs sign it."""
    request = http.HttpRequest("GET", target, http.HttpHeaders(headers or [("Host", "127.0.0.1")]))
    config = auth.AwsSigningConfig(
        algorithm=auth.AwsSigningAlgorithm.V4,
        signature_type=auth.AwsSignatureType.HTTP_REQUEST_QUERY_PARAMS,
        credentials_provider=auth.AwsCredentialsProvider.new_static(
            credential.access_key_id, credential.secret_access_key, credential.session_token
        ),
        region=region,
        service=service,
        date=datetime.fromtimestamp(at, UTC),
        omit_session_token=omit_token,
        expiration_in_seconds=expires_s,
    )
    signed = auth.aws_sign_request(request, config).result(10)
    return Signed(signed.path, list(signed.headers))


def botocore_credentials(credential: Credential) -> Credentials:
    return Credentials(credential.access_key_id, credential.secret_access_key, credential.session_token)


def check(
    signed: Signed,
    credentials: CredentialStore,
    *,
    now: float = NOW,
    method: str = "GET",
    service: str | None = SERVICE,
    ports: tuple[int, ...] = (),
) -> Verified:
    return verify_query(
        method=method,
        target=signed.target,
        headers=signed.headers,
        credentials=credentials,
        now=now,
        service=service,
        ports=ports,
    )


def refusal(signed: Signed, credentials: CredentialStore, **options: object) -> Refused:
    with pytest.raises(Refused) as caught:
        check(signed, credentials, **options)  # type: ignore[arg-type]
    shown = f"{caught.value.message} {caught.value}"
    for credential in (GUEST, OPERATOR):
        assert credential.secret_access_key not in shown
        assert credential.session_token is None or credential.session_token not in shown
    assert not re.search(r"[0-9a-f]{64}", shown)
    return caught.value


def edited(signed: Signed, old: str, new: str) -> Signed:
    assert old in signed.target
    return replace(signed, target=signed.target.replace(old, new, 1))


class TestQueryFromAwscrt:
    def test_bare_handshake(self, credentials: CredentialStore) -> None:
        assert check(crt_signed(), credentials) == Verified(GUEST, SERVICE, REGION)

    def test_handshake_as_the_mqtt_client_makes_it_signs_connection_too(self, credentials: CredentialStore) -> None:
        signed = crt_signed(
            headers=[
                ("Host", "127.0.0.1"),
                ("Upgrade", "websocket"),
                ("Connection", "Upgrade"),
                ("Sec-WebSocket-Key", "AylbCWGd+QMFdcsWPKVJOw=="),
                ("Sec-WebSocket-Version", "13"),
                ("Sec-WebSocket-Protocol", "mqtt"),
            ]
        )
        assert "X-Amz-SignedHeaders=connection%3Bhost" in signed.target
        assert check(signed, credentials).credential is GUEST
        altered = [(name, "keep-alive" if name == "Connection" else value) for name, value in signed.headers]
        assert refusal(replace(signed, headers=altered), credentials).code == "InvalidSignatureException"
        without = [(name, value) for name, value in signed.headers if name != "Connection"]
        assert "'connection' is missing" in refusal(replace(signed, headers=without), credentials).message

    @pytest.mark.parametrize("omit_token", [True, False])
    def test_token_appended_or_signed(self, credentials: CredentialStore, *, omit_token: bool) -> None:
        assert check(crt_signed(omit_token=omit_token), credentials).credential is GUEST

    def test_token_put_last_as_the_developer_guide_does(self, credentials: CredentialStore) -> None:
        signed = crt_signed()
        token = next(part for part in signed.target.split("&") if part.startswith("X-Amz-Security-Token"))
        moved = signed.target.replace(f"&{token}", "") + f"&{token}"
        assert check(replace(signed, target=moved), credentials).credential is GUEST

    def test_operator_without_a_token_in_any_region(self, credentials: CredentialStore) -> None:
        verified = check(crt_signed(credential=OPERATOR, region="eu-west-1"), credentials)
        assert (verified.credential, verified.region) == (OPERATOR, "eu-west-1")

    def test_other_parameters_are_signed_too(self, credentials: CredentialStore) -> None:
        signed = crt_signed("/mqtt?b=2&a=1&x-amz-customauthorizer-name=n%20m&empty=")
        assert check(signed, credentials).credential is GUEST
        assert refusal(edited(signed, "a=1", "a=2"), credentials).code == "InvalidSignatureException"
        again = edited(signed, "a=1", "a=1&a=1")
        assert refusal(again, credentials).code == "InvalidSignatureException"

    @pytest.mark.parametrize("path", ["/", "/a/b/", "/a%20b/%2Fc", "/a/../b/./c", "/~user/-._"])
    def test_paths(self, credentials: CredentialStore, path: str) -> None:
        assert check(crt_signed(path), credentials).credential is GUEST

    def test_expires(self, credentials: CredentialStore) -> None:
        signed = crt_signed(expires_s=60)
        assert check(signed, credentials, now=NOW + 60).credential is GUEST
        refused = refusal(signed, credentials, now=NOW + 61)
        assert refused.code == "RequestExpired"
        assert "made 61 s ago for 60 s" in refused.message


class TestQueryFromBotocore:
    @staticmethod
    def signed(
        credential: Credential = GUEST, host: str = "127.0.0.1:4123", *, scheme: str = "http"
    ) -> tuple[Signed, float]:
        request = AWSRequest("GET", f"{scheme}://{host}/mqtt")
        SigV4QueryAuth(botocore_credentials(credential), SERVICE, REGION, expires=600).add_auth(request)
        parts = urlsplit(request.url)
        date = dict(parse_qsl(parts.query))["X-Amz-Date"]
        at = calendar.timegm(time.strptime(date, "%Y%m%dT%H%M%SZ"))
        return Signed(f"{parts.path}?{parts.query}", [("Host", host)]), float(at)

    def test_token_in_the_signed_query(self, credentials: CredentialStore) -> None:
        store = CredentialStore()
        signed, at = self.signed()
        store.add(replace(GUEST, expires_at=at + 3600))
        assert check(signed, store, now=at).credential.access_key_id == GUEST.access_key_id

    def test_host_signed_with_the_port_but_sent_without(self, credentials: CredentialStore) -> None:
        signed, at = self.signed(OPERATOR)
        portless = replace(signed, headers=[("host", "127.0.0.1")])
        assert refusal(portless, credentials, now=at).code == "InvalidSignatureException"
        assert check(portless, credentials, now=at, ports=(80, 4123)).credential is OPERATOR

    def test_host_signed_without_the_port_but_sent_with_it(self, credentials: CredentialStore) -> None:
        signed, at = self.signed(OPERATOR, "localhost")
        assert check(replace(signed, headers=[("HOST", "localhost:4123")]), credentials, now=at)
        for foreign in ("localhost.example:4123", "127.0.0.1:4123", "localhost:", "localhost:x"):
            refused = refusal(replace(signed, headers=[("Host", foreign)]), credentials, now=at)
            assert refused.code == "InvalidSignatureException"

    @pytest.mark.parametrize("host", ["[::1]:4123", "[::1]"])
    def test_ipv6(self, credentials: CredentialStore, host: str) -> None:
        signed, at = self.signed(OPERATOR, host)
        assert check(signed, credentials, now=at).credential is OPERATOR
        with_port = replace(signed, headers=[("Host", "[::1]:4123")])
        assert check(with_port, credentials, now=at).credential is OPERATOR

    def test_presigned_s3(self, credentials: CredentialStore) -> None:
        request = AWSRequest("GET", "http://127.0.0.1:1/bucket/a%20b//c.txt?versionId=1")
        signer = S3SigV4QueryAuth(botocore_credentials(OPERATOR), "s3", REGION, expires=MAX_EXPIRES_S * 2)
        signer.add_auth(request)
        parts = urlsplit(request.url)
        date = dict(parse_qsl(parts.query))["X-Amz-Date"]
        at = calendar.timegm(time.strptime(date, "%Y%m%dT%H%M%SZ"))
        signed = Signed(f"{parts.path}?{parts.query}", [("Host", "127.0.0.1:1")])
        assert check(signed, credentials, now=at + MAX_EXPIRES_S + 1, service=None).service == "s3"


class TestQueryRefused:
    def test_every_altered_character_of_the_signature(self, credentials: CredentialStore) -> None:
        signed = crt_signed()
        start = signed.target.index("X-Amz-Signature=") + len("X-Amz-Signature=")
        for position in range(start, start + 64):
            other = "0" if signed.target[position] != "0" else "1"
            target = signed.target[:position] + other + signed.target[position + 1 :]
            refused = refusal(Signed(target, signed.headers), credentials)
            assert (refused.status, refused.code) == (403, "InvalidSignatureException")

    @pytest.mark.parametrize("signature", ["", "0", "0" * 63, "0" * 65, "F" * 64, "\u0660" * 64, "0" * 1_000_000])
    def test_what_is_no_signature(self, credentials: CredentialStore, signature: str) -> None:
        target = re.sub(r"(?<=X-Amz-Signature=)[^&]*", quote(signature), crt_signed().target)
        refused = refusal(Signed(target, [("Host", "127.0.0.1")]), credentials)
        assert (refused.status, refused.code) == (403, "InvalidSignatureException")
        assert "64 lower-case" in refused.message

    def test_altered_path_method_and_host(self, credentials: CredentialStore) -> None:
        signed = crt_signed()
        assert "does not match" in refusal(edited(signed, "/mqtt?", "/mqtu?"), credentials).message
        assert "does not match" in refusal(signed, credentials, method="POST").message
        other = replace(signed, headers=[("Host", "example.com")])
        assert "does not match" in refusal(other, credentials).message

    def test_wrong_secret(self, credentials: CredentialStore) -> None:
        signed = crt_signed(credential=replace(GUEST, secret_access_key="another"))
        assert "check the secret access key" in refusal(signed, credentials).message

    def test_unknown_key(self, credentials: CredentialStore) -> None:
        refused = refusal(crt_signed(credential=replace(GUEST, access_key_id="ASIANOBODY")), credentials)
        assert (refused.status, refused.code) == (403, "UnrecognizedClientException")
        assert "ASIANOBODY" in refused.message

    def test_token_missing_foreign_or_unneeded(self, credentials: CredentialStore) -> None:
        signed = crt_signed()
        token = f"&X-Amz-Security-Token={quote('token/with+signs==', safe='')}"
        refused = refusal(edited(signed, token, ""), credentials)
        assert (refused.status, refused.code) == (403, "UnrecognizedClientException")
        assert "token is missing" in refused.message
        foreign = edited(signed, token, "&X-Amz-Security-Token=another")
        assert "not the one of this access key" in refusal(foreign, credentials).message
        unneeded = crt_signed(credential=OPERATOR)
        unneeded = replace(unneeded, target=f"{unneeded.target}&X-Amz-Security-Token=another")
        assert "has none" in refusal(unneeded, credentials).message

    def test_expired_credentials(self, credentials: CredentialStore) -> None:
        signed = crt_signed(at=NOW + 3600)
        refused = refusal(signed, credentials, now=NOW + 3600)
        assert (refused.status, refused.code) == (403, "ExpiredTokenException")

    @pytest.mark.parametrize("offset", [-SKEW_S, 0, SKEW_S])
    def test_tolerated_skew(self, credentials: CredentialStore, offset: int) -> None:
        assert check(crt_signed(at=NOW + offset), credentials).credential is GUEST

    @pytest.mark.parametrize(("offset", "why"), [(-SKEW_S - 1, "made 301 s ago"), (SKEW_S + 1, "301 s in the future")])
    def test_skew(self, credentials: CredentialStore, offset: int, why: str) -> None:
        refused = refusal(crt_signed(at=NOW + offset), credentials)
        assert (refused.status, refused.code) == (403, "RequestExpired")
        assert why in refused.message

    def test_altered_dates(self, credentials: CredentialStore) -> None:
        signed = crt_signed()
        stamp = datetime.fromtimestamp(NOW, UTC).strftime("%Y%m%dT%H%M%SZ")
        later = datetime.fromtimestamp(NOW + 1, UTC).strftime("%Y%m%dT%H%M%SZ")
        assert "does not match" in refusal(edited(signed, stamp, later), credentials).message
        other_day = edited(signed, stamp, "20200101T000000Z")
        assert "date of the credential scope" in refusal(other_day, credentials).message
        for malformed in ("2026", "20261301T000000Z", stamp + "Z", "\u0662\u0660\u0662\u0666" + stamp[4:]):
            refused = refusal(edited(signed, stamp, quote(malformed)), credentials)
            assert "is malformed" in refused.message

    @pytest.mark.parametrize(
        ("region", "service", "why"),
        [("eu-west-1", SERVICE, None), (REGION, "iotdata", "names the service 'iotdata'")],
    )
    def test_scope(self, credentials: CredentialStore, region: str, service: str, why: str | None) -> None:
        signed = crt_signed(region=region, service=service)
        if why is None:
            assert check(signed, credentials).region == region
        else:
            assert why in refusal(signed, credentials).message

    @pytest.mark.parametrize("expires", ["0", str(MAX_EXPIRES_S + 1), "-1", "x", "", "9" * 5000, "1e3", "\u0663"])
    def test_bad_expires(self, credentials: CredentialStore, expires: str) -> None:
        signed = crt_signed(expires_s=60)
        refused = refusal(edited(signed, "X-Amz-Expires=60", f"X-Amz-Expires={quote(expires)}"), credentials)
        assert (refused.status, refused.code) == (403, "IncompleteSignatureException")
        assert "X-Amz-Expires" in refused.message

    @pytest.mark.parametrize(
        "name",
        [
            "X-Amz-Algorithm",
            "X-Amz-Credential",
            "X-Amz-Date",
            "X-Amz-SignedHeaders",
            "X-Amz-Signature",
            "X-Amz-Security-Token",
        ],
    )
    def test_doubled_and_missing_parameters(self, credentials: CredentialStore, name: str) -> None:
        signed = crt_signed()
        part = next(p for p in re.split(r"[?&]", signed.target) if p.startswith(f"{name}="))
        doubled = replace(signed, target=f"{signed.target}&{part}")
        assert f"{name} more than once" in refusal(doubled, credentials).message
        escaped = edited(signed, part, part.replace("X-Amz", "%58-Amz"))
        assert f"{name} with escapes" in refusal(escaped, credentials).message
        missing = replace(signed, target=re.sub(rf"[?&]{re.escape(part)}", "&", signed.target))
        missing = replace(missing, target=missing.target.replace("/mqtt&", "/mqtt?"))
        assert refusal(missing, credentials).status == 403

    @pytest.mark.parametrize("algorithm", ["AWS4-ECDSA-P256-SHA256", "", "aws4-hmac-sha256", "AWS4-HMAC-SHA1"])
    def test_algorithm(self, credentials: CredentialStore, algorithm: str) -> None:
        refused = refusal(edited(crt_signed(), "=AWS4-HMAC-SHA256", f"={algorithm}"), credentials)
        assert refused.code == "IncompleteSignatureException"
        assert "algorithm" in refused.message

    @pytest.mark.parametrize(
        "credential",
        [
            "",
            "A",
            "A/20260101/us-east-1/iot",
            "A/20260101//iot/aws4_request",
            "A/20260101/r/s/aws5",
            "/" * 9,
            f"A/20260101/{'r' * 129}/s/aws4_request",
        ],
    )
    def test_malformed_credential(self, credentials: CredentialStore, credential: str) -> None:
        target = re.sub(
            r"X-Amz-Credential=[^&]*", f"X-Amz-Credential={quote(credential, safe='')}", crt_signed().target
        )
        refused = refusal(Signed(target, [("Host", "127.0.0.1")]), credentials)
        assert refused.code == "IncompleteSignatureException"

    def test_host_must_be_signed_and_sent_once(self, credentials: CredentialStore) -> None:
        signed = crt_signed()
        unsigned = edited(signed, "SignedHeaders=host", "SignedHeaders=connection")
        assert "Host header is not among" in refusal(unsigned, credentials).message
        assert "'host' is missing" in refusal(replace(signed, headers=[]), credentials).message
        twice = replace(signed, headers=signed.headers * 2)
        assert "host is there 2 times" in refusal(twice, credentials).message

    @pytest.mark.parametrize("target", ["/mqtt", "/mqtt?", "/mqtt?a=b", "/"])
    def test_unsigned(self, credentials: CredentialStore, target: str) -> None:
        refused = refusal(Signed(target, [("Host", "h")]), credentials)
        assert (refused.status, refused.code) == (403, "MissingAuthenticationTokenException")

    @pytest.mark.parametrize(
        "target", ["", "mqtt", "http://h/mqtt", "/é", "/a b", "/a\n", "/\x00", "/\ud800", "/?%", "/?%4", "/%zz"]
    )
    def test_not_http(self, credentials: CredentialStore, target: str) -> None:
        refused = refusal(Signed(target, [("Host", "h")]), credentials)
        assert (refused.status, refused.code) == (400, "BadRequest")

    @pytest.mark.parametrize("method", ["", "get", "GET\n", "G" * 1000, "ÉT"])
    def test_not_a_method(self, credentials: CredentialStore, method: str) -> None:
        assert refusal(crt_signed(), credentials, method=method).status == 400

    def test_large_and_odd_headers(self, credentials: CredentialStore) -> None:
        signed = crt_signed()
        odd = [("X", "é\ud800" * 500_000), ("", ""), *((f"h{n}", " ") for n in range(10_000))]
        assert check(replace(signed, headers=[*signed.headers, *odd]), credentials).credential is GUEST
        names = quote(";".join(["host", *(f"h{n}" for n in range(10_000)), "x"]))
        target = signed.target.replace("SignedHeaders=host", f"SignedHeaders={names}")
        refused = refusal(Signed(target, [*signed.headers, *odd]), credentials)
        assert refused.code == "InvalidSignatureException"

    @settings(max_examples=300)
    @given(data=st.data())
    def test_never_anything_but_a_refusal(self, data: st.DataObject) -> None:
        store = CredentialStore(clock=lambda: NOW)
        store.add(GUEST)
        names = st.sampled_from(
            ["X-Amz-Algorithm", "X-Amz-Credential", "X-Amz-Date", "X-Amz-SignedHeaders", "X-Amz-Signature"]
        )
        values = st.one_of(
            st.text(max_size=20),
            st.sampled_from(
                ["AWS4-HMAC-SHA256", "host", f"{GUEST.access_key_id}/20260921/r/{SERVICE}/aws4_request", "a" * 64]
            ),
        )
        pairs = data.draw(st.lists(st.tuples(names, values), max_size=8))
        escaped = data.draw(st.booleans())
        query = "&".join(f"{n}={quote(v, safe='', errors='replace') if escaped else v}" for n, v in pairs)
        headers = data.draw(st.lists(st.tuples(st.sampled_from(["Host", "Date", "x"]), st.text()), max_size=4))
        with pytest.raises(Refused) as caught:
            check(Signed(f"/mqtt?{query}", headers), store)
        assert caught.value.status in {400, 403}


def test_signing_keys_are_derived_as_the_documentation_does() -> None:
    # The example key of the AWS General Reference, "Deriving the signing key".
    keys = SigningKeys(capacity=1)
    key = keys.key("wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY", "20120215", "us-east-1", "iam")
    assert key.hex() == "f4780e2d9f65fa895f9c67b32ce1baf0b0d8a43505a000a1a9e090d414db404d"
    assert keys.key("another", "20120215", "us-east-1", "iam") != key
    assert keys.key("wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY", "20120215", "us-east-1", "iam") == key
