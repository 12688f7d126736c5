"""The canonical columns, and how a source's values become them."""

from typing import Any, Literal

import pyarrow as pa
import pyarrow.compute as pc

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
EVENT_COLUMNS: dict[str, Kind] = {"user_id": "id", "item_id": "id", "event": "text", "timestamp": "moment"}

IN_WORDS: dict[Kind, str] = {
    "id": "an id: a string or an integer",
    "text": "text",
    "choice": "a category: a string, or a list of strings",
    "number": "a finite number",
    "flag": "true or false",
    "moment": "a moment: integer milliseconds since the epoch, or an ISO 8601 date",
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


def absent(rows: int, kind: Kind) -> pa.Array:
    """What a column holds that the source lacks: nulls, or true for a flag."""
    return pa.array([True] * rows, pa.bool_()) if kind == "flag" else pa.nulls(rows, _ARROW[kind])


def convert(column: pa.ChunkedArray, kind: Kind) -> pa.ChunkedArray:
    """A source's column in the canonical type of its kind; NaN and absent values become null.

    Raises:
        ValueError: some value cannot be read as that kind; :func:`unreadable` finds which.
    """
    try:
        return _convert(column, kind)
    except _UNREADABLE as error:
        raise ValueError(str(error)) from error


def unreadable(column: pa.ChunkedArray, kind: Kind) -> tuple[int, list[Any]]:
    """How many values cannot be read as ``kind``, and up to three of them."""
    count, examples = 0, []
    for value, occurrences in zip(*_distinct(column), strict=True):
        try:
            _convert(pa.chunked_array([pa.array([value], type=column.type)]), kind)
        except _UNREADABLE:
            count += occurrences
            examples.append(value)
    # Every value can be read by itself but not all in one way: dates beside numbers.
    return (count, examples[:3]) if count else (len(column), column.unique()[:3].to_pylist())


def _distinct(column: pa.ChunkedArray) -> tuple[list[Any], list[int]]:
    try:
        counted = column.value_counts()
    except _UNREADABLE:
        values = column.to_pylist()
        return values, [1] * len(values)
    return counted.field("values").to_pylist(), counted.field("counts").to_pylist()


def _convert(column: pa.ChunkedArray, kind: Kind) -> pa.ChunkedArray:
    if pa.types.is_dictionary(column.type):
        column = column.cast(column.type.value_type)
    given = column.type
    if pa.types.is_floating(given):
        column = pc.if_else(pc.is_nan(column), None, column)
    nested = pa.types.is_list(given) or pa.types.is_large_list(given)
    if nested and kind == "choice":
        return column.cast(pa.list_(pa.string()))
    if pa.types.is_nested(given) or (kind == "id" and not _may_be_an_id(given)):
        raise pa.ArrowInvalid(f"a column of {given} cannot be read as {IN_WORDS[kind]}")
    if kind == "moment":
        return _moment(column)
    if kind == "flag" and pa.types.is_floating(given):
        column = column.cast(pa.int64())
    column = column.cast(_ARROW[kind])
    if kind == "number":
        column = pc.if_else(pc.is_nan(column), None, column)
        if pc.any(pc.is_inf(column)).as_py():
            raise pa.ArrowInvalid("an infinite number")
    return column


def _may_be_an_id(given: pa.DataType) -> bool:
    # A floating-point id would read "1.0" or lose its last digits, so joins would fail in silence.
    is_text = pa.types.is_string(given) or pa.types.is_large_string(given) or pa.types.is_string_view(given)
    return bool(is_text or pa.types.is_integer(given) or pa.types.is_null(given))


def _moment(column: pa.ChunkedArray) -> pa.ChunkedArray:
    if pa.types.is_temporal(column.type):
        return column.cast(pa.timestamp("ms"), safe=False).cast(pa.int64())
    if not (pa.types.is_string(column.type) or pa.types.is_large_string(column.type)):
        return column.cast(pa.int64(), safe=not pa.types.is_floating(column.type))
    for written in (pa.int64(), pa.timestamp("ms"), pa.timestamp("ms", "UTC")):
        try:
            return column.cast(written).cast(pa.int64())
        except pa.ArrowInvalid:
            continue
    raise pa.ArrowInvalid("neither milliseconds nor dates")
