"""Does a step of the retriever cost what its batch costs? Two catalogs take turns, with batches of the same size."""

import time

import numpy as np

from benchmarks.common.rows import Row, row
from benchmarks.training.subjects import synthetic
from winnow.settings.training import ComputeSettings, RetrieverSettings
from winnow.training.loop.ranks import Ranks
from winnow.training.retriever.course import epoch_batches
from winnow.training.retriever.fit import Fit

SMALL, LARGE = 10_000, 1_000_000
USERS, EVENTS = 4_000, 51
WARM_UP, STEPS = 5, 60
BATCH = 32


def measure() -> list[Row]:
    """Milliseconds per step at 10,000 and at 1,000,000 items."""
    fits, batches = {}, {}
    for items in (SMALL, LARGE):
        features = synthetic(items, USERS, EVENTS)
        settings = RetrieverSettings(dropout=0.5, batch=BATCH)
        fits[items] = Fit(features, settings, ComputeSettings(), Ranks())
        until = features.interactions.offsets[1:]
        batches[items] = list(epoch_batches(features, until, fits[items].values, settings, (0, 1)))
    seconds: dict[int, list[float]] = {items: [] for items in fits}
    for step in range(WARM_UP + STEPS):
        for items, fit in fits.items():
            started = time.perf_counter()
            fit.learn(batches[items][step], 0)
            if step >= WARM_UP:
                seconds[items].append(time.perf_counter() - started)
    medians = {items: float(np.median(each)) for items, each in seconds.items()}
    rows = [row(f"a step at {items:,} items, median of {STEPS}", 1000 * medians[items], "ms") for items in fits]
    return [*rows, row(f"a step, {LARGE:,} items / {SMALL:,}", medians[LARGE] / medians[SMALL], "x", "<= 1.3")]
