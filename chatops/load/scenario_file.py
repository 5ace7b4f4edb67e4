"""A scenario from a TOML file: the same data as from flags, checked the same way, with the place of what is wrong.

clients = 500
posts_per_s = 0.1

[[phases]]
name = "evening"
seconds = 60
rate = 1.0

[churn]
share_per_minute = 0.1

[storm]
share = 0.3
"""

import difflib
import re
import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from chatops.errors import UsageError
from chatops.files import read_bounded
from chatops.load.pacing import Arrivals
from chatops.load.profile import Phase, Shape
from chatops.load.scenario import Scenario, Spread

MOST_BYTES = 1024 * 1024

_WHOLE = ("clients", "rooms", "message_bytes", "seed", "receive_qos", "identities")
_REAL = (
    "zipf_exponent",
    "posts_per_s",
    "total_posts_per_s",
    "silent_share",
    "connects_per_s",
    "warm_up_s",
    "duration_s",
    "drain_limit_s",
    "join_timeout_s",
    "spike_factor",
)
_CHOICES: dict[str, type[Spread] | type[Arrivals] | type[Shape]] = {
    "spread": Spread,
    "arrivals": Arrivals,
    "shape": Shape,
}
_TABLES = {
    "churn": {"share_per_minute": "churn_per_minute", "away_s": "away_s"},
    "credentials": {"expire_at_s": "expiry_at_s", "back_within_s": "expiry_back_s"},
    "storm": {"share": "storm_share", "at_s": "storm_at_s", "back_within_s": "storm_back_s"},
}
_PHASE = ("name", "seconds", "rate", "from", "to")
_EITHER = (("posts_per_s", "total_posts_per_s"), ("phases", "duration_s"), ("phases", "shape"))
_PHASE_EITHER = (("rate", "from"), ("rate", "to"))
_TOP = (*_WHOLE, *_REAL, *_CHOICES, *_TABLES, "phases")


def read_scenario(path: Path) -> dict[str, Any]:
    """Read a scenario's values by their names in `Scenario`.

    Raises:
        UsageError: the file cannot be read, or holds what no scenario has; the error says where.
    """
    try:
        raw = read_bounded(path, MOST_BYTES)
    except OSError as error:
        raise UsageError(f"The scenario {path} cannot be read: {error.strerror}", "check the path") from None
    try:
        text = raw.decode("utf-8-sig")  # some editors begin a file with a byte order mark
        document = tomllib.loads(text)
    except (ValueError, RecursionError) as error:  # UnicodeDecodeError and TOMLDecodeError are ValueErrors
        raise UsageError(f"The scenario {path} is no TOML: {error or 'nested too deeply'}", "mend that place") from None
    return _Reader(path, text).values(document)


