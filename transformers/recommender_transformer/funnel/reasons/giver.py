"""Gives each shown item its reason, from what proposed it."""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from recommender_transformer.backends.catalog import Catalog
from recommender_transformer.funnel.candidates import Candidates
from recommender_transformer.funnel.query import Query
from recommender_transformer.funnel.reasons import words
from recommender_transformer.funnel.reasons.nearness import Near, Nearness
from recommender_transformer.funnel.reasons.past import Past
from winnow.request import Reason
from winnow.retrieval.covisitation import contributions
from winnow.schema import FeatureSchema

_TITLE = "title"


class _Shown(NamedTuple):
    """One shown item.

    Attributes:
        item: its index.
        row: its row.
        proposed: source -> score and place in the list of that source.
    """

    item: int
    row: np.void
    proposed: Mapping[str, tuple[float, int]]


class _Links(NamedTuple):
    """What shown items have to do with others, by index: computed for all of them at once.

    Attributes:
        liked: to the item of ``like``.
        covisited: the item of the history that adds most to an item's co-visitation, and its share.
        near: the nearest item of the history.
    """

    liked: Mapping[int, Near]
    covisited: Mapping[int, tuple[int, float]]
    near: Mapping[int, Near]


class Reasons:
    """Names the most specific thing that is true of an item.

    These are, in this order: the query or the item of ``like``, the user's own past with the item, co-visitation, an
    item of the history that is near, novelty, popularity, the caller's own list, and last the history as a whole.

    Args:
        catalog: gives ids, titles and vectors.
        schema: gives the event types and the width of the category.
        categories: names of the categories by code.
        neighbours: int32 [n + 1, m], of co-visitation.
        weights: float32 [n + 1, m].
        backfill: name of the backfill.
    """

    def __init__(
        self,
        catalog: Catalog,
        schema: FeatureSchema,
        categories: Sequence[str],
        neighbours: NDArray[np.int32],
        weights: NDArray[np.float32],
        backfill: str,
    ) -> None:
        self._catalog = catalog
        self._types = schema.events
        self._value_by_code = schema.value_by_code
        self._categories = categories
        self._width = schema.item[0].width
        self._neighbours, self._weights = neighbours, weights
        self._backfill = backfill
        self._nearness: Nearness | None = None

    def reasons(self, query: Query, shown: Candidates, sources: Sequence[str]) -> list[Reason]:
        """The reason of each item, in their order."""
        past = Past(query.user.state, self._value_by_code)
        proposed = [
            {name: (score, place) for name, score, place in zip(sources, scores, places, strict=True) if score == score}
            for scores, places in zip(shown.scores.tolist(), shown.places.tolist(), strict=True)
        ]
        every = [
            _Shown(item, row, by) for item, row, by in zip(shown.items.tolist(), shown.rows, proposed, strict=True)
        ]
        liked = np.array([query.asked.item] if query.asked.item else [], np.int32)
        covisited = self._covisited(past, _proposed_by(every, "covisitation"))
        # What the retriever or the user's vector found, and co-visitation does not explain.
        found = _proposed_by([each for each in every if each.item not in covisited], "retriever", "new_items")
        links = _Links(
            liked=self._nearest(liked, _proposed_by(every, "similar", "nearest")),
            covisited=covisited,
            near=self._nearest(np.unique(past.followed), found),
        )
        return [self._reason(query, past, links, each) for each in every]

    def _nearest(self, items: NDArray[np.int32], shown: NDArray[np.int32]) -> Mapping[int, Near]:
        if not len(items) or not len(shown):
            return {}
        nearness = self._nearness = self._nearness or Nearness(self._catalog)
        return dict(zip(shown.tolist(), nearness.nearest(items, shown), strict=True))

    def _covisited(self, past: Past, shown: NDArray[np.int32]) -> Mapping[int, tuple[int, float]]:
        history = past.followed[past.followed < len(self._neighbours)]
        items, added = contributions(self._neighbours, self._weights, history, shown)
        sums = added.sum(axis=1)
        found = np.flatnonzero(sums > 0)
        if not len(found):
            return {}
        best = added[found].argmax(axis=1)
        named = zip(items[best].tolist(), (added[found, best] / sums[found]).tolist(), strict=True)
        return dict(zip(shown[found].tolist(), named, strict=True))

    def _reason(self, query: Query, past: Past, links: _Links, shown: _Shown) -> Reason:
        return (
            _of_query(query, shown)
            or self._of_liked(query, links, shown)
            or self._of_repeat(past, shown)
            or self._of_covisitation(past, links, shown)
            or self._of_near_item(past, links, shown)
            or self._of_novelty(shown)
            or self._of_popularity(query, shown)
            or _of_own_list(shown)
            or Reason(text=words.picked(past.events), kind="picked", evidence={"events": past.events})
        )

    def _of_liked(self, query: Query, links: _Links, shown: _Shown) -> Reason | None:
        """For what was found by its relation to the item of ``like``."""
        liked = query.asked.item
        if not liked:
            return None
        named: dict[str, Any] = {"item_id": self._catalog.item_id(liked)}
        if "complements" in shown.proposed:
            evidence = named | {"weight": round(shown.proposed["complements"][0], 4)}
            return Reason(text=words.together(self._title(liked)), kind="together", evidence=evidence)
        if shown.item not in links.liked:
            return None
        near = links.liked[shown.item]
        evidence = named | {"cosine": round(near.cosine, 4)}
        return Reason(text=words.like(self._title(liked), near.similar), kind="similar", evidence=evidence)

    def _of_repeat(self, past: Past, shown: _Shown) -> Reason | None:
        if not past.likes(shown.item):
            return None
        code, times, last = past.event(shown.item)
        event = self._types[code - 1]
        return Reason(
            text=words.before(event, times), kind="repeat", evidence={"event": event, "times": times, "last": last}
        )

    def _of_covisitation(self, past: Past, links: _Links, shown: _Shown) -> Reason | None:
        if shown.item not in links.covisited:
            return None
        item, share = links.covisited[shown.item]
        named = self._named(past, item)
        return Reason(
            text=words.because(named["event"], self._title(item)),
            kind="history",
            evidence=named | {"share": round(share, 4)},
        )

    def _of_near_item(self, past: Past, links: _Links, shown: _Shown) -> Reason | None:
        near = links.near.get(shown.item)
        if near is None or not near.similar:
            return None
        named = self._named(past, near.item)
        return Reason(
            text=words.similar(named["event"], self._title(near.item)),
            kind="similar",
            evidence=named | {"cosine": round(near.cosine, 4)},
        )

    def _of_novelty(self, shown: _Shown) -> Reason | None:
        if shown.item <= self._catalog.size and "new" not in shown.proposed:
            return None
        return Reason(text="new", kind="new", evidence={"item_id": self._catalog.item_id(shown.item)})

    def _of_popularity(self, query: Query, shown: _Shown) -> Reason | None:
        if "trending" in shown.proposed:
            source, rank = "trending", shown.proposed["trending"][1] + 1
        elif "matching" in shown.proposed:
            # The most popular items that match the request's conditions.
            source, rank = "matching", shown.proposed["matching"][1] + 1
        elif self._backfill in shown.proposed:
            # Its scores are the places in its whole list, negative.
            source, rank = self._backfill, 1 - int(shown.proposed[self._backfill][0])
        else:
            return None
        category = self._category(query, shown)
        return Reason(
            text=words.popular(category), kind="popular", evidence={"list": source, "rank": rank, "category": category}
        )

    def _category(self, query: Query, shown: _Shown) -> str | None:
        """The item's first category, or the first that the query asks for."""
        codes = [code for code in shown.row["categorical"][: self._width].tolist() if code]
        wanted = codes if query.categories is None else [code for code in codes if code in query.categories]
        return self._categories[wanted[0]] if wanted else None

    def _named(self, past: Past, item: int) -> dict[str, Any]:
        code, _, _ = past.event(item)
        return {"item_id": self._catalog.item_id(item), "event": self._types[code - 1]}

    def _title(self, item: int) -> str:
        columns = self._catalog.columns
        title = columns[_TITLE].value(item) if _TITLE in columns.names else None
        return str(title or self._catalog.item_id(item))


def _proposed_by(shown: Sequence[_Shown], *sources: str) -> NDArray[np.int32]:
    return np.array([each.item for each in shown if not each.proposed.keys().isdisjoint(sources)], np.int32)


def _of_own_list(shown: _Shown) -> Reason | None:
    if "rank" not in shown.proposed:
        return None
    return Reason(text="from your list", kind="own", evidence={"place": shown.proposed["rank"][1] + 1})


def _of_query(query: Query, shown: _Shown) -> Reason | None:
    if "content" not in shown.proposed or query.request.query is None:
        return None
    score, place = shown.proposed["content"]
    text, evidence = query.request.query.text, {"cosine": round(score, 4), "rank": place + 1}
    if text is not None:
        return Reason(text=f"close to your search “{text}”", kind="query", evidence=evidence)
    given = "image" if query.request.query.image else "sound"
    return Reason(text=f"close to your {given}", kind="query", evidence=evidence)
