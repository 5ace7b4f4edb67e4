import pytest
from botocore.exceptions import ClientError

from chatops.aws.session import action_name, translate
from chatops.errors import (
    AlreadyExistsError,
    AwsError,
    InUseError,
    NotAuthorisedError,
    NotFoundError,
    ThrottledError,
)
from chatops.infra.permissions import operator_actions


@pytest.mark.parametrize(
    ("code", "kind"),
    [
        ("AccessDenied", NotAuthorisedError),
        ("403", NotAuthorisedError),  # S3's answer to a HEAD has no body to name a code in
        ("404", NotFoundError),
        ("NoSuchBucketPolicy", NotFoundError),
        ("NoSuchResponseHeadersPolicy", NotFoundError),
        ("BucketAlreadyOwnedByYou", AlreadyExistsError),
        ("DistributionAlreadyExists", AlreadyExistsError),
        ("PreconditionFailed", InUseError),
        ("DistributionNotDisabled", InUseError),
        ("SlowDown", ThrottledError),
        ("TooManyDistributions", AwsError),
    ],
)
def test_codes_decide_what_an_error_is(code: str, kind: type[AwsError]) -> None:
    answer = {"Error": {"Code": code, "Message": "no"}}
    assert type(translate(ClientError(answer, "Operation"), "s3:Action")) is kind


@pytest.mark.parametrize(
    ("service", "operation", "action"),
    [
        ("s3", "head_bucket", "s3:ListBucket"),
        ("s3", "head_object", "s3:GetObject"),
        ("s3", "list_buckets", "s3:ListAllMyBuckets"),
        ("s3", "put_public_access_block", "s3:PutBucketPublicAccessBlock"),
        ("s3", "delete_objects", "s3:DeleteObjectVersion"),
        ("cloudfront", "create_distribution_with_tags", "cloudfront:CreateDistribution"),
        ("iot-data", "publish", "iot:Publish"),
    ],
)
def test_a_missing_permission_is_named_as_iam_names_it(service: str, operation: str, action: str) -> None:
    assert action_name(service, operation) == action
    assert action in operator_actions()
