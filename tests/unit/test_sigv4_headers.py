"""API requests signed in their headers, by botocore and awscrt, for services of every family."""

import calendar
import hashlib
import time
from datetime import UTC, datetime
from urllib.parse import urlsplit

import pytest
from awscrt import auth, http
from botocore.auth import S3SigV4Auth, SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials
from hypothesis import given
from hypothesis import strategies as st

from chatops.local.credentials import Credential, CredentialStore, Principal, PrincipalKind
from chatops.local.sigv4 import Refused, SigningKeys, Verified, verify_headers

PRINCIPAL = Principal(PrincipalKind.OPERATOR, "123456789012")
OPERATOR = Credential("AKIAOPERATOR", "operator-secret", None, None, PRINCIPAL)
SESSION = Credential("ASIASESSION", "session-secret", "session+token/=", None, PRINCIPAL)
Headers = list[tuple[str, str]]


@pytest.fixture
def credentials() -> CredentialStore:
    store = CredentialStore()
    store.add(OPERATOR)
    store.add(SESSION)
    return store


def signed(
    method: str = "POST",
    url: str = "http://127.0.0.1:4567/",
    *,
    body: bytes = b"",
    headers: dict[str, str] | None = None,
    service: str = "iam",
    credential: Credential = OPERATOR,
) -> tuple[str, Headers]:
    """Sign as boto3 does; returns the raw target and the headers on the wire."""
    request = AWSRequest(method, url, headers=headers or {}, data=body)
    kind = S3SigV4Auth if service == "s3" else SigV4Auth
    keys = Credentials(credential.access_key_id, credential.secret_access_key, credential.session_token)
    kind(keys, service, "us-east-1").add_auth(request)
    parts = urlsplit(url)
    wire = [("Host", parts.netloc), ("User-Agent", "x"), *((k, str(v)) for k, v in request.headers.items())]
    return parts.path + (f"?{parts.query}" if parts.query else ""), wire


def signing_time(headers: Headers) -> float:
    date = next(value for name, value in headers if name == "X-Amz-Date")
    return float(calendar.timegm(time.strptime(date, "%Y%m%dT%H%M%SZ")))


def check(
    credentials: CredentialStore,
    target: str,
    headers: Headers,
    *,
    method: str = "POST",
    body: bytes = b"",
    now: float | None = None,
) -> Verified:
    return verify_headers(
        method=method,
        target=target,
        headers=headers,
        body_sha256=hashlib.sha256(body).hexdigest(),
        credentials=credentials,
        now=signing_time(headers) if now is None else now,
        keys=SigningKeys(),
    )


def refusal(credentials: CredentialStore, target: str, headers: Headers, **options: object) -> Refused:
    with pytest.raises(Refused) as caught:
        check(credentials, target, headers, **options)  # type: ignore[arg-type]
    assert "operator-secret" not in caught.value.message
    assert "session" not in caught.value.message.replace("session token", "")
    return caught.value


def with_header(headers: Headers, name: str, value: str | None) -> Headers:
    kept = [(n, v) for n, v in headers if n.lower() != name.lower()]
    return kept if value is None else [*kept, (name, value)]


@pytest.mark.parametrize("credential", [OPERATOR, SESSION])
@pytest.mark.parametrize("service", ["iam", "iotdata", "iot", "cognito-identity", "s3", "sts", "servicequotas"])
def test_each_family(credentials: CredentialStore, service: str, credential: Credential) -> None:
    body = b"Action=GetRole&Version=2010-05-08"
    target, headers = signed(
        body=body,
        service=service,
        credential=credential,
        headers={"Content-Type": "application/x-www-form-urlencoded; charset=utf-8", "X-Amz-Target": "A.B"},
    )
    assert check(credentials, target, headers, body=body) == Verified(credential, service, "us-east-1")
    assert check(credentials, target, list(reversed(headers)), body=body).credential is credential


