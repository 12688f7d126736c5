"""The nearest item, and whether it is similar, beside a plain computation of each pair."""

from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from recommender_transformer.funnel.reasons.nearness import Nearness


@pytest.mark.parametrize("catalog", [1, 2, 3, 5, 120, 1000, 4000])
@pytest.mark.parametrize("spread", [0.2, 3.0])
def test_nearest_equals_a_plain_computation(catalog: int, spread: float) -> None:
    rng = np.random.default_rng(catalog)
    vectors = rng.normal(size=(catalog + 1, 6), loc=1.0, scale=spread).astype(np.float32)
    given: Any = SimpleNamespace(size=catalog, vectors=SimpleNamespace(take=lambda items: vectors[items]))
    unit = vectors / np.linalg.norm(vectors, axis=1, keepdims=True)
    sample = np.unique(np.linspace(1, catalog, min(1000, catalog)).astype(np.int32))
    items = np.unique(rng.integers(1, catalog + 1, 30)).astype(np.int32)
    others = np.unique(rng.integers(1, catalog + 1, 400)).astype(np.int32)
    found = Nearness(given).nearest(items, others)
    assert len(found) == len(others)
    for other, near in zip(others, found, strict=True):
        cosines = unit[items] @ unit[other]
        assert near.cosine == pytest.approx(cosines.max(), abs=1e-5)
        assert unit[near.item] @ unit[other] == pytest.approx(cosines.max(), abs=1e-5)
        apart = unit[sample[(sample != near.item) & (sample != other)]] @ unit[near.item]
        bar = max(0.5, np.quantile(apart, 0.99, method="higher")) if len(apart) else 0.5
        if abs(near.cosine - bar) > 1e-5:
            assert near.similar == (near.cosine >= bar), (near, other, bar)
