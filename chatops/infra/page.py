"""Where a page is published, and what of it is wanted there: pure data.

Where it is, the guest role remembers in a tag, since a bucket may have any name: it is written before anything else
is made, so that whatever an interrupted publication left is found again. The environment file says it too, and the
deterministic name is looked for as well before anything is called gone.
"""

import ipaddress
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from enum import Enum
from typing import Any

from chatops.aws import cloudfront, hosting
from chatops.environment import Environment
from chatops.errors import UsageError
from chatops.infra.resources import Desired

TAG_PAGE = "chatops:page"
"""On the guest role: the page's `Placement`."""

INDEX = "index.html"
ASSETS = "assets/"
_BUCKET = re.compile(r"[a-z0-9](?:[a-z0-9.-]{1,61})[a-z0-9]")
_RESERVED = (("xn--", "sthree-", "amzn-s3-demo-"), ("-s3alias", "--ols-s3", ".mrap", "--x-s3", "--table-s3"))

# Regions whose website endpoints are written with a hyphen (AWS General Reference, S3 website endpoints).
_HYPHENED = frozenset(
    {
        "us-east-1",
        "us-west-1",
        "us-west-2",
        "ap-southeast-1",
        "ap-southeast-2",
        "ap-northeast-1",
        "eu-west-1",
        "sa-east-1",
        "us-gov-west-1",
    }
)


class Host(Enum):
    """What serves the page."""

    CLOUDFRONT = "cloudfront"
    WEBSITE = "website"


@dataclass(frozen=True, slots=True)
class Placement:
    """Where a page is, or goes."""

    host: Host
    bucket: str

    @property
    def tag(self) -> str:
        """The value of `TAG_PAGE`."""
        return f"{self.host.value}/{self.bucket}"


@dataclass(frozen=True, slots=True)
class Content:
    """A page to publish.

    Attributes:
        files: in the order in which they are uploaded.
        headers: what every answer should carry.
    """

    files: tuple[hosting.PageFile, ...]
    headers: Mapping[str, str]


ContentMaker = Callable[[Environment], Content | None]
"""Makes the page of an environment; None where that cannot be done at the moment."""


def placement_of(tags: Mapping[str, str], file: Environment | None) -> Placement | None:
    """Where the page is by what the guest role and the environment's file remember; None when there is no page."""
    host, _, bucket = tags.get(TAG_PAGE, "").partition("/")
    if bucket and host in {known.value for known in Host}:
        return Placement(Host(host), bucket)
    if file is not None and "bucket" in file.site:
        return Placement(Host.CLOUDFRONT if "distribution" in file.site else Host.WEBSITE, file.site["bucket"])
    return None


def check_bucket_name(name: str, host: Host) -> str:
    """Return `name` when S3 takes it for a bucket.

    Raises:
        UsageError: it does not (S3 user guide, bucket naming rules), or HTTPS cannot reach one of that name.
    """
    remedy = "use 3 to 63 lower-case letters, digits and hyphens, such as my-chat-page"
    prefixes, suffixes = _RESERVED
    wrong = _BUCKET.fullmatch(name) is None or ".." in name or name.startswith(prefixes) or name.endswith(suffixes)
    if wrong or _is_address(name):
        raise UsageError(f"{name!r} cannot be the name of a bucket", remedy)
    if "." in name and host is Host.CLOUDFRONT:
        raise UsageError(f"{name!r} has dots, which S3's certificates do not cover", f"{remedy}, or publish --website")
    return name


def bucket_properties(desired: Desired, placement: Placement, present: Mapping[str, str]) -> dict[str, Any]:
    """The bucket as wanted; tags of others are kept."""
    is_website = placement.host is Host.WEBSITE
    return {
        "tags": {**present, **desired.tags},
        "publicAccessBlock": dict(hosting.OPENED if is_website else hosting.BLOCKED),
        "indexDocument": INDEX if is_website else None,
    }


def origin_domain(desired: Desired, bucket: str) -> str:
    """The bucket's host name, as an origin of CloudFront's."""
    return f"{bucket}.s3.{desired.region}.{_suffix(desired)}"


def bucket_policy(desired: Desired, placement: Placement, distribution_arn: str) -> dict[str, Any]:
    """Who may read the page's bucket: that one distribution; or, of a website, everybody."""
    statement: dict[str, Any] = {
        "Sid": "ReadThePage",
        "Effect": "Allow",
        "Principal": "*",
        "Action": "s3:GetObject",
        "Resource": f"arn:{desired.partition}:s3:::{placement.bucket}/*",
    }
    if placement.host is Host.CLOUDFRONT:
        statement["Principal"] = {"Service": "cloudfront.amazonaws.com"}
        statement["Condition"] = {"StringEquals": {"AWS:SourceArn": distribution_arn}}
    return {"Version": "2012-10-17", "Statement": [statement]}


def page_url(desired: Desired, placement: Placement, domain: str | None) -> str:
    """The page's address.

    Args:
        domain: the distribution's. With a port it is none of AWS's, but the local stack's, which has no TLS there.
    """
    if domain is not None:
        return f"{'http' if ':' in domain else 'https'}://{domain}/"
    endpoints = desired.endpoints or {}
    if endpoint := endpoints.get("s3") or endpoints.get("aws"):
        return f"{endpoint.rstrip('/')}/{placement.bucket}/{INDEX}"
    separator = "-" if desired.region in _HYPHENED else "."
    return f"http://{placement.bucket}.s3-website{separator}{desired.region}.{_suffix(desired)}/"


def access_config(desired: Desired) -> dict[str, Any]:
    """The origin access control as wanted."""
    return cloudfront.access_config(desired.page_name, f"chatops environment {desired.name}")


def headers_config(desired: Desired, content: Content) -> dict[str, Any]:
    """The response headers policy as wanted."""
    return cloudfront.headers_config(desired.page_name, f"chatops environment {desired.name}", content.headers)


def _suffix(desired: Desired) -> str:
    return "amazonaws.com.cn" if desired.partition == "aws-cn" else "amazonaws.com"


def _is_address(name: str) -> bool:
    try:
        ipaddress.ip_address(name)
    except ValueError:
        return False
    return True
