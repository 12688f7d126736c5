"""The search in many sorted parts at once."""

import numpy as np

from winnow.features.segments import first_after


def test_every_part_is_searched_like_an_array_of_its_own() -> None:
    rng = np.random.default_rng(0)
    offsets = np.concatenate([[0], np.cumsum(rng.integers(0, 9, 500))])
    values = np.concatenate([np.sort(rng.integers(0, 9, size)) for size in np.diff(offsets)])
    part, bounds = rng.integers(0, 500, 3000), rng.integers(-1, 10, 3000)
    found = first_after(values, offsets[part], offsets[part + 1], bounds)
    for one, bound, row in zip(part, bounds, found, strict=True):
        begin, end = offsets[one], offsets[one + 1]
        assert row == begin + np.searchsorted(values[begin:end], bound, side="right")


def test_there_may_be_no_parts_and_no_values() -> None:
    nothing = np.zeros(0, np.int64)
    assert first_after(nothing, nothing, nothing, nothing).tolist() == []
    assert first_after(nothing, np.array([0]), np.array([0]), np.array([5])).tolist() == [0]
