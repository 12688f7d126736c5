"""An exported encoder with the preparation of its content: from content to a shard of embeddings."""

from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from winnow.embeddings.runtime import OnnxRuntime, Runtime, TritonRuntime
from winnow.embeddings.store import Shard, digest, fingerprint
from winnow.encoders import media
from winnow.encoders.inputs import ENCODERS, Modality
from winnow.encoders.preparation import TOKENIZER_FILE, Preparation
from winnow.errors import WinnowError

_SAME = 0.999
"""Least cosine between the vectors of two builds of an encoder: half precision reaches it, another encoder does not."""


@dataclass(frozen=True)
class Ready:
    """Content prepared for its encoder.

    Attributes:
        digest: digest of the content.
        input: the input without a batch dimension; ``None`` where there is a problem.
        problem: why the content cannot be prepared; ``None`` where it can.
        lasting: whether the problem belongs to the bytes, so that every attempt has it.
    """

    digest: str
    input: NDArray[Any] | None = None
    problem: str | None = None
    lasting: bool = True


@dataclass(frozen=True)
class ExportedEncoder:
    """The exported encoder of a modality.

    Attributes:
        modality: the modality.
        model: the ONNX file.
        fingerprint: digest of all that its vectors depend on besides the content.
        dimension: width of its vectors.
        preparation: the preparation of its content.
    """

    modality: Modality
    model: Path
    fingerprint: str
    dimension: int
    preparation: Preparation

    @classmethod
    def load(cls, folder: Path, preparation: Preparation, modality: Modality) -> "ExportedEncoder":
        """Load the encoder of a modality from the encoders' folder.

        Raises:
            WinnowError: the encoder is not exported.
        """
        takes = getattr(preparation.inputs, modality)
        model = folder / "onnx" / ENCODERS[modality].name / "model.onnx"
        tokenizer = folder / TOKENIZER_FILE if modality == "text" else None
        return cls(modality, model, fingerprint(model, takes, tokenizer), takes.dimension, preparation)

    def prepare(self, expected: str, entry: str) -> Ready:
        """Prepare one content.

        Args:
            expected: digest of the content.
            entry: a text, or the location of an image or sound.
        """
        if self.modality == "text":
            return Ready(expected, self.preparation.prepare("text", entry))
        try:
            content = media.read(entry)
        except media.BrokenMedia as error:
            return Ready(expected, problem=str(error).removeprefix(f"{entry}: "), lasting=False)
        if digest(content) != expected:
            return Ready(expected, problem="it changed while the catalog was read", lasting=False)
        try:
            return Ready(expected, self.preparation.prepare(self.modality, content))
        except media.BrokenMedia as error:
            return Ready(expected, problem=str(error))

    def encode(self, batch: Sequence[Ready], runtime: Runtime) -> Shard:
        """Encode content to a shard of vectors and problems.

        Raises:
            WinnowError: the width of the vectors differs from ``encoders.json``, or the encoder does not answer.
        """
        vectors = np.zeros((len(batch), self.dimension), np.float32)
        problems = [ready.problem for ready in batch]
        usable = np.array([ready.problem is None for ready in batch])
        if usable.any():
            encoded = runtime(np.stack([ready.input for ready in batch if ready.input is not None]))
            if encoded.shape != vectors[usable].shape:
                raise WinnowError(
                    f"{self.model} returns vectors of shape {list(encoded.shape)}, but {self.modality}.dimension in "
                    f"encoders.json is {self.dimension}: export the encoders again"
                )
            vectors[usable] = encoded
        lengths = np.linalg.norm(vectors, axis=1)
        for row in np.flatnonzero(usable & ~((lengths > 0) & np.isfinite(lengths))):
            problems[row] = "its vector has no direction: the encoder returns zeros, or numbers that are not finite"
        return Shard([ready.digest for ready in batch], vectors, problems)

    @contextmanager
    def running(self, triton: str | None, probes: Sequence[Ready]) -> Iterator[Runtime]:
        """Run the encoder in this process or on Triton.

        Args:
            triton: ``host:port`` of Triton's gRPC endpoint; ``None`` for this process.
            probes: content whose vectors from Triton and from the ONNX file are compared, because Triton's vectors are
                stored under the file's fingerprint.

        Raises:
            WinnowError: the encoder cannot be loaded, or Triton does not answer or serves another encoder.
        """
        local = OnnxRuntime(self.model)
        if triton is None:
            yield local
            return
        with closing(TritonRuntime(triton, ENCODERS[self.modality].name)) as remote:
            ours, theirs = (self.encode(probes, runtime) for runtime in (local, remote))
            usable = [problem is None for problem in ours.problems]
            if (
                ours.problems != theirs.problems
                or _cosines(ours.vectors, theirs.vectors)[usable].min(initial=1) < _SAME
            ):
                raise WinnowError(
                    f"Triton at {triton} serves another {self.modality} encoder than {self.model}: load this file on "
                    "Triton, or embed in this process"
                )
            yield remote


def _cosines(left: NDArray[np.float32], right: NDArray[np.float32]) -> NDArray[np.float32]:
    norms = np.linalg.norm(left, axis=1) * np.linalg.norm(right, axis=1)
    cosines: NDArray[np.float32] = (left * right).sum(axis=1) / np.maximum(norms, np.finfo(np.float32).tiny)
    return cosines
