"""The value of candidates, and the order that it gives."""

import numpy as np
import pytest
from numpy.typing import NDArray

from winnow.ranking.objectives import terms, value_scores, values, weights_of

WEIGHTS = np.array([1.0, 10.0, -5.0])


def candidates(*rows: tuple[float, ...]) -> NDArray[np.float32]:
    """Click, view, purchase and dislike of each candidate, and a conversion as likely as the purchase."""
    return np.array([(*row, row[2]) for row in rows], np.float32)


def test_later_weights_win_and_unknown_types_have_none() -> None:
    given = weights_of(("view", "buy"), (1.0, 4.0), {"buy": 9.0, "share": 1.0}, {"view": 0.0})
    assert given.tolist() == [0.0, 9.0]


def test_the_value_is_the_sum_of_its_terms_and_orders_candidates() -> None:
    offered = candidates((0.2, 1.0, 0.1, 0.0), (0.1, 1.0, 0.5, 0.1), (0.4, 1.0, 0.0, 0.9), (0.1, 1.0, 0.0, 0.9))
    assert terms(offered, WEIGHTS)[0] == pytest.approx([0.2, 0.2, 0.0])
    worth = values(offered, WEIGHTS)
    assert worth == pytest.approx(terms(offered, WEIGHTS).sum(axis=1))
    scores = value_scores(offered, WEIGHTS)
    assert scores[:2] == pytest.approx(np.log(worth[:2]))
    assert np.argsort(-scores)[:2].tolist() == [1, 0]
    assert (scores[2:] < scores[:2].min()).all(), "negative values come last"


def test_a_constant_worth_keeps_the_distances_of_the_clicks() -> None:
    offered = candidates((0.5, 1.0, 0.2, 0.0), (0.05, 1.0, 0.2, 0.0), (0.001, 1.0, 0.2, 0.0))
    for weights in (WEIGHTS, np.array([0.0, 0.0, 0.0]), np.array([-1.0, 0.0, 0.0])):
        assert np.diff(value_scores(offered, weights)) == pytest.approx(np.diff(np.log([0.5, 0.05, 0.001])), rel=1e-5)
