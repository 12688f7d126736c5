"""Two transformers in this process: each with its own connections and memory."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any

import pytest

from recommender_transformer.backends.online_store import OnlineStore
from recommender_transformer.funnel.runner import Runner
from recommender_transformer.pipeline import recommender
from tests.support.reuse.transformer import Transformer
from winnow.release import Release

Run = Callable[..., None]


@pytest.fixture
def run(published: Release, redis_url: str, models: Any) -> Run:
    """Run a coroutine function with two transformers of one release, each with its own connections and memory."""

    @asynccontextmanager
    async def transformer(reuse_s: float, row_ttl_s: float) -> AsyncIterator[Transformer]:
        store = OnlineStore(published, redis_url, row_ttl_s)
        runner = Runner(recommender(published, store, models, reuse_s=reuse_s), store.cold_start_state, 5000)
        try:
            yield Transformer(runner, store)
        finally:
            await runner.close()
            await store.close()

    def run_with(
        use: Callable[[Transformer, Transformer], Awaitable[None]], reuse_s: float = 60.0, row_ttl_s: float = 5.0
    ) -> None:
        async def with_both() -> None:
            async with transformer(reuse_s, row_ttl_s) as one, transformer(reuse_s, row_ttl_s) as other:
                await use(one, other)

        asyncio.run(with_both())

    return run_with
