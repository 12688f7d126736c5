"""The look of the charts, and their rendering to SVG.

A chart is a Vega-Lite specification, which vl-convert renders without a browser and without a network. Colours are the
variables of the page's style, so one SVG serves light and dark; the page has no script. The ``description`` of a mark
becomes its tooltip.
"""

import re
from collections.abc import Iterable
from itertools import count
from typing import Any
from xml.etree import ElementTree

import altair as alt
import vl_convert
from markupsafe import Markup

WIDTH = 400
"""Of every chart in pixels, margins included: readable on a phone, and three fit beside each other on a desk."""

INK, MUTED, GRID = "var(--ink)", "var(--muted)", "var(--line)"
FUNNEL, LIVE, OTHER, BAD = "var(--funnel)", "var(--live)", "var(--other)", "var(--bad)"

_SVG = "http://www.w3.org/2000/svg"
_FONT = "system-ui, -apple-system, 'Segoe UI', Roboto, sans-serif"

_numbers = count()

_LABEL = 150
_CHARACTER = 6.8
"""Width of a character in a wide font: the reader's font is not known when the chart is drawn."""


Rows = list[dict[str, Any]]
"""The data of a chart."""


def data(rows: Rows) -> alt.InlineData:
    """Rows in the form of Vega-Lite."""
    return alt.InlineData(values=rows)


def names(labels: Iterable[str]) -> alt.Axis:
    """The axis of rows with these labels, with room for them in any font."""
    room = min(1.1 * _LABEL, max((_CHARACTER * len(label) for label in labels), default=0) + 8)
    return alt.Axis(title=None, ticks=False, domain=False, minExtent=room)


def rendered(height: int, *layers: alt.Chart) -> Markup:
    """Draw a chart.

    Args:
        height: in pixels, margins included.
        layers: the lowest first.
    """
    whole = (
        alt.layer(*layers)
        .properties(
            width=WIDTH,
            height=height,
            autosize=alt.AutoSizeParams(type="fit", contains="padding"),
            background="transparent",
        )
        .configure(
            font=_FONT,
            view=alt.ViewConfig(stroke=None),
            axis=alt.AxisConfig(
                domainColor=GRID,
                gridColor=GRID,
                labelColor=MUTED,
                labelFontSize=11,
                labelLimit=_LABEL,
                tickColor=GRID,
                titleColor=MUTED,
                titleFontSize=11,
                titleFontWeight="normal",
            ),
            text=alt.MarkConfig(color=INK, fontSize=11),
        )
    )
    return _with_tooltips(vl_convert.vegalite_to_svg(whole.to_dict()))


def _with_tooltips(svg: str) -> Markup:
    """Make an SVG part of a page: ids of its own, a size that follows the page, and titles from the descriptions."""
    ElementTree.register_namespace("", _SVG)
    # Parsed is what the renderer wrote, with all text from the data escaped.
    root = ElementTree.fromstring(re.sub(r'(\bid="|url\(#)', rf"\g<1>chart{next(_numbers)}-", svg))  # noqa: S314
    for size in ("width", "height"):
        root.attrib.pop(size)
    for element in list(root.iter()):
        label = element.get("aria-label")
        if label and element.get("role") == "graphics-symbol" and element.get("aria-roledescription") != "axis":
            ElementTree.SubElement(element, f"{{{_SVG}}}title").text = label
    return Markup(ElementTree.tostring(root, encoding="unicode"))  # noqa: S704
