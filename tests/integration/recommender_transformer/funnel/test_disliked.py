"""Items and categories that a user dislikes leave the next answer."""

import asyncio
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from recommender_transformer.backends.live_items import write
from recommender_transformer.backends.online_store import OnlineStore
from recommender_transformer.funnel.runner import Runner
from recommender_transformer.pipeline import recommender
from tests.support.redis_fixtures import server_and_cluster
from tests.support.sidecar.user_events import LATER, event, send_events
from tests.support.tiny_release import ITEMS, new_item
from winnow.release import Release
from winnow.request import Answer, RecommendRequest

redis_url = server_and_cluster

Recommend = Callable[..., Answer]
NAMES = ["", "books", "games", "music", "toys"]


@pytest.fixture
def of_category(published: Release) -> Callable[[str], list[int]]:
    """Numbers of the available items of a category."""
    rows = published.array("item_rows")

    def find(name: str) -> list[int]:
        codes = rows["categorical"][:, 0]
        found: list[int] = np.flatnonzero((codes == NAMES.index(name)) & (rows["available"] > 0)).tolist()
        return found

    return find


def dislike(redis_url: str, user_id: str, *items: int | str, after: int = 0, kind: str = "dislike") -> None:
    send_events(redis_url, *(event(user_id, item, kind, LATER - 10_000 + after + n) for n, item in enumerate(items)))


def shown(answer: Answer) -> set[str]:
    return {item["item_id"] for item in answer["items"]}


def kept(answer: Answer) -> set[str]:
    return {c["item_id"] for c in answer["trace"]["candidates"] if "removed_by" not in c}


def removed(answer: Answer, by: str) -> dict[str, str]:
    candidates = answer["trace"]["candidates"]
    return {c["item_id"]: c["reason"] for c in candidates if c.get("removed_by") == by}


@pytest.mark.parametrize("repeats", ["allow", "demote"])
def test_an_item_is_hidden_while_its_events_have_a_negative_value_in_sum(
    recommend: Recommend, redis_url: str, repeats: str
) -> None:
    few: dict[str, Any] = {
        "k": 50,
        "repeats": repeats,
        "filters": {"exclude_items": [f"item-{n}" for n in range(21, ITEMS + 1)]},
    }
    send_events(redis_url, event("picky", 3, "buy", LATER - 20_000))
    assert "item-3" in shown(recommend("picky", **few))
    dislike(redis_url, "picky", 3)
    answer = recommend("picky", debug=True, **few)
    assert "item-3" not in shown(answer)
    assert removed(answer, "disliked") == {"item-3": "the user's events with it have the value -1"}
    assert "item-3" not in shown(recommend("picky", query={"text": "a red ball"}, **few)), "also in a search"
    send_events(redis_url, event("picky", 3, "view", LATER - 5_000))
    assert "item-3" in shown(recommend("picky", **few)), "the values cancel out"


def test_the_reason_names_the_value(recommend: Recommend, published: Release, redis_url: str) -> None:
    popular = int(published.array("popular")[0])
    dislike(redis_url, "picky", popular)
    answer = recommend("picky", k=10, repeats="allow", debug=True)
    assert removed(answer, "disliked") == {f"item-{popular}": "the user's events with it have the value -5"}


