"""Promote and roll back: a page that asks, the form that starts the command, and the page that follows it."""

from starlette.concurrency import run_in_threadpool
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response

from winnow.explorer.base.pages import error_page, page
from winnow.explorer.base.stack import stack_of
from winnow.explorer.releases.change import Action, Busy, step
from winnow.explorer.releases.listing import Listing, ReleaseRow
from winnow.explorer.releases.views import changes_of, listed, number_of, one

PROGRESS = "/releases/change"

_NO_BODY = 204


async def ask_promotion(request: Request) -> Response:
    """What a promotion changes, and what the gate said."""
    _check_writable(request)
    found, row = await one(request)
    return page(request, "releases/promote.html", found=found, row=row, hindrance=_hindrance(found, row))


async def promote(request: Request) -> Response:
    """Start ``winnow promote N``; the form names the release that was live when it was shown."""
    found, row = await one(request)
    async with request.form() as form:
        judged, shown = form.get("gate") != "skip", str(form.get("live", ""))
    if hindrance := _hindrance(found, row):
        return error_page(request, 409, hindrance)
    return await _start(request, found, "promote", row.number, shown, judged)


async def ask_rollback(request: Request) -> Response:
    """What a rollback changes."""
    _check_writable(request)
    found = await listed(request)
    if found.pin is None or found.pin.previous is None:
        return error_page(request, 409, "There is no release to go back to.", "A promotion makes the live one that.")
    return page(request, "releases/rollback.html", found=found, to=found.pin.previous)


async def roll_back(request: Request) -> Response:
    """Start ``winnow rollback``; the form names the two releases that were shown."""
    found = await listed(request)
    async with request.form() as form:
        to, shown = number_of(str(form.get("to", ""))), str(form.get("live", ""))
    if found.pin is None or found.pin.previous != to:
        return _moved(request)
    return await _start(request, found, "rollback", to, shown, judged=False)


async def progress(request: Request) -> Response:
    """The last change. htmx asks again with the step that it shows (``?step=``), and gets it only if it has changed."""
    changes = changes_of(request)
    last = await run_in_threadpool(changes.last)
    if last is None:
        return error_page(request, 404, "No release was promoted or rolled back here yet.")
    change, runs = last
    found = await listed(request, only=change.release)
    at = step(change, runs, found.pin, found.stack)
    if request.query_params.get("step") == at:
        return Response(status_code=_NO_BODY)
    log = "" if runs else await run_in_threadpool(changes.log)
    template = "releases/change_body.html" if request.headers.get("hx-request") == "true" else "releases/change.html"
    return page(request, template, change=change, runs=runs, step=at, found=found, log=log)


async def _start(request: Request, found: Listing, action: Action, number: int, shown: str, judged: bool) -> Response:
    if shown != str(found.live or ""):
        return _moved(request)
    try:
        await run_in_threadpool(changes_of(request).start, action, number, found.live, judged)
    except Busy as busy:
        return error_page(request, 409, str(busy), f"Its progress is at {PROGRESS}.")
    return RedirectResponse(PROGRESS, 303)


def _hindrance(found: Listing, row: ReleaseRow) -> str:
    """Why a release cannot be promoted, as `winnow promote` would say it; empty where it can be tried."""
    if row.manifest is None:
        return row.fault
    if row.manifest.holdout != "none":
        return (
            f"Release {row.number} was built without the newest events, for evaluation: promote one that was built "
            "from all of them."
        )
    if found.live == row.number:
        return f"Release {row.number} is live already."
    return found.pin_fault


def _moved(request: Request) -> Response:
    return error_page(
        request, 409, "Another release is live than when the page was loaded: nothing was changed.", "See /releases."
    )


def _check_writable(request: Request) -> None:
    if stack_of(request).settings.read_only:
        raise HTTPException(403, "This explorer is read-only: start it without --read-only to change things.")
