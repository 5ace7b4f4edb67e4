"""From an IAM policy document to compiled statements, and a complaint that names the statement where it cannot be."""

import json
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from chatops.chat.iam_conditions import Condition
from chatops.chat.iam_patterns import PolicyError, shown
from chatops.chat.iam_statements import ANYONE, ActionSet, PrincipalSet, ResourceSet, Statement

VERSIONS = ("2008-10-17", "2012-10-17")
_WITH_VARIABLES = "2012-10-17"
_POLICY_KEYS = frozenset({"Version", "Id", "Statement"})
_STATEMENT_KEYS = frozenset(
    {
        "Sid",
        "Effect",
        "Principal",
        "NotPrincipal",
        "Action",
        "NotAction",
        "Resource",
        "NotResource",
        "Condition",
    }
)
_PRINCIPAL_KINDS = frozenset({"AWS", "Federated", "Service", "CanonicalUser"})


def read_document(document: str | Mapping[str, Any]) -> Mapping[str, Any]:
    """Read JSON without forgiving anything: IAM takes no duplicate keys, no NaN, nothing but an object."""
    if not isinstance(document, str):
        if not isinstance(document, Mapping):
            raise PolicyError(f"The policy must be a JSON object, not {shown(document)}")
        return document
    try:
        loaded = json.loads(document, object_pairs_hook=_object, parse_constant=_no_constant)
    except PolicyError:
        raise
    except json.JSONDecodeError as error:
        raise PolicyError(f"The policy is not JSON: {error.msg} at line {error.lineno} column {error.colno}") from None
    except RecursionError:
        raise PolicyError("The policy is not JSON that can be read: it is nested too deeply") from None
    except ValueError:  # Python reads no integer of thousands of digits
        raise PolicyError("The policy is not JSON that can be read: a number in it is too long") from None
    if not isinstance(loaded, dict):
        raise PolicyError(f"The policy must be a JSON object, not {shown(loaded)}")
    return loaded


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    result = dict(pairs)
    if len(result) != len(pairs):
        seen: set[str] = set()
        for key, _ in pairs:
            if key in seen:
                raise PolicyError(f"The policy has the key {shown(key)} twice in one object")
            seen.add(key)
    return result


def _no_constant(text: str) -> Any:
    raise PolicyError(f"The policy is not JSON: {text} is not a JSON value")


def compile_document(document: Mapping[str, Any]) -> tuple[str, tuple[Statement, ...]]:
    """Check and compile a whole document.

    Returns:
        The content in a canonical spelling, for comparison, and the statements.

    Raises:
        PolicyError: the document is not one that IAM would take.
    """
    _known_keys(document, _POLICY_KEYS, "The policy")
    version = document.get("Version", VERSIONS[0])
    if version not in VERSIONS:
        raise PolicyError(f"The policy's Version is {shown(version)}; it must be one of {', '.join(VERSIONS)}")
    if "Id" in document and not isinstance(document["Id"], str):
        raise PolicyError(f"The policy's Id must be a string, not {shown(document['Id'])}")
    statements = document.get("Statement")
    if isinstance(statements, Mapping):
        statements = [statements]
    if not isinstance(statements, list | tuple) or not statements:
        raise PolicyError("The policy must have a Statement: an object or a list of at least one")
    readers = [
        _StatementReader(statement, _place(statement, number), version)
        for number, statement in enumerate(statements, start=1)
    ]
    _unique_sids(readers)
    compiled = tuple(reader.compile() for reader in readers)
    content = json.dumps([version, document.get("Id"), [reader.content for reader in readers]])
    return content, compiled


def _known_keys(mapping: Mapping[str, Any], known: frozenset[str], where: str) -> None:
    for key in mapping:
        if key not in known:
            raise PolicyError(f"{where} has the unknown key {shown(key)}; known are {', '.join(sorted(known))}")


def _place(statement: object, number: int) -> str:
    sid = statement.get("Sid") if isinstance(statement, Mapping) else None
    return f"Statement {number}" + (f" ({sid[:64]})" if isinstance(sid, str) and _is_sid(sid) and sid else "")


def _is_sid(sid: str) -> bool:
    return not sid or (sid.isascii() and sid.isalnum())


def _unique_sids(readers: Iterable["_StatementReader"]) -> None:
    seen: set[str] = set()
    for reader in readers:
        sid = reader.sid
        if sid and sid in seen:
            raise PolicyError(f"{reader.place} has the Sid of another statement")
        seen.add(sid)


