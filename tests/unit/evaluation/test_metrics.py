"""Ranking metrics, against numbers worked out by hand."""

import numpy as np
import pytest

from winnow.ranking.metrics import coverage, mean_value, ndcg, recall, value_ndcg

TOP = np.array([[1, 2, 3], [4, 5, 0], [1, 3, 2]], np.int32)
HELD_OUT = np.array([2, 6, 1], np.int32)
VALUES = np.array([4.0, 10.0, -2.0])


def test_hits_and_coverage() -> None:
    assert recall(TOP, HELD_OUT, 1) == pytest.approx(1 / 3)
    assert recall(TOP, HELD_OUT, 3) == pytest.approx(2 / 3)
    assert ndcg(TOP, HELD_OUT, 3) == pytest.approx((1 / np.log2(3) + 1) / 3)
    assert coverage(TOP, 10, 3) == pytest.approx(0.5)
    assert coverage(TOP, 10, 1) == pytest.approx(0.2)


def test_value_ndcg_is_the_gained_share_of_the_attainable_value() -> None:
    # Item 2 of value 4 is second, item 6 of value 10 is missed, item 1 of value -2 is first: 14 are attainable.
    assert value_ndcg(TOP, HELD_OUT, VALUES, 3) == pytest.approx((4 / np.log2(3) - 2) / 14)
    assert value_ndcg(TOP, HELD_OUT, VALUES, 1) == pytest.approx(-2 / 14)
    perfect = np.array([[2], [6], [7]], np.int32)
    assert value_ndcg(perfect, HELD_OUT, VALUES, 1) == pytest.approx(1.0)


def test_value_ndcg_of_equal_values_is_ndcg() -> None:
    assert value_ndcg(TOP, HELD_OUT, np.full(3, 7.0), 3) == pytest.approx(ndcg(TOP, HELD_OUT, 3))


def test_mean_value_is_of_the_hits_alone() -> None:
    assert mean_value(TOP, HELD_OUT, VALUES, 3) == pytest.approx((4 - 2) / 2)
    assert mean_value(TOP, HELD_OUT, VALUES, 1) == pytest.approx(-2)


def test_a_catalog_of_five_items_has_shorter_lists_than_k() -> None:
    assert recall(TOP, HELD_OUT, 50) == pytest.approx(2 / 3)
    assert value_ndcg(TOP, HELD_OUT, VALUES, 50) == pytest.approx((4 / np.log2(3) - 2) / 14)


def test_metrics_of_no_users_or_of_no_positive_value_are_zero() -> None:
    nobody = np.zeros((0, 10), np.int32), np.zeros(0, np.int32)
    assert [metric(*nobody, 10) for metric in (recall, ndcg)] == [0.0, 0.0]
    assert [metric(*nobody, np.zeros(0), 10) for metric in (value_ndcg, mean_value)] == [0.0, 0.0]
    assert coverage(nobody[0], 5, 10) == 0.0
    assert value_ndcg(TOP, HELD_OUT, np.array([-1.0, -5.0, 0.0]), 3) == 0.0
    assert mean_value(TOP, np.array([9, 9, 9], np.int32), VALUES, 3) == 0.0
