"""Building the encoders of a catalog into one folder.

The folder has ``settings.json`` (settings, and modalities with an encoder), ``encoders.json`` (inputs of the encoders),
``tokenizer.json``, ``weights.safetensors`` and ``weights.tokenizer.json`` of winnow-tiny, and ``weights.{modality}/``
of a pretrained encoder. The export needs neither the catalog nor Hugging Face's cache.
"""

import logging
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from pydantic import BaseModel, ConfigDict
from safetensors.torch import load_file, save_file
from tokenizers import Tokenizer

from winnow.encoders.catalog import Contents, read_contents
from winnow.encoders.inputs import MODALITIES, EncoderInputs, Modality
from winnow.encoders.preparation import INPUTS_FILE, TOKENIZER_FILE, Preparation
from winnow.encoders.settings import Clap, EncoderSettings, OpenClip, Sentence, Timm, Tiny, TinySettings
from winnow.encoders.tokens import train_tokenizer
from winnow.errors import WinnowError
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

logger = logging.getLogger(__name__)

_FEWEST = 2
"""Items that a contrastive loss needs."""

_SETTINGS_FILE = "settings.json"
_TINY_WEIGHTS = "weights.safetensors"
_TINY_TOKENIZER = "weights.tokenizer.json"


class Described(BaseModel):
    """``settings.json``: the encoders of a folder, and their settings."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    modalities: tuple[Modality, ...]
    settings: EncoderSettings


def train_encoders(
    dataset_folder: Path, out: Path, settings: EncoderSettings, compute: ComputeSettings, show_progress: bool
) -> list[float]:
    """Build the encoders of the settings: load pretrained ones, and train ``winnow-tiny`` on the catalog.

    A modality that no item of the catalog has gets no encoder. ``winnow-tiny`` needs captions, and two readable images
    or sounds of captioned items; a warning is logged where they are missing.

    Args:
        dataset_folder: folder with ``items.parquet``.
        out: the folder to write.
        settings: the encoder of each modality.
        compute: device and precision of the training.
        show_progress: show progress bars.

    Returns:
        The loss of every training step; empty where nothing was trained.

    Raises:
        WinnowError: a pretrained model is not on this machine.
    """
    contents = read_contents(dataset_folder)
    present: list[Modality] = [name for name in MODALITIES if getattr(settings, name) and any(contents.of(name))]
    if not any(contents.captions):
        logger.warning("the catalog has no titles, categories or descriptions: items get no text embeddings")
    out.mkdir(parents=True, exist_ok=True)
    encoders: dict[Modality, Encoder] = {}
    for modality in present:
        choice = getattr(settings, modality)
        if not isinstance(choice, Tiny):
            encoders[modality] = _pretrained(modality, choice)
            _save_pretrained(modality, choice, encoders[modality], out / f"weights.{modality}")
    tiny: list[Modality] = [name for name in present if name not in encoders]
    trained, losses = _train_tiny(contents, tiny, out, settings.tiny, compute, show_progress) if tiny else ({}, [])
    encoders |= trained

    inputs = EncoderInputs.model_validate({name: encoder.input for name, encoder in encoders.items()})
    (out / INPUTS_FILE).write_text(inputs.model_dump_json(indent=1))
    text = encoders.get("text")
    if isinstance(text, TextEncoder):
        text.tokenizer.save(str(out / TOKENIZER_FILE))
    described = Described(modalities=tuple(inputs.widths), settings=settings)
    (out / _SETTINGS_FILE).write_text(described.model_dump_json(indent=1))
    return losses


def load_encoders(folder: Path) -> dict[Modality, Encoder]:
    """Load the encoders of :func:`train_encoders`, in evaluation mode, by modality in the order of ``MODALITIES``.

    Raises:
        WinnowError: the folder has no encoders.
    """
    try:
        described = Described.model_validate_json((folder / _SETTINGS_FILE).read_bytes())
    except FileNotFoundError:
        raise WinnowError(f"no encoders at {folder}: train them with `winnow build`") from None
    trained = _load_tiny(folder, described.settings.tiny) if (folder / _TINY_WEIGHTS).exists() else None
    encoders: dict[Modality, Encoder] = {}
    for modality in described.modalities:
        choice = getattr(described.settings, modality)
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
    losses = train_contrastive(model, encoders, examples, settings, compute, show_progress)
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
