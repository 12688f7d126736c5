"""What training and serving share of retrieval: histories, windows, co-visitation, the sampled softmax."""

import subprocess
import sys

import numpy as np
import pytest
import torch
from torch.nn import functional

from winnow.features.table import Interactions
from winnow.retrieval.covisitation import covisitation_scores
from winnow.retrieval.history import assemble, assemble_many
from winnow.training.covisitation import covisitation_table
from winnow.training.retriever_windows import epoch_windows, first_interactions
from winnow.training.sampled_softmax import next_item_loss
from winnow.training.settings import CovisitationSettings


def log_of(*users: list[int]) -> Interactions:
    items = np.array([item for user in users for item in user], np.int32)
    offsets = np.concatenate([[0], np.cumsum([len(user) for user in users])]).astype(np.int64)
    times = np.concatenate([1000 * np.arange(len(user), dtype=np.int64) ** 2 for user in users])
    return Interactions(offsets, items, np.ones_like(items), times)


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


def test_many_histories_at_once_are_the_same_as_one_by_one() -> None:
    log = log_of([1, 2, 3], [], [4, 5])
    many = assemble_many(log.item, log.event, log.timestamp, log.offsets[:-1], log.offsets[1:], 4)
    for user in range(log.users):
        rows = log.of(user)
        one = assemble(log.item[rows], log.event[rows], log.timestamp[rows], 4)
        for together, alone in zip(many, one, strict=True):
            np.testing.assert_array_equal(together[user], alone[0])


def test_windows_teach_every_event_but_the_first_and_repeats() -> None:
    log = log_of([1, 2, 1, 3, 4, 5, 6, 7], [8], [9, 9, 2])
    windows = epoch_windows(log, log.offsets[1:], first_interactions(log), 3, np.random.default_rng(0))
    learned = sorted(
        (int(user), int(target))
        for user, row in zip(windows.user, windows.target, strict=True)
        for target in row
        if target
    )
    assert learned == [(0, 2), (0, 3), (0, 4), (0, 5), (0, 6), (0, 7), (2, 2)]
    for user, items, targets in zip(windows.user, windows.history.items, windows.target, strict=True):
        his = log.item[log.of(int(user))].tolist()
        for item, target in zip(items.tolist(), targets.tolist(), strict=True):
            if target and his.count(item) == 1:
                assert his.index(target) == his.index(item) + 1


def test_windows_stop_before_what_is_withheld() -> None:
    log = log_of([1, 2, 3, 4, 5])
    windows = epoch_windows(log, np.array([3]), first_interactions(log), 4, np.random.default_rng(1))
    assert set(windows.target.ravel()) - {0} == {2, 3}
    assert set(windows.history.items.ravel()) - {0} == {1, 2}


def test_neighbours_are_met_together_closest_first() -> None:
    log = log_of([1, 2, 3], [1, 2, 4], [1, 2, 3], [5, 6])
    neighbours, weights = covisitation_table(log, log.offsets[1:], items=7, settings=CovisitationSettings(neighbours=4))
    assert neighbours[1, 0] == 2
    assert set(neighbours[1][weights[1] > 0]) == {2, 3, 4}
    assert not neighbours[0].any()
    assert not weights[7].any(), "an item nobody met has no neighbours"
    assert (np.diff(weights, axis=1) <= 0).all()


def test_the_table_does_not_see_withheld_events() -> None:
    log = log_of([1, 2, 3])
    neighbours, _ = covisitation_table(log, np.array([2]), items=3, settings=CovisitationSettings(neighbours=2))
    assert set(neighbours.ravel()) == {0, 1, 2}


def test_covisitation_scores_follow_the_newest_event_and_leave_out_the_history() -> None:
    neighbours = np.array([[0, 0], [2, 3], [1, 4], [1, 0], [2, 0]], np.int32)
    weights = np.array([[0, 0], [1, 0.5], [1, 0.9], [0.5, 0], [0.9, 0]], np.float32)
    items, scores = covisitation_scores(neighbours, weights, np.array([2, 1], np.int32), 10)
    assert items.tolist() == [4, 3]
    assert scores == pytest.approx([0.9, 0.5 * np.exp(-1 / 3)])
    assert covisitation_scores(neighbours, weights, np.array([2, 1], np.int32), 1)[0].tolist() == [4]
    assert not len(covisitation_scores(neighbours, weights, np.empty(0, np.int32), 5)[0])


def test_the_sampled_softmax_comes_close_to_the_full_one() -> None:
    torch.manual_seed(0)
    wanted, vectors = torch.randn(64, 8), torch.randn(500, 8)
    target = torch.randint(1, 501, (64,))
    probability = torch.linspace(1, 5, 500)
    probability /= probability.sum()
    full = functional.cross_entropy(wanted @ vectors.T, target - 1)
    losses = []
    for _ in range(20):
        drawn = torch.multinomial(probability, 400, replacement=True)
        losses.append(
            next_item_loss(wanted, vectors[target - 1], target, vectors[drawn], drawn + 1, probability[drawn])
        )
    assert float(torch.stack(losses).mean()) == pytest.approx(float(full), rel=0.03)


def test_the_serving_side_of_retrieval_needs_numpy_only() -> None:
    modules = ("retrieval.history", "retrieval.covisitation", "ranking.context", "ranking.mmr")
    code = "import sys;" + "".join(f"import winnow.{name};" for name in modules)
    code += "print([name for name in ('torch', 'scipy', 'pandas', 'pyarrow', 'ibis') if name in sys.modules])"
    answer = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert answer.stdout.strip() == "[]"
