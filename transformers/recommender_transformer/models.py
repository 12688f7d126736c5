"""What the funnel asks of the models, wherever they run."""

from collections.abc import Mapping
from typing import Any, NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray

Tensors = Mapping[str, NDArray[Any]]
"""Input tensors by name; docs/architecture.md lists names, types and shapes."""


class Retrieved(NamedTuple):
    """The retriever's answer: int32 [B, K] item indices, best first, and float32 [B, K] scores."""

    candidates: NDArray[np.int32]
    scores: NDArray[np.float32]


class Ranked(NamedTuple):
    """The ranker's answer: float32 [B, N, 2] probabilities of click and conversion, and float32 [B, N] scores."""

    probabilities: NDArray[np.float32]
    scores: NDArray[np.float32]


class Models(Protocol):
    """The two models of a release."""

    async def retrieve(self, inputs: Tensors) -> Retrieved:
        """Ask the retriever."""

    async def rank(self, inputs: Tensors) -> Ranked:
        """Ask the ranker."""
