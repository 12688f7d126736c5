"""``/people``: find a user by the first characters of the id; ``/person``: what a recommendation starts from."""

from typing import Any, cast

from redis.exceptions import RedisError
from starlette.requests import Request
from starlette.responses import Response

from winnow.explorer.base.cards import cards
from winnow.explorer.base.pages import error_page, page
from winnow.explorer.base.stack import Stack, stack_of
from winnow.store.keys import IMPRESSIONS

_FOUND = 50
_RECENT, _READ = 12, 200
"""Recent users that are listed, and impressions that are read for them."""
_EVENTS = 40
_LONGEST = 256


async def people(request: Request) -> Response:
    """The search, and who was recommended to last."""
    stack, prefix = stack_of(request), request.query_params.get("q", "").strip()[:_LONGEST]
    release = await stack.served()
    found = release.users_from(prefix, _FOUND) if prefix else []
    if prefix and prefix not in found:
        # New users, and those of releases whose users cannot be searched, are found by their whole id.
        known = await stack.winnow.read_user(prefix, n=1)
        found = [prefix, *found] if known["known"] else found
    context: dict[str, Any] = {"q": prefix, "found": found, "most": _FOUND, "release": release}
    if request.headers.get("hx-target") == "found":
        return page(request, "people_found.html", **context)
    return page(request, "people.html", **context, recent=await _recent(stack), active=release.active_users(_RECENT))


async def person(request: Request) -> Response:
    """History, features and filters of a user."""
    stack, user_id = stack_of(request), request.query_params.get("user", "").strip()
    if not user_id:
        return error_page(request, 400, "user: is missing from the address; find one under People.")
    release = await stack.served()
    record = await stack.winnow.read_user(user_id, n=_EVENTS)
    items = await cards(stack, release, [event["item_id"] for event in record["history"]])
    return page(request, "person.html", person=record, items=items, most=_EVENTS)


async def _recent(stack: Stack) -> list[dict[str, Any]] | None:
    """Users of the newest impressions, each once: ``user`` and ``at``; ``None`` where Redis does not answer."""
    try:
        read = await stack.redis.xrevrange(IMPRESSIONS, count=_READ)
    except RedisError:
        return None
    # The client returns bytes, which its types leave open.
    entries = cast("list[tuple[bytes, dict[bytes, bytes]]]", read)
    found: dict[str, int] = {}
    for _, fields in entries:
        user = fields.get(b"user_id", b"").decode(errors="replace")
        if user and user not in found:
            found[user] = int(fields.get(b"timestamp", b"0"))
        if len(found) == _RECENT:
            break
    return [{"user": user, "at": at} for user, at in found.items()]
