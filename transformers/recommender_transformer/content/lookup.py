"""Where a thing lies among the items, from its content: what a query and a new item have in common."""

import asyncio

import numpy as np
from numpy.typing import NDArray

from recommender_transformer.backends.models import Models, SimilarItems
from recommender_transformer.content.media_decoder import Content
from winnow.encoders.inputs import EncoderInputs, Modality
from winnow.features.row import tower_inputs


class ContentLookup:
    """Encoders side by side, then the item tower, in Triton.

    Args:
        models: the release's.
        inputs: which encoders there are, and how wide their embeddings.
        row_dtype: the packed item row.
    """

    def __init__(self, models: Models, inputs: EncoderInputs, row_dtype: "np.dtype[np.void]") -> None:
        self._models = models
        self._widths = inputs.widths
        self._unknown = np.zeros(1, row_dtype)

    async def place(self, content: Content, row: np.void | None = None) -> SimilarItems:
        """Vector of a thing and the items most like it, each [1, ...].

        Args:
            content: prepared content by modality, without the batch; a modality that is left out is missing.
            row: the packed item row; of a thing without one neither category nor numbers are known.
        """
        embeddings = await asyncio.gather(*(self._embedding(modality, content) for modality in self._widths))
        joined = np.concatenate(embeddings, axis=1) if embeddings else np.zeros((1, 1), np.float32)
        categorical, numeric = tower_inputs(self._unknown if row is None else np.array([row]))
        return await self._models.tower(
            {"item_categorical": categorical, "item_numeric": numeric, "embeddings": joined}
        )

    async def _embedding(self, modality: Modality, content: Content) -> NDArray[np.float32]:
        if modality not in content:
            return np.zeros((1, self._widths[modality]), np.float32)
        return await self._models.encode(modality, content[modality][None])
