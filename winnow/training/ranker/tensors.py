"""Candidate lists as tensors: the ranker's training input."""

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from winnow.features.table import FeatureSet
from winnow.ranking.context import CONTEXT_FEATURES
from winnow.retrieval.history import assemble_many
from winnow.training.ranker.candidate_lists import CandidateLists, NumericsAt


@dataclass(frozen=True)
class ListTensors:
    """Lists as the model reads them.

    All lists are in the memory of the host, and a batch of them moves to the device. The settings bound their size,
    whatever the size of the log: ``lists.withheld`` the lists, ``ranker.best`` and ``ranker.others`` the candidates of
    each.

    Attributes:
        inputs: the wire contract's eight tensors, all over the same lists.
        weight: float32 [Q, N], how many candidates of the full list each one represents; 0 for padding.
        target: int64 [Q].
        position: int64 [Q, N], place at which a candidate was shown, from 1; 0 where none was logged.
        importance: float32 [Q], weight of the list.
    """

    inputs: tuple[Tensor, ...]
    weight: Tensor
    target: Tensor
    position: Tensor
    importance: Tensor

    def take(self, chosen: Tensor) -> "ListTensors":
        """The chosen lists."""
        inputs = tuple(tensor[chosen] for tensor in self.inputs)
        return ListTensors(
            inputs, self.weight[chosen], self.target[chosen], self.position[chosen], self.importance[chosen]
        )

    def to(self, device: torch.device) -> "ListTensors":
        """The same lists on a device."""
        inputs = tuple(tensor.to(device) for tensor in self.inputs)
        rest = (self.weight, self.target, self.position, self.importance)
        return ListTensors(inputs, *(tensor.to(device) for tensor in rest))

    def __len__(self) -> int:
        return len(self.target)


class ListTensorBuilder:
    """Builds the tensors of candidate lists.

    Args:
        features: the feature set.
        numerics_at: point-in-time item numerics.
        length: ``L``, events of a history.
    """

    def __init__(self, features: FeatureSet, numerics_at: NumericsAt, length: int) -> None:
        self.features = features
        self.numerics_at = numerics_at
        self.length = length

    def build(self, lists: CandidateLists, best: int, others: int, rng: np.random.Generator) -> ListTensors:
        """The lists' tensors.

        Args:
            lists: of past moments.
            best: candidates of a list that are always kept: the ones that some source ranks highest.
            others: candidates kept of the rest, drawn at random.
            rng: source of the draw.
        """
        log, rows = self.features.interactions, self.features.user_rows[lists.user]
        kept, weight = _thin(lists, best, others, rng)
        items = np.take_along_axis(lists.items, kept, 1)
        context = np.take_along_axis(lists.context, kept[:, :, None], 1)
        target = np.zeros_like(lists.target)
        numbers = self.features.item_rows["numeric"].shape[1]
        times = np.repeat(log.timestamp[lists.end], items.shape[1])
        numeric = self.numerics_at(items.ravel(), times).reshape(*items.shape, numbers)
        history = assemble_many(log.item, log.event, log.timestamp, lists.end - lists.history, lists.end, self.length)
        # Every other list without history is made for a user who has no row either.
        known = (lists.history > 0) | (np.arange(len(lists.user)) % 2 == 0)
        arrays = (
            *history,
            rows["categorical"] * known[:, None],
            (rows["numeric"] * known[:, None]).astype(np.float32),
            items,
            self.features.item_rows["categorical"][items],
            np.concatenate([numeric, context], axis=2),
        )
        inputs = tuple(torch.from_numpy(np.ascontiguousarray(array)) for array in arrays)
        return ListTensors(
            inputs,
            torch.from_numpy(weight),
            torch.from_numpy(target),
            torch.from_numpy(np.take_along_axis(lists.position, kept, 1)).long(),
            torch.from_numpy(lists.importance),
        )


def slices(order: NDArray[np.int64], size: int) -> list[Tensor]:
    """``order`` (int64 [n]) in parts of ``size``, for :meth:`ListTensors.take`."""
    return [torch.from_numpy(order[start : start + size]) for start in range(0, len(order), size)]


def _thin(
    lists: CandidateLists, best: int, others: int, rng: np.random.Generator
) -> tuple[NDArray[np.int64], NDArray[np.float32]]:
    """Positions to keep, the target's first, and how many candidates each of them represents."""
    ranks = [CONTEXT_FEATURES.index(name) for name in CONTEXT_FEATURES if name.endswith("_rank")]
    unnamed = 1e3 * (1.0 - lists.context[:, :, [rank + 1 for rank in ranks]])
    place = (lists.context[:, :, ranks] + unnamed).min(axis=2) + rng.random(lists.items.shape) * 1e-3
    place[lists.items == 0] = np.inf
    place[np.arange(len(place)), lists.target] = -1.0
    order = np.argsort(place, axis=1)
    count = (lists.items > 0).sum(axis=1)
    draw = rng.random(order.shape)
    draw[:, :best] = -1.0
    draw[np.arange(order.shape[1]) >= count[:, None]] = 2.0
    position = np.argsort(draw, axis=1, kind="stable")[:, : best + others]
    drawn = np.minimum(np.maximum(count - best, 0), others)
    share = np.maximum(count - best, 0) / np.maximum(drawn, 1)
    weight = np.where(position < best, 1.0, share[:, None]) * (position < count[:, None])
    return np.take_along_axis(order, position, 1), weight.astype(np.float32)
