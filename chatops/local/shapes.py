"""Input shapes of an AWS service, checked against the service model that botocore ships.

Only what the local stack answers itself is checked here. Each operation is compiled once into nested functions, so
that the two calls every guest makes stay cheap. A type that does not fit is a `SerializationException`, a value that
breaks a constraint a `ValidationException`, as AWS's JSON services answer. Members that the model does not know are
refused too: AWS would ignore them, but here they mean a caller newer than the stack.
"""

import gzip
import importlib.resources
import json
import re
from collections.abc import Callable, Mapping
from typing import Any

from chatops.local.aws_errors import ApiError

Check = Callable[[Any, str], Any]
_SHOWN_CHARACTERS = 100
_DEEPEST_JSON = 32


def load_model(service: str) -> dict[str, Any]:
    """Read the newest service model of `service` (botocore's folder name) from the installed botocore."""
    versions = importlib.resources.files("botocore").joinpath("data", service)
    newest = max(folder.name for folder in versions.iterdir() if folder.is_dir())
    packed = versions.joinpath(newest, "service-2.json.gz").read_bytes()
    model: dict[str, Any] = json.loads(gzip.decompress(packed))
    return model


def parse_json_object(body: bytes) -> dict[str, Any]:
    """Read a request body that must be one JSON object; an empty body counts as an empty one.

    Raises:
        ApiError: `SerializationException`, whatever a stranger sent.
    """
    if not body:
        return {}
    try:
        value = json.loads(
            body.decode("utf-8"), object_pairs_hook=_object_without_duplicates, parse_constant=_refuse_constant
        )
        if b"\\u" in body:
            json.dumps(value, ensure_ascii=False).encode("utf-8")  # a lone surrogate is no text
    except (ValueError, RecursionError) as error:
        raise ApiError("SerializationException", f"The body is not valid JSON: {_reason(error)}") from None
    if not isinstance(value, dict):
        raise ApiError("SerializationException", "The body is not a JSON object")
    return value


def _reason(error: Exception) -> str:
    match error:
        case RecursionError():
            return "nested too deep"
        case UnicodeError():
            return "it is not UTF-8 text"
        case _:
            return str(error)[:_SHOWN_CHARACTERS]


