"""How the services of AWS say that a signature is not good: each family of protocols has its own codes."""

from dataclasses import dataclass

_JSON_SERVICES = frozenset(
    {"cognito-identity", "cognito-idp", "dynamodb", "kinesis", "logs", "servicequotas", "tagging"}
)
_QUERY_SERVICES = frozenset(
    {"iam", "sts", "cloudformation", "cloudfront", "monitoring", "sns", "sqs", "ec2", "route53"}
)
_S3_SERVICES = frozenset({"s3", "s3express"})


class Refused(Exception):  # noqa: N818  (an answer to the client, not an error of the server)
    """A request that is not let in.

    Attributes:
        status: HTTP status.
        code: AWS's name for it, such as `InvalidSignatureException`.
        message: which check failed and what to do; holds no secret and no expected signature.
    """

    def __init__(self, status: int, code: str, message: str) -> None:
        super().__init__(message)
        self.status = status
        self.code = code
        self.message = message


@dataclass(frozen=True, slots=True)
class _Codes:
    missing: str
    incomplete: str
    unknown_key: str
    bad_token: str
    expired_token: str
    mismatch: str
    expired_request: str
    incomplete_status: int = 403
    token_status: int = 403
    status: int = 403


_JSON_CODES = _Codes(
    missing="MissingAuthenticationTokenException",
    incomplete="IncompleteSignatureException",
    unknown_key="UnrecognizedClientException",
    bad_token="UnrecognizedClientException",  # noqa: S106  (a code, not a secret)
    expired_token="ExpiredTokenException",  # noqa: S106  (likewise)
    mismatch="InvalidSignatureException",
    expired_request="RequestExpired",
    incomplete_status=400,
    token_status=400,
    status=400,
)
_REST_CODES = _Codes(
    missing="MissingAuthenticationTokenException",
    incomplete="IncompleteSignatureException",
    unknown_key="UnrecognizedClientException",
    bad_token="UnrecognizedClientException",  # noqa: S106  (likewise)
    expired_token="ExpiredTokenException",  # noqa: S106  (likewise)
    mismatch="InvalidSignatureException",
    expired_request="RequestExpired",
)
_QUERY_CODES = _Codes(
    missing="MissingAuthenticationToken",
    incomplete="IncompleteSignature",
    unknown_key="InvalidClientTokenId",
    bad_token="InvalidClientTokenId",  # noqa: S106  (likewise)
    expired_token="ExpiredToken",  # noqa: S106  (likewise)
    mismatch="SignatureDoesNotMatch",
    expired_request="RequestExpired",
    incomplete_status=400,
)
_S3_CODES = _Codes(
    missing="AccessDenied",
    incomplete="AuthorizationHeaderMalformed",
    unknown_key="InvalidAccessKeyId",
    bad_token="InvalidToken",  # noqa: S106  (likewise)
    expired_token="ExpiredToken",  # noqa: S106  (likewise)
    mismatch="SignatureDoesNotMatch",
    expired_request="RequestTimeTooSkewed",
    incomplete_status=400,
    token_status=400,
)


def is_s3(service: str) -> bool:
    """Say whether a service signs the way S3 does: raw path, payload hash in a header."""
    return service in _S3_SERVICES


def quoted(text: str) -> str:
    """Repeat what a stranger sent: one line, ASCII, cut short."""
    return ascii(text if len(text) <= 64 else text[:61] + "...")


class Refusals:
    """Makes the refusals of one service. Each takes the problem and what to do about it.

    Args:
        service: the service of the credential scope; unknown ones speak as REST services do.
    """

    def __init__(self, service: str = "") -> None:
        if is_s3(service):
            self._codes = _S3_CODES
        elif service in _JSON_SERVICES:
            self._codes = _JSON_CODES
        elif service in _QUERY_SERVICES:
            self._codes = _QUERY_CODES
        else:
            self._codes = _REST_CODES

    def missing(self, problem: str, remedy: str) -> Refused:
        """Nothing is signed."""
        return _refused(self._codes.status, self._codes.missing, problem, remedy)

    def incomplete(self, problem: str, remedy: str) -> Refused:
        """Something that a signature needs is absent, doubled or malformed."""
        return _refused(self._codes.incomplete_status, self._codes.incomplete, problem, remedy)

    def unknown_key(self, problem: str, remedy: str) -> Refused:
        """The access key id is nobody's."""
        return _refused(self._codes.status, self._codes.unknown_key, problem, remedy)

    def bad_token(self, problem: str, remedy: str) -> Refused:
        """The session token is missing or foreign."""
        return _refused(self._codes.token_status, self._codes.bad_token, problem, remedy)

    def expired_token(self, problem: str, remedy: str) -> Refused:
        """The credential is too old."""
        return _refused(self._codes.token_status, self._codes.expired_token, problem, remedy)

    def mismatch(self, problem: str, remedy: str) -> Refused:
        """The signature is for something else than this request."""
        return _refused(self._codes.status, self._codes.mismatch, problem, remedy)

    def expired_request(self, problem: str, remedy: str) -> Refused:
        """The request was signed too long ago, or in the future."""
        return _refused(self._codes.status, self._codes.expired_request, problem, remedy)


def _refused(status: int, code: str, problem: str, remedy: str) -> Refused:
    return Refused(status, code, f"{problem[:1].upper()}{problem[1:]}: {remedy}.")
