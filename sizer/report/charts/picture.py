"""What pictures of any kind have in common: their widths, their frame with title and text, and what can be met in them.

A reader meets exact values by hovering or by focusing a point, without a script: each point that can be met holds the
text that then shows in the rows kept free at the top.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from typing import NamedTuple

from markupsafe import Markup

from sizer.report.charts.svg import FONT, LINE, element, lines_of


class Size(NamedTuple):
    """A width that a figure is drawn for: the plot's height, ticks, points of a line that are drawn and that are met.

    So many points are hard to tell from all of them on a screen, and keep pages small. ``names`` is the largest share
    of the width that names at the left may take.
    """

    name: str
    width: float
    height: float
    x_ticks: int
    y_ticks: int
    drawn: int
    met: int
    names: float


WIDE = Size("wide", 760.0, 280.0, 8, 6, 120, 24, 0.32)
NARROW = Size("narrow", 330.0, 220.0, 4, 5, 70, 12, 0.46)
SIZES = (WIDE, NARROW)


class Met(NamedTuple):
    """Where a point is met, a rectangle or a circle around it, and what is told there."""

    told: str
    x: float
    y: float
    area: tuple[float, float, float, float] | None = None


def framed(size: Size, height: float, ids: str, title: str, description: str, parts: Sequence[Markup]) -> Markup:
    """A picture with its title and description."""
    return element(
        "svg",
        element("title", title, id=f"{ids}-title"),
        element("desc", description, id=f"{ids}-text"),
        *parts,
        class_=size.name,
        viewBox=f"0 0 {size.width:g} {math.ceil(height)}",
        role="group",
        aria_labelledby=f"{ids}-title",
        aria_describedby=f"{ids}-text",
    )


#: Stands in the rows at the top while nothing is met.
_HINT = "Point at the picture, or Tab to it, for exact values"


def met_parts(met: Sequence[Met], width: float, ids: str) -> Iterator[Markup]:
    """What can be met, each with its text for the rows at the top, which is also its name.

    In each is the ring that shows where it is, and where it is met elsewhere as well, before it that area.
    """
    if met:
        yield element("text", _HINT, x=4.0, y=FONT, class_="hint", aria_hidden="true")
    for number, each in enumerate(met):
        if each.area is None:
            shapes = [element("circle", cx=each.x, cy=each.y, r=7)]
        else:
            x, y, wide, high = each.area
            area = element("rect", x=x, y=y, width=wide, height=high)
            shapes = [area, element("circle", cx=each.x, cy=each.y, r=4)]
        name = f"{ids}-{number}"
        tip = _tip(each.told, width, name)
        yield element("g", *shapes, tip, class_="met", tabindex=0, role="img", aria_labelledby=name)


def _tip(told: str, width: float, name: str) -> Markup:
    """A text in the rows at the top, where the style moves it."""
    first, *more = lines_of(told, width)
    rows = [element("tspan", line, x=0, dy=LINE) for line in more]
    return element("text", first, *rows, id=name, class_="tip")


def rows_for(met: Sequence[Met], width: float) -> int:
    """How many rows the longest text needs."""
    return max((len(lines_of(each.told, width)) for each in met), default=0)
