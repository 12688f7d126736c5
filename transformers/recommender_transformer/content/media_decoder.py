"""Decodes the content of a request (text; images and sounds in base64) to encoder inputs."""

import asyncio
import base64
import binascii
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from numpy.typing import NDArray

from winnow.encoders.inputs import MODALITIES, EncoderInputs, Modality
from winnow.encoders.media import BrokenMedia
from winnow.encoders.preparation import Preparation
from winnow.request import InvalidRequest, Media

_THREADS = 2
"""Decoding the largest image takes some hundred megabytes, so few are decoded at a time."""

EncodedContent = Mapping[Modality, str | Media | None]
"""Modality -> the text, or the encoded image or sound, of a request; absent modalities may be `None`."""

DecodedContent = Mapping[Modality, NDArray[Any]]
"""Modality -> encoder input, without the batch axis."""


class MediaDecoder:
    """Decodes in its own threads, so that an image does not block the event loop.

    Args:
        preparation: prepares the inputs of the release's encoders.
    """

    def __init__(self, preparation: Preparation) -> None:
        self._preparation = preparation
        self._threads = ThreadPoolExecutor(_THREADS, thread_name_prefix="decode")

    @property
    def inputs(self) -> EncoderInputs:
        """The release's encoders."""
        return self._preparation.inputs

    async def decode_all(self, contents: Sequence[EncodedContent], fields: Sequence[str]) -> list[DecodedContent]:
        """Decode several contents; arguments and errors as of :meth:`decode`."""
        return await asyncio.gather(*map(self.decode, contents, fields))

    async def prepared(self, modality: Modality, content: bytes | str) -> NDArray[Any]:
        """Make the input of an encoder in a thread, as :meth:`winnow.encoders.preparation.Preparation.prepare` does."""
        loop = asyncio.get_running_loop()
        return await loop.run_in_executor(self._threads, self._preparation.prepare, modality, content)

    async def decode(self, content: EncodedContent, field: str) -> DecodedContent:
        """Decode one content.

        Args:
            content: the content of a request.
            field: path of the content in its call, such as ``instances[0].query``, for messages.

        Raises:
            InvalidRequest: the release has no encoder for a modality, or the content is malformed; the message names
                the field.
        """
        present: dict[Modality, str | Media] = {
            name: encoded for name in MODALITIES if (encoded := content.get(name)) is not None
        }
        for modality in present:
            if modality not in self.inputs.widths:
                available = ", ".join(self.inputs.widths) or "none"
                raise InvalidRequest(f"{field}.{modality}: this release has no {modality} encoder; it has {available}")
        loop = asyncio.get_running_loop()
        work = [
            loop.run_in_executor(self._threads, self._prepare, modality, encoded, f"{field}.{modality}")
            for modality, encoded in present.items()
        ]
        # Wait for all of them before raising the first error: an exception that is never retrieved is logged.
        results = await asyncio.gather(*work, return_exceptions=True)
        for result in results:
            if isinstance(result, BaseException):
                raise result
        return dict(zip(present, results, strict=True))

    def _prepare(self, modality: Modality, encoded: str | Media, field: str) -> NDArray[Any]:
        content = encoded if isinstance(encoded, str) else _bytes(encoded.b64, field)
        try:
            return self._preparation.prepare(modality, content)
        except BrokenMedia as error:
            raise InvalidRequest(f"{field}: {error}") from None


def _bytes(text: str, field: str) -> bytes:
    try:
        return base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError) as error:
        raise InvalidRequest(f"{field}.b64: must be base64: {error}") from None
