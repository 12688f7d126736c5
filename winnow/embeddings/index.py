"""An index of embeddings by the digest of their content."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from winnow.embeddings.store import Shard


class EmbeddingIndex:
    """The embeddings of a catalog's distinct contents, filled from shards of the store and of the encoders."""

    def __init__(self, digests: Sequence[str | None], dimension: int) -> None:
        """An index without embeddings.

        Args:
            digests: digest of every item's content; ``None`` where it has none.
            dimension: width of a vector.
        """
        distinct = dict.fromkeys(entry for entry in digests if entry is not None)
        self._places = {entry: place for place, entry in enumerate(distinct)}
        self._vectors = np.zeros((len(distinct), dimension), np.float32)
        self._problems: list[str | None] = [None] * len(distinct)
        self._present = np.zeros(len(distinct), np.bool_)

    def add(self, shard: Shard) -> None:
        """Add the embeddings of a shard that belong to the catalog; the store also has those of other catalogs."""
        for row, entry in enumerate(shard.digests):
            place = self._places.get(entry)
            if place is not None:
                self._present[place] = True
                self._problems[place] = shard.problems[row]
                self._vectors[place] = 0 if shard.problems[row] else shard.vectors[row]

    def missing(self) -> list[str]:
        """Digests without an embedding, in the order of the catalog."""
        return [entry for entry, place in self._places.items() if not self._present[place]]

    def of(self, digests: Sequence[str | None]) -> tuple[NDArray[np.float32], list[str | None]]:
        """The vector of every item, float32 [items, D], zeros where it has none, and its problem."""
        places = np.array([-1 if entry is None else self._places[entry] for entry in digests], np.int64)
        vectors = np.zeros((len(digests), self._vectors.shape[1]), np.float32)
        vectors[places >= 0] = self._vectors[places[places >= 0]]
        return vectors, [None if place < 0 else self._problems[place] for place in places]
