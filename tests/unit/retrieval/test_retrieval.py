"""Histories and co-visitation scores, as training and serving share them."""

import subprocess
import sys

import numpy as np
import pytest

from winnow.features.table import Interactions
from winnow.retrieval import covisitation
from winnow.retrieval.covisitation import covisitation_scores
from winnow.retrieval.history import assemble, assemble_many


def log_of(*users: list[int]) -> Interactions:
    items = np.array([item for user in users for item in user], np.int32)
    offsets = np.concatenate([[0], np.cumsum([len(user) for user in users])]).astype(np.int64)
    times = np.concatenate([1000 * np.arange(len(user), dtype=np.int64) ** 2 for user in users])
    return Interactions(offsets, items, np.ones_like(items), times, np.ones(len(items), np.float32))


def test_a_history_is_left_padded_and_keeps_the_newest() -> None:
    log = log_of([1, 2, 3, 4])
    short = assemble(log.item, log.event, log.timestamp, 6)
    assert short.items.tolist() == [[0, 0, 1, 2, 3, 4]]
    assert short.events.tolist() == [[0, 0, 1, 1, 1, 1]]
    assert short.gaps.tolist() == [[0, 0, 0, 1, 3, 5]]
    cut = assemble(log.item, log.event, log.timestamp, 2)
    assert cut.items.tolist() == [[3, 4]]
    assert cut.gaps.tolist() == [[0, 5]], "the window's first event has no event before it"
    assert [array.dtype for array in cut] == [np.int32, np.int32, np.float32]


def test_an_empty_history_is_all_padding() -> None:
    log = log_of([])
    assert not any(array.any() for array in assemble(log.item, log.event, log.timestamp, 3))


def test_batched_histories_equal_single_ones() -> None:
    log = log_of([1, 2, 3], [], [4, 5])
    many = assemble_many(log.item, log.event, log.timestamp, log.offsets[:-1], log.offsets[1:], 4)
    for user in range(log.users):
        rows = log.of(user)
        one = assemble(log.item[rows], log.event[rows], log.timestamp[rows], 4)
        for together, alone in zip(many, one, strict=True):
            np.testing.assert_array_equal(together[user], alone[0])


def test_covisitation_scores_follow_the_newest_event_and_leave_out_the_history() -> None:
    neighbours = np.array([[0, 0], [2, 3], [1, 4], [1, 0], [2, 0]], np.int32)
    weights = np.array([[0, 0], [1, 0.5], [1, 0.9], [0.5, 0], [0.9, 0]], np.float32)
    items, scores = covisitation_scores(neighbours, weights, np.array([2, 1], np.int32), 10)
    assert items.tolist() == [4, 3]
    assert scores == pytest.approx([0.9, 0.5 * np.exp(-1 / 3)])
    assert covisitation_scores(neighbours, weights, np.array([2, 1], np.int32), 1)[0].tolist() == [4]
    assert not len(covisitation_scores(neighbours, weights, np.empty(0, np.int32), 5)[0])


def test_the_serving_side_of_retrieval_needs_numpy_only() -> None:
    modules = ("retrieval.history", "retrieval.covisitation", "ranking.context", "ranking.mmr")
    code = "import sys;" + "".join(f"import winnow.{name};" for name in modules)
    code += "print([name for name in ('torch', 'scipy', 'pandas', 'pyarrow', 'ibis') if name in sys.modules])"
    answer = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert answer.stdout.strip() == "[]"


def test_covisitation_scores_do_not_depend_on_how_large_catalogs_are_summed(monkeypatch: pytest.MonkeyPatch) -> None:
    random = np.random.default_rng(0)
    neighbours = random.integers(0, 500, (500, 20)).astype(np.int32)
    weights = np.where(neighbours > 0, random.random(neighbours.shape), 0).astype(np.float32)
    history = random.integers(1, 500, 30).astype(np.int32)
    small = covisitation_scores(neighbours, weights, history, 100)
    monkeypatch.setattr(covisitation, "_COUNTED", 0)
    for expected, found in zip(small, covisitation_scores(neighbours, weights, history, 100), strict=True):
        np.testing.assert_array_equal(found, expected)
    assert len(small[0]) == 100
    assert not len(covisitation_scores(neighbours, weights, history[:0], 5)[0])
