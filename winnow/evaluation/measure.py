"""Measures a release on held-out events: the record that the gate and the report read.

The funnel is served by a real stack, and so is the live release's, for the users whose held-out event neither of them
knows. Everything else is computed from the arrays of the release. Work is linear in the users and bounded: above
:data:`MOST_USERS` a random sample of them is evaluated, and :data:`TRACED` of them are traced.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from io import BytesIO

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from winnow import files
from winnow.evaluation import lists, record
from winnow.evaluation.drift import drift
from winnow.evaluation.funnel import Funnel
from winnow.evaluation.held_out import ANY, Targets, targets, types_of
from winnow.evaluation.intervals import exact, resampled
from winnow.evaluation.record import FUNNEL, LIVE, EvaluationRecord, Group
from winnow.evaluation.segments import all_segments
from winnow.evaluation.traces import Traced
from winnow.features.table import Interactions
from winnow.items.index import ItemIndex
from winnow.ranking.metrics import SHOWN, coverage
from winnow.ranking.user_metrics import Popularity, ratios
from winnow.release import Release
from winnow.schema import FeatureSchema

MOST_USERS = 20_000
"""Users that are evaluated at most."""

TRACED = 1_000
"""Of these, the users whose trace is read at most."""

Lists = Mapping[str, NDArray[np.int32]]
"""Recommender -> int32 [users, DEPTH]."""


@dataclass(frozen=True)
class Measured:
    """The result of :func:`measure`.

    Attributes:
        record: the record.
        users: the table of :data:`winnow.evaluation.record.USERS_FILE`.
    """

    record: EvaluationRecord
    users: pa.Table

    def write(self, home: str) -> None:
        """Write both files of the evaluation into a home, each atomically, the record last.

        Args:
            home: a folder or an ``s3://`` address.

        Raises:
            WinnowError: a file cannot be written.
        """
        folder, table = record.folder(home, self.record.release), BytesIO()
        pq.write_table(self.users, table)
        files.write(files.inside(folder, record.USERS_FILE), table.getvalue())
        files.write(files.inside(folder, record.FILE), self.record.model_dump_json(indent=1).encode())


def measure(
    release: Release, live: Release | None = None, objective: str = ANY, show_progress: bool = False
) -> Measured:
    """Evaluate every recommender on the held-out outcome of each user, which the release was built without.

    All items of the catalog are ranked; unless the release allows repeats, without those in the user's history. A user
    is included if the outcome has an event of the objective.

    Args:
        release: a release built with ``--holdout last``.
        live: the live release; ``None`` without one.
        objective: the outcomes that count; see :func:`winnow.evaluation.held_out.types_of`.
        show_progress: show progress bars.

    Raises:
        WinnowError: the objective is unknown, no user has such an outcome, or the funnel's answers were degraded.
    """
    types = types_of(release.schema, objective)
    every = targets(release, types)
    wanted = every.where(_sampled(len(every.users), MOST_USERS))
    log = lists.log_of(release)
    found, traced = _lists(release, log, wanted, types, show_progress)
    context = _Context(release, log)
    reason = _incomparable(release, live, wanted)
    beside, of_live = None, np.zeros(0, np.int32)
    fair = np.zeros(len(wanted.users), np.bool_)
    if live is not None and not reason:
        assert wanted.moments is not None
        fair = wanted.moments >= live.manifest.as_of
        of_live = _lists_of_live(release, live, wanted.users[fair], show_progress)
        beside = context.group({name: top[fair] for name, top in found.items()} | {LIVE: of_live}, wanted.where(fair))
    segments = {
        dimension: {
            name: context.group({recommender: top[mask] for recommender, top in found.items()}, wanted.where(mask))
            for name, mask in masks.items()
        }
        for dimension, masks in all_segments(release, log, wanted).items()
    }
    made = EvaluationRecord(
        release=release.manifest.number,
        live=live.manifest.number if live is not None and not reason else None,
        uncompared=reason,
        objective=objective,
        types=list(types),
        split=split_of(release.schema) + _sample_of(len(wanted.users), len(every.users)),
        items=release.items,
        overall=context.group(found, wanted),
        beside_live=beside,
        segments=segments,
        losses=traced.losses(),
        calibration=traced.calibration(),
        drift=drift(release, live) if live is not None else None,
    )
    return Measured(made, _users(release, wanted, found, fair, of_live))


class _Context:
    """What all groups of users are measured with."""

    def __init__(self, release: Release, log: Interactions) -> None:
        self._items = release.items
        pairs = np.unique(log.user * (release.items + 1) + log.item)
        known = np.bincount(pairs % (release.items + 1), minlength=release.items + 1)
        self._popularity = Popularity.of(known, log.users)

    def group(self, found: Lists, wanted: Targets) -> Group:
        parts = {name: ratios(top, wanted.items, wanted.values, self._popularity) for name, top in found.items()}
        covered = {name: coverage(top, self._items, SHOWN) for name, top in found.items()}
        drawn, covers = resampled(parts), f"coverage@{SHOWN}"
        return Group(
            users=len(wanted.users),
            metrics={
                name: {metric: each.estimate() for metric, each in metrics.items()} | {covers: exact(covered[name])}
                for name, metrics in drawn.items()
            },
            differences={
                name: {metric: drawn[FUNNEL][metric].minus(each) for metric, each in metrics.items()}
                | {covers: exact(covered[FUNNEL] - covered[name])}
                for name, metrics in drawn.items()
                if name != FUNNEL
            },
        )


def _lists(
    release: Release, log: Interactions, wanted: Targets, types: tuple[str, ...], show_progress: bool
) -> tuple[dict[str, NDArray[np.int32]], Traced]:
    users, names = wanted.users, release.array("user_ids")
    with Funnel.serving(release, show_progress) as funnel:
        found = {FUNNEL: funnel.lists(names[users].tolist(), ItemIndex.of(release))}
        traced = _traced(release, funnel, types)
    found["retriever"] = lists.of_retriever(release, log, users)
    return found | lists.of_baselines(release, log, users), traced


def _traced(release: Release, funnel: Funnel, types: tuple[str, ...]) -> Traced:
    """Trace users of all outcomes: those of an objective alone would not calibrate the other types."""
    schema, rows = release.schema, np.asarray(release.array("holdout"))
    rows = rows[rows["grade"] > 0]
    users, first, of_user = np.unique(rows["user"], return_index=True, return_inverse=True)
    chosen = np.flatnonzero(_sampled(len(users), TRACED))
    item_ids = release.strings("item_ids").at(rows["item"][first][chosen])
    traced = Traced(schema.events)
    traces = funnel.traces(release.array("user_ids")[users[chosen]].tolist())
    outcome = [schema.events[code - 1] for code in rows["event"].tolist()]
    by_user: dict[int, set[str]] = {}
    for user, event in zip(of_user.tolist(), outcome, strict=True):
        by_user.setdefault(user, set()).add(event)
    for user, item_id, trace in zip(chosen.tolist(), item_ids, traces, strict=True):
        events = frozenset(by_user[user])
        traced.add(trace, item_id, events, counts=not events.isdisjoint(types))
    return traced


def _incomparable(release: Release, live: Release | None, wanted: Targets) -> str:
    """Why there is no comparison with the live release; empty where there is one."""
    if live is None:
        return "no release is live"
    number, ours, theirs = live.manifest.number, release.manifest, live.manifest
    if number == ours.number:
        return f"release {number} is itself live"
    if ours.dataset != theirs.dataset:
        return f"the live release {number} is of another data set: {theirs.dataset!r}, not {ours.dataset!r}"
    if release.schema.events != live.schema.events:
        return f"the live release {number} has other event types: {', '.join(live.schema.events)}"
    if wanted.moments is None:
        return "the evaluated release does not say when its held-out events happened: build it again"
    if not (wanted.moments >= theirs.as_of).any():
        return f"no held-out event is newer than the data of the live release {number}"
    return ""


def _lists_of_live(release: Release, live: Release, users: NDArray[np.int64], show_progress: bool) -> NDArray[np.int32]:
    """The live funnel's lists, for the histories that the release has: those just before the held-out events."""
    with Funnel.serving(live, show_progress) as funnel:
        funnel.add_histories(release, users)
        return funnel.lists(release.array("user_ids")[users].tolist(), ItemIndex.of(release))


