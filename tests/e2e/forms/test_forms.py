"""Each form of a request over all three protocols, beside the same call computed in this process."""

import asyncio
import random
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from tests.support.until import until
from winnow import protocols
from winnow.request import Answer, RecommendRequest, parse_all

# After winnow.client: one process has one build of the protocol's messages.
from recommender_transformer.backends import live_items  # isort: skip
from recommender_transformer.backends.online_store import OnlineStore  # isort: skip
from recommender_transformer.backends.predictor.triton import TritonModels  # isort: skip
from recommender_transformer.funnel.runner import Runner  # isort: skip
from recommender_transformer.pipeline import recommender  # isort: skip

COUNT = 100
NOW = time.time_ns() // 1_000_000
Draw = Callable[[random.Random, list[str], list[str], list[str]], dict[str, Any]]


def session(draw: random.Random, items: list[str]) -> list[dict[str, Any]]:
    count = draw.choice((1, 3, 10, 40))
    return [
        {"item_id": draw.choice(items), "timestamp": NOW - 60_000 * (count - n)} | draw.choice(({}, {"event": "view"}))
        for n in range(count)
    ]


FORMS: dict[str, Draw] = {
    "session": lambda draw, items, users, _: (
        {"items": session(draw, items)} | draw.choice(({}, {"user_id": draw.choice(users)}))
    ),
    "similar": lambda draw, items, users, categories: (
        {"like": draw.choice(items)}
        | draw.choice(({}, {"user_id": draw.choice(users)}, {"items": session(draw, items)}))
        | draw.choice(({}, {}, {"filters": {"categories": [draw.choice(categories)]}}))
    ),
    "complementary": lambda draw, items, users, _: (
        {"like": draw.choice(items), "relation": "complementary"} | draw.choice(({}, {"user_id": draw.choice(users)}))
    ),
    "rank": lambda draw, items, users, _: (
        {"rank": draw.sample([*items, "gone"], draw.choice((1, 20, 200)))}
        | draw.choice(({}, {"user_id": draw.choice(users)}))
    ),
    "list": lambda draw, items, users, categories: draw.choice(
        (
            {"list": "popular"},
            {"list": "trending"},
            {"list": "new"},
            {"list": "last_seen", "user_id": draw.choice(users)},
            {"list": "popular", "filters": {"categories": draw.sample(categories, 2)}},
        )
    ),
}


@contextmanager
def offline(served: Any) -> Iterator[Callable[[dict[str, Any]], Answer]]:
    """The funnel of the served release in this process, with the same Redis and the same Triton."""
    with asyncio.Runner() as loop:

        async def start() -> tuple[OnlineStore, Runner, TritonModels]:
            store = OnlineStore(served.release, f"redis://127.0.0.1:{served.ports.redis}/0")
            models = TritonModels(f"127.0.0.1:{served.ports.triton_grpc}", served.release.manifest.number)
            await live_items.catch_up(store)
            await store.lists.look()
            return store, Runner(recommender(served.release, store, models), store.cold_start_state, 10_000), models

        store, runner, models = loop.run(start())

        async def answer(instance: dict[str, Any]) -> Answer:
            [query] = await runner.admit(parse_all(RecommendRequest, [instance]), "offline")
            return await runner.recommend(query)

        async def stop() -> None:
            await runner.close()
            await models.close()
            await store.close()

        try:
            yield lambda instance: loop.run(answer(instance))
        finally:
            loop.run(stop())


def said(answer: Answer) -> Any:
    return (
        [(one["item_id"], round(one["score"], 5), one["sources"]) for one in answer["items"]],
        answer["degraded"],
        answer.get("left_out"),
    )


@pytest.mark.parametrize("form", FORMS)
def test_every_protocol_answers_as_the_funnel_does(each: Any, served: Any, form: str) -> None:
    draw = random.Random(form)
    release = each.release
    items = release.strings("item_ids")[1:].tolist()
    users = [*release.array("user_ids").tolist(), "someone-new"]
    categories = release.vocabularies["category"][1:]
    requests = [
        FORMS[form](draw, items, users, categories)
        | {"deadline_ms": 10_000}
        | ({} if form == "rank" else {"k": draw.choice((1, 10, 50, 500))})
        for _ in range(COUNT)
    ]
    with offline(served) as computed, protocols.grpc(each.ports.grpc) as grpc:
        for request in requests:
            expected = said(computed(request))
            assert said(protocols.over_http_v1(each.http, [request])[0]) == expected, request
            assert said(protocols.over_http_v2(each.http, [request])[0]) == expected, request
            assert said(protocols.over_grpc(grpc, [request])[0]) == expected, request
            assert expected[1] == []


def test_a_session_answers_as_a_user_whose_events_were_sent_and_applied(each: Any) -> None:
    draw = random.Random(18)
    items = each.release.strings("item_ids")[1:].tolist()
    sessions = {f"visitor-{each.ports.http}-{n}": session(draw, items) for n in range(12)}
    for user, events in sessions.items():
        protocols.send_events(each.http, [{"event": "view"} | event | {"user_id": user} for event in events])

    def shown(instance: dict[str, Any]) -> list[tuple[str, float]]:
        [answer] = protocols.over_http_v1(each.http, [instance | {"k": 50, "deadline_ms": 10_000}])
        assert answer["degraded"] == []
        return [(one["item_id"], round(one["score"], 5)) for one in answer["items"]]

    # Until the sidecar has applied the events, and every process has read what is trending now.
    until(lambda: all(shown({"user_id": user}) == shown({"items": events}) for user, events in sessions.items()), 90)


def test_a_catalog_category_is_listed_whole(each: Any) -> None:
    release = each.release
    rows, ids = release.array("item_rows"), release.strings("item_ids")
    for code, name in list(enumerate(release.vocabularies["category"]))[1:]:
        inside = (rows["categorical"][:, 0] == code) & (rows["available"] == 1)
        expected = {ids[item] for item in inside.nonzero()[0].tolist()}
        for listed in ("popular", "trending", "new"):
            instance = {"list": listed, "k": 500, "filters": {"categories": [name]}}
            [answer] = protocols.over_http_v1(each.http, [instance])
            # Another test may have added items.
            assert expected <= {one["item_id"] for one in answer["items"]}


def test_the_command_has_every_form(served: Any) -> None:
    items = served.release.strings("item_ids")[1:].tolist()[:3]
    for arguments in (
        ("--like", items[0]),
        ("--like", items[0], "--relation", "complementary"),
        ("--list", "popular", "-k", "3"),
        ("--rank", ",".join([*items, "gone"])),
        ("--session", ",".join(items), "-k", "5"),
    ):
        printed = served.winnow("recommend", *arguments)
        assert printed.returncode == 0, printed.stderr
        assert len(printed.stdout.splitlines()) > 2
    assert "gone" in served.winnow("recommend", "--rank", f"{items[0]},gone").stdout
    refused = served.winnow("recommend", "--rank", items[0], "--like", items[1])
    assert refused.returncode != 0
    assert "rank: cannot be combined with like" in refused.stderr
