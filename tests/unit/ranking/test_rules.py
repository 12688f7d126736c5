"""Caps, boosts and pins as plain functions: properties over generated lists."""

from collections import Counter

import numpy as np
import pytest

from winnow.ranking.boosts import boosted, fatigue_factors
from winnow.ranking.caps import Quotas
from winnow.ranking.mmr import mmr
from winnow.ranking.pins import with_pins
from winnow.settings.business_rules import Fatigue

Values = dict[int, dict[str, str | list[str] | None]]


def generated(seed: int, count: int) -> Values:
    rng = np.random.default_rng(seed)
    tags = ["a", "b", "ключ", "d"]
    return {
        item: {
            "brand": None if rng.random() < 0.2 else f"brand-{rng.integers(4)}",
            "tags": None if rng.random() < 0.2 else [str(tag) for tag in rng.choice(tags, rng.integers(0, 4))],
        }
        for item in range(1, count + 1)
    }


def quotas(values: Values, **most: int) -> Quotas:
    return Quotas(most, lambda column, item: values[item][column])


def counts(values: Values, items: list[int], column: str) -> Counter[str]:
    found = (values[item][column] for item in items)
    lists = ([one] if isinstance(one, str) else one or [] for one in found)
    return Counter(text for one in lists for text in set(one))


@pytest.mark.parametrize("seed", range(30))
def test_a_list_keeps_to_its_caps_and_misses_nothing_that_fits(seed: int) -> None:
    rng = np.random.default_rng(seed)
    values = generated(seed, int(rng.integers(1, 60)))
    most = {"brand": int(rng.integers(1, 5)), "tags": int(rng.integers(1, 5))}
    items = rng.permutation(list(values)).astype(np.int32)
    limited = quotas(values, **most)
    chosen = items[limited.fit(items, 20)].tolist()
    for column, limit in most.items():
        assert max(counts(values, chosen, column).values(), default=0) <= limit
    if len(chosen) < 20:
        left = [item for item in items.tolist() if item not in chosen]
        assert not any(limited.has_room(item) for item in left)
        assert all(limited.full(item) for item in left)


@pytest.mark.parametrize("seed", range(20))
def test_mmr_under_caps_is_mmr_while_they_do_not_bind_and_keeps_to_them_when_they_do(seed: int) -> None:
    rng = np.random.default_rng(seed)
    values = generated(seed, 80)
    items = np.arange(1, 81, dtype=np.int32)
    scores = np.sort(rng.standard_normal(80)).astype(np.float32)[::-1]
    vectors = rng.standard_normal((80, 4)).astype(np.float32)

    def chosen(limited: Quotas) -> list[int]:
        members = limited.members(items)

        def closes(position: int) -> list[int]:
            return [one for group in limited.take(int(items[position])) for one in members[group]]

        return items[mmr(scores, vectors, 10, 0.5, closes)].tolist()

    assert chosen(quotas(values, brand=10)) == items[mmr(scores, vectors, 10, 0.5)].tolist()
    limited = quotas(values, brand=2)
    two = chosen(limited)
    assert max(counts(values, two, "brand").values()) <= 2
    # Of the best forty, which it chooses from, none that fits is left.
    assert len(two) == 10 or not any(limited.has_room(item) for item in range(1, 41) if item not in two)


def test_the_least_excess_comes_first_in_the_order_of_the_items() -> None:
    values: Values = {item: {"brand": brand} for item, brand in enumerate("AAAABBBC", 1)}
    limited = quotas(values, brand=1)
    limited.restart([1, 5])
    left = np.array([2, 3, 4, 6, 7], np.int32)
    assert left[limited.least_excess(left, 5)].tolist() == [2, 6, 3, 7, 4]


@pytest.mark.parametrize("seed", range(20))
@pytest.mark.parametrize("logarithmic", [True, False])
def test_a_larger_factor_is_a_larger_score_and_a_common_one_changes_no_order(seed: int, logarithmic: bool) -> None:
    rng = np.random.default_rng(seed)
    scores = (rng.standard_normal(50) * 10.0 ** rng.integers(-3, 4) - rng.integers(0, 100)).astype(np.float32)
    for factor, other in ((0.01, 0.5), (0.5, 1.0), (1.0, 3.0), (3.0, 100.0)):
        less, more = (boosted(scores, np.full(50, np.log(one)), logarithmic) for one in (factor, other))
        assert (less < more).all()
        assert (np.argsort(less, kind="stable") == np.argsort(more, kind="stable")).all()
    assert (boosted(scores, np.zeros(50), logarithmic) == scores).all()


def test_equal_scores_and_no_scores_can_be_boosted() -> None:
    log_factors = np.log([2.0, 1.0, 0.5])
    equal = boosted(np.zeros(3, np.float32), log_factors, False)
    assert equal.tolist() == sorted(equal.tolist(), reverse=True)
    assert len(set(equal.tolist())) == 3
    assert boosted(np.empty(0, np.float32), np.empty(0), False).shape == (0,)


def test_fatigue_goes_from_one_to_the_weight_at_the_last_showing_that_counts() -> None:
    rule = Fatigue(after=3, weight=0.25, half_life_hours=1)
    shown = np.array([0.0, 1.0, 2.0, 2.5, 3.0, 50.0])
    assert fatigue_factors(shown, rule).tolist() == pytest.approx([1, 1, 1, 0.5, 0.25, 0.25])
    at_once = Fatigue(after=1, weight=0.25, half_life_hours=1)
    assert fatigue_factors(np.array([0.0, 0.5, 1.0]), at_once).tolist() == pytest.approx([1, 0.5, 0.25])


def test_pins_are_at_their_positions_or_last() -> None:
    assert with_pins([1, 2, 3], {0: 9, 2: 8}) == [9, 1, 8, 2, 3]
    assert with_pins([1], {5: 9, 7: 8}) == [1, 9, 8]
    assert with_pins([], {}) == []
