"""Training that goes on from a release: few epochs of the new events and a sample of the old ones.

Every model begins with the release's weights, on the new catalog. New events are those at or after the release's
``as_of``. The retriever is fitted twice, as in a full training: first without each user's newest events, to find the
number of epochs, then with all. The release's own retriever has seen no new event, so its answers at new moments are as
good as they will be at future ones: the ranker learns from lists of the newest of those. Lists of older moments would
show it answers that the retriever has learned by heart.
"""

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from winnow.features.table import FeatureSet, Interactions
from winnow.release import Release
from winnow.settings.training import RetrieverSettings, TrainingSettings
from winnow.training.incremental import mapping
from winnow.training.incremental.checks import chain, check, check_news
from winnow.training.incremental.increment import Increment
from winnow.training.incremental.state import TrainingState, opened
from winnow.training.loop.devices import device_of
from winnow.training.loop.ranks import Ranks
from winnow.training.ranker.trained import TrainedRanker
from winnow.training.retriever.course import Course
from winnow.training.retriever.fit import Fit
from winnow.training.retriever.train import RetrieverTraining, chosen_for
from winnow.training.retriever.trained import TrainedRetriever
from winnow.training.train import TrainingResult, complete

INCREMENT = "increment.json"
"""File in the retriever's folder with the :class:`~winnow.training.incremental.increment.Increment`."""

RATE = 0.3
"""Learning rate in multiples of the settings': the vectors stay near those of the release."""

MOST_EPOCHS = 12

WARM_UP = 30
"""Steps until the full learning rate: an epoch has few, and the weights are good already."""


def go_on(
    features: Path,
    release: Release,
    kept: Path,
    retriever: Path,
    ranker: Path,
    settings: TrainingSettings,
    show_progress: bool = False,
    profile: Path | None = None,
) -> tuple[TrainingResult, Increment]:
    """Train a release's models with the events since then, and fit the sources' tables anew.

    Args:
        features: saved feature set of all events, with embeddings by the release's encoders.
        release: the release to go on from.
        kept: its ``training/N``.
        retriever: folder for the retriever, the sources' tables, the settings, the result and the increment.
        ranker: folder for the ranker.
        settings: of everything, those of the release.
        show_progress: show bars.
        profile: folder that gets traces of a few training steps.

    Raises:
        WinnowError: the release cannot be gone on from, or a full build is due; the message says why.
    """
    length = chain(release)
    state = opened(release, kept)
    extracted = FeatureSet.load(features)
    check(release, state, extracted, settings)
    log = extracted.interactions
    rows, since = mapping.item_places(extracted, release), first_new(log, release.manifest.as_of)
    check_news(release, extracted, rows, since)
    retrieval = _retriever(state, release, extracted, since, settings, show_progress, profile)
    start = _ranker(state, release, extracted, retrieval.holdout_fit)
    result = complete(features, extracted, retrieval, retriever, ranker, settings, show_progress, profile, start)
    cosines = similarity(release, retrieval.served, rows)
    increment = Increment(
        from_release=release.manifest.number,
        chain=length,
        events=int((log.offsets[1:] - since).sum()),
        users=int((log.offsets[1:] > since).sum()),
        items=int((rows == mapping.UNKNOWN).sum()),
        removed=release.items - int((rows > 0).sum()),
        cosine=round(float(cosines.mean()), 4) if len(cosines) else 1.0,
        cosine_p05=round(float(np.quantile(cosines, 0.05)), 4) if len(cosines) else 1.0,
    )
    (retriever / INCREMENT).write_text(increment.model_dump_json(indent=1))
    return result, increment


def first_new(log: Interactions, as_of: int) -> NDArray[np.int64]:
    """The row of each user's first event at or after ``as_of``, the row after the last where there is none."""
    old = np.concatenate([[0], np.cumsum(log.timestamp < as_of)])
    since: NDArray[np.int64] = log.offsets[:-1] + old[log.offsets[1:]] - old[log.offsets[:-1]]
    return since


def similarity(release: Release, retriever: TrainedRetriever, rows: NDArray[np.int64]) -> NDArray[np.float32]:
    """The cosine between an item's vector and that in the release, of the items that both have."""
    both = np.flatnonzero(rows > 0)
    before, now = release.array("item_vectors")[rows[both]], retriever.item_vectors.numpy()[both]
    cosines: NDArray[np.float32] = (before * now).sum(axis=1)
    return cosines


def _retriever(
    state: TrainingState,
    release: Release,
    features: FeatureSet,
    since: NDArray[np.int64],
    settings: TrainingSettings,
    show_progress: bool,
    profile: Path | None,
) -> RetrieverTraining:
    compute = settings.compute
    usual = chosen_for(settings.retriever, features, device_of(compute))
    fit = Fit(features, _smaller(usual), compute, Ranks())
    start = fit.with_vectors(*mapping.towers(state, release, features))
    fit.begin(start)
    until = _withheld_until(features.interactions, since, usual.withheld)
    course = Course(fit, until, Ranks(), None, show_progress, profile, since)
    course.holdout_fit()
    # As in a full training, a third of the epochs is enough for the withheld events.
    served = course.served(max(1, course.best_epoch // 3))
    trained = TrainedRetriever(served.shapes, usual, served.item_tower, served.user_tower, served.item_vectors)
    # As many lists of a user as in a full training.
    newest = np.maximum(since, features.interactions.offsets[1:] - usual.withheld)
    return RetrieverTraining(trained, start, newest, course.validation, course.stopped)


def _smaller(settings: RetrieverSettings) -> RetrieverSettings:
    """Shorter and more careful than from the beginning."""
    return settings.model_copy(
        update={
            "learning_rate": RATE * settings.learning_rate,
            "warm_up": min(WARM_UP, settings.warm_up),
            "max_epochs": min(MOST_EPOCHS, settings.max_epochs),
        }
    )


def _withheld_until(log: Interactions, since: NDArray[np.int64], withheld: int) -> NDArray[np.int64]:
    """Row of each user after which events are withheld from the first fit: the newest of the new ones, a quarter."""
    new = log.offsets[1:] - since
    until: NDArray[np.int64] = log.offsets[1:] - np.where(new > 0, np.clip(new // 4, 1, withheld), 0)
    return until


def _ranker(
    state: TrainingState, release: Release, features: FeatureSet, start: TrainedRetriever
) -> TrainedRanker | None:
    """The release's ranker on the new catalog; ``None`` where the release has learned no order."""
    trained = state.ranker
    if trained.unranked_reason:
        return None
    model = mapping.ranker(state, release, features, start.item_vectors)
    return TrainedRanker(
        start.shapes,
        trained.settings,
        trained.candidates,
        trained.history_length,
        trained.numerics,
        trained.conversions,
        model,
        "",
        trained.constant_heads,
    )
