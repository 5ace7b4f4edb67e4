"""Nothing that a stranger writes moves the cursor, hides or reorders what is shown; what people write stays."""

import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chatops.chat.messages import safe_text

FAMILY = "👩\u200d👩\u200d👧\u200d👦"
KEPT = [
    "",
    "hello, world",
    "back\\slash \\x1b stays",
    "Grüße, señor; naïve café",
    "e\u0301 combining",
    "日本語　全角",
    "한국어 조선말",
    "עברית שָׁלוֹם",
    "العربية مَرْحَبًا",
    "\u0645\u06cc\u200c\u062e\u0648\u0627\u0647\u0645",
    "क्\u200dष नमस्ते",
    "\u0bb6\u0bcd\u0bb0\u0bc0",
    "ภาษาไทย ที่",
    "བོད་སྐད་ རྒྱུ",
    FAMILY,
    "👍🏽 👩🏽\u200d💻",
    "❤\ufe0f 🏳\ufe0f\u200d🌈 ☺\ufe0e",
    "1\ufe0f\u20e3 #\ufe0f\u20e3",
    "🇫🇷🇯🇵",
    "葛\U000e0100",
    "\u0600\u0661",
    "∅ ≥ ½ € ™",
    "private \ue0b0",
    "\U0001fae9 newer than this Python",
    "nbsp\u00a0here",
    "\ufffd",
]
ESCAPED = [
    ("\x1b[31mred", "\\x1b[31mred"),
    ("\x1b]0;title\x07", "\\x1b]0;title\\x07"),
    ("\x9b31m", "\\x9b31m"),
    ("a\r\nb\tc", "a\\r\\nb\\tc"),
    ("\0\x08\x7f\x85", "\\x00\\x08\\x7f\\x85"),
    ("\u2028\u2029", "\\u2028\\u2029"),
    ("\u202egnp.exe", "\\u202egnp.exe"),
    ("\u202a\u202b\u202c\u202d", "\\u202a\\u202b\\u202c\\u202d"),
    ("\u2066\u2067\u2068\u2069", "\\u2066\\u2067\\u2068\\u2069"),
    ("\u200e\u200f\u061c", "\\u200e\\u200f\\u061c"),
    ("a\u200bd\u2060m\ufeffin", "a\\u200bd\\u2060m\\ufeffin"),
    ("ad\u00admin", "ad\\xadmin"),
    ("ad\u200dmin ad\u200cmin", "ad\\u200dmin ad\\u200cmin"),
    ("\u200d\u200c", "\\u200d\\u200c"),
    ("👩\u200d", "👩\\u200d"),
    ("\u200d👩", "\\u200d👩"),
    ("👩\u200d\u200d👩", "👩\\u200d\\u200d👩"),
    ("👩\u200da", "👩\\u200da"),
    ("a\ufe0f", "a\\ufe0f"),
    ("❤\ufe0f\ufe0f", "❤\ufe0f\\ufe0f"),
    ("a\U000e0100", "a\\U000e0100"),
    ("葛\U000e0100\U000e0101", "葛\U000e0100\\U000e0101"),
    ("\u0301start", "\\u0301start"),
    ("\x1b\u0301", "\\x1b\\u0301"),
    ("\u3164\uffa0\u115f\u1160\u2800", "\\u3164\\uffa0\\u115f\\u1160\\u2800"),
    ("a\u034fb", "a\\u034fb"),
    ("\U000e0041\U000e007f", "\\U000e0041\\U000e007f"),
    ("🏴\U000e0067\U000e007f", "🏴\\U000e0067\\U000e007f"),
    ("\ud800 \udfff", "\\ud800 \\udfff"),
    ("\ufff9\ufffa\ufffb", "\\ufff9\\ufffa\\ufffb"),
    ("\ufffe\ufdd0\U0010ffff", "\\ufffe\\ufdd0\\U0010ffff"),
    ("\U000e0000\U000e0fff", "\\U000e0000\\U000e0fff"),
    ("\U0001d173", "\\U0001d173"),
    ("o" + "\u0336" * 8, "o" + "\u0336" * 6 + "\\u0336\\u0336"),
]


@pytest.mark.parametrize("text", KEPT)
def test_kept(text: str) -> None:
    assert safe_text(text) == text


@pytest.mark.parametrize(("text", "shown"), ESCAPED)
def test_escaped(text: str, shown: str) -> None:
    assert safe_text(text) == shown


def test_marks_cannot_pile_up_over_escapes() -> None:
    zalgo = safe_text("Z" + "\u0300" * 100_000)
    assert zalgo.count("\u0300") == 6


ALLOWED_FORMATS = set(
    "\u200c\u200d\u0600\u0601\u0602\u0603\u0604\u0605\u06dd\u070f\u0890\u0891\u08e2\U000110bd\U000110cd"
)


@given(st.text(st.characters()) | st.text("\x1b\u200d\u200c\ufe0f👩a\u0301\u202e\u0627\U000e0041", max_size=12))
def test_whatever_comes(text: str) -> None:
    shown = safe_text(text)
    shown.encode()
    assert len(shown.splitlines()) <= 1
    assert safe_text(shown) == shown
    for character in shown:
        category = unicodedata.category(character)
        assert category not in {"Cc", "Cs", "Zl", "Zp"}
        assert category != "Cf" or character in ALLOWED_FORMATS
        assert not 0xE0000 <= ord(character) <= 0xE007F


@given(st.text(st.characters(codec="ascii", exclude_categories=["Cc"])))
def test_ascii_stays(text: str) -> None:
    assert safe_text(text) == text
