"""A small curve in text: the cost of reaching a loss against the number of parameters, cache edges below it."""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator, Mapping, Sequence

from sizer.method.recommendation import CurvePoint
from sizer.method.training_step import SET_NAMES

HEIGHT = 9
#: The sign of a size above the lower envelope, with and without Unicode.
FAINT = {True: "\u00b7", False: "'"}
#: Teeth of the curve are dearer by more than this than the line between two sizes at most so far apart: in widths (runs
#: of those that are no multiple of a vector have 15) and parameters, or in parameters alone.
_TOOTH, _APART_WIDTHS, _APART, _NEAR = 1.01, 16, 2.0, 1.2
_BRAILLE = 0x2800
#: Bit of each of a braille cell's dots, [row][column].
_DOTS = ((0x01, 0x08), (0x02, 0x10), (0x04, 0x20), (0x40, 0x80))
_LABEL = 12


def chart(points: Sequence[CurvePoint], marks: Mapping[int, str], width: int, unicode: bool) -> Iterator[str]:
    """Lines of a chart ``width`` columns wide.

    ``marks`` maps a number of parameters to the sign drawn there. Nothing for fewer than two sizes that fit, or where
    less than 20 columns are left for the curve.
    """
    fitting = [point for point in points if point.relative_cost_to_loss is not None]
    columns = width - _LABEL - 1
    if len(fitting) < 2 or columns < 20:
        return
    axis = _Axis(fitting, columns)
    below = lower_envelope(fitting)
    cells = _curve_cells(below, axis, unicode)
    kept, teeth = set(map(id, below)), 0
    for point in fitting:
        if id(point) not in kept and cells[axis.row(point)][axis.column(point)] == " ":
            cells[axis.row(point)][axis.column(point)] = FAINT[unicode]
            teeth += 1
    for point in fitting:
        if point.num_free_parameters in marks:
            cells[axis.row(point)][axis.column(point)] = marks[point.num_free_parameters]
    bar = "\u2502" if unicode else "|"
    for row, line in enumerate(cells):
        yield f"{axis.row_label(row):>{_LABEL - 1}} {bar}{''.join(line).rstrip()}"
    yield axis.rule(unicode)
    yield axis.ticks()
    yield from _level_rows(fitting, axis, unicode)
    if teeth:
        yield f"{FAINT[unicode]:>{_LABEL - 1}}  dearer than the widths near them, most of them unaligned"


def lower_envelope(points: Sequence[CurvePoint]) -> list[CurvePoint]:
    """The sizes that no straight line between two near ones passes below, in log-log; the others are a curve's teeth.

    Unaligned widths cost more than their aligned neighbours on either side, and nobody need choose them.
    """
    kept: list[CurvePoint] = []
    for point in points:
        while len(kept) > 1 and _is_tooth(kept[-2], kept[-1], point):
            kept.pop()
        kept.append(point)
    return kept


def _is_tooth(before: CurvePoint, point: CurvePoint, after: CurvePoint) -> bool:
    first, size, last = (math.log(each.num_free_parameters) for each in (before, point, after))
    wider = sum(after.widths[:1]) - sum(before.widths[:1]) if after.widths else math.inf
    factor = math.exp(last - first)
    if factor == 1.0 or factor > (_APART if wider <= _APART_WIDTHS else _NEAR):
        return False
    share = (size - first) / (last - first)
    between = (1 - share) * math.log(_cost(before)) + share * math.log(_cost(after))
    return math.log(_cost(point)) - between > math.log(_TOOTH)


