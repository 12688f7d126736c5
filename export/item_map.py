"""The map of the items: their vectors in two dimensions, for the explorer; and how many events each item has."""

from typing import Any

import numpy as np
from numpy.typing import NDArray
from threadpoolctl import threadpool_limits

SAMPLE = 2000
"""Items on a map: of a larger catalog so many, drawn at random. Their projection takes some seconds on one core."""

FEWEST = 50
"""Below, items have too few neighbours for t-SNE: their map has the two main directions of their vectors."""

_ITERATIONS = 500
_PERPLEXITY = 30.0
_START = 1e-4
"""Standard deviation of the first coordinates before t-SNE moves them."""

_LAST = 65_535


def explored_items(vectors: NDArray[np.float32], log: NDArray[np.int32], seed: int) -> dict[str, NDArray[Any]]:
    """Arrays of the release.

    Args:
        vectors: float32 [n + 1, D] of unit length, by item index; the first is of the padding item.
        log: int32 [events], the item of each event.
        seed: of the sample and of the projection.

    Returns:
        ``item_events`` int32 [n + 1], the events of each item in the log; ``map_items`` int32 [m], at most
        :data:`SAMPLE` items, ascending; ``map_points`` uint16 [m, 2], their places, x and y. The longer side of the
        map is 65,535.
    """
    count = len(vectors) - 1
    items = np.arange(1, count + 1)
    if count > SAMPLE:
        items = np.sort(np.random.default_rng(seed).choice(items, SAMPLE, replace=False))
    points = _scaled(projection(np.ascontiguousarray(vectors[items], np.float32), seed))
    return {
        "item_events": np.bincount(log, minlength=count + 1).astype(np.int32),
        "map_items": items.astype(np.int32),
        "map_points": points,
    }


def projection(vectors: NDArray[np.float32], seed: int) -> NDArray[np.float64]:
    """Two coordinates for each vector: float64 [m, 2].

    t-SNE keeps neighbours together, so that groups of similar items are seen; distances between groups mean little.

    Args:
        vectors: float32 [m, D].
        seed: the same gives the same coordinates.
    """
    first = _main_directions(vectors.astype(np.float64))
    if len(vectors) < FEWEST:
        return first
    # scikit-learn takes seconds to import, which a small catalog does not need.
    from sklearn.manifold import TSNE

    spread = max(float(first[:, 0].std()), 1e-12)
    # Equal vectors would stay in one place for ever.
    apart = np.random.default_rng(seed).standard_normal(first.shape)
    start = (first / spread + 0.01 * apart) * _START
    # Sums of several threads come in any order, and t-SNE magnifies the smallest difference.
    with threadpool_limits(1):
        moved = TSNE(
            init=start.astype(np.float32),
            perplexity=min(_PERPLEXITY, (len(vectors) - 1) / 3),
            max_iter=_ITERATIONS,
            random_state=seed,
            n_jobs=1,
        ).fit_transform(vectors)
    return np.asarray(moved, np.float64)


def _main_directions(vectors: NDArray[np.float64]) -> NDArray[np.float64]:
    """The projection onto the two main directions; zeros where there are none."""
    found = np.zeros((len(vectors), 2))
    if len(vectors) > 1:
        left, scale, _ = np.linalg.svd(vectors - vectors.mean(axis=0), full_matrices=False)
        kept = min(2, len(scale))
        found[:, :kept] = left[:, :kept] * scale[:kept]
    return found


def _scaled(points: NDArray[np.float64]) -> NDArray[np.uint16]:
    """Points as whole numbers; the shorter side is in the middle."""
    if not len(points):
        return np.zeros((0, 2), np.uint16)
    low, high = points.min(axis=0), points.max(axis=0)
    side = max(float((high - low).max()), 1e-12)
    scaled: NDArray[np.uint16] = np.round(((points - (low + high) / 2) / side + 0.5) * _LAST).astype(np.uint16)
    return scaled
