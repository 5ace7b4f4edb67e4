"""The page's part of an executor. What it needs to know it looks up when it comes to it, by name and tag.

New assets go before what names them, old ones after; a visitor in between gets a whole page, old or new.
"""

import secrets
import time
from collections.abc import Callable
from contextlib import suppress
from typing import Any, assert_never

from chatops.aws import cloudfront, hosting, iam
from chatops.aws.cloudfront import NamedKind
from chatops.aws.session import Aws
from chatops.environment import Environment
from chatops.errors import AlreadyExistsError, AwsError, ConfigurationError, InUseError, NotFoundError
from chatops.infra.page import (
    ASSETS,
    INDEX,
    TAG_PAGE,
    Content,
    ContentMaker,
    Host,
    Placement,
    access_config,
    bucket_policy,
    bucket_properties,
    headers_config,
    origin_domain,
)
from chatops.infra.page_planner import find_distributions, missing_files, old_keys, site_of
from chatops.infra.resources import Desired, Kind
from chatops.infra.steps import Action, Step

LONGEST_DEPLOYMENT_S = 1800.0
"""AWS gives no bound for how long a change takes to reach the edge; it is usually a few minutes."""

_FIRST_DELAY_S = 0.1
_LONGEST_DELAY_S = 15.0
_SAY_FIRST_S, _SAY_EVERY_S = 2.0, 15.0

Waiting = Callable[[str], None]
"""Told, now and then, what is waited for."""


