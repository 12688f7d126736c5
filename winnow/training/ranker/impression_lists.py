"""Lists that users were shown, where the log of impressions has them: real choices, among real alternatives.

A shown list is biased twice. Users look at the first places more, so the ranker learns a bias per position beside the
score. And exploration shows some items rarely, so a list counts by the inverse propensity of its target (Joachims et
al., 2017), up to a bound.
"""

import numpy as np
from numpy.typing import NDArray

from winnow.features.first_clicks import first_clicks
from winnow.features.table import FeatureSet
from winnow.models.ranker import POSITIONS
from winnow.training.ranker.candidate_lists import CandidateLists, PastList, PastSources, packed

MOST_IMPORTANCE = 10.0
"""Bound on an inverse propensity: a single list with a larger one would decide a step."""

FEWEST = 2
"""Items of a list from which there is something to choose."""


def impression_lists(
    features: FeatureSet, until: NDArray[np.int64], sources: PastSources, limit: int
) -> CandidateLists:
    """The newest shown lists of which a user took an item, and which the holdout fit did not learn from.

    Args:
        features: the feature set.
        until: int64 [users], the row of each user after which events are withheld.
        sources: the sources' answers at past moments, for the context features.
        limit: lists at most.
    """
    log, shown = features.interactions, features.impressions
    click = first_clicks(features)
    chosen: list[tuple[int, slice, int]] = []
    for request in range(len(shown.user) - 1, -1, -1):
        rows = slice(int(shown.offsets[request]), int(shown.offsets[request + 1]))
        taken = np.flatnonzero(click[rows] >= 0)
        user = int(shown.user[request])
        own = log.of(user)
        # The events before the impression are the history; the row after them is the moment.
        end = own.start + int(np.searchsorted(log.timestamp[own], shown.timestamp[request]))
        if len(taken) and rows.stop - rows.start >= FEWEST and max(own.start + 1, until[user]) <= end < own.stop:
            chosen.append((end, rows, int(taken[np.argmin(click[rows][taken])])))
        if len(chosen) == limit:
            break
    retrieved = sources.retrieve(np.array([end for end, _, _ in chosen], np.int64))
    lists = [
        PastList(
            end,
            shown.item[rows],
            sources.at(end, retrieved.of(position)),
            target,
            np.minimum(shown.position[rows] + 1, POSITIONS).astype(np.int32),
            min(MOST_IMPORTANCE, 1.0 / float(shown.propensity[rows][target])),
        )
        for position, (end, rows, target) in enumerate(chosen)
    ]
    return packed(features, lists)
