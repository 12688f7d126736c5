"""Reads the conditions of a request: ``filters.where``, ``filters.categories`` and the filters of its rules."""

from collections.abc import Mapping
from functools import reduce
from types import MappingProxyType
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
        names_categories: whether those that the request itself states are about the category.
    """

    condition: Filter
    where: Filter | None
    names_categories: bool


class WantedItems:
    """Reads conditions, and keeps the filters that it has read.

    Args:
        columns: the catalog's columns.
    """

    def __init__(self, columns: ItemColumns) -> None:
        self._columns = columns
        self._filters: LRUCache[str, Filter] = LRUCache(_HELD)

    def of(
        self, request: RecommendRequest, where: str, of_rules: Mapping[str, Filter] = MappingProxyType({})
    ) -> Wanted | None:
        """The conditions of a request; ``None`` without any.

        Categories count where the release has columns; otherwise they are compared candidate by candidate alone.

        Args:
            request: the validated request.
            where: path of the request in its call, for the message.
            of_rules: name -> filter, of those that the rules in force apply to it.

        Raises:
            InvalidRequest: ``filters.where`` cannot be read or applied; the message names the field.
        """
        filters = request.filters
        if filters.where is None and filters.categories is None and not of_rules:
            return None
        stated = None if filters.where is None else self._read(filters.where, f"{where}.filters.where")
        conditions = [] if stated is None else [stated]
        if filters.categories is not None and _CATEGORY in self._columns.kinds:
            conditions.insert(0, one_of(_CATEGORY, filters.categories))
        own = [*conditions, *(of_rules[name] for name in filters.named)]
        names_categories = any(_CATEGORY in one.columns for one in own)
        conditions += of_rules.values()
        return Wanted(reduce(both, conditions), stated, names_categories) if conditions else None

    def _read(self, text: str, where: str) -> Filter:
        found = self._filters.get(text)
        if found is None:
            found = self._filters[text] = parse(text, self._columns, where)
        return found
