"""Encoder settings, a YAML file with a choice per modality.

image: {kind: open_clip, model: ViT-B-32, pretrained: laion2b_s34b_b79k}
text: {kind: sentence, model: sentence-transformers/all-MiniLM-L6-v2, context_length: 64}
audio: winnow-tiny
tiny: {steps: 300}
"""

from pathlib import Path
from typing import Annotated, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field

from winnow.settings.file import load, parse


class _Settings(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class TinySettings(_Settings):
    """Settings of ``winnow-tiny`` and its training.

    Attributes:
        dimension: width of the embeddings.
        image_size: pixels per side of a picture.
        context_length: token ids per text.
        vocabulary: largest number of tokens.
        rate: samples per second of a sound.
        samples: samples per sound; the default is one second.
        steps: optimisation steps, not epochs, so that training takes the same time for any catalog.
        batch_size: items per step; each is contrasted with all others of the batch.
        learning_rate: peak of the one-cycle schedule.
        token_dropout: share of tokens that are dropped from a view of a text.
        training_items: maximum of items in training, drawn at random, which limits memory.
        seed: seed of weights, batches and views.
    """

    dimension: int = Field(default=64, ge=1)
    image_size: int = Field(default=64, ge=32, multiple_of=32)
    context_length: int = Field(default=32, ge=3)
    vocabulary: int = Field(default=4096, ge=259)
    rate: int = Field(default=8_000, ge=4_000)
    samples: int = Field(default=8_000, ge=512)
    steps: int = Field(default=200, ge=1)
    batch_size: int = Field(default=64, ge=2)
    learning_rate: float = Field(default=4e-3, gt=0)
    token_dropout: float = Field(default=0.3, ge=0, lt=1)
    training_items: int = Field(default=20_000, ge=2)
    seed: int = 0


class Tiny(_Settings):
    """``winnow-tiny``, trained on the catalog itself."""

    kind: Literal["winnow-tiny"] = "winnow-tiny"


class OpenClip(_Settings):
    """A published open_clip model.

    Attributes:
        model: its name, or a folder with ``open_clip_config.json`` and weights.
        pretrained: the tag of its weights, or a file; ``None`` for a folder.
    """

    kind: Literal["open_clip"]
    model: str
    pretrained: str | None = None


class Timm(_Settings):
    """The features of a timm model, such as ``resnet50``; ``model`` is its name or a folder with ``config.json``."""

    kind: Literal["timm"]
    model: str


class Sentence(_Settings):
    """A Hugging Face encoder with mean pooling; ``model`` is its name or a folder, ``context_length`` ids per text."""

    kind: Literal["sentence"]
    model: str
    context_length: int = Field(default=64, ge=3)


class Clap(_Settings):
    """A Hugging Face CLAP model without fusion; ``model`` is its name or a folder."""

    kind: Literal["clap"]
    model: str


def _spelled_out(choice: object) -> object:
    return {"kind": choice} if isinstance(choice, str) else choice


ImageChoice = Annotated[Tiny | OpenClip | Timm, Field(discriminator="kind"), BeforeValidator(_spelled_out)]
TextChoice = Annotated[Tiny | OpenClip | Sentence, Field(discriminator="kind"), BeforeValidator(_spelled_out)]
AudioChoice = Annotated[Tiny | Clap, Field(discriminator="kind"), BeforeValidator(_spelled_out)]


class EncoderSettings(_Settings):
    """The encoder of each modality; ``None`` for no encoder.

    Attributes:
        image: encoder of images.
        text: encoder of titles, categories and descriptions.
        audio: encoder of sounds.
        tiny: settings of ``winnow-tiny``, for the modalities that use it.
    """

    image: ImageChoice | None = Tiny()
    text: TextChoice | None = Tiny()
    audio: AudioChoice | None = Tiny()
    tiny: TinySettings = TinySettings()

    @classmethod
    def parse(cls, text: str, origin: str) -> "EncoderSettings":
        """Parse YAML or JSON; absent fields have their defaults.

        Args:
            text: the settings; empty for the defaults.
            origin: their name in the error message.

        Raises:
            SettingsError: the text is not YAML, or a field is invalid; the message names the field.
        """
        return parse(cls, text, origin)

    @classmethod
    def load(cls, path: Path) -> "EncoderSettings":
        """Read a YAML file.

        Raises:
            SettingsError: the file cannot be read or is invalid; see :meth:`parse`.
        """
        return load(cls, path)
