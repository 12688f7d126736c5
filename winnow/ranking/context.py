"""Context features of a candidate: its score, rank and presence in each source's list.

Training and the transformer share them, so the ranker is served the numbers it was trained on.
"""

from collections.abc import Mapping
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

SOURCES = ("retriever", "covisitation", "trending")
"""Candidate sources whose lists the ranker reads, in the order of its features."""

CONTEXT_FEATURES = (
    *(f"{source}_{what}" for source in SOURCES for what in ("score", "rank", "present")),
    "history_length",
)
"""Names of the ``X`` context features, in order; they follow the item numerics in ``candidate_numeric``."""


class SourceList(NamedTuple):
    """The candidates that one source returned for one user.

    Attributes:
        items: int32 [k], distinct, best first.
        scores: float32 [k], descending.
    """

    items: NDArray[np.int32]
    scores: NDArray[np.float32]


NOTHING = SourceList(np.empty(0, np.int32), np.empty(0, np.float32))
"""The list of a source without candidates."""


def context_features(
    candidates: NDArray[np.int32], answers: Mapping[str, SourceList], history_length: int
) -> NDArray[np.float32]:
    """The context features of one request's candidates.

    Args:
        candidates: int32 [N], item indices.
        answers: source of :data:`SOURCES` -> its whole list; a missing source has an empty one. Scores are the
            retriever's ``candidate_scores`` and the ones of ``covisitation_scores``; of trending only the order counts.
        history_length: events in the history that the models get.

    Returns:
        float32 [N, X], columns as :data:`CONTEXT_FEATURES`. A score is relative to the source's best: a difference of
        logits, or the logarithm of a ratio; where a source does not return a candidate it is the source's lowest.
        A rank is ``log1p(position)``, one past the end where the source does not return the candidate.
    """
    columns: list[NDArray[np.float64]] = []
    for source in SOURCES:
        items, scores = answers.get(source, NOTHING)
        columns.extend(_in_list(candidates, items, _logits(source, scores)))
    columns.append(np.full(len(candidates), np.log1p(history_length)))
    return np.stack(columns, axis=1).astype(np.float32)


def _in_list(
    candidates: NDArray[np.int32], items: NDArray[np.int32], logits: NDArray[np.float32]
) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]]:
    """Score, rank and presence of each candidate in one source's list."""
    if not len(items):
        nothing = np.zeros(len(candidates))
        return nothing, nothing, nothing
    order = np.argsort(items)
    found = order[np.minimum(np.searchsorted(items, candidates, sorter=order), len(items) - 1)]
    present = items[found] == candidates
    score = np.where(present, logits[found], logits[-1]) - logits[0]
    rank = np.log1p(np.where(present, found, len(items)))
    return score, rank, present.astype(np.float64)


def _logits(source: str, scores: NDArray[np.float32]) -> NDArray[np.float32]:
    if source == "covisitation":
        return np.log(np.maximum(scores, 1e-9))
    return scores if source == "retriever" else np.zeros_like(scores)
