"""One Arrow type for each kind of value, whatever type the writer chose.

pandas 3 and polars write ``large_string``, categoricals are dictionaries, databases export decimals and UUIDs. Every
source is normalised here once, so that no later code depends on the type that a writer chose.
"""

from uuid import UUID

import pyarrow as pa
import pyarrow.compute as pc


def normalised(table: pa.Table) -> pa.Table:
    """Cast a table to a few types.

    The types are ``string``, ``int64``, ``uint64``, ``double`` (NaN is null), ``bool``, ``date32``, ``timestamp[us]``
    (UTC, without a zone), ``null`` and a ``list`` of these. Bytes that are UTF-8 become text. Columns that fit none of
    them (structs, bytes that are not text, times of day) are left as they are; validation reports them.
    """
    columns = [_normalised(column) for column in table.columns]
    return pa.table(columns, names=table.column_names)


def _normalised(column: pa.ChunkedArray) -> pa.ChunkedArray:
    kind = column.type
    if isinstance(kind, pa.BaseExtensionType):
        return _of_extension(column)
    if pa.types.is_dictionary(kind):
        return _normalised(column.cast(kind.value_type))
    if pa.types.is_run_end_encoded(kind):
        return _normalised(pa.chunked_array([pc.run_end_decode(chunk) for chunk in column.chunks], kind.value_type))
    if pa.types.is_decimal(kind):
        return _of_decimals(column)
    if _is_binary(kind):
        return _or_as_it_is(column, pa.string())
    to = _to(kind)
    if to is None:
        return column
    if pa.types.is_list_view(kind) or pa.types.is_large_list_view(kind):
        # Arrow 25 casts these to lists whose offsets are wrong.
        return pa.chunked_array([pa.array(chunk.to_pylist(), to) for chunk in column.chunks], to)
    # Python datetimes have microseconds; nanoseconds are cut off.
    column = column.cast(to, safe=not pa.types.is_timestamp(to))
    # pandas writes missing numbers as NaN.
    return pc.if_else(pc.is_nan(column), None, column) if pa.types.is_floating(to) else column


def _to(kind: pa.DataType) -> pa.DataType | None:
    """The normalised type of ``kind``; ``None`` where there is none."""
    if pa.types.is_string(kind) or pa.types.is_large_string(kind) or pa.types.is_string_view(kind):
        return pa.string()
    if pa.types.is_integer(kind):
        return pa.uint64() if pa.types.is_uint64(kind) else pa.int64()
    if pa.types.is_floating(kind):
        return pa.float64()
    if pa.types.is_timestamp(kind):
        return pa.timestamp("us")
    if pa.types.is_date(kind):
        return pa.date32()
    if _is_list(kind):
        value = _to(kind.value_type.value_type if pa.types.is_dictionary(kind.value_type) else kind.value_type)
        return None if value is None else pa.list_(value)
    return None


def _is_list(kind: pa.DataType) -> bool:
    types = pa.types
    tests = (types.is_list, types.is_large_list, types.is_fixed_size_list, types.is_list_view, types.is_large_list_view)
    return any(test(kind) for test in tests)


def _is_binary(kind: pa.DataType) -> bool:
    return bool(pa.types.is_binary(kind) or pa.types.is_large_binary(kind) or pa.types.is_binary_view(kind))


def _of_extension(column: pa.ChunkedArray) -> pa.ChunkedArray:
    storage = pa.chunked_array([chunk.storage for chunk in column.chunks], column.type.storage_type)
    if column.type.extension_name != "arrow.uuid":
        return _normalised(storage)
    return pa.chunked_array(
        [
            [None if value is None else str(UUID(bytes=value)) for value in chunk.to_pylist()]
            for chunk in storage.chunks
        ],
        pa.string(),
    )


def _of_decimals(column: pa.ChunkedArray) -> pa.ChunkedArray:
    """Integers where all values are whole, such as ids in a NUMERIC column of a database; otherwise floats."""
    wide = column.cast(pa.decimal256(76, column.type.scale))
    try:
        whole = wide.cast(pa.decimal256(76, 0))
    except pa.ArrowInvalid:
        return column.cast(pa.float64())
    return _or_as_it_is(whole.cast(pa.string()), pa.int64())


def _or_as_it_is(column: pa.ChunkedArray, to: pa.DataType) -> pa.ChunkedArray:
    try:
        return column.cast(to)
    except pa.ArrowInvalid:
        return column