@pytest.mark.parametrize(
    "url",
    [
        "http://127.0.0.1:4567/topics/%2Fchat%2Flobby?qos=1&retain=false",
        "http://127.0.0.1:4567/topics/%2Fchat%2F%C3%A9%20%2B?qos=0",
        "http://127.0.0.1/a/../b/./c//d/",
        "http://localhost:80/",
        "http://[::1]:4567/x~y/-._",
        "http://127.0.0.1:4567/?b=%C3%A9&a=2&a=1&a&c=%2B%2F",
        "http://127.0.0.1:4567/..",
    ],
)
def test_paths_and_queries(credentials: CredentialStore, url: str) -> None:
    target, headers = signed("GET", url, service="iotdata")
    assert check(credentials, target, headers, method="GET").service == "iotdata"


@pytest.mark.parametrize("path", ["/bucket/a%20b//c/../d", "/bucket/%C3%A9+%2B", "/bucket/a=b;c@d"])
def test_s3_paths_are_raw(credentials: CredentialStore, path: str) -> None:
    target, headers = signed("PUT", f"http://127.0.0.1:1{path}?partNumber=1", service="s3", body=b"x")
    assert check(credentials, target, headers, method="PUT", body=b"x").service == "s3"


def test_host_on_the_wire_may_have_a_port_that_was_not_signed(credentials: CredentialStore) -> None:
    target, headers = signed(url="http://localhost/")
    assert check(credentials, target, with_header(headers, "Host", "localhost:4567")).credential is OPERATOR
    assert refusal(credentials, target, with_header(headers, "Host", "evil:4567")).code == "SignatureDoesNotMatch"


def test_header_values_are_trimmed_and_collapsed(credentials: CredentialStore) -> None:
    target, headers = signed(headers={"X-Amz-Meta": "  a   b\t c ", "X-Note": "é"})
    assert check(credentials, target, headers).credential is OPERATOR
    assert check(credentials, target, with_header(headers, "x-amz-meta", "a b c")).credential is OPERATOR
    assert refusal(credentials, target, with_header(headers, "x-amz-meta", "a bc")).status == 403


def test_a_repeated_header_is_joined_by_commas(credentials: CredentialStore) -> None:
    target, headers = signed(headers={"X-List": "one,two"})
    repeated = [*with_header(headers, "X-List", None), ("x-list", " one "), ("X-LIST", "two")]
    assert check(credentials, target, repeated).credential is OPERATOR
    assert refusal(credentials, target, [*repeated, ("x-list", "three")]).status == 403


def test_date_instead_of_amz_date(credentials: CredentialStore) -> None:
    target, headers = signed(headers={"Date": "x"})
    assert not [name for name, _ in headers if name == "X-Amz-Date"]
    date = next(value for name, value in headers if name == "Date")
    now = float(calendar.timegm(time.strptime(date[:25], "%a, %d %b %Y %H:%M:%S")))
    assert check(credentials, target, headers, now=now).credential is OPERATOR
    assert refusal(credentials, target, headers, now=now + 301).code == "RequestExpired"
    for malformed in ("", "yesterday", "Mon, 99 Foo 2020", "9" * 100_000):
        refused = refusal(credentials, target, with_header(headers, "Date", malformed), now=now)
        assert (refused.status, refused.code) == (400, "IncompleteSignature")
    iso = time.strftime("%Y%m%dT%H%M%SZ", time.gmtime(now))
    refused = refusal(credentials, target, with_header(headers, "Date", iso), now=now)
    assert "does not match" in refused.message
    assert "neither" in refusal(credentials, target, with_header(headers, "Date", None), now=now).message


