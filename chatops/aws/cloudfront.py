"""CloudFront in front of a page's bucket: the verbs of the lifecycle.

A distribution reads a private bucket through an origin access control, and adds the page's security headers by a
response headers policy. Only a distribution can carry tags; the other two are known by their name.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from enum import Enum
from typing import Any

from chatops.aws.session import Aws
from chatops.errors import AlreadyExistsError, NotFoundError

CACHING_OPTIMIZED = "658327ea-f89d-4fab-a63d-7e88639e58f6"
"""AWS's managed cache policy CachingOptimized (CloudFront developer guide): it honours the objects' Cache-Control."""

DEPLOYED = "Deployed"
_ORIGIN = "page"


@dataclass(frozen=True, slots=True)
class Distribution:
    """A distribution as CloudFront describes it.

    Attributes:
        domain: where it answers, such as `d111111abcdef8.cloudfront.net`.
        deployed: whether the edge locations have its present configuration.
        config: its whole configuration, as CloudFront has it.
        etag: what a change must name.
    """

    distribution_id: str
    arn: str
    domain: str
    enabled: bool
    deployed: bool
    tags: Mapping[str, str]
    config: Mapping[str, Any]
    etag: str

    @property
    def host(self) -> str:
        """The host name for people: a domain of the operator's own where there is one."""
        aliases = self.config.get("Aliases", {}).get("Items") or [self.domain]
        return str(aliases[0])

    def properties(self) -> dict[str, Any]:
        """The properties that a page cares for; see `wanted_distribution`."""
        origins = self.config.get("Origins", {}).get("Items", [])
        behaviour = self.config.get("DefaultCacheBehavior", {})
        return {
            "Comment": self.config.get("Comment", ""),
            "Enabled": self.enabled,
            "DefaultRootObject": self.config.get("DefaultRootObject", ""),
            "Origins": [
                {key: origin.get(key, "") for key in ("DomainName", "OriginPath", "OriginAccessControlId")}
                for origin in origins
            ],
            "DefaultCacheBehavior": {
                key: behaviour.get(key, "")
                for key in ("ViewerProtocolPolicy", "Compress", "CachePolicyId", "ResponseHeadersPolicyId")
            },
        }


class NamedKind(Enum):
    """What is known by its name and works alike; the value is boto3's word for one."""

    ACCESS_CONTROL = "origin_access_control"
    HEADERS_POLICY = "response_headers_policy"

    @property
    def plural(self) -> str:
        """boto3's word for many."""
        return self.value.replace("policy", "policie") + "s"

    @property
    def element(self) -> str:
        """CloudFront's word for one."""
        return "".join(word.capitalize() for word in self.value.split("_"))

    @property
    def config_key(self) -> str:
        """CloudFront's word for its configuration."""
        return f"{self.element}Config"


@dataclass(frozen=True, slots=True)
class Named:
    """An origin access control or a response headers policy, known by its name."""

    resource_id: str
    name: str
    config: Mapping[str, Any]


def wanted_distribution(comment: str, origin: str, access_id: str, headers_id: str) -> dict[str, Any]:
    """The properties of a page's distribution: those that `Distribution.properties` reads.

    Args:
        comment: by which it is found again.
    """
    return {
        "Comment": comment,
        "Enabled": True,
        "DefaultRootObject": "index.html",
        "Origins": [{"DomainName": origin, "OriginPath": "", "OriginAccessControlId": access_id}],
        "DefaultCacheBehavior": {
            "ViewerProtocolPolicy": "redirect-to-https",
            "Compress": True,
            "CachePolicyId": CACHING_OPTIMIZED,
            "ResponseHeadersPolicyId": headers_id,
        },
    }


def find_distributions(aws: Aws, comment: str) -> Iterator[Distribution]:
    """Yield each distribution that has this comment; whose it is, its tags say."""
    request: dict[str, Any] = {}
    while True:
        page = aws.call("cloudfront", "list_distributions", **request)["DistributionList"]
        for summary in page.get("Items") or []:
            if summary.get("Comment") == comment and (found := find_distribution(aws, summary["Id"])) is not None:
                yield found
        if not page.get("IsTruncated"):
            return
        request["Marker"] = page["NextMarker"]


def find_distribution(aws: Aws, distribution_id: str) -> Distribution | None:
    """Look a distribution up by its id."""
    try:
        answer = aws.call("cloudfront", "get_distribution", Id=distribution_id)
        found = answer["Distribution"]
        tags = aws.call("cloudfront", "list_tags_for_resource", Resource=found["ARN"])["Tags"]
    except NotFoundError:
        return None
    return _distribution(answer, {tag["Key"]: tag.get("Value", "") for tag in tags.get("Items") or []})


def create_distribution(
    aws: Aws, reference: str, properties: Mapping[str, Any], tags: Mapping[str, str]
) -> Distribution:
    """Make a distribution.

    Args:
        reference: CloudFront makes one distribution a reference, so that a repeated request makes no second.
        properties: see `wanted_distribution`.

    Raises:
        AlreadyExistsError: a distribution was made with this reference.
    """
    config = _config({"CallerReference": reference}, properties)
    request = {"DistributionConfig": config, "Tags": {"Items": [{"Key": k, "Value": v} for k, v in tags.items()]}}
    answer = aws.call("cloudfront", "create_distribution_with_tags", DistributionConfigWithTags=request)
    return _distribution(answer, tags)


def change_distribution(aws: Aws, present: Distribution, properties: Mapping[str, Any]) -> None:
    """Change a distribution; what the page does not care for stays as it is."""
    _update(aws, present, _config(present.config, properties))


def disable_distribution(aws: Aws, present: Distribution) -> None:
    """Have a distribution answer nobody any more; only then can it be deleted, once that is deployed."""
    _update(aws, present, {**present.config, "Enabled": False})


