"""Baselines, against lists worked out by hand."""

import numpy as np
import pytest

from winnow.evaluation.baselines import Past, ease, item_knn, most_taken, popularity
from winnow.features.table import Interactions

VALUES = (1.0, -5.0)
"""Of a view and of a dislike."""


def past_of(*users: list[int], items: int, repeats: bool = False, grade: float = 1.0) -> Past:
    """The past of users with views of items; a dislike of item 3 is ``-3``."""
    events = np.array([item for user in users for item in user], np.int32)
    offsets = np.concatenate([[0], np.cumsum([len(user) for user in users])]).astype(np.int64)
    log = Interactions(
        offsets,
        np.abs(events),
        np.where(events > 0, 1, 2).astype(np.int32),
        np.arange(len(events), dtype=np.int64),
        np.full(len(events), grade, np.float32),
    )
    return Past.of(log, items, VALUES, repeats)


def test_popularity_counts_users_and_leaves_out_seen_items() -> None:
    past = past_of([1, 1, 1, 2], [2, 3], [2, 3], items=4)
    assert popularity(past, 4).tolist() == [[3, 4, 0, 0], [1, 4, 0, 0], [1, 4, 0, 0]]


def test_with_repeats_seen_items_stay() -> None:
    past = past_of([1, 1, 1, 2], [2, 3], [2, 3], items=4, repeats=True)
    assert popularity(past, 4).tolist() == [[2, 3, 1, 4]] * 3


def test_what_a_user_took_most_comes_before_what_others_took() -> None:
    past = past_of([1, 1, 1, 2, 4, -4, -4, -4], [2, 3], [3, 2, 3], [], items=5, repeats=True)
    assert most_taken(past, 4).tolist() == [[1, 2, 4, 3], [2, 3, 1, 4], [3, 2, 1, 4], [2, 3, 1, 4]]


def test_disliked_items_are_seen_but_not_learned_from() -> None:
    past = past_of([1, -2], [-2], [-2, 3], items=3)
    assert popularity(past, 3).tolist() == [[3, 0, 0], [1, 3, 0], [1, 0, 0]]
    # Item 2 alone would lead from 1 to 3.
    assert past.taken.toarray().tolist() == [[0, 1, 0, 0], [0, 0, 0, 0], [0, 0, 0, 1]]


def test_events_of_grade_zero_are_not_learned_from() -> None:
    assert past_of([1, 2], items=2, grade=0.0).taken.nnz == 0


@pytest.mark.parametrize("baseline", [popularity, item_knn, ease, most_taken])
def test_a_log_whose_events_are_all_doubled_gives_the_same_lists(baseline) -> None:  # type: ignore[no-untyped-def]
    users = [[1, 2], [3, 4], [1, 2, 5], [4], [-5]]
    once = past_of(*users, items=5)
    twice = past_of(*[[item for item in user for _ in range(2)] for user in users], items=5)
    np.testing.assert_array_equal(baseline(once, 5), baseline(twice, 5))


@pytest.mark.parametrize("baseline", [item_knn, ease])
def test_item_knn_finds_co_occurring_items(baseline) -> None:  # type: ignore[no-untyped-def]
    pairs = [[1, 2], [3, 4]] * 20
    top = baseline(past_of(*pairs, [1], [3], items=5), 2)
    assert top[-2, 0] == 2
    assert top[-1, 0] == 4
    assert not (top[0] == 1).any()
    assert not (top[0] == 2).any()


def test_ease_is_steck_s_closed_form() -> None:
    rng = np.random.default_rng(0)
    seen = rng.random((30, 6)) < 0.4
    seen[:, 0] |= ~seen.any(axis=1)
    past = past_of(*[(np.flatnonzero(row) + 1).tolist() for row in seen], items=6)
    inverse = np.linalg.inv(seen.T.astype(float) @ seen + 10.0 * np.eye(6))
    weights = np.eye(6) - inverse @ np.diag(1 / np.diag(inverse))
    scores = np.where(seen, -np.inf, seen @ weights)
    best = np.where(np.isfinite(np.sort(-scores)[:, :1]), np.argsort(-scores)[:, :1] + 1, 0)
    np.testing.assert_array_equal(ease(past, 1, 10.0), best)
