"""Many requests of one funnel, in this process."""

import asyncio
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from recommender_transformer.backends.online_store import OnlineStore
from recommender_transformer.funnel.runner import Runner
from recommender_transformer.pipeline import recommender
from tests.support.fake_models import NumpyModels
from winnow.release import Release
from winnow.request import Answer, RecommendRequest, parse_all

Ask = Callable[..., list[Answer]]


@pytest.fixture
def ask(published: Release, models: NumpyModels, redis_url: str) -> Ask:
    """The answers of one runner to some requests, each a dict of fields; ``new_items`` are added before."""

    def run(*requests: dict[str, Any], url: str = redis_url, new_items: Any = (), **options: Any) -> list[Answer]:
        async def answers() -> list[Answer]:
            store = OnlineStore(published, url)
            store.learn(new_items)
            runner = Runner(recommender(published, store, models, **options), store.cold_start_state, 5000)
            try:
                found = []
                for request in (one for fields in requests for one in parse_all(RecommendRequest, [fields])):
                    [query] = await runner.admit([request], "test")
                    found.append(await runner.recommend(query))
                return found
            finally:
                await runner.close()
                await store.close()

        return asyncio.run(answers())

    return run


@pytest.fixture
def vectors(published: Release) -> Any:
    """float32 [items + 1, width]."""
    return np.asarray(published.array("item_vectors"))