class _Axis:
    """Where a size and its cost fall: logarithmic both ways."""

    def __init__(self, points: Sequence[CurvePoint], columns: int) -> None:
        self.columns = columns
        self.low_x = math.log2(points[0].num_free_parameters)
        self.high_x = max(math.log2(points[-1].num_free_parameters), self.low_x + 1e-9)
        costs = [_cost(point) for point in points]
        self.low_y = math.log10(min(costs))
        self.high_y = max(math.log10(max(costs)), self.low_y + 0.3)

    def x(self, point: CurvePoint) -> float:
        """Position from 0 to 1 along the sizes."""
        return (math.log2(point.num_free_parameters) - self.low_x) / (self.high_x - self.low_x)

    def y(self, point: CurvePoint) -> float:
        """Position from 0 (cheapest, bottom) to 1 along the costs."""
        return (math.log10(_cost(point)) - self.low_y) / (self.high_y - self.low_y)

    def column(self, point: CurvePoint) -> int:
        """Text column of a size."""
        return round(self.x(point) * (self.columns - 1))

    def row(self, point: CurvePoint) -> int:
        """Text row of a cost, 0 at the top."""
        return min(HEIGHT - 1, int((1 - self.y(point)) * HEIGHT))

    def row_label(self, row: int) -> str:
        """Cost at the middle of every other row."""
        if row % 4:
            return ""
        cost: float = 10 ** (self.high_y - row / (HEIGHT - 1) * (self.high_y - self.low_y))
        return f"{cost:.0f}x" if cost >= 9.5 else f"{cost:.1f}x"

    def rule(self, unicode: bool) -> str:
        """The line below the curve."""
        corner, dash = ("\u2514", "\u2500") if unicode else ("+", "-")
        return " " * _LABEL + corner + dash * self.columns

    def ticks(self) -> str:
        """Powers of two of the number of parameters, as many as fit."""
        first, last = math.ceil(self.low_x), math.floor(self.high_x)
        step = max(1, math.ceil((last - first + 1) * 7 / self.columns))
        line = [" "] * self.columns
        for exponent in range(first, last + 1, step):
            text = f"2^{exponent}"
            at = round((exponent - self.low_x) / (self.high_x - self.low_x) * (self.columns - 1))
            if at + len(text) <= self.columns:
                line[at : at + len(text)] = text
        return " " * (_LABEL + 1) + "".join(line).rstrip()


def _cost(point: CurvePoint) -> float:
    assert point.relative_cost_to_loss is not None  # (the caller keeps the sizes that fit)
    return point.relative_cost_to_loss


def _curve_cells(points: Sequence[CurvePoint], axis: _Axis, unicode: bool) -> list[list[str]]:
    """The curve as text cells; in braille each cell holds two by four dots."""
    if not unicode:
        cells = [[" "] * axis.columns for _ in range(HEIGHT)]
        for point in points:
            cells[axis.row(point)][axis.column(point)] = "."
        return cells
    bits = [[0] * axis.columns for _ in range(HEIGHT)]
    for point in points:
        dot_x = round(axis.x(point) * (2 * axis.columns - 1))
        dot_y = min(4 * HEIGHT - 1, int((1 - axis.y(point)) * 4 * HEIGHT))
        bits[dot_y // 4][dot_x // 2] |= _DOTS[dot_y % 4][dot_x % 2]
    return [[chr(_BRAILLE + bit) if bit else " " for bit in row] for row in bits]


def _level_rows(points: Sequence[CurvePoint], axis: _Axis, unicode: bool) -> Iterator[str]:
    """One row a working set: the level where it lives along the sizes, an edge where it moves to the next."""
    edge = "\u258f" if unicode else "|"
    for name in points[0].levels:
        line = [" "] * axis.columns
        for index, (level, first) in enumerate(level_starts(points, name)):
            at = axis.column(first)
            text = (edge + level if index else level)[: axis.columns - at]
            line[at : at + len(text)] = text
        yield f"{SET_NAMES[name]:>{_LABEL - 1}}  {''.join(line).rstrip()}"


def level_starts(points: Sequence[CurvePoint], name: str) -> list[tuple[str, CurvePoint]]:
    """The levels on which a working set lives along the sizes, each with the first size there."""
    stretches = itertools.groupby(points, key=lambda point: point.levels[name] or "none")
    return [(level, next(stretch)) for level, stretch in stretches]
