"""The candidates of one request as a struct of arrays: no Python object per candidate until the final ``k``."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from winnow.ranking.context import SourceList


@dataclass
class Candidates:
    """Distinct candidates, in the order in which the sources first proposed them.

    Attributes:
        items: int32 [n], item indices.
        scores: float32 [n, sources + 1], scores of each source and of the backfill; NaN if it did not propose the item.
        places: int32 [n, sources + 1], positions in the list of each source and of the backfill; -1 where absent.
        rows: structured [n], item rows; set by the item hydrators.
        probabilities: float32 [n, E + 2], the ranker's: of a click, of each event type and of a conversion
            (:mod:`winnow.ranking.objectives`); NaN unless the ranker has answered.
        value: float32 [n], what showing the item is worth; NaN unless the ranker has answered.
        score: float32 [n], the score to order by, higher is better; 0 until the scorers run.
        seen: bool [n], whether the user has seen the item; false until the filters run.
        propensity: float32 [n], probability that the item passed the randomised filters and, once the orderers have
            run, that it is shown at its position; 1 if no draw was involved.
    """

    items: NDArray[np.int32]
    scores: NDArray[np.float32]
    places: NDArray[np.int32]
    rows: NDArray[np.void]
    probabilities: NDArray[np.float32]
    value: NDArray[np.float32]
    score: NDArray[np.float32]
    seen: NDArray[np.bool_]
    propensity: NDArray[np.float32]

    @classmethod
    def unscored(
        cls,
        items: NDArray[np.int32],
        scores: NDArray[np.float32],
        places: NDArray[np.int32],
        rows: NDArray[np.void],
        types: int,
    ) -> Candidates:
        """Candidates that no filter or scorer has treated; ``types`` is ``E``, the number of event types."""
        count = len(items)
        return cls(
            items,
            scores,
            places,
            rows,
            probabilities=np.full((count, types + 2), np.nan, dtype=np.float32),
            value=np.full(count, np.nan, dtype=np.float32),
            score=np.zeros(count, dtype=np.float32),
            seen=np.zeros(count, dtype=np.bool_),
            propensity=np.ones(count, dtype=np.float32),
        )

    def __len__(self) -> int:
        return len(self.items)

    def take(self, positions: NDArray[np.intp]) -> Candidates:
        """The candidates at ``positions``, in that order."""
        # ``ndarray.take`` is several times faster than indexing, most of all for structured rows.
        return Candidates(**{name: array.take(positions, 0) for name, array in vars(self).items()})

    @classmethod
    def merge(cls, found: Sequence[SourceList], dtype: np.dtype[np.void], types: int) -> Candidates:
        """Merge the lists of the sources; an item that several propose becomes one candidate.

        Args:
            found: one list per source and one for the backfill, in the order of ``Pipeline.source_names``.
            dtype: dtype of the packed item row.
            types: number of event types.
        """
        proposed = np.concatenate([part.items for part in found])
        first, candidate = _distinct(proposed)
        scores = np.full((len(first), len(found)), np.nan, dtype=np.float32)
        places = np.full((len(first), len(found)), -1, dtype=np.int32)
        start = 0
        for source, part in enumerate(found):
            if count := len(part.items):
                of_part = candidate[start : start + count]
                scores[of_part, source] = part.scores
                places[of_part, source] = np.arange(count, dtype=np.int32)
                start += count
        return cls.unscored(proposed.take(first), scores, places, np.empty(len(first), dtype=dtype), types)

    @classmethod
    def join(cls, one: Candidates, other: Candidates) -> Candidates:
        """Concatenate two batches that share no item."""
        return cls(**{name: np.concatenate([array, getattr(other, name)]) for name, array in vars(one).items()})


def _distinct(items: NDArray[np.int32]) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
    """Where each distinct item is first, ascending, and which of these items each of ``items`` is.

    :func:`numpy.unique` would take twice the time, and return the items in another order.
    """
    order = items.argsort(kind="stable")
    in_order = items.take(order)
    begins = np.empty(len(items), np.bool_)
    begins[:1] = True
    np.not_equal(in_order[1:], in_order[:-1], out=begins[1:])
    first = order[begins]
    by_place = first.argsort()
    number = np.empty(len(first), np.intp)
    number[by_place] = np.arange(len(first))
    belongs = np.empty(len(items), np.intp)
    belongs[order] = number.take(begins.cumsum() - 1)
    return first.take(by_place), belongs
