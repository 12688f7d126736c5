"""Reads exported events and impressions as the log of an off-policy evaluation."""

from typing import NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from winnow.errors import WinnowError
from winnow.evaluation.held_out import types_of
from winnow.evaluation.off_policy.log import Log
from winnow.features.first_clicks import first_clicks
from winnow.features.table import FeatureSet
from winnow.feedback.exported_log import copied, earned, in_index_space
from winnow.release import Release


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

    Earlier ones are left out: the release has learned what came of them. So are further pages of a recommendation.

    Args:
        folder: where `winnow events export` wrote, local or ``s3://``.
        release: the release to evaluate.
        objective: the event types whose values are the reward; see :func:`winnow.evaluation.held_out.types_of`.

    Raises:
        WinnowError: there are no such impressions, or a file cannot be read.
    """
    rewarded = types_of(release.schema, objective)
    with copied(folder, _first_pages) as source:
        features, notes = in_index_space(source, release.schema, release.strings("item_ids")[1:].tolist())
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


def _first_pages(impressions: pa.Table) -> pa.Table:
    """The answers that were no further page: a request that is repeated gets the first one."""
    if "first" not in impressions.column_names:
        return impressions
    return impressions.filter(pc.equal(pc.coalesce(impressions["first"], pa.scalar(0)), 0))


def _rewards(features: FeatureSet, slots: NDArray[np.int64], rewarded: tuple[str, ...]) -> NDArray[np.float64]:
    """The value of the rewarded event types that each slot led to; float64 [slots]."""
    rows = first_clicks(features)[slots]
    clicked = rows >= 0
    rewards = np.zeros(len(slots))
    rewards[clicked] = earned(features, rows[clicked], rewarded)
    return rewards
