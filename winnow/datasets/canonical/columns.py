"""The canonical columns, and the conversion of a source's values to them."""

from typing import Any, Literal

import pyarrow as pa
import pyarrow.compute as pc

from winnow import moments
from winnow.datasets.canonical import times

Kind = Literal["id", "text", "choice", "number", "flag", "moment"]

ITEM_COLUMNS: dict[str, Kind] = {
    "item_id": "id",
    "title": "text",
    "description": "text",
    "category": "text",
    "price": "number",
    "image": "text",
    "audio": "text",
    "created_at": "moment",
    "available": "flag",
}
USER_COLUMNS: dict[str, Kind] = {"user_id": "id"}
REQUIRED_OF_EVENTS: dict[str, Kind] = {"user_id": "id", "item_id": "id", "event": "text", "timestamp": "moment"}
EVENT_COLUMNS: dict[str, Kind] = {**REQUIRED_OF_EVENTS, "amount": "number"}

NUMBER = r"^\s*(-?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?)\s*$"
NO_NUMBER = r"^\s*([nN][aA][nN])?\s*$"
"""Text that is a number, and text that stands for none, as RE2 and Java (Spark) both read them."""

IN_WORDS: dict[Kind, str] = {
    "id": "an id: a string or an integer",
    "text": "text",
    "choice": "a category: a string, or a list of strings",
    "number": "a finite number",
    "flag": "true or false",
    "moment": f"a moment: {moments.IN_WORDS}",
}

_ARROW: dict[Kind, Any] = {
    "id": pa.string(),
    "text": pa.string(),
    "choice": pa.string(),
    "number": pa.float64(),
    "flag": pa.bool_(),
    "moment": pa.int64(),
}

_UNREADABLE = (pa.ArrowInvalid, pa.ArrowNotImplementedError, pa.ArrowTypeError)


def absent(rows: int, kind: Kind) -> pa.ChunkedArray:
    """The values of a column that the source lacks: nulls, or true for a flag."""
    values = pa.array([True] * rows, pa.bool_()) if kind == "flag" else pa.nulls(rows, _ARROW[kind])
    return pa.chunked_array([values])


def convert(column: pa.ChunkedArray, kind: Kind) -> pa.ChunkedArray:
    """Convert a source's column to the canonical type of its kind; NaN and absent values become null.

    Args:
        column: of a type that :func:`winnow.datasets.canonical.types.normalised` returns.
        kind: kind of the canonical column.

    Raises:
        ValueError: a value cannot be read as that kind; :func:`unreadable` finds them.
    """
    try:
        return _convert(column, kind)
    except _UNREADABLE as error:
        raise ValueError(str(error)) from error


def unreadable(column: pa.ChunkedArray, kind: Kind) -> tuple[int, list[Any]]:
    """The number of values that cannot be read as ``kind``, and up to three of them."""
    count, examples = 0, []
    for value, occurrences in zip(*_distinct(column), strict=True):
        try:
            _convert(pa.chunked_array([pa.array([value], type=column.type)]), kind)
        except _UNREADABLE:
            count += occurrences
            examples.append(value)
    return (count, examples[:3]) if count else (len(column), [])


def _distinct(column: pa.ChunkedArray) -> tuple[list[Any], list[int]]:
    try:
        counted = column.value_counts()
    except _UNREADABLE:
        values = column.to_pylist()
        return values, [1] * len(values)
    return counted.field("values").to_pylist(), counted.field("counts").to_pylist()


def _convert(column: pa.ChunkedArray, kind: Kind) -> pa.ChunkedArray:
    given = column.type
    if pa.types.is_list(given) and kind == "choice":
        return column.cast(pa.list_(pa.string()))
    if pa.types.is_nested(given) or (kind == "id" and not _may_be_an_id(given)):
        raise pa.ArrowInvalid(f"a column of {given} cannot be read as {IN_WORDS[kind]}")
    if kind == "moment":
        read = read_moments(column)
        if read.null_count > column.null_count:
            raise pa.ArrowInvalid("neither milliseconds nor dates")
        return read
    if kind == "flag" and pa.types.is_floating(given):
        column = column.cast(pa.int64())
    column = column.cast(_ARROW[kind])
    if kind == "number":
        column = pc.if_else(pc.is_nan(column), None, column)
        if pc.any(pc.is_inf(column)).as_py():
            raise pa.ArrowInvalid("an infinite number")
    return column


def _may_be_an_id(given: pa.DataType) -> bool:
    # A floating-point id would become "1.0" or lose its last digits, so that joins fail silently.
    return bool(pa.types.is_string(given) or pa.types.is_integer(given) or pa.types.is_null(given))


def read_moments(column: pa.ChunkedArray) -> pa.ChunkedArray:
    """Read moments as int64 milliseconds since the epoch; null where one is missing or cannot be read.

    Raises:
        pa.ArrowInvalid: the type cannot hold moments.
        pa.ArrowNotImplementedError: likewise.
    """
    given = column.type
    if pa.types.is_string(given):
        return times.read(column)
    if pa.types.is_temporal(given):
        return column.cast(pa.timestamp("ms"), safe=False).cast(pa.int64())
    if pa.types.is_floating(given):
        # Larger floats have no exact integer: the cast would return an arbitrary number.
        return pc.if_else(pc.less(pc.abs(column), 2.0**53), column, None).cast(pa.int64(), safe=False)
    return column.cast(pa.int64())


def read_numbers(column: pa.ChunkedArray) -> pa.ChunkedArray:
    """Read finite numbers as float64; null where one is missing, infinite or cannot be read.

    Raises:
        pa.ArrowInvalid: the type cannot hold numbers.
        pa.ArrowNotImplementedError: likewise.
    """
    if pa.types.is_nested(column.type):
        raise pa.ArrowInvalid(f"a column of {column.type} cannot be read as {IN_WORDS['number']}")
    if pa.types.is_string(column.type):
        column = pc.if_else(pc.match_substring_regex(column, NUMBER), pc.utf8_trim_whitespace(column), None)
    # Integers beyond 2**53 are rounded.
    numbers = column.cast(pa.float64(), safe=False)
    return pc.if_else(pc.is_finite(numbers), numbers, None)
