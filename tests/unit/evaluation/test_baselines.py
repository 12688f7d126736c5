"""Metrics and baselines, against numbers worked out by hand."""

import numpy as np
import pytest

from winnow.evaluation.baselines import ease, item_knn, popularity
from winnow.features.table import Interactions
from winnow.ranking.metrics import coverage, ndcg, recall

TOP = np.array([[1, 2, 3], [4, 5, 0], [1, 3, 2]], np.int32)
HELD_OUT = np.array([2, 6, 1], np.int32)


def log_of(*users: list[int]) -> Interactions:
    items = np.array([item for user in users for item in user], np.int32)
    offsets = np.concatenate([[0], np.cumsum([len(user) for user in users])]).astype(np.int64)
    return Interactions(
        offsets, items, np.ones_like(items), np.arange(len(items), dtype=np.int64), np.ones(len(items), np.float32)
    )


def test_metrics() -> None:
    assert recall(TOP, HELD_OUT, 1) == pytest.approx(1 / 3)
    assert recall(TOP, HELD_OUT, 3) == pytest.approx(2 / 3)
    assert ndcg(TOP, HELD_OUT, 3) == pytest.approx((1 / np.log2(3) + 1) / 3)
    assert coverage(TOP, 10, 3) == pytest.approx(0.5)
    assert coverage(TOP, 10, 1) == pytest.approx(0.2)


def test_popularity_counts_users_and_leaves_out_seen_items() -> None:
    log = log_of([1, 1, 1, 2], [2, 3], [2, 3])
    assert popularity(log, 4, 4).tolist() == [[3, 4, 0, 0], [1, 4, 0, 0], [1, 4, 0, 0]]


@pytest.mark.parametrize("baseline", [item_knn, ease])
def test_item_knn_finds_co_occurring_items(baseline) -> None:  # type: ignore[no-untyped-def]
    pairs = [[1, 2], [3, 4]] * 20
    log = log_of(*pairs, [1], [3])
    top = baseline(log, 5, 2)
    assert top[-2, 0] == 2
    assert top[-1, 0] == 4
    assert not (top[0] == 1).any()
    assert not (top[0] == 2).any()


def test_ease_is_steck_s_closed_form() -> None:
    rng = np.random.default_rng(0)
    seen = rng.random((30, 6)) < 0.4
    seen[:, 0] |= ~seen.any(axis=1)
    log = log_of(*[(np.flatnonzero(row) + 1).tolist() for row in seen])
    inverse = np.linalg.inv(seen.T.astype(float) @ seen + 10.0 * np.eye(6))
    weights = np.eye(6) - inverse @ np.diag(1 / np.diag(inverse))
    scores = np.where(seen, -np.inf, seen @ weights)
    best = np.where(np.isfinite(np.sort(-scores)[:, :1]), np.argsort(-scores)[:, :1] + 1, 0)
    np.testing.assert_array_equal(ease(log, 6, 1, 10.0), best)
