"""A caller's own list, ranked."""

import random
from typing import Any

import numpy as np
import pytest

from tests.support.fake_models import NumpyModels
from tests.support.forms.answers import ids
from tests.support.tiny_release import ITEMS, UNAVAILABLE, new_item
from winnow.release import Release

NOWHERE = "redis://127.0.0.1:1/0"


def drawn(seed: int, count: int) -> list[str]:
    items = [item for item in range(1, ITEMS + 1) if item not in UNAVAILABLE]
    return [f"item-{n}" for n in random.Random(seed).sample(items, count)]


def test_the_whole_list_is_ranked_by_what_the_plain_funnel_ranks_by(ask: Any) -> None:
    for user in range(5):
        [plain] = ask({"user_id": f"user-{user}", "k": 60, "diversity": 0.0})
        shuffled = sorted(ids(plain), key=lambda name: hash((user, name)))
        [ranked] = ask({"user_id": f"user-{user}", "rank": shuffled})
        assert ids(ranked) == ids(plain)
        assert [one["value"] for one in ranked["items"]] != []
        assert ranked["left_out"] == []


@pytest.mark.parametrize("count", [1, 10, 200])
def test_nothing_is_added_and_nothing_is_lost(ask: Any, count: int) -> None:
    own = drawn(count, count)
    [answer] = ask({"user_id": "user-1", "rank": own})
    assert sorted(ids(answer)) == sorted(own)
    assert answer["left_out"] == []
    [short] = ask({"user_id": "user-1", "rank": own, "k": 1})
    assert ids(short) == ids(answer)[:1]


def test_items_that_cannot_be_shown_are_named_with_the_reason(ask: Any, published: Release) -> None:
    gone, out = "no such item", f"item-{min(UNAVAILABLE)}"
    own = [gone, "item-1", out, "item-2", "new-1"]
    [answer] = ask(
        {"user_id": "user-1", "rank": own, "filters": {"exclude_items": ["item-2"]}},
        new_items=[new_item(published, "new-1", 0)],
    )
    assert sorted(ids(answer)) == ["item-1", "new-1"]
    assert answer["left_out"] == [
        {"item_id": gone, "removed_by": "unknown", "reason": "not an item of the catalog"},
        {"item_id": out, "removed_by": "available", "reason": "not available"},
        {"item_id": "item-2", "removed_by": "request", "reason": "excluded by the request"},
    ]
    [none] = ask({"rank": [gone]})
    assert (none["items"], len(none["left_out"])) == ([], 1)


def test_seen_items_stay_unless_the_request_asks_otherwise(ask: Any) -> None:
    own = drawn(4, 40)
    session = [{"item_id": own[5]}, {"item_id": own[6], "event": "dislike"}]
    kept, hidden, demoted = ask(
        {"items": session, "rank": own},
        {"items": session, "rank": own, "repeats": "hide"},
        {"items": session, "rank": own, "repeats": "demote"},
    )
    assert sorted(ids(kept)) == sorted(own)
    assert sorted(ids(hidden)) == sorted(set(own) - {own[5], own[6]})
    assert {one["removed_by"] for one in hidden["left_out"]} == {"seen"}
    assert set(ids(demoted)[-2:]) == {own[5], own[6]}


def test_without_a_user_it_is_ranked_for_a_newcomer(ask: Any, models: NumpyModels) -> None:
    own = drawn(5, 30)
    nobody, stranger = ask({"rank": own}, {"rank": own, "user_id": "stranger"})
    assert ids(nobody) == ids(stranger)
    assert [name for name, _ in models.asked] == ["ranker"] * 2


def test_a_query_ranks_it_by_similarity_to_the_query(ask: Any, models: NumpyModels) -> None:
    own = drawn(6, 30)
    by_text, content = ask({"rank": own, "query": {"text": "a red ball"}}, {"query": {"text": "a red ball"}, "k": 300})
    score = {one["item_id"]: one["score"] for one in by_text["items"]}
    assert ids(by_text) == sorted(own, key=lambda name: -score[name])
    assert [score[name] for name in ids(content) if name in score] == pytest.approx(
        [one["score"] for one in content["items"] if one["item_id"] in score]
    )


def test_without_the_models_the_sources_decide_and_then_the_caller(ask: Any, models: NumpyModels) -> None:
    models.broken |= {"retriever", "ranker"}
    own = drawn(7, 300 - len(UNAVAILABLE))
    [answer] = ask({"user_id": "user-1", "rank": own})
    assert {part.partition(":")[0] for part in answer["degraded"]} == {"retriever", "ranker"}
    others = [one["item_id"] for one in answer["items"] if one["sources"] == ["rank"]]
    assert others == [name for name in own if name in others]
    assert ids(answer)[-len(others) :] == others
    [away] = ask({"user_id": "user-1", "rank": own}, url=NOWHERE)
    assert sorted(ids(away)) == sorted(own)
    assert np.isfinite([one["score"] for one in away["items"]]).all()
