"""The models of a release, computed with NumPy: late or failing on request, with a record of every call."""

import asyncio
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from recommender_transformer.backends.predictor.models import Ranked, Retrieved, SimilarItems, Tensors
from tests.support.tiny_release import RETRIEVED, WIDTH, projection
from winnow.encoders.inputs import Modality


@dataclass
class NumpyModels:
    """The models by plain arithmetic.

    Attributes:
        vectors: of the release's items, float32 [items + 1, width].
        delay_s: by model, the seconds before each answer.
        broken: models that raise a :class:`ConnectionError`.
        asked: every call, as the model's name and its inputs.
    """

    vectors: NDArray[np.float32]
    delay_s: dict[str, float] = field(default_factory=dict)
    broken: set[str] = field(default_factory=set)
    asked: list[tuple[str, Tensors]] = field(default_factory=list)

    async def retrieve(self, inputs: Tensors) -> Retrieved:
        """Items nearest to the mean of the history."""
        await self._call("retriever", inputs)
        user = self.vectors[inputs["history_items"][0]].mean(axis=0)
        scores = self.vectors[1:] @ user
        best = np.argsort(-scores, kind="stable")[:RETRIEVED]
        return Retrieved((best + 1)[None].astype(np.int32), scores[best][None], user[None])

    async def user_vector(self, inputs: Tensors) -> NDArray[np.float32]:
        """The mean of the history."""
        await self._call("user_tower", inputs)
        return np.asarray(self.vectors[inputs["history_items"][0]].mean(axis=0, dtype=np.float32)[None])

    async def rank(self, inputs: Tensors) -> Ranked:
        """The first numeric feature is a click's logit; the next ones are probabilities of a purchase and a dislike."""
        await self._call("ranker", inputs)
        logits = np.where(inputs["candidate_items"] > 0, inputs["candidate_numeric"][:, :, 0], -np.inf)
        odds = np.exp(logits)
        click = odds / odds.sum(axis=1, keepdims=True)
        buy, dislike = inputs["candidate_numeric"][:, :, 1], 0.1 * inputs["candidate_numeric"][:, :, 2]
        return Ranked(np.stack([click, 1 - buy, buy, dislike, buy], axis=-1))

    async def encode(self, modality: Modality, content: NDArray[Any]) -> NDArray[Any]:
        """A random projection of the content, of unit length."""
        await self._call(f"{modality}_encoder", {"content": content})
        flat = content.reshape(len(content), -1).astype(np.float32)
        projected = flat @ projection(f"{modality} encoder", flat.shape[1], 4)
        return np.asarray(projected / np.linalg.norm(projected, axis=1, keepdims=True))

    async def tower(self, inputs: Tensors) -> SimilarItems:
        """A random projection of the embeddings and categories, and the items nearest to it."""
        await self._call("item_tower", inputs)
        projected = inputs["embeddings"] @ projection("tower", inputs["embeddings"].shape[1], WIDTH)
        projected = projected + inputs["item_categorical"].astype(np.float32) @ projection("categories", 3, WIDTH)
        vector = projected / np.maximum(np.linalg.norm(projected, axis=1, keepdims=True), 1e-9)
        scores = vector[0] @ self.vectors[1:].T
        best = np.argsort(-scores, kind="stable")[:RETRIEVED]
        return SimilarItems(vector, (best + 1)[None].astype(np.int32), scores[best][None])

    async def _call(self, name: str, inputs: Tensors) -> None:
        self.asked.append((name, inputs))
        await asyncio.sleep(self.delay_s.get(name, 0.0))
        if name in self.broken:
            raise ConnectionError(f"{name} is down")
