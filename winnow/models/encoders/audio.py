"""The audio encoder: CLAP's audio tower (Wu et al. 2023), in Hugging Face's classes.

The log-mel spectrogram is part of the served graph, so that requests carry plain samples.
"""

import math
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional
from transformers.audio_utils import mel_filter_bank

from transformers import ClapAudioModelWithProjection
from winnow.encoders.inputs import AudioInput, Modality
from winnow.signatures import AUDIO_ENCODER, ModelSignature

_FLOOR = 1e-10


@dataclass(frozen=True)
class MelLayout:
    """The layout of a log-mel spectrogram.

    Attributes:
        rate: samples per second.
        window: samples per Fourier transform.
        hop: samples between the starts of two transforms.
        bins: number of mel filters.
        lowest: lowest frequency of the filters, in Hz.
        highest: highest frequency of the filters, in Hz.
    """

    rate: int
    window: int
    hop: int
    bins: int
    lowest: float
    highest: float


class LogMel(nn.Module):
    """Samples float32 [B, S] -> decibels float32 [B, 1, 1 + S // hop, bins], as ``ClapFeatureExtractor`` computes them.

    Frames are centred (the ends are mirrored), with a periodic Hann window, power, Slaney's mel filters, and decibels
    above a floor of 1e-10. The Fourier transform is a convolution with its windowed basis, which every runtime
    supports.
    """

    basis: Tensor
    filters: Tensor

    def __init__(self, layout: MelLayout) -> None:
        """Compute the basis and the filters."""
        super().__init__()
        self.window, self.hop = layout.window, layout.hop
        count = layout.window // 2 + 1
        turns = np.outer(np.arange(count), np.arange(layout.window)) / layout.window
        hann = 0.5 - 0.5 * np.cos(2 * np.pi * np.arange(layout.window) / layout.window)
        waves = np.concatenate([np.cos(2 * np.pi * turns), -np.sin(2 * np.pi * turns)]) * hann
        filters = mel_filter_bank(
            count, layout.bins, layout.lowest, layout.highest, layout.rate, norm="slaney", mel_scale="slaney"
        )
        self.register_buffer("basis", torch.tensor(waves[:, None], dtype=torch.float32), persistent=False)
        self.register_buffer("filters", torch.tensor(filters, dtype=torch.float32), persistent=False)

    def forward(self, samples: Tensor) -> Tensor:
        """Spectrograms of sounds."""
        centred = functional.pad(samples[:, None], (self.window // 2, self.window // 2), mode="reflect")
        real, imaginary = functional.conv1d(centred, self.basis, stride=self.hop).chunk(2, dim=1)
        power = (real.square() + imaginary.square()).transpose(1, 2) @ self.filters
        return (10 / math.log(10)) * power.clamp(min=_FLOOR).log()[:, None]


def repeat_to_the_end(samples: Tensor) -> Tensor:
    """Repeat a short sound, as often as all of it fits, into the padding of ``sounds.decode`` (CLAP's ``repeatpad``).

    Args:
        samples: float32 [B, S]; a sound ends with its last sample that is not 0.
    """
    place = torch.arange(samples.shape[1], device=samples.device)
    length = ((samples != 0) * (place + 1)).amax(dim=1, keepdim=True).clamp(min=1)
    within = place % length
    fits = place - within + length <= samples.shape[1]
    return samples.gather(1, within) * fits


class ServedAudioEncoder(nn.Module):
    """``samples`` float32 [B, S] -> ``embedding`` float32 [B, D] of unit length."""

    def __init__(self, clap: ClapAudioModelWithProjection, layout: MelLayout) -> None:
        """Wrap CLAP's audio tower, which takes spectrograms of ``layout``."""
        super().__init__()
        self.spectrogram = LogMel(layout)
        self.clap = clap

    def spectrograms(self, samples: Tensor) -> Tensor:
        """The spectrograms of sounds, which need float32: bfloat16 would lose their quiet parts."""
        spectrograms: Tensor = self.spectrogram(repeat_to_the_end(samples))
        return spectrograms

    def embed(self, spectrograms: Tensor) -> Tensor:
        """Embed sounds by their spectrograms, float32 [B, 1, frames, bins]."""
        return functional.normalize(self.clap(input_features=spectrograms).audio_embeds.float(), dim=-1)

    def forward(self, samples: Tensor) -> Tensor:
        """Embed sounds."""
        return self.embed(self.spectrograms(samples))


@dataclass(frozen=True)
class AudioEncoder:
    """An audio encoder; see :class:`winnow.models.encoders.protocol.Encoder`."""

    module: ServedAudioEncoder
    input: AudioInput
    modality: Modality = "audio"
    signature: ModelSignature = AUDIO_ENCODER