class _StatementReader:
    """Checks one statement, and gathers its content in a canonical form while compiling it."""

    def __init__(self, statement: object, place: str, version: str) -> None:
        if not isinstance(statement, Mapping):
            raise PolicyError(f"{place} must be an object, not {shown(statement)}")
        self.place = place
        self.content: dict[str, Any] = {}
        self._statement: Mapping[str, Any] = statement
        self._variables = version == _WITH_VARIABLES
        _known_keys(statement, _STATEMENT_KEYS, place)
        sid = statement.get("Sid", "")
        if not isinstance(sid, str) or not _is_sid(sid):
            raise PolicyError(f"{place}: Sid must be letters and digits, not {shown(sid)}")
        self.sid: str = sid

    def compile(self) -> Statement:
        effect = self._statement.get("Effect")
        if effect not in ("Allow", "Deny"):
            problem = "has no Effect" if "Effect" not in self._statement else f"has the Effect {shown(effect)}"
            raise PolicyError(f"{self.place} {problem}; it must be Allow or Deny")
        self.content |= {"Sid": self.sid, "Effect": effect}
        principals = self._principals()
        try:
            actions = self._actions()
            resources = self._resources(optional=principals is not None)
            conditions, tested = self._conditions()
        except PolicyError as error:
            if str(error).startswith(self.place):
                raise
            raise PolicyError(f"{self.place}: {error}") from None
        return Statement(
            allows=effect == "Allow",
            actions=actions,
            resources=resources,
            principals=principals,
            conditions=conditions,
            tested_keys=tested,
        )

    def _one_of(self, name: str) -> str | None:
        """Return which of `X` and `NotX` the statement has."""
        present = [key for key in (name, f"Not{name}") if key in self._statement]
        if len(present) > 1:
            raise PolicyError(f"{self.place} has both {name} and Not{name}; it may have only one")
        return present[0] if present else None

    def _strings(self, key: str, value: object, *, scalars: bool = False) -> list[str]:
        values = value if isinstance(value, list | tuple) else [value]
        if not values:
            raise PolicyError(f"{self.place}: {key} is an empty list; name at least one value")
        return [self._string(key, item, scalars=scalars) for item in values]

    def _string(self, key: str, value: object, *, scalars: bool) -> str:
        if isinstance(value, str):
            return value
        if scalars and isinstance(value, bool | int | float):
            try:
                return json.dumps(value, allow_nan=False)
            except ValueError:
                raise PolicyError(f"{self.place}: {key} has a number that JSON cannot hold") from None
        wanted = "strings, numbers or booleans" if scalars else "a string or a list of strings"
        raise PolicyError(f"{self.place}: {key} must be {wanted}, not {shown(value)}")

    def _actions(self) -> ActionSet:
        key = self._one_of("Action")
        if key is None:
            raise PolicyError(f"{self.place} has neither Action nor NotAction; it must have one")
        values = self._strings(key, self._statement[key])
        for value in values:
            if ":" not in value and value != ANYONE:
                raise PolicyError(
                    f"{self.place}: {key} {shown(value)} must be * or a service and an operation, such as iot:Publish"
                )
        self.content[key] = sorted(values)
        return ActionSet(values, inverted=key == "NotAction")

    def _resources(self, *, optional: bool) -> ResourceSet | None:
        key = self._one_of("Resource")
        if key is None:
            if optional:  # a trust policy stands at its resource
                return None
            raise PolicyError(f"{self.place} has neither Resource nor NotResource; it must have one")
        values = self._strings(key, self._statement[key])
        for value in values:
            if not value.startswith(("arn:", "*", "?", "${", "arn*", "arn?")):
                raise PolicyError(f"{self.place}: {key} {shown(value)} must be * or an ARN, which starts with arn:")
        self.content[key] = sorted(values)
        return ResourceSet(values, inverted=key == "NotResource", variables=self._variables)

    def _principals(self) -> PrincipalSet | None:
        key = self._one_of("Principal")
        if key is None:
            return None
        value = self._statement[key]
        if value == ANYONE:
            value = {"AWS": ANYONE}
        if not isinstance(value, Mapping) or not value:
            raise PolicyError(f'{self.place}: {key} must be "*" or an object such as {{"Federated": …}}')
        _known_keys(value, _PRINCIPAL_KINDS, f"{self.place}: {key}")
        names = {kind: self._strings(f"{key} {kind}", listed) for kind, listed in value.items()}
        self.content[key] = {kind: sorted(names[kind]) for kind in sorted(names)}
        return PrincipalSet(names, inverted=key == "NotPrincipal")

    def _conditions(self) -> tuple[Sequence[Condition], frozenset[str]]:
        block = self._statement.get("Condition", {})
        if not isinstance(block, Mapping):
            raise PolicyError(f"{self.place}: Condition must be an object, not {shown(block)}")
        conditions: list[Condition] = []
        content: list[tuple[str, str, list[str]]] = []
        for name, keys in block.items():
            if not isinstance(name, str) or not isinstance(keys, Mapping):
                raise PolicyError(f"{self.place}: Condition {shown(name)} must be an object of condition keys")
            for key, value in keys.items():
                if not isinstance(key, str) or not key:
                    raise PolicyError(f"{self.place}: Condition {shown(name)} has a key that is no condition key")
                values = self._strings(f"Condition {shown(name)} {shown(key)}", value, scalars=True)
                conditions.append(Condition(name, key, values, variables=self._variables))
                content.append((name, key, sorted(values)))
        self.content["Condition"] = sorted(content)
        return conditions, frozenset(key.lower() for _, key, _ in content)
