"""Text that fits a terminal: how many cells it takes, where to break it, where to cut it."""

import unicodedata


def cells(text: str) -> int:
    """The columns that a text takes; it has no control characters."""
    if text.isascii():
        return len(text)
    return sum(_cells(character) for character in text)


def cut(text: str, most: int) -> str:
    """The beginning of a text that takes at most `most` columns; an ellipsis says that something follows."""
    if len(text) <= most and cells(text) <= most:
        return text
    kept, width = [], 1
    for character in text:
        width += _cells(character)
        if width > most:
            break
        kept.append(character)
    return "".join(kept) + "…"


def wrap(text: str, first: int, others: int) -> list[str]:
    """Break a text into lines, at spaces where there are some.

    Args:
        first: the columns of the first line.
        others: the columns of each line that follows.
    """
    if len(text) <= first and cells(text) <= first:
        return [text]
    lines: list[str] = []
    line: list[str] = []
    width, room, space = 0, first, -1
    for character in text:
        size = _cells(character)
        if width + size > room and line:
            # A word that is longer than a line is broken where the line ends.
            end = space if space > 0 else len(line)
            lines.append("".join(line[:end]).rstrip(" "))
            line = line[end:]
            while line and line[0] == " ":
                line.pop(0)
            width, room, space = sum(_cells(each) for each in line), others, -1
            if character == " " and not line:
                continue
        if character == " ":
            space = len(line)
        line.append(character)
        width += size
    lines.append("".join(line))
    return lines


def _cells(character: str) -> int:
    if character.isascii():
        return 1
    if unicodedata.combining(character) or unicodedata.category(character) in {"Mn", "Me", "Cf"}:
        return 0
    return 2 if unicodedata.east_asian_width(character) in {"W", "F"} else 1
