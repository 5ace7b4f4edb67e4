"""The page's part of a plan: from what is wanted and what is there to steps. Only read calls are made here."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any

from chatops.aws import cloudfront, hosting
from chatops.aws.cloudfront import NamedKind
from chatops.aws.session import Aws
from chatops.environment import Environment
from chatops.errors import ConfigurationError, NotOwnedError
from chatops.infra.page import (
    ASSETS,
    TAG_PAGE,
    Content,
    Host,
    Placement,
    access_config,
    bucket_policy,
    bucket_properties,
    headers_config,
    origin_domain,
    page_url,
    placement_of,
)
from chatops.infra.resources import TAG_ENVIRONMENT, TAG_MANAGED, Desired, Kind
from chatops.infra.steps import Action, Step

_NOT_COMPARED = "not compared: the page is not built here"
_NEW = "the new one"


@dataclass(frozen=True, slots=True)
class FoundPage:
    """What is there of a page.

    Attributes:
        is_remembered: whether the guest role says which bucket it is.
        buckets: those that carry the environment's tags; more than one only before a teardown.
        is_unfinished: the bucket is empty and has no tags, as an interrupted publication leaves it.
        distributions: those that carry the environment's tags.
    """

    is_remembered: bool
    buckets: tuple[hosting.Bucket, ...]
    is_unfinished: bool
    access: cloudfront.Named | None
    headers: cloudfront.Named | None
    distributions: tuple[cloudfront.Distribution, ...]

    @property
    def bucket(self) -> hosting.Bucket | None:
        """The page's bucket."""
        return self.buckets[0] if self.buckets else None

    @property
    def distribution(self) -> cloudfront.Distribution | None:
        """The page's distribution."""
        return self.distributions[0] if self.distributions else None


def look_for_page(
    aws: Aws, desired: Desired, role_tags: Mapping[str, str], wanted: Placement | None, file: Environment | None
) -> FoundPage:
    """See what there is.

    Args:
        role_tags: the guest role's.
        wanted: where it should be; None looks for everything that a page may have left.

    Raises:
        ConfigurationError: something of that name exists but is not this environment's, or exists twice.
    """
    placement = placement_of(role_tags, file)
    names = [known.bucket for known in (wanted, placement) if known is not None][:1]
    if wanted is None and desired.page_name not in names:
        names.append(desired.page_name)
    buckets, is_unfinished = [], False
    for name in names:
        try:
            bucket = hosting.find_bucket(aws, name, desired.account)
        except NotOwnedError:
            if wanted is not None:
                raise
            continue
        if bucket is None:
            continue
        if not is_ours(bucket.tags, desired):
            # Made by hand for this, or by a publication that was interrupted before it could tag it.
            is_unfinished = not bucket.tags and next(hosting.list_keys(aws, name), None) is None
            if not is_unfinished or (wanted is None and placement is None):
                _refuse_bucket(bucket, desired, wanted)
                continue
        buckets.append(bucket)
    is_remembered = wanted is not None and role_tags.get(TAG_PAGE, "").partition("/")[2] == wanted.bucket
    hosts = {known.host for known in (placement, wanted) if known is not None}
    if wanted is not None and Host.CLOUDFRONT not in hosts:
        return FoundPage(is_remembered, tuple(buckets), is_unfinished, None, None, ())
    return FoundPage(
        is_remembered,
        tuple(buckets),
        is_unfinished,
        cloudfront.find_named(aws, NamedKind.ACCESS_CONTROL, desired.page_name),
        cloudfront.find_named(aws, NamedKind.HEADERS_POLICY, desired.page_name),
        tuple(find_distributions(aws, desired, file)),
    )


def find_distributions(aws: Aws, desired: Desired, file: Environment | None) -> Iterator[cloudfront.Distribution]:
    """Those that carry the environment's tags: by their comment; or, if somebody changed it, by the file's hint."""
    known = set()
    for found in cloudfront.find_distributions(aws, desired.page_name):
        if is_ours(found.tags, desired):
            known.add(found.distribution_id)
            yield found
    hint = file.site.get("distribution") if file else None
    if hint is not None and hint not in known:
        hinted = cloudfront.find_distribution(aws, hint)
        if hinted is not None and is_ours(hinted.tags, desired):
            yield hinted


def is_ours(tags: Mapping[str, str], desired: Desired) -> bool:
    """Tell whether something carries this environment's tags."""
    return tags.get(TAG_ENVIRONMENT) == desired.name and TAG_MANAGED in tags


def is_published_in(aws: Aws, desired: Desired, bucket: str) -> bool:
    """Tell whether a bucket that is remembered is there, and this environment's."""
    try:
        found = hosting.find_bucket(aws, bucket, desired.account)
    except NotOwnedError:
        return False
    return found is not None and is_ours(found.tags, desired)


