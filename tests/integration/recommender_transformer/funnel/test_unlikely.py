"""Items of categories that a user never touched are shown rarely, and the answer is never shorter for it."""

from collections.abc import Callable, Iterable, Mapping
from typing import Any

import numpy as np
import pytest
from redis import Redis

from recommender_transformer.backends.catalog import Catalog
from recommender_transformer.funnel.candidates import Candidates
from recommender_transformer.funnel.filters.unlikely import EXPLORE, FEWEST, Unlikely
from winnow.bloom.categories import CategoryFilter
from winnow.bloom.hashing import item_hash, item_hashes
from winnow.bloom.seen import SeenFilter
from winnow.release import Release
from winnow.request import Answer
from winnow.store.shared_state import state_of

CATEGORIES = ["", "books", "games", "music", "toys"]


@pytest.fixture
def catalog(release: Release) -> Catalog:
    """The items of an unpublished release."""
    return Catalog(release)


def filter_of(*names: str) -> CategoryFilter:
    touched = CategoryFilter()
    touched.update(map(item_hash, names))
    return touched


def filter_of_seen(count: int) -> SeenFilter:
    """The seen filter of a user with ``count`` seen items, none of them of this release."""
    return SeenFilter.of([item_hash(f"gone-{n}") for n in range(count)], 1_800_000_000_000)


class Asked:
    """A query with the fields that the filter reads."""

    def __init__(
        self, *touched: str, count: int = FEWEST, user_id: str = "user-1", recent: tuple[str, ...] = ()
    ) -> None:
        self.states_interest = False
        self.request = type("Request", (), {"user_id": user_id})()
        state = {"categories": filter_of(*touched), "seen": filter_of_seen(count), "recent": recent}
        self.user = type("User", (), {"state": type("State", (), state)()})()


def candidates(codes: np.ndarray[Any, Any]) -> Candidates:
    width = codes.shape[1]
    rows = np.zeros(len(codes), np.dtype([("categorical", "<i4", (width + 1,))]))
    rows["categorical"][:, :width] = codes
    # The neighbouring column must not be read as a category.
    rows["categorical"][:, width] = 1
    items = np.arange(1, len(codes) + 1, dtype=np.int32)
    column = np.zeros((len(codes), 1))
    return Candidates.unscored(items, column.astype(np.float32), column.astype(np.int32), rows, types=2)


def codes_of(catalog: Catalog) -> list[int]:
    """The first category of each item, by index."""
    codes: list[int] = catalog.rows.take(np.arange(301))["categorical"][:, 0].tolist()
    return codes


def test_likely_items_and_items_without_a_category_stay(catalog: Catalog) -> None:
    offered = candidates(np.tile([[1], [2], [0], [4]], (500, 1)))
    kept = Unlikely(catalog, item_hashes(CATEGORIES), 1, 7).keep(Asked("books"), offered)
    code = offered.rows["categorical"][:, 0]
    assert kept[(code == 1) | (code == 0)].all()
    unlikely = (code == 2) | (code == 4)
    assert kept[unlikely].mean() == pytest.approx(EXPLORE, abs=0.03)
    assert (offered.propensity == np.where(kept & unlikely, np.float32(EXPLORE), 1)).all()


def test_one_touched_category_of_several_is_enough(catalog: Catalog) -> None:
    offered = candidates(np.array([[2, 1], [2, 3], [0, 0]] * 300))
    kept = Unlikely(catalog, item_hashes(CATEGORIES), 2, 7).keep(Asked("books"), offered).reshape(-1, 3)
    assert kept[:, 0].all()
    assert kept[:, 2].all()
    assert kept[:, 1].mean() == pytest.approx(EXPLORE, abs=0.05)


def test_exploration_is_drawn_by_user_release_and_item_alone(catalog: Catalog) -> None:
    component = Unlikely(catalog, item_hashes(CATEGORIES), 1, 7)
    offered = candidates(np.full((400, 1), 2))
    once = component.keep(Asked("books"), offered)
    again = component.keep(Asked("books"), offered)
    backwards = component.keep(Asked("books"), offered.take(np.arange(400)[::-1]))
    anew = Unlikely(catalog, item_hashes(CATEGORIES), 1, 8).keep(Asked("books"), offered)
    other = component.keep(Asked("books", user_id="user-2"), offered)
    assert (once == again).all()
    assert (once == backwards[::-1]).all()
    assert (once != anew).any()
    assert (once != other).any()


def test_a_user_with_few_seen_items_keeps_all_categories(catalog: Catalog) -> None:
    component = Unlikely(catalog, item_hashes(CATEGORIES), 1, 7)
    offered = candidates(np.full((400, 1), 2))
    assert component.keep(Asked("books", count=FEWEST - 1), offered) is None
    assert not component.keep(Asked("books"), offered).all()


