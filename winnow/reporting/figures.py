"""The other charts of the report: losses, calibration, courses of training, drift, and the costs of the steps."""

import math
from collections.abc import Sequence

import altair as alt
from markupsafe import Markup

from winnow.evaluation.record import CLICK, Bin, ColumnDrift, Loss
from winnow.provenance import Cost, Curve
from winnow.ranking.metrics import SHOWN
from winnow.reporting.charts import BAD, FUNNEL, MUTED, OTHER, Rows, data, names, rendered

DRIFTED = 0.1
"""Distance from which a column counts as changed, if chance alone does not reach it."""

_ROW = 26
_MARGIN = 44
_COLUMNS = 14
_Z = 1.96

_STAGES = {
    "sources": "no source named it",
    "ranker": f"ranked below {SHOWN}",
    "orderer": f"moved below {SHOWN}",
    "unknown": "its row was missing",
}


def losses(stages: Sequence[Loss]) -> Markup:
    """A waterfall: of the held-out items, the share that each stage dropped, and the share that was shown.

    Args:
        stages: in their order; stages that dropped none are left out, but for the sources, ranker and orderer.
    """
    total = max(1, stages[0].reached)
    rows: Rows = []
    for stage in stages:
        if stage.dropped or stage.stage in ("sources", "ranker", "orderer"):
            name = _STAGES.get(stage.stage, f"filter: {stage.stage}")
            left, share = (stage.reached - stage.dropped) / total, stage.dropped / total
            text = f"{share:.1%}"
            rows.append(
                {
                    "stage": name,
                    "from": left,
                    "to": stage.reached / total,
                    "colour": BAD,
                    "text": f"-{text}" if stage.dropped else text,
                }
            )
    shown = (stages[-1].reached - stages[-1].dropped) / total
    rows.append({"stage": f"in the first {SHOWN}", "from": 0, "to": shown, "colour": FUNNEL, "text": f"{shown:.1%}"})
    for row in rows:
        row["said"] = f"{row['stage']}: {row['text']}"
    base = alt.Chart(data(rows)).encode(
        y=alt.Y("stage:N", sort=None, axis=names(row["stage"] for row in rows)), description="said:N"
    )
    axis = alt.Axis(title="share of the held-out items", format="%", values=[0, 0.25, 0.5, 0.75, 1])
    bars = base.mark_bar(height=14, cornerRadius=2).encode(
        x=alt.X("from:Q", axis=axis, scale=alt.Scale(domain=[0, 1.2], nice=False)),
        x2="to:Q",
        color=alt.Color("colour:N", scale=None),
    )
    texts = base.mark_text(align="left", dx=4).encode(x="to:Q", text="text:N")
    return rendered(_MARGIN + _ROW * len(rows), bars, texts)


def calibration(name: str, bins: Sequence[Bin]) -> Markup:
    """Predicted probabilities beside the shares that happened, with Wilson's 95 % intervals; the diagonal is perfect.

    Args:
        name: event type, or :data:`winnow.evaluation.record.CLICK`.
        bins: of ascending predictions.
    """
    rows: Rows = []
    for one in bins:
        low, high = _wilson(one.observed, one.count)
        said = f"{one.count:,} predictions of {one.predicted:.4f} on average: {one.observed:.4f} happened"
        rows.append({"predicted": one.predicted, "observed": one.observed, "low": low, "high": high, "said": said})
    most = min(1.0, 1.1 * max(max(row["predicted"], row["high"]) for row in rows)) or 1.0
    # Of hundreds of candidates at most one is taken: most predictions are far below the largest.
    scale = alt.Scale(type="sqrt" if name == CLICK else "linear", domain=[0, most], nice=False)
    base = alt.Chart(data(rows)).encode(
        x=alt.X("predicted:Q", title="predicted", scale=scale, axis=alt.Axis(tickCount=4)), description="said:N"
    )
    y = alt.Y("observed:Q", title="happened", scale=scale, axis=alt.Axis(tickCount=4, minExtent=44))
    ends = alt.Chart(data([{"at": 0.0}, {"at": most}]))
    diagonal = ends.mark_line(color=MUTED, strokeDash=[4, 4], strokeWidth=1).encode(x="at:Q", y="at:Q")
    spans = base.mark_rule(color=FUNNEL, strokeWidth=2, opacity=0.5).encode(
        y=alt.Y("low:Q", scale=scale, title="happened"), y2="high:Q"
    )
    points = base.mark_point(filled=True, size=70, opacity=1, color=FUNNEL).encode(y=y)
    return rendered(260, diagonal, spans, points)


