"""What figures are made of, whatever draws them: charts of points over two axes with strips below, and icicles.

Values are plain numbers in the unit of their axis; ``told`` is what a reader is told of a point, with exact values.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from itertools import groupby
from typing import NamedTuple, TypeAlias

from sizer.base.units import format_bytes, format_quantity, format_times
from sizer.report.layout import Table

#: Series told apart by colour and by dashes; a ninth looks like the first.
COLOURS = 8


class Axis(NamedTuple):
    """An axis: its title, what its values are in, and its scale.

    ``unit`` is ``count``, ``bytes``, ``s``, ``J``, ``times``, ``share`` or empty for a plain number; ``ticks`` are
    values with their text in place of round numbers. ``within`` are values that the axis must show.
    """

    title: str
    unit: str = ""
    log: bool = True
    ticks: Sequence[tuple[float, str]] = ()
    within: Sequence[float] = ()

    def text(self, value: float) -> str:
        """A value as its tick says it."""
        if self.unit == "bytes":
            return format_bytes(value)
        if self.unit in ("s", "J"):
            return format_quantity(value, self.unit)
        if self.unit == "share":
            return f"{100 * value:.3g} %"
        if self.unit == "times":
            return format_times(value)
        return _count_text(value) if self.unit == "count" else f"{value:.4g}"


def _count_text(value: float) -> str:
    """A number of things in short: 250, 16k, 4.2M."""
    for factor, letter in ((1e9, "G"), (1e6, "M"), (1e3, "k")):
        if abs(value) >= factor:
            return f"{value / factor:.3g}{letter}"
    return f"{value:.3g}"


def named_rows(title: str, names: Sequence[str]) -> Axis:
    """A y axis of names from the top: the first is at -1, the next at -2."""
    ticks = [(-float(place), name) for place, name in enumerate(names, start=1)]
    return Axis(title, log=False, ticks=ticks, within=(-0.5, -len(names) - 0.5))


class Point(NamedTuple):
    """A point with the ends of its interval, None where there is none."""

    x: float
    y: float
    told: str
    low: float | None = None
    high: float | None = None


class Series(NamedTuple):
    """Points of one kind: a ``line`` through them, ``dots``, ``crosses``, or ``dust``, which is seen and not met.

    ``colour`` counts from 1.
    """

    name: str
    points: Sequence[Point]
    look: str = "line"
    colour: int = 1
    faint: bool = False


class Band(NamedTuple):
    """An interval along the x axis: x, lower end, upper end."""

    name: str
    edges: Sequence[tuple[float, float, float]]
    colour: int = 1


class Mark(NamedTuple):
    """A point that stands out, a text beside it: a ``dot``, a ``star`` or a ``diamond``."""

    x: float
    y: float
    text: str
    told: str
    look: str = "dot"


class Guide(NamedTuple):
    """A straight line along a value of the ``x`` or ``y`` axis, or (``diagonal``) where y is ``at`` times x."""

    along: str
    at: float
    text: str


class Stretch(NamedTuple):
    """A part of a strip from one x to another; ``shade`` counts levels from the nearest, 0, and is None for none."""

    first: float
    last: float
    text: str
    told: str
    shade: int | None = None


class Strip(NamedTuple):
    """A named row below the plot."""

    name: str
    stretches: Sequence[Stretch]


class Chart(NamedTuple):
    """Series over two axes with strips below; without a y axis, strips alone.

    ``label`` says what the numbers are (measured, calibrated, published, estimated), ``table`` holds them. With
    ``rows`` the y axis is a list of names and the points' intervals lie along x. ``shades`` names what the shades of
    boxes stand for, where they do not say it themselves.
    """

    title: str
    description: str
    x: Axis
    y: Axis | None
    table: Table
    series: Sequence[Series] = ()
    bands: Sequence[Band] = ()
    marks: Sequence[Mark] = ()
    guides: Sequence[Guide] = ()
    strips: Sequence[Strip] = ()
    label: str | None = None
    rows: bool = False
    shades: Sequence[str] = ()


class Cell(NamedTuple):
    """A box of an icicle: its row from the top, its share of the width from ``start`` to ``end``, 0 to 1."""

    name: str
    row: int
    start: float
    end: float
    told: str
    shade: int | None


class Icicle(NamedTuple):
    """Boxes below the box that they are part of, as wide as their share; ``shades`` names what colours stand for."""

    title: str
    description: str
    cells: Sequence[Cell]
    shades: Sequence[str]
    table: Table
    label: str | None = None


Figure: TypeAlias = "Chart | Icicle"


def drawable(values: Iterable[float | None]) -> bool:
    """Whether all values are there, positive and finite, as a logarithmic axis needs them."""
    return all(value is not None and 0 < value < math.inf for value in values)


def thinned(points: Sequence[Point], most: int, place: Callable[[float], float]) -> list[Point]:
    """At most about so many points of a curve ordered by x: of each part the first, the least and the greatest.

    Parts are equally wide where ``place`` puts their x, so that a curve keeps its shape where it has few points.
    """
    if len(points) <= most:
        return list(points)
    parts = max(most // 3, 1)
    first, last = place(points[0].x), place(points[-1].x)
    wide = (last - first) / parts or 1.0
    kept: list[Point] = []
    for _, grouped in groupby(points, lambda point: min(int((place(point.x) - first) / wide), parts - 1)):
        run = list(grouped)
        chosen = {id(run[0]), id(min(run, key=lambda p: p.y)), id(max(run, key=lambda p: p.y))}
        kept += [point for point in run if id(point) in chosen]
    return kept if kept[-1] is points[-1] else [*kept, points[-1]]


def spread(count: int, most: int) -> list[int]:
    """At most so many positions of a sequence, evenly spread, its first and last among them."""
    if count <= most:
        return list(range(count))
    return sorted({round(step * (count - 1) / (most - 1)) for step in range(most)})
