"""Under pins and caps, too, logged propensities are the frequencies of what is shown."""

import random
from collections import Counter
from collections.abc import Callable
from contextlib import closing
from typing import Any

import numpy as np
import pytest

from tests.support.reuse.logged import logged
from tests.support.tiny_release import catalog_of
from winnow.release import Release
from winnow.request import Answer
from winnow.store.connection import connect
from winnow.store.keys import IMPRESSIONS

Ask = Callable[..., list[Answer]]

PINS = [{"item_id": "item-2", "position": 0}, {"item_id": "item-3", "position": 3}]


@pytest.mark.parametrize(
    ("rules", "repeats"),
    [
        ({"caps": {"category": 1}}, "hide"),
        ({"caps": {"category": 2, "tags": 3}}, "demote"),
        ({"pins": PINS}, "hide"),
        ({"pins": PINS, "caps": {"category": 2}}, "allow"),
        ({"caps": {"category": 1}, "k": 6}, "hide"),
    ],
)
def test_logged_propensities_are_the_frequencies_of_items_at_positions(
    ask: Ask, published: Release, redis_url: str, rules: dict[str, Any], repeats: str
) -> None:
    """Every list keeps to the caps as far as the list that is not explored does, and pinned slots have propensity 1."""
    times, share = 600, 0.5
    random.seed(18)
    with closing(connect(redis_url)) as client:
        client.delete(IMPRESSIONS)
    request = {"user_id": "user-1", "k": 4, "repeats": repeats, **rules}
    k = request["k"]
    ask(*[request] * times, explore=share)
    lists = logged(redis_url)
    assert len(lists) == times
    propensities: dict[tuple[str, int], set[float]] = {}
    for slots in lists:
        for item, position, propensity in slots:
            propensities.setdefault((item, position), set()).add(round(propensity, 6))
    counts = Counter((item, position) for slots in lists for item, position, _ in slots)
    for slot, found in propensities.items():
        [probability] = found
        deviation = (probability * (1 - probability) / times) ** 0.5
        assert abs(counts[slot] / times - probability) <= 4.5 * deviation, slot
    for position in range(k):
        total = sum(next(iter(found)) for (_, at), found in propensities.items() if at == position)
        assert total == pytest.approx(1.0, abs=1e-5)
    rows = catalog_of(np.asarray(published.array("item_rows"))).to_pylist()
    [unexplored] = ask({**request, "debug": True})
    relaxed = len(unexplored["trace"]["rules"]["relaxed"])
    for column, most in rules.get("caps", {}).items():
        for slots in lists:
            values = [rows[int(item.removeprefix("item-")) - 1][column] for item, _, _ in slots]
            each = [set(value) if isinstance(value, list) else {value} for value in values if value is not None]
            assert max(Counter(value for one in each for value in one).values()) <= most + relaxed
    for pin in rules.get("pins", []):
        assert propensities[pin["item_id"], pin["position"]] == {1.0}
        assert counts[pin["item_id"], pin["position"]] == times
