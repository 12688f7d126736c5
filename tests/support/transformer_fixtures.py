"""Fixtures of the tests that run the transformer or its funnel; a ``conftest.py`` imports the ones its folder uses."""

import asyncio
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from functools import partial
from itertools import count
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from recommender_transformer.backends.online_store import OnlineStore
from recommender_transformer.funnel.runner import Runner
from recommender_transformer.pipeline import recommender
from tests.support.fake_models import NumpyModels
from tests.support.tiny_release import write_release
from tests.support.transformer_server import Server, serving, serving_published
from winnow.release import Release
from winnow.request import Answer, RecommendRequest
from winnow.store.connection import connect
from winnow.store.keys import recent
from winnow.store.publish import publish

Recommend = Callable[..., Answer]
AskInTurn = Callable[..., list[Answer]]

_numbers = count(7001)


@pytest.fixture
def release(tmp_path: Path) -> Release:
    """An unpublished release with a number of its own."""
    return write_release(tmp_path, next(_numbers))


@pytest.fixture
def published(release: Release, redis_url: str) -> Release:
    """A published release; no user has recent events, not even from other tests of the file."""
    publish(release.folder, redis_url, show_progress=False)
    with connect(redis_url) as client:
        for key in client.scan_iter(match=recent("*")):
            client.delete(key)
    return release


@pytest.fixture
def models(release: Release) -> NumpyModels:
    """Models of the release."""
    return NumpyModels(np.asarray(release.array("item_vectors")))


@pytest.fixture
def recommend(published: Release, models: NumpyModels, redis_url: str) -> Recommend:
    """Run the whole funnel for one request, in this process."""

    def ask(user_id: str | None, url: str = redis_url, deadline_ms: int = 2000, **fields: Any) -> Answer:
        async def run() -> Answer:
            store = OnlineStore(published, url)
            runner = Runner(recommender(published, store, models), store.cold_start_state, deadline_ms)
            request = RecommendRequest.model_validate({"user_id": user_id, **fields})
            try:
                [query] = await runner.admit([request], "test")
                return await runner.recommend(query)
            finally:
                await runner.close()
                await store.close()

        return asyncio.run(run())

    return ask


@pytest.fixture
def ask_in_turn(published: Release, models: NumpyModels, redis_url: str) -> AskInTurn:
    """Answer requests one after the other by one funnel; a callable makes its request from the answers before."""

    def run(*requests: Any, url: str = redis_url, **settings: Any) -> list[Answer]:
        async def inside() -> list[Answer]:
            store = OnlineStore(published, url)
            pipeline = recommender(published, store, models, **settings)
            await pipeline.ids.key.refresh()
            runner = Runner(pipeline, store.cold_start_state, deadline_ms=10_000)
            answers: list[Answer] = []
            try:
                for given in requests:
                    fields = given(answers) if callable(given) else given
                    [query] = await runner.admit([RecommendRequest.model_validate(fields)], f"asked-{len(answers)}")
                    answers.append(await runner.recommend(query))
                await runner.close()
            finally:
                await store.close()
            return answers

        return asyncio.run(inside())

    return run


@pytest.fixture
def serve_tiny(tmp_path: Path) -> Callable[..., AbstractContextManager[Server]]:
    """Serve a tiny release with settings of its own: ``with serve_tiny(redis_url, **settings) as server``."""
    return partial(serving, tmp_path, next(_numbers))


@pytest.fixture
def serve_published(published: Release, redis_url: str, tmp_path: Path) -> Callable[..., Any]:
    """Serve the published release, as often as the test asks: ``with serve_published() as server``."""
    logs = count(1)

    def serve(**settings: Any) -> AbstractContextManager[Server]:
        return serving_published(published, redis_url, tmp_path / f"server-{next(logs)}.log", **settings)

    return serve


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory, redis_url: str) -> Iterator[Server]:
    """Release 6001, served; tests leave its catalog unchanged."""
    with serving(tmp_path_factory.mktemp("served"), 6001, redis_url) as running:
        yield running


@pytest.fixture(scope="module")
def growing_server(tmp_path_factory: pytest.TempPathFactory, redis_url: str) -> Iterator[Server]:
    """Release 6002, served; tests may add items to it."""
    with serving(tmp_path_factory.mktemp("growing"), 6002, redis_url) as running:
        yield running
