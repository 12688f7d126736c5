"""Similar items and complements of an item, alone and to the taste of a user or of a session."""

from typing import Any

import numpy as np
import pytest
import torch

from recommender_transformer.backends.catalog import Catalog
from recommender_transformer.backends.similar_items import SimilarItems
from recommender_transformer.forms import item_orders
from tests.support.fake_models import NumpyModels
from tests.support.forms.answers import ids, numbers
from tests.support.tiny_release import ITEMS, UNAVAILABLE, new_item
from winnow.models.nearest import nearest_items
from winnow.ranking.context import SourceList
from winnow.release import Release
from winnow.request import Answer, InvalidRequest

NOWHERE = "redis://127.0.0.1:1/0"


def available(items: Any) -> list[int]:
    return [int(item) for item in items if int(item) not in UNAVAILABLE]


def by_cosine(vectors: Any, item: int) -> list[int]:
    """All other items, the nearest first."""
    order = (np.argsort(-(vectors[1:] @ vectors[item]), kind="stable") + 1).tolist()
    return [other for other in order if other != item]


@pytest.mark.parametrize("k", [1, 10, 100, 500])
def test_similar_items_are_those_with_the_nearest_vectors(ask: Any, vectors: Any, k: int) -> None:
    some = range(1, ITEMS, 40)
    for item, answer in zip(some, ask(*({"like": f"item-{n}", "k": k} for n in some)), strict=True):
        expected = available(by_cosine(vectors, item))[:k]
        assert numbers(answer) == expected
        scores = [one["score"] for one in answer["items"]]
        np.testing.assert_allclose(scores, vectors[expected] @ vectors[item], atol=1e-6)
        assert answer["degraded"] == []
        assert {one["click"] for one in answer["items"]} == {None}


def test_filters_are_exact_and_the_list_is_full(ask: Any, release: Release, vectors: Any) -> None:
    rows = release.array("item_rows")
    toys = set(np.flatnonzero(rows["categorical"][:, 0] == 4).tolist())
    # Every item of the catalog but two is excluded: the backfill finds them at the far end.
    kept = [7, 204]
    far = [f"item-{n}" for n in range(1, ITEMS + 1) if n not in kept]
    of_category, rest = ask(
        {"like": "item-2", "k": 50, "filters": {"categories": ["toys"]}},
        {"like": "item-2", "k": 2, "filters": {"exclude_items": far}},
    )
    assert numbers(of_category) == [item for item in available(by_cosine(vectors, 2)) if item in toys][:50]
    assert sorted(numbers(rest)) == kept


def test_new_items_are_similar_and_have_similar_items(ask: Any, published: Release, vectors: Any) -> None:
    twin = new_item(published, "new-1", 0)._replace(vector=np.asarray(vectors[3]))
    like_old, like_new = ask({"like": "item-3", "k": 5}, {"like": "new-1", "k": 5}, new_items=[twin])
    assert (ids(like_old)[0], ids(like_new)[0]) == ("new-1", "item-3")
    assert ids(like_old)[1:] == ids(like_new)[1:]


def test_the_item_itself_is_never_among_them(ask: Any) -> None:
    session = [{"item_id": "item-3"}, {"item_id": "item-8"}]
    alone, seen, allowed = ask(
        {"like": "item-3", "k": 20},
        {"like": "item-3", "k": 20, "items": session},
        {"like": "item-3", "k": 20, "items": session, "repeats": "allow"},
    )
    assert all("item-3" not in ids(answer) for answer in (alone, seen, allowed))
    assert "item-8" not in ids(seen)
    assert len(ids(allowed)) == 20


def test_with_a_user_similarity_and_taste_decide_as_for_a_query_by_content(
    ask: Any, models: NumpyModels, vectors: Any
) -> None:
    [answer] = ask({"user_id": "user-1", "like": "item-10", "k": 20, "diversity": 0.0, "debug": True})
    ranked = [one for one in answer["trace"]["candidates"] if "ranked" in one]
    value = np.log([one["value"] for one in ranked])
    cosine = np.array([vectors[int(one["item_id"][5:])] @ vectors[10] for one in ranked])
    both = (value - value.mean()) / value.std() + (cosine - cosine.mean()) / cosine.std()
    best = [ranked[place]["item_id"] for place in np.argsort(-both, kind="stable")[:20]]
    assert ids(answer) == best
    assert {source for one in ranked for source in one["sources"]} >= {"similar", "retriever", "covisitation"}
    # A user without a history has no taste yet.
    stranger, nobody = ask({"user_id": "stranger", "like": "item-10", "k": 5}, {"like": "item-10", "k": 5})
    assert [one["score"] for one in stranger["items"]] == pytest.approx([one["score"] for one in nobody["items"]], 0.3)


