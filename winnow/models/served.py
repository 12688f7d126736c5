"""The two towers as Triton serves them, each with the item index in the same graph."""

import torch
from torch import Tensor, nn
from torch.nn import functional

from winnow.models.towers import ItemInputs, ItemTower, Shapes, UserTower
from winnow.ranking.context import HIDDEN


class ServedRetriever(nn.Module):
    """Retrieves the best ``candidates`` items of the whole catalog for a user's history.

    Item 0 is never a candidate.

    Args:
        tower: the trained user tower.
        item_vectors: float32 [n + 1, D].
        candidates: ``K``, at most ``n``.
        hides_history: whether items of the given history come last, with the score -1e9.

    Raises:
        ValueError: ``candidates`` is not within the catalog.
    """

    def __init__(self, tower: UserTower, item_vectors: Tensor, candidates: int, hides_history: bool) -> None:
        super().__init__()
        if not 1 <= candidates < len(item_vectors):
            raise ValueError(f"candidates is {candidates}, but the catalog has {len(item_vectors) - 1} items")
        self.tower = tower
        self.register_buffer("item_vectors", item_vectors)
        self.item_vectors: Tensor
        self.candidates = candidates
        self.hides_history = hides_history

    def forward(
        self,
        history_items: Tensor,
        history_events: Tensor,
        history_gaps: Tensor,
        user_categorical: Tensor,
        user_numeric: Tensor,
    ) -> tuple[Tensor, Tensor, Tensor]:
        """Tensors of the wire contract: ``candidates``, ``candidate_scores``, ``user_vector``."""
        after_each = self.tower(
            history_items,
            functional.embedding(history_items, self.item_vectors),
            history_events,
            history_gaps,
            user_categorical,
            user_numeric,
        )
        user_vector = after_each[:, -1] * 1.0
        scores = user_vector @ self.item_vectors.T
        if self.hides_history:
            scores = scores.scatter(1, history_items.long(), HIDDEN)
        # Padding ranks below the history, so it is no candidate even where a history covers the catalog.
        scores = scores.scatter(1, torch.zeros_like(history_items[:, :1]).long(), 2 * HIDDEN)
        best, items = scores.topk(self.candidates, dim=1)
        return items.to(torch.int32), best, user_vector


class ServedUserTower(nn.Module):
    """Computes a user's vector alone, for a release whose items are searched outside Triton.

    Args:
        tower: the trained user tower.
        item_vectors: float32 [n + 1, D], which the history is read with.
    """

    def __init__(self, tower: UserTower, item_vectors: Tensor) -> None:
        super().__init__()
        self.tower = tower
        self.register_buffer("item_vectors", item_vectors)
        self.item_vectors: Tensor

    def forward(
        self,
        history_items: Tensor,
        history_events: Tensor,
        history_gaps: Tensor,
        user_categorical: Tensor,
        user_numeric: Tensor,
    ) -> Tensor:
        """The ``user_vector`` of the wire contract."""
        vectors = functional.embedding(history_items, self.item_vectors)
        after_each: Tensor = self.tower(
            history_items, vectors, history_events, history_gaps, user_categorical, user_numeric
        )
        return after_each[:, -1] * 1.0


class ServedItemTower(nn.Module):
    """Computes the vector of an item without events, and the catalog's most similar items.

    It places a new item among the indexed ones. A query by content is answered in the same way, as an item of which
    only the content is given.

    Args:
        tower: the trained item tower.
        shapes: sizes that the feature set fixed.
        item_vectors: float32 [n + 1, D].
        candidates: ``K``, at most ``n``.
    """

    def __init__(self, tower: ItemTower, shapes: Shapes, item_vectors: Tensor, candidates: int) -> None:
        super().__init__()
        self.tower = tower
        self.categories = len(shapes.item_cardinalities)
        self.numbers = len(shapes.item_numerics)
        self.widths = list(shapes.modalities.values())
        self.register_buffer("item_vectors", item_vectors[1:])
        self.item_vectors: Tensor
        self.candidates = candidates

    def forward(self, item_categorical: Tensor, item_numeric: Tensor, embeddings: Tensor) -> tuple[Tensor, ...]:
        """Tensors of the wire contract: ``item_vector``, ``candidates``, ``candidate_scores`` (cosine)."""
        parts = torch.split(embeddings[:, : sum(self.widths)], self.widths, dim=1)
        inputs = ItemInputs(
            item_categorical[:, : self.categories],
            item_numeric[:, : self.numbers],
            torch.zeros_like(item_numeric[:, :1]),
            parts,
            tuple((part != 0).any(-1, keepdim=True) for part in parts),
        )
        item_vector = self.tower(torch.zeros_like(item_categorical[:, 0]).long(), inputs)
        best, items = (item_vector @ self.item_vectors.T).topk(self.candidates, dim=1)
        return item_vector, (items + 1).to(torch.int32), best
