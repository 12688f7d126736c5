"""The encoders of each kind: loaded from what was published, trained on the catalog, saved and loaded again."""

import logging
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from safetensors.torch import load_file, save_file
from tokenizers import Tokenizer

from winnow.encoders.catalog import Contents
from winnow.encoders.inputs import Modality
from winnow.encoders.preparation import Preparation
from winnow.encoders.settings import Clap, EncoderSettings, OpenClip, Sentence, Timm, Tiny, TinySettings
from winnow.encoders.tokens import train_tokenizer
from winnow.models.encoders.audio import AudioEncoder
from winnow.models.encoders.clap import load_clap, save_clap
from winnow.models.encoders.image import ImageEncoder
from winnow.models.encoders.open_clip_model import load_open_clip_image, load_open_clip_text, save_open_clip
from winnow.models.encoders.protocol import Encoder
from winnow.models.encoders.sentence import load_sentence, save_sentence
from winnow.models.encoders.text import TextEncoder
from winnow.models.encoders.timm_image import load_timm, save_timm
from winnow.models.encoders.tiny import TinyEncoders, TinyModel
from winnow.settings.training import ComputeSettings
from winnow.training.encoders.contrastive import train_contrastive
from winnow.training.encoders.examples import gather
from winnow.training.encoders.kept import KeptWeights, key_of

logger = logging.getLogger(__name__)

_FEWEST = 2
"""Items that a contrastive loss needs."""

_TINY_WEIGHTS = "weights.safetensors"
_TINY_TOKENIZER = "weights.tokenizer.json"


def make(
    contents: Contents,
    modalities: Sequence[Modality],
    out: Path,
    settings: EncoderSettings,
    compute: ComputeSettings,
    kept: KeptWeights,
    show_progress: bool,
) -> tuple[dict[Modality, Encoder], list[float]]:
    """Load the pretrained encoders of the settings, train the others, and write all.

    Args:
        contents: content of the catalog.
        modalities: those that the catalog has; the settings have an encoder of each.
        out: the folder to write into.
        settings: the encoder of each modality.
        compute: device and precision of the training.
        kept: weights of earlier trainings.
        show_progress: show progress bars.

    Returns:
        The encoders, without those that had too little to train on, and the loss of every training step.

    Raises:
        WinnowError: a pretrained model is not on this machine.
    """
    encoders: dict[Modality, Encoder] = {}
    for modality in modalities:
        choice = getattr(settings, modality)
        if not isinstance(choice, Tiny):
            encoders[modality] = _pretrained(modality, choice)
            _save_pretrained(modality, choice, encoders[modality], out / f"weights.{modality}")
    tiny: list[Modality] = [name for name in modalities if name not in encoders]
    trained: dict[Modality, Encoder] = {}
    losses: list[float] = []
    if tiny:
        trained, losses = _train_tiny(contents, tiny, out, settings.tiny, compute, kept, show_progress)
    return encoders | trained, losses


def load(folder: Path, modalities: Sequence[Modality], settings: EncoderSettings) -> dict[Modality, Encoder]:
    """Load what :func:`make` wrote, in evaluation mode.

    Args:
        folder: the folder with the encoders.
        modalities: the modalities with an encoder.
        settings: those that the encoders were made with.
    """
    trained = _load_tiny(folder, settings.tiny) if (folder / _TINY_WEIGHTS).exists() else None
    encoders: dict[Modality, Encoder] = {}
    for modality in modalities:
        choice = getattr(settings, modality)
        if isinstance(choice, Tiny):
            encoders[modality] = getattr(trained, modality)
        else:
            moved = {"model": str(folder / f"weights.{modality}")}
            encoders[modality] = _pretrained(modality, choice.model_copy(update=moved))
    return encoders


def _pretrained(modality: Modality, choice: OpenClip | Timm | Sentence | Clap) -> Encoder:
    if isinstance(choice, Clap):
        return load_clap(choice)
    if isinstance(choice, Timm):
        return load_timm(choice)
    if isinstance(choice, Sentence):
        return load_sentence(choice)
    return load_open_clip_text(choice) if modality == "text" else load_open_clip_image(choice)


def _save_pretrained(modality: Modality, choice: OpenClip | Timm | Sentence | Clap, encoder: Encoder, to: Path) -> None:
    if isinstance(choice, OpenClip):
        save_open_clip(modality, choice, to)
    elif isinstance(encoder, AudioEncoder) and isinstance(choice, Clap):
        save_clap(choice, encoder, to)
    elif isinstance(encoder, TextEncoder):
        save_sentence(encoder, to)
    elif isinstance(encoder, ImageEncoder):
        save_timm(encoder, to)


def _train_tiny(
    contents: Contents,
    modalities: Sequence[Modality],
    out: Path,
    settings: TinySettings,
    compute: ComputeSettings,
    kept: KeptWeights,
    show_progress: bool,
) -> tuple[dict[Modality, Encoder], list[float]]:
    captioned = np.flatnonzero([bool(caption) for caption in contents.captions])
    if len(captioned) < _FEWEST:
        logger.warning("winnow-tiny has no captions to train on: items get no embeddings of %s", list(modalities))
        return {}, []
    rows = np.sort(np.random.default_rng(settings.seed).permutation(captioned)[: settings.training_items])
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(settings.seed)
        model = TinyModel(settings)
    captions = (contents.captions[row] for row in rows)
    tokenizer = train_tokenizer(captions, settings.vocabulary, settings.context_length)
    encoders = TinyEncoders.on(model, tokenizer, settings)
    examples = gather(contents, rows, modalities, Preparation(encoders.inputs, tokenizer))
    key, losses = key_of(model, examples, settings, compute), []
    if weights := kept.get(key):
        model.load_state_dict(weights)
        model.eval()
    else:
        losses = train_contrastive(model, encoders, examples, settings, compute, show_progress)
        kept.put(key, model.state_dict())
    save_file(model.state_dict(), out / _TINY_WEIGHTS)
    tokenizer.save(str(out / _TINY_TOKENIZER))
    examples_of = {"audio": len(examples.samples), "image": len(examples.pixels), "text": len(examples.tokens)}
    for modality in modalities:
        if examples_of[modality] < _FEWEST:
            logger.warning("fewer than two captioned items have a readable %s: items get no embeddings of it", modality)
    return {name: getattr(encoders, name) for name in modalities if examples_of[name] >= _FEWEST}, losses


def _load_tiny(folder: Path, settings: TinySettings) -> TinyEncoders:
    model = TinyModel(settings)
    model.load_state_dict(load_file(folder / _TINY_WEIGHTS))
    return TinyEncoders.on(model.eval(), Tokenizer.from_file(str(folder / _TINY_TOKENIZER)), settings)
