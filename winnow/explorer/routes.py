"""The views, one line each; those of the menu are in :data:`winnow.explorer.base.pages.NAVIGATION`, too."""

from pathlib import Path

from starlette.routing import BaseRoute, Mount, Route
from starlette.staticfiles import StaticFiles

from winnow.explorer.ask.acts import act
from winnow.explorer.ask.views import ask, upload, uploaded
from winnow.explorer.base.pages import STATIC
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
    Route("/media/{kind}", media),
    Mount("/static", StaticFiles(directory=Path(STATIC)), name="static"),
]
