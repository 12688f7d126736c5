"""The retriever and the ranker, trained in seconds on a synthetic log whose next items are predictable."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from tests.support.training.walks import EVENTS, ITEMS, LENGTH, NUMERICS, SMALL, SOURCES, USERS, numerics_at, world
from winnow.evaluation.baselines import Past, popularity
from winnow.features.table import FeatureSet, Interactions
from winnow.features.targets import target_rows
from winnow.models.served import ServedItemTower, ServedRetriever
from winnow.models.towers import CatalogInputs, ItemTower, Shapes
from winnow.ranking.context import CONTEXT_FEATURES
from winnow.ranking.metrics import ndcg
from winnow.retrieval.history import assemble_many
from winnow.settings.training import ListSettings, RankerSettings, RetrieverSettings, TrainingSettings
from winnow.training.ranker.candidate_lists import PastSources, past_lists
from winnow.training.ranker.past_retrieval import retrieve
from winnow.training.ranker.train import train_ranker
from winnow.training.ranker.trained import TrainedRanker
from winnow.training.retriever.train import RetrieverTraining, chosen_for, dropout_for, train_retriever


@pytest.fixture(scope="module")
def features() -> FeatureSet:
    return world()[0]


@pytest.fixture(scope="module")
def retrieval(features: FeatureSet) -> RetrieverTraining:
    return train_retriever(features, SMALL, show_progress=False)


@pytest.fixture(scope="module")
def ranker(features: FeatureSet, retrieval: RetrieverTraining) -> TrainedRanker:
    ranker = RankerSettings(width=8, epochs=3, best=10, others=10)
    settings = TrainingSettings(candidates=SOURCES, ranker=ranker)
    return train_ranker(features, retrieval, numerics_at, settings, show_progress=False)


def model_inputs(features: FeatureSet, users: int) -> tuple[torch.Tensor, ...]:
    log = features.interactions
    starts, ends = log.offsets[:users], log.offsets[1 : users + 1]
    history = assemble_many(log.item, log.event, log.timestamp, starts, ends, LENGTH)
    # The schema has no user features: the wire carries one column of zeros.
    return (*map(torch.from_numpy, history), torch.zeros(users, 1, dtype=torch.int32), torch.zeros(users, 1))


def popular(features: FeatureSet) -> NDArray[np.int32]:
    return popularity(Past.of(features.interactions, ITEMS, features.schema.event_values), 10)


def no_fresh(users: int) -> torch.Tensor:
    return torch.zeros(users, 1, SMALL.dimension)


def test_the_retriever_learns_what_comes_next(features: FeatureSet, retrieval: RetrieverTraining) -> None:
    held_out = world()[1]
    log = features.interactions
    found = retrieve(retrieval.served, features, np.arange(USERS), log.offsets[1:], 10)
    assert ndcg(found.items, held_out, 10) > 1.5 * ndcg(popular(features), held_out, 10)


def test_the_holdout_fit_does_not_learn_from_the_newest_events(retrieval: RetrieverTraining) -> None:
    assert (retrieval.until == np.arange(1, USERS + 1) * EVENTS - SMALL.withheld).all()


def test_an_item_without_events_is_placed_by_its_features(retrieval: RetrieverTraining) -> None:
    vectors = retrieval.served.item_vectors
    assert not vectors[0].any()
    assert torch.linalg.vector_norm(vectors[1:], dim=1).tolist() == pytest.approx([1.0] * ITEMS, abs=1e-5)
    tower, features = retrieval.served.item_tower, world()[0]
    newcomer = CatalogInputs(features, retrieval.served.shapes).take(np.array([ITEMS]))
    assert not newcomer.trained.any()
    with torch.no_grad():
        before = tower(torch.tensor([ITEMS]), newcomer)
        after = tower(torch.tensor([1]), newcomer)
    torch.testing.assert_close(before, after)


def test_the_served_item_tower_equals_the_trained_one(features: FeatureSet, retrieval: RetrieverTraining) -> None:
    trained = retrieval.served
    newcomer = CatalogInputs(features, trained.shapes).take(np.array([ITEMS]))
    served = ServedItemTower(trained.item_tower, trained.shapes, trained.item_vectors, 7).eval()
    with torch.no_grad():
        vector, items, scores = served(newcomer.categorical.int(), newcomer.numeric, newcomer.modalities[0])
    torch.testing.assert_close(vector[0], trained.item_vectors[ITEMS])
    assert items.dtype == torch.int32
    assert items[0, 0] == ITEMS, "the item most like it is itself"
    torch.testing.assert_close(scores[0], (trained.item_vectors[items[0].long()] * vector).sum(-1))
    assert (scores[:, :-1] >= scores[:, 1:]).all()


def test_a_missing_picture_differs_from_a_black_one(features: FeatureSet, retrieval: RetrieverTraining) -> None:
    trained = retrieval.served
    served = ServedItemTower(trained.item_tower, trained.shapes, trained.item_vectors, 3).eval()
    numeric, nothing = torch.zeros(1, 1), torch.zeros(1, 8)
    with torch.no_grad():
        missing, *_ = served(torch.zeros(1, 2, dtype=torch.int32), numeric, nothing)
        expected = torch.nn.functional.normalize(trained.item_tower.missing[0], dim=0)
    torch.testing.assert_close(missing[0], expected)


def test_training_is_reproducible(features: FeatureSet) -> None:
    short = SMALL.model_copy(update={"max_epochs": 2})
    first, second = (train_retriever(features, short, show_progress=False).served for _ in range(2))
    torch.testing.assert_close(first.item_vectors, second.item_vectors, rtol=0, atol=0)


def test_a_budget_ends_the_training_and_says_so(features: FeatureSet, retrieval: RetrieverTraining) -> None:
    assert retrieval.stopped == ""
    cut = train_retriever(features, SMALL.model_copy(update={"windows": 60}), show_progress=False)
    assert cut.stopped.startswith("retriever.windows: 60 ended the training in epoch ")
    late = train_retriever(features, SMALL.model_copy(update={"minutes": 1e-6}), show_progress=False)
    assert late.stopped.startswith("retriever.minutes: 1e-06 ended the training in epoch ")
    before, after = (each.item_tower.identity.weight for each in (late.holdout_fit, late.served))
    assert not torch.equal(before, after), "the served fit learns from the whole log all the same"


def test_sparse_logs_get_more_dropout() -> None:
    log = world()[0].interactions
    assert len(log.item) / log.users == 16
    assert dropout_for(log, ITEMS) == pytest.approx(0.5 - 0.15 * np.log2(16 / 12))
    assert dropout_for(log, len(log.item)) == 0.5
    dense = Interactions(np.array([0, 500]), *(np.ones(500, kind) for kind in ("i4", "i4", "i8", "f4")))
    assert dropout_for(dense, 4) == 0.2


def test_a_gpu_gets_larger_batches(features: FeatureSet) -> None:
    default, given = RetrieverSettings(), RetrieverSettings(batch=16)
    cpu, gpu = torch.device("cpu"), torch.device("cuda")
    assert (chosen_for(default, features, cpu).batch, chosen_for(default, features, gpu).batch) == (8, 256)
    assert {chosen_for(given, features, device).batch for device in (cpu, gpu)} == {16}


def test_an_item_without_content_keeps_its_id_in_training(features: FeatureSet) -> None:
    shapes = Shapes.of(features)
    tower = ItemTower(shapes, 16, id_dropout=0.5, content_dropout=0.4).train()
    inputs = CatalogInputs(features, shapes).take(np.arange(1, ITEMS))
    nothing = inputs._replace(
        categorical=torch.zeros_like(inputs.categorical),
        numeric=torch.zeros_like(inputs.numeric),
        present=tuple(torch.zeros_like(each) for each in inputs.present),
    )
    hidden = [int((tower._dropped(each).trained == 0).sum()) for each in (nothing, inputs)]
    assert hidden[0] == 0 < hidden[1]


def test_a_large_catalog_is_sampled(features: FeatureSet) -> None:
    sampled = SMALL.model_copy(update={"full_softmax_items": 10, "negatives": 40})
    held_out, log = world()[1], features.interactions
    trained = train_retriever(features, sampled, show_progress=False)
    found = retrieve(trained.served, features, np.arange(USERS), log.offsets[1:], 10)
    assert ndcg(found.items, held_out, 10) > 1.5 * ndcg(popular(features), held_out, 10)


def test_served_candidates_are_the_best_unseen_items(features: FeatureSet, retrieval: RetrieverTraining) -> None:
    served = ServedRetriever(retrieval.served.user_tower, retrieval.served.item_vectors, 20, True).eval()
    inputs = model_inputs(features, 7)
    with torch.no_grad():
        candidates, scores, user_vector = served(*inputs)
    assert (candidates.dtype, candidates.shape, user_vector.shape) == (torch.int32, (7, 20), (7, SMALL.dimension))
    expected = retrieve(retrieval.served, features, np.arange(7), features.interactions.offsets[1:8], 20)
    np.testing.assert_array_equal(candidates.numpy(), expected.items)
    np.testing.assert_allclose(scores.numpy(), expected.scores, rtol=1e-4)
    for row, history in zip(candidates.tolist(), inputs[0].tolist(), strict=True):
        assert not set(row) & {0, *history}


def test_padding_is_never_a_candidate(retrieval: RetrieverTraining) -> None:
    served = ServedRetriever(retrieval.served.user_tower, retrieval.served.item_vectors, ITEMS, True).eval()
    with torch.no_grad():
        candidates, _, _ = served(*model_inputs(world()[0], 3))
    assert [sorted(row) for row in candidates.tolist()] == [list(range(1, ITEMS + 1))] * 3
    with pytest.raises(ValueError, match="the catalog has 60 items"):
        ServedRetriever(retrieval.served.user_tower, retrieval.served.item_vectors, ITEMS + 1, True)


def test_saved_models_round_trip(
    tmp_path: Path, features: FeatureSet, retrieval: RetrieverTraining, ranker: TrainedRanker
) -> None:
    retrieval.save(tmp_path / "retriever")
    ranker.save(tmp_path / "ranker")
    loaded = RetrieverTraining.load(tmp_path / "retriever")
    users, ends = np.arange(USERS), features.interactions.offsets[1:]
    np.testing.assert_array_equal(
        loaded.served.user_vectors(features, users, ends), retrieval.served.user_vectors(features, users, ends)
    )
    again = TrainedRanker.load(tmp_path / "ranker")
    assert again.model.state_dict().keys() == ranker.model.state_dict().keys()
    for name, value in ranker.model.state_dict().items():
        torch.testing.assert_close(again.model.state_dict()[name], value, rtol=0, atol=0)


def test_lists_come_from_held_out_moments_and_cold_start_users(
    features: FeatureSet, retrieval: RetrieverTraining
) -> None:
    settings = TrainingSettings(candidates=SOURCES, lists=ListSettings(withheld=1000))
    sources = PastSources(features, retrieval, settings)
    lists = past_lists(features, target_rows(features), retrieval.until, sources, settings.lists, show_progress=False)
    log = features.interactions
    known = lists.history > 0
    assert (lists.end[known] >= retrieval.until[lists.user[known]]).all()
    assert (lists.end[~known] == log.offsets[lists.user[~known]]).all()
    np.testing.assert_array_equal(lists.items[np.arange(len(lists.end)), lists.target], log.item[lists.end])
    for end, user, items in zip(lists.end[known], lists.user[known], lists.items[known], strict=True):
        assert not np.isin(items[items > 0], log.item[log.offsets[user] : end]).any()
    assert ((lists.items[~known] > 0).sum(axis=1) == SOURCES.trending).all(), "a cold-start user's list is trending"


def test_the_trending_list_is_of_events_of_positive_value_before_the_moment(
    features: FeatureSet, retrieval: RetrieverTraining
) -> None:
    log = features.interactions
    refusing = replace(features, schema=features.schema.model_copy(update={"event_values": (1.0, -1.0)}))
    # With a moment for every withheld event, a list is exactly as old as its moment.
    settings = TrainingSettings(candidates=SOURCES, lists=ListSettings(withheld=1000, trending_moments=10_000))
    sources = PastSources(refusing, retrieval, settings)
    withheld = np.flatnonzero(np.arange(len(log.item)) >= retrieval.until[log.user])
    for end in withheld[::7].tolist():
        age = log.timestamp[end] - log.timestamp
        counted = (age > 0) & (log.event == 1)
        faded = np.bincount(log.item[counted], 0.5 ** (age[counted] / (7 * 86_400_000)), ITEMS + 1)
        trending = sources.at(end, None).answers["trending"].items
        best = np.sort(faded[1:])[::-1][: SOURCES.trending]
        np.testing.assert_allclose(faded[trending], best, rtol=1e-9, err_msg=f"just before row {end}")


def test_the_ranker_puts_padding_last_and_gives_probabilities(features: FeatureSet, ranker: TrainedRanker) -> None:
    users, count = 5, 12
    items = torch.randint(1, ITEMS + 1, (users, count), dtype=torch.int32)
    items[:, -2:] = 0
    categorical = torch.from_numpy(features.item_rows["categorical"][items.numpy()])
    numeric = torch.randn(users, count, len(NUMERICS) + len(CONTEXT_FEATURES))
    with torch.no_grad():
        probabilities, scores = ranker.model(
            *model_inputs(features, users), items, categorical, numeric, no_fresh(users)
        )
    assert (scores[:, -2:] == -1e9).all()
    assert (probabilities[:, -2:] == 0).all()
    assert ((probabilities >= 0) & (probabilities <= 1)).all()
    assert probabilities.shape[-1] == 4, "a click, a view and a buy given one, a conversion given one"
    assert probabilities[..., 0].sum(dim=1).tolist() == pytest.approx([1.0] * len(probabilities))
    assert (probabilities[..., 2] == probabilities[..., 3]).all(), "the only conversion is a buy"
    assert (scores[:, :-2] > -1e3).all()


def test_a_candidates_score_does_not_depend_on_the_others(features: FeatureSet, ranker: TrainedRanker) -> None:
    items = torch.tensor([[3, 9, 0]], dtype=torch.int32)
    categorical = torch.from_numpy(features.item_rows["categorical"][items.numpy()])
    numeric = torch.randn(1, 3, len(NUMERICS) + len(CONTEXT_FEATURES))
    user = model_inputs(features, 1)
    with torch.no_grad():
        _, together = ranker.model(*user, items, categorical, numeric, no_fresh(1))
        _, alone = ranker.model(*user, items[:, :1], categorical[:, :1], numeric[:, :1], no_fresh(1))
    torch.testing.assert_close(together[:, :1], alone)


def test_an_empty_history_is_ranked(features: FeatureSet, ranker: TrainedRanker) -> None:
    padding = tuple(torch.zeros_like(tensor) for tensor in model_inputs(features, 1))
    items = torch.arange(1, 9, dtype=torch.int32).unsqueeze(0)
    categorical = torch.from_numpy(features.item_rows["categorical"][items.numpy()])
    numeric = torch.zeros(1, 8, len(NUMERICS) + len(CONTEXT_FEATURES))
    with torch.no_grad():
        _, scores = ranker.model(*padding, items, categorical, numeric, no_fresh(1))
    assert torch.isfinite(scores).all()


def test_a_new_item_is_ranked_by_its_own_vector(features: FeatureSet, ranker: TrainedRanker) -> None:
    items = torch.tensor([[5, 9, 5]], dtype=torch.int32)
    categorical = torch.from_numpy(features.item_rows["categorical"][items.numpy()])
    numeric = torch.randn(1, 3, len(NUMERICS) + len(CONTEXT_FEATURES))
    numeric[:, 2] = numeric[:, 0]
    vectors = torch.stack([torch.zeros(SMALL.dimension), ranker.model.item_vectors[5]]).unsqueeze(0)
    copied = torch.tensor([[5, 9, ITEMS + 2]], dtype=torch.int32)
    with torch.no_grad():
        _, known = ranker.model(*model_inputs(features, 1), items, categorical, numeric, vectors)
        _, fresh = ranker.model(*model_inputs(features, 1), copied, categorical, numeric, vectors)
    torch.testing.assert_close(fresh, known)
