"""Negatives of the sampled softmax: the targets of the batch, and items drawn from the catalog."""

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor


class NegativeSampler:
    """Draws items, half of them as often as the log has them and half uniformly (Yang et al., 2020).

    The cost of a draw does not depend on the catalog. Items without events are never drawn: as negatives they would
    bias against new items.

    Args:
        item: int32 [events], the items of the log.
        items: size of the catalog.
        count: items of one draw.
        device: where :meth:`log_inclusion` is asked.
    """

    def __init__(self, item: NDArray[np.int32], items: int, count: int, device: torch.device) -> None:
        self._item = item
        self._count = count
        often = np.bincount(item, minlength=items + 1)
        often[0] = 0
        self._seen = np.flatnonzero(often).astype(np.int32)
        self._popular = torch.from_numpy(often / max(1, often.sum())).float().to(device)

    def draw(self, rng: np.random.Generator) -> NDArray[np.int32]:
        """Item indices, int32 [count]."""
        half = self._count // 2
        popular = self._item[rng.integers(0, len(self._item), half)]
        return np.concatenate([popular, self._seen[rng.integers(0, len(self._seen), self._count - half)]])

    def log_inclusion(self, items: Tensor, targets: int) -> Tensor:
        """The log-probability that each of ``items`` is among the negatives of a step, float32 [k].

        Args:
            items: int64 [k].
            targets: number of targets in the batch: they are draws by popularity as well.
        """
        popular, uniform = self._count // 2, self._count - self._count // 2
        expected = (targets + popular) * self._popular[items] + uniform / max(1, len(self._seen))
        return torch.log(-torch.expm1(-expected))
