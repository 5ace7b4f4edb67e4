"""Snapshots of moto's IAM and STS: the roles that judge guests, and the keys that may sign.

Taken in moto's thread, handed to the event loop as immutable values. What cannot be judged faithfully grants nothing:
a role with a policy that does not parse, or with a permissions boundary.
"""

import logging
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from chatops.chat.iam import Policy, PolicyError, parse_policy
from chatops.local.credentials import Credential, Principal, PrincipalKind
from chatops.local.roles import Role

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class IamSnapshot:
    """Roles by ARN, and credentials by access key id."""

    roles: Mapping[str, Role]
    credentials: Mapping[str, Credential]


class SnapshotTaker:
    """Reads moto's models.

    Args:
        account: whose roles and keys.
        iam: moto's `iam_backends`.
        sts: moto's `sts_backends`.
    """

    def __init__(self, account: str, iam: Mapping[str, Any], sts: Mapping[str, Any]) -> None:
        self._account = account
        self._iam = iam
        self._sts = sts
        self._compiled: dict[str, Policy | None] = {}

    def take(self) -> IamSnapshot:
        """Read everything; policies that were there before are not compiled again."""
        before, self._compiled = self._compiled, {}
        roles = {}
        credentials = {}
        for backend in dict.values(self._iam[self._account]):
            for role in backend.roles.values():
                roles[str(role.arn)] = self._role(role, before)
            for user in backend.users.values():
                for key in user.access_keys:
                    if key.status == "Active":
                        credentials[key.access_key_id] = self._credential(key, None, None)
        for backend in dict.values(self._sts[self._account]):
            for session in backend.assumed_roles:
                expires_at = session.expiration.replace(tzinfo=UTC).timestamp()
                if expires_at > datetime.now(UTC).timestamp():
                    credentials[session.access_key_id] = self._credential(session, session.session_token, expires_at)
        return IamSnapshot(roles, credentials)

    def _credential(self, key: Any, token: str | None, expires_at: float | None) -> Credential:
        principal = Principal(PrincipalKind.OPERATOR, self._account)
        return Credential(key.access_key_id, key.secret_access_key, token, expires_at, principal)

    def _role(self, role: Any, before: Mapping[str, Policy | None]) -> Role:
        arn = str(role.arn)
        trust = self._parsed(role.assume_role_policy_document, before, arn)
        policies = [self._parsed(document, before, arn) for document in _documents(role)]
        granted = tuple(policy for policy in policies if policy is not None)
        if len(granted) < len(policies):
            _log.warning("a policy of %s cannot be read: the role grants nothing", arn)
            granted = ()
        if role.permissions_boundary_arn:
            _log.warning("%s has a permissions boundary, which is not judged here: the role grants nothing", arn)
            granted = ()
        return Role(arn, trust, granted)

    def _parsed(self, document: Any, before: Mapping[str, Policy | None], arn: str) -> Policy | None:
        text = document if isinstance(document, str) else ""
        if text in before:
            self._compiled[text] = before[text]
        elif text not in self._compiled:
            try:
                self._compiled[text] = parse_policy(text)
            except PolicyError as error:
                _log.warning("a policy document of %s: %s", arn, error)
                self._compiled[text] = None
        return self._compiled[text]


def _documents(role: Any) -> Iterator[Any]:
    """Go through a role's inline policies and the default versions of its managed ones."""
    yield from role.policies.values()
    for policy in role.managed_policies.values():
        default = [version for version in policy.versions if version.version_id == policy.default_version_id]
        yield default[0].document if default else ""
