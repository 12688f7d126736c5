"""What do sampled negatives and row-wise updates cost in quality, and save in time? The retriever, on real data."""

import tempfile
import time
from pathlib import Path

import numpy as np

from benchmarks.common.rows import Row, row
from benchmarks.training.subjects import extracted
from winnow.features.table import FeatureSet
from winnow.features.targets import target_rows, target_values
from winnow.settings.training import RetrieverSettings
from winnow.training.retriever.train import train_retriever
from winnow.training.retriever.validation import validate, validation_rows

LOSSES = {"whole catalog, AdamW on all rows": 200_000, "sampled, updates by row": 0}
"""Name -> ``full_softmax_items``."""

MOST_EPOCHS = 24


def measure() -> list[Row]:
    """Ndcg@10 of the holdout fit's validation, and minutes, for MovieLens 100K and Beauty."""
    rows = []
    for name in ("ml-100k", "beauty"):
        with tempfile.TemporaryDirectory(prefix="winnow-ablation-") as folder:
            features = FeatureSet.load(extracted(name, Path(folder)))
            values = target_values(features, target_rows(features))
            for loss, limit in LOSSES.items():
                settings = RetrieverSettings(full_softmax_items=limit, max_epochs=MOST_EPOCHS)
                started = time.monotonic()
                trained = train_retriever(features, settings, show_progress=True)
                minutes = (time.monotonic() - started) / 60
                asked = validation_rows(features.interactions, values, trained.until, settings.validation_users)
                score = validate(trained.holdout_fit, features, np.asarray(asked))
                rows += [
                    row(f"{name}, {loss}: ndcg@10 of {len(asked):,} withheld moments", score, ""),
                    row(f"{name}, {loss}: training", minutes, "min"),
                ]
    return rows
