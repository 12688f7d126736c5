"""The ranker's heads: what they learn, what they leave out, and the lists that users were shown."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from winnow.arrays.strings import Strings
from winnow.features.table import FeatureSet, ImpressionLog, Interactions
from winnow.schema import DAY_MS, NUMERIC_FEATURES, Feature, FeatureSchema, Repeats
from winnow.settings.training import CandidateCounts, RankerSettings, RetrieverSettings, TrainingSettings
from winnow.training.ranker.candidate_lists import PastSources, target_lists
from winnow.training.ranker.impression_lists import MOST_IMPORTANCE, impression_lists
from winnow.training.ranker.tensors import ListTensorBuilder
from winnow.training.ranker.train import train_ranker
from winnow.training.ranker.trained import TrainedRanker
from winnow.training.retriever.train import RetrieverTraining, train_retriever

USERS, ITEMS, VIEWS, LENGTH = 120, 30, 14, 8
HOUR = DAY_MS // 24
RETRIEVER = RetrieverSettings(dimension=8, layers=1, heads=1, history_length=LENGTH, max_epochs=4, withheld=4)
SETTINGS = TrainingSettings(
    retriever=RETRIEVER,
    candidates=CandidateCounts(retriever=15, covisitation=10, trending=10),
    ranker=RankerSettings(
        width=8, epochs=12, patience=12, best=8, others=8, fewest=30, learning_rate=1e-2, heads_weight=5
    ),
)


def shop(repeats: Repeats = "hide") -> FeatureSet:
    """Views a day apart; of category 1, four in five are bought an hour later, of category 2 one in twenty."""
    rng = np.random.default_rng(0)
    item, event, time, offsets = [], [], [], [0]
    for _ in range(USERS):
        for day, viewed in enumerate(rng.permutation(ITEMS)[:VIEWS] + 1):
            rows = [(int(viewed), 1, day * DAY_MS)]
            if rng.random() < (0.8 if viewed <= ITEMS // 2 else 0.05):
                rows.append((int(viewed), 2, day * DAY_MS + HOUR))
            for one, kind, at in rows:
                item.append(one)
                event.append(kind)
                time.append(at)
        offsets.append(len(item))
    schema = FeatureSchema(
        item=(
            Feature(name="category", kind="categorical", cardinality=3),
            *(Feature(name=name, kind="numeric") for name in NUMERIC_FEATURES),
        ),
        user=(),
        events=("view", "buy", "return"),
        event_values=(1.0, 10.0, -5.0),
        event_windows_ms=(DAY_MS // 2,) * 3,
        conversions=("buy",),
        repeats=repeats,
    )
    item_rows = np.zeros(ITEMS + 1, schema.item_dtype)
    item_rows["categorical"][1:, 0] = np.where(np.arange(ITEMS) < ITEMS // 2, 1, 2)
    log = Interactions(
        np.array(offsets), np.array(item, np.int32), np.array(event, np.int32), np.array(time), np.ones(len(item))
    )
    return FeatureSet(
        schema=schema,
        vocabularies={},
        item_ids=Strings.of([f"i{number}" for number in range(ITEMS + 1)]),
        user_ids=np.array([f"u{number}" for number in range(USERS)]),
        item_rows=item_rows,
        user_rows=np.zeros(USERS, schema.user_dtype),
        embeddings={},
        interactions=log,
        as_of=int(log.timestamp.max()) + 1,
    )


def numerics_at(items: NDArray[np.int32], timestamps: NDArray[np.int64]) -> NDArray[np.float32]:
    return np.zeros((len(items), len(NUMERIC_FEATURES)), np.float32)


@pytest.fixture(scope="module")
def features() -> FeatureSet:
    return shop()


@pytest.fixture(scope="module")
def retrieval(features: FeatureSet) -> RetrieverTraining:
    return train_retriever(features, RETRIEVER, show_progress=False)


@pytest.fixture(scope="module")
def ranker(features: FeatureSet, retrieval: RetrieverTraining) -> TrainedRanker:
    return train_ranker(features, retrieval, numerics_at, SETTINGS, show_progress=False)


def given_a_click(ranker: TrainedRanker, features: FeatureSet, rows: NDArray[np.int64]) -> NDArray[np.float32]:
    """Each type's probability for the item of each row, given a click: [rows, types]."""
    lists = ListTensorBuilder(features, numerics_at, LENGTH).build(
        target_lists(features, rows, LENGTH), 1, 0, np.random.default_rng(0)
    )
    with torch.no_grad():
        probabilities, _ = ranker.model(*lists.inputs, torch.zeros(len(rows), 1, RETRIEVER.dimension))
    return probabilities[:, 0, 1:].numpy()


