"""What does each modality add? Recall of items without events, by some of their content only.

200 items of the demo marketplace with a picture, a text and a sound are left out of the encoders' training, and all
their events out of the log. For each user with a later event of one, the last such item is the question: is it among
the first 50 of the whole catalog (without the history), and among the first 10 of the cold items alone? The item's id,
category, brand and price are hidden, so that only the named modalities count.
"""

import dataclasses
import tempfile
from collections.abc import Collection
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pyarrow.compute as pc
import torch
from numpy.typing import NDArray

from benchmarks.common.rows import Row, row
from export.encoders import export_encoders
from winnow.datasets.canonical.dataset import Dataset
from winnow.datasets.ingest import ingest
from winnow.embeddings.extraction import extract_embeddings
from winnow.embeddings.store import EmbeddingStore
from winnow.encoders.catalog import read_contents
from winnow.encoders.settings import EncoderSettings
from winnow.features.extract import extract
from winnow.features.table import FeatureSet
from winnow.models.towers import CatalogInputs
from winnow.settings.training import ComputeSettings, RetrieverSettings
from winnow.training.encoders.build import train_encoders
from winnow.training.retriever.train import train_retriever
from winnow.training.retriever.trained import TrainedRetriever

COLD = 200
K, K_AMONG = 50, 10
SEED = 0


class Questions(NamedTuple):
    """User, end of the history in the log, and cold item of every question; each int64 [q]."""

    user: NDArray[np.int64]
    end: NDArray[np.int64]
    item: NDArray[np.int64]


def measure(show_progress: bool) -> list[Row]:
    """Recall@50 of cold items by their known content.

    Args:
        show_progress: draw progress bars.
    """
    with tempfile.TemporaryDirectory(prefix="winnow-cold-") as scratch:
        folder = Path(scratch)
        dataset = ingest(None, folder / "dataset", "none")
        cold = _cold(dataset)
        warm = _without(dataset, cold)
        warm.save(folder / "warm")
        train_encoders(folder / "warm", folder / "encoders", EncoderSettings(), ComputeSettings(), show_progress)
        export_encoders(folder / "encoders", folder / "warm")
        contents = read_contents(folder / "dataset")
        store = EmbeddingStore(str(folder / "store"))
        vectors = extract_embeddings(folder / "encoders", contents, store, show_progress).vectors
        # Every item keeps its index; only the cold items' events are removed.
        features = extract(dataclasses.replace(dataset, events=warm.events), dict(vectors))
        questions = _questions(extract(dataset, {}), features, cold)
        retriever = train_retriever(features, RetrieverSettings(), show_progress).served
    known = {name: _recall(retriever, features, questions, cold, names) for name, names in _views(features).items()}
    found = {name: whole for name, (whole, _) in known.items()} | {"chance": K / features.items}
    among = {name: cold_only for name, (_, cold_only) in known.items()} | {"chance": K_AMONG / len(cold)}
    single = max(found[name] for name in features.embeddings)
    return [
        *(
            row(f"cold items in the whole catalog, recall@{K} by {name}", value, "share")
            for name, value in found.items()
        ),
        *(
            row(f"cold items among each other, recall@{K_AMONG} by {name}", value, "share")
            for name, value in among.items()
        ),
        row(f"cold items, recall@{K}: all / best single modality", found["all"] / single, "x", ">= 1"),
        row(
            f"cold items, recall@{K}: all / none or chance",
            found["all"] / max(found["none"], found["chance"]),
            "x",
            ">= 5",
        ),
    ]


def _views(features: FeatureSet) -> dict[str, Collection[str]]:
    modalities = sorted(features.embeddings)
    return {name: (name,) for name in modalities} | {"all": modalities, "none": ()}


def _cold(dataset: Dataset) -> NDArray[np.int64]:
    """Rows of the cold items in the items table."""
    whole = pc.and_(dataset.items["audio"].is_valid(), dataset.items["image"].is_valid())
    rows = np.flatnonzero(whole.to_numpy(zero_copy_only=False))
    return np.sort(np.random.default_rng(SEED).permutation(rows)[:COLD])


def _without(dataset: Dataset, cold: NDArray[np.int64]) -> Dataset:
    """The data set before the cold items were added."""
    ids = dataset.items["item_id"].take(cold)
    kept = {
        name: table.filter(pc.invert(pc.is_in(table["item_id"], value_set=ids.combine_chunks())))
        for name, table in (("items", dataset.items), ("events", dataset.events))
    }
    return dataclasses.replace(dataset, **kept)


def _questions(everything: FeatureSet, features: FeatureSet, cold: NDArray[np.int64]) -> Questions:
    """For each user the last cold item, if at least one event precedes it."""
    is_cold = np.zeros(features.items + 1, np.bool_)
    is_cold[cold + 1] = True
    asked = []
    for user in range(features.interactions.users):
        whole, left = everything.interactions.of(user), features.interactions.of(user)
        met = np.flatnonzero(is_cold[everything.interactions.item[whole]])
        if not len(met):
            continue
        moment = everything.interactions.timestamp[whole][met[-1]]
        before = int(np.searchsorted(features.interactions.timestamp[left], moment))
        if before:
            asked.append((user, left.start + before, everything.interactions.item[whole][met[-1]]))
    return Questions(*np.array(asked, np.int64).T)


def _recall(
    retriever: TrainedRetriever,
    features: FeatureSet,
    questions: Questions,
    cold: NDArray[np.int64],
    names: Collection[str],
) -> tuple[float, float]:
    """Recall in the whole catalog and among the cold items, whose only known modalities are ``names``."""
    modalities = list(retriever.shapes.modalities)
    items = torch.from_numpy(cold + 1)
    inputs = CatalogInputs(features, retriever.shapes).take(cold + 1)
    present = zip(modalities, inputs.present, strict=True)
    seen = inputs._replace(
        categorical=torch.zeros_like(inputs.categorical),
        numeric=torch.zeros_like(inputs.numeric),
        present=tuple(there if name in names else torch.zeros_like(there) for name, there in present),
    )
    vectors = retriever.item_vectors.clone()
    with torch.no_grad():
        vectors[items] = retriever.item_tower(items, seen)
    wanted = retriever.user_vectors(features, questions.user, questions.end)
    random = np.random.default_rng(SEED)
    log = features.interactions
    whole, among = 0, 0
    for position, (user, end, item) in enumerate(zip(*questions, strict=True)):
        scores = vectors.numpy() @ wanted[position]
        scores[0] = -np.inf
        scores[log.item[log.offsets[user] : end]] = -np.inf
        whole += _place(scores, item, random) < K
        among += _place(scores[cold + 1], int(np.searchsorted(cold + 1, item)), random) < K_AMONG
    return whole / len(questions.item), among / len(questions.item)


def _place(scores: NDArray[np.float32], item: int, random: np.random.Generator) -> int:
    """The rank of ``item``; items with equal scores are ordered at random."""
    equal = np.isclose(scores, scores[item], rtol=0, atol=1e-6)
    return int((scores[~equal] > scores[item]).sum() + random.integers(equal.sum()))
