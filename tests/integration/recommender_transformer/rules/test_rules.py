"""What each kind of rule does to an answer, from the release, live, and in a request."""

from collections import Counter
from collections.abc import Callable
from contextlib import closing
from itertools import pairwise
from typing import Any

import numpy as np
import pytest

from tests.support.tiny_release import catalog_of
from winnow.release import Release
from winnow.request import Answer, InvalidRequest
from winnow.store.connection import connect
from winnow.store.keys import RULES

Ask = Callable[..., list[Answer]]


@pytest.fixture
def catalog(published: Release) -> dict[str, dict[str, Any]]:
    """Item id -> its values."""
    rows = catalog_of(np.asarray(published.array("item_rows"))).to_pylist()
    return {f"item-{number}": row for number, row in enumerate(rows, 1)}


def ids(answer: Answer) -> list[str]:
    return [item["item_id"] for item in answer["items"]]


def traced(answer: Answer) -> dict[str, dict[str, Any]]:
    return {one["item_id"]: one for one in answer["trace"]["candidates"]}


def test_a_release_without_rules_has_none(ask: Ask) -> None:
    [answer] = ask({"user_id": "user-1", "debug": True})
    assert answer["trace"]["rules"] is None
    assert answer["degraded"] == []


def test_named_filters_and_those_that_always_apply(ask: Ask, set_rules: Any, catalog: Any) -> None:
    set_rules("filters: {cheap: price < 150, readable: 'category = \"books\"'}\nalways: [cheap]")
    plain, named = ask(
        {"user_id": "user-1", "k": 30, "debug": True},
        {"user_id": "user-1", "k": 30, "filters": {"named": ["readable"]}},
    )
    assert len(ids(plain)) == 30
    assert all((catalog[item]["price"] or 1e9) < 150 for item in [*ids(plain), *ids(named)])
    assert {catalog[item]["category"] for item in ids(named)} == {"books"}
    assert len({catalog[item]["category"] for item in ids(plain)}) > 1
    removed = [one for one in traced(plain).values() if one.get("removed_by") == "rules"]
    assert removed
    assert {one["reason"] for one in removed} == {"not selected by the filter cheap"}
    assert plain["trace"]["rules"]["version"] == 1
    assert plain["trace"]["rules"]["filters"] == ["cheap"]


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        (
            {"filters": {"named": ["dear"]}},
            r"filters\.named\[0\]: must be a filter of the rules in force \(cheap\), got",
        ),
        ({"boosts": [{"where": "prise < 3", "factor": 2}]}, r"boosts\[0\]\.where: column 'prise' .* is not a column"),
        ({"caps": {"brand": 2}}, r"caps: 'brand' is not a column of the catalog; columns of texts are .*category"),
        ({"caps": {"price": 2}}, r"caps: 'price' has values of the kind number; columns of texts are"),
        (
            {"k": 3, "pins": [{"item_id": "item-1", "position": 3}]},
            r"pins\[0\]\.position: must be below k, which is 3, got 3",
        ),
    ],
)
def test_a_request_that_does_not_suit_the_release_is_refused(
    ask: Ask, set_rules: Any, fields: dict[str, Any], message: str
) -> None:
    set_rules("filters: {cheap: price < 150}")
    with pytest.raises(InvalidRequest, match=rf"^instances\[0\]\.{message}"):
        ask({"user_id": "user-1", **fields})


def test_a_boost_multiplies_the_value(ask: Ask, catalog: Any) -> None:
    boost = {"where": 'category = "books"', "factor": 3.0}
    plain, boosted, demoted = ask(
        {"user_id": "user-1", "k": 20, "diversity": 0.0, "debug": True},
        {"user_id": "user-1", "k": 20, "diversity": 0.0, "debug": True, "boosts": [boost]},
        {"user_id": "user-1", "k": 20, "diversity": 0.0, "debug": True, "boosts": [boost | {"factor": 0.01}]},
    )
    # The order is that of the values with their factors, whatever their sign.
    value = {one: traced(plain)[one]["value"] for one in traced(plain) if "ranked" in traced(plain)[one]}
    expected = sorted(value, key=lambda one: -value[one] * (3.0 if catalog[one]["category"] == "books" else 1.0))
    assert ids(boosted) == expected[:20]
    shown = [catalog[item]["category"] for item in ids(demoted)]
    assert shown.count("books") == 0 or shown.index("books") == len(shown) - shown.count("books")
    for item, one in traced(boosted).items():
        if "ranked" in one:
            assert one.get("boosts") == ({boost["where"]: 3.0} if catalog[item]["category"] == "books" else None)
            assert one["value"] == value[item]
    [described] = boosted["trace"]["rules"]["boosts"]
    assert described["candidates"] == sum(catalog[item]["category"] == "books" for item in value)


