"""Embeds content of changed items, and remembers the embeddings of the last ones."""

import logging
from hashlib import blake2b

import numpy as np
from cachetools import LRUCache
from numpy.typing import NDArray

from recommender_transformer.backends.predictor.models import Models
from recommender_transformer.content.media_decoder import MediaDecoder
from winnow.encoders.inputs import Modality
from winnow.encoders.media import BrokenMedia

log = logging.getLogger(__name__)

_REMEMBERED = 2048
"""Some megabytes: a change of an item's price must not embed its picture again."""


class Embeddings:
    """Calls the encoders.

    Args:
        models: the release's models.
        decoder: prepares content.
    """

    def __init__(self, models: Models, decoder: MediaDecoder) -> None:
        self._models = models
        self._decoder = decoder
        self._held: LRUCache[bytes, NDArray[np.float32]] = LRUCache(_REMEMBERED)

    async def of(self, modality: Modality, content: bytes | str) -> NDArray[np.float32]:
        """The embedding of content: float32 [E]; zeros for media that this version cannot decode.

        Raises:
            grpc.aio.AioRpcError: a model in Triton does not answer.
            OSError: a model in this process fails.
        """
        key = digest(modality, content)
        held = self._held.get(key)
        if held is None:
            try:
                prepared = await self._decoder.prepared(modality, content)
            except BrokenMedia as error:
                log.warning("the %s of a changed item is not used: %s", modality, error)
                return np.zeros(self._decoder.inputs.widths[modality], np.float32)
            held = self._held[key] = (await self._models.encode(modality, prepared[None]))[0]
        return held


def digest(modality: Modality, content: bytes | str) -> bytes:
    """A digest of content and its modality."""
    encoded = content.encode() if isinstance(content, str) else content
    return blake2b(encoded, digest_size=16, person=modality.encode()).digest()