def _object_without_duplicates(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    value = dict(pairs)
    if len(value) != len(pairs):
        raise ValueError("a key appears twice in one object")
    return value


def _refuse_constant(name: str) -> Any:
    raise ValueError(f"{name} is not JSON")


class ServiceShapes:
    """The operations of one service and their input checks.

    Args:
        model: a botocore service model, as `load_model` returns it.
    """

    def __init__(self, model: Mapping[str, Any]) -> None:
        self._shapes: Mapping[str, Mapping[str, Any]] = model["shapes"]
        self._operations: Mapping[str, Mapping[str, Any]] = model["operations"]
        self._checks: dict[str, Check] = {}

    @property
    def operations(self) -> frozenset[str]:
        """The names of all operations that AWS has."""
        return frozenset(self._operations)

    def check(self, operation: str, value: Mapping[str, Any]) -> dict[str, Any]:
        """Return the members of `value` that are given (JSON null counts as absent).

        Raises:
            ApiError: a member is of the wrong type, missing, unknown, or breaks a constraint of the model.
        """
        check = self._checks.get(operation)
        if check is None:
            shape = self._operations[operation]["input"]["shape"]
            check = self._checks[operation] = self._compile(shape, 0)
        checked: dict[str, Any] = check(value, "")
        return checked

    def _compile(self, name: str, depth: int) -> Check:
        if depth > _DEEPEST_JSON:
            raise ValueError(f"the shape {name} is nested deeper than expected")
        shape = self._shapes[name]
        match shape["type"]:
            case "structure":
                return self._structure(shape, depth)
            case "list":
                return self._list(shape, depth)
            case "map":
                return self._map(shape, depth)
            case "string" | "blob":
                return _string(shape)
            case "boolean":
                return _scalar(bool, "Boolean")
            case "integer" | "long":
                return _number(shape, int, "Integer")
            case "double" | "float" | "timestamp":
                return _number(shape, (int, float), "Double")
            case other:
                raise ValueError(f"the shape {name} has the unknown type {other}")

    def _structure(self, shape: Mapping[str, Any], depth: int) -> Check:
        members = {
            name: (name[0].lower() + name[1:], self._compile(member["shape"], depth + 1))
            for name, member in shape["members"].items()
        }
        required = frozenset(shape.get("required", ()))

        def check(value: Any, path: str) -> Any:
            if not isinstance(value, dict):
                raise _wrong_type(value, "structure", path)
            checked = {}
            prefix = f"{path}." if path else ""
            for name, given in value.items():
                if given is None:
                    continue
                known = members.get(name)
                if known is None:
                    raise ApiError(
                        "ValidationException", f"{_shown(prefix + name)} is not a parameter of this operation"
                    )
                checked[name] = known[1](given, prefix + known[0])
            missing = required - checked.keys()
            if missing:
                raise _invalid("null", prefix + members[min(missing)][0], "Member must not be null", quote=False)
            return checked

        return check

    def _list(self, shape: Mapping[str, Any], depth: int) -> Check:
        member = self._compile(shape["member"]["shape"], depth + 1)
        size = _size(shape)

        def check(value: Any, path: str) -> Any:
            if not isinstance(value, list):
                raise _wrong_type(value, "list", path)
            size(value, path)
            return [member(each, f"{path}.{number}.member") for number, each in enumerate(value, 1)]

        return check

    def _map(self, shape: Mapping[str, Any], depth: int) -> Check:
        key_check = self._compile(shape["key"]["shape"], depth + 1)
        value_check = self._compile(shape["value"]["shape"], depth + 1)
        size = _size(shape)

        def check(value: Any, path: str) -> Any:
            if not isinstance(value, dict):
                raise _wrong_type(value, "map", path)
            size(value, path)
            return {key_check(key, path): value_check(each, f"{path}.{key}.member") for key, each in value.items()}

        return check


def _string(shape: Mapping[str, Any]) -> Check:
    size = _size(shape)
    pattern = _java_pattern(shape.get("pattern"))
    allowed = frozenset(shape.get("enum", ()))
    written = shape.get("pattern")

    def check(value: Any, path: str) -> Any:
        if not isinstance(value, str):
            raise _wrong_type(value, "String", path)
        size(value, path)
        if pattern is not None and pattern.fullmatch(value) is None:
            raise _invalid(value, path, f"Member must satisfy regular expression pattern: {written}")
        if allowed and value not in allowed:
            raise _invalid(value, path, f"Member must satisfy enum value set: [{', '.join(sorted(allowed))}]")
        return value

    return check


def _java_pattern(written: str | None) -> re.Pattern[str] | None:
    """Compile a pattern of the model. Those with Unicode classes, which `re` lacks, are not checked."""
    if written is None or r"\p{" in written:
        return None
    return re.compile(written, re.ASCII)


def _size(shape: Mapping[str, Any]) -> Callable[[Any, str], None]:
    least, most = shape.get("min", 0), shape.get("max")

    def check(value: Any, path: str) -> None:
        if len(value) < least:
            raise _invalid(value, path, f"Member must have length greater than or equal to {least}")
        if most is not None and len(value) > most:
            raise _invalid(value, path, f"Member must have length less than or equal to {most}")

    return check


def _scalar(kind: type, name: str) -> Check:
    def check(value: Any, path: str) -> Any:
        if not isinstance(value, kind):
            raise _wrong_type(value, name, path)
        return value

    return check


def _number(shape: Mapping[str, Any], kinds: type | tuple[type, ...], name: str) -> Check:
    least, most = shape.get("min"), shape.get("max")

    def check(value: Any, path: str) -> Any:
        if isinstance(value, bool) or not isinstance(value, kinds):
            raise _wrong_type(value, name, path)
        if least is not None and value < least:
            raise _invalid(value, path, f"Member must have value greater than or equal to {least}")
        if most is not None and value > most:
            raise _invalid(value, path, f"Member must have value less than or equal to {most}")
        return value

    return check


def _wrong_type(value: Any, wanted: str, path: str) -> ApiError:
    kind = {bool: "BOOLEAN_VALUE", int: "NUMBER_VALUE", float: "DECIMAL_VALUE", str: "STRING_VALUE"}
    found = kind.get(type(value), "START_OBJECT" if isinstance(value, dict) else "START_ARRAY")
    where = f" (at {_shown(path)})" if path else ""
    return ApiError("SerializationException", f"{found} can not be converted to {wanted}{where}")


def _invalid(value: Any, path: str, constraint: str, *, quote: bool = True) -> ApiError:
    shown = f"'{_shown(value)}'" if quote else str(value)
    return ApiError(
        "ValidationException",
        f"1 validation error detected: Value {shown} at '{_shown(path)}' failed to satisfy constraint: {constraint}",
    )


def _shown(value: Any) -> str:
    if isinstance(value, list | dict):
        return f"{len(value)} items"
    text = str(value)
    return text if len(text) <= _SHOWN_CHARACTERS else text[:_SHOWN_CHARACTERS] + "…"
