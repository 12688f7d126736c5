"""The tables that training fits for the sources, and the running mean of the weights."""

from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from winnow.arrays.strings import Strings
from winnow.features.table import FeatureSet, Interactions
from winnow.schema import NUMERIC_FEATURES, Feature, FeatureSchema
from winnow.settings.training import CovisitationSettings, PopularitySettings
from winnow.training.loop.running_mean import RunningMean
from winnow.training.tables.covisitation import covisitation_table
from winnow.training.tables.source_tables import SourceTables, popular_items

POPULARITY = NUMERIC_FEATURES.index("popularity_7d")


@pytest.fixture
def features() -> FeatureSet:
    schema = FeatureSchema(
        item=tuple(Feature(name=name, kind="numeric") for name in NUMERIC_FEATURES),
        user=(),
        events=("view",),
        event_values=(1.0,),
        event_windows_ms=(86_400_000,),
        conversions=(),
    )
    item_rows = np.zeros(6, schema.item_dtype)
    item_rows["numeric"][1:, POPULARITY] = [0.1, 0.4, 0.4, 0.0, 0.9]
    return FeatureSet(
        schema=schema,
        vocabularies={},
        item_ids=Strings.of(["", *"abcde"]),
        user_ids=np.array(["u", "v"]),
        item_rows=item_rows,
        user_rows=np.zeros(2, schema.user_dtype),
        embeddings={},
        interactions=Interactions(
            np.array([0, 3, 5]), np.array([1, 2, 3, 2, 5], np.int32), np.ones(5, np.int32), np.arange(5), np.ones(5)
        ),
        as_of=10,
    )


def test_popular_items_are_ordered_by_popularity_then_by_index(features: FeatureSet) -> None:
    assert popular_items(features, 10).tolist() == [5, 2, 3, 1, 4]
    assert popular_items(features, 2).tolist() == [5, 2]
    assert popular_items(features, 10).dtype == np.int32


def test_tables_are_fitted_to_the_whole_log_and_read_back(features: FeatureSet, tmp_path: Path) -> None:
    settings = CovisitationSettings(neighbours=3)
    tables = SourceTables.fit(features, settings, PopularitySettings())
    log = features.interactions
    neighbours, weights = covisitation_table(log, log.grade, log.offsets[1:], features.items, settings)
    np.testing.assert_array_equal(tables.neighbours, neighbours)
    np.testing.assert_array_equal(tables.neighbour_weights, weights)
    tables.save(tmp_path)
    again = SourceTables.load(tmp_path)
    for name, array in tables.arrays().items():
        np.testing.assert_array_equal(again.arrays()[name], array)
        assert again.arrays()[name].dtype == array.dtype


def test_settings_change_the_neighbours(features: FeatureSet) -> None:
    log = features.interactions
    fit = lambda **fields: covisitation_table(log, log.grade, log.offsets[1:], 5, CovisitationSettings(**fields))  # noqa: E731
    assert fit(neighbours=1)[0].shape == (6, 1)
    assert set(fit()[0][1].tolist()) == {0, 2, 3}
    assert set(fit(farthest=2)[0][1].tolist()) == {0, 2}, "two steps away is too far"
    assert fit(reach=1.0)[1][1].tolist() != fit()[1][1].tolist()


@pytest.mark.parametrize("events", [7, 100_000], ids=["blocks and parts of blocks", "one block"])
def test_neighbours_are_those_of_a_count_of_all_pairs(monkeypatch: pytest.MonkeyPatch, events: int) -> None:
    monkeypatch.setattr("winnow.training.tables.covisitation._EVENTS", events)
    rng = np.random.default_rng(0)
    offsets = np.concatenate([[0], np.cumsum(rng.poisson(12, 60))])
    item = (1 + rng.zipf(1.5, offsets[-1]) % 30).astype(np.int32)
    log = Interactions(offsets, item, np.ones_like(item), np.arange(len(item)), np.ones(len(item), np.float32))
    values = rng.choice([-1.0, 0.0, 2.0], len(item)).astype(np.float32)
    until = offsets[1:] - np.minimum(np.diff(offsets), 2)
    settings = CovisitationSettings(neighbours=6, farthest=9, reach=4.0)
    expected, visits = np.zeros((33, 33)), np.zeros(33)
    for begin, end in zip(offsets[:-1], until, strict=True):
        own = [item[row] for row in range(begin, end) if values[row] >= 0]
        for place, one in enumerate(own):
            visits[one] += 1
            for step, other in enumerate(own[place + 1 : place + 9], start=1):
                expected[one, other] += np.exp(-step / 4)
                expected[other, one] += np.exp(-step / 4)
    expected /= np.sqrt(np.outer(visits + 1, visits + 1))
    np.fill_diagonal(expected, 0)
    neighbours, weights = covisitation_table(log, values, until, 32, settings)
    for one in range(33):
        best = np.lexsort((np.arange(33), -expected[one].astype(np.float32)))[:6]
        np.testing.assert_allclose(weights[one], expected[one][best], rtol=1e-6)
        found = weights[one] > 0
        np.testing.assert_allclose(expected[one][neighbours[one][found]], weights[one][found], rtol=1e-6)
        assert not neighbours[one][~found].any()
        assert len(set(neighbours[one][found].tolist())) == found.sum()


def test_the_running_mean_soon_forgets_the_initial_weights_and_copies_no_buffer() -> None:
    model = nn.Linear(1, 1, bias=False)
    model.register_buffer("catalog", torch.zeros(3))
    with torch.no_grad():
        model.weight.fill_(100.0)
    mean = RunningMean(model)
    assert mean.model().weight.item() == 100.0
    expected = None
    for step in range(1, 2001):
        with torch.no_grad():
            model.weight.fill_(float(step))
        mean.update()
        kept = min(0.99, step / (step + 10))
        expected = float(step) if expected is None else kept * expected + (1 - kept) * step
    averaged = mean.model()
    assert averaged.weight.item() == pytest.approx(expected, rel=1e-4)
    assert not averaged.training
    assert averaged.weight is not model.weight
    assert list(mean.weights) == ["weight"]
