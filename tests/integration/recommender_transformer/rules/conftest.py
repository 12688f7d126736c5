"""Live rules, and many requests of one funnel in this process."""

import asyncio
from collections.abc import Callable, Iterator
from contextlib import closing
from typing import Any

import pytest

from recommender_transformer.backends.online_store import OnlineStore
from recommender_transformer.funnel.runner import Runner
from recommender_transformer.pipeline import recommender
from winnow.release import Release
from winnow.request import Answer, RecommendRequest
from winnow.settings.business_rules import Rules
from winnow.settings.file import parse
from winnow.store.business import rules
from winnow.store.connection import connect
from winnow.store.keys import RULES

Ask = Callable[..., list[Answer]]
SetRules = Callable[[str], int]


@pytest.fixture
def set_rules(redis_url: str) -> Iterator[SetRules]:
    """Put rules in force until the test ends, whatever there is; returns their version."""

    def put(text: str) -> int:
        with closing(connect(redis_url)) as client:
            held = rules.read(client)
            checked = parse(Rules, text, "test").model_dump_json(exclude_defaults=True) if text else ""
            return rules.write(client, checked, "test", held.version if held.rules else None)

    yield put
    with closing(connect(redis_url)) as client:
        client.delete(RULES)


@pytest.fixture
def ask(published: Release, models: Any, redis_url: str) -> Ask:
    """Answer requests by one funnel, after another; ``settings`` are those of the funnel."""

    def run(*requests: dict[str, Any], **settings: Any) -> list[Answer]:
        async def inside() -> list[Answer]:
            store = OnlineStore(published, redis_url)
            await store.rules.try_to_look()
            runner = Runner(recommender(published, store, models, **settings), store.cold_start_state, 10_000)
            try:
                answers = []
                for number, fields in enumerate(requests):
                    [query] = await runner.admit([RecommendRequest.model_validate(fields)], f"request-{number}")
                    answers.append(await runner.recommend(query))
                await runner.close()
                return answers
            finally:
                await store.close()

        return asyncio.run(inside())

    return run
