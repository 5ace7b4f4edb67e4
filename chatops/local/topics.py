"""Topic names and filters: what is allowed in them, and which filters a topic matches.

The index is a tree of levels, walked level by level without recursion, so that neither a deep topic nor a hostile
filter can exhaust the stack.
"""

from collections.abc import Hashable
from dataclasses import dataclass
from typing import Generic, TypeVar

SHARE_PREFIX = "$share/"
BASIC_INGEST_PREFIX = "$aws/rules/"

_MAX_TOPIC_BYTES = 65535

K = TypeVar("K", bound=Hashable)
V = TypeVar("V")


@dataclass(frozen=True, slots=True)
class Filter:
    """A topic filter, taken apart.

    Attributes:
        text: as the client wrote it.
        pattern: what is matched: without `$share/<group>/`.
        group: the name of the shared subscription, empty for an ordinary one.
    """

    text: str
    pattern: str
    group: str = ""

    @property
    def exact(self) -> bool:
        """Whether only one topic matches."""
        return "+" not in self.pattern and "#" not in self.pattern


def topic_problem(topic: str, *, max_bytes: int | None, max_slashes: int | None) -> str | None:
    """Say why `topic` cannot be published to, or None.

    The slashes of `$aws/rules/<rule>/` (Basic Ingest) do not count, as AWS IoT Core's quota says.
    """
    if not topic:
        return "the topic is empty"
    if "+" in topic or "#" in topic or "\0" in topic:
        return "the topic contains a wildcard or NUL"
    if topic.startswith(SHARE_PREFIX):
        return "$share/ is for subscriptions"
    counted = topic
    if topic.startswith(BASIC_INGEST_PREFIX):
        counted = topic[len(BASIC_INGEST_PREFIX) :].partition("/")[2]
    return _size_problem(counted, max_bytes, max_slashes)


def parse_filter(text: str, *, max_bytes: int | None, max_slashes: int | None) -> Filter:
    """Take a filter apart. `$share/<group>/` counts neither as bytes nor as slashes.

    Raises:
        ValueError: it is empty, too long, misplaces a wildcard, or its `$share` lacks a part.
    """
    group = ""
    pattern = text
    if text.startswith(SHARE_PREFIX) or text == "$share":
        _, _, rest = text.partition("/")
        group, slash, pattern = rest.partition("/")
        if not group or not slash or "+" in group or "#" in group:
            raise ValueError("a shared subscription is written $share/<group>/<filter>")
    if not pattern:
        raise ValueError("the filter is empty")
    if "\0" in pattern:
        raise ValueError("the filter contains NUL")
    if (problem := _size_problem(pattern, max_bytes, max_slashes)) is not None:
        raise ValueError(problem)
    if "+" in pattern or "#" in pattern:
        levels = pattern.split("/")
        if any(("+" in level or "#" in level) and len(level) > 1 for level in levels) or "#" in levels[:-1]:
            raise ValueError("+ and # stand alone between slashes, and # comes last")
    return Filter(text, pattern, group)


def matches(pattern: str, topic: str) -> bool:
    """Whether `topic` matches `pattern` (MQTT 5, section 4.7); wildcards in front do not match `$`-topics."""
    if topic.startswith("$") and pattern[0] in "+#":
        return False
    levels = topic.split("/")
    wanted = pattern.split("/")
    for index, level in enumerate(wanted):
        if level == "#":
            return True
        if index >= len(levels) or level not in {"+", levels[index]}:
            return False
    return len(wanted) == len(levels)


def _size_problem(text: str, max_bytes: int | None, max_slashes: int | None) -> str | None:
    limit = _MAX_TOPIC_BYTES if max_bytes is None else max_bytes
    try:
        size = len(text) if text.isascii() else len(text.encode())
    except UnicodeEncodeError:
        return "it is not Unicode text"
    if size > limit:
        return f"it is {size} bytes long, over {limit}"
    if max_slashes is not None and (slashes := text.count("/")) > max_slashes:
        return f"it has {slashes} slashes, over {max_slashes}"
    return None


class _Node(Generic[K, V]):
    __slots__ = ("children", "values")

    def __init__(self) -> None:
        self.children: dict[str, _Node[K, V]] = {}
        self.values: dict[K, V] = {}


class FilterIndex(Generic[K, V]):
    """Which values are filed under filters that match a topic. One value for each pair of filter and key."""

    def __init__(self) -> None:
        self._root: _Node[K, V] = _Node()
        self._size = 0

    def __len__(self) -> int:
        return self._size

    def add(self, pattern: str, key: K, value: V) -> None:
        """File `value`, in place of another with the same filter and key."""
        node = self._root
        for level in pattern.split("/"):
            child = node.children.get(level)
            if child is None:
                child = node.children[level] = _Node()
            node = child
        self._size += key not in node.values
        node.values[key] = value

    def remove(self, pattern: str, key: K) -> bool:
        """Take a value out; returns whether it was there."""
        path: list[tuple[_Node[K, V], str]] = []
        node = self._root
        for level in pattern.split("/"):
            child = node.children.get(level)
            if child is None:
                return False
            path.append((node, level))
            node = child
        if key not in node.values:
            return False
        del node.values[key]
        self._size -= 1
        for parent, level in reversed(path):
            child = parent.children[level]
            if child.values or child.children:
                break
            del parent.children[level]
        return True

    def match(self, topic: str) -> list[V]:
        """List the values filed under filters that match `topic`."""
        found: list[V] = []
        reserved = topic.startswith("$")
        frontier = [self._root]
        for depth, level in enumerate(topic.split("/")):
            wildcards = not (reserved and depth == 0)
            following: list[_Node[K, V]] = []
            for node in frontier:
                children = node.children
                if (child := children.get(level)) is not None:
                    following.append(child)
                if wildcards:
                    if (child := children.get("+")) is not None:
                        following.append(child)
                    if (child := children.get("#")) is not None:
                        found.extend(child.values.values())
            if not following:
                return found
            frontier = following
        for node in frontier:
            found.extend(node.values.values())
            if (child := node.children.get("#")) is not None:
                found.extend(child.values.values())
        return found
