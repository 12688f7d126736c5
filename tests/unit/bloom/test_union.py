"""Filters of two users united without knowing their items."""

import numpy as np
import pytest

from winnow.bloom.hashing import item_hash
from winnow.bloom.scalable import ScalableBloomFilter


def hashes(prefix: str, count: int) -> list[int]:
    return [item_hash(f"{prefix}-{number}") for number in range(count)]


def filled(values: list[int], capacity: int = 64) -> ScalableBloomFilter:
    made = ScalableBloomFilter(capacity, 0.005)
    made.update(values)
    return made


def test_small_filters_of_equal_parameters_are_the_filter_of_all_items() -> None:
    one, two = hashes("a", 20), hashes("b", 25)
    united = filled(one)
    united.union(filled(two))
    expected = filled(one + two)
    # All but the header: the number of items is estimated from the bits.
    assert united.to_bytes()[13:] == expected.to_bytes()[13:]
    assert abs(len(united) - len(expected)) <= 1


@pytest.mark.parametrize(("first", "second", "capacity"), [(40, 50, 64), (500, 30, 64), (30, 500, 64), (80, 80, 100)])
def test_no_item_is_lost_and_the_rates_add_up(first: int, second: int, capacity: int) -> None:
    one, two = hashes("a", first), hashes("b", second)
    united = filled(one)
    united.union(filled(two, capacity))
    assert all(value in united for value in one + two)
    false = np.mean([value in united for value in hashes("other", 20_000)])
    assert false <= 0.01
    assert abs(united.false_positive_rate - false) < 0.003
    # It still takes items, and is read back.
    united.update(hashes("c", 200))
    again, _ = ScalableBloomFilter.read(united.to_bytes(), 0, 0.005)
    assert all(value in again for value in one + two + hashes("c", 200))


def test_uniting_again_changes_nothing() -> None:
    united, other = filled(hashes("a", 300)), filled(hashes("b", 90), 100)
    united.union(other)
    once = united.to_bytes()
    united.union(other)
    assert united.to_bytes() == once


def test_the_number_of_layers_is_bounded() -> None:
    united = filled(hashes("a", 2000), 4)
    for capacity in range(5, 15):
        united.union(filled(hashes(f"b{capacity}", 100), capacity))
    assert united.depth <= 10
    ScalableBloomFilter.read(united.to_bytes(), 0, 0.005)


def test_set_bits_are_counted() -> None:
    made = filled(hashes("a", 10))
    size, ones = made.bits
    assert size == 8 * (len(made.to_bytes()) - 13)
    assert 60 <= ones <= 80
