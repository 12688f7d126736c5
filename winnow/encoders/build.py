"""From a catalog to its encoders and embeddings, in one folder.

``settings.json`` (model, modalities, settings), ``tokenizer.json``, ``weights.pt`` (a state dict), and
``embeddings/{modality}.npy``, float32 [items, dimension], in the order of ``items.parquet``.
"""

import logging
from collections.abc import Sequence
from pathlib import Path
from typing import Literal

import numpy as np
import torch
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict
from tokenizers import Tokenizer
from torch import nn
from tqdm import tqdm

from winnow.encoders.catalog import Contents, read_contents
from winnow.encoders.image import ImageEncoder, ServedImageEncoder
from winnow.encoders.inputs import EncoderInputs, ImageInput, Modality, TextInput
from winnow.encoders.preparation import INPUTS_FILE, TOKENIZER_FILE, Preparation
from winnow.encoders.protocol import Encoder
from winnow.encoders.settings import EncoderSettings
from winnow.encoders.text import ServedTextEncoder, TextEncoder
from winnow.encoders.tiny import MEAN, STD, build_tiny
from winnow.encoders.tokens import train_tokenizer
from winnow.encoders.training import Examples, train_contrastive
from winnow.errors import WinnowError

logger = logging.getLogger(__name__)

_BATCH = 256
_FEWEST = 2  # items that a contrast needs


class Described(BaseModel):
    """``settings.json``: what is in the folder, and how it was made."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    model: Literal["winnow-tiny"] = "winnow-tiny"
    modalities: tuple[Modality, ...]
    settings: EncoderSettings


def train_encoders(dataset_folder: Path, out: Path, settings: EncoderSettings, show_progress: bool) -> list[float]:
    """Train ``winnow-tiny`` on a catalog and embed every item of it.

    A catalog whose items have no text gets no encoders, one without readable pictures no image encoder; the
    log says so.

    Args:
        dataset_folder: holds ``items.parquet``.
        out: the folder to write.
        settings: sizes, steps, seed.
        show_progress: show bars.

    Returns:
        The loss of every training step.
    """
    contents = read_contents(dataset_folder)
    (out / "embeddings").mkdir(parents=True, exist_ok=True)
    random = np.random.default_rng(settings.seed)
    captioned = np.flatnonzero([bool(caption) for caption in contents.captions])
    if len(captioned) < _FEWEST:
        logger.warning("the catalog has no titles, categories or descriptions: items go without embeddings")
        (out / INPUTS_FILE).write_text(EncoderInputs().model_dump_json(indent=1))
        _describe(out, Described(modalities=(), settings=settings))
        return []
    rows = np.sort(random.permutation(captioned)[: settings.training_items])

    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(settings.seed)
        clip = build_tiny(settings)
    tokenizer = train_tokenizer((contents.captions[row] for row in rows), settings.vocabulary, settings.context_length)
    image, text = _encoders(clip, tokenizer, settings)
    preparation = Preparation(EncoderInputs(image=image.input, text=text.input), tokenizer)
    examples = _examples(contents, rows, preparation)
    losses = train_contrastive(clip, image.module, text.module, examples, settings, show_progress)

    encoders: list[Encoder] = [image, text] if len(examples.pixels) >= _FEWEST else [text]
    for encoder in encoders:
        vectors = _embed(encoder, preparation, contents.of(encoder.modality), show_progress)
        np.save(out / "embeddings" / f"{encoder.modality}.npy", vectors, allow_pickle=False)
    tokenizer.save(str(out / TOKENIZER_FILE))
    inputs = EncoderInputs.model_validate({encoder.modality: encoder.input for encoder in encoders})
    (out / INPUTS_FILE).write_text(inputs.model_dump_json(indent=1))
    torch.save(clip.state_dict(), out / "weights.pt")
    _describe(out, Described(modalities=tuple(encoder.modality for encoder in encoders), settings=settings))
    return losses


def load_encoders(folder: Path) -> dict[Modality, Encoder]:
    """The encoders that :func:`train_encoders` wrote, in evaluation mode, by modality.

    Raises:
        WinnowError: there are no encoders in the folder.
    """
    try:
        described = Described.model_validate_json((folder / "settings.json").read_bytes())
    except FileNotFoundError:
        raise WinnowError(f"no encoders at {folder}: train them with `winnow build`") from None
    if not described.modalities:
        return {}
    clip = build_tiny(described.settings)
    clip.load_state_dict(torch.load(folder / "weights.pt", weights_only=True))
    clip.eval()
    tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))
    encoders = _encoders(clip, tokenizer, described.settings)
    return {encoder.modality: encoder for encoder in encoders if encoder.modality in described.modalities}


def _encoders(clip: nn.Module, tokenizer: Tokenizer, settings: EncoderSettings) -> tuple[ImageEncoder, TextEncoder]:
    image = ServedImageEncoder(clip.get_submodule("visual"), MEAN, STD).eval()
    text = ServedTextEncoder(clip.get_submodule("text")).eval()
    return (
        ImageEncoder(image, ImageInput(dimension=settings.dimension, size=settings.image_size)),
        TextEncoder(text, TextInput(dimension=settings.dimension, context_length=settings.context_length), tokenizer),
    )


def _examples(contents: Contents, rows: NDArray[np.int64], preparation: Preparation) -> Examples:
    tokens, _ = preparation.prepare_items("text", [contents.captions[row] for row in rows])
    listed = np.flatnonzero([bool(contents.pictures[row]) for row in rows])
    pixels, problems = preparation.prepare_items("image", [contents.pictures[rows[place]] for place in listed])
    readable = listed[[problem is None for problem in problems]]
    picture = np.full(len(rows), -1, np.int64)
    picture[readable] = np.arange(len(readable))
    return Examples(tokens, pixels, picture)


def _embed(
    encoder: Encoder, preparation: Preparation, content: Sequence[str], show_progress: bool
) -> NDArray[np.float32]:
    vectors = np.zeros((len(content), encoder.input.dimension), np.float32)
    rows = np.flatnonzero([bool(entry) for entry in content])
    broken: list[str] = []
    with tqdm(total=len(rows), desc=f"embed {encoder.modality}", unit="item", disable=not show_progress) as bar:
        for start in range(0, len(rows), _BATCH):
            batch = rows[start : start + _BATCH]
            prepared, problems = preparation.prepare_items(encoder.modality, [content[row] for row in batch])
            broken += [problem for problem in problems if problem is not None]
            if len(prepared):
                readable = batch[[problem is None for problem in problems]]
                with torch.inference_mode():
                    vectors[readable] = encoder.module(torch.from_numpy(prepared)).numpy()
            bar.update(len(batch))
    if broken:
        logger.warning(
            "%d of %d items have no usable %s and go without, among them: %s",
            len(broken),
            len(rows),
            encoder.modality,
            "; ".join(broken[:3]),
        )
    return vectors


def _describe(out: Path, described: Described) -> None:
    (out / "settings.json").write_text(described.model_dump_json(indent=1))
