"""Filters: conditions of the filter language that were checked against the columns of a catalog."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from winnow import moments
from winnow.filtering.conditions import Comparison, Condition, Written
from winnow.filtering.grammar import SyntaxFault, read
from winnow.items.column import Kind
from winnow.items.columns import ItemColumns
from winnow.items.values import Items
from winnow.request import InvalidRequest, quote

Mask = NDArray[np.bool_]
_Test = Callable[[ItemColumns, Items], Mask]

_EXPECTED: dict[Kind, str] = {
    "number": "a number",
    "text": "a string in quotes",
    "texts": "a string in quotes",
    "time": "a time as a string, as '2026-01-31T12:00:00Z', or milliseconds since the epoch",
    "boolean": "true or false",
}


_EXACT = 2.0**53
"""Up to this every whole number is a float."""


class Filter:
    """Which items match a text of the filter language.

    Args:
        text: the text.
        test: of items, by the columns' values.

    Attributes:
        text: the text.
    """

    def __init__(self, text: str, test: _Test) -> None:
        self.text = text
        self._test = test

    def mask(self, columns: ItemColumns, items: NDArray[np.integer[Any]]) -> Mask:
        """Whether each item matches: bool [n].

        Args:
            columns: the catalog that the filter was parsed for.
            items: indices of items, integers [n], in any order, repeated or not.
        """
        return self._test(columns, items)

    def matches(self, columns: ItemColumns) -> Mask:
        """Whether each item of the catalog matches: bool [``columns.count``], by index.

        The padding item does not. The time grows with the catalog: do not call it in an event loop.
        """
        count = columns.count
        found = self._test(columns, None)
        if count > len(found):
            added = np.arange(len(found), count)
            found = np.concatenate([found, self._test(columns, added)])
        found[0] = False
        return found


def parse(text: str, columns: ItemColumns, where: str = "where") -> Filter:
    """Read a filter and check it against the columns of a catalog.

    Args:
        text: in the filter language (``docs/filters.md``).
        columns: the catalog.
        where: name of the field that holds the text, for the message.

    Raises:
        InvalidRequest: the text is not of the language, names a column that the catalog lacks, or compares one with
            what it cannot be compared with; the message names column and character.
    """
    if not columns.names:
        raise InvalidRequest(
            f"{where}: cannot be applied, because this release has no columns; build a release with this version of "
            "Winnow"
        )
    try:
        condition = read(text)
        return Filter(text, _compiled(condition, columns.kinds))
    except SyntaxFault as fault:
        raise InvalidRequest(f"{where}: {fault}") from None


def _compiled(condition: Condition, kinds: dict[str, Kind]) -> _Test:
    if isinstance(condition, Comparison):
        return _compared(condition, kinds)
    tests = [_compiled(part, kinds) for part in condition.parts]
    return _all(tests) if condition.every else _any(tests)


def _all(tests: Sequence[_Test]) -> _Test:
    def test(columns: ItemColumns, items: Items) -> Mask:
        found = tests[0](columns, items)
        for each in tests[1:]:
            found = found & each(columns, items)
        return found

    return test


def _any(tests: Sequence[_Test]) -> _Test:
    def test(columns: ItemColumns, items: Items) -> Mask:
        found = tests[0](columns, items)
        for each in tests[1:]:
            found = found | each(columns, items)
        return found

    return test


def _compared(leaf: Comparison, kinds: dict[str, Kind]) -> _Test:
    name, kind = leaf.column, kinds.get(leaf.column)
    at = f"column {quote(name)} at character {leaf.position}"
    if kind is None:
        raise SyntaxFault(f"{at} is not a column of the catalog; the columns are {', '.join(kinds)}")
    operator = leaf.operator
    if operator == "null":
        return _asked(leaf, lambda columns, items: columns[name].is_null(items), null_matches=True)
    if operator == "flag":
        if kind != "boolean":
            raise SyntaxFault(f"{at} is {_KINDS[kind]} and no condition by itself: compare it")
        return _asked(leaf, lambda columns, items: columns[name].among(items, [True]))
    values = [_value(written, name, kind) for written in leaf.values]
    if operator == "contains" and kind != "texts":
        raise SyntaxFault(f"{at} is {_KINDS[kind]}: `contains` is for lists")
    if operator == "=" or operator == "contains":
        return _asked(leaf, lambda columns, items: columns[name].among(items, values))
    if operator == "like":
        if kind != "text":
            raise SyntaxFault(f"{at} is {_KINDS[kind]}: `like` is for texts")
        prefix = _prefix(leaf.values[0])
        return _asked(leaf, lambda columns, items: columns[name].starts(items, prefix))
    if kind in ("texts", "boolean"):
        raise SyntaxFault(f"{at} is {_KINDS[kind]}, which has no order: use = or !=")
    return lambda columns, items: columns[name].compare(items, operator, values[0])


_KINDS: dict[Kind, str] = {
    "number": "a number",
    "text": "a text",
    "texts": "a list of texts",
    "time": "a time",
    "boolean": "true or false",
}


def _asked(leaf: Comparison, test: _Test, null_matches: bool = False) -> _Test:
    """A test, or its opposite, which NULL does not fulfil either."""
    if not leaf.negated:
        return test
    if null_matches:
        return lambda columns, items: ~test(columns, items)
    return lambda columns, items: ~(test(columns, items) | columns[leaf.column].is_null(items))


def _value(written: Written, name: str, kind: Kind) -> float | str | bool:
    value, expected = written.value, _EXPECTED[kind]
    at = f"column {quote(name)} must be compared with {expected} at character {written.position}"
    if value is None:
        raise SyntaxFault(
            f"column {quote(name)} cannot be compared with null at character {written.position}: use `is null`"
        )
    if kind == "time" and isinstance(value, str):
        try:
            return moments.parse(value)
        except (ValueError, OverflowError):
            raise SyntaxFault(f"{at}, got {quote(value)}") from None
    if kind == "time" and isinstance(value, float):
        if not value.is_integer() or abs(value) > _EXACT:
            raise SyntaxFault(f"{at}, got {value:g}")
        return int(value)
    if kind == "number" and isinstance(value, float):
        if not math.isfinite(value):
            raise SyntaxFault(f"has a number that is too large at character {written.position}")
        return value
    if isinstance(value, bool) == (kind == "boolean") and isinstance(value, str) == (kind in ("text", "texts")):
        return value
    raise SyntaxFault(f"{at}, got {quote(value)}")


def _prefix(written: Written) -> str:
    pattern = str(written.value)
    if not pattern.endswith("%") or "%" in pattern[:-1] or "_" in pattern:
        raise SyntaxFault(
            f"`like` at character {written.position} takes the beginning of a text and one % at its end, as 'abc%', "
            f"got {quote(pattern)}"
        )
    return pattern[:-1]
