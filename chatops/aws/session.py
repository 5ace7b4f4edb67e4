"""Clients for AWS, and the translation of what AWS answers into this project's errors.

boto3 is imported here and in the verbs beside; nothing above sees a `ClientError`. Codes decide, never an
exception's text: AWS keeps the codes stable and the sentences not.
"""

import os
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from difflib import get_close_matches
from typing import Any
from urllib.parse import urlsplit

import boto3
import botocore.exceptions as aws_errors
from botocore.config import Config

from chatops import __version__
from chatops.errors import (
    AlreadyExistsError,
    AwsError,
    ChatopsError,
    ConfigurationError,
    ConnectionFailedError,
    InUseError,
    NotAuthorisedError,
    NotFoundError,
    ThrottledError,
)

_CONNECT_TIMEOUT_S = 5
_READ_TIMEOUT_S = 20
_ATTEMPTS = 5  # in all; botocore waits between them with jitter

# S3 answers HEAD requests without a body, so that botocore has only the status as a code.
_DENIED = frozenset({"AccessDenied", "AccessDeniedException", "UnauthorizedOperation", "ForbiddenException", "403"})
_BAD_KEYS = frozenset(
    {
        "UnrecognizedClientException",
        "InvalidClientTokenId",
        "SignatureDoesNotMatch",
        "InvalidSignatureException",
        "IncompleteSignature",
        "MissingAuthenticationToken",
        "MissingAuthenticationTokenException",
        "InvalidAccessKeyId",
        "AuthFailure",
    }
)
_EXPIRED = frozenset({"ExpiredToken", "ExpiredTokenException", "RequestExpired", "TokenRefreshRequired"})
_ABSENT = frozenset(
    {
        "ResourceNotFoundException",
        "NoSuchEntity",
        "NoSuchEntityException",
        "NoSuchResourceException",
        "404",
        "NoSuchBucket",
        "NoSuchBucketPolicy",
        "NoSuchDistribution",
        "NoSuchKey",
        "NoSuchOriginAccessControl",
        "NoSuchPublicAccessBlockConfiguration",
        "NoSuchResource",
        "NoSuchResponseHeadersPolicy",
        "NoSuchTagSet",
        "NoSuchWebsiteConfiguration",
    }
)
_PRESENT = frozenset(
    {
        "EntityAlreadyExists",
        "EntityAlreadyExistsException",
        "ResourceConflictException",
        "BucketAlreadyExists",
        "BucketAlreadyOwnedByYou",
        "DistributionAlreadyExists",
        "OriginAccessControlAlreadyExists",
        "ResponseHeadersPolicyAlreadyExists",
    }
)
_IN_USE = frozenset(
    {
        "BucketNotEmpty",
        "DistributionNotDisabled",
        "OperationAborted",
        "OriginAccessControlInUse",
        "PreconditionFailed",
        "ResponseHeadersPolicyInUse",
    }
)
_THROTTLED = frozenset(
    {"Throttling", "ThrottlingException", "TooManyRequestsException", "RequestLimitExceeded", "SlowDown"}
)
_ACTION = re.compile(r"not authorized to perform: ([\w-]+:\w+)")


@dataclass(frozen=True, slots=True)
class AccessKeys:
    """AWS credentials in hand, as opposed to those that boto3 finds by itself."""

    access_key_id: str
    secret_access_key: str = field(repr=False)
    session_token: str | None = field(repr=False, default=None)


@dataclass(frozen=True, slots=True)
class AwsTarget:
    """Which AWS to talk to.

    Attributes:
        region: None lets boto3 find it (variables, profile).
        profile: a profile of the AWS CLI's configuration, or None.
        endpoints: URL overrides by service; `aws` stands for all services.
        keys: explicit credentials; None lets boto3 find them.
    """

    region: str | None = None
    profile: str | None = None
    endpoints: Mapping[str, str] = field(default_factory=dict)
    keys: AccessKeys | None = None


