"""Popularity of items at moments in time: one Ibis expression for the training table and for the rows Redis serves.

Every count is a sum over the events strictly before the moment, each event fading with its age. Fading by a factor
``2 ** -(age / half_life)`` turns into a running sum of ``2 ** ((time - reference) / half_life)`` that is scaled back
at the moment (forward decay: Cormode et al., 2009), so one ordered window serves every moment, on any engine.
"""

import ibis
import ibis.expr.types as ir

from winnow.features.schema import DAY_MS, HALF_LIVES, POPULARITY_FEATURES

__all__ = ["DAY_MS", "HALF_LIVES", "POPULARITY_FEATURES", "popularity_at"]


def popularity_at(events: ir.Table, moments: ir.Table, items: int, reference: int) -> ir.Table:
    """How popular an item was just before each moment.

    Args:
        events: ``position`` int64 (unique), ``item`` int32, ``timestamp`` int64 ms, ``weight`` float64.
        moments: ``moment`` int64 (unique), ``item`` int32, ``timestamp`` int64 ms.
        items: how many items there are.
        reference: a time in ms near the end of the log; it only keeps the powers of two small.

    Returns:
        ``moment`` and :data:`POPULARITY_FEATURES` (float64), ordered by ``moment``. ``popularity*`` is the logarithm of
        the item's share of all (faded) events relative to the average item's, smoothed by one event, so it does not
        drift as the log grows; ``mean_weight`` is the mean weight of the item's events, smoothed by ten average ones.
    """
    of_item = _running_sums(events, moments.select("moment", "item", "timestamp"), "item", reference)
    times = moments.select("timestamp").distinct().mutate(moment=ibis._.timestamp)
    of_all = _running_sums(events, times, None, reference).drop("moment")
    both = of_item.join(of_all, "timestamp", rname="all_{name}")

    def log_share(name: str) -> ir.FloatingValue:
        share: ir.FloatingValue = (both[name] + 1.0) / (both[f"all_{name}"] + items) * items
        return share.ln().name(name)

    average = both.all_weight / both.all_popularity.nullif(0)
    mean_weight = (both.weight + 10.0 * average) / (both.popularity + 10.0)
    shares = [log_share(name) for name in (*HALF_LIVES, "popularity")]
    return both.select("moment", *shares, mean_weight=mean_weight.fill_null(0.0)).order_by("moment")


def _running_sums(events: ir.Table, moments: ir.Table, group: str | None, reference: int) -> ir.Table:
    """Sums over the events strictly before each moment, faded to it: ``moment``, ``timestamp``, a column per sum."""
    keys = [group] if group else []
    happened = events.select(
        *keys,
        "timestamp",
        moment=ibis.null("int64"),
        order=events.position,
        after=ibis.literal(1, "int8"),
        popularity=ibis.literal(1.0),
        weight=events.weight.cast("float64"),
        **{name: _rise(events.timestamp, days, reference) for name, days in HALF_LIVES.items()},
    )
    # A moment sorts before the events of the same millisecond, so that it does not see them.
    asked = moments.select(
        *keys,
        "timestamp",
        "moment",
        order=moments.moment,
        after=ibis.literal(0, "int8"),
        popularity=ibis.literal(0.0),
        weight=ibis.literal(0.0),
        **{name: ibis.literal(0.0) for name in HALF_LIVES},
    )
    both = ibis.union(happened, asked)
    before = ibis.window(
        group_by=keys or None, order_by=["timestamp", "after", "order"], preceding=(None, 0), following=None
    )
    names = ("popularity", "weight", *HALF_LIVES)
    summed = both.mutate(**{name: both[name].sum().over(before) for name in names})
    asked_again = summed.filter(summed.moment.notnull())
    faded = {name: asked_again[name] / _rise(asked_again.timestamp, d, reference) for name, d in HALF_LIVES.items()}
    return asked_again.select("moment", "timestamp", "popularity", "weight", **faded)


def _rise(timestamp: ir.IntegerColumn, half_life_days: int, reference: int) -> ir.FloatingValue:
    """``2 ** ((timestamp - reference) / half_life)``, kept above the smallest normal float64."""
    half_lives = (timestamp - reference) / float(half_life_days * DAY_MS)
    rise: ir.FloatingValue = ibis.literal(2.0) ** ibis.greatest(half_lives, -1000.0)
    return rise