def page_steps(
    aws: Aws,
    desired: Desired,
    placement: Placement,
    found: FoundPage,
    content: Content | None,
    *,
    is_outdated: bool = False,
) -> Iterator[Step]:
    """What is to be done so that the page is at `placement`, in order.

    Args:
        content: None leaves files and headers uncompared.
        is_outdated: whether the page will have to name what the same plan makes anew.

    Raises:
        ConfigurationError: there are two distributions.
    """
    if len(found.distributions) > 1:
        ids = ", ".join(sorted(each.distribution_id for each in found.distributions))
        raise ConfigurationError(
            f"{len(found.distributions)} distributions carry the tags of {desired.name!r}: {ids}",
            "remove the tags from the one that is not this environment's, or tear both down",
        )
    yield _bucket_step(desired, placement, found)
    if placement.host is Host.CLOUDFRONT:
        yield _named_step(Kind.ORIGIN_ACCESS, found.access, access_config(desired), "it signs what reads the bucket")
        yield _headers_step(desired, found, content)
        yield _distribution_step(desired, placement, found)
    yield _bucket_policy_step(desired, placement, found)
    if is_outdated and found.bucket is not None:
        yield Step(Action.CHANGE, Kind.PAGE_FILES, placement.bucket, "they name what is made anew")
    else:
        yield _files_step(aws, placement, found, content)
    if placement.host is Host.WEBSITE:
        yield from _cloudfront_deletions(found, "the page is a plain website now")


def teardown_steps(aws: Aws, found: FoundPage) -> Iterator[Step]:
    """The page's way towards nothing."""
    yield from _cloudfront_deletions(found, "it carries this environment's tags or name")
    for bucket in found.buckets:
        keys = sum(1 for _ in hosting.list_keys(aws, bucket.name))
        yield Step(Action.DELETE, Kind.BUCKET, bucket.name, f"with it go its {keys} files", destructive=True)


def site_of(desired: Desired, placement: Placement, distribution: cloudfront.Distribution | None) -> dict[str, str]:
    """What the environment's file says about the page."""
    url = page_url(desired, placement, distribution.host if distribution else None)
    if distribution is None:
        return {"bucket": placement.bucket, "url": url}
    return {"bucket": placement.bucket, "distribution": distribution.distribution_id, "url": url}


def file_with_site(file: Environment, desired: Desired, placement: Placement, found: FoundPage) -> Environment:
    """The environment with the page's place in it."""
    distribution = found.distribution if placement.host is Host.CLOUDFRONT else None
    return replace(file, site=site_of(desired, placement, distribution))


def _refuse_bucket(bucket: hosting.Bucket, desired: Desired, wanted: Placement | None) -> None:
    """Say that a bucket is not this environment's; one that nobody asked for is left alone."""
    if wanted is None:
        return
    owner = bucket.tags.get(TAG_ENVIRONMENT)
    whose = f"belongs to the environment {owner!r}" if owner else "does not carry this environment's tags"
    raise ConfigurationError(
        f"A bucket {bucket.name} exists and {whose}",
        f"choose another with --bucket, or tag it {TAG_ENVIRONMENT}={desired.name} and {TAG_MANAGED}=true",
    )


def _bucket_step(desired: Desired, placement: Placement, found: FoundPage) -> Step:
    bucket = found.bucket
    wanted = bucket_properties(desired, placement, bucket.tags if bucket else {})
    public = "anybody may read it" if placement.host is Host.WEBSITE else "private: CloudFront alone reads it"
    if bucket is None:
        return Step(Action.CREATE, Kind.BUCKET, placement.bucket, public, after=wanted)
    if bucket.region != desired.region:
        raise ConfigurationError(
            f"The bucket {bucket.name} is in {bucket.region}, and {desired.name} in {desired.region}",
            "choose another with --bucket",
        )
    present = {
        "tags": dict(bucket.tags),
        "publicAccessBlock": dict(bucket.access),
        "indexDocument": bucket.index,
    }
    if found.is_unfinished:
        reason = "it is empty and carries no tags: it is taken over"
        return Step(Action.CHANGE, Kind.BUCKET, bucket.name, reason, before=present, after=wanted)
    if not found.is_remembered:
        reason = "the guest role must remember it"
        return Step(Action.CHANGE, Kind.BUCKET, bucket.name, reason, before=present, after=wanted)
    if present != wanted:
        return Step(Action.CHANGE, Kind.BUCKET, bucket.name, public, before=present, after=wanted)
    return Step(Action.KEEP, Kind.BUCKET, bucket.name, "as wanted")