class Aws:
    """Clients of one account and Region, made on first use."""

    def __init__(self, target: AwsTarget) -> None:
        self._target = target
        keys = target.keys
        try:
            self._session = boto3.Session(
                aws_access_key_id=keys.access_key_id if keys else None,
                aws_secret_access_key=keys.secret_access_key if keys else None,
                aws_session_token=keys.session_token if keys else None,
                region_name=target.region,
                profile_name=target.profile,
            )
        except aws_errors.ProfileNotFound as error:
            raise _no_profile(error) from None
        self._clients: dict[tuple[str, int], Any] = {}

    @property
    def region(self) -> str:
        """The Region.

        Raises:
            ConfigurationError: none is set anywhere.
        """
        region = self._session.region_name
        if not region:
            raise ConfigurationError("No AWS Region is set", "say --region eu-west-1, or set AWS_REGION")
        return str(region)

    def check_region(self) -> None:
        """Make sure that AWS has the Region, as far as this version of boto3 knows.

        Raises:
            ConfigurationError: it has none of that name with identity pools.
        """
        known = {
            region
            for partition in self._session.get_available_partitions()
            for region in self._session.get_available_regions("cognito-identity", partition_name=partition)
        }
        if self.region not in known:
            near = get_close_matches(self.region, sorted(known), n=1)
            hint = f"did you mean {near[0]}?" if near else "`aws ec2 describe-regions` lists them"
            raise ConfigurationError(f"AWS has no Region {self.region!r} with Cognito identity pools", hint)

    def keys(self) -> AccessKeys:
        """The credentials that calls are signed with.

        Raises:
            NotAuthorisedError: there are none.
        """
        try:
            found = self._session.get_credentials()
        except aws_errors.BotoCoreError as error:
            raise translate(error, "sts:GetCallerIdentity") from None
        if found is None:
            raise _no_credentials()
        frozen = found.get_frozen_credentials()
        return AccessKeys(frozen.access_key, frozen.secret_key, frozen.token)

    def call(self, service: str, operation: str, **request: Any) -> dict[str, Any]:
        """Call one operation, by boto3's names (`cognito-identity`, `create_identity_pool`).

        Raises:
            NotAuthorisedError: no credentials, bad ones, or a missing permission, which the message names.
            NotFoundError, ThrottledError, AwsError: as AWS says.
            ConnectionFailedError: AWS cannot be reached.
        """
        return self._call(service, operation, request, _ATTEMPTS)

    def call_once(self, service: str, operation: str, **request: Any) -> dict[str, Any]:
        """Like `call`, but never repeated: for what would be made twice when an answer is lost."""
        return self._call(service, operation, request, 1)

    def _call(self, service: str, operation: str, request: Mapping[str, Any], attempts: int) -> dict[str, Any]:
        try:
            method: Callable[..., dict[str, Any]] = getattr(self._client(service, attempts), operation)
        except ValueError as error:
            raise ConfigurationError(
                f"The endpoint for {service} cannot be used: {error}",
                "check AWS_ENDPOINT_URL and the environment's endpoints",
            ) from None
        except (aws_errors.BotoCoreError, aws_errors.ClientError) as error:
            raise self._with_hint(translate(error, action_name(service, operation)), service) from None
        try:
            return method(**request)
        except (aws_errors.BotoCoreError, aws_errors.ClientError) as error:
            raise self._with_hint(translate(error, action_name(service, operation)), service) from None

    def _with_hint(self, problem: ChatopsError, service: str) -> ChatopsError:
        """A loopback endpoint is the local stack's, and what fails there is that it is gone or was started anew."""
        url = self._endpoint(service) or os.environ.get("AWS_ENDPOINT_URL", "")
        if urlsplit(url).hostname in {"127.0.0.1", "localhost", "::1"} and self._target.keys is None:
            if isinstance(problem, ConnectionFailedError):
                problem.remedy = "the local stack is gone: `chatops local up`, or `chatops local env --unset`"
            elif isinstance(problem, NotAuthorisedError) and "does not accept" in problem.problem:
                problem.remedy = 'the local stack was started anew: eval "$(chatops local env)" again'
        return problem

    def _endpoint(self, service: str) -> str | None:
        return self._target.endpoints.get(service) or self._target.endpoints.get("aws")

    def _client(self, service: str, attempts: int) -> Any:
        if (service, attempts) not in self._clients:
            self._clients[service, attempts] = self._session.client(
                service,
                region_name=self.region,
                endpoint_url=self._endpoint(service),
                config=Config(
                    connect_timeout=_CONNECT_TIMEOUT_S,
                    read_timeout=_READ_TIMEOUT_S,
                    retries={"mode": "standard", "total_max_attempts": attempts},
                    user_agent_extra=f"chatops/{__version__}",
                ),
            )
        return self._clients[service, attempts]


# The service part of an IAM action, where it is not boto3's name of the service.
_IAM_PREFIXES: Mapping[str, str] = {"iot-data": "iot", "service-quotas": "servicequotas"}

