"""What every column of the catalog can be asked, whatever its kind."""

import operator
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Literal, Protocol

import numpy as np
from numpy.typing import NDArray

from winnow.items.values import Items

Kind = Literal["number", "text", "texts", "time", "boolean"]
"""Numbers, texts, lists of texts, moments (milliseconds since the epoch) or booleans; each may be NULL."""

Inequality = Literal["<", "<=", ">", ">="]

OPERATORS: Mapping[str, Callable[[Any, Any], Any]] = {
    "<": operator.lt,
    "<=": operator.le,
    ">": operator.gt,
    ">=": operator.ge,
}


class Column(Protocol):
    """The values of one column by item index. A test of items returns bool, one for each of them."""

    kind: Kind

    def value(self, index: int) -> Any:
        """The value of an item: float, str, list of str, int or bool; ``None`` for NULL."""
        ...

    def put(self, index: int, value: Any) -> None:
        """Change the value of an item; ``None`` for NULL."""
        ...

    def is_null(self, items: Items) -> NDArray[np.bool_]:
        """Whether each item has no value."""
        ...

    def among(self, items: Items, values: Sequence[Any]) -> NDArray[np.bool_]:
        """Whether each item's value, or one of its list, is one of ``values``; false for NULL."""
        ...

    def compare(self, items: Items, comparison: Inequality, value: Any) -> NDArray[np.bool_]:
        """Whether each item's value compares so with ``value``; false for NULL.

        Raises:
            TypeError: the column has lists.
        """
        ...

    def starts(self, items: Items, prefix: str) -> NDArray[np.bool_]:
        """Whether each item's text begins with ``prefix``; false for NULL.

        Raises:
            TypeError: the column has no texts.
        """
        ...


class Schema(Protocol):
    """The columns of a catalog without their values: all that a filter is checked against."""

    @property
    def names(self) -> tuple[str, ...]:
        """Names of the columns."""
        ...

    @property
    def kinds(self) -> dict[str, Kind]:
        """Column -> kind of its values."""
        ...


def untestable(kind: Kind) -> TypeError:
    """The error of a test that a kind of column does not have; callers look at the kind before."""
    return TypeError(f"a column of the kind {kind} does not have this test")
