"""Lists that are shown as they are."""

import time
from typing import Any

import numpy as np
import pytest

from recommender_transformer.forms import item_orders
from tests.support.fake_models import NumpyModels
from tests.support.forms.answers import ids, numbers
from tests.support.tiny_release import UNAVAILABLE, VOCABULARIES, new_item
from winnow.release import Release
from winnow.schema import NUMERIC_FEATURES
from winnow.store.connection import connect
from winnow.store.keys import Keys

NOWHERE = "redis://127.0.0.1:1/0"
NOW = time.time_ns() // 1_000_000
CATEGORIES = VOCABULARIES["category"]


def available(items: Any) -> list[int]:
    return [int(item) for item in items if int(item) not in UNAVAILABLE]


def of_category(release: Release, *names: str) -> set[int]:
    codes = [CATEGORIES.index(name) for name in names]
    return set(np.flatnonzero(np.isin(release.array("item_rows")["categorical"][:, 0], codes)).tolist())


def column(release: Release, name: str) -> Any:
    return np.asarray(release.array("item_rows")["numeric"][1:, NUMERIC_FEATURES.index(name)])


def by_popularity(release: Release) -> list[int]:
    return (np.argsort(-column(release, "popularity_7d"), kind="stable") + 1).tolist()


@pytest.mark.parametrize("k", [1, 10, 100, 500])
def test_popular_items_come_in_their_order(ask: Any, published: Release, models: NumpyModels, k: int) -> None:
    everything, books, several = ask(
        {"list": "popular", "k": k},
        {"list": "popular", "k": k, "filters": {"categories": ["books"]}},
        {"list": "popular", "k": k, "filters": {"categories": ["toys", "music"], "exclude_items": ["item-1"]}},
    )
    order = available(by_popularity(published))
    assert numbers(everything) == order[:k]
    assert numbers(books) == [item for item in order if item in of_category(published, "books")][:k]
    several_categories = of_category(published, "toys", "music") - {1}
    assert numbers(several) == [item for item in order if item in several_categories][:k]
    assert {source for one in everything["items"] for source in one["sources"]} == {"popular"}
    assert models.asked == []


def test_new_items_come_newest_first_and_those_after_the_release_before_all(ask: Any, published: Release) -> None:
    rank = {item: place for place, item in enumerate(by_popularity(published))}
    age = dict(enumerate(column(published, "age").tolist(), 1))
    order = available(sorted(age, key=lambda item: (age[item], rank[item])))
    added = [new_item(published, f"new-{n}", n) for n in range(3)]
    plain, grown, music = ask(
        {"list": "new", "k": 500},
        {"list": "new", "k": 6},
        {"list": "new", "k": 500, "filters": {"categories": ["music"]}},
    )
    assert numbers(plain) == order
    assert numbers(music) == [item for item in order if item in of_category(published, "music")]
    assert numbers(grown) == order[:6]
    with_new, books = ask(
        {"list": "new", "k": 6},
        {"list": "new", "k": 4, "filters": {"categories": ["books"]}},
        new_items=added,
    )
    assert ids(with_new) == ["new-2", "new-1", "new-0", *(f"item-{item}" for item in order[:3])]
    # New items of the tests are books.
    assert ids(books)[:3] == ["new-2", "new-1", "new-0"]


def test_trending_items_come_in_the_order_of_redis_and_popular_ones_follow(
    ask: Any, published: Release, redis_url: str
) -> None:
    listed = np.random.default_rng(1).permutation(np.arange(1, 301))[:40].astype("<i4")
    with connect(redis_url) as client:
        client.set(Keys(published.manifest.number).trending, listed.tobytes())
    trending, games = ask(
        {"list": "trending", "k": 300}, {"list": "trending", "k": 300, "filters": {"categories": ["games"]}}
    )
    order = available(listed)
    rest = [item for item in available(by_popularity(published)) if item not in set(order)]
    assert numbers(trending) == order + rest
    inside = of_category(published, "games")
    assert numbers(games) == [item for item in order + rest if item in inside]
    assert trending["degraded"] == []


def test_last_seen_items_are_those_of_the_newest_events_each_once(ask: Any) -> None:
    session = [{"item_id": f"item-{n}", "timestamp": NOW - 1000 * (20 - n)} for n in (1, 2, 3, 2, 5)]
    session.append({"item_id": "item-3", "event": "dislike"})
    mine, visitor, nothing = ask(
        {"list": "last_seen", "user_id": "user-1"},
        {"list": "last_seen", "items": session},
        {"list": "last_seen", "user_id": "stranger"},
    )
    assert nothing["items"] == []
    # Item 3 is disliked, item 5 is not available, and item 2 counts by its last event.
    assert numbers(visitor) == [2, 1]
    assert 0 < len(mine["items"]) <= 12


def test_last_seen_items_of_a_user_are_their_history(ask: Any, published: Release) -> None:
    offsets, log = published.array("offsets"), published.array("item")
    for user, answer in enumerate(ask(*({"list": "last_seen", "user_id": f"user-{n}"} for n in range(20)))):
        newest = log[offsets[user] : offsets[user + 1]][::-1][:12].tolist()
        assert numbers(answer) == available(dict.fromkeys(newest))[:10]


def test_a_list_reads_no_user_and_no_model(ask: Any, models: NumpyModels) -> None:
    for name in ("popular", "new", "trending"):
        one, other = ask({"list": name, "user_id": "user-1", "debug": True}, {"list": name, "debug": True})
        assert one["items"] == other["items"]
        assert one["trace"]["funnel"] == name
        assert not {step["stage"] for step in one["trace"]["stages"]} & {"query_hydrators"}
    assert models.asked == []


def test_without_redis_every_list_answers(ask: Any, published: Release) -> None:
    popular, new, trending, last_seen, visitor = ask(
        {"list": "popular", "k": 50},
        {"list": "new", "k": 50},
        {"list": "trending", "k": 50, "filters": {"categories": ["toys"]}},
        {"list": "last_seen", "user_id": "user-1"},
        {"list": "last_seen", "items": [{"item_id": "item-2"}]},
        url=NOWHERE,
    )
    assert numbers(popular) == available(by_popularity(published))[:50]
    assert len(new["items"]) == 50
    # The release's popular list takes the place of the trending one.
    bundled = [item for item in available(published.array("popular")) if item in of_category(published, "toys")]
    assert numbers(trending) == bundled[:50]
    assert last_seen["items"] == []
    assert any(part.startswith("user_state") for part in last_seen["degraded"])
    assert numbers(visitor) == [2]


def test_a_release_has_the_orders_as_arrays_or_they_are_computed(published: Release) -> None:
    orders = item_orders(published)
    assert orders.popular.tolist() == by_popularity(published)
    for code in range(1, len(CATEGORIES)):
        inside = of_category(published, CATEGORIES[code])
        assert orders.of_category("popular", code).tolist() == [
            item for item in by_popularity(published) if item in inside
        ]
        assert set(orders.of_category("new", code).tolist()) == inside
