"""The search of the ``faiss`` backend: an approximate index, and exact scores of what it finds.

The build imports this module as well, so that what it measures is what Triton serves. Triton's environment has NumPy
and FAISS, but not Winnow.
"""

from typing import Any

import faiss
import numpy as np
import numpy.typing as npt

HIDDEN = np.float32(-1e9)
"""Score of an item of the history."""

Floats = npt.NDArray[np.float32]
Items = npt.NDArray[np.int32]


class Search:
    """Finds the items with the highest product with a user's vector.

    Args:
        index: FAISS index of the vectors of items 1 to n.
        vectors: float32 [n + 1, D], memory-mapped; row 0 is padding and never returned.
        count: ``K``, at most ``n``.
        refine: items that the index finds per item of the list, to be scored again with ``vectors``.
        hides_history: whether items of the history come last, with the score -1e9.

    Raises:
        ValueError: the index does not fit the vectors, or ``count`` is not within the catalog.
    """

    def __init__(self, index: Any, vectors: Floats, count: int, refine: int, hides_history: bool) -> None:
        items, width = len(vectors) - 1, vectors.shape[1]
        if (index.ntotal, index.d) != (items, width):
            raise ValueError(
                f"the index holds {index.ntotal} vectors of width {index.d}, but the release has {items} items of "
                f"width {width}: they are of different releases; build it again"
            )
        if not 1 <= count <= items:
            raise ValueError(f"the list has {count} candidates, but the catalog has {items} items")
        self.index, self.vectors = index, vectors.view(np.ndarray)
        self.items, self.count, self.refine, self.hides_history = items, count, refine, hides_history

    def best(self, users: Floats, history: Items) -> tuple[Items, Floats]:
        """The best items of each user, best first; of equal ones the smaller index first.

        Args:
            users: [B, D].
            history: [B, L], padded with 0.

        Returns:
            items [B, K] and their scores [B, K].
        """
        hidden = history if self.hides_history else history[:, :0]
        taken = min(self.items, self.refine * (self.count + hidden.shape[1]))
        found = self.index.search(users, taken)[1] + 1
        lists = [self._scored(*row) for row in zip(users, found, hidden, strict=True)]
        for row, (items, scores) in enumerate(lists):
            if (scores > HIDDEN).sum() < self.count and (found[row] == 0).any():
                # The probed lists hold too few items besides the history's.
                every = faiss.SearchParametersIVF()
                every.nprobe = self.index.nlist
                items = self.index.search(users[row : row + 1], taken, params=every)[1][0] + 1
                lists[row] = self._scored(users[row], items, hidden[row])
        return np.stack([items for items, _ in lists]), np.stack([scores for _, scores in lists])

    def _scored(self, user: Floats, found: npt.NDArray[np.int64], hidden: Items) -> tuple[Items, Floats]:
        """The best of the items that the index found, where 0 stands for none; fewer than ``count`` if there are."""
        items = np.sort(found[found > 0])
        scores = self.vectors[items] @ user
        if hidden.size:
            scores[np.isin(items, hidden)] = HIDDEN
        order = np.argsort(-scores, kind="stable")[: self.count]
        return items[order].astype(np.int32), scores[order]
