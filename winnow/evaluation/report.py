"""Evaluates a release on held-out events: the served funnel, its retriever alone and the classic baselines."""

from collections.abc import Mapping
from dataclasses import fields
from typing import TypedDict

import numpy as np
from numpy.typing import NDArray

from winnow.evaluation import baselines, lists
from winnow.evaluation.held_out import ANY, Targets, targets, types_of
from winnow.evaluation.lists import DEPTH
from winnow.evaluation.segments import check_segment, segments
from winnow.features.table import Interactions
from winnow.ranking import metrics
from winnow.release import Release
from winnow.schema import FeatureSchema

Metrics = dict[str, dict[str, float]]
"""Recommender -> metric -> value."""


class Segment(TypedDict):
    """The metrics of some of the users."""

    users: int
    metrics: Metrics


class Evaluation(TypedDict):
    """The report that ``winnow evaluate --json`` prints.

    ``types`` are the event types of the objective; ``segments`` is empty unless segments were requested.
    """

    objective: str
    types: list[str]
    split: str
    release: int
    users: int
    metrics: Metrics
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
    """Evaluate every recommender on the held-out outcome of each user, which the release was built without.

    All items of the catalog are ranked; unless the release allows repeats, without those in the user's history. A user
    is included if the outcome has an event of the objective.

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
    types = types_of(release.schema, objective)
    wanted = targets(release, types)
    items = release.items
    found = _lists(release, wanted.users, items, show_progress)
    masks = segments(release, wanted.users, by) if by is not None else {}
    return Evaluation(
        objective=objective,
        types=list(types),
        split=_split(release.schema),
        release=release.manifest.number,
        users=len(wanted.users),
        metrics=_metrics(found, wanted, items),
        segments={
            name: Segment(
                users=int(mask.sum()),
                metrics=_metrics(
                    {recommender: top[mask] for recommender, top in found.items()},
                    wanted.where(mask),
                    items,
                ),
            )
            for name, mask in masks.items()
        },
    )


def _split(schema: FeatureSchema) -> str:
    if schema.repeats == "allow":
        return (
            "each user's last event of positive value (ties: the later in the log), full catalog, seen items included"
        )
    return "each user's last first interaction with an item (ties: the later in the log), full catalog of unseen items"


def _lists(release: Release, users: NDArray[np.int64], items: int, show_progress: bool) -> dict[str, NDArray[np.int32]]:
    """Recommender -> int32 [users, DEPTH]."""
    log = Interactions(*(np.asarray(release.array(field.name)) for field in fields(Interactions)))
    repeats = release.schema.repeats == "allow"
    past = baselines.Past.of(log, items, release.schema.event_values, repeats)
    found = {
        "funnel": lists.of_funnel(release, users, show_progress),
        "retriever": lists.of_retriever(release, log, users),
        "popularity": baselines.popularity(past, DEPTH)[users],
        "item_knn": baselines.item_knn(past, DEPTH)[users],
        "ease": baselines.ease(past, DEPTH)[users],
    }
    return found | {"most_taken": baselines.most_taken(past, DEPTH)[users]} if repeats else found


def _metrics(found: Mapping[str, NDArray[np.int32]], wanted: Targets, items: int) -> Metrics:
    return {
        name: {
            "ndcg@10": metrics.ndcg(top, wanted.items, 10),
            "recall@10": metrics.recall(top, wanted.items, 10),
            "recall@50": metrics.recall(top, wanted.items, DEPTH),
            "coverage@10": metrics.coverage(top, items, 10),
            "value_ndcg@10": metrics.value_ndcg(top, wanted.items, wanted.values, 10),
            "mean_value@10": metrics.mean_value(top, wanted.items, wanted.values, 10),
        }
        for name, top in found.items()
    }
