"""The log in index space, as Ibis expressions: joins over all events, on DuckDB or Spark."""

from collections.abc import Mapping

import ibis
import ibis.expr.types as ir


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


def in_index_space(events: ir.Table, items: ir.Table, users: ir.Table, weights: Mapping[str, float]) -> ir.Table:
    """The events as numbers.

    Args:
        events: ``user_id``, ``item_id``, ``event`` str, ``timestamp`` int64 ms, ``position`` int64 (unique).
        items: ``item_id`` and ``item``, as :func:`numbered` returns.
        users: ``user_id`` and ``user``, as :func:`numbered` returns.
        weights: event type -> weight; the code of the first is 1.

    Returns:
        ``user``, ``item``, ``event`` int32 (the code), ``weight`` float64, ``timestamp``, ``position``, in the order of
        user, time and position. Events of unknown items, users or types are left out.
    """
    known = events.filter(events.event.isin(list(weights)))
    joined = known.join(items, "item_id").join(users, "user_id")
    code = joined.event.cases(*((name, code) for code, name in enumerate(weights, start=1)))
    # Cast from text: to Spark the literal 0.1 is a decimal, whose sums are decimals.
    weight = joined.event.cases(*((name, repr(float(weight))) for name, weight in weights.items()))
    log = joined.select(
        "user",
        "item",
        "timestamp",
        "position",
        event=code.cast("int32"),
        weight=weight.cast("float64"),
        grade=ibis.literal(1.0),
    )
    return log.select("user", "item", "event", "weight", "grade", "timestamp", "position").order_by(
        "user", "timestamp", "position"
    )
