"""The views, one line each; those of the menu are in :data:`winnow.explorer.base.pages.NAVIGATION`, too."""

from pathlib import Path

from starlette.routing import BaseRoute, Mount, Route
from starlette.staticfiles import StaticFiles

from winnow.explorer.base.pages import STATIC
from winnow.explorer.media_view import media
from winnow.explorer.overview import overview

ROUTES: list[BaseRoute] = [
    Route("/", overview),
    Route("/media/{kind}", media),
    Mount("/static", StaticFiles(directory=Path(STATIC)), name="static"),
]
