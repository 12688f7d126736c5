"""From what a caller sends (text, base64) to what the encoders take. Whatever is broken is the caller's to hear of."""

import asyncio
import base64
import binascii
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from numpy.typing import NDArray

from winnow.encoders.inputs import MODALITIES, EncoderInputs, Modality
from winnow.encoders.media import BrokenMedia
from winnow.encoders.preparation import Preparation
from winnow.request import InvalidRequest, Media

_DECODERS = 2
"""Threads: a picture of the largest size takes some hundred megabytes while it is decoded, so few at a time."""

Raw = str | Media
"""A text, or an encoded picture or sound."""

Content = Mapping[Modality, NDArray[Any]]
"""Decoded: each modality's encoder input, without the batch."""


class MediaDecoder:
    """Decodes, in threads of its own: the event loop never waits for a picture.

    Args:
        preparation: of the release's encoders.
    """

    def __init__(self, preparation: Preparation) -> None:
        self._preparation = preparation
        self._threads = ThreadPoolExecutor(_DECODERS, thread_name_prefix="decode")

    @property
    def inputs(self) -> EncoderInputs:
        """Which encoders there are."""
        return self._preparation.inputs

    async def read(self, given: Mapping[Modality, Raw | None], where: str) -> Content:
        """Each modality that is given as its encoder's input, without the batch.

        Args:
            given: modality -> what was sent; absent modalities may be null.
            where: begins the field's name in a message, such as ``instances[0].query``.

        Raises:
            InvalidRequest: the release has no such encoder, or the content is broken; the message names the field.
        """
        present: dict[Modality, Raw] = {name: raw for name in MODALITIES if (raw := given.get(name)) is not None}
        for modality in present:
            if modality not in self.inputs.widths:
                held = ", ".join(self.inputs.widths) or "none"
                raise InvalidRequest(f"{where}.{modality}: this release has no {modality} encoder; it has {held}")
        loop = asyncio.get_running_loop()
        work = [
            loop.run_in_executor(self._threads, self._prepare, modality, raw, f"{where}.{modality}")
            for modality, raw in present.items()
        ]
        # All must have ended before the first error leaves, so that none is left to fail unheard.
        done = await asyncio.gather(*work, return_exceptions=True)
        for result in done:
            if isinstance(result, BaseException):
                raise result
        return dict(zip(present, done, strict=True))

    def _prepare(self, modality: Modality, raw: Raw, where: str) -> NDArray[Any]:
        content = raw if isinstance(raw, str) else _bytes(raw.b64, where)
        try:
            return self._preparation.prepare(modality, content)
        except BrokenMedia as error:
            raise InvalidRequest(f"{where}: {error}") from None


def _bytes(text: str, where: str) -> bytes:
    try:
        return base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError) as error:
        raise InvalidRequest(f"{where}.b64: must be base64: {error}") from None