def delete_distribution(aws: Aws, present: Distribution) -> None:
    """Delete a distribution that is disabled, and deployed so."""
    aws.call("cloudfront", "delete_distribution", Id=present.distribution_id, IfMatch=present.etag)


def invalidate(aws: Aws, distribution_id: str, reference: str, paths: Sequence[str]) -> None:
    """Have the edge locations ask for these paths anew."""
    batch = {"Paths": {"Quantity": len(paths), "Items": list(paths)}, "CallerReference": reference}
    aws.call("cloudfront", "create_invalidation", DistributionId=distribution_id, InvalidationBatch=batch)


def find_named(aws: Aws, kind: NamedKind, name: str) -> Named | None:
    """Look one up by its name."""
    request: dict[str, Any] = {"Type": "custom"} if kind is NamedKind.HEADERS_POLICY else {}
    while True:
        page = aws.call("cloudfront", f"list_{kind.plural}", **request)[f"{kind.element}List"]
        for item in page.get("Items") or []:
            # A list has origin access controls flat, and response headers policies as they are described.
            found = item.get(kind.element, item)
            config = found.get(kind.config_key, found)
            if config.get("Name") == name:
                return Named(found["Id"], name, {key: value for key, value in config.items() if key != "Id"})
        if not page.get("NextMarker"):
            return None
        request["Marker"] = page["NextMarker"]


def put_named(aws: Aws, kind: NamedKind, present: Named | None, config: Mapping[str, Any]) -> str:
    """Make one, or change it; returns its id. One that a lost answer made is taken over."""
    request = {kind.config_key: dict(config)}
    if present is None:
        try:
            made = aws.call("cloudfront", f"create_{kind.value}", **request)
            return str(made[kind.element]["Id"])
        except AlreadyExistsError:
            present = find_named(aws, kind, config["Name"])
            if present is None:
                raise
    etag = aws.call("cloudfront", f"get_{kind.value}", Id=present.resource_id)["ETag"]
    aws.call("cloudfront", f"update_{kind.value}", Id=present.resource_id, IfMatch=etag, **request)
    return present.resource_id


def delete_named(aws: Aws, kind: NamedKind, resource_id: str) -> None:
    """Delete one that no distribution uses any more."""
    etag = aws.call("cloudfront", f"get_{kind.value}", Id=resource_id)["ETag"]
    aws.call("cloudfront", f"delete_{kind.value}", Id=resource_id, IfMatch=etag)


def access_config(name: str, description: str) -> dict[str, Any]:
    """The configuration of a page's origin access control: every request to the bucket is signed."""
    return {
        "Name": name,
        "Description": description,
        "SigningProtocol": "sigv4",
        "SigningBehavior": "always",
        "OriginAccessControlOriginType": "s3",
    }


def headers_config(name: str, comment: str, headers: Mapping[str, str]) -> dict[str, Any]:
    """The configuration of a response headers policy that sends `headers`, in CloudFront's terms where it has them."""
    security: dict[str, Any] = {}
    custom = []
    for header, value in headers.items():
        match header:
            case "Content-Security-Policy":
                security["ContentSecurityPolicy"] = {"Override": True, "ContentSecurityPolicy": value}
            case "X-Content-Type-Options":
                security["ContentTypeOptions"] = {"Override": True}
            case "X-Frame-Options":
                security["FrameOptions"] = {"Override": True, "FrameOption": value}
            case "Referrer-Policy":
                security["ReferrerPolicy"] = {"Override": True, "ReferrerPolicy": value}
            case _:
                custom.append({"Header": header, "Value": value, "Override": True})
    return {
        "Name": name,
        "Comment": comment,
        "SecurityHeadersConfig": security,
        "CustomHeadersConfig": {"Quantity": len(custom), "Items": custom},
    }


def _update(aws: Aws, present: Distribution, config: Mapping[str, Any]) -> None:
    aws.call(
        "cloudfront",
        "update_distribution",
        Id=present.distribution_id,
        IfMatch=present.etag,
        DistributionConfig=dict(config),
    )


def _config(present: Mapping[str, Any], properties: Mapping[str, Any]) -> dict[str, Any]:
    """A whole configuration: what is there, with the page's properties in place of its own."""
    (origin,) = properties["Origins"]
    behaviour = present.get("DefaultCacheBehavior", {})
    methods = ["GET", "HEAD"]
    return {
        **present,
        **{key: properties[key] for key in ("Comment", "Enabled", "DefaultRootObject")},
        "Origins": {
            "Quantity": 1,
            "Items": [{"Id": _ORIGIN, **origin, "S3OriginConfig": {"OriginAccessIdentity": ""}}],
        },
        "DefaultCacheBehavior": {
            "AllowedMethods": {
                "Quantity": 2,
                "Items": methods,
                "CachedMethods": {"Quantity": 2, "Items": methods},
            },
            # A cache policy and the older way to say the same exclude each other.
            **{key: value for key, value in behaviour.items() if key not in _OLD_CACHING},
            "TargetOriginId": _ORIGIN,
            **properties["DefaultCacheBehavior"],
        },
    }


_OLD_CACHING = frozenset({"ForwardedValues", "MinTTL", "DefaultTTL", "MaxTTL"})


def _distribution(answer: Mapping[str, Any], tags: Mapping[str, str]) -> Distribution:
    found = answer["Distribution"]
    return Distribution(
        distribution_id=found["Id"],
        arn=found["ARN"],
        domain=found["DomainName"],
        enabled=bool(found["DistributionConfig"].get("Enabled")),
        deployed=found.get("Status") == DEPLOYED,
        tags=tags,
        config=found["DistributionConfig"],
        etag=answer["ETag"],
    )