@pytest.mark.parametrize("broken", [{"ranker"}, set()])
@pytest.mark.parametrize("query", [{}, {"query": {"text": "a red ball"}}])
def test_a_larger_factor_is_a_better_place_on_every_scale_of_scores(
    ask: Ask, models: Any, catalog: Any, broken: set[str], query: Any
) -> None:
    """Logarithms of values, places in the order of the sources, cosines, and what blends them; some negative."""
    models.broken = broken

    def is_toy(item: str) -> bool:
        return bool(catalog[item]["category"] == "toys")

    factors = (0.01, 0.3, 1.0, 1.5, 10.0, 100.0)
    for user in ("user-1", "nobody"):
        answers = ask(
            *(
                {"user_id": user, "debug": True, **query}
                | {"boosts": [{"where": 'category = "toys"', "factor": factor}]}
                for factor in factors
            )
        )
        ranks = [
            [one["ranked"] for item, one in sorted(traced(answer).items()) if "ranked" in one and is_toy(item)]
            for answer in answers
        ]
        for worse, better in pairwise(ranks):
            assert all(one >= other for one, other in zip(worse, better, strict=True))
        assert sorted(ranks[-1]) == list(range(len(ranks[-1]))), "a factor of 100 brings all of them to the top"


def test_a_boost_for_all_changes_no_order(ask: Ask) -> None:
    plain, boosted = ask(
        {"user_id": "user-1", "k": 50},
        {"user_id": "user-1", "k": 50, "boosts": [{"where": "item_id is not null", "factor": 7}]},
    )
    assert ids(boosted) == ids(plain)


def test_pins_are_at_their_positions_and_the_rest_keeps_its_order(
    ask: Ask, set_rules: Any, published: Release, catalog: Any
) -> None:
    [plain] = ask({"user_id": "user-1", "k": 10})
    seen = published.strings("item_ids")[published.array("item")[published.array("offsets")[1]]]
    unavailable = next(item for item, row in catalog.items() if not row["available"])
    pinned = next(item for item in catalog if catalog[item]["available"] and item not in ids(plain) and item != seen)
    set_rules(
        "pins:\n"
        f"- {{item_id: {pinned}, position: 2}}\n- {{item_id: {seen}, position: 0}}\n"
        f"- {{item_id: {unavailable}, position: 1}}\n- {{item_id: gone, position: 5}}\n"
        f"- {{item_id: {ids(plain)[3]}, position: 40}}"
    )
    [answer] = ask({"user_id": "user-1", "k": 10, "debug": True})
    expected = [item for item in ids(plain) if item != pinned]
    assert ids(answer) == [seen, expected[0], pinned, *expected[1:8]]
    assert [item["sources"] for item in answer["items"]][:3:2] == [["pinned"], ["pinned"]]
    assert all("pinned" not in item["sources"] for item in answer["items"][3:])
    reasons = {pin["item_id"]: pin.get("reason") for pin in answer["trace"]["rules"]["pins"]}
    assert reasons == {
        pinned: None,
        seen: None,
        unavailable: "removed by available",
        "gone": "not in the catalog",
        ids(plain)[3]: "beyond the list",
    }


def test_a_pin_respects_what_the_request_excludes(ask: Ask) -> None:
    pins = [{"item_id": "item-1", "position": 0}, {"item_id": "item-2", "position": 1}]
    [answer] = ask({"user_id": "user-1", "k": 5, "pins": pins, "filters": {"exclude_items": ["item-1"]}})
    assert ids(answer)[1] == "item-2"
    assert "item-1" not in ids(answer)
    assert len(ids(answer)) == 5


def test_a_pin_beyond_a_short_list_is_its_last(ask: Ask, catalog: Any) -> None:
    few = [item for item in catalog if item not in ("item-1", "item-2", "item-3", "item-4")]
    answer = ask(
        {"user_id": "nobody", "k": 50, "pins": [{"item_id": "item-2", "position": 30}]}
        | {"filters": {"exclude_items": few}}
    )[0]
    assert ids(answer)[-1] == "item-2"
    assert sorted(ids(answer)) == ["item-1", "item-2", "item-3", "item-4"]


def test_caps_hold_and_the_list_is_full(ask: Ask, catalog: Any) -> None:
    plain, capped, tags = ask(
        {"user_id": "user-1", "k": 8},
        {"user_id": "user-1", "k": 8, "caps": {"category": 2}, "debug": True},
        {"user_id": "user-1", "k": 6, "caps": {"tags": 3, "category": 4}},
    )
    assert max(Counter(catalog[item]["category"] for item in ids(plain)).values()) > 2
    assert Counter(catalog[item]["category"] for item in ids(capped)) == dict.fromkeys(
        ("books", "games", "music", "toys"), 2
    )
    assert capped["trace"]["rules"]["relaxed"] == []
    left_out = [one for one in traced(capped).values() if "capped" in one]
    assert left_out
    assert all(one["capped"] == [f"category: {catalog[one['item_id']]['category']}"] for one in left_out)
    # An item counts for each of its values, and one without a value for none.
    counts = Counter(tag for item in ids(tags) for tag in set(catalog[item]["tags"] or ()))
    assert len(ids(tags)) == 6
    assert max(counts.values()) <= 3


