"""Metrics as ratios of sums over users, against the scalar metrics and numbers worked out by hand."""

import numpy as np
import pytest

from winnow.ranking import metrics
from winnow.ranking.user_metrics import Popularity, ratios

TOP = np.zeros((3, 50), np.int32)
TOP[0, :3], TOP[1, :2] = [1, 2, 3], [4, 1]
HELD_OUT = np.array([2, 3, 1], np.int32)
VALUES = np.array([4.0, 10.0, -2.0])
# Items 1 to 4 are known by 8, 2, 2 and 0 of 8 users.
POPULARITY = Popularity.of(np.array([0, 8, 2, 2, 0]), 8)


def test_ratios_are_the_metrics_over_any_users() -> None:
    found = ratios(TOP, HELD_OUT, VALUES, POPULARITY)
    for users in ([0, 1, 2], [0], [1, 2], [0, 0, 2]):
        value = {name: part.gained[users].sum() / max(part.possible[users].sum(), 1e-9) for name, part in found.items()}
        top, held_out, values = TOP[users], HELD_OUT[users], VALUES[users]
        assert value["ndcg@10"] == pytest.approx(metrics.ndcg(top, held_out, 10))
        assert value["recall@10"] == pytest.approx(metrics.recall(top, held_out, 10))
        assert value["recall@50"] == pytest.approx(metrics.recall(top, held_out, 50))
        assert value["value_ndcg@10"] == pytest.approx(metrics.value_ndcg(top, held_out, values, 10))
        assert value["mean_value@10"] == pytest.approx(metrics.mean_value(top, held_out, values, 10))


def test_popularity_and_novelty_are_of_the_shown_items() -> None:
    np.testing.assert_allclose(POPULARITY.percentile, [0, 3.5 / 4, 2 / 4, 2 / 4, 0.5 / 4])
    # All know item 1, a quarter items 2 and 3; item 4, which none knows, counts half a user.
    np.testing.assert_allclose(POPULARITY.information, [0, 0, 2, 2, 4])
    found = ratios(TOP, HELD_OUT, VALUES, POPULARITY)
    assert found["popularity@10"].gained.sum() / found["popularity@10"].possible.sum() == pytest.approx(
        (0.875 + 0.5 + 0.5 + 0.125 + 0.875) / 5
    )
    assert found["novelty@10"].gained.tolist() == [4.0, 4.0, 0.0]
    assert found["novelty@10"].possible.tolist() == [3.0, 2.0, 0.0]
