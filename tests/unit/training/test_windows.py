"""Training windows, the co-visitation table and the sampled softmax."""

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torch.nn import functional

from winnow.features.table import Interactions
from winnow.settings.training import CovisitationSettings
from winnow.training.retriever.loss import target_log_probability, value_weighted
from winnow.training.retriever.negatives import NegativeSampler
from winnow.training.retriever.windows import Batch, batches, cut, epoch_windows
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


def windows_of(log: Interactions, until: NDArray[np.int64], length: int) -> Batch:
    values = firsts(log)
    return cut(log, values, epoch_windows(log, until, values, length, np.random.default_rng(0)))


def test_windows_have_every_event_except_first_ones_and_repeats_as_target() -> None:
    log = log_of([1, 2, 1, 3, 4, 5, 6, 7], [8], [9, 9, 2])
    windows = windows_of(log, log.offsets[1:], 3)
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
    windows = windows_of(log, np.array([3]), 4)
    assert set(windows.target.ravel()) - {0} == {2, 3}
    assert set(windows.history.items.ravel()) - {0} == {1, 2}


def test_a_batch_has_the_room_of_full_windows_and_little_padding() -> None:
    rng = np.random.default_rng(0)
    log = log_of(*(rng.integers(1, 500, count).tolist() for count in rng.integers(2, 40, 3000)))
    windows = epoch_windows(log, log.offsets[1:], firsts(log), 20, rng)
    length = windows.end - windows.start
    learned, room = [], 0
    for chosen in batches(windows, 160, rng):
        assert len(chosen) * length[chosen].max() <= 160
        room += len(chosen) * int(length[chosen].max())
        learned += chosen.tolist()
    assert sorted(learned) == list(range(len(windows)))
    assert length.sum() > 0.9 * room, "windows of like length share a batch"
    assert learned != sorted(learned)


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
    rng = np.random.default_rng(0)
    wanted, vectors = torch.randn(64, 8), torch.randn(501, 8)
    share = np.linspace(1, 5, 500)
    log = rng.choice(np.arange(1, 501), 20_000, p=share / share.sum()).astype(np.int32)
    sampler = NegativeSampler(log, 500, 200, torch.device("cpu"))
    losses, fulls = [], []
    for _ in range(40):
        target = rng.choice(log, 64)
        fulls.append(float(functional.cross_entropy(wanted @ vectors[1:].T, torch.from_numpy(target).long() - 1)))
        items = np.unique(np.concatenate([target, sampler.draw(rng)]))
        candidates = torch.from_numpy(items).long()
        found = target_log_probability(
            wanted @ vectors[candidates].T,
            torch.from_numpy(np.searchsorted(items, target)),
            sampler.log_inclusion(candidates, len(target)),
        )
        losses.append(float(-found.mean()))
    assert np.mean(losses) == pytest.approx(np.mean(fulls), rel=0.03)


def test_items_without_events_are_no_negatives() -> None:
    sampler = NegativeSampler(np.array([2, 2, 2, 7], np.int32), 9, 4000, torch.device("cpu"))
    drawn = sampler.draw(np.random.default_rng(0))
    assert set(drawn.tolist()) == {2, 7}
    assert 2400 < np.count_nonzero(drawn == 2) < 2600, "half by popularity (3 of 4), half uniformly"


def test_a_value_weights_a_target_and_a_refused_item_is_pushed_away() -> None:
    logits = torch.zeros(3, 4, requires_grad=True)
    log_probability = torch.log_softmax(logits, 1)[:, 0]
    value_weighted(log_probability, torch.tensor([3.0, 1.0, -1.0])).backward()  # type: ignore[no-untyped-call]
    assert logits.grad is not None
    much, little, away = logits.grad[:, 0].tolist()
    assert much == pytest.approx(3 * little)
    assert little < 0 < away, "gradient descent raises the first two logits and lowers the third"


def test_equal_values_leave_the_plain_sum() -> None:
    log_probability = torch.tensor([-1.0, -3.0])
    assert float(value_weighted(log_probability, torch.ones(2))) == pytest.approx(4.0)
