"""Templates: every page is rendered by Jinja2 with autoescape, from strict variables."""

import math
import re
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from starlette.requests import Request
from starlette.responses import HTMLResponse

PACKAGE = Path(__file__).parents[1]
STATIC = PACKAGE / "static"

NAVIGATION: list[tuple[str, str]] = [
    ("/", "Overview"),
    ("/people", "People"),
    ("/ask", "Ask"),
    ("/compare", "Compare"),
    ("/catalog", "Catalog"),
    ("/releases", "Releases"),
    ("/health", "Health"),
]
"""Address and title of each entry of the menu."""


def page(request: Request, template: str, status: int = 200, **context: Any) -> HTMLResponse:
    """Render a page.

    Args:
        request: the request; a template finds it as ``request``.
        template: file in ``templates/``.
        status: of the response.
        context: further variables of the template.
    """
    settings = request.app.state.settings
    rendered = ENVIRONMENT.get_template(template).render(
        request=request,
        status=status,
        path=request.url.path,
        navigation=NAVIGATION,
        csrf=request.state.csrf,
        read_only=settings.read_only,
        partial=request.headers.get("hx-request") == "true",
        **context,
    )
    # Pages differ for htmx, which takes parts of them.
    return HTMLResponse(rendered, status, {"vary": "HX-Request"})


def error_page(request: Request, status: int, message: str, remedy: str = "", back: str = "/") -> HTMLResponse:
    """A page that says what is wrong.

    Args:
        request: the request.
        status: of the response.
        message: a sentence.
        remedy: what to do.
        back: address of the page to go back to; by default the first one.
    """
    return page(request, "error.html", status, message=message, remedy=remedy, back=back)


def in_words(error: Exception) -> str:
    """The message of an error; of one of the recommender without what concerns programs alone."""
    return re.sub(r"^\d{3}: (instances\[0\]\.?)?", "", str(error))


def address(path: str, **query: Any) -> str:
    """A path with a query; parameters that are ``None`` or empty are left out."""
    given = {name: value for name, value in query.items() if value not in (None, "")}
    return f"{path}?{urlencode(given)}" if given else path


def moment(milliseconds: float | None) -> str:
    """A time as ``2026-01-31 12:00 UTC``; an empty text for none."""
    if milliseconds is None:
        return ""
    try:
        return datetime.fromtimestamp(milliseconds / 1000, UTC).strftime("%Y-%m-%d %H:%M UTC")
    except (ValueError, OverflowError, OSError):
        return ""


def percent(chance: float | None) -> str:
    """A probability with two significant digits; an empty text for none."""
    if chance is None:
        return ""
    digits = 1 if chance >= 0.01 or chance <= 0 else min(6, 1 - math.floor(math.log10(100 * chance)))
    return f"{chance:.{digits}%}"


def number(value: float | None, digits: int = 3) -> str:
    """A number with thousands separated, or an empty text for none."""
    if value is None or value != value:
        return ""
    if float(value).is_integer() and abs(value) < 1e15:
        return f"{int(value):,}"
    return f"{value:,.{digits}g}" if abs(value) < 10**digits else f"{value:,.0f}"


ENVIRONMENT = Environment(
    loader=FileSystemLoader(PACKAGE / "templates"),
    autoescape=True,
    undefined=StrictUndefined,
    trim_blocks=True,
    lstrip_blocks=True,
)
ENVIRONMENT.filters.update(moment=moment, percent=percent, number=number)
ENVIRONMENT.globals.update(address=address)