def test_complements_are_the_items_visited_together(ask: Any, release: Release) -> None:
    neighbours, weights = release.array("neighbours"), release.array("neighbour_weights")
    requests = [{"like": f"item-{n}", "relation": "complementary", "k": 20} for n in range(1, 60)]
    for item, answer in zip(range(1, 60), ask(*requests), strict=True):
        first = {n: neighbours[item].tolist().index(n) for n in neighbours[item].tolist()}
        order = sorted(first, key=lambda n: -float(weights[item][first[n]]))
        expected = [other for other in available(order) if other != item]
        assert numbers(answer)[: len(expected)] == expected
        by = [one["sources"] for one in answer["items"]]
        assert all("complements" in names for names in by[: len(expected)])
        # There are fewer than 20: popular items follow.
        assert all(names == ["popular"] for names in by[len(expected) :])
        assert len(by) == 20


def test_complements_follow_the_taste_of_a_user(ask: Any, release: Release, models: NumpyModels) -> None:
    [answer] = ask({"user_id": "user-2", "like": "item-4", "relation": "complementary", "k": 20, "debug": True})
    candidates = {one["item_id"] for one in answer["trace"]["candidates"] if "complements" in one["sources"]}
    shown = [one for one in answer["items"] if "complements" in one["sources"]]
    assert {one["item_id"] for one in shown} <= candidates
    assert all(one["click"] is not None for one in shown)
    assert [name for name, _ in models.asked] == ["retriever", "ranker"]
    # No item of another source is a candidate.
    assert all(set(one["sources"]) & {"complements", "popular"} for one in answer["trace"]["candidates"])


def test_a_new_item_has_no_complements_yet_and_popular_items_fill_the_list(ask: Any, published: Release) -> None:
    [answer] = ask({"like": "new-1", "relation": "complementary", "k": 5}, new_items=[new_item(published, "new-1", 0)])
    assert [one["sources"] for one in answer["items"]] == [["popular"]] * 5


def test_an_unknown_item_is_refused_by_name(ask: Any) -> None:
    with pytest.raises(InvalidRequest, match=r"^instances\[0\]\.like: must be an item of the catalog, got 'gone'$"):
        ask({"like": "gone"})


def test_similar_items_need_no_other_process(ask: Any, models: NumpyModels, vectors: Any) -> None:
    models.broken |= {"retriever", "ranker", "item_tower"}
    alone, to_taste = ask({"like": "item-9", "k": 10}, {"like": "item-9", "k": 10, "user_id": "user-3"})
    assert (numbers(alone), alone["degraded"]) == (available(by_cosine(vectors, 9))[:10], [])
    assert len(to_taste["items"]) == 10
    assert {part.partition(":")[0] for part in to_taste["degraded"]} == {"retriever", "ranker"}
    [away] = ask({"like": "item-9", "k": 10}, url=NOWHERE)
    assert numbers(away) == numbers(alone)
    [with_user] = ask({"like": "item-9", "k": 10, "user_id": "user-3"}, url=NOWHERE)
    assert len(with_user["items"]) == 10


def test_answers_about_an_item_are_reused_and_those_of_sessions_are_not(ask: Any) -> None:
    def reused(*requests: Any) -> list[bool]:
        return ["reused_ms" in answer for answer in ask(*requests, reuse_s=60.0)]

    like, session = {"like": "item-3"}, {"items": [{"item_id": "item-3"}]}
    assert reused(like, like, like | {"k": 3}, like | {"relation": "complementary"}) == [False, True, False, False]
    assert reused(session, session) == [False, False]
    assert reused({"rank": ["item-1"]}, {"rank": ["item-1"]}, {"list": "new"}, {"list": "new"}) == [False] * 4


def table_of(release: Release, rows: Any) -> SimilarItems:
    """The similar items of a release with a table."""
    catalog = Catalog(release)
    items = SimilarItems(release, catalog, item_orders(release))
    items._nearest = rows
    return items


def test_the_table_and_the_scan_agree(release: Release, vectors: Any) -> None:
    rows = nearest_items(torch.from_numpy(vectors.copy()), 64)
    similar = table_of(release, rows)
    assert (rows.shape, similar.table_width) == ((ITEMS + 1, 64), 64)
    for item in range(1, ITEMS + 1):
        table, scan = similar.from_table(item), similar.scan(item, 65)
        assert table.items.tolist() == scan.items.tolist()
        np.testing.assert_allclose(table.scores, scan.scores, atol=1e-6)


def test_the_funnel_reads_the_table_for_short_lists_and_scans_for_long_ones(
    ask: Any, published: Release, vectors: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    scanned: list[int] = []
    scan = SimilarItems.scan

    def counted(self: SimilarItems, item: int, *args: Any) -> SourceList:
        scanned.append(item)
        return scan(self, item, *args)

    def with_table(self: SimilarItems, *args: Any) -> None:
        original(self, *args)
        self._nearest = nearest_items(torch.from_numpy(vectors.copy()), 64)

    original = SimilarItems.__init__
    monkeypatch.setattr(SimilarItems, "scan", counted)
    monkeypatch.setattr(SimilarItems, "__init__", with_table)
    answers: list[Answer] = ask({"like": "item-1", "k": 32}, {"like": "item-2", "k": 33})
    assert scanned == [2]
    for item, k, answer in zip((1, 2), (32, 33), answers, strict=True):
        assert numbers(answer) == available(by_cosine(vectors, item))[:k]
