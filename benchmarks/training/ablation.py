"""What do sampled negatives and row-wise updates cost in quality, and save in time? The retriever, on real data."""

import tempfile
import time
from pathlib import Path

from benchmarks.common.rows import Row, row
from benchmarks.training.subjects import extracted
from winnow.features.table import FeatureSet
from winnow.settings.training import RetrieverSettings
from winnow.training.retriever.train import train_retriever

LOSSES = {"whole catalog, AdamW on all rows": 200_000, "sampled, updates by row": 0}
"""Name -> ``full_softmax_items``."""

MOST_EPOCHS = 12


def measure() -> list[Row]:
    """Ndcg@10 of the holdout fit's validation, and minutes, for MovieLens 100K and Beauty."""
    rows = []
    for name in ("ml-100k", "beauty"):
        with tempfile.TemporaryDirectory(prefix="winnow-ablation-") as folder:
            features = FeatureSet.load(extracted(name, Path(folder)))
            for loss, limit in LOSSES.items():
                settings = RetrieverSettings(full_softmax_items=limit, max_epochs=MOST_EPOCHS)
                started = time.monotonic()
                trained = train_retriever(features, settings, show_progress=True)
                minutes = (time.monotonic() - started) / 60
                rows += [
                    row(f"{name}, {loss}: ndcg@10 of withheld moments", trained.validation, ""),
                    row(f"{name}, {loss}: training", minutes, "min"),
                ]
    return rows
