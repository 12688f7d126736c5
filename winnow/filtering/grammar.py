"""The grammar of the filter language, and its parser.

The parser (LALR) keeps its stack in a list and calls the builder's methods while it reads, so no depth of a text makes
it recurse; the builder refuses conditions that are nested too deeply for those who read the result.
"""

import re
from collections.abc import Mapping
from functools import cache

from lark import Lark, Token, Transformer, v_args
from lark.exceptions import UnexpectedCharacters, UnexpectedInput

from winnow.filtering.conditions import Comparison, Condition, Joined, Operator, Written

MAX_LENGTH = 4000
"""Characters of a filter at most."""

MAX_TOKENS = 1500
"""Words, values and signs of a filter at most."""

MAX_COMPARISONS = 100
MAX_DEPTH = 20
"""How deep ``and`` and ``or`` may be nested in each other."""

MAX_VALUES = 500
"""Values of an ``in`` at most."""

GRAMMAR = r"""
?start: either
?either: both (_OR both)*
?both: condition (_AND condition)*
?condition: _NOT condition -> negation
          | "(" either ")"
          | column OPERATOR value -> comparison
          | column _IN "(" value ("," value)* ")" -> among
          | column _NOT _IN "(" value ("," value)* ")" -> not_among
          | column _IS NULL -> null
          | column _IS _NOT NULL -> not_null
          | column _LIKE value -> like
          | column _NOT _LIKE value -> not_like
          | column _CONTAINS value -> contains
          | column -> flag
?column: NAME | QUOTED_NAME
?value: NUMBER -> number | STRING -> string | TRUE -> true | FALSE -> false | NULL -> nothing

OPERATOR: "<=" | ">=" | "!=" | "<>" | "=" | "<" | ">"
NUMBER: /[+-]?(?:[0-9]+\.?[0-9]*|\.[0-9]+)(?:[eE][+-]?[0-9]+)?/
STRING: /"(?:[^"\\]|\\.)*"|'(?:[^'\\]|\\.)*'/s
QUOTED_NAME: /`[^`]+`/
NAME: /[^\W\d]\w*/
_AND.1: /and\b/i
_OR.1: /or\b/i
_NOT.1: /not\b/i
_IN.1: /in\b/i
_IS.1: /is\b/i
_LIKE.1: /like\b/i
_CONTAINS.1: /contains\b/i
NULL.1: /null\b/i
TRUE.1: /true\b/i
FALSE.1: /false\b/i
%ignore /[ \t\r\n]+/
"""

_IN_WORDS: Mapping[str, str] = {
    "NAME": "a column",
    "_NOT": "not",
    "LPAR": "(",
    "OPERATOR": "=, !=, <, <=, > or >=",
    "_IN": "in",
    "_IS": "is",
    "_LIKE": "like",
    "_CONTAINS": "contains",
    "NUMBER": "a number",
    "STRING": "a string in quotes",
    "TRUE": "true",
    "FALSE": "false",
    "NULL": "null",
    "COMMA": ",",
    "RPAR": ")",
    "_AND": "and",
    "_OR": "or",
    "$END": "the end",
}
"""Terminal -> what a message calls it, in the order of the message."""

_ESCAPES = {"n": "\n", "t": "\t", "r": "\r"}
_QUOTED = 20


class SyntaxFault(Exception):
    """The text is not of the language; the message completes "the filter …"."""


def read(text: str) -> Condition:
    """The conditions that a text states.

    Raises:
        SyntaxFault: the text is too long or not of the language.
    """
    if len(text) > MAX_LENGTH:
        raise SyntaxFault(f"must be at most {MAX_LENGTH} characters, got {len(text)}")
    lark = _lark()
    try:
        # Counting first is some times faster than parsing, and the text may be hostile.
        for count, _ in enumerate(_WORDS.finditer(text)):
            if count >= MAX_TOKENS:
                raise SyntaxFault(f"must have at most {MAX_TOKENS} words, values and signs")
        condition: Condition = lark.parse(text)  # type: ignore[assignment]
    except UnexpectedInput as error:
        raise SyntaxFault(_in_words(text, error)) from None
    comparisons = sum(1 for _ in condition.leaves())
    if comparisons > MAX_COMPARISONS:
        raise SyntaxFault(f"must have at most {MAX_COMPARISONS} comparisons, got {comparisons}")
    return condition


