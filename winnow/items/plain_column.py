"""Columns of one number per item: numbers, moments and booleans."""

import math
from collections.abc import Sequence
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from winnow.items.column import OPERATORS, Inequality, Kind, untestable
from winnow.items.values import Items, Values

PlainKind = Literal["number", "time", "boolean"]

NO_TIME = np.iinfo(np.int64).min
NO_BOOLEAN = -1


class PlainColumn:
    """A column of numbers (float64, NaN is NULL), moments (int64 milliseconds) or booleans (int8).

    Args:
        kind: the kind of its values.
        release: [n + 1], the values of the release's items, writable.
    """

    def __init__(self, kind: PlainKind, release: NDArray[Any]) -> None:
        self.kind: Kind = kind
        null = math.nan if kind == "number" else NO_TIME if kind == "time" else NO_BOOLEAN
        self._values: Values[Any] = Values(release, release.dtype.type(null))

    def value(self, index: int) -> float | int | bool | None:
        """The value of an item; ``None`` for NULL."""
        [found] = self._values.at(np.array([index])).tolist()
        if found != found or found == self._values.null:
            return None
        return bool(found) if self.kind == "boolean" else found

    def put(self, index: int, value: Any) -> None:
        """Change the value of an item; ``None`` for NULL."""
        self._values.put(index, self._values.null if value is None else value)

    def is_null(self, items: Items) -> NDArray[np.bool_]:
        """Whether each item has no value."""
        values = self._values.at(items)
        null: NDArray[np.bool_] = np.isnan(values) if self.kind == "number" else values == self._values.null
        return null

    def among(self, items: Items, values: Sequence[Any]) -> NDArray[np.bool_]:
        """Whether the value of each item is one of ``values``; false for NULL."""
        found = self._values.at(items)
        if len(values) == 1:
            same: NDArray[np.bool_] = found == values[0]
            return same
        return np.isin(found, np.array(values, found.dtype))

    def compare(self, items: Items, comparison: Inequality, value: Any) -> NDArray[np.bool_]:
        """Whether the value of each item compares so with ``value``; false for NULL."""
        found = self._values.at(items)
        holds: NDArray[np.bool_] = OPERATORS[comparison](found, value)
        # A comparison with NaN is false; the other kinds mark NULL by a number below all others.
        return holds if self.kind == "number" or comparison in (">", ">=") else holds & (found != self._values.null)

    def starts(self, items: Items, prefix: str) -> NDArray[np.bool_]:
        """Numbers, moments and booleans have no prefix."""
        raise untestable(self.kind)
