"""Training of the retriever: a holdout fit that is validated, then the model that is served.

The holdout fit does not learn from each user's newest events. Its validation decides the number of epochs, and its
answers for the withheld moments are as good as the served model's for future moments: the ranker learns from them.
The served model continues from the holdout fit with the whole log, so both share one vector space.
"""

from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from winnow.features.table import FeatureSet, Interactions
from winnow.provenance import Curve
from winnow.settings.training import ComputeSettings, RetrieverSettings
from winnow.training.loop.checkpoints import Checkpoints
from winnow.training.loop.devices import device_of
from winnow.training.loop.ranks import Ranks
from winnow.training.retriever.course import Course
from winnow.training.retriever.fit import Fit
from winnow.training.retriever.trained import TrainedRetriever

_HOLDOUT_FIT = "holdout_fit"
"""The holdout fit's folder, inside the retriever's."""


_GPU_BATCH = 256

_STEPS = 600
"""Steps of an epoch over a long log, whose batches are larger: a step over more windows costs less for each."""


@dataclass(frozen=True)
class RetrieverTraining:
    """The result of :func:`train_retriever`.

    Attributes:
        served: trained on the whole log.
        holdout_fit: trained without each user's newest events.
        until: int64 [users], the row of the log after the last that the holdout fit learned from.
        validation: ndcg@10 of the holdout fit on each user's newest withheld target; not saved, like the next.
        stopped: the budget that ended the training before its validation had stopped improving; empty where none did.
        curves: fit -> its course.
    """

    served: TrainedRetriever
    holdout_fit: TrainedRetriever
    until: NDArray[np.int64]
    validation: float = 0.0
    stopped: str = ""
    curves: dict[str, Curve] = field(default_factory=dict)

    def save(self, folder: Path) -> None:
        """Write the served model into ``folder``, the holdout fit into ``folder/holdout_fit``."""
        self.served.save(folder)
        self.holdout_fit.save(folder / _HOLDOUT_FIT)
        np.save(folder / _HOLDOUT_FIT / "until.npy", self.until, allow_pickle=False)

    @classmethod
    def load(cls, folder: Path) -> "RetrieverTraining":
        """Read what :meth:`save` wrote."""
        until = np.load(folder / _HOLDOUT_FIT / "until.npy", allow_pickle=False)
        return cls(TrainedRetriever.load(folder), TrainedRetriever.load(folder / _HOLDOUT_FIT), until)


def train_retriever(
    features: FeatureSet,
    settings: RetrieverSettings,
    show_progress: bool,
    compute: ComputeSettings | None = None,
    ranks: Ranks | None = None,
    checkpoints: Checkpoints | None = None,
    profile: Path | None = None,
) -> RetrieverTraining:
    """Train the holdout fit with early stopping on each user's newest target, then the served model on the whole log.

    Args:
        features: the feature set; its log does not contain the events held out for evaluation.
        settings: sizes and limits.
        show_progress: draw progress bars.
        compute: device and precision; those of the defaults where it is missing.
        ranks: the processes that train together; this one alone where it is missing.
        checkpoints: where to go on from and what to keep; none where it is missing.
        profile: folder that gets a trace of a few steps.
    """
    log, ranks = features.interactions, ranks or Ranks()
    compute = compute or ComputeSettings()
    settings = chosen_for(settings, features, device_of(compute))
    until = withheld_until(log, settings.withheld)
    fit = Fit(features, settings, compute, ranks)
    course = Course(fit, until, ranks, checkpoints, show_progress, profile)
    holdout_fit = course.holdout_fit()
    # Only the newest events are left to learn: a third of the epochs is enough for them. Without the withheld events no
    # window has a target where no user has two different items.
    epochs = max(2, course.best_epoch // 3) if course.best_epoch else settings.epochs_without_holdout
    return RetrieverTraining(
        course.served(epochs), holdout_fit, until, course.validation, course.stopped, course.curves
    )


def withheld_until(log: Interactions, most: int) -> NDArray[np.int64]:
    """Row of each user after which events are withheld from the holdout fit: int64 [users]."""
    until: NDArray[np.int64] = log.offsets[1:] - withheld(np.diff(log.offsets), most)
    return until


def withheld(count: NDArray[np.int64], most: int) -> NDArray[np.int64]:
    """How many of ``count`` events of each user are withheld: a quarter, ``most`` at most; int64 [users]."""
    number: NDArray[np.int64] = np.where(count > 1, np.clip(count // 4, 1, most), 0)
    return number


def chosen_for(settings: RetrieverSettings, features: FeatureSet, device: torch.device) -> RetrieverSettings:
    """The settings with a number for those that follow from the log where they are not given: dropout and batch.

    A GPU takes about as long for a step of 8 windows as for one of 256: the start of its operations.
    """
    log = features.interactions
    dropout = dropout_for(log, features.items) if settings.dropout is None else settings.dropout
    batch = int(np.clip(len(log.item) / settings.history_length / _STEPS, 8, 32))
    if device.type == "cuda":
        batch = _GPU_BATCH
    return settings.model_copy(update={"dropout": dropout, "batch": settings.batch or batch})


def dropout_for(log: Interactions, items: int) -> float:
    """The dropout for a log: sparse ones overfit soon.

    SASRec (Kang and McAuley, 2018) takes 0.2 for a dense log, of more than a hundred events per user, and 0.5 for logs
    of about ten per user. Here it is 0.5 up to 12 events per user or item, whichever is fewer, 0.2 from 48 on, and
    falls with the logarithm between them.

    Args:
        log: the interactions.
        items: size of the catalog.
    """
    density = len(log.item) / max(1, log.users, items)
    return float(np.clip(0.5 - 0.15 * np.log2(max(density, 1.0) / 12), 0.2, 0.5))
