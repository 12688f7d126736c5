"""The table of the nearest items: exact in small catalogs, nearly exact in large ones, whole in tiny ones."""

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from winnow.models import nearest
from winnow.models.nearest import nearest_items


def vectors(items: int, width: int = 16) -> torch.Tensor:
    """Unit vectors in clusters, as those of a catalog are."""
    rng = np.random.default_rng(0)
    centres = rng.standard_normal((40, width))
    drawn = centres[rng.integers(0, 40, items + 1)] + 0.4 * rng.standard_normal((items + 1, width))
    return torch.from_numpy((drawn / np.linalg.norm(drawn, axis=1, keepdims=True)).astype(np.float32))


def exact(held: torch.Tensor, count: int) -> NDArray[np.intp]:
    products = (held[1:] @ held[1:].T).numpy()
    np.fill_diagonal(products, -np.inf)
    return np.argsort(-products, axis=1, kind="stable")[:, :count] + 1


def test_a_small_catalog_is_compared_exactly() -> None:
    held = vectors(700)
    table = nearest_items(held, 20)
    assert (table.shape, table.dtype) == ((701, 20), np.int32)
    assert not table[0].any()
    assert (table[1:] == exact(held, 20)).mean() > 0.999


def test_a_large_catalog_finds_nearly_all(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(nearest, "SCANNED_ITEMS", 100)
    held = vectors(6000)
    table = nearest_items(held, 20)
    expected = exact(held, 20)
    found = np.mean([len(set(row) & set(true)) / 20 for row, true in zip(table[1:], expected, strict=True)])
    assert found > 0.95
    assert not (table[1:] == np.arange(1, 6001)[:, None]).any()


@pytest.mark.parametrize(("items", "width"), [(1, 0), (2, 1), (5, 4)])
def test_a_tiny_catalog_has_all_others(items: int, width: int) -> None:
    table = nearest_items(vectors(items))
    assert table.shape == (items + 1, width)
    for item in range(1, items + 1):
        assert sorted(table[item].tolist()) == [other for other in range(1, items + 1) if other != item]


def test_equal_vectors_are_neighbours_of_each_other(monkeypatch: pytest.MonkeyPatch) -> None:
    held = vectors(300)
    held[7] = held[200] = held[9]
    assert set(nearest_items(held, 5)[7][:2].tolist()) == {9, 200}
    monkeypatch.setattr(nearest, "SCANNED_ITEMS", 100)
    assert set(nearest_items(held, 5)[9][:2].tolist()) == {7, 200}
