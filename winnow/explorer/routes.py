"""The views, one line each; those of the menu are in :data:`winnow.explorer.base.pages.NAVIGATION`, too."""

from pathlib import Path

from starlette.routing import BaseRoute, Mount, Route
from starlette.staticfiles import StaticFiles

from winnow.explorer.ask.acts import act
from winnow.explorer.ask.views import ask, upload, uploaded
from winnow.explorer.base.pages import STATIC
from winnow.explorer.catalog.map_view import map_of_items, map_points
from winnow.explorer.catalog.views import catalog, item
from winnow.explorer.health.views import health
from winnow.explorer.media_view import media
from winnow.explorer.overview import overview
from winnow.explorer.people.views import people, person

ROUTES: list[BaseRoute] = [
    Route("/", overview),
    Route("/people", people),
    Route("/person", person),
    Route("/ask", ask),
    Route("/ask/media", upload, methods=["POST"]),
    Route("/ask/media/{key}", uploaded),
    Route("/act", act, methods=["POST"]),
    Route("/catalog", catalog),
    Route("/item", item),
    Route("/map", map_of_items),
    Route("/map/points", map_points),
    Route("/health", health),
    Route("/media/{kind}", media),
    Mount("/static", StaticFiles(directory=Path(STATIC)), name="static"),
]
