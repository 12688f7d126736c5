"""``/releases``, ``/releases/N``, and its report and differences."""

import asyncio
import json
import re
from itertools import groupby
from typing import Any, cast

from starlette.concurrency import run_in_threadpool
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response

from winnow.client import NoAnswer
from winnow.errors import WinnowError
from winnow.explorer.base.pages import error_page, page
from winnow.explorer.base.stack import stack_of
from winnow.explorer.releases import commands
from winnow.explorer.releases.change import Changes
from winnow.explorer.releases.listing import Listing, ReleaseRow, listing
from winnow.explorer.releases.reports import Reports
from winnow.release import Manifest

REPORT_POLICY = "default-src 'none'; style-src 'unsafe-inline'; frame-ancestors 'self'; base-uri 'none'; sandbox"
"""A report has its style and its charts inside. ``sandbox`` without permissions: no script, no form, no link out of the
frame, and an origin of its own, so nothing of the explorer is in reach of whatever a report contains."""

_DIFFERENCE_S = 60.0
_NUMBER = re.compile(r"[1-9][0-9]{0,8}")
_one_difference = asyncio.Lock()
"""A difference reads arrays of both catalogs, in a process of its own."""


async def release_list(request: Request) -> Response:
    """All releases, the newest first; ``?before=N`` continues."""
    before = request.query_params.get("before")
    found = await listed(request, before=None if before is None else number_of(before))
    return page(request, "releases/list.html", found=found, last=await run_in_threadpool(changes_of(request).last))


async def release(request: Request) -> Response:
    """One release: its build, evaluation, gate, and the ways to its report and differences."""
    found, row = await one(request)
    manifest, opened = row.manifest, {}
    if manifest is not None:
        opened = await run_in_threadpool(_counts, request, manifest)
    return page(request, "releases/release.html", found=found, row=row, counts=opened)


async def report(request: Request) -> Response:
    """The report of the evaluation, as it lies in the home or as it is made now; a document of its own."""
    _, row = await one(request)
    if row.evaluated is None:
        raise HTTPException(404)
    content = await cast(Reports, request.app.state.reports).of(row.evaluated)
    return Response(content, media_type="text/html", headers={"content-security-policy": REPORT_POLICY})


async def difference(request: Request) -> Response:
    """What differs between a release (``?from=M``, by default the live one) and this one, as `winnow diff` says it."""
    found, row = await one(request)
    given = request.query_params.get("from", "")
    before = number_of(given) if given else found.live
    if before is None:
        raise WinnowError("from: no release is live; name the release to compare with, such as ?from=1")
    home = stack_of(request).settings.home
    async with _one_difference:
        command = commands.command_line("diff", str(before), str(row.number), "--json")
        done = await commands.run(command, home, _DIFFERENCE_S)
    if done.code:
        return error_page(request, 400, done.errors.strip().removeprefix("winnow: "))
    rows: list[dict[str, Any]] = json.loads(done.output)
    sections = [(name, list(each)) for name, each in groupby(rows, key=lambda each: each["section"])]
    return page(request, "releases/difference.html", row=row, before=before, sections=sections)


async def one(request: Request) -> tuple[Listing, ReleaseRow]:
    """The listing with the release of the path alone.

    Raises:
        HTTPException: 404, the home has no such release.
    """
    found = await listed(request, only=number_of(request.path_params["number"]))
    if not found.rows:
        raise HTTPException(404)
    return found, found.rows[0]


async def listed(request: Request, before: int | None = None, only: int | None = None) -> Listing:
    """The releases, read in a thread."""
    stack = stack_of(request)
    try:
        served = await stack.served_number()
    except NoAnswer:
        # What the home has is shown nevertheless: a rollback may be what is needed.
        served = None
    return await run_in_threadpool(listing, stack.settings.home, served, before, only)


def number_of(text: str) -> int:
    """A release's number.

    Raises:
        HTTPException: 404, it is none.
    """
    if not _NUMBER.fullmatch(text):
        raise HTTPException(404)
    return int(text)


def changes_of(request: Request) -> Changes:
    """The changes of the live release of the application that handles a request."""
    return cast(Changes, request.app.state.changes)


def _counts(request: Request, manifest: Manifest) -> dict[str, int]:
    """Items and users; empty where the release's arrays cannot be read."""
    try:
        opened = stack_of(request).releases.open(manifest.number)
        return {"items": opened.release.items, "users": opened.users, "events": len(opened.release.array("item"))}
    except (WinnowError, OSError, ValueError):
        return {}
