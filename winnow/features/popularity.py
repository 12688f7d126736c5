"""Popularity of items after each of their events: one Ibis expression over the log, on DuckDB or Spark.

Counts are sums over an item's events of positive value (what users refuse is not popular) that decay with age. Decay by
a factor ``2 ** -(age / half_life)`` is a running sum of ``2 ** ((time - reference) / half_life)``, scaled back at the
row's time (forward decay: Cormode et al., 2009), so ordered windows give the sums after every event. Between two events
of an item the sums decay further, which :class:`winnow.features.numerics.ItemNumerics` computes.
"""

import ibis
import ibis.expr.types as ir

from winnow.schema import DAY_MS, HALF_LIVES

SUMS = ("events", "weight", "popularity", *HALF_LIVES)
"""Sums over an item's events: their number, their values, the number of those of positive value, and this number
decayed by each half-life."""


def popularity_after(log: ir.Table, reference: int) -> ir.Table:
    """Sums over the events of every item, just after each millisecond with an event of it.

    Args:
        log: ``item`` int32, ``timestamp`` int64 ms, ``weight`` float64 (the value of the event); a row per event.
        reference: a time in ms near the end of the log, which keeps the powers of two small.

    Returns:
        ``item`` int32, ``timestamp`` int64 ms (unique together) and :data:`SUMS` (float64), decayed to ``timestamp``.
        Item 0 stands for all items.
    """
    own = log.select("item", "timestamp", "weight")
    everything = own.select("timestamp", "weight", item=ibis.literal(0, "int32")).select("item", "timestamp", "weight")
    # Events of one millisecond are one row, so that time is a total order within an item.
    at_once = (
        ibis.union(own, everything)
        .group_by("item", "timestamp")
        .aggregate(
            events=ibis._.count().cast("float64"),
            weight=ibis._.weight.sum(),
            popularity=(ibis._.weight > 0).sum().cast("float64"),
        )
    )
    rising = at_once.mutate(
        day=at_once.timestamp // DAY_MS,
        **{name: at_once.popularity * _rise(at_once.timestamp, days, reference) for name, days in HALF_LIVES.items()},
    )
    # Sums by day, then within the day: a window covers the days of an item or the milliseconds of a day. A single
    # window over item 0, which stands for all items, would run on one executor.
    days = rising.group_by("item", "day").aggregate(**{name: rising[name].sum() for name in SUMS})
    until_day = ibis.window(group_by="item", order_by="day", rows=(None, -1))
    earlier = days.select("item", "day", **{_earlier(name): days[name].sum().over(until_day) for name in SUMS})
    within_day = ibis.window(group_by=["item", "day"], order_by="timestamp", rows=(None, 0))
    today = rising.mutate(**{name: rising[name].sum().over(within_day) for name in SUMS})
    both = today.join(earlier, ["item", "day"])
    sums = {name: both[name] + both[_earlier(name)].fill_null(0.0) for name in SUMS}
    decayed = {name: sums[name] / _rise(both.timestamp, days, reference) for name, days in HALF_LIVES.items()}
    return both.select("item", "timestamp", **(sums | decayed))


def _earlier(name: str) -> str:
    return f"earlier_{name}"


def _rise(timestamp: ir.IntegerColumn, half_life_days: int, reference: int) -> ir.FloatingValue:
    """``2 ** ((timestamp - reference) / half_life)``, kept above the smallest normal float64."""
    # Divided by an integer: to Spark a literal with a point is a decimal, which has fewer digits.
    half_lives = (timestamp - reference).cast("float64") / (half_life_days * DAY_MS)
    rise: ir.FloatingValue = ibis.literal(2.0) ** ibis.greatest(half_lives, -1000.0)
    return rise