def curve(points: Curve, validation: bool) -> Markup:
    """A course of training.

    Args:
        points: the course.
        validation: draw the validations instead of the losses.
    """
    found = [(point.epoch, point.validation if validation else point.loss) for point in points.points]
    rows: Rows = [
        {"epoch": epoch, "value": value, "said": f"epoch {epoch}: {value:.4f}"}
        for epoch, value in found
        if value is not None
    ]
    base = alt.Chart(data(rows)).encode(
        x=alt.X("epoch:Q", axis=alt.Axis(values=_epochs(points), format="d"), scale=alt.Scale(zero=False, nice=False)),
        y=alt.Y(
            "value:Q",
            title=points.validation if validation else "loss",
            axis=alt.Axis(tickCount=4, minExtent=44),
            scale=alt.Scale(zero=False),
        ),
        description="said:N",
    )
    colour = OTHER if validation else FUNNEL
    line = base.mark_line(color=colour, strokeWidth=2)
    return rendered(180, line, base.mark_point(filled=True, color=colour, size=30, opacity=1))


def _epochs(points: Curve) -> list[int]:
    last = points.points[-1].epoch
    return list(range(1, last + 1, max(1, math.ceil(last / 6))))


def drifted(columns: Sequence[ColumnDrift]) -> list[ColumnDrift]:
    """The columns that have changed by more than a little and more than by chance."""
    return [column for column in columns if column.distance > max(DRIFTED, column.chance)]


def drift(columns: Sequence[ColumnDrift]) -> Markup:
    """The distances of the columns that changed most; a tick shows what chance explains.

    Args:
        columns: the largest distance first.
    """
    rows: Rows = [
        {
            "column": column.column,
            "distance": column.distance,
            "chance": column.chance,
            "colour": BAD if drifted([column]) else OTHER,
            "said": f"{column.column}: {column.distance:.3f} (chance: up to {column.chance:.3f})",
        }
        for column in columns[:_COLUMNS]
    ]
    base = alt.Chart(data(rows)).encode(
        y=alt.Y("column:N", sort=None, axis=names(row["column"] for row in rows)), description="said:N"
    )
    most = max(0.2, *(max(row["distance"], row["chance"]) for row in rows))
    x = alt.X("distance:Q", title="distance", scale=alt.Scale(domain=[0, most]), axis=alt.Axis(tickCount=4))
    bars = base.mark_bar(height=12, cornerRadius=2).encode(x=x, color=alt.Color("colour:N", scale=None))
    chance = base.mark_tick(color="var(--ink)", thickness=2, height=18).encode(x="chance:Q")
    bound = alt.Chart(data([{"at": DRIFTED}])).mark_rule(color=MUTED, strokeDash=[4, 4]).encode(x="at:Q")
    return rendered(_MARGIN + _ROW * len(rows), bars, chance, bound)


def steps(costs: Sequence[Cost]) -> Markup:
    """The duration of each step of the build."""
    rows: Rows = [
        {"step": cost.step, "seconds": cost.seconds, "text": duration(cost.seconds), "said": _said(cost)}
        for cost in costs
    ]
    base = alt.Chart(data(rows)).encode(
        y=alt.Y("step:N", sort=None, axis=names(row["step"] for row in rows)), description="said:N"
    )
    most = max(cost.seconds for cost in costs) * 1.25 or 1.0
    x = alt.X("seconds:Q", title="seconds", scale=alt.Scale(domain=[0, most], nice=False), axis=alt.Axis(tickCount=4))
    bars = base.mark_bar(height=14, cornerRadius=2, color=OTHER).encode(x=x)
    texts = base.mark_text(align="left", dx=4).encode(x="seconds:Q", text="text:N")
    return rendered(_MARGIN + _ROW * len(rows), bars, texts)


def duration(seconds: float) -> str:
    """A duration in words, such as ``3 min 20 s``."""
    if seconds < 60:
        return f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours} h {minutes} min" if hours else f"{minutes} min {rest} s"


def _said(cost: Cost) -> str:
    return f"{cost.step}: {duration(cost.seconds)}, {cost.cpu_seconds:.1f} processor seconds, {cost.memory_mb:.0f} MB"


def _wilson(share: float, count: int) -> tuple[float, float]:
    """Wilson's interval of a binomial share."""
    spread = _Z * math.sqrt(share * (1 - share) / count + _Z**2 / (4 * count**2))
    middle, scale = share + _Z**2 / (2 * count), 1 + _Z**2 / count
    return max(0.0, (middle - spread) / scale), min(1.0, (middle + spread) / scale)
