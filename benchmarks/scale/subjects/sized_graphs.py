"""The three graphs that know the items, of untrained models, for any number of items."""

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from export.repository import export_model
from export.triton.version import MODEL_FILE
from winnow.models.affinity import HistoryAffinity
from winnow.models.ranker import ServedRanker
from winnow.models.ranker_graph import RankerGraph
from winnow.models.served import ServedItemTower, ServedRetriever
from winnow.models.towers import Shapes
from winnow.ranking.context import CONTEXT_FEATURES
from winnow.schema import NUMERIC_FEATURES
from winnow.settings.training import RankerSettings, RetrieverSettings
from winnow.signatures import ITEM_TOWER, RANKER, RETRIEVER, ModelSignature
from winnow.training.retriever.trained import build_towers

CANDIDATES = 400
_CATEGORIES, _EVENTS = 8, 2
_BOUND = 1e-3
_LONGEST_S = 1800


def write(folder: Path, items: int) -> Path:
    """Export all three in a process of its own, so that this one does not map the vectors; returns the repository."""
    command = [sys.executable, "-m", __name__, str(folder), str(items)]
    subprocess.run(command, check=True, timeout=_LONGEST_S)  # noqa: S603
    return folder / "models"


def export(folder: Path, items: int, dimension: int = 64) -> Iterator[Path]:
    """Export the retriever, then the ranker, then the item tower, over random unit vectors in one file.

    Args:
        folder: to write the repository to; a release has the number 1.
        items: ``n``.
        dimension: ``D``.

    Yields:
        The ``model.onnx`` that was written.
    """
    random = np.random.default_rng(0)
    vectors = random.standard_normal((items + 1, dimension), np.float32)
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    vectors[0] = 0.0
    file = folder / "item_vectors.npy"
    np.save(file, vectors)
    # Mapped, so that the exporter's process holds one copy.
    mapped = torch.from_numpy(np.load(file, mmap_mode="c"))
    del vectors
    user = _user_inputs()
    for signature, module, samples in _models(items, dimension, mapped, user):
        export_model(module.eval(), signature, 1, folder / "models", samples, _BOUND, {"item_vectors": file})
        yield folder / "models" / signature.name / "1" / MODEL_FILE


def _user_inputs() -> dict[str, Tensor]:
    history = torch.ones(2, RetrieverSettings().history_length, dtype=torch.int32)
    return {
        "history_items": history,
        "history_events": history,
        "history_gaps": torch.ones(history.shape),
        "user_categorical": torch.ones(2, 1, dtype=torch.int32),
        "user_numeric": torch.ones(2, 1),
    }


def _models(
    items: int, dimension: int, vectors: Tensor, user: dict[str, Tensor]
) -> Iterator[tuple[ModelSignature, nn.Module, dict[str, Tensor]]]:
    settings = RetrieverSettings(dimension=dimension)
    item_tower, user_tower = build_towers(_shapes(8), settings)
    yield RETRIEVER, ServedRetriever(user_tower, vectors, CANDIDATES, hides_history=True), user
    numerics = len(NUMERIC_FEATURES) + 1
    affinity = HistoryAffinity(torch.ones(items + 1, dtype=torch.int64), torch.ones(items + 1, 1), _CATEGORIES, _EVENTS)
    width = RankerSettings().width
    ranker = ServedRanker(
        _shapes(items), numerics, vectors, affinity, settings.history_length, width, 0.0, (_EVENTS - 1,)
    )
    candidates = {
        "candidate_items": torch.ones(2, 4, dtype=torch.int32),
        "candidate_categorical": torch.ones(2, 4, 1, dtype=torch.int32),
        "candidate_numeric": torch.ones(2, 4, numerics + len(CONTEXT_FEATURES)),
        "fresh_vectors": torch.ones(2, 1, dimension),
    }
    yield RANKER, RankerGraph(ranker), user | candidates
    item = {
        "item_categorical": torch.ones(2, 1, dtype=torch.int32),
        "item_numeric": torch.ones(2, 1),
        "embeddings": torch.zeros(2, 1),
    }
    yield ITEM_TOWER, ServedItemTower(item_tower, _shapes(8), vectors, CANDIDATES), item


def _shapes(items: int) -> Shapes:
    return Shapes(
        items=items,
        events=_EVENTS,
        item_cardinalities=(_CATEGORIES,),
        item_tables=(0,),
        item_numerics=(len(NUMERIC_FEATURES),),
        user_cardinalities=(_CATEGORIES,),
        user_tables=(0,),
        user_numerics=1,
        modalities={},
    )


if __name__ == "__main__":
    for _ in export(Path(sys.argv[1]), int(sys.argv[2])):
        pass
