"""``/``: what the system does, in one screen, with this stack's own numbers."""

from starlette.requests import Request
from starlette.responses import Response

from winnow.explorer.base.pages import page
from winnow.explorer.base.stack import stack_of


async def overview(request: Request) -> Response:
    """The page."""
    release = await stack_of(request).served()
    return page(request, "overview.html", release=release, users=release.active_users(3))
