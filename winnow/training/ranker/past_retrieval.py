"""The retriever's answers at many past moments: matrix products in blocks of moments."""

from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray

from winnow.features.table import FeatureSet
from winnow.ranking.context import HIDDEN, SourceList, without_hidden
from winnow.retrieval.history import assemble_many
from winnow.training.retriever.trained import TrainedRetriever

BLOCK_BYTES = 256 * 2**20
"""Bytes of scores of one block at most: a larger catalog has fewer moments in a block."""


class RetrievedMany(NamedTuple):
    """The retriever's answers for many moments: items int32 [B, k] and scores float32 [B, k]."""

    items: NDArray[np.int32]
    scores: NDArray[np.float32]

    def of(self, position: int) -> SourceList:
        """The answer for one of them."""
        return without_hidden(SourceList(self.items[position], self.scores[position]))


@torch.no_grad()
def retrieve(
    model: TrainedRetriever,
    features: FeatureSet,
    users: NDArray[np.int64],
    ends: NDArray[np.int64],
    k: int,
    device: torch.device | None = None,
) -> RetrievedMany:
    """The retriever's answers for many moments at once.

    Items of the history that the model sees are excluded unless repeats are allowed, as in
    :class:`winnow.models.served.ServedRetriever`.

    Args:
        model: the retriever.
        features: the set that it was trained on.
        users: int64 [B].
        ends: int64 [B], the row of the log after the newest event of each history.
        k: items per moment at most.
        device: where the scores are computed; the CPU where ``None``.
    """
    log, length = features.interactions, model.settings.history_length
    device = device or torch.device("cpu")
    vectors = model.item_vectors.to(device)
    k = min(k, features.items)
    items, scores = np.zeros((len(users), k), np.int32), np.zeros((len(users), k), np.float32)
    size = max(1, BLOCK_BYTES // (vectors.element_size() * len(vectors)))
    for start in range(0, len(users), size):
        block = slice(start, start + size)
        user = torch.from_numpy(model.user_vectors(features, users[block], ends[block])).to(device)
        found = user @ vectors.T
        if features.schema.repeats != "allow":
            begins = log.offsets[users[block]]
            history = assemble_many(log.item, log.event, log.timestamp, begins, ends[block], length).items
            found.scatter_(1, torch.from_numpy(history).long().to(device), HIDDEN)
        # Padding ranks below the history, so it is no candidate even where a history covers the catalog.
        found[:, 0] = 2 * HIDDEN
        best = found.topk(k, dim=1)
        items[block], scores[block] = best.indices.cpu().numpy(), best.values.cpu().numpy()
    return RetrievedMany(items, scores)
