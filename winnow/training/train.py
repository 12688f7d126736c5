"""Training of a release's models, one after the other: what the pipelines' ``train`` step does."""

from pathlib import Path

import pyarrow.parquet as pq

from winnow.datasets.canonical.dataset import Dataset
from winnow.features.extract import POPULARITY, item_numerics
from winnow.features.table import FeatureSet
from winnow.training.candidate_lists import Sources
from winnow.training.ranker import RankerSettings, train_ranker
from winnow.training.retriever import train_retriever
from winnow.training.trained_retriever import RetrieverSettings, validate


def train_models(
    dataset: Path, features: Path, retriever: Path, ranker: Path, show_progress: bool = False
) -> dict[str, float]:
    """Train the retriever, then the ranker on the lists that the release's sources produce.

    Args:
        dataset: saved data set, for what its items declare.
        features: saved feature set, and the items' popularity at past moments.
        retriever: folder for the retriever and its rehearsal.
        ranker: folder for the ranker.
        show_progress: show bars.

    Returns:
        What was measured on each user's newest event in the log, by models that had not learned from it.
    """
    extracted = FeatureSet.load(features)
    retrieval = train_retriever(extracted, RetrieverSettings(), show_progress)
    retrieval.save(retriever)
    numerics = item_numerics(Dataset.load(dataset), pq.read_table(features / POPULARITY))
    trained = train_ranker(
        extracted, retrieval, numerics.at, Sources.of(extracted.items), RankerSettings(), show_progress
    )
    trained.save(ranker)
    if trained.unlearned:
        # The pipeline's runner shows lines that start so.
        print(f"winnow: no ranker was learned, recommendations come in the order of the sources: {trained.unlearned}")  # noqa: T201
    return {"retriever_validation_ndcg@10": validate(retrieval.rehearsal, extracted)}
