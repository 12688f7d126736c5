"""``/compare``: the form, both lists, and the release that is started for them."""

from typing import Any, cast

from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response

from winnow import release as releases
from winnow.errors import WinnowError
from winnow.explorer.base.differences import difference
from winnow.explorer.base.pages import address, error_page, page
from winnow.explorer.base.stack import Stack, stack_of
from winnow.explorer.compare.beside import START_S, Beside, Busy
from winnow.explorer.compare.lists import ask, shown
from winnow.explorer.compare.overlap import PERSISTENCE, rank_biased_overlap
from winnow.explorer.compare.sides import REPEATS, Side, given, sides

PAGE = "/compare"

_OFFERED = 50
"""Releases that the form offers, the newest; the address may name any."""


async def comparison(request: Request) -> Response:
    """The page; without a user, the form alone."""
    stack, form = stack_of(request), given(request.query_params)
    live = await stack.served()
    numbers = await run_in_threadpool(releases.numbers, stack.settings.home / "releases")
    context: dict[str, Any] = {
        "form": form,
        "live": live.number,
        "releases": list(reversed(numbers))[:_OFFERED],
        "users": live.active_users(2),
        "repeats": REPEATS,
        "events": live.release.schema.events,
        "columns": live.columns.names,
        "lists": None,
        "wrong": "",
        "beside": None,
        "other": None,
    }
    if not form["user"]:
        return page(request, "compare/compare.html", **context)
    try:
        pair = sides(form)
        other = _other(pair, live.number, numbers)
    except WinnowError as wrong:
        return page(request, "compare/compare.html", 400, **context | {"wrong": str(wrong)})
    beside = None if other is None else beside_of(request).served(other)
    context |= {"other": other, "beside": beside, "limit": START_S}
    if other is not None and (beside is None or beside.state != "answers"):
        return page(request, "compare/compare.html", **context)
    return await _compared(request, stack, live.number, pair, context)


async def start_release(request: Request) -> Response:
    """Start the release that a comparison needs, and go back to the comparison."""
    async with request.form() as fields:
        form = given({name: value for name, value in fields.items() if isinstance(value, str)})
    stack = stack_of(request)
    numbers = await run_in_threadpool(releases.numbers, stack.settings.home / "releases")
    other = _other(sides(form), await stack.served_number(), numbers)
    if other is not None:
        try:
            await beside_of(request).start(other)
        except Busy as busy:
            return error_page(request, 409, str(busy))
    return RedirectResponse(address(PAGE, **form), 303)


def beside_of(request: Request) -> Beside:
    """The release of comparisons of the application that handles a request."""
    return cast(Beside, request.app.state.beside)


async def _compared(
    request: Request, stack: Stack, live: int, pair: tuple[Side, Side], context: dict[str, Any]
) -> Response:
    lists = await ask(stack, live, context["beside"], pair)
    found = await shown(stack, lists, live)
    first, second = lists[0].ids, lists[1].ids
    wrong = any(each.fault for each in lists)
    changes = difference(first, second)
    return page(
        request,
        "compare/compare.html",
        400 if wrong else 200,
        **context
        | {
            "lists": lists,
            "cards": found,
            "changes": changes,
            "common": len(changes.moved),
            "overlap": None if wrong else rank_biased_overlap(first, second),
            "persistence": PERSISTENCE,
        },
    )


def _other(pair: tuple[Side, Side], live: int, numbers: list[int]) -> int | None:
    """The release of a side that is not the served one; ``None`` where both are.

    Raises:
        WinnowError: the home lacks it, or there are two of them.
    """
    others = {side.release for side in pair if side.release is not None} - {live}
    if len(others) > 1:
        named = " and ".join(map(str, sorted(others)))
        raise WinnowError(
            f"release: only one other release beside the served one, {live}, can be compared at a time, got {named}"
        )
    for number in others:
        if number not in numbers:
            raise WinnowError(f"release: this home has no release {number}; see /releases")
        return number
    return None
