"""Embeds decoded content and finds the items most similar to it: for queries by content and for new items."""

import asyncio

import numpy as np
from numpy.typing import NDArray

from recommender_transformer.backends.predictor.models import Models, SimilarItems
from recommender_transformer.content.media_decoder import DecodedContent
from winnow.encoders.inputs import EncoderInputs, Modality
from winnow.features.row import tower_inputs


class ContentLookup:
    """Calls the encoders concurrently, then the item tower.

    Args:
        models: the release's models.
        inputs: the release's encoders and the widths of their embeddings.
        row_dtype: the packed item row.
    """

    def __init__(self, models: Models, inputs: EncoderInputs, row_dtype: "np.dtype[np.void]") -> None:
        self._models = models
        self._widths = inputs.widths
        self._empty_row = np.zeros(1, row_dtype)

    async def find(self, content: DecodedContent, row: np.void | None = None) -> SimilarItems:
        """The item-tower vector of the content and the items most similar to it, each [1, ...].

        Args:
            content: encoder inputs by modality, without the batch axis; absent modalities count as missing.
            row: the packed item row; without one, category and numeric features count as missing.

        Raises:
            grpc.aio.AioRpcError: a model in Triton does not answer.
            OSError: a model in this process fails.
        """
        embeddings = await asyncio.gather(*(self._embedding(modality, content) for modality in self._widths))
        joined = np.concatenate(embeddings, axis=1) if embeddings else np.zeros((1, 1), np.float32)
        categorical, numeric = tower_inputs(self._empty_row if row is None else np.array([row]))
        return await self._models.tower(
            {"item_categorical": categorical, "item_numeric": numeric, "embeddings": joined}
        )

    async def _embedding(self, modality: Modality, content: DecodedContent) -> NDArray[np.float32]:
        if modality not in content:
            return np.zeros((1, self._widths[modality]), np.float32)
        return await self._models.encode(modality, content[modality][None])
