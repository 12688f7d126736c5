"""The map of the items: every catalog has one, the same from the same vectors, with neighbours side by side."""

import numpy as np
import pytest
from numpy.typing import NDArray

from export.item_map import SAMPLE, explored_items

LOG = np.array([1, 1, 3], np.int32)


def groups(count: int, width: int = 16, of: int = 4) -> NDArray[np.float32]:
    """Unit vectors around some centres, with the padding item's in front; item i is of group i modulo ``of``."""
    random = np.random.default_rng(3)
    centres = random.standard_normal((of, width))
    vectors = centres[np.arange(count + 1) % of] + 0.1 * random.standard_normal((count + 1, width))
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    vectors[0] = 0
    return vectors.astype(np.float32)


@pytest.mark.parametrize("count", [1, 2, 5, 49, 50, 120])
def test_every_item_of_a_small_catalog_has_a_place(count: int) -> None:
    arrays = explored_items(groups(count), np.array([1], np.int32), 7)
    assert arrays["map_items"].tolist() == list(range(1, count + 1))
    points = arrays["map_points"]
    assert (points.shape, points.dtype) == ((count, 2), np.uint16)
    if count > 1:
        assert np.ptp(points, axis=0).max() == 65_535
        assert len(np.unique(points, axis=0)) == count


def test_groups_stay_together() -> None:
    count = 400
    points = explored_items(groups(count), LOG, 7)["map_points"].astype(float)
    apart = np.linalg.norm(points[:, None] - points[None], axis=2)
    np.fill_diagonal(apart, np.inf)
    nearest = np.argsort(apart, axis=1)[:, :10] + 1
    of = np.arange(1, count + 1) % 4
    assert (nearest % 4 == of[:, None]).mean() > 0.95


def test_it_is_the_same_from_the_same_vectors() -> None:
    one, other = (explored_items(groups(200), LOG, 7)["map_points"] for _ in range(2))
    assert np.array_equal(one, other)


@pytest.mark.parametrize("width", [1, 2, 64])
@pytest.mark.parametrize("count", [5, 80])
def test_equal_vectors_have_places(count: int, width: int) -> None:
    vectors = np.ones((count + 1, width), np.float32) / np.sqrt(width)
    points = explored_items(vectors.astype(np.float32), LOG, 7)["map_points"]
    assert points.shape == (count, 2)


def test_of_a_million_items_a_sample_is_projected() -> None:
    arrays = explored_items(groups(1_000_000, width=8), LOG, 7)
    items = arrays["map_items"]
    assert len(items) == len(np.unique(items)) == SAMPLE
    assert items.min() >= 1
    assert items.max() > 900_000
    assert arrays["item_events"].shape == (1_000_001,)


def test_events_are_counted_by_item() -> None:
    assert explored_items(groups(4), LOG, 7)["item_events"].tolist() == [0, 2, 0, 1, 0]