def test_caps_that_do_not_bind_change_nothing(ask: Ask) -> None:
    plain, capped = ask({"user_id": "user-1", "k": 40}, {"user_id": "user-1", "k": 40, "caps": {"category": 40}})
    assert plain["items"] == capped["items"]


def test_caps_are_relaxed_evenly_rather_than_leave_a_gap(ask: Ask, catalog: Any) -> None:
    [answer] = ask({"user_id": "user-1", "k": 20, "caps": {"category": 2}, "debug": True})
    counts = Counter(catalog[item]["category"] for item in ids(answer))
    assert sum(counts.values()) == 20
    assert set(counts.values()) == {5}
    assert len(answer["trace"]["rules"]["relaxed"]) == 12
    assert set(answer["trace"]["rules"]["relaxed"]) == set(ids(answer)[8:])


def test_pins_count_for_caps(ask: Ask, catalog: Any) -> None:
    books = [item for item, row in catalog.items() if row["category"] == "books" and row["available"]][:2]
    pins = [{"item_id": item, "position": n} for n, item in enumerate(books)]
    [answer] = ask({"user_id": "user-1", "k": 8, "pins": pins, "caps": {"category": 2}})
    assert ids(answer)[:2] == books
    assert Counter(catalog[item]["category"] for item in ids(answer)) == dict.fromkeys(
        ("books", "games", "music", "toys"), 2
    )


@pytest.mark.parametrize("repeats", ["hide", "allow", "demote"])
def test_unseen_items_stay_before_seen_ones_under_caps(
    ask: Ask, catalog: Any, published: Release, repeats: str
) -> None:
    offsets = published.array("offsets")
    seen = {str(published.strings("item_ids")[item]) for item in published.array("item")[offsets[1] : offsets[2]]}
    [answer] = ask({"user_id": "user-1", "k": 100, "repeats": repeats, "caps": {"category": 20}, "debug": True})
    assert len(ids(answer)) == 100
    within = [item for item in ids(answer) if item not in answer["trace"]["rules"]["relaxed"]]
    assert max(Counter(catalog[item]["category"] for item in within).values()) <= 20
    order = [item in seen for item in within]
    if repeats == "hide":
        assert not any(order)
    if repeats == "demote":
        assert order == sorted(order)


def test_the_request_wins_where_both_speak_of_the_same(ask: Ask, set_rules: Any, catalog: Any) -> None:
    set_rules(
        "boosts: [{where: 'category = \"toys\"', factor: 100, name: campaign}]\n"
        "pins: [{item_id: item-1, position: 0}, {item_id: item-2, position: 1}]\n"
        "caps: {category: 1, tags: 9}"
    )
    asked = {
        "boosts": [{"where": 'category  =  "toys"', "factor": 0.01}, {"where": "price < 3", "factor": 2}],
        "pins": [{"item_id": "item-3", "position": 0}, {"item_id": "item-2", "position": 2}],
        "caps": {"category": 9},
    }
    [answer] = ask({"user_id": "user-1", "debug": True, **asked})
    rules = answer["trace"]["rules"]
    assert [(one["where"], one["factor"]) for one in rules["boosts"]] == [
        ('category  =  "toys"', 0.01),
        ("price < 3", 2.0),
    ]
    assert {pin["item_id"]: pin["position"] for pin in rules["pins"]} == {"item-3": 0, "item-2": 2}
    assert rules["caps"] == {"category": 9, "tags": 9}


def test_live_rules_that_do_not_suit_the_release_are_not_applied_and_answers_say_so(
    ask: Ask, set_rules: Any, redis_url: str
) -> None:
    set_rules("boosts: [{where: brand = 'A', factor: 2}]\ncaps: {category: 1}")
    [answer] = ask({"user_id": "user-1", "debug": True})
    assert answer["degraded"] == ["rules: the live rules do not suit the release"]
    assert answer["trace"]["rules"] is None
    with closing(connect(redis_url)) as client:
        client.hset(RULES, mapping={"version": 9, "by": "x", "at": 1, "rules": "{not json"})
    [answer] = ask({"user_id": "user-1"})
    assert answer["degraded"] == ["rules: the live rules do not suit the release"]


def test_rules_are_part_of_what_an_answer_is_reused_for(ask: Ask, set_rules: Any) -> None:
    set_rules("boosts: [{where: price < 90, factor: 5}]")
    first, second = ask({"user_id": "user-1"}, {"user_id": "user-1"}, reuse_s=60.0)
    assert "reused_ms" in second
    assert second["items"] == first["items"]
