"""The arrays of a release from which serving reads the catalog's columns (:mod:`winnow.items.columns`)."""

import json
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from winnow.arrays.strings import Strings
from winnow.datasets.canonical.spec import DeclaredColumns
from winnow.features.columns import padded_strings
from winnow.items.columns import STARTS, TEXTS
from winnow.items.plain_column import NO_BOOLEAN, NO_TIME

_LONG = ("title", "description")
_CANONICAL = ("category", "price", "created_at", "available")

Arrays = dict[str, NDArray[Any] | Strings]


def column_arrays(items: pa.Table, declared: DeclaredColumns) -> tuple[Arrays, str]:
    """The arrays by name, and the text of ``columns.json``.

    Args:
        items: the items' canonical table.
        declared: its declared columns.
    """
    arrays: Arrays = {}
    kinds: dict[str, str] = {}
    for number, name in enumerate((*_LONG, *_CANONICAL, *declared.names)):
        kinds[name], found = _column(items[name], f"column_{number}", name in _LONG)
        arrays |= found
    return arrays, json.dumps(kinds, ensure_ascii=False)


def _column(column: pa.ChunkedArray, array: str, is_long: bool) -> tuple[str, Arrays]:
    """How a column is stored, and its arrays, each with a place for the padding item."""
    given = column.type
    if pa.types.is_floating(given):
        return "number", {array: _padded(column, np.nan, np.float64)}
    if pa.types.is_integer(given):
        return "time", {array: _padded(column, NO_TIME, np.int64)}
    if pa.types.is_boolean(given):
        return "boolean", {array: _padded(column.cast(pa.int8()), NO_BOOLEAN, np.int8)}
    if is_long:
        return "long_text", {array: padded_strings(column)}
    if pa.types.is_list(given) or pa.types.is_large_list(given):
        return "texts", _lists(column, array)
    texts = _distinct(column)
    codes = pc.fill_null(pc.add(pc.index_in(column, texts), 1), 0)
    return "text", {array: _padded(codes, 0, np.int32), array + TEXTS: _after_none(texts)}


def _lists(column: pa.ChunkedArray, array: str) -> Arrays:
    whole = column.combine_chunks()
    row, cells = pc.list_parent_indices(whole).to_numpy(), pc.list_flatten(whole).cast(pa.string())
    row = row[cells.is_valid().to_numpy(zero_copy_only=False)].astype(np.int64)
    cells = cells.drop_null()
    texts = _distinct(cells)
    codes = pc.index_in(cells, texts).to_numpy().astype(np.int32) + 1
    # An absent list is the code 0 alone, so that an empty list remains one.
    absent = np.flatnonzero(whole.is_null().to_numpy(zero_copy_only=False))
    row, codes = np.concatenate([[-1], absent, row]), np.concatenate([np.zeros(len(absent) + 1, np.int32), codes])
    order = np.argsort(row, kind="stable")
    starts = np.searchsorted(row[order], np.arange(-1, len(whole) + 1))
    return {
        array: codes[order].astype(np.int32),
        array + STARTS: starts.astype(np.int64),
        array + TEXTS: _after_none(texts),
    }


def _distinct(cells: pa.Array | pa.ChunkedArray) -> pa.Array:
    """The distinct texts, ascending by their UTF-8 forms; an empty text in a column of texts is NULL already."""
    distinct = cells.unique().drop_null().cast(pa.string())
    return distinct.take(pc.sort_indices(distinct))


def _after_none(texts: pa.Array) -> Strings:
    return padded_strings(pa.chunked_array([texts], pa.string()))


def _padded(column: pa.ChunkedArray, null: float, dtype: type[np.generic]) -> NDArray[Any]:
    filled = column if pa.types.is_null(column.type) else pc.fill_null(column, pa.scalar(null, column.type))
    return np.concatenate([np.array([null], dtype), filled.to_numpy().astype(dtype)])
