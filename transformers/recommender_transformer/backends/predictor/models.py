"""The interface of a release's models, independent of where they run."""

from collections.abc import Mapping
from typing import Any, NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray

from winnow.encoders.inputs import Modality

Tensors = Mapping[str, NDArray[Any]]
"""Input tensors by name; docs/reference.md lists names, types and shapes."""


class Retrieved(NamedTuple):
    """The output of the retriever.

    Attributes:
        candidates: int32 [B, K], item indices, best first.
        scores: float32 [B, K], product of ``user_vector`` and item vector.
        user_vector: float32 [B, D].
    """

    candidates: NDArray[np.int32]
    scores: NDArray[np.float32]
    user_vector: NDArray[np.float32]


class Ranked(NamedTuple):
    """The output of the ranker.

    Attributes:
        probabilities: float32 [B, N, E + 2], of a click, of each event type and of a conversion
            (:mod:`winnow.ranking.objectives`).
    """

    probabilities: NDArray[np.float32]


class SimilarItems(NamedTuple):
    """The output of the item tower.

    Attributes:
        item_vector: float32 [B, D], unit length.
        candidates: int32 [B, K], the items of the release with the highest cosine, best first.
        scores: float32 [B, K], cosine with ``item_vector``.
    """

    item_vector: NDArray[np.float32]
    candidates: NDArray[np.int32]
    scores: NDArray[np.float32]


class Models(Protocol):
    """The models of a release.

    A call that fails raises ``grpc.aio.AioRpcError`` (Triton) or an ``OSError`` (this process); the funnel treats both
    alike.
    """

    async def retrieve(self, inputs: Tensors) -> Retrieved:
        """Call the retriever."""

    async def user_vector(self, inputs: Tensors) -> NDArray[np.float32]:
        """Call the user tower, which takes the retriever's place in some releases: float32 [B, D]."""

    async def rank(self, inputs: Tensors) -> Ranked:
        """Call the ranker."""

    async def encode(self, modality: Modality, content: NDArray[Any]) -> NDArray[np.float32]:
        """Call an encoder: embeddings [B, D] of encoder inputs [B, ...]."""

    async def tower(self, inputs: Tensors) -> SimilarItems:
        """Call the item tower."""
