"""Encoding of declared columns: categories to codes, numbers to standard scores."""

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from winnow.arrays.strings import Strings
from winnow.features.row import standard_scores
from winnow.schema import Feature

MAX_VALUES = 10_000
"""Maximum of codes of a categorical column; less frequent values share code 0."""

MAX_WIDTH = 8
"""Maximum of codes per row of a list-valued column."""

_NO_OFFSETS = np.zeros(1, np.int64)


def encode_categorical(
    name: str, column: pa.ChunkedArray, known: tuple[Feature, list[str]] | None = None
) -> tuple[Feature, list[str], NDArray[np.int32]]:
    """Codes of a string or list-of-strings column, by falling frequency (ties: alphabetical).

    Args:
        name: name of the feature.
        column: the values.
        known: feature and vocabulary of an earlier encoding, whose codes are used.

    Returns:
        The feature, its vocabulary (position = code, 0 = absent) and int32 [rows, width].
    """
    row, cells = _flat(column)
    feature, values = _categories(name, row, cells) if known is None else known
    code = pc.index_in(cells, pa.array(values[1:], pa.string()))
    kept = code.is_valid().to_numpy(zero_copy_only=False)
    row, code = row[kept], code.drop_null().to_numpy() + 1
    place = np.arange(len(row)) - np.searchsorted(row, row)
    codes = np.zeros((len(column), feature.width), np.int32)
    first = place < feature.width
    codes[row[first], place[first]] = code[first]
    return feature, values, codes


def _flat(column: pa.ChunkedArray) -> tuple[NDArray[np.int64], pa.Array]:
    """The values of all rows, nulls left out: the row of each, ascending, and the values as strings."""
    whole = column.combine_chunks()
    if pa.types.is_list(whole.type) or pa.types.is_large_list(whole.type):
        row, cells = pc.list_parent_indices(whole).to_numpy(), pc.list_flatten(whole)
    else:
        row, cells = np.arange(len(whole)), whole
    present = cells.is_valid().to_numpy(zero_copy_only=False)
    return row[present].astype(np.int64), cells.drop_null().cast(pa.string())


def _categories(name: str, row: NDArray[np.int64], cells: pa.Array) -> tuple[Feature, list[str]]:
    counted = cells.value_counts()
    counts = dict(zip(counted.field("values").to_pylist(), counted.field("counts").to_pylist(), strict=True))
    values = sorted(counts, key=lambda value: (-counts[value], value))[:MAX_VALUES]
    width = min(int(np.bincount(row).max(initial=1)), MAX_WIDTH)
    return Feature(name=name, kind="categorical", width=width, cardinality=len(values) + 1), ["", *values]


def encode_numeric(
    name: str, column: pa.ChunkedArray, known: Feature | None = None
) -> tuple[Feature, NDArray[np.float32]]:
    """Standard scores of a numeric column; null and NaN become 0, the mean.

    Args:
        name: name of the feature.
        column: the numbers.
        known: feature of an earlier encoding, whose mean and scale are used.

    Returns:
        The feature (its mean and scale included) and float32 [rows].
    """
    numbers = pc.cast(column, pa.float64()).to_numpy(zero_copy_only=False).astype(np.float64)
    feature = _scale(name, numbers[np.isfinite(numbers)]) if known is None else known
    return feature, standard_scores(numbers, feature)


def _scale(name: str, numbers: NDArray[np.float64]) -> Feature:
    mean = float(numbers.mean()) if len(numbers) else 0.0
    scale = float(numbers.std()) if len(numbers) else 1.0
    return Feature(name=name, kind="numeric", mean=mean, scale=scale if scale > 0 else 1.0)


def padded_strings(column: pa.ChunkedArray, longest: int | None = None) -> Strings:
    """The values of a string column after an empty one, so that item ``i`` is string ``i``; null is empty.

    Args:
        column: the values.
        longest: characters after which a value is cut off; ``None`` keeps all.
    """
    values = (
        pc.fill_null(column, "") if longest is None else pc.utf8_slice_codeunits(pc.fill_null(column, ""), 0, longest)
    )
    array = pa.concat_arrays(values.cast(pa.large_string()).chunks or [pa.array([], pa.large_string())])
    _, ends, text = array.buffers()
    offsets = np.frombuffer(ends, np.int64)[array.offset : array.offset + len(array) + 1] if len(array) else _NO_OFFSETS
    encoded = np.frombuffer(text or b"", np.uint8)[offsets[0] : offsets[-1]]
    return Strings(encoded, np.concatenate([[0], offsets - offsets[0]]))
