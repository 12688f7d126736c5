"""``filters.where``: only matching items are recommended, and there are k of them wherever so many exist."""

import asyncio
import json
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from recommender_transformer.backends.online_store import OnlineStore
from recommender_transformer.funnel.runner import Runner
from recommender_transformer.pipeline import recommender
from tests.support.tiny_release import ITEMS, UNAVAILABLE, new_item
from winnow.release import MANIFEST, Release
from winnow.request import Answer, InvalidRequest, RecommendRequest

Recommend = Callable[..., Answer]
USERS = ("user-3", "cold-start-user")


def ids(answer: Answer) -> set[str]:
    return {item["item_id"] for item in answer["items"]}


def has_price(number: int) -> bool:
    return number % 3 != 0


@pytest.mark.parametrize("user", USERS)
@pytest.mark.parametrize(
    ("where", "matches"),
    [
        ("price < 30", lambda number: has_price(number) and number < 30),
        ("price is null and item_id like 'item-2%'", lambda number: not has_price(number) and str(number)[0] == "2"),
        ("item_id in ('item-7', \"item-8\", 'item-31') and not tags is null", lambda number: number in (7, 31)),
        ("created_at >= '2023-11-14T22:13:20.290Z'", lambda number: number >= 290),
        ("title = 'title 12'", lambda number: number == 12),
        ("available and grams is null and price > 200", lambda number: has_price(number) and number > 200),
        ("price >= 0 or price is null", lambda number: True),
    ],
)
def test_every_matching_item_can_be_reached(recommend: Recommend, user: str, where: str, matches: Any) -> None:
    answer = recommend(user, k=100, repeats="allow", filters={"where": where}, debug=True)
    expected = {f"item-{n}" for n in range(1, ITEMS + 1) if matches(n) and n not in UNAVAILABLE}
    assert ids(answer) <= expected
    assert len(answer["items"]) == min(100, len(expected))
    assert answer["degraded"] == []
    removed = [one for one in answer["trace"]["candidates"] if one.get("removed_by") == "request"]
    assert all(one["reason"].startswith("does not match ") for one in removed)
    assert all(where[:20].split("'")[0] in one["reason"] for one in removed)


def test_a_user_gets_the_matching_items_closest_to_their_vector(recommend: Recommend, release: Release) -> None:
    answer = recommend("user-3", k=3, filters={"where": "price < 100"}, debug=True)
    listed = [one for one in answer["trace"]["candidates"] if "retriever" in one["sources"]]
    offsets, log = release.array("offsets"), release.array("item")
    vectors = release.array("item_vectors")
    user = vectors[log[offsets[3] : offsets[4]][-12:]]
    # The models of the test average the vectors of the last items, padded with item 0.
    padded = np.concatenate([np.repeat(vectors[:1], 12 - len(user), 0), user])
    products = vectors @ padded.mean(axis=0)
    matching = [number for number in range(1, 100) if has_price(number)]
    best = sorted(matching, key=lambda number: -products[number])[:60]
    assert [one["item_id"] for one in listed] == [f"item-{number}" for number in best]
    scores = [one["sources"]["retriever"] for one in listed]
    np.testing.assert_allclose(scores, products[best], rtol=1e-4)


def test_a_query_by_content_finds_matching_items(recommend: Recommend) -> None:
    answer = recommend(None, k=5, query={"text": "a red ball"}, filters={"where": "price < 20"})
    assert len(answer["items"]) == 5
    assert all(int(item.removeprefix("item-")) < 20 for item in ids(answer))
    assert all("content" in item["sources"] for item in answer["items"])


def test_categories_and_where_apply_together(recommend: Recommend, release: Release) -> None:
    codes = release.array("item_rows")["categorical"][:, 0]
    toys = release.vocabularies["category"].index("toys")
    expected = {f"item-{n}" for n in range(1, 60) if codes[n] == toys and has_price(n) and n not in UNAVAILABLE}
    for fields in (
        {"categories": ["toys"], "where": "price < 60"},
        {"where": "price < 60 and category = 'toys'"},
    ):
        answer = recommend("user-3", k=100, repeats="allow", filters=fields)
        assert ids(answer) == expected


def test_a_rare_category_fills_k(recommend: Recommend, release: Release) -> None:
    answer = recommend("user-3", k=40, repeats="allow", filters={"categories": ["music"]}, debug=True)
    assert len(answer["items"]) == 40
    assert {one["features"]["category"] for one in answer["trace"]["candidates"] if "position" in one} == {"music"}
    listed = [one for one in answer["trace"]["candidates"] if "retriever" in one["sources"]]
    assert {one["features"]["category"] for one in listed} == {"music"}


