"""Context features of a candidate: its score, rank and presence in each source's list, and the user's past with it.

Training and the transformer share them, so the ranker is served the numbers it was trained on.
"""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from winnow.schema import DAY_MS

SOURCES = ("retriever", "covisitation", "trending", "history")
"""Candidate sources whose lists the ranker reads, in the order of its features."""

CONTEXT_FEATURES = (
    *(f"{source}_{what}" for source in SOURCES for what in ("score", "rank", "present")),
    "history_length",
    "seen",
    "repeat_count",
    "repeat_age",
)
"""Names of the ``X`` context features, in order; they follow the item numerics in ``candidate_numeric``."""


class UserPast(NamedTuple):
    """A user's past with the items of one request.

    Attributes:
        items: int32 [h], the history that the models get, oldest first.
        timestamps: int64 [h], milliseconds since the epoch.
        seen: bool [N], whether the user has seen each candidate, however long ago.
    """

    items: NDArray[np.int32]
    timestamps: NDArray[np.int64]
    seen: NDArray[np.bool_]


class SourceList(NamedTuple):
    """The candidates that one source returned for one user.

    Attributes:
        items: int32 [k], distinct, best first.
        scores: float32 [k], descending.
    """

    items: NDArray[np.int32]
    scores: NDArray[np.float32]

    @classmethod
    def by_rank(cls, items: NDArray[np.int32]) -> "SourceList":
        """A list of which only the order counts: item number ``r`` has the score ``1 / r``."""
        return cls(items, 1.0 / np.arange(1, len(items) + 1, dtype=np.float32))


HIDDEN = -1e9
"""Score that the retriever's graph gives to the items of the history, which come last, where repeats are hidden."""


def without_hidden(found: SourceList) -> SourceList:
    """The retriever's list without its tail of hidden items: theirs are no scores."""
    length = int(np.count_nonzero(found.scores > HIDDEN / 2))
    return SourceList(found.items[:length], found.scores[:length])


NOTHING = SourceList(np.empty(0, np.int32), np.empty(0, np.float32))
"""The list of a source without candidates."""


def context_features(
    candidates: NDArray[np.int32], answers: Mapping[str, SourceList], past: UserPast
) -> NDArray[np.float32]:
    """The context features of one request's candidates.

    Args:
        candidates: int32 [N], item indices.
        answers: source of :data:`SOURCES` -> its whole list; a missing source has an empty one. Scores are the
            retriever's ``candidate_scores`` and the ones of ``covisitation_scores`` and ``history_scores``; of trending
            only the order counts.
        past: the user's history, and which candidates the user has seen.

    Returns:
        float32 [N, X], columns as :data:`CONTEXT_FEATURES`. A score is relative to the source's best: a difference of
        logits, or the logarithm of a ratio; where a source does not return a candidate it is the source's lowest.
        A rank is ``log1p(position)``, one past the end where the source does not return the candidate.
        ``repeat_count`` is ``log1p`` of a candidate's events in the history, ``repeat_age`` of the days from the last
        of them to the newest event.
    """
    places = [_places(candidates, answers.get(source, NOTHING).items) for source in SOURCES]
    return placed_features(candidates, places, answers, past)


def placed_features(
    candidates: NDArray[np.int32],
    places: Sequence[NDArray[np.integer[Any]]],
    answers: Mapping[str, SourceList],
    past: UserPast,
) -> NDArray[np.float32]:
    """:func:`context_features`, where the place of each candidate in the lists is known.

    Args:
        candidates: int32 [N], item indices.
        places: for each of :data:`SOURCES` integers [N], the position of each candidate in its list; -1 where the
            source does not return the candidate. Those of an empty list are not read.
        answers: source -> its whole list.
        past: the user's history, and which candidates the user has seen.
    """
    features = np.zeros((len(candidates), len(CONTEXT_FEATURES)), np.float32)
    for column, (source, place) in enumerate(zip(SOURCES, places, strict=True)):
        items, scores = answers.get(source, NOTHING)
        if len(items):
            logits = _logits(source, scores)
            # The last entry is of the candidates that the source does not return, at place -1.
            features[:, 3 * column] = (np.append(logits, logits[-1:]) - logits[0]).take(place)
            features[:, 3 * column + 1] = np.log1p(np.arange(len(items) + 1)).take(place)
            features[:, 3 * column + 2] = place >= 0
    length, seen, count, age = range(3 * len(SOURCES), len(CONTEXT_FEATURES))
    features[:, length] = np.log1p(len(past.items))
    features[:, seen] = past.seen
    features[:, count], features[:, age] = _repeats(candidates, past)
    return features


def _repeats(candidates: NDArray[np.int32], past: UserPast) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """How often each candidate is in the history, and how many days before its end it was last, both as ``log1p``."""
    count, age = np.zeros(len(candidates)), np.zeros(len(candidates))
    # Whatever is in the history has been seen: where repeats are hidden there is nothing to look for.
    seen = np.flatnonzero(past.seen)
    if len(seen) and len(past.items):
        matches = candidates[seen, None] == past.items
        repeated = matches.any(axis=1)
        count[seen] = np.log1p(matches.sum(axis=1))
        last = len(past.items) - 1 - matches[repeated, ::-1].argmax(axis=1)
        age[seen[repeated]] = np.log1p((past.timestamps[-1] - past.timestamps[last]) / DAY_MS)
    return count, age


def _places(candidates: NDArray[np.int32], items: NDArray[np.int32]) -> NDArray[np.intp]:
    """The position of each candidate in a list; -1 where it is absent."""
    if not len(items):
        return np.full(len(candidates), -1, np.intp)
    order = np.argsort(items)
    found = order[np.minimum(np.searchsorted(items, candidates, sorter=order), len(items) - 1)]
    return np.where(items[found] == candidates, found, -1)


def _logits(source: str, scores: NDArray[np.float32]) -> NDArray[np.float32]:
    if source in ("covisitation", "history"):
        return np.log(np.maximum(scores, 1e-9))
    return scores if source == "retriever" else np.zeros_like(scores)
