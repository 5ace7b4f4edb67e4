"""One statement of an IAM policy, compiled: does it speak about this request?"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from chatops.chat.iam_conditions import Condition
from chatops.chat.iam_patterns import Context, Pattern, tokenize

ANYONE = "*"


@dataclass(frozen=True, slots=True)
class RequestPrincipal:
    """Who makes a request, for policies that name principals.

    Attributes:
        kind: `Federated`, `AWS`, `Service` or `CanonicalUser`.
        name: as the policy would spell it, such as `cognito-identity.amazonaws.com` or an ARN.
    """

    kind: str
    name: str


class _Names:
    """Patterns, sorted by how fast they can be compared: one of several texts, one of several beginnings, others."""

    __slots__ = ("exact", "others", "prefixes")

    def __init__(self, patterns: Sequence[Pattern]) -> None:
        self.exact = frozenset(pattern.exact for pattern in patterns if pattern.exact is not None)
        self.prefixes = tuple(pattern.prefix for pattern in patterns if pattern.prefix is not None)
        self.others = tuple(p for p in patterns if p.exact is None and p.prefix is None)

    def match(self, text: str, context: Context) -> bool | None:
        """Say whether a pattern matches; None when none does and a variable has no value."""
        if text in self.exact or text.startswith(self.prefixes):
            return True
        answer: bool | None = False
        for pattern in self.others:
            match = pattern.matches(text, context)
            if match:
                return True
            if match is None:
                answer = None
        return answer


class ActionSet:
    """`Action` or `NotAction`: names without regard to case, with wildcards."""

    __slots__ = ("_inverted", "_names")

    def __init__(self, texts: Sequence[str], *, inverted: bool) -> None:
        self._inverted = inverted
        self._names = _Names([Pattern(tokenize(t.lower(), variables=False, wildcards=True)) for t in texts])

    def covers(self, action: str) -> bool:
        """Say whether the statement speaks about `action`, given in lower case."""
        return bool(self._names.match(action, {})) is not self._inverted


class ResourceSet:
    """`Resource` or `NotResource`. The pattern is matched against the whole ARN: `*` crosses `/` and `:`.

    That a star at the end of an ARN's part reaches beyond the colon is what the IAM user guide says.
    """

    __slots__ = ("_inverted", "_names")

    def __init__(self, texts: Sequence[str], *, inverted: bool, variables: bool) -> None:
        self._inverted = inverted
        self._names = _Names([Pattern(tokenize(t, variables=variables, wildcards=True)) for t in texts])

    def covers(self, resource: str, context: Context) -> bool | None:
        """Say whether the statement speaks about `resource`.

        A variable without a value makes a `Resource` match nothing, and a `NotResource` undecidable (None): else it
        would allow just because something is missing.
        """
        match = self._names.match(resource, context)
        if self._inverted:
            return match if match is None else not match
        return bool(match)


class PrincipalSet:
    """`Principal` or `NotPrincipal`: names by kind; `*` is everyone."""

    __slots__ = ("_inverted", "_names")

    def __init__(self, names: Mapping[str, Sequence[str]], *, inverted: bool) -> None:
        self._inverted = inverted
        self._names = {kind: frozenset(values) for kind, values in names.items()}

    def covers(self, principal: RequestPrincipal | None) -> bool | None:
        """Say whether the statement speaks about `principal`; None when it is not known who asks."""
        if principal is None:
            return None
        names = self._names.get(principal.kind, frozenset())
        named = (
            ANYONE in self._names.get("AWS", ())
            or ANYONE in names
            or principal.name in names
            or (principal.kind == "AWS" and not names.isdisjoint(_account_names(principal.name)))
        )
        return named is not self._inverted


def _account_names(arn: str) -> tuple[str, ...]:
    """Both ways to name the whole account that an ARN belongs to."""
    parts = arn.split(":", 5)
    return (parts[4], f"arn:{parts[1]}:iam::{parts[4]}:root") if len(parts) == 6 else ()


class Statement:
    """One compiled statement. Attributes are read by the evaluator only."""

    __slots__ = ("actions", "allows", "conditions", "principals", "resources", "tested_keys")

    def __init__(
        self,
        *,
        allows: bool,
        actions: ActionSet,
        resources: ResourceSet | None,
        principals: PrincipalSet | None,
        conditions: Sequence[Condition],
        tested_keys: frozenset[str],
    ) -> None:
        self.allows = allows
        self.actions = actions
        self.resources = resources
        self.principals = principals
        self.conditions = tuple(conditions)
        self.tested_keys = tested_keys

    def applies(self, resource: str, context: Context, principal: RequestPrincipal | None) -> bool | None:
        """Say whether all but the action holds; None when that cannot be told and nothing speaks against it."""
        answer: bool | None = True
        if self.resources is not None:
            answer = self.resources.covers(resource, context)
        if answer is not False and (self.principals is not None or principal is not None):
            match = None if self.principals is None else self.principals.covers(principal)
            answer = match if not match else answer
        for condition in self.conditions:
            if answer is False:
                break
            holds = condition.judge(context)
            answer = holds if not holds else answer
        return answer
