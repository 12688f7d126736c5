"""The views, one line each; those of the menu are in :data:`winnow.explorer.base.pages.NAVIGATION`, too."""

from pathlib import Path

from starlette.routing import BaseRoute, Mount, Route
from starlette.staticfiles import StaticFiles

from winnow.explorer.ask.acts import act
from winnow.explorer.ask.views import ask, upload, uploaded
from winnow.explorer.base.pages import STATIC
from winnow.explorer.catalog.map_view import map_of_items, map_points
from winnow.explorer.catalog.views import catalog, item
from winnow.explorer.compare.views import comparison, start_release
from winnow.explorer.health.views import health
from winnow.explorer.media_view import media
from winnow.explorer.overview import overview
from winnow.explorer.people.views import people, person
from winnow.explorer.releases import actions
from winnow.explorer.releases import views as releases

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
    Route("/compare", comparison),
    Route("/compare/release", start_release, methods=["POST"]),
    Route("/releases", releases.release_list),
    Route("/releases/change", actions.progress),
    Route("/releases/rollback", actions.ask_rollback),
    Route("/releases/rollback", actions.roll_back, methods=["POST"]),
    Route("/releases/{number}", releases.release),
    Route("/releases/{number}/report", releases.report),
    Route("/releases/{number}/difference", releases.difference),
    Route("/releases/{number}/promote", actions.ask_promotion),
    Route("/releases/{number}/promote", actions.promote, methods=["POST"]),
    Route("/media/{kind}", media),
    Mount("/static", StaticFiles(directory=Path(STATIC)), name="static"),
]
