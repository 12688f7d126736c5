"""The context features of a candidate, and the final order by MMR."""

import numpy as np
import pytest

from winnow.ranking.context import CONTEXT_FEATURES, SourceList, UserPast, context_features
from winnow.ranking.mmr import mmr
from winnow.schema import DAY_MS


def answer(items: list[int], scores: list[float]) -> SourceList:
    return SourceList(np.array(items, np.int32), np.array(scores, np.float32))


def past(*items: int, candidates: int, seen: list[bool] | None = None) -> UserPast:
    """A history of one event a day."""
    days = DAY_MS * np.arange(len(items), dtype=np.int64)
    return UserPast(np.array(items, np.int32), days, np.array(seen or [False] * candidates))


def test_a_sources_scores_are_relative_to_its_best() -> None:
    answers = {
        "retriever": answer([7, 3, 9], [5.0, 4.0, 1.0]),
        "covisitation": answer([3, 8], [0.4, 0.1]),
        "trending": answer([8], [1.0]),
    }
    context = context_features(np.array([3, 8, 7], np.int32), answers, past(*range(10, 22), candidates=3))
    assert context.shape == (3, len(CONTEXT_FEATURES))
    assert context.dtype == np.float32
    three, eight, seven = (dict(zip(CONTEXT_FEATURES, row.tolist(), strict=True)) for row in context)
    assert three["retriever_score"] == -1.0
    assert three["retriever_rank"] == pytest.approx(np.log1p(1))
    assert three["covisitation_score"] == 0.0
    assert eight["covisitation_score"] == pytest.approx(np.log(0.25))
    assert (eight["retriever_present"], eight["retriever_score"]) == (0.0, -4.0), "as bad as the source's last"
    assert eight["retriever_rank"] == pytest.approx(np.log1p(3))
    assert (seven["trending_present"], eight["trending_present"]) == (0.0, 1.0)
    assert three["history_length"] == pytest.approx(np.log1p(12))


def test_a_missing_source_has_neutral_features() -> None:
    context = context_features(np.array([1, 2], np.int32), {}, past(candidates=2))
    assert not context.any()


def test_a_seen_candidate_has_its_events_in_the_history_and_their_age() -> None:
    history = past(3, 8, 3, 9, candidates=4, seen=[True, True, False, True])
    context = context_features(np.array([3, 9, 7, 5], np.int32), {}, history)
    columns = dict(zip(CONTEXT_FEATURES, context.T, strict=True))
    assert columns["seen"].tolist() == [1, 1, 0, 1]
    assert columns["repeat_count"] == pytest.approx(np.log1p([2, 1, 0, 0])), "5 was seen before the history begins"
    assert columns["repeat_age"] == pytest.approx(np.log1p([1, 0, 0, 0]))


def test_mmr_without_diversity_is_the_order_of_the_scores() -> None:
    rng = np.random.default_rng(0)
    scores, vectors = rng.normal(size=30).astype(np.float32), rng.normal(size=(30, 4)).astype(np.float32)
    np.testing.assert_array_equal(mmr(scores, vectors, 5, 1.0), np.argsort(-scores)[:5])


def test_mmr_prefers_items_unlike_the_chosen_ones() -> None:
    scores = np.array([1.0, 0.9, 0.8], np.float32)
    vectors = np.array([[1, 0], [1, 0], [0, 1]], np.float32)
    assert mmr(scores, vectors, 2, 0.5).tolist() == [0, 2]
    assert mmr(scores * 1000, vectors, 2, 0.5).tolist() == [0, 2], "whatever the scale of the scores"


@pytest.mark.parametrize("count", [0, 1, 3])
def test_mmr_never_repeats_and_returns_at_most_all_items(count: int) -> None:
    chosen = mmr(np.zeros(count, np.float32), np.zeros((count, 2), np.float32), 5)
    assert sorted(chosen.tolist()) == list(range(count))
