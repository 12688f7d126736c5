"""``/catalog``: search; ``/item?id=``: an item with its neighbours."""

from typing import Any

from redis.exceptions import RedisError
from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import Response

from winnow.explorer.base.cards import cards
from winnow.explorer.base.pages import error_page, page
from winnow.explorer.base.stack import Stack
from winnow.explorer.catalog.facts import COLD, LISTED, Facts
from winnow.explorer.catalog.held import opened
from winnow.explorer.catalog.listing import ONLY, listing
from winnow.explorer.catalog.search import MAX_HITS
from winnow.fields import identifier_fault
from winnow.store.keys import Keys

_LONGEST = 200
_MOST_PAGES = 1_000_000
_NEIGHBOURS = 12


async def catalog(request: Request) -> Response:
    """The search, and a page of its results."""
    stack, facts, held = await opened(request)
    query, category = (request.query_params.get(name, "").strip() for name in ("q", "category"))
    only = request.query_params.get("only", "")
    given = request.query_params.get("page", "1")
    for name, text in (("q", query), ("category", category)):
        if len(text) > _LONGEST:
            return error_page(request, 400, f"{name}: has more than {_LONGEST} characters; shorten it.")
    if only not in ONLY:
        return error_page(request, 400, f"only: must be one of {', '.join(filter(None, ONLY))}, or absent.")
    if not given.isascii() or not given.isdecimal() or not 1 <= int(given[:8]) <= _MOST_PAGES:
        return error_page(request, 400, f"page: must be a whole number from 1 to {_MOST_PAGES:,}.")
    changed = await held.changed(stack, facts.opened.number)
    async with held.turn:
        found = await run_in_threadpool(listing, facts, changed or {}, query, category, only, int(given))
    context: dict[str, Any] = {
        "q": query,
        "category": category,
        "only": only,
        "choices": ONLY,
        "found": found,
        "facts": facts,
        "most": MAX_HITS,
        "cold": COLD,
        "items": list((await cards(stack, facts.opened, found.item_ids)).values()),
        "events": {item_id: events_of(facts, item_id) for item_id in found.item_ids},
        "redis_away": changed is None,
        "added": sum(entry.new and not entry.deleted for entry in (changed or {}).values()),
    }
    if request.headers.get("hx-target") == "found":
        return page(request, "catalog_found.html", **context)
    return page(request, "catalog.html", **context, categories=facts.categories[:LISTED])


async def item(request: Request) -> Response:
    """An item: its values now and in the release, similar and co-visited items, its events."""
    item_id = request.query_params.get("id", "")
    fault = identifier_fault(item_id)
    if fault is not None:
        return error_page(request, 400, f"id: must be {fault}; find an item under Catalog.")
    stack, facts, _ = await opened(request)
    record = await stack.winnow.read_item(item_id, nearest=_NEIGHBOURS)
    if record["state"] == "unknown":
        return error_page(request, 404, f"There is no item {item_id}.", "Search for it under Catalog.")
    index = facts.opened.find(item_id)
    visited = _covisited(facts, index)
    shown = await cards(stack, facts.opened, [item_id, *record["nearest"], *(each for each, _ in visited)])
    before = facts.opened.document(item_id)
    # The id is the heading.
    names = [name for name in dict.fromkeys((*facts.opened.columns.names, *record["document"])) if name != "item_id"]
    return page(
        request,
        "item.html",
        item=shown[item_id],
        record=record,
        facts=facts,
        kinds=facts.opened.columns.kinds,
        columns=[(name, record["document"].get(name), before.get(name)) for name in names],
        in_release=bool(index),
        nearest=[shown[each] for each in record["nearest"]],
        visited=[(shown[each], weight) for each, weight in visited],
        events=events_of(facts, item_id),
        cold=COLD,
        trending=await _trending(stack, facts, index),
        on_map=facts.has("map_points"),
        did=request.query_params.get("did", "")[:200],
    )


def events_of(facts: Facts, item_id: str) -> int | None:
    """Events of an item in the release's log, 0 for a new one; ``None`` where the release does not say."""
    return None if facts.events is None else int(facts.events[facts.opened.find(item_id)])


def _covisited(facts: Facts, index: int) -> list[tuple[str, float]]:
    """Ids and weights of the items that users took with an item, the largest weight first."""
    if facts.neighbours is None or not index:
        return []
    items, weights = (array[index].tolist() for array in facts.neighbours)
    pairs = {other: weight for other, weight in zip(items, weights, strict=True) if other and other != index}
    best = sorted(pairs.items(), key=lambda pair: -pair[1])[:_NEIGHBOURS]
    return [(facts.opened.item_id(other), weight) for other, weight in best]


async def _trending(stack: Stack, facts: Facts, index: int) -> dict[str, Any] | None:
    """The item's place among the counts that the sidecar keeps; ``None`` for none, or without Redis."""
    if not index:
        return None
    redis: Any = stack.redis
    counts = Keys(facts.opened.number).counts
    try:
        place = await redis.zrevrank(counts, str(index))
        return None if place is None else {"place": place + 1, "of": await redis.zcard(counts)}
    except RedisError:
        return None