class TestPayload:
    def test_body_that_was_altered(self, credentials: CredentialStore) -> None:
        target, headers = signed(body=b"one")
        assert refusal(credentials, target, headers, body=b"two").code == "SignatureDoesNotMatch"

    def test_declared_hash_must_be_the_bodys(self, credentials: CredentialStore) -> None:
        target, headers = signed("PUT", service="s3", body=b"one")
        refused = refusal(credentials, target, headers, method="PUT", body=b"two")
        assert (refused.status, refused.code) == (400, "XAmzContentSHA256Mismatch")
        declared = hashlib.sha256(b"one").hexdigest()
        target, headers = signed(body=b"one", headers={"X-Amz-Content-SHA256": declared})
        assert check(credentials, target, headers, body=b"one").credential is OPERATOR
        assert "not the hash" in refusal(credentials, target, headers, body=b"two").message

    @pytest.mark.parametrize(
        "payload", ["UNSIGNED-PAYLOAD", "STREAMING-UNSIGNED-PAYLOAD-TRAILER", "STREAMING-AWS4-HMAC-SHA256-PAYLOAD"]
    )
    def test_unsigned_and_streaming_only_for_s3(self, credentials: CredentialStore, payload: str) -> None:
        for service in ("s3", "iotdata"):
            target, headers = crt_signed(payload, service)
            if service == "s3":
                assert check(credentials, target, headers, body=b"any").credential is OPERATOR
            else:
                assert "not the hash" in refusal(credentials, target, headers, body=b"any").message

    def test_s3_needs_the_header(self, credentials: CredentialStore) -> None:
        request = AWSRequest("GET", "http://h/")
        SigV4Auth(Credentials("AKIAOPERATOR", "operator-secret"), "s3", "us-east-1").add_auth(request)
        headers = [("Host", "h"), *((name, str(value)) for name, value in request.headers.items())]
        refused = refusal(credentials, "/", headers, method="GET")
        assert (refused.status, refused.code) == (400, "InvalidRequest")


def crt_signed(payload: str, service: str) -> tuple[str, Headers]:
    request = http.HttpRequest("POST", "/bucket/key", http.HttpHeaders([("Host", "127.0.0.1:1")]))
    config = auth.AwsSigningConfig(
        algorithm=auth.AwsSigningAlgorithm.V4,
        signature_type=auth.AwsSignatureType.HTTP_REQUEST_HEADERS,
        credentials_provider=auth.AwsCredentialsProvider.new_static(OPERATOR.access_key_id, OPERATOR.secret_access_key),
        region="us-east-1",
        service=service,
        date=datetime(2026, 9, 21, 12, tzinfo=UTC),
        signed_body_value=payload,
        signed_body_header_type=auth.AwsSignedBodyHeaderType.X_AMZ_CONTENT_SHA_256,
        use_double_uri_encode=service != "s3",
        should_normalize_uri_path=service != "s3",
    )
    result = auth.aws_sign_request(request, config).result(10)
    return result.path, list(result.headers)