# A string without its end takes the rest, so that a hostile text is read once.
_WORDS = re.compile(r"\"(?:[^\"\\]|\\.)*+\"?|'(?:[^'\\]|\\.)*+'?|\w+|[^\w\s]", re.DOTALL)


@cache
def _lark() -> Lark:
    return Lark(GRAMMAR, parser="lalr", transformer=_Builder(), maybe_placeholders=False)


@v_args(inline=True)
class _Builder(Transformer[Token, Condition]):
    """Makes a condition of the parts of each rule."""

    def either(self, *parts: Condition) -> Condition:
        return _joined(False, parts)

    def both(self, *parts: Condition) -> Condition:
        return _joined(True, parts)

    def negation(self, condition: Condition) -> Condition:
        return condition.opposite()

    def comparison(self, column: Token, operator: Token, value: Written) -> Condition:
        word = str(operator)
        if word in ("!=", "<>"):
            return _test(column, "=", value, negated=True)
        if word == "<":
            return _test(column, "<", value)
        if word == "<=":
            return _test(column, "<=", value)
        if word == ">":
            return _test(column, ">", value)
        return _test(column, ">=" if word == ">=" else "=", value)

    def among(self, column: Token, *values: Written) -> Condition:
        return _test(column, "=", *values)

    def not_among(self, column: Token, *values: Written) -> Condition:
        return _test(column, "=", *values, negated=True)

    def null(self, column: Token, _: Token) -> Condition:
        return _test(column, "null")

    def not_null(self, column: Token, _: Token) -> Condition:
        return _test(column, "null", negated=True)

    def like(self, column: Token, value: Written) -> Condition:
        return _test(column, "like", value)

    def not_like(self, column: Token, value: Written) -> Condition:
        return _test(column, "like", value, negated=True)

    def contains(self, column: Token, value: Written) -> Condition:
        return _test(column, "contains", value)

    def flag(self, column: Token) -> Condition:
        return _test(column, "flag")

    def number(self, token: Token) -> Written:
        return Written(float(token), _position(token))

    def string(self, token: Token) -> Written:
        return Written(_unescaped(token), _position(token))

    def true(self, token: Token) -> Written:
        return Written(True, _position(token))

    def false(self, token: Token) -> Written:
        return Written(False, _position(token))

    def nothing(self, token: Token) -> Written:
        return Written(None, _position(token))


def _test(column: Token, operator: Operator, *values: Written, negated: bool = False) -> Comparison:
    if len(values) > MAX_VALUES:
        raise SyntaxFault(f"must have at most {MAX_VALUES} values after `in`, got {len(values)}")
    name = str(column)[1:-1] if column.type == "QUOTED_NAME" else str(column)
    return Comparison(name, _position(column), operator, values, negated)


def _joined(every: bool, parts: tuple[Condition, ...]) -> Condition:
    if len(parts) == 1:
        return parts[0]
    joined = Joined.of(every, parts)
    if joined.depth > MAX_DEPTH:
        raise SyntaxFault(f"must not nest `and` and `or` deeper than {MAX_DEPTH} times")
    return joined


def _position(token: Token) -> int:
    return (token.start_pos or 0) + 1


def _unescaped(token: Token) -> str:
    def character(found: re.Match[str]) -> str:
        escaped = found[1]
        if escaped.isalnum() and escaped not in _ESCAPES:
            raise SyntaxFault(
                f"has the unknown escape \\{escaped} in the string at character {_position(token)}; there are "
                r"\" \' \\ \n \r \t"
            )
        return _ESCAPES.get(escaped, escaped)

    return re.sub(r"\\(.)", character, str(token)[1:-1], flags=re.DOTALL)


def _in_words(text: str, error: UnexpectedInput) -> str:
    expected = error.allowed if isinstance(error, UnexpectedCharacters) else getattr(error, "accepts", None)
    words = [word for name, word in _IN_WORDS.items() if name in (expected or ())]
    one_of = f"{', '.join(words[:-1])} or {words[-1]}" if len(words) > 1 else "".join(words)
    position = error.pos_in_stream if error.pos_in_stream is not None and error.pos_in_stream >= 0 else len(text)
    token = getattr(error, "token", None)
    if token is not None and token.type == "$END":
        return f"ends too early: expected {one_of}"
    found = ascii(text[position : position + _QUOTED])
    return f"cannot be read at character {position + 1}, {found}: expected {one_of}"