def test_a_category_of_a_recent_event_is_likely(catalog: Catalog) -> None:
    component = Unlikely(catalog, item_hashes(CATEGORIES), 1, 7)
    code = codes_of(catalog)[1]
    other = next(n for n in range(1, 5) if n != code)
    offered = candidates(np.array([[code], [other]] * 200))
    kept = component.keep(Asked(CATEGORIES[other], recent=("item-1", "unheard-of")), offered)
    assert kept.all()
    # The recent item is the hundredth seen one, unless the filter holds it already.
    asked = Asked(CATEGORIES[other], count=FEWEST - 1)
    assert component.keep(asked, offered) is None
    asked.user.state.recent = (f"item-{next(n for n in range(1, 300) if codes_of(catalog)[n] == other)}",)
    kept = component.keep(asked, offered).reshape(-1, 2)
    assert not kept[:, 0].all()
    names = [f"gone-{n}" for n in range(FEWEST - 2)] + list(asked.user.state.recent)
    asked.user.state.seen = SeenFilter.of([item_hash(item_id) for item_id in names], 1)
    assert component.keep(asked, offered) is None


Recommend = Callable[..., Answer]


@pytest.fixture
def only_books(published: Release, redis_url: str) -> str:
    """A user with many seen items, of books only."""
    write(published, redis_url, "books")
    return "user-3"


def write(published: Release, redis_url: str, *touched: str) -> None:
    filters = {
        state_of(published).categories("user-3"): filter_of(*touched).to_bytes(),
        state_of(published).seen("user-3"): filter_of_seen(FEWEST).to_bytes(),
    }
    Redis.from_url(redis_url).mset(filters)


def categories_of(release: Release, items: Iterable[Mapping[str, Any]]) -> list[str]:
    rows = release.array("item_rows")
    indices = [int(item["item_id"].removeprefix("item-")) for item in items]
    return [CATEGORIES[rows["categorical"][index, 0]] for index in indices]


def test_the_funnel_removes_unlikely_items_and_the_trace_names_the_filter(
    recommend: Recommend, only_books: str, release: Release
) -> None:
    answer = recommend(only_books, k=10, debug=True)
    candidates_by_id = {c["item_id"]: c for c in answer["trace"]["candidates"]}
    removed = [c for c in candidates_by_id.values() if c.get("removed_by") == "unlikely"]
    assert len(removed) > 20
    shown = categories_of(release, answer["items"])
    explored = [name != "books" for name in shown]
    assert sum(explored) < 10
    assert any(c["propensity"] == pytest.approx(EXPLORE) for c in candidates_by_id.values() if "removed_by" not in c)
    # Which items are explored depends on the release's number, so the share is a matter of all candidates, not of ten.
    kept = categories_of(release, [c for c in candidates_by_id.values() if "removed_by" not in c])
    assert kept.count("books") > len(kept) / 2
    assert "books" in shown
    propensities = [candidates_by_id[item["item_id"]]["propensity"] for item in answer["items"]]
    assert propensities == [pytest.approx(EXPLORE) if unlikely else 1.0 for unlikely in explored]


def test_requested_categories_are_not_removed(recommend: Recommend, only_books: str, release: Release) -> None:
    toys = recommend(only_books, k=20, filters={"categories": ["toys"]}, debug=True)
    assert set(categories_of(release, toys["items"])) == {"toys"}
    looked_for = recommend(only_books, k=20, query={"text": "a red ball"}, debug=True)
    assert "unlikely" not in toys["trace"]["removed"] | looked_for["trace"]["removed"]


def test_the_filter_never_shortens_an_answer(recommend: Recommend, published: Release, redis_url: str) -> None:
    """Without a touched category all items are unlikely: the sources' best come back before the backfill."""
    write(published, redis_url, "no category of this release")
    answer = recommend("user-3", k=60, debug=True)
    candidates = answer["trace"]["candidates"]
    assert len(answer["items"]) == 60
    assert all("popular" not in c["sources"] for c in candidates), "the backfill was not used"
    removed = [c["retrieved"] for c in candidates if c.get("removed_by") == "unlikely"]
    stayed = [c["retrieved"] for c in candidates if "removed_by" not in c]
    assert len(stayed) == 60
    # Except for explored items, in the order of the sources.
    assert sum(place > min(removed) for place in stayed) < 20


def test_backfill_items_may_be_unlikely(recommend: Recommend, only_books: str) -> None:
    """Nearly every item is excluded, so only the backfill is left; its unlikely items are still shown."""
    answer = recommend(only_books, k=40, filters={"exclude_items": [f"item-{n}" for n in range(1, 231)]})
    assert len(answer["items"]) == 40
