"""``/health``: figures of the stack, renewed every few seconds."""

import time
from typing import Any

from redis.exceptions import RedisError
from starlette.requests import Request
from starlette.responses import Response

from winnow.client import NoAnswer
from winnow.explorer.base.pages import error_page, page
from winnow.explorer.base.stack import stack_of
from winnow.explorer.health.figures import Now, courses, figures, interval
from winnow.explorer.health.freshness import freshness
from winnow.explorer.health.monitor import INTERVAL_S, Monitor
from winnow.explorer.health.series import Quantile
from winnow.explorer.health.sparkline import sparkline

SPANS = {"10": "10 seconds", "60": "minute", "600": "10 minutes"}
"""Seconds -> words of the intervals that can be chosen."""


async def health(request: Request) -> Response:
    """The page, or its live part for htmx. It is shown while the recommender does not answer, too."""
    span = request.query_params.get("span", "60")
    if span not in SPANS:
        return error_page(request, 400, f"span: must be one of {', '.join(SPANS)}, seconds.")
    stack, monitor = stack_of(request), request.app.state.monitor
    assert isinstance(monitor, Monitor)
    history, steps = await monitor.history()
    try:
        release, away = await stack.served(), ""
    except NoAnswer as error:
        release, away = None, str(error)
    try:
        filters = None if release is None else await monitor.filters(stack, release)
    except RedisError:
        filters = None
    chosen = interval(history, float(span))
    context: dict[str, Any] = {
        "span": span,
        "spans": SPANS,
        "paused": request.query_params.get("live") == "no",
        "every": INTERVAL_S,
        "release": release,
        "away": away,
        "scrape": history[-1],
        "processes": monitor.processes(),
        "figures": figures(chosen) if len(chosen) > 1 else None,
        "now": Now.of(history[-1]),
        "courses": courses(steps),
        "filters": filters,
        "fresh": None if release is None else await freshness(stack, release.number),
        "clock": time.time() * 1000,
        "milliseconds": milliseconds,
        "age": age,
        "sparkline": sparkline,
    }
    live = request.headers.get("hx-target") == "live"
    return page(request, "health_live.html" if live else "health.html", **context)


def milliseconds(value: Quantile | None) -> str:
    """A duration for readers; an empty text for none."""
    if value is None:
        return ""
    ms = value.seconds * 1000
    text = f"{ms:.2f}" if ms < 1 else f"{ms:.1f}" if ms < 100 else f"{ms:,.0f}"
    return f"{'> ' if value.above else '< ' if value.below else ''}{text} ms"


def age(milliseconds: float) -> str:
    """A span of time in its largest whole unit."""
    seconds = max(0.0, milliseconds / 1000)
    for unit, length in (("days", 86_400), ("hours", 3600), ("minutes", 60)):
        if seconds >= 2 * length:
            return f"{seconds / length:.0f} {unit}"
    return f"{seconds:.0f} second{'' if round(seconds) == 1 else 's'}"
