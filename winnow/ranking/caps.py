"""Caps: at most so many items of one value of a column in a list."""

from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping

import numpy as np
from numpy.typing import NDArray

ColumnValue = tuple[str, str]
"""A capped column and one of its values."""

ValueOf = Callable[[str, int], str | list[str] | None]
"""The value of a column of an item; a list where it has several, ``None`` where it has none."""


class Quotas:
    """What a list may still take, while it is filled. An item counts for each of its values.

    Args:
        most: column -> items of one value in a list.
        value_of: the values; each is asked for once.
    """

    def __init__(self, most: Mapping[str, int], value_of: ValueOf) -> None:
        self._most = most
        self._value_of = value_of
        self._groups: dict[int, tuple[ColumnValue, ...]] = {}
        self._left: dict[ColumnValue, int] = {}

    def restart(self, items: Iterable[int]) -> None:
        """Begin again, with a list of these items."""
        self._left = {}
        for item in items:
            self.take(item)

    def take(self, item: int) -> list[ColumnValue]:
        """Count an item; returns the groups that it filled."""
        groups = self._groups_of(item)
        for group in groups:
            self._left[group] = self._room(group) - 1
        return [group for group in groups if not self._left[group]]

    def has_room(self, item: int) -> bool:
        """Whether the list can take the item."""
        return all(self._room(group) > 0 for group in self._groups_of(item))

    def full(self, item: int) -> list[ColumnValue]:
        """The groups of an item of which the list has as many as it may have."""
        return [group for group in self._groups_of(item) if self._room(group) <= 0]

    def members(self, items: NDArray[np.int32]) -> Mapping[ColumnValue, list[int]]:
        """Group -> positions in ``items`` of its items."""
        found: dict[ColumnValue, list[int]] = defaultdict(list)
        for position, item in enumerate(items.tolist()):
            for group in self._groups_of(item):
                found[group].append(position)
        return found

    def fit(self, items: NDArray[np.int32], count: int) -> NDArray[np.intp]:
        """Take up to ``count`` of ``items``, in their order, each for which there is room; returns their positions."""
        taken: list[int] = []
        for position, item in enumerate(items.tolist()):
            if len(taken) == count:
                break
            if self.has_room(item):
                self.take(item)
                taken.append(position)
        return np.array(taken, np.intp)

    def least_excess(self, items: NDArray[np.int32], count: int) -> NDArray[np.intp]:
        """Positions of ``count`` items for which there is no room: those that exceed their caps by the least, first.

        Args:
            items: all that are left, best first.
            count: how many.
        """
        left = dict(self._left)
        excess = []
        for item in items.tolist():
            groups = self._groups_of(item)
            for group in groups:
                left[group] = left.get(group, self._most[group[0]]) - 1
            excess.append(max((-left[group] for group in groups), default=0))
        return np.argsort(np.array(excess, np.int64).clip(0), kind="stable")[:count]

    def _room(self, group: ColumnValue) -> int:
        return self._left.get(group, self._most[group[0]])

    def _groups_of(self, item: int) -> tuple[ColumnValue, ...]:
        groups = self._groups.get(item)
        if groups is None:
            values = ((column, self._value_of(column, item)) for column in self._most)
            groups = self._groups[item] = tuple(
                (column, text)
                for column, value in values
                for text in dict.fromkeys([value] if isinstance(value, str) else value or ())
            )
        return groups
