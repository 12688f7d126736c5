"""The inputs of a release's encoders (``encoders.json``), the same offline and online."""

from typing import Literal

from pydantic import BaseModel, ConfigDict

from winnow.signatures import AUDIO_ENCODER, IMAGE_ENCODER, TEXT_ENCODER, ModelSignature

Modality = Literal["image", "text", "audio"]
MODALITIES: tuple[Modality, ...] = ("audio", "image", "text")
"""The order in which the embeddings of an item are joined for the item tower: alphabetical."""

ENCODERS: dict[Modality, ModelSignature] = {"audio": AUDIO_ENCODER, "image": IMAGE_ENCODER, "text": TEXT_ENCODER}
"""Modality -> the served model that encodes it."""


class _Input(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")

    dimension: int


class ImageInput(_Input):
    """An image becomes uint8 [size, size, 3]; ``dimension`` is the width of the embedding, here and below."""

    size: int


class TextInput(_Input):
    """A text becomes int64 [context_length] by the release's ``tokenizer.json``."""

    context_length: int


class AudioInput(_Input):
    """A sound becomes float32 [samples] in -1..1, one channel, ``rate`` samples per second."""

    rate: int
    samples: int


class EncoderInputs(BaseModel):
    """The encoders of a release; ``None`` for a modality without one."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    audio: AudioInput | None = None
    image: ImageInput | None = None
    text: TextInput | None = None

    @property
    def widths(self) -> dict[Modality, int]:
        """Modality -> width of its embeddings, for modalities with an encoder, in the order of ``MODALITIES``."""
        parts = {name: getattr(self, name) for name in MODALITIES}
        return {name: part.dimension for name, part in parts.items() if part is not None}
