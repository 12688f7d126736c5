"""Training of a release's models and source tables, one after the other: the pipelines' ``train`` step."""

from pathlib import Path

from pydantic import BaseModel, ConfigDict

from winnow.features.numerics import ItemNumerics
from winnow.features.table import FeatureSet
from winnow.provenance import Curve
from winnow.settings.training import TrainingSettings
from winnow.training.ranker.train import train_ranker
from winnow.training.ranker.trained import TrainedRanker
from winnow.training.retriever.train import RetrieverTraining, train_retriever
from winnow.training.tables.source_tables import SourceTables

RESULT = "result.json"
"""File in the retriever's folder with the :class:`TrainingResult`."""

_SETTINGS = "training.json"
"""Inside the retriever's folder."""


class TrainingResult(BaseModel):
    """The outcome of :func:`train_models`.

    Attributes:
        metrics: name -> value, on each user's newest target, by models that did not learn from it.
        unranked_reason: why no ranker was learned; empty where one was.
        constant_heads: event type -> why its probability is the same for every item.
        stopped: the budget that ended the retriever's training while its validation still improved; empty where none
            did.
        curves: training -> its course.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    metrics: dict[str, float]
    unranked_reason: str
    constant_heads: dict[str, str]
    stopped: str
    curves: dict[str, Curve] = {}


def train_models(
    features: Path,
    retriever: Path,
    ranker: Path,
    settings: TrainingSettings,
    show_progress: bool = False,
    profile: Path | None = None,
) -> TrainingResult:
    """Train the retriever, fit the sources' tables, and train the ranker on the lists that these sources produce.

    Args:
        features: saved feature set, and the items' popularity at past moments.
        retriever: folder for the retriever with its holdout fit, the sources' tables, the settings and the result.
        ranker: folder for the ranker.
        settings: of everything.
        show_progress: show bars.
        profile: folder that gets traces of a few training steps.
    """
    extracted = FeatureSet.load(features)
    retrieval = train_retriever(extracted, settings.retriever, show_progress, settings.compute, profile=profile)
    return complete(features, extracted, retrieval, retriever, ranker, settings, show_progress, profile)


def complete(
    features: Path,
    extracted: FeatureSet,
    retrieval: RetrieverTraining,
    retriever: Path,
    ranker: Path,
    settings: TrainingSettings,
    show_progress: bool,
    profile: Path | None = None,
    start: TrainedRanker | None = None,
) -> TrainingResult:
    """All of :func:`train_models` that follows the training of the retriever, in one process.

    Args:
        features: as for :func:`train_models`, like the arguments of the same names.
        extracted: the same, loaded.
        retrieval: the trained retriever.
        retriever: folder for it.
        ranker: folder for the ranker.
        settings: of everything.
        show_progress: show bars.
        profile: folder that gets traces of a few training steps.
        start: a ranker to go on from, on this catalog; a new one begins where it is missing.
    """
    settings = settings.model_copy(update={"candidates": settings.candidates.within(extracted.items)})
    retrieval.save(retriever)
    SourceTables.fit(extracted, settings.covisitation, settings.popularity).save(retriever)
    save_settings(settings, retriever)
    trained = train_ranker(
        extracted, retrieval, ItemNumerics.load(features).at, settings, show_progress, profile, start
    )
    trained.save(ranker)
    result = TrainingResult(
        metrics={"retriever_validation_ndcg@10": retrieval.validation},
        unranked_reason=trained.unranked_reason,
        constant_heads=trained.constant_heads,
        stopped=retrieval.stopped,
        curves=retrieval.curves | ({"ranker": trained.curve} if trained.curve.points else {}),
    )
    (retriever / RESULT).write_text(result.model_dump_json(indent=1))
    return result


def save_settings(settings: TrainingSettings, retriever: Path) -> None:
    """Write the settings that :func:`used_settings` reads.

    Args:
        settings: with the candidate counts of the catalog.
        retriever: the retriever's folder.
    """
    (retriever / _SETTINGS).write_text(settings.model_dump_json(indent=1))


def used_settings(retriever: Path) -> TrainingSettings:
    """The settings that :func:`train_models` used, with the candidate counts of its catalog.

    Args:
        retriever: the folder it wrote.
    """
    return TrainingSettings.model_validate_json((retriever / _SETTINGS).read_bytes())
