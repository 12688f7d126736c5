"""Pretrained CLAP audio encoders of Hugging Face, such as ``laion/clap-htsat-unfused``."""

from pathlib import Path

import torch

from transformers import ClapAudioModelWithProjection, ClapFeatureExtractor
from winnow.encoders.inputs import AudioInput
from winnow.encoders.settings import Clap
from winnow.errors import WinnowError
from winnow.models.encoders.audio import AudioEncoder, MelLayout, ServedAudioEncoder
from winnow.models.encoders.hub import model_folder


def load_clap(choice: Clap) -> AudioEncoder:
    """Load the audio tower of a CLAP model, in evaluation mode.

    Of a long sound the served encoder takes the beginning, where CLAP's extractor takes a random crop.

    Raises:
        WinnowError: the model is not on this machine, or is not a CLAP model without fusion.
    """
    folder = model_folder("audio", choice.model)
    try:
        extractor = ClapFeatureExtractor.from_pretrained(folder, local_files_only=True)
        clap = ClapAudioModelWithProjection.from_pretrained(folder, local_files_only=True, dtype=torch.float32)
    except (OSError, ValueError) as error:
        raise WinnowError(f"audio.model {choice.model!r} is not a complete CLAP model: {error}") from error
    if clap.config.enable_fusion:
        raise WinnowError(
            f"audio.model {choice.model!r} fuses several crops of a sound: choose one without fusion, such as "
            "laion/clap-htsat-unfused"
        )
    layout = MelLayout(
        rate=extractor.sampling_rate,
        window=extractor.fft_window_size,
        hop=extractor.hop_length,
        bins=extractor.feature_size,
        lowest=extractor.frequency_min,
        highest=extractor.frequency_max,
    )
    described = AudioInput(
        dimension=clap.config.projection_dim, rate=extractor.sampling_rate, samples=extractor.nb_max_samples
    )
    return AudioEncoder(ServedAudioEncoder(clap, layout).eval(), described)


def save_clap(choice: Clap, encoder: AudioEncoder, folder: Path) -> None:
    """Write a folder that :func:`load_clap` reads."""
    encoder.module.get_submodule("clap").save_pretrained(folder)  # type: ignore[operator]
    source = model_folder("audio", choice.model)
    ClapFeatureExtractor.from_pretrained(source, local_files_only=True).save_pretrained(folder)
