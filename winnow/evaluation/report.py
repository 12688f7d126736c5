"""The evaluation of a release as ``winnow evaluate`` shows it, for one choice of segments."""

from typing import TypedDict

from winnow.evaluation.held_out import ANY, types_of
from winnow.evaluation.measure import measure
from winnow.evaluation.record import EvaluationRecord, Group
from winnow.evaluation.segments import check_segment
from winnow.release import Release
from winnow.schema import FeatureSchema

Metrics = dict[str, dict[str, float]]
"""Recommender -> metric -> value."""

Intervals = dict[str, dict[str, tuple[float, float]]]
"""Recommender -> metric -> ends of the 95 % interval."""


class Segment(TypedDict):
    """The metrics of some of the users, and how far the funnel's exceed each other recommender's."""

    users: int
    metrics: Metrics
    intervals: Intervals
    differences: Metrics
    difference_intervals: Intervals


class Evaluation(Segment):
    """The report that ``winnow evaluate --json`` prints.

    ``types`` are the event types of the objective; ``segments`` is empty unless segments were requested;
    ``beside_live`` has the users that the live release can be compared on, if ``live`` names one.
    """

    objective: str
    types: list[str]
    split: str
    release: int
    live: int | None
    uncompared: str
    beside_live: Segment | None
    segments: dict[str, Segment]


def check(schema: FeatureSchema, objective: str, by: str | None) -> None:
    """Refuse an objective or segments that a data set of this schema does not have.

    Raises:
        WinnowError: the objective or the segment is unknown; the message names the known ones.
    """
    types_of(schema, objective)
    if by is not None:
        check_segment(schema, by)


def evaluate(release: Release, objective: str = ANY, by: str | None = None, show_progress: bool = False) -> Evaluation:
    """Evaluate a release without a live one beside it; see :func:`winnow.evaluation.measure.measure`.

    Args:
        release: a release built with ``--holdout last``.
        objective: the outcomes that count; see :func:`winnow.evaluation.held_out.types_of`.
        by: the segments; see :func:`winnow.evaluation.segments.segments`.
        show_progress: show progress bars.

    Raises:
        WinnowError: the objective or the segment is unknown, no user has such an outcome, or the funnel's answers were
            degraded.
    """
    check(release.schema, objective, by)
    return view(measure(release, None, objective, show_progress).record, by)


def view(record: EvaluationRecord, by: str | None) -> Evaluation:
    """A record as one table, and a table for each segment.

    Args:
        record: the record.
        by: a dimension of the segments; ``None`` for none. One with a single segment has the table of all users.
    """
    alone = {"all": record.overall} if by is not None else {}
    segments = record.segments.get(by, alone) if by is not None else {}
    return Evaluation(
        **_segment(record.overall),
        objective=record.objective,
        types=record.types,
        split=record.split,
        release=record.release,
        live=record.live,
        uncompared=record.uncompared,
        beside_live=_segment(record.beside_live) if record.beside_live else None,
        segments={name: _segment(group) for name, group in segments.items()},
    )


def _segment(group: Group) -> Segment:
    of_metrics, of_differences = (
        {
            recommender: {metric: (estimate.low, estimate.high) for metric, estimate in found.items()}
            for recommender, found in estimates.items()
        }
        for estimates in (group.metrics, group.differences)
    )
    metrics, differences = (
        {
            recommender: {metric: estimate.value for metric, estimate in found.items()}
            for recommender, found in estimates.items()
        }
        for estimates in (group.metrics, group.differences)
    )
    return Segment(
        users=group.users,
        metrics=metrics,
        intervals=of_metrics,
        differences=differences,
        difference_intervals=of_differences,
    )
