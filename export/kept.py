"""What an export keeps for the next training (``training/N``), and the encoders of a release for its next build."""

import shutil
from contextlib import AbstractContextManager
from pathlib import Path

from export.graphs.variants import variant_file
from export.installed_encoders import PARITY_FILE
from export.triton.version import MODEL_FILE
from winnow.encoders.preparation import INPUTS_FILE, TOKENIZER_FILE
from winnow.release import Release
from winnow.signatures import SIGNATURES
from winnow.training.incremental.increment import Increment
from winnow.training.incremental.state import TrainingState, verify, written
from winnow.training.incremental.train import INCREMENT
from winnow.training.ranker.trained import TrainedRanker
from winnow.training.retriever.train import RetrieverTraining

_ENCODERS = "encoders"


def keep_for_training(
    encoders: Path, retrieval: RetrieverTraining, ranker: TrainedRanker, folder: Path
) -> AbstractContextManager[dict[str, str]]:
    """Write ``training/N``; it is removed if the block fails.

    Args:
        encoders: the exported encoders.
        retrieval: both fits of the retriever.
        ranker: the served one.
        folder: ``training/N``.

    Returns:
        Gives file name -> SHA-256.
    """
    figures = {
        f"{_ENCODERS}/{path.parent.name}/{PARITY_FILE}": path for path in (encoders / "onnx").glob(f"*/{PARITY_FILE}")
    }
    return written(TrainingState.of(retrieval, ranker), figures, folder)


def increment_of(retriever: Path) -> dict[str, int | float]:
    """The figures that an incremental training wrote beside the retriever; none beside one of a full training."""
    path = retriever / INCREMENT
    return Increment.model_validate_json(path.read_bytes()).model_dump() if path.exists() else {}


def reuse_encoders(release: Release, repository: Path, kept: Path, out: Path) -> None:
    """Put the encoders of a release into a folder as :func:`export.encoders.export_encoders` leaves them.

    They have the one precision that the release serves.

    Args:
        release: the release.
        repository: its Triton repository.
        kept: its ``training/N``.
        out: the folder; created.

    Raises:
        WinnowError: the release keeps no training state.
        ReleaseMismatch: a file is missing, or is not the one that the manifest names.
    """
    verify(release, kept)
    release.verify(repository)
    out.mkdir(parents=True, exist_ok=True)
    for name in (INPUTS_FILE, TOKENIZER_FILE):
        if name in release.manifest.files:
            shutil.copyfile(release.folder / name, out / name)
    for signature in SIGNATURES:
        figures = kept / _ENCODERS / signature.name / PARITY_FILE
        if figures.exists():
            folder = out / "onnx" / signature.name
            folder.mkdir(parents=True)
            shutil.copyfile(figures, folder / PARITY_FILE)
            graph = repository / signature.name / str(release.manifest.number) / MODEL_FILE
            shutil.copyfile(graph, folder / variant_file("fp32"))
