"""What computations over many users have in common: the funnel of a release without side effects.

Nothing that they compute is shown, so they log no impressions, and a rule of fatigue counts nothing. All else is as
in a process that serves: changes of the catalog and the business rules are followed while they run.
"""

import asyncio
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path

from recommender_transformer.backends import live_items
from recommender_transformer.backends.milvus import MilvusItems
from recommender_transformer.backends.online_store import OnlineStore
from recommender_transformer.backends.predictor.embedded import EmbeddedModels
from recommender_transformer.backends.predictor.triton import TritonModels
from recommender_transformer.derivation.derive import Derivation
from recommender_transformer.derivation.follow import Follower
from recommender_transformer.funnel.runner import Runner
from recommender_transformer.pipeline import recommender
from winnow.milvus.collection import is_searched
from winnow.milvus.connection import address
from winnow.release import Release
from winnow.request import MAX_DEADLINE_MS, Answer, RecommendRequest

DEADLINE_MS = MAX_DEADLINE_MS

ROW_TTL_S = 60.0
"""Seconds for which an item row is held, longer than in a process that serves: what is computed is read later anyway.

An item that is taken down is left out at once, by the stream of changes."""


@asynccontextmanager
async def connected(
    release: Release, redis_url: str, predictor: str | Path
) -> AsyncIterator[tuple[OnlineStore, Runner]]:
    """A store and a funnel without side effects, with the changes of the catalog so far.

    Args:
        release: the release.
        redis_url: URL of its online store.
        predictor: ``host:port`` of Triton's gRPC endpoint, or the model repository to compute in this process.

    Raises:
        WinnowError: a graph cannot be loaded.
    """
    models: EmbeddedModels | TritonModels
    if isinstance(predictor, Path):
        models = EmbeddedModels(release, predictor)
    else:
        models = TritonModels(predictor, release.manifest.number)
    store = OnlineStore(release, redis_url, ROW_TTL_S)
    milvus_items = MilvusItems(release, address()) if is_searched(release) else None
    pipeline = replace(recommender(release, store, models, milvus_items), side_effects=())
    follower = Follower(
        store, Derivation(release, store, models, pipeline.media_decoder), release.manifest.catalog_position
    )
    tasks: list[asyncio.Task[None]] = []
    try:
        live = live_items.follow(store, redis_url, await follower.start())
        await store.rules.try_to_look()
        tasks += map(asyncio.create_task, (live, follower.follow(redis_url), store.rules.follow()))
        yield store, Runner(pipeline, store.cold_start_state, DEADLINE_MS)
    finally:
        for task in tasks:
            task.cancel()
        if milvus_items is not None:
            await milvus_items.close()
        await models.close()
        await store.close()


async def answered(runner: Runner, requests: Iterable[RecommendRequest], free: asyncio.Semaphore) -> list[Answer]:
    """The answers to some requests, in their order.

    Args:
        runner: the funnel.
        requests: the requests.
        free: bounds the requests that are computed at the same time.

    Raises:
        InvalidRequest: a request does not suit the release.
    """

    async def answer(request: RecommendRequest) -> Answer:
        async with free:
            [query] = await runner.admit([request], "offline")
            return await runner.recommend(query)

    return list(await asyncio.gather(*map(answer, requests)))
