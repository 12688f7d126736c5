"""Which of some items another one is nearest to, and whether they are near enough to be called similar."""

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from recommender_transformer.backends.catalog import Catalog

_SAMPLE = 1000
_CLOSER_THAN = 0.99
"""Share of the catalog that must be farther from the one item than the other is."""

_LEAST = 0.5
"""Cosine below which nothing is similar, however far everything else is: an angle of 60 degrees."""


class Near(NamedTuple):
    """The nearest of some items.

    Attributes:
        item: its index.
        cosine: of the angle between the two vectors.
        similar: whether the cosine is at least 0.5, and larger than that of ``item`` and 99 % of the catalog.
    """

    item: int
    cosine: float
    similar: bool


def _from_top(count: Any) -> Any:
    """Place of the quantile ``_CLOSER_THAN`` among ``count`` values, the largest first; 0 for none."""
    return np.maximum(count - 1 - np.ceil(_CLOSER_THAN * (count - 1)).astype(int), 0)


class Nearness:
    """Compares item vectors with a sample of the catalog, because the usual cosine of two items differs by model.

    Args:
        catalog: gives the vectors.
    """

    def __init__(self, catalog: Catalog) -> None:
        self._catalog = catalog
        self._sample = np.unique(np.linspace(1, catalog.size, min(_SAMPLE, catalog.size)).astype(np.int32))
        self._vectors = self._unit_vectors(self._sample)

    def nearest(self, items: NDArray[np.int32], others: NDArray[np.int32]) -> list[Near]:
        """The nearest of ``items`` to each of ``others``.

        Args:
            items: int32 [u], at least one.
            others: int32 [n].
        """
        vectors = self._unit_vectors(items)
        cosines = self._unit_vectors(others) @ vectors.T
        best = cosines.argmax(axis=1)
        largest = cosines[np.arange(len(others)), best]
        similar = largest >= _LEAST
        if (close := np.flatnonzero(similar)).size:
            similar[close] = largest[close] >= self._bars(items, vectors, best[close], others[close])
        return [Near(*each) for each in zip(items[best].tolist(), largest.tolist(), similar.tolist(), strict=True)]

    def _unit_vectors(self, items: NDArray[np.int32]) -> NDArray[np.float32]:
        """The vectors of items, of unit length: float32 [n, D]."""
        vectors = self._catalog.vectors.take(items)
        lengths = np.linalg.norm(vectors, axis=1, keepdims=True)
        return np.asarray(vectors / np.maximum(lengths, 1e-9), np.float32)

    def _bars(
        self,
        items: NDArray[np.int32],
        vectors: NDArray[np.float32],
        best: NDArray[np.intp],
        others: NDArray[np.int32],
    ) -> NDArray[np.float32]:
        """The cosine that 99 % of the catalog have with the nearest item of each of ``others`` at most: float32 [n].

        It is the quantile ``_CLOSER_THAN`` over the sample without the two items; minus infinity if nothing is left.
        """
        used, place = np.unique(best, return_inverse=True)
        apart = (vectors[used] @ self._vectors.T)[place]
        apart[(self._sample == items[best, None]) | (self._sample == others[:, None])] = -np.inf
        kept = int(_from_top(len(self._sample))) + 1
        highest = -np.sort(-np.partition(apart, -kept, axis=1)[:, -kept:], axis=1)
        counted = np.isfinite(apart).sum(axis=1)
        return np.asarray(highest[np.arange(len(others)), _from_top(counted)], np.float32)
