"""Scores candidates by the order in which the sources proposed them: those of the first source come first."""

import numpy as np
from numpy.typing import NDArray

from recommender_transformer.funnel.candidates import Candidates
from recommender_transformer.funnel.query import Query


def source_order_scores(candidates: Candidates) -> NDArray[np.float32]:
    """float32 [n], falling from the first candidate to the last."""
    return np.arange(0, -len(candidates), -1, dtype=np.float32)


class SourceOrder:
    """The scorer of a release without a ranker, whose log was too small to train one (``unranked`` in its manifest)."""

    name = "sources"

    def enabled(self, query: Query) -> bool:
        """Always: the content scorer combines its score with this one, as it does with the ranker's."""
        return True

    def score(self, query: Query, candidates: Candidates) -> None:
        """Set the score; the probabilities stay NaN."""
        candidates.score = source_order_scores(candidates)

    def fallback(self, query: Query, candidates: Candidates) -> None:
        """The same scores; they need no I/O."""
        candidates.score = source_order_scores(candidates)
