"""Reads the conditions of a request: ``filters.where`` and ``filters.categories``."""

from typing import NamedTuple

from cachetools import LRUCache

from winnow.filtering.filter import Filter, both, one_of, parse
from winnow.items.columns import ItemColumns
from winnow.request import RecommendRequest

_CATEGORY = "category"
_HELD = 512
"""Filters that are kept, each with up to some kilobytes of text; reading one takes a millisecond or more."""


class Wanted(NamedTuple):
    """The conditions of a request.

    Attributes:
        condition: all of them.
        where: that of ``filters.where`` alone; ``None`` without one.
    """

    condition: Filter
    where: Filter | None

    @property
    def names_categories(self) -> bool:
        """Whether the conditions are about the category."""
        return _CATEGORY in self.condition.columns


class WantedItems:
    """Reads conditions, and keeps the filters that it has read.

    Args:
        columns: the catalog's columns.
    """

    def __init__(self, columns: ItemColumns) -> None:
        self._columns = columns
        self._filters: LRUCache[str, Filter] = LRUCache(_HELD)

    def of(self, request: RecommendRequest, where: str) -> Wanted | None:
        """The conditions of a request; ``None`` without any.

        Categories count where the release has columns; otherwise they are compared candidate by candidate alone.

        Args:
            request: the validated request.
            where: path of the request in its call, for the message.

        Raises:
            InvalidRequest: ``filters.where`` cannot be read or applied; the message names the field.
        """
        filters = request.filters
        if filters.where is None and filters.categories is None:
            return None
        stated = None if filters.where is None else self._read(filters.where, f"{where}.filters.where")
        if filters.categories is None or _CATEGORY not in self._columns.kinds:
            return None if stated is None else Wanted(stated, stated)
        categories = one_of(_CATEGORY, filters.categories)
        return Wanted(categories if stated is None else both(categories, stated), stated)

    def _read(self, text: str, where: str) -> Filter:
        found = self._filters.get(text)
        if found is None:
            found = self._filters[text] = parse(text, self._columns, where)
        return found
