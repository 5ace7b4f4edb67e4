"""IAM patterns: `*`, `?` and policy variables, matched without backtracking.

Policies and topics both come from strangers, so a pattern such as `*a*a*a*b` must cost no more than a walk over the
text. A pattern is cut at its stars. The first and the last piece are compared in place; each one between is looked
for once, from where the piece before it ended, because the leftmost find leaves the most room for the rest. Pieces
without `?` are found by `str.find`; others by the shift-and algorithm, one step of integer arithmetic a character.

Results are three-valued: None says that the pattern has a variable that the request does not define.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from enum import Enum

Context = Mapping[str, str | tuple[str, ...]]
"""The condition keys of a request. Keys are found whatever their case; a tuple is a multivalued key."""


class PolicyError(ValueError):
    """A policy document that IAM would not take; the message says where and what."""


class _Wild(Enum):
    STAR = "*"
    ONE = "?"


@dataclass(frozen=True, slots=True)
class Variable:
    """`${key}` or `${key, 'default'}`."""

    key: str
    default: str | None


Token = str | Variable | _Wild
_Piece = tuple[str | int, ...]
"""What stands between two stars: literal runs, and counts of `?`."""

_SPECIAL = {"*": "*", "?": "?", "$": "$"}
_KEY_FORBIDDEN = frozenset("${}*?'\"")


def look_up(context: Context, key: str) -> str | tuple[str, ...] | None:
    """Find a condition key whatever its case; the spelling used in `context` is the fast one."""
    value = context.get(key)
    if value is None:
        lowered = key.lower()
        for candidate, candidate_value in context.items():
            if candidate.lower() == lowered:
                return candidate_value
    return value


def tokenize(text: str, *, variables: bool, wildcards: bool) -> tuple[Token, ...]:
    """Cut a pattern into literals, wildcards and variables.

    Args:
        text: the pattern as it stands in the policy.
        variables: whether `${…}` means anything: only in policies of version 2012-10-17.
        wildcards: whether `*` and `?` mean anything.

    Raises:
        PolicyError: a `${` that is not closed, or that holds no condition key.
    """
    tokens: list[Token] = []
    literal: list[str] = []

    def end_literal() -> None:
        if literal:
            tokens.append("".join(literal))
            literal.clear()

    for kind, part in _lex(text, variables=variables):
        if kind == "variable":
            variable = _variable(part, text)
            if isinstance(variable, str):
                literal.append(variable)
            else:
                end_literal()
                tokens.append(variable)
        elif kind == "wild" and wildcards:
            end_literal()
            tokens.append(_Wild(part))
        else:
            literal.append(part)
    end_literal()
    return tuple(tokens)


def _lex(text: str, *, variables: bool) -> Iterator[tuple[str, str]]:
    position = start = 0
    while position < len(text):
        character = text[position]
        if character in "*?":
            if start < position:
                yield "literal", text[start:position]
            yield "wild", character
            position += 1
            start = position
        elif variables and character == "$" and text.startswith("${", position):
            if start < position:
                yield "literal", text[start:position]
            end = text.find("}", position)
            if end < 0:
                raise PolicyError(f"{shown(text)} has a policy variable that is not closed with }}")
            yield "variable", text[position + 2 : end]
            position = start = end + 1
        else:
            position += 1
    if start < position:
        yield "literal", text[start:position]


def _variable(inside: str, whole: str) -> Variable | str:
    if inside in _SPECIAL:
        return _SPECIAL[inside]
    key, comma, rest = inside.partition(",")
    key = key.strip()
    default: str | None = None
    if comma:
        rest = rest.strip()
        if len(rest) < 2 or rest[0] != "'" or rest[-1] != "'":
            raise PolicyError(f"{shown(whole)}: the default of a policy variable stands in single quotes")
        default = rest[1:-1]
    if not key or any(character in _KEY_FORBIDDEN or character.isspace() for character in key):
        raise PolicyError(f"{shown(whole)} has a policy variable without a proper condition key")
    return Variable(key, default)


def shown(value: object) -> str:
    """Quote whatever a document holds for a message of one line, cut to a length that can be read."""
    if isinstance(value, str):
        text = repr(value[:80])
        return text if len(value) <= 80 else text[:-1] + "…" + text[-1]
    if isinstance(value, bool | int | float) or value is None:
        return ascii(value)[:80]
    return {"dict": "an object", "list": "a list"}.get(type(value).__name__, type(value).__name__)


class Pattern:
    """One compiled pattern.

    Args:
        tokens: what `tokenize` made of it.
        fold: compare without regard to case.

    Attributes:
        exact: the only text that matches, where there is just one whatever the request.
        prefix: what every matching text starts with, where nothing else matters.
    """

    __slots__ = ("_fold", "_glob", "_head", "_tokens", "exact", "prefix")

    def __init__(self, tokens: Sequence[Token], *, fold: bool = False) -> None:
        self._fold = fold
        self._tokens = tuple(t.casefold() if fold and isinstance(t, str) else t for t in tokens)
        dynamic = any(isinstance(token, Variable) for token in self._tokens)
        self._glob = None if dynamic else _Glob(_pieces(self._tokens, {}) or ((),))
        self._head = self._tokens[0] if self._tokens and isinstance(self._tokens[0], str) else ""
        rest = self._tokens[1:] if self._head else self._tokens
        self.exact: str | None = self._head if not rest and not fold else None
        self.prefix: str | None = self._head if rest == (_Wild.STAR,) and not fold else None

    def matches(self, text: str, context: Context) -> bool | None:
        """Say whether the whole of `text` matches; None when a variable has no single value in `context`."""
        if self._fold:
            text = text.casefold()
        if self._glob is not None:
            return self._glob.matches(text)
        if not text.startswith(self._head):
            return False
        pieces = _pieces(self._tokens, context, fold=self._fold)
        if pieces is None:
            return None
        if len(pieces) == 1 and len(pieces[0]) == 1 and isinstance(pieces[0][0], str):
            return text == pieces[0][0]
        return _Glob(pieces).matches(text)


def _pieces(tokens: Sequence[Token], context: Context, *, fold: bool = False) -> tuple[_Piece, ...] | None:
    """Put values in for variables and cut at the stars; a value is literal, whatever characters it has."""
    pieces: list[_Piece] = []
    piece: list[str | int] = []
    for token in tokens:
        if token is _Wild.STAR:
            pieces.append(tuple(piece))
            piece = []
            continue
        item: str | int = 1
        if isinstance(token, str):
            item = token
        elif isinstance(token, Variable):
            value = look_up(context, token.key)
            value = token.default if value is None else value
            if not isinstance(value, str):
                return None
            item = value.casefold() if fold else value
        if piece and type(item) is type(piece[-1]):
            piece[-1] += item  # type: ignore[operator]  # of one type, as the line above says
        elif item != "":
            piece.append(item)
    pieces.append(tuple(piece))
    return tuple(pieces)


class _Glob:
    """Pieces between stars, ready to be compared."""

    __slots__ = ("_first", "_last", "_literal", "_middle", "_shortest")

    def __init__(self, pieces: Sequence[_Piece]) -> None:
        self._literal = pieces[0][0] if len(pieces) == 1 and _is_literal(pieces[0]) and pieces[0] else None
        self._first = pieces[0]
        self._last = pieces[-1] if len(pieces) > 1 else None
        self._middle = tuple(_Needle(piece) for piece in pieces[1:-1] if piece)
        self._shortest = sum(map(_width, pieces))

    def matches(self, text: str) -> bool:
        if self._literal is not None:
            return text == self._literal
        length = len(text)
        if length < self._shortest or not _stands_at(text, 0, self._first):
            return False
        if self._last is None:
            return length == self._shortest
        end = length - _width(self._last)
        if not _stands_at(text, end, self._last):
            return False
        position = _width(self._first)
        for needle in self._middle:
            position = needle.end_in(text, position, end)
            if position < 0:
                return False
        return True


class _Needle:
    """A piece that may stand anywhere between two stars."""

    __slots__ = ("_any", "_bits", "_literal", "_width")

    def __init__(self, piece: _Piece) -> None:
        self._width = _width(piece)
        self._literal = piece[0] if len(piece) == 1 and isinstance(piece[0], str) else None
        self._any = 0
        self._bits: dict[str, int] = {}
        if self._literal is None:
            self._prepare(piece)

    def _prepare(self, piece: _Piece) -> None:
        offset = 0
        for item in piece:
            if isinstance(item, int):
                self._any |= ((1 << item) - 1) << offset
                offset += item
            else:
                for character in item:
                    self._bits[character] = self._bits.get(character, 0) | (1 << offset)
                    offset += 1
        self._bits = {character: bits | self._any for character, bits in self._bits.items()}

    def end_in(self, text: str, start: int, end: int) -> int:
        """Return where the leftmost occurrence within `text[start:end]` ends, or -1."""
        if self._literal is not None:
            found = text.find(self._literal, start, end)
            return found if found < 0 else found + self._width
        state = 0
        last = 1 << (self._width - 1)
        for position in range(start, end):
            state = ((state << 1) | 1) & self._bits.get(text[position], self._any)
            if state & last:
                return position + 1
        return -1


def _is_literal(piece: _Piece) -> bool:
    return all(isinstance(item, str) for item in piece)


def _width(piece: _Piece) -> int:
    return sum(item if isinstance(item, int) else len(item) for item in piece)


def _stands_at(text: str, position: int, piece: _Piece) -> bool:
    for item in piece:
        if isinstance(item, int):
            position += item
        elif text.startswith(item, position):
            position += len(item)
        else:
            return False
    return True


class ArnPattern:
    """An ARN whose six parts are matched one by one, so that a wildcard does not cross a colon before the sixth.

    An ARN that ends early, but in a star, has stars for what is missing.
    """

    __slots__ = ("_parts",)

    def __init__(self, tokens: Sequence[Token]) -> None:
        parts: list[list[Token]] = [[]]
        for token in tokens:
            if not isinstance(token, str):
                parts[-1].append(token)
                continue
            first, *others = token.split(":", _ARN_PARTS - len(parts))
            parts[-1].append(first)
            parts.extend([other] for other in others)
        if tokens and tokens[-1] is _Wild.STAR:
            parts += [[_Wild.STAR]] * (_ARN_PARTS - len(parts))
        self._parts = tuple(Pattern(part) for part in parts)

    def matches(self, text: str, context: Context) -> bool | None:
        """Say whether `text` is an ARN that matches; None when a variable has no single value."""
        values = text.split(":", _ARN_PARTS - 1)
        if len(values) != len(self._parts) or len(values) != _ARN_PARTS:
            return False
        results = [part.matches(value, context) for part, value in zip(self._parts, values, strict=True)]
        return False if False in results else None if None in results else True


_ARN_PARTS = 6
