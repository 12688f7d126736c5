"""A course as a line in a small picture, made on the server."""

from markupsafe import Markup

from winnow.explorer.health.figures import Course

WIDTH, HEIGHT = 160, 36
_EDGE = 2
_SHORTEST_S = 60.0
"""The width stands for at least so long."""


def sparkline(course: Course, label: str) -> Markup:
    """SVG, from 0 to the largest value and over all of the time; a gap where there is no value.

    Args:
        course: the figure.
        label: what a screen reader says.
    """
    known = course.known
    if len(known) < 2:
        return Markup("")
    most, seconds = max(known) or 1.0, max(_SHORTEST_S, -course.at[0])
    runs: list[list[str]] = [[]]
    for at, value in zip(course.at, course.values, strict=True):
        if value is None:
            runs.append([])
            continue
        x = WIDTH - _EDGE + (WIDTH - 2 * _EDGE) * at / seconds
        runs[-1].append(f"{x:.1f} {HEIGHT - _EDGE - (HEIGHT - 2 * _EDGE) * value / most:.1f}")
    lines = "".join(f"M{'L'.join(run)}" if len(run) > 1 else f"M{run[0]}h0" for run in runs if run)
    return Markup('<svg class="spark" viewBox="0 0 {} {}" role="img" aria-label="{}"><path d="{}"/></svg>').format(
        WIDTH, HEIGHT, label, lines
    )
