"""The log in index space, as Ibis expressions: joins over all events, on DuckDB or Spark."""

from collections.abc import Mapping

import ibis
import ibis.expr.types as ir

from winnow.datasets.canonical.spec import EventType


def numbered(rows: ir.Table, key: str, name: str, first: int) -> ir.Table:
    """The index of every id: the position of its row.

    Args:
        rows: ``key`` str (unique) and ``position`` int64 (unique), which orders the rows.
        key: the column of ids.
        name: name of the index column.
        first: index of the first row.

    Returns:
        ``key`` and ``name``, int32.
    """
    # A window without partitions runs on one Spark executor, which is enough for the ids of items and users.
    place = ibis.row_number().over(order_by="position") + first
    return rows.select(key, **{name: place.cast("int32")})


def in_index_space(events: ir.Table, items: ir.Table, users: ir.Table, types: Mapping[str, EventType]) -> ir.Table:
    """The events as numbers.

    Args:
        events: ``user_id``, ``item_id``, ``event`` str, ``timestamp`` int64 ms, ``amount`` float64 (null where
            unknown), ``position`` int64 (unique).
        items: ``item_id`` and ``item``, as :func:`numbered` returns.
        users: ``user_id`` and ``user``, as :func:`numbered` returns.
        types: event type -> its meaning; the code of the first is 1.

    Returns:
        ``user``, ``item``, ``event`` int32 (the code), ``weight`` float64 (the value of the event: its type's times its
        grade), ``grade`` float64, ``timestamp``, ``position``, in the order of user, time and position. Events of
        unknown items, users or types are left out.
    """
    known = events.filter(events.event.isin(list(types)))
    joined = known.join(items, "item_id").join(users, "user_id")
    code = joined.event.cases(*((name, code) for code, name in enumerate(types, start=1)))
    value = _by_type(joined.event, {name: kind.value for name, kind in types.items()})
    grade = _grade(joined, types)
    log = joined.select(
        "user",
        "item",
        "timestamp",
        "position",
        event=code.cast("int32"),
        weight=value * grade,
        grade=grade,
    )
    return log.select("user", "item", "event", "weight", "grade", "timestamp", "position").order_by(
        "user", "timestamp", "position"
    )


def _grade(events: ir.Table, types: Mapping[str, EventType]) -> ir.FloatingValue:
    """``amount / full_amount``, at most 1; 1 for events without an amount, and of types that are not graded."""
    full = {name: kind.full_amount for name, kind in types.items() if kind.full_amount}
    one = ibis.literal("1").cast("float64")
    if not full:
        return one
    # The nulls come first: LEAST ignores them in DuckDB and Spark, but not in every engine.
    share = (events.amount / _by_type(events.event, full)).fill_null(one)
    return ibis.least(share, one)


def _by_type(event: ir.StringColumn, numbers: Mapping[str, float]) -> ir.FloatingValue:
    """The number of each event's type, float64; null for other types."""
    # Cast from text: to Spark the literal 0.1 is a decimal, whose sums are decimals.
    number: ir.FloatingValue = event.cases(*((name, repr(number)) for name, number in numbers.items())).cast("float64")
    return number
