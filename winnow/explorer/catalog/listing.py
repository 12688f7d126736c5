"""Which items a search lists, in which order, and what it cost."""

from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from winnow.explorer.catalog.facts import COLD, Facts
from winnow.explorer.catalog.live import LiveEntry
from winnow.explorer.catalog.search import matches, scan, words_of

SHOWN = 24
"""Items of a page."""

ONLY = {"": "all items", "changed": "added or changed since the release", "cold": f"fewer than {COLD} events"}
"""Choices of the form, and their words."""


@dataclass(frozen=True)
class Listing:
    """The items of a page.

    Attributes:
        item_ids: at most :data:`SHOWN`.
        page: from 1; the last one where a later one was asked for.
        total: number of items found, of all pages.
        more: whether a bound ended the search, so that there may be further ones.
        scanned: items whose texts were read; 0 for a list that needs none.
        seconds: that reading took.
    """

    item_ids: list[str]
    page: int
    total: int
    more: bool = False
    scanned: int = 0
    seconds: float = 0.0

    @property
    def pages(self) -> int:
        """Number of pages, at least 1."""
        return max(1, -(-self.total // SHOWN))


def listing(facts: Facts, changed: Mapping[str, LiveEntry], query: str, category: str, only: str, page: int) -> Listing:
    """Search.

    An item of that id comes first, then the added and changed ones, the latest first, then those of the release by
    popularity.

    Args:
        facts: of the release.
        changed: items that were changed since, which count as they are now.
        query: words in title or id; empty for all items.
        category: name of one; empty for all.
        only: a choice of :data:`ONLY`.
        page: from 1.
    """
    words = words_of(query)
    live = [
        item_id
        for item_id, entry in reversed(list(changed.items()))
        if not entry.deleted
        and (entry.new or only == "changed")
        and (not category or category in entry.categories)
        and (not words or matches(words, item_id, entry.title))
    ]
    if only == "changed":
        return _page(facts, live, np.zeros(0, np.int32), page)
    live = live if only != "cold" else [item_id for item_id in live if changed[item_id].new]
    gone = facts.opened.find_all([item_id for item_id, entry in changed.items() if entry.deleted])
    if not words and not category and not only and len(facts.popular) >= facts.count:
        # The usual first page: nothing is searched.
        return _page(facts, live, _without(facts.popular, gone), page)
    within = _within(facts, changed, category, only)
    if words:
        found = scan(facts.texts, words, within)
        items, more, scanned, seconds = found.items, not found.complete, found.scanned, found.seconds
        # A changed item counts by its title of now.
        known = facts.opened.find_all(list(changed))
        is_found = [not each.deleted and matches(words, item_id, each.title) for item_id, each in changed.items()]
        late = known[np.array(is_found, np.bool_) & (known > 0)]
        late = late if within is None else late[within[late]]
        items = np.union1d(_without(items, known), late).astype(np.int32)
    else:
        items = np.arange(1, facts.count + 1, dtype=np.int32)
        items = _without(items if within is None else np.flatnonzero(within).astype(np.int32), gone)
        more, scanned, seconds = False, 0, 0.0
    listed = _page(facts, _exact_first(facts, query, live, items), facts.by_popularity(items), page)
    return replace(listed, more=more, scanned=scanned, seconds=seconds)


def _within(facts: Facts, changed: Mapping[str, LiveEntry], category: str, only: str) -> NDArray[np.bool_] | None:
    """Bool [n + 1], the items of the release that a list may have; ``None`` for all."""
    within: NDArray[np.bool_] | None = None
    if category:
        within = facts.of_category(category).copy()
        for index, entry in zip(facts.opened.find_all(list(changed)).tolist(), changed.values(), strict=True):
            if index:
                within[index] = category in entry.categories
    if only == "cold":
        cold = np.zeros(facts.count + 1, np.bool_) if facts.events is None else facts.events < COLD
        within = cold if within is None else within & cold
        within[0] = False
    return within


def _exact_first(facts: Facts, query: str, live: list[str], items: NDArray[np.int32]) -> list[str]:
    """The item whose id is the query, where it was found, before the live items."""
    wanted = query.strip()
    index = facts.opened.find(wanted) if wanted else 0
    exact = [wanted] if wanted in live or (index and (items == index).any()) else []
    return [*exact, *(item_id for item_id in live if item_id != wanted)]


def _page(facts: Facts, first: list[str], items: NDArray[np.int32], page: int) -> Listing:
    """A page of the ``first`` items, then the release's ``items``; one in both is shown once."""
    rest = _without(items, facts.opened.find_all(first))
    total = len(first) + len(rest)
    page = min(page, max(1, -(-total // SHOWN)))
    start = (page - 1) * SHOWN
    shown = first[start : start + SHOWN]
    begin = max(0, start - len(first))
    texts = [facts.opened.item_id(index) for index in rest[begin : begin + SHOWN - len(shown)].tolist()]
    return Listing(shown + texts, page, total)


def _without(items: NDArray[np.int32], others: NDArray[np.int32]) -> NDArray[np.int32]:
    return items[~np.isin(items, others)] if len(others) else items