# The IAM action of a call, where it is not the call's name (Service Authorization Reference).
_IAM_ACTIONS: Mapping[tuple[str, str], str] = {
    ("cloudfront", "create_distribution_with_tags"): "cloudfront:CreateDistribution",
    ("s3", "delete_objects"): "s3:DeleteObjectVersion",
    ("s3", "delete_public_access_block"): "s3:PutBucketPublicAccessBlock",
    ("s3", "get_public_access_block"): "s3:GetBucketPublicAccessBlock",
    ("s3", "head_bucket"): "s3:ListBucket",
    ("s3", "head_object"): "s3:GetObject",
    ("s3", "list_buckets"): "s3:ListAllMyBuckets",
    ("s3", "list_object_versions"): "s3:ListBucketVersions",
    ("s3", "list_objects_v2"): "s3:ListBucket",
    ("s3", "put_public_access_block"): "s3:PutBucketPublicAccessBlock",
}


def action_name(service: str, operation: str) -> str:
    """The IAM action of a call, such as `iot:DescribeEndpoint` for boto3's `iot` and `describe_endpoint`."""
    if (service, operation) in _IAM_ACTIONS:
        return _IAM_ACTIONS[service, operation]
    words = "".join(word.capitalize() for word in operation.split("_"))
    return f"{_IAM_PREFIXES.get(service, service)}:{words}"


def translate(error: Exception, action: str) -> ChatopsError:
    """Turn an exception of botocore into one of this project's.

    Args:
        action: the IAM action of the call, such as `iot:DescribeEndpoint`.
    """
    match error:
        case aws_errors.ClientError():
            return _refusal(error, action)
        case aws_errors.NoCredentialsError() | aws_errors.PartialCredentialsError():
            return _no_credentials()
        case aws_errors.TokenRetrievalError() | aws_errors.SSOError() | aws_errors.CredentialRetrievalError():
            return NotAuthorisedError(f"The AWS credentials could not be fetched: {error}", "log in again")
        case aws_errors.ProfileNotFound():
            return _no_profile(error)
        case aws_errors.NoRegionError():
            return ConfigurationError("No AWS Region is set", "say --region eu-west-1, or set AWS_REGION")
        case aws_errors.InvalidRegionError():
            return ConfigurationError(str(error), "write the Region like eu-west-1")
        case aws_errors.HTTPClientError() | aws_errors.ConnectionError():
            url = urlsplit(str(error.kwargs.get("endpoint_url", "")))
            place = f" at {url.scheme}://{url.netloc}" if url.netloc else ""
            return ConnectionFailedError(
                f"AWS cannot be reached{place} for {action}", "check the network, the Region and the endpoints"
            )
        case aws_errors.ParamValidationError():
            return AwsError(f"{action} does not take these values: {_one_line(str(error))}", "mend the value it names")
        case _:
            return AwsError(f"{action} failed: {_one_line(str(error))}", "try again; -v shows more")


def _refusal(error: aws_errors.ClientError, action: str) -> ChatopsError:
    answer = error.response.get("Error", {})
    code = str(answer.get("Code", ""))
    said = _one_line(str(answer.get("Message", ""))) or code
    if code in _DENIED:
        found = _ACTION.search(said)
        missing = found.group(1) if found else action
        return NotAuthorisedError(
            f"These AWS credentials may not {missing}: {said}", f"grant {missing}, or use other credentials (--profile)"
        )
    if code in _EXPIRED:
        return NotAuthorisedError(f"The AWS credentials have expired ({code})", "log in again, or refresh them")
    if code in _BAD_KEYS:
        return NotAuthorisedError(
            f"AWS does not accept these credentials for {action}: {said}", "check the keys, the profile and the clock"
        )
    if code in _ABSENT:
        return NotFoundError(f"{action}: {said}", "run `chatops setup` for this environment to make what is missing")
    if code in _PRESENT:
        return AlreadyExistsError(f"{action}: {said}", "choose another name, or remove what is there")
    if code in _IN_USE:
        return InUseError(f"{action}: {said}", "wait a minute")
    if code in _THROTTLED:
        return ThrottledError(f"AWS takes no more {action} requests for now: {said}", "wait a moment and try again")
    return AwsError(f"AWS refused {action}: {code}: {said}", "see the message above")


def _no_profile(error: aws_errors.ProfileNotFound) -> ConfigurationError:
    return ConfigurationError(
        f"There is no AWS profile {error.kwargs.get('profile')!r}",
        "`aws configure list-profiles` shows those there are",
    )


def _no_credentials() -> NotAuthorisedError:
    return NotAuthorisedError(
        "There are no AWS credentials",
        "run `aws configure` or set AWS_PROFILE; to try without an account, use --env local",
    )


def _one_line(text: str) -> str:
    return " ".join(text.split())[:400]
