"""What the funnel asks of the models, wherever they run."""

from collections.abc import Mapping
from typing import Any, NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray

from winnow.encoders.inputs import Modality

Tensors = Mapping[str, NDArray[Any]]
"""Input tensors by name; docs/reference.md lists names, types and shapes."""


class Retrieved(NamedTuple):
    """The retriever's answer.

    Attributes:
        candidates: int32 [B, K], item indices, best first.
        scores: float32 [B, K], ``user_vector`` times item vector.
        user_vector: float32 [B, D].
    """

    candidates: NDArray[np.int32]
    scores: NDArray[np.float32]
    user_vector: NDArray[np.float32]


class Ranked(NamedTuple):
    """The ranker's answer: float32 [B, N, 2] probabilities of click and conversion, and float32 [B, N] scores."""

    probabilities: NDArray[np.float32]
    scores: NDArray[np.float32]


class Placed(NamedTuple):
    """The item tower's answer.

    Attributes:
        item_vector: float32 [B, D], unit length.
        candidates: int32 [B, K], the items most like it, best first.
        scores: float32 [B, K], their cosine with ``item_vector``.
    """

    item_vector: NDArray[np.float32]
    candidates: NDArray[np.int32]
    scores: NDArray[np.float32]


class Models(Protocol):
    """The models of a release."""

    async def retrieve(self, inputs: Tensors) -> Retrieved:
        """Ask the retriever."""

    async def rank(self, inputs: Tensors) -> Ranked:
        """Ask the ranker."""

    async def encode(self, modality: Modality, content: NDArray[Any]) -> NDArray[np.float32]:
        """Embeddings [B, D] of prepared content [B, ...]."""

    async def tower(self, inputs: Tensors) -> Placed:
        """Ask the item tower."""
