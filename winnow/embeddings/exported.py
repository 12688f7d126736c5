"""An encoder as it was exported, with how its content is prepared: from contents to a shard of embeddings."""

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
"""Cosine between what two builds of one encoder give: half precision keeps it, another encoder is far below."""


@dataclass(frozen=True)
class Ready:
    """A content prepared for its encoder.

    Attributes:
        digest: of the content.
        input: without a batch dimension; None where there is a problem.
        problem: why it cannot be prepared, or None.
        lasting: whether the same bytes will have the same problem again.
    """

    digest: str
    input: NDArray[Any] | None = None
    problem: str | None = None
    lasting: bool = True


@dataclass(frozen=True)
class ExportedEncoder:
    """One modality's encoder.

    Attributes:
        modality: what it encodes.
        model: its ONNX file.
        fingerprint: what its vectors depend on besides the content.
        dimension: width of its vectors.
        preparation: of content.
    """

    modality: Modality
    model: Path
    fingerprint: str
    dimension: int
    preparation: Preparation

    @classmethod
    def load(cls, folder: Path, preparation: Preparation, modality: Modality) -> "ExportedEncoder":
        """Find an encoder in the encoders' folder.

        Raises:
            WinnowError: it has not been exported.
        """
        takes = getattr(preparation.inputs, modality)
        model = folder / "onnx" / ENCODERS[modality].name / "model.onnx"
        tokenizer = folder / TOKENIZER_FILE if modality == "text" else None
        return cls(modality, model, fingerprint(model, takes, tokenizer), takes.dimension, preparation)

    def prepare(self, expected: str, entry: str) -> Ready:
        """Prepare one content.

        Args:
            expected: its digest.
            entry: a text, or the location of a picture or sound.
        """
        if self.modality == "text":
            return Ready(expected, self.preparation.prepare("text", entry))
        try:
            content = media.read(entry)
        except media.BrokenMedia as error:
            return Ready(expected, problem=str(error).removeprefix(f"{entry}: "), lasting=False)
        if digest(content) != expected:
            return Ready(expected, problem="it changed while the catalog was being read", lasting=False)
        try:
            return Ready(expected, self.preparation.prepare(self.modality, content))
        except media.BrokenMedia as error:
            return Ready(expected, problem=str(error))

    def encode(self, batch: Sequence[Ready], runtime: Runtime) -> Shard:
        """The contents' vectors, or their problems.

        Raises:
            WinnowError: the encoder's vectors are not as wide as ``encoders.json`` says, or it does not answer.
        """
        vectors = np.zeros((len(batch), self.dimension), np.float32)
        problems = [ready.problem for ready in batch]
        usable = np.array([ready.problem is None for ready in batch])
        if usable.any():
            made = runtime(np.stack([ready.input for ready in batch if ready.input is not None]))
            if made.shape != vectors[usable].shape:
                raise WinnowError(
                    f"{self.model} gives vectors of shape {list(made.shape)}, but {self.modality}.dimension in "
                    f"encoders.json is {self.dimension}: export the encoders again"
                )
            vectors[usable] = made
        lengths = np.linalg.norm(vectors, axis=1)
        for row in np.flatnonzero(usable & ~((lengths > 0) & np.isfinite(lengths))):
            problems[row] = "its vector has no direction: the encoder gives zeros, or numbers that are not finite"
        return Shard([ready.digest for ready in batch], vectors, problems)

    @contextmanager
    def running(self, triton: str | None, probes: Sequence[Ready]) -> Iterator[Runtime]:
        """Run it, in this process or by a Triton.

        Args:
            triton: ``host:port`` of a Triton's gRPC endpoint; None for this process.
            probes: a few contents which that Triton must give the same vectors for as the file here does, because its
                vectors are kept under the file's fingerprint.

        Raises:
            WinnowError: it cannot be loaded, or Triton does not answer or serves another encoder.
        """
        here = OnnxRuntime(self.model, None)
        if triton is None:
            yield here
            return
        with closing(TritonRuntime(triton, ENCODERS[self.modality].name, "")) as there:
            ours, theirs = (self.encode(probes, runtime) for runtime in (here, there))
            usable = [problem is None for problem in ours.problems]
            if (
                ours.problems != theirs.problems
                or _cosines(ours.vectors, theirs.vectors)[usable].min(initial=1) < _SAME
            ):
                raise WinnowError(
                    f"Triton at {triton} serves another {self.modality} encoder than {self.model}: load this one "
                    "there, or embed in this process"
                )
            yield there


def _cosines(left: NDArray[np.float32], right: NDArray[np.float32]) -> NDArray[np.float32]:
    norms = np.linalg.norm(left, axis=1) * np.linalg.norm(right, axis=1)
    cosines: NDArray[np.float32] = (left * right).sum(axis=1) / np.maximum(norms, np.finfo(np.float32).tiny)
    return cosines
