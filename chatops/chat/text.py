"""Any stranger's text, made safe for one line of a terminal.

A terminal obeys escape sequences, draws some characters not at all and others out of order: with them a message can
rewrite what stands above it, hide a part of itself or look like somebody else's. Whatever does so is shown as a
backslash escape. Text that people write stays as it is, emoji sequences and the joiners of Arabic and Indic scripts
included.
"""

import unicodedata

_MOST_MARKS = 6
"""Combining marks kept on one character. Tibetan and pointed Hebrew need five; more is there to overflow the line."""

_NEVER_SHOWN = frozenset("\u034f\u115f\u1160\u17b4\u17b5\u180b\u180c\u180d\u180f\u2065\u2800\u3164\uffa0\U0001d159")
"""Fillers and ignorable characters that Unicode does not put among controls or formats."""

_VISIBLE_FORMATS = frozenset("\u0600\u0601\u0602\u0603\u0604\u0605\u06dd\u070f\u0890\u0891\u08e2\U000110bd\U000110cd")
"""Signs that have a shape although Unicode calls them formats."""

_ZWNJ, _ZWJ = "\u200c", "\u200d"
_EMOJI_STYLES = frozenset("\ufe0e\ufe0f")
_KEYCAPS = frozenset("0123456789#*")
_JOINING_SCRIPTS = ((0x0600, 0x0DFF), (0x1000, 0x109F), (0x1780, 0x17FF))
_SHORT_ESCAPES = {"\n": "\\n", "\r": "\\r", "\t": "\\t"}


def safe_text(text: str) -> str:
    r"""Escape what a terminal would obey, hide or reorder; the result is one line that shows all there is.

    Backslashes that were in the text stay single: the result is for reading, not for reading back.

    >>> safe_text("\x1b[2Jhello\n")
    '\\x1b[2Jhello\\n'
    """
    if text.isascii() and text.isprintable():
        return text
    result: list[str] = []
    before = ""
    marks = 0
    for index, character in enumerate(text):
        category = unicodedata.category(character)
        if category[0] == "M":
            marks += 1
            keep = before != "" and marks <= _MOST_MARKS and _mark_is_shown(before, character)
        else:
            marks = 0
            keep = _is_shown(character, category) or (
                character in (_ZWJ, _ZWNJ) and _joins(before, character, text[index + 1 : index + 2])
            )
        result.append(character if keep else _escaped(character))
        before = character if keep else ""
    return "".join(result)


def _is_shown(character: str, category: str) -> bool:
    """Say whether a character that is no mark has a shape, or is a space, wherever it stands."""
    if category in ("Cc", "Cs", "Zl", "Zp") or character in _NEVER_SHOWN:
        return False
    if category == "Cf":
        return character in _VISIBLE_FORMATS
    if category == "Cn":  # unknown to this Python, such as a new emoji, unless it can never have a shape
        code = ord(character)
        return not (code & 0xFFFE == 0xFFFE or 0xFDD0 <= code <= 0xFDEF or code >= 0xE0000 or 0xFFF0 <= code <= 0xFFF8)
    return True


def _mark_is_shown(before: str, mark: str) -> bool:
    if mark in _NEVER_SHOWN:
        return False
    if mark in _EMOJI_STYLES:
        return before in _KEYCAPS or _is_pictograph(before)
    if "\ufe00" <= mark <= "\ufe0d" or "\U000e0100" <= mark <= "\U000e01ef":
        return unicodedata.category(before) in ("Lo", "Sm")
    return True


def _joins(before: str, joiner: str, after: str) -> bool:
    """Say whether a joiner stands where it has a visible effect: within an emoji sequence, or a script that joins."""
    if not before or not after:
        return False
    if joiner == _ZWJ and _is_pictograph(after) and (_is_pictograph(before) or before in _EMOJI_STYLES):
        return True
    return _is_joining(before) and _is_joining(after)


def _is_pictograph(character: str) -> bool:
    """Say whether this may be part of an emoji: a symbol, a skin tone, or what this Python does not know yet."""
    return unicodedata.category(character) in ("So", "Sk", "Sm", "Cn") and ord(character) > 0xA0


def _is_joining(character: str) -> bool:
    code = ord(character)
    return any(first <= code <= last for first, last in _JOINING_SCRIPTS) and unicodedata.category(character)[0] in "LM"


def _escaped(character: str) -> str:
    code = ord(character)
    if character in _SHORT_ESCAPES:
        return _SHORT_ESCAPES[character]
    if code <= 0xFF:
        return f"\\x{code:02x}"
    return f"\\u{code:04x}" if code <= 0xFFFF else f"\\U{code:08x}"
