"""A tiny release of random arrays, published to a real Redis, and models computed by numpy."""

import asyncio
from collections.abc import Callable, Coroutine
from dataclasses import dataclass, field
from itertools import count
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from recommender_transformer.models import Ranked, Retrieved, Tensors
from recommender_transformer.pipeline import recommender
from recommender_transformer.runner import Runner
from winnow import release as releases
from winnow.features.schema import Feature, FeatureSchema
from winnow.release import Release
from winnow.request import Answer, RecommendRequest
from winnow.store.online import OnlineStore
from winnow.store.publish import publish

ITEMS, USERS, EVENTS, WIDTH, LENGTH, RETRIEVED = 300, 20, 1200, 8, 12, 60
UNAVAILABLE = frozenset(range(5, ITEMS, 10))

SCHEMA = FeatureSchema(
    item=(
        Feature(name="category", kind="categorical", cardinality=5),
        Feature(name="tags", kind="categorical", width=2, cardinality=7),
        Feature(name="price", kind="numeric"),
        Feature(name="age", kind="numeric"),
    ),
    user=(Feature(name="country", kind="categorical", cardinality=4),),
    events=("view", "buy"),
    event_weights=(1.0, 4.0),
    conversions=("buy",),
)
CATEGORIES = ["", "books", "games", "music", "toys"]

_numbers = count(7001)


def write_release(folder: Path, number: int, seed: int = 0) -> Release:
    """A release folder as the export would write it, but with random contents."""
    rng = np.random.default_rng(seed)
    item_rows = np.zeros(ITEMS + 1, SCHEMA.item_dtype)
    item_rows["index"] = np.arange(ITEMS + 1)
    item_rows["available"] = [index not in UNAVAILABLE for index in range(ITEMS + 1)]
    item_rows["categorical"][1:, 0] = rng.integers(1, 5, ITEMS)
    item_rows["numeric"] = rng.random((ITEMS + 1, 2))
    user_rows = np.zeros(USERS, SCHEMA.user_dtype)
    user_rows["index"] = np.arange(USERS)
    user_rows["categorical"][:, 0] = rng.integers(1, 4, USERS)
    user = np.sort(rng.integers(0, USERS, EVENTS))
    neighbours = rng.integers(1, ITEMS + 1, (ITEMS + 1, 10)).astype(np.int32)
    return releases.write(
        folder / str(number),
        {
            "item_ids": np.array(["", *(f"item-{index}" for index in range(1, ITEMS + 1))]),
            "user_ids": np.array([f"user-{index}" for index in range(USERS)]),
            "item_rows": item_rows,
            "user_rows": user_rows,
            "offsets": np.searchsorted(user, np.arange(USERS + 1)).astype(np.int64),
            "item": rng.integers(1, ITEMS + 1, EVENTS).astype(np.int32),
            "event": rng.integers(1, 3, EVENTS).astype(np.int32),
            "timestamp": np.arange(1_700_000_000_000, 1_700_000_000_000 + EVENTS * 60_000, 60_000, dtype=np.int64),
            "item_vectors": rng.standard_normal((ITEMS + 1, WIDTH)).astype(np.float32),
            "neighbours": neighbours,
            "neighbour_weights": rng.random(neighbours.shape).astype(np.float32),
            "popular": (rng.permutation(ITEMS) + 1).astype(np.int32),
        },
        {
            "schema.json": SCHEMA.model_dump_json(),
            "vocabularies.json": '{"category": ["", "books", "games", "music", "toys"]}',
        },
        number=number,
        dataset="tiny",
        source=releases.Source(),
        holdout="none",
        as_of=1_800_000_000_000,
        history_length=LENGTH,
        candidates={"retriever": RETRIEVED, "covisitation": 40, "trending": 50},
        schema_digest=SCHEMA.digest,
        models={},
        parity={},
    )


@dataclass
class NumpyModels:
    """The two models by plain arithmetic; ``delay_s`` and ``broken`` name the ones that are late or down."""

    vectors: np.ndarray[Any, np.dtype[np.float32]]
    delay_s: dict[str, float] = field(default_factory=dict)
    broken: set[str] = field(default_factory=set)
    asked: list[tuple[str, Tensors]] = field(default_factory=list)

    async def retrieve(self, inputs: Tensors) -> Retrieved:
        """Items nearest to the mean of the history."""
        await self._meet("retriever", inputs)
        scores = self.vectors[1:] @ self.vectors[inputs["history_items"][0]].mean(axis=0)
        best = np.argsort(-scores, kind="stable")[:RETRIEVED]
        return Retrieved((best + 1)[None].astype(np.int32), scores[best][None])

    async def rank(self, inputs: Tensors) -> Ranked:
        """The first numeric feature is the score."""
        await self._meet("ranker", inputs)
        scores = inputs["candidate_numeric"][:, :, 0]
        return Ranked(np.stack([scores, scores / 2], axis=-1), scores)

    async def _meet(self, name: str, inputs: Tensors) -> None:
        self.asked.append((name, inputs))
        await asyncio.sleep(self.delay_s.get(name, 0.0))
        if name in self.broken:
            raise ConnectionError(f"{name} is down")


@pytest.fixture
def release(tmp_path: Path) -> Release:
    """A release nobody has published, with a number of its own."""
    return write_release(tmp_path, next(_numbers))


@pytest.fixture
def published(release: Release, redis_url: str) -> Release:
    """A release that Redis holds."""
    publish(release.folder, redis_url, show_progress=False)
    return release


@pytest.fixture
def models(release: Release) -> NumpyModels:
    """Models of the release."""
    return NumpyModels(np.asarray(release.array("item_vectors")))


Recommend = Callable[..., Answer]


@pytest.fixture
def recommend(published: Release, models: NumpyModels, redis_url: str) -> Recommend:
    """Ask the whole funnel once."""

    def ask(user_id: str, url: str = redis_url, deadline_ms: int = 2000, **fields: Any) -> Answer:
        async def run() -> Answer:
            store = OnlineStore(published, url)
            runner = Runner(recommender(published, store, models), store.stranger, deadline_ms)
            request = RecommendRequest.model_validate({"user_id": user_id, **fields})
            try:
                return await runner.recommend(runner.admit(request, "test"))
            finally:
                await store.close()

        return run_async(run())

    return ask


def run_async(work: Coroutine[Any, Any, Any]) -> Any:
    """Run to the end in a fresh event loop."""
    return asyncio.run(work)


@pytest.fixture(scope="session")
def tiny_release() -> Callable[[Path, int], Release]:
    """Write a release folder of a given number."""
    return write_release
