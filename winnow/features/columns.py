"""Encoding of declared columns: categories to codes, numbers to standard scores."""

from collections import Counter

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from winnow.features.row import known_codes, standard_scores
from winnow.schema import Feature

MAX_VALUES = 10_000
"""Maximum of codes of a categorical column; less frequent values share code 0."""

MAX_WIDTH = 8
"""Maximum of codes per row of a list-valued column."""


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
    lists = pa.types.is_list(column.type) or pa.types.is_large_list(column.type)
    rows = [
        ([str(value) for value in cell] if lists else [str(cell)]) if cell is not None else []
        for cell in column.to_pylist()
    ]
    feature, values = _categories(name, rows) if known is None else known
    code = {value: position for position, value in enumerate(values) if position}
    codes = np.zeros((len(rows), feature.width), np.int32)
    for position, row in enumerate(rows):
        found = known_codes(row, code, feature.width)
        codes[position, : len(found)] = found
    return feature, values, codes


def _categories(name: str, rows: list[list[str]]) -> tuple[Feature, list[str]]:
    counts = Counter(value for row in rows for value in row)
    values = sorted(counts, key=lambda value: (-counts[value], value))[:MAX_VALUES]
    width = min(max((len(row) for row in rows), default=1), MAX_WIDTH) or 1
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
