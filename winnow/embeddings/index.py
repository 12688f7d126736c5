"""The embeddings of a catalog's distinct contents, as far as they are known yet."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from winnow.embeddings.store import Shard


class Known:
    """Filled from shards, whether found in the store or made just now."""

    def __init__(self, digests: Sequence[str | None], dimension: int) -> None:
        """Nothing is known yet.

        Args:
            digests: of every item's content; None where it has none.
            dimension: width of a vector.
        """
        distinct = dict.fromkeys(entry for entry in digests if entry is not None)
        self._places = {entry: place for place, entry in enumerate(distinct)}
        self._vectors = np.zeros((len(distinct), dimension), np.float32)
        self._problems: list[str | None] = [None] * len(distinct)
        self._there = np.zeros(len(distinct), np.bool_)

    def add(self, shard: Shard) -> None:
        """Take what the catalog has of a shard; the store also holds contents of others."""
        for row, entry in enumerate(shard.digests):
            place = self._places.get(entry)
            if place is not None:
                self._there[place] = True
                self._problems[place] = shard.problems[row]
                self._vectors[place] = 0 if shard.problems[row] else shard.vectors[row]

    def missing(self) -> list[str]:
        """The digests of which nothing is known, in the order of the catalog."""
        return [entry for entry, place in self._places.items() if not self._there[place]]

    def of(self, digests: Sequence[str | None]) -> tuple[NDArray[np.float32], list[str | None]]:
        """Per item its vector, float32 [items, D], zeros where there is none; and its problem."""
        places = np.array([-1 if entry is None else self._places[entry] for entry in digests], np.int64)
        vectors = np.zeros((len(digests), self._vectors.shape[1]), np.float32)
        vectors[places >= 0] = self._vectors[places[places >= 0]]
        return vectors, [None if place < 0 else self._problems[place] for place in places]
