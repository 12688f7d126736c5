"""Training that goes on from a release: few epochs of the new events and a sample of the old ones.

Every model begins with the release's weights, on the new catalog. New events are those at or after the release's
``as_of``. Both fits of the retriever go on: the release's holdout fit learns what is no longer among each user's newest
events, and its validation decides the number of epochs; the served one learns the new events. So the ranker learns from
the lists that a full training would give it: of all users' newest moments, by a retriever that has not learned them.
"""

from dataclasses import replace
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
from winnow.training.retriever.train import RetrieverTraining, chosen_for, withheld, withheld_until
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
    compute, log = settings.compute, features.interactions
    usual = chosen_for(settings.retriever, features, device_of(compute))
    fit = Fit(features, _smaller(usual), compute, Ranks())
    holdout_fit, served = (
        fit.with_vectors(*mapping.towers(trained, release, features))
        for trained in (state.holdout_fit, state.retriever)
    )
    # Counted by the release's own log: events that arrived late would move rows that the holdout fit has learned.
    unlearned = since - withheld(mapping.events_before(features, release), state.holdout_fit.settings.withheld)
    unlearned = np.maximum(unlearned, log.offsets[:-1])
    until = np.maximum(withheld_until(log, usual.withheld), unlearned)
    fit.begin(holdout_fit)
    course = Course(fit, until, Ranks(), None, show_progress, profile, unlearned)
    holdout_fit = course.holdout_fit()
    served = course.served(max(1, course.best_epoch), served, since)
    return RetrieverTraining(
        replace(served, settings=usual),
        replace(holdout_fit, settings=usual),
        until,
        course.validation,
        course.stopped,
        course.curves,
    )


def _smaller(settings: RetrieverSettings) -> RetrieverSettings:
    """Shorter and more careful than from the beginning."""
    return settings.model_copy(
        update={
            "learning_rate": RATE * settings.learning_rate,
            "warm_up": min(WARM_UP, settings.warm_up),
            "max_epochs": min(MOST_EPOCHS, settings.max_epochs),
        }
    )


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
