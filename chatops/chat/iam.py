"""IAM policies, parsed and judged as AWS does: what the local gateway and `doctor --offline` decide with.

Differences to IAM, all on the side of refusing: what cannot be told (an operator that does not exist, a comparison
with something that is no number) lets no Allow match and lets every Deny match.
"""

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field
from enum import Enum
from typing import Any

from chatops.chat.iam_parser import compile_document, read_document
from chatops.chat.iam_patterns import Context, PolicyError
from chatops.chat.iam_statements import RequestPrincipal, Statement

__all__ = ["Context", "Decision", "Policy", "PolicyError", "RequestPrincipal", "evaluate", "parse_policy"]


class Decision(Enum):
    """What policies say about one request."""

    ALLOW = "allowed"
    EXPLICIT_DENY = "denied by a statement"
    IMPLICIT_DENY = "allowed by no statement"


@dataclass(frozen=True, slots=True)
class Policy:
    """A compiled policy. Two are equal when their documents say the same, whatever the order of keys and values.

    Attributes:
        content: the document in a canonical spelling.
        statements: the compiled form.
    """

    content: str
    statements: tuple[Statement, ...] = field(compare=False, repr=False)


def parse_policy(document: str | Mapping[str, Any]) -> Policy:
    """Parse and compile a policy document, JSON text or what was read from it.

    Its size is not looked at: the limit depends on where the policy is attached.

    Raises:
        PolicyError: says which statement is wrong, and what is wrong with it.
    """
    return Policy(*compile_document(read_document(document)))


def evaluate(
    policies: Iterable[Policy],
    *,
    action: str,
    resource: str,
    context: Context,
    principal: RequestPrincipal | None = None,
    must_test: Collection[str] = (),
) -> Decision:
    """Decide a request: one matching Deny refuses it, else one matching Allow allows it.

    Args:
        policies: all that apply to the requester.
        action: such as `iot:Publish`; case does not matter.
        resource: the whole ARN; anything for trust policies, which name none.
        context: condition keys and their values.
        principal: who asks, for resource-based policies such as a trust policy: each statement must then name it.
            Without it a statement that names principals allows nothing.
        must_test: condition keys. An Allow counts only when its statement has a condition on each of them: some
            attributes of a request are granted only by statements that speak of them (`iot:ConnectAttributes`).
    """
    wanted = action.lower()
    needed = {key.lower() for key in must_test} if must_test else None
    allowed = False
    for policy in policies:
        for statement in policy.statements:
            if (allowed and statement.allows) or not statement.actions.covers(wanted):
                continue
            applies = statement.applies(resource, context, principal)
            if not statement.allows:
                if applies is not False:
                    return Decision.EXPLICIT_DENY
            elif applies and (needed is None or needed <= statement.tested_keys):
                allowed = True
    return Decision.ALLOW if allowed else Decision.IMPLICIT_DENY