class TestRefused:
    @pytest.mark.parametrize(
        ("service", "status", "code"),
        [
            ("iam", 403, "InvalidClientTokenId"),
            ("iotdata", 403, "UnrecognizedClientException"),
            ("cognito-identity", 400, "UnrecognizedClientException"),
            ("s3", 403, "InvalidAccessKeyId"),
        ],
    )
    def test_unknown_key(self, credentials: CredentialStore, service: str, status: int, code: str) -> None:
        nobody = Credential("AKIANOBODY", "s", None, None, PRINCIPAL)
        refused = refusal(credentials, *signed(service=service, credential=nobody))
        assert (refused.status, refused.code) == (status, code)

    @pytest.mark.parametrize(
        ("service", "status", "code"),
        [
            ("iam", 403, "SignatureDoesNotMatch"),
            ("iotdata", 403, "InvalidSignatureException"),
            ("cognito-identity", 400, "InvalidSignatureException"),
            ("s3", 403, "SignatureDoesNotMatch"),
        ],
    )
    def test_wrong_secret(self, credentials: CredentialStore, service: str, status: int, code: str) -> None:
        wrong = Credential("AKIAOPERATOR", "wrong", None, None, PRINCIPAL)
        refused = refusal(credentials, *signed(service=service, credential=wrong))
        assert (refused.status, refused.code) == (status, code)

    @pytest.mark.parametrize("service", ["iam", "iotdata", "s3"])
    def test_skew(self, credentials: CredentialStore, service: str) -> None:
        target, headers = signed(service=service)
        at = signing_time(headers)
        for now in (at - 300, at + 300):
            assert check(credentials, target, headers, now=now).service == service
        for now in (at - 301, at + 301):
            refused = refusal(credentials, target, headers, now=now)
            assert refused.code == ("RequestTimeTooSkewed" if service == "s3" else "RequestExpired")

    def test_session_tokens(self, credentials: CredentialStore) -> None:
        target, headers = signed(credential=SESSION)
        name = "X-Amz-Security-Token"
        assert (
            "'x-amz-security-token' is missing"
            in refusal(credentials, target, with_header(headers, name, None)).message
        )
        assert "not the one" in refusal(credentials, target, with_header(headers, name, "other")).message
        bare = Credential(SESSION.access_key_id, SESSION.secret_access_key, None, None, PRINCIPAL)
        target, headers = signed(credential=bare)
        assert "session token is missing" in refusal(credentials, target, headers).message
        target, headers = signed()
        assert "has none" in refusal(credentials, target, [*headers, (name, "x")]).message

    def test_nothing_signed(self, credentials: CredentialStore) -> None:
        refused = refusal(credentials, "/", [("Host", "h")], now=0.0)
        assert (refused.status, refused.code) == (403, "MissingAuthenticationTokenException")

    @pytest.mark.parametrize(
        "authorization",
        [
            "Bearer abc",
            "Basic YTpi",
            "AWS AKIA:sig",
            "AWS4-HMAC-SHA256",
            "AWS4-HMAC-SHA256 ",
            "AWS4-HMAC-SHA256 Credential=A/20200101/r/iam/aws4_request",
            "AWS4-HMAC-SHA256 Credential=A, SignedHeaders=host, Signature=0",
            "AWS4-HMAC-SHA256 Credential=A/1/r/iam/aws4_request, Credential=A/1/r/iam/aws4_request",
            "AWS4-HMAC-SHA256 " + "," * 100_000,
            "AWS4-HMAC-SHA256 " + "Credential=" * 100_000,
            "AWS4-HMAC-SHA256 Credential=" + "/" * 100_000,
        ],
    )
    def test_malformed(self, credentials: CredentialStore, authorization: str) -> None:
        headers = [("Host", "h"), ("X-Amz-Date", "20200101T000000Z"), ("Authorization", authorization)]
        refused = refusal(credentials, "/", headers, now=1577836800.0)
        assert refused.code in {"IncompleteSignatureException", "IncompleteSignature"}
        assert len(refused.message) < 400

    def test_doubled_authorization_and_date(self, credentials: CredentialStore) -> None:
        target, headers = signed()
        now = signing_time(headers)
        for name in ("Authorization", "X-Amz-Date"):
            value = next(v for n, v in headers if n == name)
            refused = refusal(credentials, target, [*headers, (name, value)], now=now)
            assert "2 times" in refused.message

    @given(
        text=st.text(),
        host=st.text(),
        date=st.text(),
        names=st.lists(st.sampled_from(["host", "x", "x-amz-date", "y", ""])),
    )
    def test_never_anything_but_a_refusal(self, text: str, host: str, date: str, names: list[str]) -> None:
        store = CredentialStore()
        store.add(OPERATOR)
        scope = "AKIAOPERATOR/20200101/é\ud800/s3/aws4_request"
        for authorization in (
            text,
            f"AWS4-HMAC-SHA256 {text}",
            f"AWS4-HMAC-SHA256 Credential={text}, SignedHeaders={';'.join(names)}, Signature={text}",
            f"AWS4-HMAC-SHA256 Credential={scope},SignedHeaders={';'.join(names)},Signature={'0' * 64}",
        ):
            for stamp in (date, "20200101T000000Z"):
                headers = [("Host", host), ("X-Amz-Date", stamp), ("Authorization", authorization), ("x", text)]
                with pytest.raises(Refused):
                    verify_headers(
                        method="GET",
                        target="/",
                        headers=headers,
                        body_sha256="",
                        credentials=store,
                        now=1577836800.0,
                    )
