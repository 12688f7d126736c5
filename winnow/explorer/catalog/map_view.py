"""``/map``: the map of the items, or a frame of it, also as a table; ``/map/points``: the same for the pointer."""

from typing import Any

import orjson
from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import Response

from winnow.explorer.base.pages import error_page, page
from winnow.explorer.catalog.facts import COLD, Facts
from winnow.explorer.catalog.held import opened
from winnow.explorer.catalog.item_map import Frame, ItemMap
from winnow.fields import LONGEST_IDENTIFIER

ROWS = 20
"""Items of a page of the table."""

_HELD = "private, max-age=300"


async def map_of_items(request: Request) -> Response:
    """The page."""
    _, facts, _ = await opened(request)
    category, item_id = (request.query_params.get(name, "").strip() for name in ("category", "item"))
    number = request.query_params.get("page", "1")
    if max(len(category), len(item_id)) > LONGEST_IDENTIFIER:
        return error_page(request, 400, f"category, item: have at most {LONGEST_IDENTIFIER} characters.")
    if facts.places is None or not len(facts.places[0]):
        return page(request, "map.html", facts=facts, shown=None)
    shown = await run_in_threadpool(ItemMap, facts)
    frame = Frame.of(*(request.query_params.get(name, "") for name in ("x", "y", "zoom")))
    inside = shown.within(frame, category)
    pages = max(1, -(-len(inside) // ROWS))
    current = min(int(number[:6]), pages) if number.isascii() and number.isdecimal() and int(number[:6]) else 1
    rows = inside[(current - 1) * ROWS : current * ROWS].tolist()
    context: dict[str, Any] = {
        "facts": facts,
        "shown": shown,
        "frame": frame,
        "category": category,
        "item": item_id,
        "page": current,
        "pages": pages,
        "inside": len(inside),
        "rows": [_row(facts, index) for index in rows],
        "cold": COLD,
    }
    if request.headers.get("hx-target") == "in-view":
        return page(request, "map_table.html", **context)
    marked = await run_in_threadpool(_marked, facts, shown, item_id) if item_id else None
    return page(request, "map.html", **context, groups=shown.groups(category), marked=marked)


async def map_points(request: Request) -> Response:
    """Places, titles and ids of the items, for the pointer and the keyboard."""
    _, facts, _ = await opened(request)
    if facts.places is None:
        return Response(status_code=404)
    return Response(
        await run_in_threadpool(_points, facts), media_type="application/json", headers={"cache-control": _HELD}
    )


def _points(facts: Facts) -> bytes:
    shown = ItemMap(facts)
    ids = [facts.opened.item_id(index) for index in shown.items.tolist()]
    return orjson.dumps(
        {
            "id": ids,
            "title": [facts.opened.title(item_id) for item_id in ids],
            "category": shown.categories,
            "x": shown.x.tolist(),
            "y": shown.y.tolist(),
            "cold": shown.cold.tolist(),
        }
    )


def _row(facts: Facts, index: int) -> dict[str, object]:
    item_id = facts.opened.item_id(index)
    return {
        "id": item_id,
        "title": facts.opened.title(item_id),
        "category": facts.category_of(index),
        "events": None if facts.events is None else int(facts.events[index]),
        "cold": facts.is_cold(index),
    }


def _marked(facts: Facts, shown: ItemMap, item_id: str) -> dict[str, object]:
    """Where an item is on the map, or the one of the map that is most similar to it."""
    index = facts.opened.find(item_id)
    if not index:
        return {"found": False}
    place = shown.nearest_to(index)
    at = facts.opened.item_id(int(shown.items[place]))
    return {
        "found": True,
        "exact": at == item_id,
        "title": facts.opened.title(at),
        "id": at,
        "x": shown.x[place],
        "y": shown.y[place],
    }
