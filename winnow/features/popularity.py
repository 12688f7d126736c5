"""Popularity of items after each of their events: one Ibis expression over the log, on DuckDB or Spark.

Every count is a sum over an item's events, each fading with its age. Fading by a factor ``2 ** -(age / half_life)``
turns into a running sum of ``2 ** ((time - reference) / half_life)`` that is scaled back at the row's time (forward
decay: Cormode et al., 2009), so ordered windows give every moment there is. What lies between two events of an item
is a matter of fading further, which :class:`winnow.features.numerics.ItemNumerics` does.
"""

import ibis
import ibis.expr.types as ir

from winnow.schema import DAY_MS, HALF_LIVES, POPULARITY_FEATURES

__all__ = ["DAY_MS", "HALF_LIVES", "POPULARITY_FEATURES", "SUMS", "popularity_after"]

SUMS = ("popularity", "weight", *HALF_LIVES)
"""What is summed over an item's events: their number, their weights, and their number faded by each half-life."""


def popularity_after(log: ir.Table, reference: int) -> ir.Table:
    """What the events of every item add up to, just after each millisecond in which it had any.

    Args:
        log: ``item`` int32, ``timestamp`` int64 ms, ``weight`` float64; a row per event.
        reference: a time in ms near the end of the log; it only keeps the powers of two small.

    Returns:
        ``item`` int32, ``timestamp`` int64 ms (unique together) and :data:`SUMS` (float64), faded to ``timestamp``.
        Item 0 stands for all items.
    """
    own = log.select("item", "timestamp", "weight")
    everything = own.select("timestamp", "weight", item=ibis.literal(0, "int32")).select("item", "timestamp", "weight")
    # Events of one millisecond are one row, so time alone is a total order within an item.
    at_once = (
        ibis.union(own, everything)
        .group_by("item", "timestamp")
        .aggregate(popularity=ibis._.count().cast("float64"), weight=ibis._.weight.sum())
    )
    rising = at_once.mutate(
        day=at_once.timestamp // DAY_MS,
        **{name: at_once.popularity * _rise(at_once.timestamp, days, reference) for name, days in HALF_LIVES.items()},
    )
    # Days first, then within the day: no window is over more than an item's days or a day's milliseconds. A window
    # over all of item 0 would be one executor's work.
    days = rising.group_by("item", "day").aggregate(**{name: rising[name].sum() for name in SUMS})
    until_day = ibis.window(group_by="item", order_by="day", rows=(None, -1))
    earlier = days.select("item", "day", **{_earlier(name): days[name].sum().over(until_day) for name in SUMS})
    within_day = ibis.window(group_by=["item", "day"], order_by="timestamp", rows=(None, 0))
    today = rising.mutate(**{name: rising[name].sum().over(within_day) for name in SUMS})
    both = today.join(earlier, ["item", "day"])
    sums = {name: both[name] + both[_earlier(name)].fill_null(0.0) for name in SUMS}
    faded = {name: sums[name] / _rise(both.timestamp, days, reference) for name, days in HALF_LIVES.items()}
    return both.select("item", "timestamp", **(sums | faded))


def _earlier(name: str) -> str:
    return f"earlier_{name}"


def _rise(timestamp: ir.IntegerColumn, half_life_days: int, reference: int) -> ir.FloatingValue:
    """``2 ** ((timestamp - reference) / half_life)``, kept above the smallest normal float64."""
    # Divided by a whole number: Spark takes a literal with a point for a decimal, of fewer digits.
    half_lives = (timestamp - reference).cast("float64") / (half_life_days * DAY_MS)
    rise: ir.FloatingValue = ibis.literal(2.0) ** ibis.greatest(half_lives, -1000.0)
    return rise
