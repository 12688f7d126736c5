"""The values of the catalog's columns by item index: what a merchant wrote, for filters, rules and answers.

The feature rows hold codes and standard scores for the models; these are the values themselves. A release has them as
arrays (``docs/reference.md``), which every process maps into memory; a change of an item costs the process that
applies it the pages that it writes to.
"""

import json
from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from winnow.items.column import Column, Kind
from winnow.items.plain_column import PlainColumn, PlainKind
from winnow.items.text_columns import ListColumn, LongTextColumn, TextColumn
from winnow.release import Release

FILE = "columns.json"
"""Column -> how it is stored; ``column_0`` and so on are the arrays, in this order."""

ITEM_ID = "item_id"

TEXTS, STARTS = "_texts", "_starts"
"""Endings of the names of a column's further arrays: the texts by code, and where each item's list begins."""

_PLAIN: Mapping[str, PlainKind] = {"number": "number", "time": "time", "boolean": "boolean"}

_REMEMBERED = 100_000
"""Changes of which the item is remembered."""


class ItemColumns:
    """The columns of a release, and of the items that are added while it is served.

    Changes are made by one thread; others may read meanwhile.

    Args:
        columns: by name.
        size: ``n``, the number of items of the release.

    Attributes:
        size: ``n``; an added item has an index above it.
        count: one more than the highest index of an item.
        changes: number of changed or added items, each counted as often as it was put.
    """

    def __init__(self, columns: Mapping[str, Column], size: int) -> None:
        self._columns = dict(columns)
        self.size = size
        self.count = size + 1
        self.changes = 0
        self._log: list[int] = []

    @classmethod
    def of(cls, release: Release) -> "ItemColumns":
        """The columns of a release; none if it was built by a version of Winnow that did not write them."""
        if FILE not in release.manifest.files:
            return cls({}, release.items)
        columns: dict[str, Column] = {ITEM_ID: LongTextColumn(release.strings("item_ids"))}
        stored: dict[str, Any] = json.loads((release.folder / FILE).read_bytes())
        for number, (name, kind) in enumerate(stored.items()):
            columns[name] = _open(release, f"column_{number}", kind)
        return cls(columns, release.items)

    @property
    def names(self) -> tuple[str, ...]:
        """Names of the columns, ``item_id`` first; none for a release without columns."""
        return tuple(self._columns)

    @property
    def kinds(self) -> dict[str, Kind]:
        """Column -> kind of its values."""
        return {name: column.kind for name, column in self._columns.items()}

    def __getitem__(self, name: str) -> Column:
        return self._columns[name]

    def document(self, index: int) -> dict[str, Any]:
        """The item's values as the catalog has them; a column without a value is left out.

        Numbers are float, moments int milliseconds since the epoch, lists of texts list of str.
        """
        values = ((name, column.value(index)) for name, column in self._columns.items())
        return {name: value for name, value in values if value is not None}

    def put(self, index: int, document: Mapping[str, Any]) -> None:
        """Replace the values of an item, or add one.

        Args:
            index: index of the item.
            document: all its values, as :meth:`document` gives them; a column that it lacks becomes NULL, and a name
                that is not a column is ignored. The id of an item of the release stays.
        """
        for name, column in self._columns.items():
            if name != ITEM_ID or index > self.size:
                column.put(index, document.get(name))
        self.count = max(self.count, index + 1)
        self._log.append(index)
        if len(self._log) > 2 * _REMEMBERED:
            self._log = self._log[-_REMEMBERED:]
        self.changes += 1

    def changed_since(self, changes: int) -> NDArray[np.int32] | None:
        """The items that were put since ``changes`` was so: int32, each once; ``None`` if that is no longer known."""
        count, log = self.changes - changes, self._log
        return None if count > len(log) else np.unique(np.array(log[len(log) - count :], np.int32))


def _open(release: Release, name: str, kind: str) -> Column:
    if kind == "long_text":
        return LongTextColumn(release.strings(name))
    if kind == "texts":
        return ListColumn(release.array(name + STARTS), release.array(name), release.strings(name + TEXTS))
    values = release.array(name, writable=True)
    if kind == "text":
        return TextColumn(values, release.strings(name + TEXTS))
    return PlainColumn(_PLAIN[kind], values)
