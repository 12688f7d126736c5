"""Small or one-sided logs: no empty sample is trained on, and unlearnable logs are refused."""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import pyarrow as pa
import pytest
import torch
from numpy.typing import NDArray

from winnow.arrays.strings import Strings
from winnow.datasets.canonical.dataset import Dataset
from winnow.datasets.canonical.learnable import check_learnable
from winnow.datasets.canonical.spec import DatasetSpec
from winnow.errors import DataError
from winnow.features.table import FeatureSet, Interactions
from winnow.ranking.context import CONTEXT_FEATURES
from winnow.schema import NUMERIC_FEATURES, Feature, FeatureSchema
from winnow.settings.training import CandidateCounts, RankerSettings, RetrieverSettings, TrainingSettings
from winnow.training.ranker.train import train_ranker
from winnow.training.ranker.trained import TrainedRanker
from winnow.training.retriever.train import train_retriever

LENGTH = 10
RETRIEVER = RetrieverSettings(dimension=16, layers=1, heads=2, history_length=LENGTH, batch=16, max_epochs=4)
RANKER = RankerSettings(width=8, epochs=3, best=10, others=10, fewest=20)


def features_of(histories: Sequence[Sequence[int]], items: int, repeats: int = 1, at_once: bool = False) -> FeatureSet:
    """Ids only: every user's items in order, each ``repeats`` times in a row; ``at_once`` gives all one timestamp."""
    logged = [np.repeat(history, repeats) for history in histories]
    offsets = np.cumsum([0, *map(len, logged)]).astype(np.int64)
    time = np.concatenate([np.arange(len(history)) * 60_000 for history in logged])
    schema = FeatureSchema(
        item=(
            Feature(name="category", kind="categorical", cardinality=1),
            *(Feature(name=name, kind="numeric") for name in NUMERIC_FEATURES),
        ),
        user=(),
        events=("view",),
        event_values=(1.0,),
        event_windows_ms=(86_400_000,),
        conversions=(),
    )
    return FeatureSet(
        schema=schema,
        vocabularies={},
        item_ids=Strings.of(["", *(f"i{item}" for item in range(1, items + 1))]),
        user_ids=np.array([f"u{user}" for user in range(len(logged))]),
        item_rows=np.zeros(items + 1, schema.item_dtype),
        user_rows=np.zeros(len(logged), schema.user_dtype),
        embeddings={},
        interactions=Interactions(
            offsets=offsets,
            item=np.concatenate(logged).astype(np.int32),
            event=np.ones(offsets[-1], np.int32),
            timestamp=(np.zeros_like(time) if at_once else time).astype(np.int64) + 1_700_000_000_000,
            grade=np.ones(offsets[-1], np.float32),
        ),
        as_of=1_800_000_000_000,
    )


def walks(users: int, items: int, events: int) -> list[list[int]]:
    """Users who walk the catalog, one item after another."""
    starts = np.random.default_rng(0).integers(0, items, users)
    return [[int((start + step) % items) + 1 for step in range(events)] for start in starts]


def numerics_at(items: NDArray[np.int32], timestamps: NDArray[np.int64]) -> NDArray[np.float32]:
    return np.zeros((len(items), len(NUMERIC_FEATURES)), np.float32)


def trained(features: FeatureSet, settings: RankerSettings = RANKER) -> TrainedRanker:
    retrieval = train_retriever(features, RETRIEVER, show_progress=False)
    assert torch.isfinite(retrieval.served.item_vectors).all()
    counts = CandidateCounts(covisitation=10, trending=10).within(features.items)
    training = TrainingSettings(candidates=counts, ranker=settings)
    ranker = train_ranker(features, retrieval, numerics_at, training, show_progress=False)
    assert all(torch.isfinite(weights).all() for weights in ranker.model.state_dict().values())
    return ranker


@pytest.mark.parametrize("repeats", [1, 2, 3], ids=["once", "every event doubled", "view, cart, purchase"])
def test_the_ranker_is_validated_when_every_last_event_is_a_repeat(repeats: int) -> None:
    assert trained(features_of(walks(60, 40, 12), 40, repeats)).unranked_reason == ""


def test_short_histories_leave_lists_to_train_on() -> None:
    # One event per user is held out, so every list is its user's newest: half of them train, half validate.
    assert trained(features_of(walks(120, 40, 5), 40)).unranked_reason == ""


