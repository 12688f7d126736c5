"""What a history says about a candidate's category and price level: counts and means, which need no training."""

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional

from winnow.schema import NUMERIC_FEATURES


class HistoryAffinity(nn.Module):
    """Features of a candidate beside the history: events in its category by type, and numbers like its own.

    A declared number, such as the price, is compared within its category: what is dear differs from one to another.

    Args:
        categories: int64 [n + 1], code of each item's category; 0 where it has none.
        numbers: float32 [n + 1, D], the declared numbers of each item.
        cardinality: number of category codes.
        events: ``E``, number of event types.
    """

    def __init__(self, categories: Tensor, numbers: Tensor, cardinality: int, events: int) -> None:
        super().__init__()
        self.events = events
        self.width = 2 * events + 3 * numbers.shape[1]
        total = torch.zeros(cardinality, numbers.shape[1]).index_add(0, categories, numbers)
        count = torch.zeros(cardinality).index_add(0, categories, torch.ones(len(categories)))
        self.register_buffer("categories", categories)
        self.categories: Tensor
        self.register_buffer("category_means", total / count.clamp_min(1.0).unsqueeze(1))
        self.category_means: Tensor
        self.register_buffer("relative", numbers - self.category_means[categories])
        self.relative: Tensor

    @classmethod
    def of(cls, item_rows: NDArray[np.void], cardinality: int, events: int) -> "HistoryAffinity":
        """From the packed rows of all items, structured [n + 1]."""
        categories = torch.from_numpy(item_rows["categorical"][:, 0].astype(np.int64))
        numbers = torch.from_numpy(np.ascontiguousarray(item_rows["numeric"][:, len(NUMERIC_FEATURES) :], np.float32))
        return cls(categories, numbers, cardinality, events)

    def forward(self, items: Tensor, events: Tensor, categories: Tensor, numbers: Tensor) -> Tensor:
        """The features of each candidate.

        Args:
            items: integers [B, L], the history.
            events: integers [B, L], its event types.
            categories: integers [B, N], categories of the candidates.
            numbers: float32 [B, N, D], their declared numbers.

        Returns:
            float32 [B, N, width]: per type ``log1p`` of the events in the candidate's category and of all events; per
            number the candidate's, the history's mean, both relative to their categories, and their distance.
        """
        present = (items != 0).float()
        own = self.categories[items.long()]
        same = (own.unsqueeze(1) == categories.unsqueeze(2)).float() * (categories != 0).float().unsqueeze(2)
        kinds = functional.one_hot(events.long(), self.events + 1)[..., 1:].float() * present.unsqueeze(2)
        in_category = torch.log1p(same @ kinds)
        of_all = torch.log1p(kinds.sum(1, keepdim=True)).expand(-1, categories.shape[1], -1)
        count = present.sum(1).clamp_min(1.0).view(-1, 1, 1)
        usual = (self.relative[items.long()] * present.unsqueeze(2)).sum(1, keepdim=True) / count
        relative = numbers - self.category_means[categories.long()]
        usual = usual.expand(-1, categories.shape[1], -1)
        return torch.cat([in_category, of_all, relative, usual, (relative - usual).abs()], dim=-1)