def _users(
    release: Release, wanted: Targets, found: Lists, fair: NDArray[np.bool_], of_live: NDArray[np.int32]
) -> pa.Table:
    columns = {
        "user_id": pa.array(release.array("user_ids")[wanted.users].tolist(), pa.string()),
        "item_id": pa.array(release.strings("item_ids").at(wanted.items), pa.string()),
        "moment": pa.nulls(len(fair), pa.int64()) if wanted.moments is None else pa.array(wanted.moments),
        "value": pa.array(wanted.values),
    }
    columns |= {f"rank_{name}": pa.array(_ranks(top, wanted.items)) for name, top in found.items()}
    if fair.any():
        whole = np.zeros(len(fair), np.int32)
        whole[fair] = _ranks(of_live, wanted.items[fair])
        columns[f"rank_{LIVE}"] = pa.array(whole, mask=~fair)
    return pa.table(columns)


def _ranks(top: NDArray[np.int32], items: NDArray[np.int32]) -> NDArray[np.int32]:
    hits = top == items[:, None]
    return np.where(hits.any(axis=1), hits.argmax(axis=1) + 1, 0).astype(np.int32)


def _sampled(count: int, most: int) -> NDArray[np.bool_]:
    """``most`` of ``count``, or all: bool [count]."""
    chosen = np.ones(count, np.bool_)
    if count > most:
        chosen[np.random.default_rng(0).permutation(count)[most:]] = False
    return chosen


def split_of(schema: FeatureSchema) -> str:
    """The split of releases with this schema, in words."""
    if schema.repeats == "allow":
        return (
            "each user's last event of positive value (ties: the later in the log), full catalog, seen items included"
        )
    return "each user's last first interaction with an item (ties: the later in the log), full catalog of unseen items"


def _sample_of(users: int, all_users: int) -> str:
    return f"; a random sample of {users:,} of {all_users:,} users" if users < all_users else ""