@dataclass(frozen=True, slots=True)
class _Reader:
    path: Path
    text: str

    def values(self, document: Mapping[str, Any]) -> dict[str, Any]:
        found: dict[str, Any] = {}
        for key in document:
            self._known(key, _TOP, ())
        self._either(document, _EITHER, ())
        for key, value in document.items():
            if key in _TABLES:
                found |= self._table(key, value)
            elif key == "phases":
                found["phases"] = self._phases(value)
            elif key in _CHOICES:
                found[key] = self._choice(key, value)
            else:
                found[key] = self._number(key, value, (), whole=key in _WHOLE)
        return found

    def _table(self, name: str, value: Any) -> dict[str, Any]:
        if not isinstance(value, dict):
            raise self._wrong((name,), f"{name} is a table", f"write [{name}] and its keys below")
        names = _TABLES[name]
        for key in value:
            self._known(key, tuple(names), (name,))
        return {names[key]: self._number(key, item, (name,)) for key, item in value.items()}

    def _phases(self, value: Any) -> tuple[Phase, ...]:
        if not isinstance(value, list) or not value or not all(isinstance(item, dict) for item in value):
            raise self._wrong(("phases",), "phases are tables", "write [[phases]] and its keys below, once for each")
        return tuple(self._phase(index, item) for index, item in enumerate(value))

    def _phase(self, index: int, item: Mapping[str, Any]) -> Phase:
        for key in item:
            self._known(key, _PHASE, ("phases",), index)
        self._either(item, _PHASE_EITHER, ("phases",), index)
        name = item.get("name", f"phase {index + 1}")
        if not isinstance(name, str) or len(name) > 80:
            raise self._wrong(("phases", "name"), "a phase's name is a short text", "put it in quotes", index)
        if "seconds" not in item:
            raise self._wrong(("phases",), f"the phase {name!r} has no length", "add: seconds = 10", index)
        numbers = {key: self._number(key, item[key], ("phases",), index=index) for key in item if key != "name"}
        rate = numbers.get("rate", 1.0)
        return Phase(name, numbers["seconds"], numbers.get("from", rate), numbers.get("to", rate))

    def _choice(self, key: str, value: Any) -> Any:
        choices = _CHOICES[key]
        try:
            return choices(value)
        except ValueError:
            names = ", ".join(choice.value for choice in choices)
            raise self._wrong((key,), f"{key} cannot be {value!r}", f"choose one of {names}") from None

    def _number(
        self, key: str, value: Any, table: tuple[str, ...], *, whole: bool = False, index: int = 0
    ) -> float | int:
        kinds = int if whole else (int, float)
        if isinstance(value, bool) or not isinstance(value, kinds):
            words = "a whole number" if whole else "a number"
            raise self._wrong((*table, key), f"{key} is {words}, not {value!r:.60}", "times are in seconds", index)
        if abs(value) > 1e18:
            raise self._wrong((*table, key), f"{key} is out of all bounds", "choose a smaller number", index)
        return int(value) if whole else float(value)

    def _either(
        self, found: Mapping[str, Any], pairs: Sequence[tuple[str, str]], table: tuple[str, ...], index: int = 0
    ) -> None:
        """Refuse a key that would have no effect beside another one."""
        for one, other in pairs:
            if one in found and other in found:
                raise self._wrong(
                    (*table, other), f"{other} cannot be said beside {one}", "leave one of them out", index
                )

    def _known(self, key: str, known: tuple[str, ...], table: tuple[str, ...], index: int = 0) -> None:
        if key in known:
            return
        near = difflib.get_close_matches(key, known, 1, 0.5)
        remedy = f"did you mean {near[0]}?" if near else f"there are {', '.join(known)}"
        raise self._wrong((*table, key), f"no scenario has the key {key!r:.80}", remedy, index)

    def _wrong(self, path: tuple[str, ...], problem: str, remedy: str, index: int = 0) -> UsageError:
        line, column = locate(self.text, path, index)
        return UsageError(f"{self.path}, line {line}, column {column}: {problem}", remedy)


_HEADER = re.compile(r"\s*\[\[?\s*([^\[\]]*?)\s*\]\]?\s*(?:#.*)?")


def locate(text: str, path: tuple[str, ...], index: int = 0) -> tuple[int, int]:
    """Line and column (from 1) of a key in a TOML text; of its table, or of the beginning, where it is not found.

    Args:
        path: the key with the tables before it.
        index: which of several tables of one name.
    """
    *tables, key = path
    wanted = ".".join(tables)
    table, seen, best = "", -1, (1, 1)
    for number, line in enumerate(text.splitlines(), 1):
        header = _HEADER.fullmatch(line)
        if header is not None:
            table = header[1].strip("\"'")
            seen += table == (wanted or key)
            if table == (wanted or key) and seen == index:
                best = (number, line.index("[") + 1 + line.startswith("[["))
                if not wanted:
                    return best
            continue
        if table == wanted and (not wanted or seen == index):
            found = re.match(rf"""\s*(["']?){re.escape(key)}\1\s*[=.]""", line)
            if found:
                return number, len(line) - len(line.lstrip()) + 1
    return best


def make_scenario(values: Mapping[str, Any]) -> Scenario:
    """Make a scenario of values by name.

    Raises:
        UsageError: a combination that cannot be.
    """
    return Scenario(**{"clients": 100, **values})
