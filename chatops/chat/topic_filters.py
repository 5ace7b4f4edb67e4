"""MQTT topic filters, matched on this side: which topics a filter stands for."""

from collections.abc import Callable, Iterable


def topic_matcher(filters: Iterable[str]) -> Callable[[str], bool]:
    """Make a test for topics that match any of `filters`.

    As MQTT has it, `#` at the end also stands for the level above it, and a wildcard in front does not stand for
    topics that begin with `$`.
    """
    whole = frozenset(f for f in filters if "+" not in f and "#" not in f)
    patterns = [f.split("/") for f in filters if f not in whole]

    def matches(topic: str) -> bool:
        if topic in whole:
            return True
        levels = topic.split("/")
        return any(_matches(pattern, levels) for pattern in patterns)

    return matches


def _matches(pattern: list[str], levels: list[str]) -> bool:
    if levels[0].startswith("$") and pattern[0] in {"+", "#"}:
        return False
    if pattern[-1] == "#":
        pattern = pattern[:-1]
        if len(levels) < len(pattern):
            return False
        levels = levels[: len(pattern)]
    return len(pattern) == len(levels) and all(
        part in {"+", level} for part, level in zip(pattern, levels, strict=True)
    )
