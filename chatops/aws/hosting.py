"""The bucket that a page is published in: the verbs of the lifecycle, over S3."""

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from chatops.aws.session import Aws
from chatops.errors import AlreadyExistsError, AwsError, NotAuthorisedError, NotFoundError, NotOwnedError

_DELETE_AT_ONCE = 1000  # S3's limit for DeleteObjects
_DIGEST_KEY = "chatops-sha256"
_FIRST_REGION = "us-east-1"  # the one Region that CreateBucket must not name
BLOCKED: Mapping[str, bool] = {
    "BlockPublicAcls": True,
    "IgnorePublicAcls": True,
    "BlockPublicPolicy": True,
    "RestrictPublicBuckets": True,
}
OPENED: Mapping[str, bool] = {**BLOCKED, "BlockPublicPolicy": False, "RestrictPublicBuckets": False}
"""For a website: its policy may make it public, access control lists still may not."""


@dataclass(frozen=True, slots=True)
class PageFile:
    """One file of a page as it is published.

    Attributes:
        path: the object's key, such as `assets/app-1f2e.js`.
        sha256: of the body, in hex.
    """

    path: str
    body: bytes = field(repr=False)
    content_type: str
    cache_control: str
    sha256: str


@dataclass(frozen=True, slots=True)
class Bucket:
    """A bucket as S3 describes it.

    Attributes:
        access: the public access block; empty when there is none.
        policy: its policy document, None when it has none.
        index: the index document of its website, None when it is none.
    """

    name: str
    region: str
    tags: Mapping[str, str]
    access: Mapping[str, bool]
    policy: Mapping[str, Any] | None
    index: str | None


def find_bucket(aws: Aws, name: str, account: str) -> Bucket | None:
    """Look a bucket of this account up, None when nobody has one of that name.

    Raises:
        NotOwnedError: it is another account's; or there is none, and these credentials may not even be told so.
        NotAuthorisedError: these credentials may not look at it.
    """
    try:
        head = aws.call("s3", "head_bucket", Bucket=name, ExpectedBucketOwner=account)
    except NotFoundError:
        return None
    except NotAuthorisedError as error:
        if not _is_own(aws, name):
            raise _not_ours(name) from error
        raise
    return Bucket(
        name=name,
        region=str(head.get("BucketRegion") or aws.region),
        tags=_tags(aws, name),
        access=_access(aws, name),
        policy=_policy(aws, name),
        index=_index(aws, name),
    )


def create_bucket(aws: Aws, name: str, account: str) -> None:
    """Make a bucket in the Region of `aws`; one that a lost answer made is taken as made.

    Raises:
        NotOwnedError: it is somebody else's.
    """
    request: dict[str, Any] = {"Bucket": name}
    if aws.region != _FIRST_REGION:
        request["CreateBucketConfiguration"] = {"LocationConstraint": aws.region}
    try:
        aws.call("s3", "create_bucket", **request)
    except AlreadyExistsError as error:
        try:
            aws.call("s3", "head_bucket", Bucket=name, ExpectedBucketOwner=account)
        except (NotAuthorisedError, NotFoundError):
            raise _not_ours(name) from error


def tag_bucket(aws: Aws, name: str, tags: Mapping[str, str]) -> None:
    """Replace a bucket's tags."""
    tag_set = [{"Key": key, "Value": value} for key, value in tags.items()]
    aws.call("s3", "put_bucket_tagging", Bucket=name, Tagging={"TagSet": tag_set})


def set_public_access(aws: Aws, name: str, access: Mapping[str, bool]) -> None:
    """Write a bucket's public access block: `BLOCKED`, or `OPENED` for a website."""
    aws.call("s3", "put_public_access_block", Bucket=name, PublicAccessBlockConfiguration=dict(access))


def set_policy(aws: Aws, name: str, document: Mapping[str, Any]) -> None:
    """Write a bucket's policy."""
    aws.call("s3", "put_bucket_policy", Bucket=name, Policy=json.dumps(document))


def set_website(aws: Aws, name: str, index: str | None) -> None:
    """Make a bucket a website with an index document, or none any more."""
    if index is None:
        aws.call("s3", "delete_bucket_website", Bucket=name)
    else:
        aws.call("s3", "put_bucket_website", Bucket=name, WebsiteConfiguration={"IndexDocument": {"Suffix": index}})


