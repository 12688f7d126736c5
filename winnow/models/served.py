"""The two towers as Triton serves them, each with the item index in the same graph."""

import copy

import torch
from torch import Tensor, nn
from torch.nn import functional

from winnow.models.scan import Scan
from winnow.models.topk import best_items
from winnow.models.towers import ItemInputs, ItemTower, Shapes, UserTower


class _UserTower(nn.Module):
    """The user tower, with the item vectors that the history is read with."""

    def __init__(self, tower: UserTower, item_vectors: Tensor) -> None:
        super().__init__()
        self.tower = tower
        self.register_buffer("item_vectors", item_vectors)
        self.item_vectors: Tensor

    def user_vector(self, history_items: Tensor, *others: Tensor) -> Tensor:
        """float32 [B, D], of the user tensors of the wire contract."""
        vectors = functional.embedding(history_items, self.item_vectors)
        newest: Tensor = self.tower(history_items, vectors, *others, newest=True)
        return newest[:, -1] * 1.0


class ServedUserTower(_UserTower):
    """Computes a user's vector alone, for a release whose items are searched outside Triton.

    Args:
        tower: the trained user tower.
        item_vectors: float32 [n + 1, D], which the history is read with.
    """

    def forward(
        self,
        history_items: Tensor,
        history_events: Tensor,
        history_gaps: Tensor,
        user_categorical: Tensor,
        user_numeric: Tensor,
    ) -> Tensor:
        """The ``user_vector`` of the wire contract."""
        return self.user_vector(history_items, history_events, history_gaps, user_categorical, user_numeric)


class ServedRetriever(_UserTower):
    """Retrieves the best ``candidates`` items of the whole catalog for a user's history.

    Item 0 is never a candidate.

    Args:
        tower: the trained user tower.
        item_vectors: float32 [n + 1, D].
        candidates: ``K``, at most ``n``.
        hides_history: whether items of the given history come last, with the score -1e9.
        scan: the vectors that are scanned; ``None`` scans ``item_vectors``.

    Raises:
        ValueError: ``candidates`` is not within the catalog.
    """

    def __init__(
        self,
        tower: UserTower,
        item_vectors: Tensor,
        candidates: int,
        hides_history: bool,
        scan: Scan | None = None,
    ) -> None:
        super().__init__(tower, item_vectors)
        if not 1 <= candidates < len(item_vectors):
            raise ValueError(f"candidates is {candidates}, but the catalog has {len(item_vectors) - 1} items")
        self.scan = scan
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
        user_vector = self.user_vector(history_items, history_events, history_gaps, user_categorical, user_numeric)
        hidden = history_items if self.hides_history else None
        items, scores = best_items(user_vector, self.item_vectors, self.candidates, hidden, self.scan)
        return items, scores, user_vector


class ServedItemTower(nn.Module):
    """Computes the vector of an item without events, and the catalog's most similar items.

    It places a new item among the indexed ones. A query by content is answered in the same way, as an item of which
    only the content is given.

    Args:
        tower: the trained item tower.
        shapes: sizes that the feature set fixed.
        item_vectors: float32 [n + 1, D].
        candidates: ``K``, at most ``n``.
        scan: the vectors that are scanned; ``None`` scans ``item_vectors``.
    """

    def __init__(
        self,
        tower: ItemTower,
        shapes: Shapes,
        item_vectors: Tensor,
        candidates: int,
        scan: Scan | None = None,
    ) -> None:
        super().__init__()
        # An item without events has no trained id: the graph goes without the table of ids.
        self.tower = copy.copy(tower)
        identity = nn.Embedding(1, tower.identity.embedding_dim)
        nn.init.zeros_(identity.weight)
        self.tower._modules = {**tower._modules, "identity": identity}
        self.categories = len(shapes.item_cardinalities)
        self.numbers = len(shapes.item_numerics)
        self.widths = list(shapes.modalities.values())
        self.register_buffer("item_vectors", item_vectors)
        self.item_vectors: Tensor
        self.scan = scan
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
        return item_vector, *best_items(item_vector, self.item_vectors, self.candidates, scan=self.scan)
