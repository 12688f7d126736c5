"""Transformers in this process: each with its own connections, memory and follower of changes."""

import asyncio
from collections.abc import Awaitable, Callable, Iterator
from contextlib import AsyncExitStack, suppress
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from recommender_transformer.backends import live_items
from recommender_transformer.backends.online_store import OnlineStore
from recommender_transformer.derivation.apply import Asked, CatalogChanges, Outcome
from recommender_transformer.derivation.derive import Derivation
from recommender_transformer.derivation.follow import Follower
from recommender_transformer.funnel.runner import Runner
from recommender_transformer.pipeline import recommender
from tests.support import redis_fixtures
from tests.support.fake_models import NumpyModels
from tests.support.tiny_release import write_release
from winnow.catalog.change import Change
from winnow.release import Release
from winnow.request import Answer, RecommendRequest
from winnow.store.publish import publish


class Transformer:
    """One process of a release, as ``recommender_transformer.__main__`` connects its parts."""

    def __init__(self, release: Release, url: str) -> None:
        self._url = url
        self.store = OnlineStore(release, url)
        self.models = NumpyModels(np.asarray(release.array("item_vectors")))
        pipeline = recommender(release, self.store, self.models, reuse_s=60.0)
        self.derivation = Derivation(release, self.store, self.models, pipeline.media_decoder)
        self.changes = CatalogChanges(self.store, self.derivation)
        self.follower = Follower(self.store, self.derivation, release.manifest.catalog_position)
        self._runner = Runner(pipeline, self.store.cold_start_state, 5000)
        self._tasks: list[asyncio.Task[None]] = []

    async def __aenter__(self) -> "Transformer":
        position = await self.follower.start()
        self._tasks.append(asyncio.create_task(live_items.follow(self.store, self._url, position)))
        self._tasks.append(asyncio.create_task(self.follower.follow(self._url)))
        await self.store.lists.look()
        return self

    async def __aexit__(self, *_: object) -> None:
        for task in self._tasks:
            task.cancel()
        for task in self._tasks:
            with suppress(asyncio.CancelledError):
                await task
        await self._runner.close()
        await self.store.close()

    async def change(self, item_id: str, action: Any = "upsert", change_id: str | None = None, **given: Any) -> Outcome:
        """Apply one change; ``image`` and ``audio`` are bytes."""
        media = {name: given.pop(name) for name in ("image", "audio") if name in given}
        change = Change(item_id, action, given, media, change_id)
        [outcome] = await self.changes.apply([Asked(item_id, change)], "a test")
        return outcome

    async def read(self, item_id: str) -> tuple[str, dict[str, Any]]:
        """State and document of an item."""
        [outcome] = await self.changes.apply([Asked(item_id)])
        return outcome.state, dict(self.changes.document(item_id, outcome.overlay))

    async def ask(self, **request: Any) -> Answer:
        """The answer to a request for up to 100 items."""
        [query] = await self._runner.admit([RecommendRequest.model_validate({"k": 100, **request})], "t")
        return await self._runner.recommend(query)

    async def shown(self, **request: Any) -> list[str]:
        """The ids of that answer."""
        return [item["item_id"] for item in (await self.ask(**request))["items"]]


Use = Callable[..., Awaitable[None]]


@pytest.fixture
def own_redis(tmp_path: Path) -> Iterator[str]:
    """A Redis of its own: the stream of changes belongs to no release."""
    with redis_fixtures.own_redis(tmp_path) as url:
        yield url


@pytest.fixture
def released(tmp_path: Path, own_redis: str) -> Callable[..., Release]:
    """Write and publish a release: ``released(number, catalog_position="")``."""

    def make(number: int, catalog_position: str = "") -> Release:
        release = write_release(tmp_path / "releases", number, catalog_position=catalog_position)
        publish(release.folder, own_redis, show_progress=False)
        return release

    return make


@pytest.fixture
def run(own_redis: str) -> Callable[..., None]:
    """Run ``use(*transformers)``, one transformer for each of the given releases."""

    def run_with(use: Use, *releases: Release) -> None:
        async def work() -> None:
            async with AsyncExitStack() as stack:
                transformers = [await stack.enter_async_context(Transformer(each, own_redis)) for each in releases]
                await use(*transformers)

        asyncio.run(work())

    return run_with
