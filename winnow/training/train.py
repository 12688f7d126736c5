"""Training of a release's models and source tables, one after the other: the pipelines' ``train`` step."""

from dataclasses import dataclass
from pathlib import Path

import pyarrow.parquet as pq

from winnow.datasets.canonical.dataset import Dataset
from winnow.features.extract import POPULARITY, item_numerics
from winnow.features.table import FeatureSet
from winnow.features.targets import target_rows, target_values
from winnow.settings.training import TrainingSettings
from winnow.training.ranker.train import train_ranker
from winnow.training.retriever.train import train_retriever
from winnow.training.retriever.validation import validate, validation_rows
from winnow.training.tables.source_tables import SourceTables

_SETTINGS = "training.json"
"""Inside the retriever's folder."""


@dataclass(frozen=True)
class TrainingResult:
    """The outcome of :func:`train_models`.

    Attributes:
        metrics: name -> value, on each user's newest target, by models that did not learn from it.
        unranked_reason: why no ranker was learned; empty where one was.
        constant_heads: event type -> why its probability is the same for every item.
    """

    metrics: dict[str, float]
    unranked_reason: str
    constant_heads: dict[str, str]


def train_models(
    dataset: Path,
    features: Path,
    retriever: Path,
    ranker: Path,
    settings: TrainingSettings,
    show_progress: bool = False,
    profile: Path | None = None,
) -> TrainingResult:
    """Train the retriever, fit the sources' tables, and train the ranker on the lists that these sources produce.

    Args:
        dataset: saved data set, for what its items declare.
        features: saved feature set, and the items' popularity at past moments.
        retriever: folder for the retriever with its holdout fit, the sources' tables and the settings.
        ranker: folder for the ranker.
        settings: of everything.
        show_progress: show bars.
        profile: folder that gets traces of a few training steps.
    """
    extracted = FeatureSet.load(features)
    settings = settings.model_copy(update={"candidates": settings.candidates.within(extracted.items)})
    retrieval = train_retriever(extracted, settings.retriever, show_progress)
    retrieval.save(retriever)
    SourceTables.fit(extracted, settings.covisitation, settings.popularity).save(retriever)
    (retriever / _SETTINGS).write_text(settings.model_dump_json(indent=1))
    numerics = item_numerics(Dataset.load(dataset), pq.read_table(features / POPULARITY))
    trained = train_ranker(extracted, retrieval, numerics.at, settings, show_progress, profile)
    trained.save(ranker)
    values = target_values(extracted, target_rows(extracted))
    asked = validation_rows(extracted.interactions, values, retrieval.until, settings.retriever.validation_users)
    metrics = {"retriever_validation_ndcg@10": validate(retrieval.holdout_fit, extracted, asked)}
    return TrainingResult(metrics, trained.unranked_reason, trained.constant_heads)


def used_settings(retriever: Path) -> TrainingSettings:
    """The settings that :func:`train_models` used, with the candidate counts of its catalog.

    Args:
        retriever: the folder it wrote.
    """
    return TrainingSettings.model_validate_json((retriever / _SETTINGS).read_bytes())
