"""What a release keeps so that training can go on from it: ``training/N`` beside the release's folder.

It holds the weights of both fits of the retriever and of the ranker as safetensors, without what the release has as
arrays (the item vectors) and what follows from a feature set; and the parity figures of the encoders, whose graphs are
in the model repository. Serving reads none of it. The optimizers' moments are not kept: they are twice the weights,
and a mean over the last 50 steps; the served retriever of a full build begins with fresh ones as well.
"""

import copy
import os
import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

from winnow.errors import ReleaseMismatch, WinnowError
from winnow.release import Release, sha256
from winnow.training.ranker.trained import TrainedRanker
from winnow.training.retriever.train import RetrieverTraining
from winnow.training.retriever.trained import TrainedRetriever

_RETRIEVER, _HOLDOUT_FIT, _RANKER = "retriever", "holdout_fit", "ranker"


@dataclass(frozen=True)
class TrainingState:
    """The models of a release, without its catalog.

    Attributes:
        retriever: the served one, with no item vectors.
        holdout_fit: the one that has not learned each user's newest events, likewise.
        ranker: with the arrays of one item, the padding.
    """

    retriever: TrainedRetriever
    holdout_fit: TrainedRetriever
    ranker: TrainedRanker

    @classmethod
    def of(cls, retrieval: RetrieverTraining, ranker: TrainedRanker) -> "TrainingState":
        """The models of a release without what follows from its catalog."""
        model = ranker.model
        catalog = (model.item_vectors, model.affinity.categories, model.affinity.relative)
        bare = copy.deepcopy(model, {id(array): array[:1].clone() for array in catalog})
        served, holdout_fit = (
            replace(fit, item_vectors=fit.item_vectors[:0]) for fit in (retrieval.served, retrieval.holdout_fit)
        )
        return cls(served, holdout_fit, replace(ranker, model=bare))

    def save(self, folder: Path) -> None:
        """Write the models."""
        self.retriever.save(folder / _RETRIEVER)
        self.holdout_fit.save(folder / _HOLDOUT_FIT)
        self.ranker.save(folder / _RANKER)

    @classmethod
    def load(cls, folder: Path) -> "TrainingState":
        """Read what :meth:`save` wrote."""
        retriever, holdout_fit = (TrainedRetriever.load(folder / name) for name in (_RETRIEVER, _HOLDOUT_FIT))
        return cls(retriever, holdout_fit, TrainedRanker.load(folder / _RANKER))


def opened(release: Release, folder: Path) -> TrainingState:
    """The training state of a release.

    Args:
        release: the release.
        folder: ``training/N``.

    Raises:
        WinnowError: the release has none, or this version of Winnow builds other models.
        ReleaseMismatch: a file is missing, or is not the one that the manifest names.
    """
    verify(release, folder)
    try:
        return TrainingState.load(folder)
    except (RuntimeError, ValueError, KeyError, FileNotFoundError) as error:
        # Of load_state_dict, pydantic, the dict of tensors and a model that was not kept then: the digests are right,
        # so the code is another.
        raise WinnowError(
            f"release {release.manifest.number} has models of another version of Winnow, from which this one cannot go "
            f"on ({str(error).splitlines()[0]}): build without --from"
        ) from error


def verify(release: Release, folder: Path) -> None:
    """Check the files of a release's training state against its manifest.

    Args:
        release: the release.
        folder: ``training/N``.

    Raises:
        WinnowError: the release has none.
        ReleaseMismatch: a file is missing, or is not the one that the manifest names.
    """
    number, files = release.manifest.number, release.manifest.training_files
    if not files:
        raise WinnowError(
            f"release {number} keeps no training state, because an earlier version of Winnow built it: build without "
            "--from once; the releases of this version can be gone on from"
        )
    for name, expected in files.items():
        path = folder / name
        if not path.is_file() or sha256(path) != expected:
            raise ReleaseMismatch(
                f"{path} is missing or has changed since release {number} was built: restore it, or build without "
                "--from"
            )


@contextmanager
def written(state: TrainingState, documents: Mapping[str, Path], folder: Path) -> Iterator[dict[str, str]]:
    """Write ``training/N``; it is removed if the block fails.

    Args:
        state: the models.
        documents: file name in the folder -> file to copy.
        folder: created.

    Yields:
        File name -> SHA-256, for the manifest.
    """
    partial = folder.with_name(f".{folder.name}.{os.getpid()}.partial")
    shutil.rmtree(partial, ignore_errors=True)
    try:
        state.save(partial)
        for name, source in documents.items():
            (partial / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(source, partial / name)
        files = sorted(path for path in partial.rglob("*") if path.is_file())
        digests = {path.relative_to(partial).as_posix(): sha256(path) for path in files}
        partial.rename(folder)
        yield digests
    except BaseException:
        shutil.rmtree(partial, ignore_errors=True)
        shutil.rmtree(folder, ignore_errors=True)
        raise
