"""Quality of the small encoders on real photographs and recordings, beside raw inputs and chance.

Both data sets have only a class per item: the caption is the class's name. The half of the photographs (the take of the
recordings) that is measured is not in training.
"""

import tempfile
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import torch
from numpy.typing import NDArray

from benchmarks.common.data_sets import FOLDER
from benchmarks.common.rows import Row, row
from winnow.encoders.inputs import Modality
from winnow.encoders.preparation import Preparation
from winnow.encoders.settings import EncoderSettings, TinySettings
from winnow.errors import WinnowError
from winnow.models.encoders.protocol import Encoder
from winnow.settings.training import ComputeSettings
from winnow.training.encoders.build import load_encoders, train_encoders

PHOTOGRAPHS = EncoderSettings(audio=None, tiny=TinySettings(steps=400))
RECORDINGS = EncoderSettings(image=None, tiny=TinySettings(steps=400))

_NEAREST = 10
_WORDS = ("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine")


def photographs(folder: Path, show_progress: bool = False) -> list[Row]:
    """Train on half of a folder of photographs, and search the same class among the other half.

    Args:
        folder: a folder of JPEGs per class.
        show_progress: draw progress bars.

    Returns:
        Precision among the 10 nearest, of the encoder, of raw pixels and of chance, and their ratios.

    Raises:
        WinnowError: there are no photographs.
    """
    files = sorted(folder.glob("*/*.jpg"))
    classes = np.array([file.parent.name for file in files])
    random, trained = np.random.default_rng(0), np.zeros(len(files), bool)
    for name in np.unique(classes):
        members = random.permutation(np.flatnonzero(classes == name))
        trained[members[: len(members) // 2]] = True
    encoders, preparation = _train("image", files, classes, trained, PHOTOGRAPHS, show_progress)
    pixels, _ = preparation.prepare_items("image", [str(file) for file in np.array(files)[~trained]])
    tested = classes[~trained]
    raw = pixels.reshape(len(pixels), -1).astype(np.float64)
    distance = (raw**2).sum(1)[:, None] - 2 * raw @ raw.T + (raw**2).sum(1)
    vectors = _embed(encoders["image"], pixels)
    learned, plain = _precision(vectors @ vectors.T, tested), _precision(-distance, tested)
    sizes = np.unique(tested, return_counts=True)[1]
    chance = float((sizes * (sizes - 1)).sum() / (len(tested) * (len(tested) - 1)))
    return [
        row("photographs: precision@10 of winnow-tiny", learned, "share"),
        row("photographs: precision@10 of raw pixels", plain, "share"),
        row("photographs: precision@10 of chance", chance, "share"),
        row("photographs: winnow-tiny / chance", learned / chance, "x", ">= 2"),
        row("photographs: winnow-tiny / raw pixels", learned / plain, "x", ">= 1.15"),
    ]


def recordings(folder: Path, show_progress: bool = False) -> list[Row]:
    """Train on recordings of spoken digits, and classify the takes that are not in training.

    Args:
        folder: ``{digit}_{speaker}_{take}.wav``; takes 0 to 3 are in training.
        show_progress: draw progress bars.

    Returns:
        The accuracy of the nearest caption, of chance, and their ratio.

    Raises:
        WinnowError: there are no recordings.
    """
    files = sorted(folder.glob("*_*_*.wav"))
    words = np.array([_WORDS[int(file.stem.split("_")[0])] for file in files])
    trained = np.array([int(file.stem.split("_")[2]) < 4 for file in files])
    encoders, preparation = _train("audio", files, words, trained, RECORDINGS, show_progress)
    samples, _ = preparation.prepare_items("audio", [str(file) for file in np.array(files)[~trained]])
    captions, _ = preparation.prepare_items("text", _WORDS)
    similarity = _embed(encoders["audio"], samples) @ _embed(encoders["text"], captions).T
    accuracy = float((np.array(_WORDS)[similarity.argmax(axis=1)] == words[~trained]).mean())
    chance = 1 / len(_WORDS)
    return [
        row("recordings: accuracy of winnow-tiny", accuracy, "share"),
        row("recordings: accuracy of chance", chance, "share"),
        row("recordings: winnow-tiny / chance", accuracy / chance, "x", ">= 3"),
    ]


def _train(
    modality: Modality,
    files: Sequence[Path],
    captions: NDArray[np.str_],
    trained: NDArray[np.bool_],
    settings: EncoderSettings,
    show_progress: bool,
) -> tuple[dict[Modality, Encoder], Preparation]:
    if not trained.any():
        raise WinnowError(
            f"no {modality} files to learn from: see the benchmark's description for where they come from"
        )
    count = int(trained.sum())
    nothing = pa.nulls(count, pa.string())
    items = {"item_id": [str(place) for place in range(count)], "title": captions[trained], "description": nothing}
    items |= {"category": nothing, "image": nothing, "audio": nothing}
    items[modality] = [str(file) for file, chosen in zip(files, trained, strict=True) if chosen]
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch)
        pq.write_table(pa.table(items), folder / "items.parquet")
        train_encoders(folder, folder / "encoders", settings, ComputeSettings(), show_progress)
        return load_encoders(folder / "encoders"), Preparation.load(folder / "encoders")


def _embed(encoder: Encoder, prepared: NDArray[np.generic]) -> NDArray[np.float32]:
    with torch.inference_mode():
        parts = [encoder.module(torch.from_numpy(part)) for part in np.array_split(prepared, -(-len(prepared) // 128))]
    return np.asarray(torch.cat(parts).numpy())


def _precision(similarity: NDArray[np.floating], classes: NDArray[np.str_]) -> float:
    """The mean share of the same class among the nearest other items."""
    similarity = similarity.copy()
    np.fill_diagonal(similarity, -np.inf)
    nearest = np.argsort(-similarity, axis=1)[:, :_NEAREST]
    return float((classes[nearest] == classes[:, None]).mean())


def measure(show_progress: bool) -> list[Row]:
    """Both measurements, on the real data beside the repository.

    Args:
        show_progress: draw progress bars.

    Raises:
        WinnowError: the real data is missing.
    """
    return photographs(FOLDER / "clothing", show_progress) + recordings(FOLDER / "spoken-digits", show_progress)
