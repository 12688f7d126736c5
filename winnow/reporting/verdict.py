"""The report's words: one sentence that says how the release compares, and its key figures."""

from typing import NamedTuple

from winnow.evaluation.record import FUNNEL, LIVE, Estimate, EvaluationRecord, Group
from winnow.ranking.metrics import SHOWN

METRIC = f"ndcg@{SHOWN}"
"""The metric that decides."""

_NAMES = {
    METRIC: "Ranking quality",
    f"recall@{SHOWN}": "Found in the first ten",
    "recall@50": "Found in the first fifty",
    f"coverage@{SHOWN}": "Catalog shown",
    f"popularity@{SHOWN}": "Popularity",
    f"novelty@{SHOWN}": "Novelty, bits",
}


class Verdict(NamedTuple):
    """How the release compares with the live release, or with the best baseline where none is live.

    Attributes:
        tone: ``good``, ``bad`` or ``even``.
        headline: a few words.
        detail: the numbers.
    """

    tone: str
    headline: str
    detail: str


class Figure(NamedTuple):
    """A key figure.

    Attributes:
        title: in words.
        metric: its name.
        value: of all evaluated users, with its interval.
        lines: the same of others, as text.
    """

    title: str
    metric: str
    value: str
    interval: str
    lines: list[str]


def verdict(record: EvaluationRecord) -> Verdict:
    """Put the comparison into words."""
    if record.beside_live is not None:
        return _compared(record.beside_live, LIVE, f"the live release {record.live}")
    best = best_baseline(record.overall)
    found = _compared(record.overall, best, f"the best baseline, {best}")
    return found._replace(detail=f"{found.detail} No comparison with a live release: {record.uncompared}.")


def best_baseline(group: Group) -> str:
    """The classic recommender with the largest :data:`METRIC`."""
    baselines = [name for name in group.metrics if name not in (FUNNEL, "retriever", LIVE)]
    return max(baselines, key=lambda name: group.metrics[name][METRIC].value)


def _compared(group: Group, other: str, named: str) -> Verdict:
    found = group.differences[other][METRIC]
    tone, headline = "even", f"No difference from {named} can be shown"
    if found.low > 0:
        tone, headline = "good", f"Better than {named}"
    elif found.high < 0:
        tone, headline = "bad", f"Worse than {named}"
    ours, theirs = (group.metrics[name][METRIC].value for name in (FUNNEL, other))
    users = f"{group.users:,} user{'' if group.users == 1 else 's'}"
    return Verdict(
        tone,
        headline,
        f"{METRIC} is {ours:.4f} beside {theirs:.4f}, a difference of {found.value:+.4f} (95 % interval "
        f"{found.low:+.4f} to {found.high:+.4f}), measured on {users}.",
    )


def key_figures(record: EvaluationRecord) -> list[Figure]:
    """The figures of the head of the report."""
    metrics, figures = record.overall.metrics, []
    best = best_baseline(record.overall)
    for metric, title in _NAMES.items():
        lines = [
            f"{name}: {_number(metrics[name][metric].value, metric)}" for name in dict.fromkeys([best, "popularity"])
        ]
        if record.beside_live is not None:
            change = record.beside_live.differences[LIVE][metric]
            between = "" if change.low == change.high else f" ({_span(change, metric, '+')})"
            lines.insert(0, f"vs live: {_number(change.value, metric, '+')}{between}")
        found = metrics[FUNNEL][metric]
        interval = "" if found.low == found.high else _span(found, metric)
        figures.append(Figure(title, metric, _number(found.value, metric), interval, lines))
    return figures


def _span(estimate: Estimate, metric: str, sign: str = "") -> str:
    low, high = (_number(end, metric, sign) for end in (estimate.low, estimate.high))
    return low if low == high else f"{low.removesuffix(' pp')} to {high.removesuffix(' pp')}"


def _number(value: float, metric: str, sign: str = "") -> str:
    if metric == METRIC:
        return f"{value:{sign}.4f}"
    if metric.startswith("novelty"):
        return f"{value:{sign}.2f}"
    # A difference of shares is in percentage points.
    return f"{100 * value:+.1f} pp" if sign else f"{value:.1%}"
