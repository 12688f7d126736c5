"""Reads exported events and impressions as the log of an off-policy evaluation, with a build's rules.

What `winnow events export` wrote becomes a data set of the release's items and event types, and is validated and put
into index space as every data set. So a reward is attributed as in training: the user's first event with a shown item
within the window of its type, and what followed within the windows.
"""

import csv
import tempfile
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pyarrow.parquet as pq
from numpy.typing import NDArray

from winnow import files
from winnow.datasets.canonical.spec import DatasetSpec, EventType
from winnow.datasets.ingest import ingest
from winnow.errors import WinnowError
from winnow.evaluation.held_out import types_of
from winnow.evaluation.off_policy.log import Log
from winnow.features.extract import extract
from winnow.features.first_clicks import first_clicks
from winnow.features.table import FeatureSet
from winnow.features.targets import outcomes
from winnow.feedback import export_files
from winnow.feedback.export_files import EVENT_TABLE, IMPRESSION_TABLE, StreamTable
from winnow.release import Release
from winnow.schema import DAY_MS, FeatureSchema


class Feedback(NamedTuple):
    """The log after a release's data.

    Attributes:
        log: the shown slots and their rewards; items are the features' indices.
        features: the exported log in index space.
        requests: int64 [requests], each request's row in ``features.impressions``.
        notes: what was left out, in words.
    """

    log: Log
    features: FeatureSet
    requests: NDArray[np.int64]
    notes: list[str]


def read(folder: str, release: Release, objective: str) -> Feedback:
    """Read the impressions that are later than a release's data, and what came of them.

    Earlier ones are left out: the release has learned what came of them.

    Args:
        folder: where `winnow events export` wrote, local or ``s3://``.
        release: the release to evaluate.
        objective: the event types whose values are the reward; see :func:`winnow.evaluation.held_out.types_of`.

    Raises:
        WinnowError: there are no such impressions, or a file cannot be read.
    """
    rewarded = types_of(release.schema, objective)
    features, notes = _features(folder, release)
    shown, as_of = features.impressions, release.manifest.as_of
    fair = np.flatnonzero((shown.timestamp >= as_of) & (np.diff(shown.offsets) > 0))
    if not len(fair):
        raise WinnowError(
            f"{folder}: none of its {len(shown.timestamp):,} requests is later than the data of release "
            f"{release.manifest.number}, which has learned from the earlier ones: serve and export further requests, "
            "or evaluate a release that was built before them"
        )
    if early := len(shown.timestamp) - len(fair):
        notes.append(f"{early:,} requests from before the data of the release ends, which it has learned from")
    sizes = np.diff(shown.offsets)[fair]
    slots = np.repeat(shown.offsets[fair] - np.append(0, np.cumsum(sizes)[:-1]), sizes) + np.arange(sizes.sum())
    log = Log(
        user=shown.user[fair].astype(np.int64),
        request=np.repeat(np.arange(len(fair)), sizes),
        item=shown.item[slots].astype(np.int64),
        position=shown.position[slots].astype(np.int64),
        propensity=shown.propensity[slots].astype(np.float64),
        reward=_rewards(features, slots, rewarded),
    )
    return Feedback(log, features, fair, notes)


def _rewards(features: FeatureSet, slots: NDArray[np.int64], rewarded: tuple[str, ...]) -> NDArray[np.float64]:
    """The value of the rewarded event types that each slot led to; float64 [slots]."""
    rows = first_clicks(features)[slots]
    clicked = rows >= 0
    schema = features.schema
    values = np.where([name in rewarded for name in schema.events], schema.event_values, 0.0)
    rewards = np.zeros(len(slots))
    rewards[clicked] = outcomes(features, rows[clicked]).grade @ values
    return rewards


def _features(folder: str, release: Release) -> tuple[FeatureSet, list[str]]:
    """The export as a data set of the release's items, in index space, and what was left out of it."""
    with tempfile.TemporaryDirectory(prefix="winnow-off-policy-") as scratch:
        source = Path(scratch) / "source"
        copied = {table.stream: _copied(folder, table, source) for table in (EVENT_TABLE, IMPRESSION_TABLE)}
        for stream, count in copied.items():
            if not count:
                raise WinnowError(f"{folder} has no {stream}: run `winnow events export` first, or correct the folder")
        _spec(release.schema).write(source / "dataset.yaml")
        _write_ids(source / "items.csv", "item_id", release.strings("item_ids")[1:].tolist())
        users = {user for file in (source / IMPRESSION_TABLE.stream).iterdir() for user in _users(file)}
        _write_ids(source / "users.csv", "user_id", sorted(users))
        dataset = ingest(str(source), Path(scratch) / "dataset")
        left_out = dataset.account.impressions
        notes = [f"{reason.count:,} shown items: {reason.what}" for reason in (left_out.reasons if left_out else ())]
        return extract(dataset, {}), notes


def _copied(folder: str, table: StreamTable, source: Path) -> int:
    """Copy a table's files below ``source``; returns their number."""
    addresses = export_files.written(folder, table)
    (source / table.stream).mkdir(parents=True)
    for address in addresses:
        (source / table.stream / address.rpartition("/")[2]).write_bytes(files.read(address))
    return len(addresses)


def _users(file: Path) -> set[str]:
    return set(pq.read_table(file, columns=["user_id"])["user_id"].drop_null().to_pylist())


def _write_ids(path: Path, column: str, ids: list[str]) -> None:
    with path.open("w", newline="") as file:
        csv.writer(file).writerows([[column], *([one] for one in ids)])


def _spec(schema: FeatureSchema) -> DatasetSpec:
    """The release's event types; events of items that the release lacks are left out, however many."""
    full_amounts = schema.event_full_amounts or (0.0,) * len(schema.events)
    declared = zip(schema.events, schema.event_values, schema.event_windows_ms, full_amounts, strict=True)
    events = {
        name: EventType(value=value, window_days=window / DAY_MS, full_amount=full or None)
        for name, value, window, full in declared
    }
    return DatasetSpec(
        name="export", events=events, conversions=schema.conversions, repeats=schema.repeats, max_bad_share=0.999
    )