@pytest.mark.parametrize(
    "form",
    [
        {"like": "item-9"},
        {"like": "item-9", "user_id": "user-3"},
        {"list": "popular"},
        {"list": "new"},
        {"items": [{"item_id": "item-3"}, {"item_id": "item-4"}]},
        {"rank": [f"item-{number}" for number in range(1, 60)], "user_id": "user-3"},
    ],
)
def test_every_form_of_a_request_is_filtered(recommend: Recommend, form: dict[str, Any]) -> None:
    fields: dict[str, Any] = {"user_id": None} | form | ({"repeats": "allow"} if "user_id" in form else {})
    answer = recommend(fields.pop("user_id"), k=6, filters={"where": "price < 20"}, **fields)
    numbers = [int(item.removeprefix("item-")) for item in ids(answer)]
    assert len(numbers) == 6
    assert all(number < 20 and has_price(number) for number in numbers)


def served(release: Release, models: Any, url: str, work: Any) -> None:
    async def inside() -> None:
        store = OnlineStore(release, url)
        runner = Runner(recommender(release, store, models), store.cold_start_state, 5000)

        async def ask(where: str | None, user: str = "user-3", **fields: Any) -> Answer:
            filters = {"where": where, "categories": fields.pop("categories", None)}
            request = RecommendRequest.model_validate({"user_id": user, "k": 100, "filters": filters, **fields})
            [query] = await runner.admit([request], "test")
            return await runner.recommend(query)

        try:
            await work(store, ask)
        finally:
            await runner.close()
            await store.close()

    asyncio.run(inside())


def test_changed_and_new_items_match_at_once(published: Release, models: Any, redis_url: str) -> None:
    async def work(store: OnlineStore, ask: Any) -> None:
        columns = store.catalog.columns
        for user in USERS:
            assert ids(await ask("price = 1000", user)) == set()
        document = columns.document(7)
        columns.put(7, document | {"price": 1000.0})
        added = new_item(published, "brand-new", slot=2)
        store.learn([added._replace(document={"price": 1000.0, "tags": ["unheard"]})])
        for user in USERS:
            assert ids(await ask("price = 1000", user, repeats="allow")) == {"item-7", "brand-new"}
            assert ids(await ask("tags contains 'unheard'", user)) == {"brand-new"}
        columns.put(7, document)
        store.learn([added._replace(document={"price": 1.0})])
        for user in USERS:
            assert ids(await ask("price = 1000", user)) == set()
        # More changes than a list is patched for.
        for _ in range(30):
            for index in range(1, ITEMS + 1):
                columns.put(index, {"price": 1000.0, "item_id": f"item-{index}"})
        assert len((await ask("price = 1000", repeats="allow"))["items"]) == 100

    served(published, models, redis_url, work)


def test_requests_for_one_filter_at_once_agree(published: Release, models: Any, redis_url: str) -> None:
    async def work(store: OnlineStore, ask: Any) -> None:
        answers = await asyncio.gather(*(ask("price < 60", repeats="allow") for _ in range(20)))
        assert {frozenset(ids(answer)) for answer in answers} == {frozenset(ids(answers[0]))}
        assert len(answers[0]["items"]) == len([n for n in range(1, 60) if has_price(n) and n not in UNAVAILABLE])

    served(published, models, redis_url, work)


def test_without_the_matching_items_the_answer_is_still_right(published: Release, models: Any, redis_url: str) -> None:
    """They are computed in a thread, which may be too slow for a deadline."""

    async def work(store: OnlineStore, ask: Any) -> None:
        def fails(*_: Any) -> None:
            raise OSError("no thread")

        store.catalog.columns.changed_since = fails  # type: ignore[method-assign]
        await ask("price < 20")
        store.catalog.columns.put(1, store.catalog.columns.document(1))
        answer = await ask("price < 20", repeats="allow")
        assert answer["degraded"] == ["matching_items: OSError"]
        assert len(answer["items"]) == len([n for n in range(1, 20) if has_price(n) and n not in UNAVAILABLE])

    served(published, models, redis_url, work)


def test_a_release_without_columns_refuses_a_filter_and_serves_the_rest(
    published: Release, models: Any, redis_url: str
) -> None:
    """Releases of earlier versions of Winnow."""
    manifest = json.loads((published.folder / MANIFEST).read_bytes())
    for name in [name for name in manifest["files"] if name.startswith("column")]:
        del manifest["files"][name]
        (published.folder / name).unlink()
    old = Release(published.folder, published.manifest.model_copy(update={"files": manifest["files"]}))

    async def work(store: OnlineStore, ask: Any) -> None:
        assert store.catalog.columns.names == ()
        assert len((await ask(None, categories=["toys"]))["items"]) > 20
        message = r"instances\[0\]\.filters\.where: .* this release has no columns; build a release with this version"
        with pytest.raises(InvalidRequest, match=message):
            await ask("price < 20")

    served(old, models, redis_url, work)
