"""Does every exported encoder give PyTorch's embeddings, in every precision, on real inputs?"""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import open_clip
import tritonclient.grpc as grpcclient
from tritonclient.utils import np_to_triton_dtype

from benchmarks.common.encoder_subjects import Subject, real_sentences
from benchmarks.common.rows import Row, row
from export.cosine import BOUNDS, EncoderRow, original_vectors
from export.graphs.variants import variant_file
from export.triton.config import MAX_BATCH
from export.triton.version import MODEL_FILE, new_version
from winnow.encoders.tokens import tokenise
from winnow.local import triton
from winnow.models.encoders.clip_tokens import clip_tokenizer
from winnow.ports import Ports

TOKENISED = 2_000


def measure(measured: Sequence[Subject]) -> list[Row]:
    """Parity of every encoder and precision, and of the sentence encoder served by Triton.

    Args:
        measured: of :func:`benchmarks.common.encoder_subjects.subjects`.
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


def _rows(name: str, figure: EncoderRow) -> list[Row]:
    bound, label = BOUNDS[figure.precision], f"{name}, {figure.precision}"
    judged_by_worst = bound.worst > 0
    return [
        row(f"{label}, mean cosine", figure.mean, "", "" if judged_by_worst else f">= {bound.mean}"),
        row(f"{label}, worst cosine", figure.worst, "", f">= {bound.worst}" if judged_by_worst else ""),
        row(f"{label}, size", figure.megabytes, "MB"),
    ]


def _served(subject: Subject, folder: Path) -> Row:
    """The worst cosine of Triton's embeddings with PyTorch's."""
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
