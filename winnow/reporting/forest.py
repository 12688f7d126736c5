"""Forest plots: a row per recommender or segment, with its estimate and interval."""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import altair as alt
from markupsafe import Markup

from winnow.evaluation.record import LIVE, Estimate, Group
from winnow.reporting.charts import BAD, FUNNEL, GRID, OTHER, Rows, data, names, rendered
from winnow.reporting.charts import LIVE as LIVE_COLOUR

FEWEST = 30
"""Users below which a segment is drawn faded: its interval says little."""

_ROW = 30
_MARGIN = 44


class Row(NamedTuple):
    """A row of a forest plot; ``other`` is a value to compare with, drawn as a tick."""

    label: str
    estimate: Estimate
    colour: str
    faded: bool = False
    other: float | None = None


def recommenders(group: Group, metric: str) -> Markup:
    """Each recommender's estimate of a metric, the best first.

    Args:
        group: the users.
        metric: the metric.
    """
    rows = [Row(name, metrics[metric], colour(name)) for name, metrics in group.metrics.items()]
    return _forest(sorted(rows, key=lambda row: -row.estimate.value), metric)


def differences(group: Group, metric: str) -> Markup:
    """The funnel's estimate of a metric minus each other recommender's, the smallest first.

    Args:
        group: the users.
        metric: the metric.
    """
    rows = []
    for name, metrics in group.differences.items():
        estimate = metrics[metric]
        rows.append(Row(f"minus {name}", estimate, BAD if estimate.high < 0 else colour(name)))
    return _forest(sorted(rows, key=lambda row: row.estimate.value), f"difference in {metric}", zero=True)


def segments(groups: Mapping[str, Group], baseline: str, metric: str) -> Markup:
    """A metric of the funnel in each segment.

    Args:
        groups: segment -> its users.
        baseline: the recommender whose value is drawn as a tick.
        metric: the metric.
    """
    rows = [
        Row(
            f"{name} ({group.users:,})",
            group.metrics["funnel"][metric],
            FUNNEL,
            faded=group.users < FEWEST,
            other=group.metrics[baseline][metric].value,
        )
        for name, group in groups.items()
    ]
    return _forest(rows, metric)


def colour(recommender: str) -> str:
    """The colour of a recommender in all charts."""
    return {"funnel": FUNNEL, LIVE: LIVE_COLOUR}.get(recommender, OTHER)


def _forest(rows: Sequence[Row], title: str, zero: bool = False) -> Markup:
    sign = "+" if zero else ""
    values: Rows = [
        {
            # Numbered, because two long labels may be cut to the same text.
            "row": number,
            "label": row.label,
            "value": row.estimate.value,
            "low": row.estimate.low,
            "high": row.estimate.high,
            "colour": row.colour,
            "other": row.other,
            "opacity": 0.4 if row.faded else 1.0,
            "text": f"{row.estimate.value:{sign}.3f}",
            "said": f"{row.label}: {row.estimate.value:{sign}.4f} ({row.estimate.low:{sign}.4f} to "
            f"{row.estimate.high:{sign}.4f})",
        }
        for number, row in enumerate(rows)
    ]
    base = alt.Chart(data(values)).encode(
        y=alt.Y("label:N", sort=alt.EncodingSortField("row", order="ascending"), axis=names(row.label for row in rows)),
        color=alt.Color("colour:N", scale=None),
        opacity=alt.Opacity("opacity:Q", scale=None),
        description="said:N",
    )
    x = alt.X("low:Q", title=title, scale=alt.Scale(zero=True, nice=True), axis=alt.Axis(tickCount=4))
    layers = [
        base.mark_rule(strokeWidth=2).encode(x=x, x2="high:Q"),
        base.mark_point(filled=True, size=70, opacity=1).encode(x="value:Q"),
        base.mark_text(dy=-9, fontSize=10).encode(x="value:Q", text="text:N", color=alt.value("var(--ink)")),
    ]
    if any(row.other is not None for row in rows):
        layers.append(base.mark_tick(thickness=2, height=14).encode(x="other:Q", color=alt.value(OTHER)))
    if zero:
        line = alt.Chart(data([{"zero": 0}])).mark_rule(color=GRID, strokeWidth=2).encode(x="zero:Q")
        layers.insert(0, line)
    return rendered(_MARGIN + _ROW * len(values), *layers)
