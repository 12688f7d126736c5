"""The retriever as Triton serves it: tower and item index in one graph."""

import torch
from torch import Tensor, nn
from torch.nn import functional

from winnow.retrieval.towers import UserTower

HIDDEN = -1e9
"""Score of what must not be a candidate."""


class ServedRetriever(nn.Module):
    """From a user's history to the best ``candidates`` items of the whole catalog.

    Items of the history that is given come last, with the score -1e9; item 0 never comes.

    Args:
        tower: the trained user tower.
        item_vectors: float32 [n + 1, D].
        candidates: ``K``, at most ``n``.

    Raises:
        ValueError: ``candidates`` is not within the catalog.
    """

    def __init__(self, tower: UserTower, item_vectors: Tensor, candidates: int) -> None:
        super().__init__()
        if not 1 <= candidates < len(item_vectors):
            raise ValueError(f"candidates is {candidates}, but the catalog has {len(item_vectors) - 1} items")
        self.tower = tower
        self.register_buffer("item_vectors", item_vectors)
        self.item_vectors: Tensor
        self.candidates = candidates

    def forward(
        self,
        history_items: Tensor,
        history_events: Tensor,
        history_gaps: Tensor,
        user_categorical: Tensor,
        user_numeric: Tensor,
    ) -> tuple[Tensor, Tensor, Tensor]:
        """Tensors of the wire contract: ``candidates``, ``candidate_scores``, ``user_vector``."""
        wanted = self.tower(
            history_items,
            functional.embedding(history_items, self.item_vectors),
            history_events,
            history_gaps,
            user_categorical,
            user_numeric,
        )
        user_vector = wanted[:, -1] * 1.0
        scores = user_vector @ self.item_vectors.T
        scores = scores.scatter(1, history_items.long(), HIDDEN)
        # Padding comes after everything, so that it is not a candidate even where a history covers the catalog.
        scores = scores.scatter(1, torch.zeros_like(history_items[:, :1]).long(), 2 * HIDDEN)
        best, items = scores.topk(self.candidates, dim=1)
        return items.to(torch.int32), best, user_vector