def test_a_head_learns_what_follows_and_is_calibrated(ranker: TrainedRanker, features: FeatureSet) -> None:
    log = features.interactions
    views = np.flatnonzero(log.event == 1)
    bought = given_a_click(ranker, features, views)[:, 1]
    first = log.item[views] <= ITEMS // 2
    assert bought[first].mean() == pytest.approx(0.8, abs=0.08)
    assert bought[~first].mean() == pytest.approx(0.05, abs=0.06)


def test_heads_without_support_give_their_base_rate_and_the_reason(ranker: TrainedRanker, features: FeatureSet) -> None:
    assert set(ranker.constant_heads) == {"view", "return"}
    assert ranker.constant_heads["return"].startswith("0 of 1,")
    types = given_a_click(ranker, features, np.arange(40))
    assert types[:, 0] == pytest.approx(np.full(40, 1.0), abs=1e-3)
    assert types[:, 2] == pytest.approx(np.zeros(40), abs=1e-3)
    assert (types[:, 3] == types[:, 1]).all(), "the only conversion is a purchase"


def shown(features: FeatureSet, requests: int, biased: bool) -> FeatureSet:
    """Impressions of five items each before a user's last views; with a bias, the item taken is always the first."""
    log, rng = features.interactions, np.random.default_rng(1)
    user, time, item = [], [], []
    for request in range(requests):
        who = request % USERS
        last = log.of(who).stop - 1
        while log.event[last] != 1:
            last -= 1
        others = rng.permutation(np.setdiff1d(np.arange(1, ITEMS + 1), log.item[log.of(who)]))[:4]
        place = 0 if biased else int(rng.integers(5))
        item.append(np.insert(others, place, log.item[last]))
        user.append(who)
        time.append(int(log.timestamp[last]) - HOUR)
    order = np.argsort(time, kind="stable")
    return replace(
        features,
        impressions=ImpressionLog(
            np.arange(requests + 1) * 5,
            np.array(user, np.int32)[order],
            np.array(time)[order],
            np.array(item, np.int32)[order].ravel(),
            np.tile(np.arange(5, dtype=np.int32), requests),
            np.tile(np.array([1.0, 0.5, 0.01, 1.0, 1.0], np.float32), requests),
        ),
    )


def test_shown_lists_have_their_places_and_count_by_inverse_propensity(
    features: FeatureSet, retrieval: RetrieverTraining
) -> None:
    some = shown(features, 60, biased=False)
    lists = impression_lists(some, retrieval.until, PastSources(some, retrieval, SETTINGS), 50)
    assert len(lists) == 50, "the newest"
    assert lists.position.tolist() == [[1, 2, 3, 4, 5]] * 50
    log = some.interactions
    assert (lists.items[np.arange(50), lists.target] == log.item[lists.end]).all()
    importance = np.array([1.0, 2.0, MOST_IMPORTANCE, 1.0, 1.0])
    np.testing.assert_allclose(lists.importance, importance[lists.target])
    assert (lists.context.any(axis=2)).all(), "the sources' answers describe the shown items"


def test_impressions_without_an_answer_give_no_list(features: FeatureSet, retrieval: RetrieverTraining) -> None:
    some = shown(features, 10, biased=False)
    late = replace(some.impressions, timestamp=some.impressions.timestamp + 5 * DAY_MS)
    for impressions in (late, ImpressionLog.empty()):
        silent = replace(some, impressions=impressions)
        sources = PastSources(silent, retrieval, SETTINGS)
        assert len(impression_lists(silent, retrieval.until, sources, 50)) == 0


def test_the_first_place_gets_the_bias_and_serving_leaves_it_out(
    features: FeatureSet, retrieval: RetrieverTraining, ranker: TrainedRanker
) -> None:
    assert not ranker.model.position_bias.weight.any(), "without impressions there is nothing to learn"
    biased = train_ranker(shown(features, USERS, True), retrieval, numerics_at, SETTINGS, show_progress=False)
    bias = biased.model.position_bias.weight.detach().squeeze(1)
    assert bias[1] > bias[2:6].max() + 0.1
    assert bias[0] == 0, "a list that was not shown has none"


def test_where_repeats_are_allowed_later_visits_are_targets() -> None:
    features = shop("allow")
    trained = train_retriever(features, RETRIEVER, show_progress=False)
    ranker = train_ranker(features, trained, numerics_at, SETTINGS, show_progress=False)
    assert torch.isfinite(trained.served.item_vectors).all()
    assert ranker.unranked_reason == "" or "no better" in ranker.unranked_reason
