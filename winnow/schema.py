"""The feature schema, which the training table, the Redis codec and the ranker share.

A row of features has a fixed width, so that ``numpy.frombuffer`` makes a batch of rows from Redis model input. Its
fields are ``index``, ``available``, every categorical column, every numeric column.
"""

import hashlib
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict

DAY_MS = 86_400_000
HALF_LIVES = {"popularity_7d": 7, "popularity_60d": 60}
"""Feature name -> half-life in days."""

POPULARITY_FEATURES = (*HALF_LIVES, "popularity", "mean_weight")
"""The first numeric columns of an item row; :mod:`winnow.features.popularity` defines them."""

Repeats = Literal["hide", "allow", "demote"]
"""Items that a user has seen are left out, ranked like any other item, or ranked after all others."""

LARGEST_VALUE = 1000.0
"""Bound on the value of an event type, in both directions, and on the weights of a request."""

MOST_TYPES = 100
"""Event types of a data set at most: the ranker has a head for each."""

NUMERIC_FEATURES = (*POPULARITY_FEATURES, "age")
"""The numeric columns of an item row that change with time; the declared columns follow."""


class Feature(BaseModel):
    """One feature: a number, or up to ``width`` codes below ``cardinality`` (0 means absent or unknown).

    A declared number is stored as ``(value - mean) / scale``, and as 0 where it is absent.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: str
    kind: Literal["categorical", "numeric"]
    width: int = 1
    cardinality: int = 0
    mean: float = 0.0
    scale: float = 1.0


class FeatureSchema(BaseModel):
    """Item and user features of one release, in column order, and the declared event types.

    The first categorical item feature is always ``category``.

    Attributes:
        item: features of an item.
        user: features of a user.
        events: event types; the code of ``events[i]`` is ``i + 1`` and 0 is padding.
        event_values: what an event of each type is worth, in the order of ``events``; negative for a dislike.
        event_windows_ms: attribution window of each type, in milliseconds: a moment's label of the type is whether an
            event of it follows within this time.
        event_full_amounts: the ``amount`` with which an event of each type has its whole value; 0 for a type that is
            not graded.
        conversions: event types whose probability together is an item's ``conversion``.
        repeats: what a recommendation does with items that the user has seen; the default of a request.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    item: tuple[Feature, ...]
    user: tuple[Feature, ...]
    events: tuple[str, ...]
    event_values: tuple[float, ...]
    event_windows_ms: tuple[int, ...]
    conversions: tuple[str, ...]
    event_full_amounts: tuple[float, ...] = ()
    repeats: Repeats = "hide"

    @property
    def digest(self) -> str:
        """SHA-256 of the schema's canonical JSON, as hex."""
        return hashlib.sha256(self.model_dump_json().encode()).hexdigest()

    @property
    def value_by_code(self) -> NDArray[np.float64]:
        """The value of an event of each type by its code: float64 [E + 1], 0 for padding and undeclared types."""
        return np.array([0.0, *self.event_values])

    @property
    def plain_event(self) -> str:
        """The type of an event of which nothing but the item is known: of the positive ones the one of least value.

        Where no type is positive, the first of the largest value.
        """
        positive = [value for value in self.event_values if value > 0]
        return self.events[self.event_values.index(min(positive) if positive else max(self.event_values))]

    def value_of(self, code: int, amount: float | None) -> float:
        """What an event is worth: the value of its type, times its grade where the type is graded.

        Args:
            code: code of the event type; 0, for an undeclared type, is worth nothing.
            amount: the event's amount, finite and not negative; ``None`` where unknown.
        """
        if code == 0:
            return 0.0
        value, full = self.event_values[code - 1], self.event_full_amounts[code - 1 : code]
        return value * min(amount / full[0], 1.0) if amount is not None and any(full) else value

    @property
    def item_dtype(self) -> "np.dtype[np.void]":
        """The dtype of a packed item row; see :func:`row_dtype`."""
        return row_dtype(self.item)

    @property
    def user_dtype(self) -> "np.dtype[np.void]":
        """The dtype of a packed user row; see :func:`row_dtype`."""
        return row_dtype(self.user)


def row_dtype(features: tuple[Feature, ...]) -> "np.dtype[np.void]":
    """Fixed-width little-endian row: ``index`` u4, ``available`` u4, ``categorical`` i4[C], ``numeric`` f4[M]."""
    categorical = sum(f.width for f in features if f.kind == "categorical")
    numeric = sum(1 for f in features if f.kind == "numeric")
    return np.dtype(
        [
            ("index", "<u4"),
            ("available", "<u4"),
            ("categorical", "<i4", (categorical,)),
            ("numeric", "<f4", (numeric,)),
        ]
    )