@pytest.mark.parametrize(
    "features",
    [
        pytest.param(features_of([[1, 2, 3, 4]], 5), id="one user"),
        pytest.param(features_of([[1, 2], [3, 4], [2, 5], [4, 1]], 5), id="five items, two events each"),
        pytest.param(features_of([[1, 2], *[[item] for item in range(1, 6)] * 20], 5), id="nearly every user once"),
        pytest.param(features_of(walks(15, 12, 9), 12, at_once=True), id="all at one time"),
        pytest.param(features_of([[1, 2] * 40, *[[1]] * 30], 3), id="a bot and the rest"),
    ],
)
def test_with_too_few_lists_no_ranker_is_learned_and_a_message_is_printed(features: FeatureSet) -> None:
    ranker = trained(features)
    assert ranker.unranked_reason.startswith("the log gives only ")
    assert "fewer than 20" in ranker.unranked_reason


def test_a_disabled_ranker_scores_like_the_retriever(tmp_path) -> None:
    ranker = trained(features_of(walks(60, 40, 12), 40), RANKER.model_copy(update={"fewest": 10_000}))
    ranker.save(tmp_path)
    loaded = TrainedRanker.load(tmp_path)
    assert loaded.unranked_reason == ranker.unranked_reason != ""
    rng = np.random.default_rng(0)
    context = torch.from_numpy(rng.normal(size=(2, 7, len(NUMERIC_FEATURES) + len(CONTEXT_FEATURES)))).float()
    ids = torch.arange(1, 8, dtype=torch.int32).repeat(2, 1)
    history = torch.arange(1, LENGTH + 1, dtype=torch.int32).repeat(2, 1)
    nothing = torch.zeros(2, 1, dtype=torch.int32)
    with torch.no_grad():
        _, scores = loaded.model(
            history, torch.ones_like(history), torch.zeros(2, LENGTH), nothing, torch.zeros(2, 1), ids,
            torch.zeros(2, 7, 1, dtype=torch.int32), context, torch.zeros(2, 1, RETRIEVER.dimension),
        )  # fmt: skip
    base = len(NUMERIC_FEATURES) + CONTEXT_FEATURES.index("retriever_score")
    assert (scores.argsort(dim=1) == context[:, :, base].argsort(dim=1)).all()


def test_a_log_without_a_holdout_fit_is_still_trained_on() -> None:
    histories = [[1, 2], [3, 4], [5, 6]] * 30
    features = features_of(histories, 6)
    served = train_retriever(
        features, RETRIEVER.model_copy(update={"epochs_without_holdout": 30}), show_progress=False
    ).served
    users = np.arange(3)
    vectors = served.user_vectors(features, users, features.interactions.offsets[users] + 1)
    scores = vectors @ served.item_vectors.numpy().T
    for user, first in enumerate((1, 3, 5)):
        scores[user, [0, first]] = -np.inf
    assert scores.argmax(axis=1).tolist() == [2, 4, 6]


def test_a_batch_without_a_first_event_gives_no_nan() -> None:
    # With one window per batch, every user with one repeated item is a batch without a target.
    features = features_of([[1, 2, 3, 4, 5, 6], *[[1] * 6] * 10], 6)
    trained_one = train_retriever(features, RETRIEVER.model_copy(update={"batch": 1}), show_progress=False)
    assert torch.isfinite(trained_one.served.item_vectors).all()


def dataset(items: int, events: Sequence[tuple[str, str]]) -> Dataset:
    users = sorted({user for user, _ in events})
    return Dataset(
        DatasetSpec.model_validate({"name": "shop", "events": {"view": 1}}),
        pa.table({"item_id": [f"i{item}" for item in range(items)]}),
        pa.table({"user_id": users}),
        pa.table({"user_id": [user for user, _ in events], "item_id": [item for _, item in events]}),
    )


def test_a_learnable_log_passes() -> None:
    check_learnable(dataset(2, [("u", "i0"), ("u", "i1")]), "shop")


@pytest.mark.parametrize(
    ("refused", "said"),
    [
        (dataset(1, [("u", "i0"), ("u", "i0")]), "shop: items: the catalog has 1 item"),
        (
            dataset(3, [("u", "i0"), ("v", "i1"), ("v", "i1")]),
            "none of the 2 users has events with two different items",
        ),
    ],
    ids=["one item", "no user with two"],
)
def test_an_unlearnable_log_is_refused_before_training(refused: Dataset, said: str) -> None:
    with pytest.raises(DataError, match=said):
        check_learnable(refused, "shop")
    assert DataError.exit_code == 2


def test_a_log_that_is_empty_after_the_holdout_is_refused() -> None:
    full = dataset(3, [("u", "i0"), ("u", "i1")])
    with pytest.raises(DataError, match="no events are left"):
        check_learnable(replace(full, events=full.events.slice(0, 0)), "shop")
