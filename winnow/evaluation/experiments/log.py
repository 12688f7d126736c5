"""Reads what the users of each arm were shown, and what came of it, from an export.

The arm is the one that was logged with the impression. What a user earned is the value of the user's events that are
attributed to an impression of the experiment, as a build attributes them, each counted once however often the item was
shown.
"""

from functools import partial
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from numpy.typing import NDArray

from winnow.errors import WinnowError
from winnow.evaluation.held_out import types_of
from winnow.features.first_clicks import first_clicks
from winnow.features.table import FeatureSet
from winnow.feedback.export_files import IMPRESSION_TABLE
from winnow.feedback.exported_log import copied, earned, in_index_space
from winnow.release import Release
from winnow.settings.experiments import Experiment

_REQUEST = ["request_id", "user_id", "timestamp", "arm"]


class ArmLog(NamedTuple):
    """What was logged of one arm.

    Attributes:
        name: name of the arm.
        requests: number of answers.
        rewards: float64 [users], what each user of the arm earned; 0 for a user who did nothing.
    """

    name: str
    requests: int
    rewards: NDArray[np.float64]


def read(folder: str, release: Release, experiment: Experiment, objective: str) -> tuple[list[ArmLog], list[str]]:
    """Read the log of an experiment.

    Args:
        folder: where `winnow events export` wrote, local or ``s3://``.
        release: gives the event types; items that it lacks count, too.
        experiment: the experiment as it was served.
        objective: the event types whose values are the reward; see :func:`winnow.evaluation.held_out.types_of`.

    Returns:
        A log per arm, in their order, and in words what was left out.

    Raises:
        WinnowError: no impression is of the experiment, one has an arm that the experiment lacks, or a file cannot be
            read.
    """
    types = types_of(release.schema, objective)
    with copied(folder, partial(_of_experiment, experiment.name)) as source:
        shown, shown_items = _impressions(source / IMPRESSION_TABLE.stream)
        if not shown.num_rows:
            raise WinnowError(
                f"{folder}: no impression has an arm of experiment {experiment.name}: serve with "
                "`winnow up --experiments FILE` (the transformer's `--experiments`) and export again"
            )
        _check_arms(shown, experiment, folder)
        items = dict.fromkeys([*release.strings("item_ids")[1:].tolist(), *shown_items])
        features, notes = in_index_space(source, release.schema, list(items))
    arms_of_users = shown.group_by("user_id").aggregate([("arm", "min"), ("arm", "max")])
    moved = pc.not_equal(arms_of_users["arm_min"], arms_of_users["arm_max"])
    if count := pc.sum(moved).as_py():
        notes.append(f"{count:,} users who were in several arms, because the shares or names of the arms changed")
    users = arms_of_users.filter(pc.invert(moved))
    rows = pc.index_in(users["user_id"], pa.array(features.user_ids.tolist(), pa.string()))
    rewards = _rewards(features, types)[rows.to_numpy()]
    arm = np.array(users["arm_min"].to_pylist())
    requests = shown.filter(pc.is_in(shown["user_id"], users["user_id"]))["arm"]
    asked = {one["values"]: one["counts"] for one in pc.value_counts(requests).to_pylist()}
    return [ArmLog(one.name, asked.get(one.name, 0), rewards[arm == one.name]) for one in experiment.arms], notes


def _of_experiment(name: str, table: pa.Table) -> pa.Table:
    """The impressions of an experiment, with their ``arm``; files of earlier versions have none.

    Those of all forms that have an arm count: the form is left out, by which a build would leave out some.
    """
    if "arms" not in table.column_names:
        return table.slice(0, 0)
    arms = table["arms"].combine_chunks()
    request, taken = pc.list_parent_indices(arms), pc.list_flatten(arms)
    ours = pc.equal(pc.struct_field(taken, "experiment"), name)
    selected = table.take(request.filter(ours)).select([name for name in table.column_names if name != "form"])
    return selected.append_column("arm", pc.struct_field(taken, "arm").filter(ours))


def _impressions(folder: Path) -> tuple[pa.Table, list[str]]:
    """The copied requests, each once with its user and arm, and the ids of all shown items."""
    columns = [(name, IMPRESSION_TABLE.schema.field(name).type) for name in _REQUEST[:-1]]
    parts, items = [pa.schema([*columns, ("arm", pa.string())]).empty_table()], set[str]()
    for file in sorted(folder.iterdir()):
        table = pq.read_table(file, columns=[*_REQUEST, "items"])
        shown = pc.list_flatten(table["items"])
        items.update(pc.unique(pc.struct_field(shown, "item_id")).drop_null().to_pylist())
        parts.append(table.select(_REQUEST))
    return pa.concat_tables(parts).group_by(_REQUEST).aggregate([]), sorted(items)


def _check_arms(shown: pa.Table, experiment: Experiment, folder: str) -> None:
    declared = [arm.name for arm in experiment.arms]
    unknown = sorted(set(pc.unique(shown["arm"]).to_pylist()) - set(declared))
    if unknown:
        raise WinnowError(
            f"{folder}: impressions have arm {unknown[0]!r} of {experiment.name}, which is declared with "
            f"{', '.join(declared)}: name the file that it was served with (--experiments)"
        )


def _rewards(features: FeatureSet, types: tuple[str, ...]) -> NDArray[np.float64]:
    """What each user earned; float64 [users].

    An item that was shown again leads to further events only after the longest window, as in a build: until then they
    are part of what came of the first one.
    """
    log, clicks = features.interactions, first_clicks(features)
    rows = np.unique(clicks[clicks >= 0])
    user, item, moment = log.user_of(rows), log.item[rows], log.timestamp[rows]
    order = np.lexsort((moment, item, user))
    begins = np.ones(len(rows), np.bool_)
    begins[1:] = (
        (np.diff(user[order]) != 0)
        | (np.diff(item[order]) != 0)
        | (np.diff(moment[order]) > max(features.schema.event_windows_ms))
    )
    chosen = np.sort(rows[order[begins]])
    return np.bincount(log.user_of(chosen), earned(features, chosen, types), len(features.user_ids)).astype(np.float64)