def test_a_category_is_hidden_after_three_dislikes_and_until_one_of_it_is_liked(
    recommend: Recommend, redis_url: str, of_category: Any
) -> None:
    toys, ids = of_category("toys"), {f"item-{n}" for n in of_category("toys")}
    # Items that were liked before do not count: the newest three do.
    dislike(redis_url, "tired", toys[5], after=-50, kind="buy")
    dislike(redis_url, "tired", *toys[:2])
    assert shown(recommend("tired", k=50)) & ids
    dislike(redis_url, "tired", toys[0], toys[1], after=100)
    assert shown(recommend("tired", k=50)) & ids, "two items, however often"
    dislike(redis_url, "tired", toys[2], after=200)
    answer = recommend("tired", k=50, debug=True)
    assert len(answer["items"]) == 50
    assert not shown(answer) & ids
    assert set(removed(answer, "disliked_category").values()) == {"the user dislikes the newest 3 items of toys"}
    for repeats in ("allow", "demote"):
        assert not shown(recommend("tired", k=50, repeats=repeats)) & ids
    # A request that states its interest is not guessed about; the disliked items themselves stay hidden.
    asked = shown(recommend("tired", k=20, repeats="allow", filters={"categories": ["toys"]}))
    assert asked
    assert asked <= ids - {f"item-{n}" for n in toys[:3]}
    assert shown(recommend("tired", k=100, query={"text": "a red ball"})) & ids
    dislike(redis_url, "tired", toys[4], after=300, kind="view")
    assert shown(recommend("tired", k=50)) & ids


def test_a_disliked_category_is_shown_rather_than_a_short_answer(
    recommend: Recommend, redis_url: str, of_category: Any
) -> None:
    toys = of_category("toys")
    dislike(redis_url, "tired", *toys[:3])
    others = [f"item-{n}" for n in range(1, ITEMS + 1) if n not in toys]
    answer = recommend("tired", k=10, filters={"exclude_items": others})
    assert len(answer["items"]) == 10
    assert not shown(answer) & {f"item-{n}" for n in toys[:3]}


def test_a_user_who_dislikes_everything_so_far_gets_what_is_popular_elsewhere(
    recommend: Recommend, redis_url: str, of_category: Any
) -> None:
    items = of_category("toys")[:4]
    dislike(redis_url, "grumpy", *items)
    answer = recommend("grumpy", k=20, repeats="allow", debug=True)
    assert answer["degraded"] == []
    assert len(answer["items"]) == 20
    # Disliked items propose nothing: neither themselves nor their neighbours.
    assert answer["trace"]["sources"]["covisitation"] == answer["trace"]["sources"]["history"] == 0


def test_covisitation_follows_liked_items_only(recommend: Recommend, published: Release, redis_url: str) -> None:
    liked, disliked = 11, 12
    send_events(redis_url, event("mixed", liked, "view", LATER - 20_000))
    before = recommend("mixed", k=10, debug=True)
    dislike(redis_url, "mixed", disliked)
    after = recommend("mixed", k=10, debug=True)

    def neighbours(answer: Answer) -> set[str]:
        return {c["item_id"] for c in answer["trace"]["candidates"] if "covisitation" in c["sources"]}

    expected = {f"item-{n}" for n in published.array("neighbours")[liked].tolist()} - {f"item-{liked}"}
    assert neighbours(before) == neighbours(after) == expected


def test_a_disliked_new_item_is_hidden_and_counts_for_its_category(
    published: Release, redis_url: str, models: Any
) -> None:
    added = [new_item(published, f"new-{slot}", slot) for slot in range(4)]

    async def run() -> list[Answer]:
        store = OnlineStore(published, redis_url)
        runner = Runner(recommender(published, store, models), store.cold_start_state, 5000)
        try:
            for item in added:
                store.learn([item])
            await write(store, added)
            answers = []
            for count in range(4):
                if count:
                    await asyncio.to_thread(dislike, redis_url, "critic", f"new-{count - 1}", after=count)
                request = RecommendRequest(user_id="critic", k=10, repeats="allow", debug=True)
                [query] = await runner.admit([request], "test")
                answers.append(await runner.recommend(query))
            return answers
        finally:
            await runner.close()
            await store.close()

    none, one, two, three = asyncio.run(run())
    books = {f"item-{n}" for n in range(1, ITEMS + 1) if published.array("item_rows")["categorical"][n, 0] == 1}
    new = {item.item_id for item in added}
    assert [kept(answer) & new for answer in (none, one, two)] == [new, new - {"new-0"}, new - {"new-0", "new-1"}]
    assert [bool(kept(answer) & books) for answer in (none, one, two, three)] == [True, True, True, False]
    assert not kept(three) & new
