"""A release of any number of items, with untrained models: exported, published and served like any other.

Every step but training is the real one: ingestion, extraction, export, the parity checks. The models' weights are
random, so the lists mean nothing; what they cost is what those of a trained release of that size cost.
"""

import argparse
import os
import tempfile
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import torch
from torch import Tensor

from benchmarks.training import synthetic_log
from export.release import TrainedParts, export_release
from winnow import provenance
from winnow.datasets.ingest import ingest
from winnow.encoders.inputs import EncoderInputs
from winnow.encoders.preparation import INPUTS_FILE
from winnow.features.extract import extract_folder
from winnow.features.table import FeatureSet
from winnow.lifecycle.claims import claim
from winnow.models.affinity import HistoryAffinity
from winnow.models.ranker import ServedRanker
from winnow.models.towers import Shapes
from winnow.release import Release
from winnow.settings.training import IndexSettings, TrainingSettings
from winnow.training.ranker.trained import TrainedRanker
from winnow.training.retriever.train import RetrieverTraining
from winnow.training.retriever.trained import TrainedRetriever, build_towers
from winnow.training.tables.source_tables import SourceTables
from winnow.training.train import RESULT, TrainingResult, save_settings

CATEGORIES = 50
HIGHEST_PRICE = 1000.0
"""The prices divide the interval from 0 to it evenly."""

_AT_ONCE = 100_000


@dataclass(frozen=True)
class CatalogSize:
    """Size of a release.

    Attributes:
        items: items.
        users: users.
        events: events of all users together, at least one for each.
    """

    items: int
    users: int = 2000
    events: int = 60_000


def write(home: Path, size: CatalogSize, index: IndexSettings | None = None, seed: int = 0) -> Release:
    """Write the next release of a home.

    Args:
        home: holds ``releases/`` and ``model_repository/``.
        size: how many of everything.
        index: how the retriever searches; the default scans all items.
        seed: of the data and of the weights.
    """
    home.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=".sized-", dir=home) as scratch:
        source = Path(scratch) / "source"
        _data_set(source, size, seed)
        return write_of(home, source, f"{size.items} synthetic items", index, seed)


def write_of(home: Path, source: Path, origin: str, index: IndexSettings | None = None, seed: int = 0) -> Release:
    """Write the next release of a home, of a data set.

    Args:
        home: holds ``releases/`` and ``model_repository/``.
        source: folder of the data set.
        origin: the data set in words.
        index: how the retriever searches; the default scans all items.
        seed: of the weights.
    """
    home.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=".parts-", dir=home) as scratch:
        folder = Path(scratch)
        parts = TrainedParts(*(folder / name for name in ("dataset", "encoders", "features", "retriever", "ranker")))
        ingest(str(source), parts.dataset)
        parts.encoders.mkdir()
        (parts.encoders / INPUTS_FILE).write_text(EncoderInputs().model_dump_json())
        extract_folder(parts.dataset, parts.encoders, parts.features)
        _models(parts, index or IndexSettings(), seed)
        for part in (parts.dataset, parts.encoders, parts.retriever):
            provenance.record(part, data=origin)
        return export_release(parts, home, claim(str(home))).release


def _data_set(folder: Path, size: CatalogSize, seed: int) -> None:
    """The synthetic log, whose items get a category, other prices and a title."""
    synthetic_log.write(folder, synthetic_log.LogSize(size.events, size.users, size.items, seed))
    items = pq.read_table(folder / "items.parquet")
    rng = np.random.default_rng(seed)
    category = rng.integers(0, min(CATEGORIES, size.items), size.items)
    price = rng.permutation(size.items) * (HIGHEST_PRICE / size.items)
    names = pa.array([f"category {number}" for number in range(CATEGORIES)])
    items = items.append_column("category", names.take(pa.array(category)))
    items = items.set_column(items.column_names.index("price"), "price", pa.array(price))
    pq.write_table(items.append_column("title", items["item_id"]), folder / "items.parquet")


def _models(parts: TrainedParts, index: IndexSettings, seed: int) -> None:
    """Write random towers, a random ranker and the fitted tables."""
    torch.manual_seed(seed)
    features = FeatureSet.load(parts.features)
    settings = TrainingSettings(index=index)
    settings = settings.model_copy(update={"candidates": settings.candidates.within(features.items)})
    shapes, schema = Shapes.of(features), features.schema
    retrieval = settings.retriever.model_copy(update={"dropout": 0.0, "batch": 8})
    item_tower, user_tower = build_towers(shapes, retrieval)
    vectors = _vectors(features.items, retrieval.dimension)
    trained = TrainedRetriever(shapes, retrieval, item_tower.eval(), user_tower.eval(), vectors)
    RetrieverTraining(trained, trained, features.interactions.offsets[1:]).save(parts.retriever)
    SourceTables.fit(features, settings.covisitation, settings.popularity).save(parts.retriever)
    save_settings(settings, parts.retriever)
    untrained = TrainingResult(metrics={}, unranked_reason="", constant_heads={}, stopped="")
    (parts.retriever / RESULT).write_text(untrained.model_dump_json())
    length, numerics = retrieval.history_length, features.item_rows["numeric"].shape[1]
    conversions = tuple(schema.events.index(name) for name in schema.conversions)
    affinity = HistoryAffinity.of(features.item_rows, schema.item[0].cardinality, shapes.events)
    model = ServedRanker(shapes, numerics, vectors, affinity, length, settings.ranker.width, 0.0, conversions)
    TrainedRanker(shapes, settings.ranker, settings.candidates, length, numerics, conversions, model.eval()).save(
        parts.ranker
    )


def _vectors(items: int, width: int) -> Tensor:
    """Unit vectors with the spectrum of trained ones: float32 [n + 1, D]; row 0 is zero.

    An untrained tower gives nearly the same vector to all items, which no search would meet. The variances of the
    principal components fall by a factor of e every ten: an effective dimension of 20. Trained releases of MovieLens
    and of the marketplace have 13 to 20.
    """
    vectors = torch.randn(items + 1, width)
    vectors *= torch.exp(-torch.arange(width) / 20)
    vectors[0] = 0.0
    for first in range(1, items + 1, _AT_ONCE):
        some = vectors[first : first + _AT_ONCE]
        some /= some.norm(dim=1, keepdim=True)
    return vectors


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description="Write a release of untrained models into $WINNOW_HOME.")
    parser.add_argument("items", type=int)
    parser.add_argument("--users", type=int, default=CatalogSize.users)
    parser.add_argument("--events", type=int, default=CatalogSize.events)
    chosen = parser.parse_args()
    write(Path(os.environ["WINNOW_HOME"]), CatalogSize(chosen.items, chosen.users, chosen.events))
