"""The application: views, security, and what a visitor sees where the stack does not answer."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import uvicorn
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import Response

from winnow.client import EndpointError, InvalidCall, NoAnswer
from winnow.errors import WinnowError
from winnow.explorer.base.pages import error_page, in_words
from winnow.explorer.base.security import Security
from winnow.explorer.base.settings import ExplorerSettings
from winnow.explorer.base.stack import Stack
from winnow.explorer.base.tokens import Tokens
from winnow.explorer.catalog.held import HeldCatalog
from winnow.explorer.compare.beside import Beside
from winnow.explorer.health.monitor import Monitor
from winnow.explorer.releases.change import Changes
from winnow.explorer.releases.reports import Reports
from winnow.explorer.routes import ROUTES
from winnow.store.connection import RedisError

_AWAY = "The page is shown again once the stack runs: start it with `winnow up`, or wait until it has started."


def create_app(settings: ExplorerSettings) -> Starlette:
    """The explorer of a stack.

    Args:
        settings: addresses of the stack, and what visitors may do.
    """

    @asynccontextmanager
    async def lifespan(app: Starlette) -> AsyncIterator[None]:
        app.state.stack = Stack.of(settings)
        app.state.catalog = HeldCatalog()
        app.state.monitor = Monitor(settings)
        app.state.beside = Beside(settings.home)
        async with app.state.monitor.running():
            yield
        await app.state.beside.close()
        await app.state.stack.close()

    app = Starlette(
        routes=ROUTES,
        middleware=[Middleware(Security, settings=settings, tokens=Tokens())],
        exception_handlers={
            HTTPException: _http_error,
            NoAnswer: _no_answer,
            EndpointError: _refused,
            RedisError: _no_redis,
            WinnowError: _wrong,
        },
        lifespan=lifespan,
    )
    app.state.settings = settings
    app.state.changes = Changes(settings.home)
    app.state.reports = Reports(settings.home)
    return app


def serve(settings: ExplorerSettings, host: str, port: int) -> None:
    """Serve the explorer until the process is terminated."""
    uvicorn.run(
        create_app(settings),
        host=host,
        port=port,
        log_level="warning",
        server_header=False,
        # No proxy header is trusted.
        proxy_headers=False,
        timeout_keep_alive=30,
        timeout_graceful_shutdown=2,
        limit_concurrency=100,
    )


async def _http_error(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    texts = {404: "There is no such page.", 405: "This page cannot be used in that way."}
    return error_page(request, error.status_code, texts.get(error.status_code, error.detail))


async def _no_answer(request: Request, error: Exception) -> Response:
    return error_page(request, 503, f"The recommender does not answer: {error}", _AWAY)


async def _no_redis(request: Request, error: Exception) -> Response:
    return error_page(request, 503, f"Redis does not answer: {error}", _AWAY)


async def _refused(request: Request, error: Exception) -> Response:
    assert isinstance(error, EndpointError)
    status = 400 if isinstance(error, InvalidCall) else 503
    return error_page(request, status, f"The recommender refuses the request: {in_words(error)}")


async def _wrong(request: Request, error: Exception) -> Response:
    return error_page(request, 400, str(error))
