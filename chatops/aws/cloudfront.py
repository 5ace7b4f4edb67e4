"""CloudFront in front of a page's bucket: the verbs of the lifecycle.

A distribution reads a private bucket through an origin access control, and adds the page's security headers by a
response headers policy. Only a distribution can carry tags; the other two are known by their name.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
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

    def properties(self) -> dict[str, Any]:
        """The properties that a page cares for; see `wanted_distribution`."""
        origins = self.config.get("Origins", {}).get("Items", [])
        behaviour = self.config.get("DefaultCacheBehavior", {})
        return {
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


@dataclass(frozen=True, slots=True)
class Named:
    """An origin access control or a response headers policy, known by its name."""

    resource_id: str
    name: str
    config: Mapping[str, Any]


def wanted_distribution(origin: str, access_id: str, headers_id: str) -> dict[str, Any]:
    """The properties of a page's distribution: those that `Distribution.properties` reads."""
    return {
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
    aws: Aws, reference: str, comment: str, properties: Mapping[str, Any], tags: Mapping[str, str]
) -> Distribution:
    """Make a distribution.

    Args:
        reference: CloudFront makes one distribution a reference, so that a repeated request makes no second.
        properties: see `wanted_distribution`.

    Raises:
        AlreadyExistsError: a distribution was made with this reference.
    """
    config = _config({"CallerReference": reference}, comment, properties)
    request = {"DistributionConfig": config, "Tags": {"Items": [{"Key": k, "Value": v} for k, v in tags.items()]}}
    answer = aws.call("cloudfront", "create_distribution_with_tags", DistributionConfigWithTags=request)
    return _distribution(answer, tags)


def change_distribution(aws: Aws, present: Distribution, properties: Mapping[str, Any]) -> None:
    """Change a distribution; what the page does not care for stays as it is."""
    comment = str(present.config.get("Comment", ""))
    config = _config(present.config, comment, properties)
    aws.call(
        "cloudfront",
        "update_distribution",
        Id=present.distribution_id,
        IfMatch=present.etag,
        DistributionConfig=config,
    )


def disable_distribution(aws: Aws, present: Distribution) -> None:
    """Have a distribution answer nobody any more; only then can it be deleted, once that is deployed."""
    config = {**present.config, "Enabled": False}
    aws.call(
        "cloudfront",
        "update_distribution",
        Id=present.distribution_id,
        IfMatch=present.etag,
        DistributionConfig=config,
    )


def delete_distribution(aws: Aws, present: Distribution) -> None:
    """Delete a distribution that is disabled, and deployed so."""
    aws.call("cloudfront", "delete_distribution", Id=present.distribution_id, IfMatch=present.etag)


def invalidate(aws: Aws, distribution_id: str, reference: str, paths: Sequence[str]) -> None:
    """Have the edge locations ask for these paths anew."""
    batch = {"Paths": {"Quantity": len(paths), "Items": list(paths)}, "CallerReference": reference}
    aws.call("cloudfront", "create_invalidation", DistributionId=distribution_id, InvalidationBatch=batch)


def find_access_control(aws: Aws, name: str) -> Named | None:
    """Look an origin access control up by its name."""
    request: dict[str, Any] = {}
    while True:
        page = aws.call("cloudfront", "list_origin_access_controls", **request)["OriginAccessControlList"]
        for found in page.get("Items") or []:
            if found.get("Name") == name:
                config = {key: value for key, value in found.items() if key != "Id"}
                return Named(found["Id"], name, config)
        if not page.get("IsTruncated"):
            return None
        request["Marker"] = page["NextMarker"]


def put_access_control(aws: Aws, present: Named | None, config: Mapping[str, Any]) -> str:
    """Make an origin access control, or change it; returns its id. One that a lost answer made is taken over."""
    if present is None:
        try:
            made = aws.call("cloudfront", "create_origin_access_control", OriginAccessControlConfig=dict(config))
            return str(made["OriginAccessControl"]["Id"])
        except AlreadyExistsError:
            present = find_access_control(aws, config["Name"])
            if present is None:
                raise
    etag = aws.call("cloudfront", "get_origin_access_control", Id=present.resource_id)["ETag"]
    aws.call(
        "cloudfront",
        "update_origin_access_control",
        Id=present.resource_id,
        IfMatch=etag,
        OriginAccessControlConfig=dict(config),
    )
    return present.resource_id


def delete_access_control(aws: Aws, resource_id: str) -> None:
    """Delete an origin access control that no distribution uses any more."""
    etag = aws.call("cloudfront", "get_origin_access_control", Id=resource_id)["ETag"]
    aws.call("cloudfront", "delete_origin_access_control", Id=resource_id, IfMatch=etag)


def find_headers_policy(aws: Aws, name: str) -> Named | None:
    """Look a response headers policy of the account's up by its name."""
    request: dict[str, Any] = {"Type": "custom"}
    while True:
        page = aws.call("cloudfront", "list_response_headers_policies", **request)["ResponseHeadersPolicyList"]
        for summary in page.get("Items") or []:
            found = summary["ResponseHeadersPolicy"]
            config = found["ResponseHeadersPolicyConfig"]
            if config.get("Name") == name:
                return Named(found["Id"], name, config)
        if not page.get("NextMarker"):
            return None
        request["Marker"] = page["NextMarker"]


def put_headers_policy(aws: Aws, present: Named | None, config: Mapping[str, Any]) -> str:
    """Make a response headers policy, or change it; returns its id. One that a lost answer made is taken over."""
    if present is None:
        try:
            made = aws.call("cloudfront", "create_response_headers_policy", ResponseHeadersPolicyConfig=dict(config))
            return str(made["ResponseHeadersPolicy"]["Id"])
        except AlreadyExistsError:
            present = find_headers_policy(aws, config["Name"])
            if present is None:
                raise
    etag = aws.call("cloudfront", "get_response_headers_policy", Id=present.resource_id)["ETag"]
    aws.call(
        "cloudfront",
        "update_response_headers_policy",
        Id=present.resource_id,
        IfMatch=etag,
        ResponseHeadersPolicyConfig=dict(config),
    )
    return present.resource_id


def delete_headers_policy(aws: Aws, resource_id: str) -> None:
    """Delete a response headers policy that no distribution uses any more."""
    etag = aws.call("cloudfront", "get_response_headers_policy", Id=resource_id)["ETag"]
    aws.call("cloudfront", "delete_response_headers_policy", Id=resource_id, IfMatch=etag)


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


def _config(present: Mapping[str, Any], comment: str, properties: Mapping[str, Any]) -> dict[str, Any]:
    """A whole configuration: what is there, with the page's properties in place of its own."""
    (origin,) = properties["Origins"]
    behaviour = present.get("DefaultCacheBehavior", {})
    methods = ["GET", "HEAD"]
    return {
        **present,
        "Comment": comment,
        "Enabled": properties["Enabled"],
        "DefaultRootObject": properties["DefaultRootObject"],
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
