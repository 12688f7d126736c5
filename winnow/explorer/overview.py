"""``/``: what the system does, in one screen, with this stack's own numbers and a first user to click."""

import time
from typing import Any

from starlette.requests import Request
from starlette.responses import Response

from winnow.client import EndpointError
from winnow.explorer.ask.form import AskForm
from winnow.explorer.ask.funnel import funnel_of
from winnow.explorer.ask.picture import HEIGHT, WIDTH, bands
from winnow.explorer.base.cards import Card, cards
from winnow.explorer.base.items import OpenedRelease
from winnow.explorer.base.pages import page
from winnow.explorer.base.stack import Stack, stack_of

_USERS = 5
_FRESH_S = 600.0
"""For so long the example is not asked for again: it is logged as an impression, like every answer."""
_SHOWN = 6

_examples: dict[int, tuple[float, dict[str, Any]]] = {}


async def overview(request: Request) -> Response:
    """The page."""
    stack = stack_of(request)
    release = await stack.served()
    users = release.active_users(_USERS)
    answer = await _example(stack, release, users[0]) if users else None
    fields = AskForm(user="").request((), {})
    funnel = None if answer is None else funnel_of(answer, fields["deadline_ms"])
    shown: list[Card] = []
    if answer is not None:
        ids = [item["item_id"] for item in answer["items"][:_SHOWN]]
        found = await cards(stack, release, ids)
        shown = [found[item_id] for item_id in ids]
    return page(
        request,
        "overview.html",
        release=release,
        users=users,
        answer=answer,
        funnel=funnel,
        bands=() if funnel is None else bands(funnel),
        size=(WIDTH, HEIGHT),
        items=shown,
        events=sum(release.profile.get("event_types", {}).values()),
    )


async def _example(stack: Stack, release: OpenedRelease, user_id: str) -> dict[str, Any] | None:
    """A user's answer with its trace, of the last minutes; ``None`` where it is refused."""
    held = _examples.get(release.number)
    if held is None or time.monotonic() - held[0] > _FRESH_S:
        try:
            answer = await stack.answer(**AskForm(user=user_id).request(release.release.schema.events, {}))
        except EndpointError:
            return None
        _examples.clear()
        _examples[release.number] = held = (time.monotonic(), answer)
    return held[1]