def put_file(aws: Aws, bucket: str, file: PageFile) -> None:
    """Write a file, with what it is served with. Its digest is kept beside it, since an ETag need not be one."""
    aws.call(
        "s3",
        "put_object",
        Bucket=bucket,
        Key=file.path,
        Body=file.body,
        ContentType=file.content_type,
        CacheControl=file.cache_control,
        Metadata={_DIGEST_KEY: file.sha256},
    )


def is_there(aws: Aws, bucket: str, file: PageFile) -> bool:
    """Tell whether a file is in the bucket as it should be: bytes, type and caching."""
    try:
        head = aws.call("s3", "head_object", Bucket=bucket, Key=file.path)
    except NotFoundError:
        return False
    return (
        head.get("Metadata", {}).get(_DIGEST_KEY) == file.sha256
        and head.get("ContentLength") == len(file.body)
        and head.get("ContentType") == file.content_type
        and head.get("CacheControl") == file.cache_control
    )


def list_keys(aws: Aws, bucket: str) -> Iterator[str]:
    """The keys of all objects in a bucket."""
    request: dict[str, Any] = {"Bucket": bucket}
    while True:
        page = aws.call("s3", "list_objects_v2", **request)
        yield from (str(entry["Key"]) for entry in page.get("Contents", []))
        if not page.get("IsTruncated"):
            return
        request["ContinuationToken"] = page["NextContinuationToken"]


def delete_keys(aws: Aws, bucket: str, keys: Sequence[str]) -> None:
    """Delete objects."""
    for key in keys:
        aws.call("s3", "delete_object", Bucket=bucket, Key=key)


def delete_bucket(aws: Aws, name: str) -> None:
    """Empty a bucket, all versions of all objects, and delete it."""
    while found := _versions(aws, name):
        for start in range(0, len(found), _DELETE_AT_ONCE):
            request = {"Objects": found[start : start + _DELETE_AT_ONCE], "Quiet": True}
            answer = aws.call("s3", "delete_objects", Bucket=name, Delete=request)
            for failure in answer.get("Errors", []):
                raise AwsError(
                    f"{name} cannot be emptied: {failure.get('Key')}: {failure.get('Code')}: {failure.get('Message')}",
                    "grant s3:DeleteObject and s3:DeleteObjectVersion, or empty it by hand",
                )
    aws.call("s3", "delete_bucket", Bucket=name)


def _versions(aws: Aws, bucket: str) -> list[dict[str, str]]:
    """A page of versions and delete markers; a bucket without versioning lists its objects as the version `null`."""
    page = aws.call("s3", "list_object_versions", Bucket=bucket)
    entries = [*page.get("Versions", []), *page.get("DeleteMarkers", [])]
    return [{"Key": entry["Key"], "VersionId": entry["VersionId"]} for entry in entries]


def _is_own(aws: Aws, name: str) -> bool:
    """Tell whether a bucket is in the account's list: S3 says of others' what it says where a permission is missing."""
    request: dict[str, Any] = {"Prefix": name}
    while True:
        page = aws.call("s3", "list_buckets", **request)
        if any(bucket["Name"] == name for bucket in page.get("Buckets", [])):
            return True
        if not page.get("ContinuationToken"):
            return False
        request["ContinuationToken"] = page["ContinuationToken"]


def _not_ours(name: str) -> NotOwnedError:
    return NotOwnedError(
        f"The bucket {name} is another account's, or these AWS credentials may not s3:ListBucket it",
        "choose another name with --bucket, or grant s3:ListBucket",
    )


def _tags(aws: Aws, name: str) -> dict[str, str]:
    try:
        found = aws.call("s3", "get_bucket_tagging", Bucket=name)["TagSet"]
    except NotFoundError:
        return {}
    return {tag["Key"]: tag["Value"] for tag in found}


def _access(aws: Aws, name: str) -> dict[str, bool]:
    try:
        found = aws.call("s3", "get_public_access_block", Bucket=name)["PublicAccessBlockConfiguration"]
    except NotFoundError:
        return {}
    return {key: bool(found.get(key)) for key in BLOCKED}


def _policy(aws: Aws, name: str) -> Mapping[str, Any] | None:
    try:
        document = json.loads(aws.call("s3", "get_bucket_policy", Bucket=name)["Policy"])
    except NotFoundError:
        return None
    return document if isinstance(document, Mapping) else {}


def _index(aws: Aws, name: str) -> str | None:
    try:
        found = aws.call("s3", "get_bucket_website", Bucket=name)
    except NotFoundError:
        return None
    return str(found.get("IndexDocument", {}).get("Suffix", ""))
