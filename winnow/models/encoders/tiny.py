"""``winnow-tiny``: encoders of the three modalities, small enough to train on the catalog without a download.

The image encoder is a ResNet: convolutions are translation-equivariant, which a vision transformer would have to learn
from far more images than a catalog has.
"""

import math
from dataclasses import dataclass

import open_clip
import torch
from tokenizers import Tokenizer
from torch import nn

from transformers import ClapAudioConfig, ClapAudioModelWithProjection
from winnow.encoders.inputs import AudioInput, EncoderInputs, ImageInput, TextInput
from winnow.encoders.settings import TinySettings
from winnow.encoders.tokens import END, PAD
from winnow.models.encoders.audio import AudioEncoder, MelLayout, ServedAudioEncoder
from winnow.models.encoders.image import ImageEncoder, ServedImageEncoder
from winnow.models.encoders.text import ServedTextEncoder, TextEncoder

MEAN = open_clip.OPENAI_DATASET_MEAN
STD = open_clip.OPENAI_DATASET_STD

_SPECTROGRAM = 64
"""Frames and mel filters of a spectrogram: a square, which CLAP's transformer takes as it is."""


class TinyModel(nn.Module):
    """Three towers into one space, with a learned scale of the logits (Radford et al. 2021).

    ``visual`` and ``text`` are open_clip's, ``audio`` is Hugging Face's CLAP.
    """

    def __init__(self, settings: TinySettings) -> None:
        """An untrained model; the weights come from torch's global generator."""
        super().__init__()
        clip = open_clip.CustomTextCLIP(
            embed_dim=settings.dimension,
            vision_cfg={"layers": [1, 1, 1, 1], "width": 8, "head_width": 64, "image_size": settings.image_size},
            text_cfg={
                "context_length": settings.context_length,
                "vocab_size": settings.vocabulary,
                "width": 96,
                "heads": 2,
                "layers": 2,
                "pool_type": "eos",
                "pad_id": PAD,
                "eos_id": END,
            },
        )
        self.visual: nn.Module = clip.visual
        self.text: nn.Module = clip.text
        self.audio = ClapAudioModelWithProjection(
            ClapAudioConfig(
                num_mel_bins=_SPECTROGRAM,
                spec_size=_SPECTROGRAM,
                window_size=4,
                depths=[2, 2, 2],
                num_attention_heads=[2, 4, 8],
                num_hidden_layers=3,
                patch_embeds_hidden_size=16,
                hidden_size=64,
                mlp_ratio=2.0,
                hidden_dropout_prob=0.0,
                projection_dim=settings.dimension,
            )
        )
        self.logit_scale = nn.Parameter(torch.tensor(math.log(1 / 0.07)))


@dataclass(frozen=True)
class TinyEncoders:
    """The served encoders on the towers of one model, whose parameters they share."""

    audio: AudioEncoder
    image: ImageEncoder
    text: TextEncoder

    @classmethod
    def on(cls, model: TinyModel, tokenizer: Tokenizer, settings: TinySettings) -> "TinyEncoders":
        """Wrap the towers of a model.

        The hop of the spectrogram is set so that a whole sound fits; windows are four hops long.
        """
        hop = settings.samples // _SPECTROGRAM + 1
        layout = MelLayout(settings.rate, 4 * hop, hop, _SPECTROGRAM, 0.0, settings.rate / 2)
        width = settings.dimension
        return cls(
            AudioEncoder(
                ServedAudioEncoder(model.audio, layout).eval(),
                AudioInput(dimension=width, rate=settings.rate, samples=settings.samples),
            ),
            ImageEncoder(
                ServedImageEncoder(model.visual, MEAN, STD).eval(),
                ImageInput(dimension=width, size=settings.image_size),
            ),
            TextEncoder(
                ServedTextEncoder(model.text).eval(),
                TextInput(dimension=width, context_length=settings.context_length),
                tokenizer,
            ),
        )

    @property
    def inputs(self) -> EncoderInputs:
        """The inputs of all three."""
        return EncoderInputs(audio=self.audio.input, image=self.image.input, text=self.text.input)
