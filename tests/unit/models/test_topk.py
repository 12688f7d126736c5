"""The best items of a catalog are those of a full sort, whatever the catalog's size."""

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from winnow.models import topk
from winnow.models.topk import best_items
from winnow.ranking.context import HIDDEN


def sorted_items(
    scores: NDArray[np.float32], count: int, hidden: NDArray[np.int32]
) -> tuple[NDArray[np.int64], NDArray[np.float32]]:
    """A full sort of every row, hidden items last and item 0 after them."""
    scores = scores.copy()
    for row, items in zip(scores, hidden, strict=True):
        row[items] = HIDDEN
    scores[:, 0] = 2 * HIDDEN
    order = np.argsort(-scores, axis=1, kind="stable")[:, :count]
    return order, np.take_along_axis(scores, order, 1)


@pytest.mark.parametrize("items", [5, 63, 64, 700, 20_000, 65_535, 99_999])
@pytest.mark.parametrize("history", [0, 1, 50])
def test_the_list_is_that_of_a_full_sort(items: int, history: int) -> None:
    random = np.random.default_rng(items + history)
    vectors = random.standard_normal((items + 1, 8)).astype(np.float32)
    queries = random.standard_normal((3, 8)).astype(np.float32)
    count = min(items, 40)
    expected = queries @ vectors.T
    # The hidden items are the best ones, so that all of them have to be replaced.
    hidden = np.argsort(-expected, axis=1)[:, :history].astype(np.int32)
    order, best = sorted_items(expected, count, hidden)
    found, scores = best_items(
        torch.from_numpy(queries), torch.from_numpy(vectors), count, torch.from_numpy(hidden) if history else None
    )
    shown = best > HIDDEN / 2  # of the hidden ones only the place is defined
    assert found.dtype == torch.int32
    np.testing.assert_array_equal(np.where(shown, found.numpy(), 0), np.where(shown, order, 0))
    np.testing.assert_allclose(scores.numpy(), best, rtol=1e-4, atol=1e-5)
    assert all(len({*row, 0}) == count + 1 for row in found.tolist())


@pytest.mark.parametrize("sizes", [(64,), (8, 4), (4, 4, 4)])
@pytest.mark.parametrize("items", [2_048, 2_049, 3_001])
def test_any_number_of_stages_finds_the_list(
    monkeypatch: pytest.MonkeyPatch, sizes: tuple[int, ...], items: int
) -> None:
    monkeypatch.setattr(topk, "block_sizes", lambda items, taken: sizes)
    generator = torch.Generator().manual_seed(items)
    scores = torch.stack([torch.randperm(items, generator=generator) for _ in range(2)]).float()
    best, found = topk.highest(lambda first, last: scores[:, first:last], items, 16)
    order = np.argsort(-scores.numpy(), axis=1, kind="stable")[:, :16]
    np.testing.assert_array_equal(found, order)
    np.testing.assert_array_equal(best, np.take_along_axis(scores.numpy(), order, 1))


@pytest.mark.parametrize(
    ("items", "sizes"), [(1_000, ()), (100_000, (64,)), (1_000_000, (64,)), (10_000_000, (64, 16)), (10**8, (64, 64))]
)
def test_blocks_and_stages_grow_with_the_catalog(items: int, sizes: tuple[int, ...]) -> None:
    assert topk.block_sizes(items, 451) == sizes
