"""Rank-biased overlap against the definition and against values that were computed by hand."""

import pytest

from winnow.explorer.compare.overlap import rank_biased_overlap


def by_definition(first: str, second: str, p: float) -> float:
    """Of lists of one length: equation 32 with nothing uneven in it."""
    shared = [len(set(first[:depth]) & set(second[:depth])) for depth in range(1, len(first) + 1)]
    terms = sum(count / depth * p**depth for depth, count in enumerate(shared, 1))
    return (1 - p) / p * terms + shared[-1] / len(first) * p ** len(first)


@pytest.mark.parametrize(
    ("first", "second", "expected"),
    [("ab", "ab", 1.0), ("ab", "cd", 0.0), ("ab", "ba", 0.5), ("a", "ab", 1.0), ("", "", 1.0), ("", "ab", 0.0)],
)
def test_small_lists(first: str, second: str, expected: float) -> None:
    assert rank_biased_overlap(first, second, 0.5) == pytest.approx(expected)


@pytest.mark.parametrize("second", ["abcdefghij", "bacdefghij", "jihgfedcba", "klmnopqrst", "abcdeklmno", "kabcdefghi"])
def test_lists_of_one_length_follow_the_definition(second: str) -> None:
    first = "abcdefghij"
    assert rank_biased_overlap(first, second) == pytest.approx(by_definition(first, second, 0.9))


def test_the_order_of_the_lists_does_not_count_and_the_first_places_count_most() -> None:
    assert rank_biased_overlap("abcdef", "bcz") == pytest.approx(rank_biased_overlap("bcz", "abcdef"))
    assert rank_biased_overlap("abcdefghij", "zbcdefghij") < rank_biased_overlap("abcdefghij", "abcdefghiz")
