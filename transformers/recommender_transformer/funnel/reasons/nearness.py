"""Whether two items are near enough to be called similar."""

import numpy as np
from numpy.typing import NDArray

from recommender_transformer.backends.catalog import Catalog

_SAMPLE = 1000
_CLOSER_THAN = 0.99
"""Share of the catalog that must be farther from the one item than the other is."""

_LEAST = 0.5
"""Cosine below which nothing is similar, however far everything else is: an angle of 60 degrees."""


class Nearness:
    """Compares item vectors with a sample of the catalog, because the usual cosine of two items differs by model.

    Args:
        catalog: gives the vectors.
    """

    def __init__(self, catalog: Catalog) -> None:
        self._catalog = catalog
        self._sample = np.unique(np.linspace(1, catalog.size, min(_SAMPLE, catalog.size)).astype(np.int32))
        self._vectors = self.vectors(self._sample)

    def vectors(self, items: NDArray[np.int32]) -> NDArray[np.float32]:
        """The vectors of items, of unit length: float32 [n, D]."""
        vectors = self._catalog.vectors.take(items)
        lengths = np.linalg.norm(vectors, axis=1, keepdims=True)
        return np.asarray(vectors / np.maximum(lengths, 1e-9), np.float32)

    def bar(self, item: int, other: int) -> float:
        """The cosine from which ``other`` is similar to ``item``: at least 0.5, and more than 99 % of the catalog."""
        apart = (self._sample != item) & (self._sample != other)
        cosines = self._vectors[apart] @ self.vectors(np.array([item], np.int32))[0]
        if not len(cosines):
            return _LEAST
        return max(_LEAST, float(np.quantile(cosines, _CLOSER_THAN, method="higher")))