class PageExecutor:
    """One run over a page's steps.

    Args:
        placement: where the page goes; None in a teardown.
        file: the environment's, which may know the distribution that somebody renamed.
        content: makes the page.
    """

    def __init__(
        self,
        aws: Aws,
        desired: Desired,
        placement: Placement | None,
        file: Environment | None,
        content: ContentMaker | None,
        waiting: Waiting,
    ) -> None:
        self._aws = aws
        self._desired = desired
        self._placement = placement
        self._file = file
        self._maker = content
        self._waiting = waiting
        self._made: Content | None = None

    def carry_out(self, step: Step, environment: Callable[[], Environment]) -> str:
        """Do what a step says; returns the resource's name.

        Args:
            environment: the environment as it is, or becomes, for the page to be made of.
        """
        if step.action is Action.KEEP:
            return step.name
        match step.kind:
            case Kind.BUCKET:
                self._bucket(step)
            case Kind.ORIGIN_ACCESS:
                wanted = None if step.action is Action.DELETE else access_config(self._desired)
                self._named(step, NamedKind.ACCESS_CONTROL, wanted)
            case Kind.HEADERS_POLICY:
                is_gone = step.action is Action.DELETE
                wanted = None if is_gone else headers_config(self._desired, self._content(environment))
                self._named(step, NamedKind.HEADERS_POLICY, wanted)
            case Kind.DISTRIBUTION:
                return self._distribution_step(step)
            case Kind.BUCKET_POLICY:
                arn = self._distribution().arn if self._placed.host is Host.CLOUDFRONT else ""
                document = bucket_policy(self._desired, self._placed, arn)
                hosting.set_policy(self._aws, self._placed.bucket, document)
            case Kind.PAGE_FILES:
                self._files(self._content(environment), is_first=step.action is Action.CREATE)
            case (
                Kind.IDENTITY_POOL | Kind.GUEST_ROLE | Kind.GUEST_POLICY | Kind.POOL_ROLE | Kind.ENV_FILE
            ):  # the executor's own
                raise RuntimeError(f"{step.kind.value} is not the page's")
            case _:
                assert_never(step.kind)
        return step.name

    def finish(self) -> dict[str, str]:
        """Have the guest role remember where the page is; returns what the environment's file says of it."""
        self._remember()
        distribution = self._distribution() if self._placed.host is Host.CLOUDFRONT else None
        return site_of(self._desired, self._placed, distribution)

    @property
    def _placed(self) -> Placement:
        if self._placement is None:
            raise RuntimeError("a plan that makes something of a page says where")
        return self._placement

    def _content(self, environment: Callable[[], Environment]) -> Content:
        if self._made is None:
            self._made = self._maker(environment()) if self._maker is not None else None
        if self._made is None:
            raise ConfigurationError(
                "The page is not built here", f"run `chatops site publish --env {self._desired.name}`"
            )
        return self._made

    # --- the bucket

    def _bucket(self, step: Step) -> None:
        if step.action is Action.DELETE:
            with suppress(NotFoundError):
                hosting.delete_bucket(self._aws, step.name)
            return
        name = self._placed.bucket
        # First the memory, then the thing: what an interruption leaves must be found again.
        role = iam.find_role(self._aws, self._desired.role_name)
        if role is None or role.tags.get(TAG_PAGE, "").partition("/")[2] != name:
            self._remember()
        if step.action is Action.CREATE:
            hosting.create_bucket(self._aws, name, self._desired.account)
        present = hosting.find_bucket(self._aws, name, self._desired.account)
        if present is None:
            raise AwsError(f"The bucket {name} was made, and is not there", "wait a moment")
        wanted = bucket_properties(self._desired, self._placed, present.tags)
        if dict(present.tags) != wanted["tags"]:
            hosting.tag_bucket(self._aws, name, wanted["tags"])
        if dict(present.access) != wanted["publicAccessBlock"]:
            hosting.set_public_access(self._aws, name, wanted["publicAccessBlock"])
        if present.index != wanted["indexDocument"]:
            hosting.set_website(self._aws, name, wanted["indexDocument"])

    def _remember(self) -> None:
        iam.tag_role(self._aws, self._desired.role_name, {TAG_PAGE: self._placed.tag})

    def _files(self, content: Content, *, is_first: bool) -> None:
        bucket = self._placed.bucket
        missing = missing_files(self._aws, bucket, content)
        for file in missing:
            hosting.put_file(self._aws, bucket, file)
        changed = [f"/{file.path}" for file in missing if not file.path.startswith(ASSETS)]
        if changed and not is_first and self._placed.host is Host.CLOUDFRONT:
            paths = [*changed, "/"] if f"/{INDEX}" in changed else changed
            distribution = self._distribution().distribution_id
            cloudfront.invalidate(self._aws, distribution, secrets.token_hex(8), paths)
        hosting.delete_keys(self._aws, bucket, old_keys(self._aws, bucket, content))

    # --- CloudFront

    def _named(self, step: Step, kind: NamedKind, wanted: dict[str, Any] | None) -> None:
        """An origin access control or a response headers policy; `wanted` is None to delete it."""
        found = cloudfront.find_named(self._aws, kind, step.name)
        if wanted is not None:
            cloudfront.put_named(self._aws, kind, found, wanted)
        elif found is not None:
            with suppress(NotFoundError):
                cloudfront.delete_named(self._aws, kind, found.resource_id)

    def _distribution_step(self, step: Step) -> str:
        match step.action:
            case Action.CREATE:
                return self._created_distribution().distribution_id
            case Action.CHANGE:
                cloudfront.change_distribution(self._aws, self._distribution(), self._wanted_distribution())
            case Action.DELETE:
                self._delete_distribution(step.name)
            case Action.KEEP:
                pass
            case _:
                assert_never(step.action)
        return step.name

    def _created_distribution(self) -> cloudfront.Distribution:
        """Make the distribution, once: CloudFront makes one a reference, and the name is the first to be tried.

        Whether the reference of a distribution that was deleted may be used again AWS does not say; where it may not,
        another does.
        """
        desired = self._desired
        wanted = self._wanted_distribution()
        try:
            return cloudfront.create_distribution(self._aws, desired.page_name, wanted, desired.tags)
        except AlreadyExistsError:
            found = next(iter(find_distributions(self._aws, desired, self._file)), None)
            if found is None:
                reference = f"{desired.page_name}-{secrets.token_hex(4)}"
                return cloudfront.create_distribution(self._aws, reference, wanted, desired.tags)
            if found.properties() != wanted:
                cloudfront.change_distribution(self._aws, found, wanted)
            return found

    def _wanted_distribution(self) -> dict[str, Any]:
        name = self._desired.page_name
        access = cloudfront.find_named(self._aws, NamedKind.ACCESS_CONTROL, name)
        headers = cloudfront.find_named(self._aws, NamedKind.HEADERS_POLICY, name)
        if access is None or headers is None:
            raise AwsError("What the distribution needs is gone again", "wait a moment")
        origin = origin_domain(self._desired, self._placed.bucket)
        return cloudfront.wanted_distribution(name, origin, access.resource_id, headers.resource_id)

    def _distribution(self) -> cloudfront.Distribution:
        found = next(iter(find_distributions(self._aws, self._desired, self._file)), None)
        if found is None:
            raise AwsError("The page's distribution is gone again", "wait a moment")
        return found

    def _delete_distribution(self, distribution_id: str) -> None:
        found = cloudfront.find_distribution(self._aws, distribution_id)
        if found is None:
            return
        if found.enabled:
            cloudfront.disable_distribution(self._aws, found)
        found = wait_until_deployed(self._aws, distribution_id, "until it is disabled everywhere", self._waiting)
        if found is not None:
            with suppress(NotFoundError):
                cloudfront.delete_distribution(self._aws, found)


def wait_until_deployed(
    aws: Aws, distribution_id: str, words: str, waiting: Waiting, longest_s: float = LONGEST_DEPLOYMENT_S
) -> cloudfront.Distribution | None:
    """Wait until the edge has a distribution's configuration; returns it, None when it is gone.

    Raises:
        InUseError: it took longer than `longest_s`.
    """
    begun = time.monotonic()
    say_at = begun + _SAY_FIRST_S
    delay = _FIRST_DELAY_S
    while True:
        found = cloudfront.find_distribution(aws, distribution_id)
        if found is None or found.deployed:
            return found
        now = time.monotonic()
        if now - begun > longest_s:
            raise InUseError(
                f"CloudFront still deploys {distribution_id} after {now - begun:.0f} s",
                "wait some more",
            )
        if now >= say_at:
            say_at = now + _SAY_EVERY_S
            waiting(f"waiting for CloudFront, {now - begun:.0f} s so far: {words} (usually some minutes)")
        time.sleep(delay)
        delay = min(_LONGEST_DELAY_S, delay * 2)
