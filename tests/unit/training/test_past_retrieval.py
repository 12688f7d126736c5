"""The retriever's answers at past moments: those of a plain sort of every user's scores, however small the blocks."""

from dataclasses import replace

import numpy as np
import pytest
from numpy.typing import NDArray

from tests.support.training.walks import ITEMS, LENGTH, SMALL, USERS, numerics_at, world
from winnow.features.table import FeatureSet
from winnow.settings.training import RankerSettings, TrainingSettings
from winnow.training.ranker import past_retrieval
from winnow.training.ranker.past_retrieval import retrieve
from winnow.training.ranker.train import train_ranker
from winnow.training.retriever.train import RetrieverTraining, train_retriever


@pytest.fixture(scope="module")
def retrieval() -> RetrieverTraining:
    return train_retriever(world()[0], SMALL.model_copy(update={"max_epochs": 2}), show_progress=False)


def sorted_items(
    retrieval: RetrieverTraining, features: FeatureSet, users: NDArray[np.int64], ends: NDArray[np.int64], hides: bool
) -> list[list[int]]:
    """Per moment, all items that may be recommended, best first."""
    log, model = features.interactions, retrieval.holdout_fit
    scores = model.user_vectors(features, users, ends) @ model.item_vectors.numpy().T
    found = []
    for row, user, end in zip(scores, users.tolist(), ends.tolist(), strict=True):
        seen = log.item[max(log.offsets[user], end - LENGTH) : end] if hides else []
        allowed = np.setdiff1d(np.arange(1, ITEMS + 1), seen)
        found.append(allowed[np.argsort(-row[allowed], kind="stable")].tolist())
    return found


@pytest.mark.parametrize("repeats", ["hide", "allow"])
@pytest.mark.parametrize("block_bytes", [1, 4 * (ITEMS + 1) * 7, past_retrieval.BLOCK_BYTES])
def test_answers_are_the_best_items(
    retrieval: RetrieverTraining, repeats: str, block_bytes: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(past_retrieval, "BLOCK_BYTES", block_bytes)
    features = world()[0]
    features = replace(features, schema=features.schema.model_copy(update={"repeats": repeats}))
    users = np.arange(USERS)
    # Histories of no event, of a few, and of more than the model reads.
    ends = features.interactions.offsets[:-1] + users % 16
    found = retrieve(retrieval.holdout_fit, features, users, ends, ITEMS)
    expected = sorted_items(retrieval, features, users, ends, repeats != "allow")
    assert [found.of(position).items.tolist() for position in range(USERS)] == expected
    assert (np.diff(found.scores, axis=1) <= 0).all()
    fewer = retrieve(retrieval.holdout_fit, features, users, ends, 5)
    np.testing.assert_array_equal(fewer.items, found.items[:, :5])


def test_no_moment_has_no_answer(retrieval: RetrieverTraining) -> None:
    nothing = np.zeros(0, np.int64)
    assert retrieve(retrieval.holdout_fit, world()[0], nothing, nothing, 5).items.shape == (0, 5)


def test_a_ranker_that_is_not_learned_leaves_the_holdout_fit_as_it_is(retrieval: RetrieverTraining) -> None:
    before = retrieval.holdout_fit.item_vectors.clone()
    settings = TrainingSettings(ranker=RankerSettings(fewest=1_000_000))
    trained = train_ranker(world()[0], retrieval, numerics_at, settings, show_progress=False)
    assert trained.unranked_reason
    assert (trained.model.item_vectors == retrieval.served.item_vectors).all()
    assert (retrieval.holdout_fit.item_vectors == before).all(), "its validation is of these vectors"
