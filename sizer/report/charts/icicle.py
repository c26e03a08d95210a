"""An icicle as SVG: what a whole is made of, its parts below it, as wide as their share.

Names that are wider than their boxes stand upright in them, and a row with such names is as high as they need.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import accumulate

from markupsafe import Markup

from sizer.report.charts.figure import Cell, Icicle
from sizer.report.charts.picture import Met, Size, framed, met_parts, rows_for
from sizer.report.charts.svg import LINE, cut, element, text_width

_ROW = 24.0
#: Boxes narrower than this, in units of the picture, are drawn but cannot be met one by one.
_NARROWEST = 4.0
#: Room of a name beyond its letters; the highest that a row becomes for names that stand upright in it.
_AROUND = 8.0
_HIGHEST = 84.0


def drawn_icicle(icicle: Icicle, size: Size, ids: str) -> Markup:
    """The icicle as an SVG element, its ids beginning with ``ids``; nothing without boxes."""
    if not icicle.cells:
        return Markup()
    width = size.width - 4
    rows = _rows(icicle.cells, width)
    met = [_met(cell, width, rows) for cell in icicle.cells if (cell.end - cell.start) * width >= _NARROWEST]
    top = rows_for(met, size.width - 8) * LINE + 8
    below = [each._replace(y=each.y + top, area=_moved(each.area, top)) for each in met]
    boxes = [part for cell in icicle.cells for part in _box(cell, width, top, rows)]
    height = top + rows[-1] + 4
    parts = [*boxes, *met_parts(below, size.width - 8, ids)]
    return framed(size, height, ids, icicle.title, icicle.description, parts)


def _rows(cells: Sequence[Cell], width: float) -> list[float]:
    """Where each row begins, and at last where the lowest ends."""
    heights = [_ROW] * (1 + max(cell.row for cell in cells))
    for cell in cells:
        if _upright(cell, width):
            heights[cell.row] = max(heights[cell.row], min(text_width(cell.name) + _AROUND + 3, _HIGHEST))
    return [0.0, *accumulate(heights)]


def _upright(cell: Cell, width: float) -> bool:
    """Whether a name finds room only when it stands."""
    wide = (cell.end - cell.start) * width
    return LINE <= wide < text_width(cell.name) + _AROUND


def _box(cell: Cell, width: float, top: float, rows: Sequence[float]) -> Iterator[Markup]:
    left, wide, upper = 2 + cell.start * width, (cell.end - cell.start) * width, top + rows[cell.row]
    high = rows[cell.row + 1] - rows[cell.row] - 2
    if wide < 0.3:
        return
    shade = "plain" if cell.shade is None else f"s{min(cell.shade, 5)}"
    yield element("rect", x=left, y=upper, width=wide, height=high, class_=f"stretch {shade}")
    x, y, look = left + wide / 2, upper + high / 2, f"inside {shade}"
    if _upright(cell, width):
        text = cut(cell.name, high - _AROUND)
        turned = f"rotate(-90 {x:.1f} {y:.1f})"
        yield element("text", text, x=x, y=y + 4, text_anchor="middle", transform=turned, class_=look)
    elif text := cut(cell.name, wide - _AROUND):
        yield element("text", text, x=x, y=y + 4, text_anchor="middle", class_=look)


def _met(cell: Cell, width: float, rows: Sequence[float]) -> Met:
    left, wide = 2 + cell.start * width, (cell.end - cell.start) * width
    upper, high = rows[cell.row], rows[cell.row + 1] - rows[cell.row]
    return Met(cell.told, left + wide / 2, upper + high / 2, (left, upper, wide, high - 2))


def _moved(area: tuple[float, float, float, float] | None, down: float) -> tuple[float, float, float, float] | None:
    return None if area is None else (area[0], area[1] + down, *area[2:])
