"""The shapes of the funnel's picture: bands from the sources through the filters to the answer, in a square of units.

The picture is stretched to its place, so it has no text: the columns beneath it have names, counts and links.
"""

from typing import NamedTuple

from winnow.explorer.ask.funnel import Funnel

WIDTH, HEIGHT = 1000, 160
_COLUMNS = 5
_LEAST = 1.5
"""Height of a band of one candidate: it must be seen."""


class Band(NamedTuple):
    """A shape: its SVG path, and the class of its colour."""

    path: str
    colour: str


def bands(funnel: Funnel) -> list[Band]:
    """The bands, in the order in which they are drawn.

    The columns are the sources, all distinct candidates, those that passed, the ranked ones, and the answer; each is
    as high as its number of candidates. What the filters remove leaves downwards.
    """
    step = WIDTH / _COLUMNS
    most = max(funnel.found, sum(source.count for source in funnel.sources), 1)

    def height(count: int) -> float:
        return max(_LEAST, count / most * HEIGHT) if count else 0.0

    middles = [step * (column + 0.5) for column in range(_COLUMNS)]
    shapes: list[Band] = []
    total = sum(source.count for source in funnel.sources)
    joined, top = 0.0, (HEIGHT - height(total)) / 2
    first = (HEIGHT - height(funnel.found)) / 2
    for place, source in enumerate(funnel.sources):
        left = height(total) * source.count / total if total else 0.0
        right = height(funnel.found) * source.count / total if total else 0.0
        start = first + joined
        shapes.append(Band(_band(0, top, left, middles[1], start, right), f"source-{place % 6}"))
        top, joined = top + left, joined + right
    levels = [funnel.found, funnel.passed, funnel.ranked, funnel.shown]
    for column in range(3):
        before, after = levels[column], levels[column + 1]
        y0, y1 = (HEIGHT - height(before)) / 2, (HEIGHT - height(after)) / 2
        kept = height(after) if column else height(before) * funnel.passed / funnel.found if funnel.found else 0.0
        x0, x1 = middles[column + 1], middles[column + 2]
        if column == 0 and funnel.removed:
            gone = height(before) - kept
            shapes.append(Band(_fall(x0, y0 + kept, gone, x1 - step * 0.35), "removed"))
            shapes.append(Band(_band(x0, y0, kept, x1, y1, height(after)), "kept"))
        else:
            shapes.append(Band(_band(x0, y0, height(before), x1, y1, height(after)), "kept"))
    last = (HEIGHT - height(funnel.shown)) / 2
    shapes.append(Band(_band(middles[4], last, height(funnel.shown), WIDTH, last, height(funnel.shown)), "shown"))
    return shapes


def _band(x0: float, y0: float, h0: float, x1: float, y1: float, h1: float) -> str:
    """A band from one height to another."""
    middle = (x0 + x1) / 2
    return (
        f"M{x0:.1f} {y0:.1f}C{middle:.1f} {y0:.1f} {middle:.1f} {y1:.1f} {x1:.1f} {y1:.1f}L{x1:.1f} {y1 + h1:.1f}"
        f"C{middle:.1f} {y1 + h1:.1f} {middle:.1f} {y0 + h0:.1f} {x0:.1f} {y0 + h0:.1f}Z"
    )


def _fall(x0: float, y0: float, h0: float, x1: float) -> str:
    """A band that leaves the picture downwards."""
    width = min(h0, (x1 - x0) * 0.8)
    return (
        f"M{x0:.1f} {y0:.1f}C{x1 - width / 2:.1f} {y0:.1f} {x1:.1f} {y0 + h0 / 2:.1f} {x1:.1f} {HEIGHT}"
        f"L{x1 - width:.1f} {HEIGHT}C{x1 - width:.1f} {y0 + h0:.1f} {x0 + width / 2:.1f} {y0 + h0:.1f} {x0:.1f} "
        f"{y0 + h0:.1f}Z"
    )
