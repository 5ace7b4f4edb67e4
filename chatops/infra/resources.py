"""What an environment consists of, as wanted: pure data derived from the settings.

Names are deterministic and everything that can carry tags does, so that what exists is found again by looking, never
by a local state file.
"""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum
from typing import Any

from chatops.chat.policy import guest_policy, trust_policy
from chatops.chat.rooms import DEFAULT_PREFIX

TAG_ENVIRONMENT = "chatops:environment"
TAG_MANAGED = "chatops:managed"
TAG_POLICY = "chatops:policy"
"""On the guest role when its policy is the operator's own: the document's fingerprint."""


class Kind(Enum):
    """The kinds of resource, in the order in which they depend on each other."""

    IDENTITY_POOL = "identity pool"
    GUEST_ROLE = "guest role"
    GUEST_POLICY = "guest policy"
    POOL_ROLE = "role of the pool"
    BUCKET = "page's bucket"
    ORIGIN_ACCESS = "origin access"
    HEADERS_POLICY = "headers policy"
    DISTRIBUTION = "distribution"
    BUCKET_POLICY = "bucket policy"
    PAGE_FILES = "page's files"
    ENV_FILE = "environment file"


def fingerprint(document: Mapping[str, Any]) -> str:
    """A short text that is equal for equal documents, fit for a tag's value."""
    canonical = json.dumps(document, sort_keys=True, separators=(",", ":"))
    return f"own-{hashlib.sha256(canonical.encode()).hexdigest()[:32]}"


@dataclass(frozen=True, slots=True)
class Desired:
    """An environment as wanted.

    Attributes:
        account: the AWS account's id.
        gateway: the account's gateway name, looked up.
        title, rooms: None keeps what the environment file says.
        endpoints: URL overrides to record, because these calls were made through them.
        policy: the operator's own guest policy document, in place of the least-privilege one.
        least_privilege: go back to the least-privilege policy, where the operator's own is in force.
        adopt: the id of a pool made by hand that this environment takes over.
    """

    name: str
    region: str
    account: str
    gateway: str
    prefix: str = DEFAULT_PREFIX
    title: str | None = None
    rooms: tuple[str, ...] | None = None
    endpoints: Mapping[str, str] | None = None
    policy: Mapping[str, Any] | None = None
    adopt: str | None = None
    least_privilege: bool = False

    @property
    def pool_name(self) -> str:
        """Cognito takes letters, digits and `_ @ - .` among others in a pool's name."""
        return f"chatops-{self.name}"

    @property
    def role_name(self) -> str:
        """The guest role; IAM is global, so that the Region is part of the name."""
        return f"chatops-{self.name}-{self.region}-guest"

    @property
    def policy_name(self) -> str:
        """The guest role's inline policy."""
        return "chatops-guest"

    @property
    def page_name(self) -> str:
        """What carries the page: the bucket, unless the operator names another, and what is in front of it.

        Buckets have one name space in the whole world, and none of the environment's own characters but some. The
        digest keeps environments of one name apart that are in other accounts or Regions.
        """
        digest = hashlib.sha256(f"{self.account}/{self.region}/{self.name}".encode()).hexdigest()[:10]
        return f"chatops-{self.name.lower().replace('_', '-')}-{digest}"

    @property
    def tags(self) -> dict[str, str]:
        """What marks a resource as this environment's."""
        return {TAG_ENVIRONMENT: self.name, TAG_MANAGED: "true"}

    @property
    def partition(self) -> str:
        """The ARN partition of the Region."""
        if self.region.startswith("cn-"):
            return "aws-cn"
        return "aws-us-gov" if self.region.startswith("us-gov-") else "aws"

    def pool(self, present_tags: Mapping[str, str] | None = None) -> dict[str, Any]:
        """The identity pool's properties, named as Cognito names them; tags of others are kept."""
        return {
            "IdentityPoolName": self.pool_name,
            "AllowUnauthenticatedIdentities": True,
            "AllowClassicFlow": False,
            "IdentityPoolTags": {**(present_tags or {}), **self.tags},
        }

    def guest_policy(self) -> Mapping[str, Any]:
        """The guest policy document."""
        if self.policy is not None:
            return self.policy
        return guest_policy(region=self.region, account=self.account, prefix=self.prefix, partition=self.partition)

    @property
    def policy_tag(self) -> str | None:
        """What `TAG_POLICY` should say; None for the least-privilege policy, which has no such tag."""
        return fingerprint(self.policy) if self.policy is not None else None

    def trust_policy(self, pool_id: str) -> dict[str, Any]:
        """The guest role's trust policy, once the pool is known."""
        return trust_policy(pool_id)
