"""An icicle as SVG: what a whole is made of, its parts below it, as wide as their share."""

from __future__ import annotations

from collections.abc import Iterator

from markupsafe import Markup

from sizer.report.charts.figure import Cell, Icicle
from sizer.report.charts.picture import Met, Size, framed, met_parts, rows_for
from sizer.report.charts.svg import LINE, cut, element

_ROW = 24.0
#: Boxes narrower than this, in units of the picture, are drawn but cannot be met one by one.
_NARROWEST = 4.0


def drawn_icicle(icicle: Icicle, size: Size, ids: str) -> Markup:
    """The icicle as an SVG element, its ids beginning with ``ids``; nothing without boxes."""
    if not icicle.cells:
        return Markup()
    width = size.width - 4
    met = [_met(cell, width) for cell in icicle.cells if (cell.end - cell.start) * width >= _NARROWEST]
    top = rows_for(met, size.width - 8) * LINE + 8
    below = [each._replace(y=each.y + top, area=_moved(each.area, top)) for each in met]
    boxes = [part for cell in icicle.cells for part in _box(cell, width, top)]
    height = top + _ROW * (1 + max(cell.row for cell in icicle.cells)) + 4
    parts = [*boxes, *met_parts(below, size.width - 8, ids)]
    return framed(size, height, ids, icicle.title, icicle.description, parts)


def _box(cell: Cell, width: float, top: float) -> Iterator[Markup]:
    left, wide, upper = 2 + cell.start * width, (cell.end - cell.start) * width, top + cell.row * _ROW
    if wide < 0.3:
        return
    shade = "plain" if cell.shade is None else f"s{min(cell.shade, 5)}"
    yield element("rect", x=left, y=upper, width=wide, height=_ROW - 2, class_=f"stretch {shade}")
    if text := cut(cell.name, wide - 8):
        yield element("text", text, x=left + wide / 2, y=upper + 15, text_anchor="middle", class_=f"inside {shade}")


def _met(cell: Cell, width: float) -> Met:
    left, wide = 2 + cell.start * width, (cell.end - cell.start) * width
    upper = cell.row * _ROW
    return Met(cell.told, left + wide / 2, upper + _ROW / 2, (left, upper, wide, _ROW - 2))


def _moved(area: tuple[float, float, float, float] | None, down: float) -> tuple[float, float, float, float] | None:
    return None if area is None else (area[0], area[1] + down, *area[2:])