def _named_step(kind: Kind, found: cloudfront.Named | None, wanted: Mapping[str, Any], reason: str) -> Step:
    if found is None:
        return Step(Action.CREATE, kind, wanted["Name"], reason, after=wanted)
    present = {key: value for key, value in found.config.items() if key in wanted}
    if _bare(present) != _bare(wanted):
        return Step(Action.CHANGE, kind, wanted["Name"], "it differs", before=present, after=wanted)
    return Step(Action.KEEP, kind, wanted["Name"], "as wanted")


def _bare(value: Any) -> Any:
    """A configuration without what CloudFront leaves out or in as it likes: empty lists, and the order of headers."""
    if isinstance(value, Mapping):
        return {key: _bare(inner) for key, inner in value.items() if inner not in ({}, [], None, {"Quantity": 0})}
    if isinstance(value, list | tuple):
        return sorted((_bare(inner) for inner in value), key=repr)
    return value


def _headers_step(desired: Desired, found: FoundPage, content: Content | None) -> Step:
    if content is None:
        action = Action.KEEP if found.headers else Action.CREATE
        return Step(action, Kind.HEADERS_POLICY, desired.page_name, _NOT_COMPARED if found.headers else "it is missing")
    wanted = headers_config(desired, content)
    return _named_step(Kind.HEADERS_POLICY, found.headers, wanted, "every answer carries the page's security headers")


def _distribution_step(desired: Desired, placement: Placement, found: FoundPage) -> Step:
    wanted = cloudfront.wanted_distribution(
        desired.page_name,
        origin_domain(desired, placement.bucket),
        found.access.resource_id if found.access else _NEW,
        found.headers.resource_id if found.headers else _NEW,
    )
    present = found.distribution
    if present is None:
        reason = "it serves the page over HTTPS"
        return Step(Action.CREATE, Kind.DISTRIBUTION, desired.page_name, reason, after=wanted)
    before = present.properties()
    if before != wanted:
        reason = "its properties differ"
        return Step(Action.CHANGE, Kind.DISTRIBUTION, present.distribution_id, reason, before=before, after=wanted)
    return Step(Action.KEEP, Kind.DISTRIBUTION, present.distribution_id, "as wanted")


def _bucket_policy_step(desired: Desired, placement: Placement, found: FoundPage) -> Step:
    wanted = bucket_policy(desired, placement, found.distribution.arn if found.distribution else _NEW)
    reader = "anybody may read" if placement.host is Host.WEBSITE else "this one distribution may read"
    present = found.bucket.policy if found.bucket else None
    if present is None:
        return Step(Action.CREATE, Kind.BUCKET_POLICY, placement.bucket, reader, after=wanted)
    if present != wanted:
        reason = "the document differs"
        return Step(Action.CHANGE, Kind.BUCKET_POLICY, placement.bucket, reason, before=present, after=wanted)
    return Step(Action.KEEP, Kind.BUCKET_POLICY, placement.bucket, "as wanted")


def _files_step(aws: Aws, placement: Placement, found: FoundPage, content: Content | None) -> Step:
    bucket = placement.bucket
    if content is None:
        action = Action.KEEP if found.bucket else Action.CREATE
        return Step(action, Kind.PAGE_FILES, bucket, _NOT_COMPARED if found.bucket else "they are missing")
    if found.bucket is None:
        return Step(Action.CREATE, Kind.PAGE_FILES, bucket, f"{len(content.files)} to upload")
    missing = missing_files(aws, bucket, content)
    old = old_keys(aws, bucket, content)
    if not missing and not old:
        return Step(Action.KEEP, Kind.PAGE_FILES, bucket, "as this version makes them")
    words = [f"{len(missing)} to upload"] * bool(missing) + [f"{len(old)} old ones to remove"] * bool(old)
    action = Action.CREATE if len(missing) == len(content.files) else Action.CHANGE
    return Step(action, Kind.PAGE_FILES, bucket, ", ".join(words))


def missing_files(aws: Aws, bucket: str, content: Content) -> list[hosting.PageFile]:
    """The files that are not in the bucket as they should be, in the order in which they are uploaded."""
    return [file for file in content.files if not hosting.is_there(aws, bucket, file)]


def old_keys(aws: Aws, bucket: str, content: Content) -> list[str]:
    """Assets of earlier versions. What somebody else put beside the page is not touched."""
    wanted = {file.path for file in content.files}
    return [key for key in hosting.list_keys(aws, bucket) if key.startswith(ASSETS) and key not in wanted]


def _cloudfront_deletions(found: FoundPage, reason: str) -> Iterator[Step]:
    for distribution in found.distributions:
        yield Step(Action.DELETE, Kind.DISTRIBUTION, distribution.distribution_id, reason, destructive=True)
    if found.headers is not None:
        yield Step(Action.DELETE, Kind.HEADERS_POLICY, found.headers.name, reason)
    if found.access is not None:
        yield Step(Action.DELETE, Kind.ORIGIN_ACCESS, found.access.name, reason)
