"""Training windows, the co-visitation table and the sampled softmax."""

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torch.nn import functional

from winnow.features.table import Interactions
from winnow.settings.training import CovisitationSettings
from winnow.training.retriever.loss import next_item_log_probability, value_weighted
from winnow.training.retriever.windows import epoch_windows
from winnow.training.tables.covisitation import covisitation_table


def log_of(*users: list[int]) -> Interactions:
    items = np.array([item for user in users for item in user], np.int32)
    offsets = np.concatenate([[0], np.cumsum([len(user) for user in users])]).astype(np.int64)
    times = np.concatenate([1000 * np.arange(len(user), dtype=np.int64) ** 2 for user in users])
    return Interactions(offsets, items, np.ones_like(items), times, np.ones(len(items), np.float32))


def firsts(log: Interactions) -> NDArray[np.float32]:
    """1 for a user's first event with an item, 0 for the others."""
    user = np.repeat(np.arange(log.users), np.diff(log.offsets))
    values = np.zeros(len(user), np.float32)
    values[np.unique(user * 100 + log.item, return_index=True)[1]] = 1.0
    return values


def test_windows_have_every_event_except_first_ones_and_repeats_as_target() -> None:
    log = log_of([1, 2, 1, 3, 4, 5, 6, 7], [8], [9, 9, 2])
    windows = epoch_windows(log, log.offsets[1:], firsts(log), 3, np.random.default_rng(0))
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


def test_windows_end_before_held_out_events() -> None:
    log = log_of([1, 2, 3, 4, 5])
    windows = epoch_windows(log, np.array([3]), firsts(log), 4, np.random.default_rng(1))
    assert set(windows.target.ravel()) - {0} == {2, 3}
    assert set(windows.history.items.ravel()) - {0} == {1, 2}


def test_neighbours_are_ordered_by_co_visitation() -> None:
    log = log_of([1, 2, 3], [1, 2, 4], [1, 2, 3], [5, 6])
    neighbours, weights = covisitation_table(log, log.grade, log.offsets[1:], 7, CovisitationSettings(neighbours=4))
    assert neighbours[1, 0] == 2
    assert set(neighbours[1][weights[1] > 0]) == {2, 3, 4}
    assert not neighbours[0].any()
    assert not weights[7].any(), "an item without events has no neighbours"
    assert (np.diff(weights, axis=1) <= 0).all()


def test_the_table_ignores_held_out_events() -> None:
    log = log_of([1, 2, 3])
    neighbours, _ = covisitation_table(log, log.grade, np.array([2]), 3, CovisitationSettings(neighbours=2))
    assert set(neighbours.ravel()) == {0, 1, 2}


def test_the_sampled_softmax_approximates_the_full_one() -> None:
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
            -next_item_log_probability(
                wanted, vectors[target - 1], target, vectors[drawn], drawn + 1, probability[drawn]
            ).mean()
        )
    assert float(torch.stack(losses).mean()) == pytest.approx(float(full), rel=0.03)


def test_a_value_weights_a_target_and_a_refused_item_is_pushed_away() -> None:
    logits = torch.zeros(3, 4, requires_grad=True)
    log_probability = torch.log_softmax(logits, 1)[:, 0]
    value_weighted(log_probability, torch.tensor([3.0, 1.0, -1.0])).backward()  # type: ignore[no-untyped-call]
    assert logits.grad is not None
    much, little, away = logits.grad[:, 0].tolist()
    assert much == pytest.approx(3 * little)
    assert little < 0 < away, "gradient descent raises the first two logits and lowers the third"


def test_equal_values_leave_the_plain_mean() -> None:
    log_probability = torch.tensor([-1.0, -3.0])
    assert float(value_weighted(log_probability, torch.ones(2))) == pytest.approx(2.0)
