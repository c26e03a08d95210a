"""A study's steps: what each found, drawn."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from sizer.base.units import format_bytes
from sizer.report.charts.figure import Axis, Chart, Guide, Point, Series, Stretch, Strip
from sizer.report.layout import Column, Table

if TYPE_CHECKING:
    from sizer.study.step import StudyStep

_Row = Mapping[str, Any]


def study_charts(record: StudyStep) -> Iterator[Chart]:
    """The figures of a step, from the numbers that its record has."""
    rows = [row for row in record.table if isinstance(row, Mapping)]
    if record.step == "caches":
        yield from _edges(rows)
    elif record.step == "isoloss":
        yield from _minima(rows)
    elif record.step == "trends":
        yield from _slopes(rows)
    elif record.step == "fit":
        yield from _errors(rows)


def _number(value: object) -> float | None:
    """A finite number, None for anything else."""
    is_number = isinstance(value, (int, float)) and not isinstance(value, bool)
    return float(value) if is_number and math.isfinite(value) else None  # type: ignore[arg-type]


def _by(rows: Sequence[_Row], name: str) -> dict[str, list[_Row]]:
    parts: dict[str, list[_Row]] = {}
    for row in rows:
        parts.setdefault(str(row.get(name)), []).append(row)
    return parts


def _table(rows: Sequence[_Row], titles: Mapping[str, str]) -> Table:
    """The columns of those names, by their titles."""
    return Table([Column(title, [_cell(row.get(name)) for row in rows]) for name, title in titles.items()])


def _cell(value: object) -> str:
    number = _number(value)
    return f"{number:.4g}" if number is not None else "" if value is None else f"{value}"


def _edges(rows: Sequence[_Row]) -> Iterator[Chart]:
    """How steeply cost grows with a set inside each cache and beyond it (paper, figure 4)."""
    for hardware, some in _by(rows, "hardware").items():
        series = []
        for colour, (side, name) in enumerate((("elasticity_inside", "inside"), ("elasticity_beyond", "beyond")), 1):
            points = [point for row in some if (point := _edge_point(row, side, name)) is not None]
            if points:
                series.append(
                    Series(f"{name} the edge", points, "dots" if side == "elasticity_inside" else "crosses", colour)
                )
        if series:
            yield Chart(
                f"Cache edges on {hardware}",
                "How much cost grows with each doubling of a working set, inside the cache edge and beyond it (paper, "
                "figure 4): 1 means in proportion. A bend is where the two differ.",
                Axis("size of the working set at the edge", "bytes"),
                Axis("elasticity of cost", log=False, within=(0.0, 1.0)),
                _table(
                    some,
                    {
                        "working_set": "set",
                        "level": "level",
                        "edge_bytes": "edge, bytes",
                        "elasticity_inside": "inside",
                        "elasticity_beyond": "beyond",
                    },
                ),
                series,
                guides=[Guide("y", 1.0, "in proportion")],
            )


def _edge_point(row: _Row, side: str, name: str) -> Point | None:
    at, value = _number(row.get("edge_bytes")), _number(row.get(side))
    if at is None or value is None:
        return None
    told = f"{row.get('working_set')} leaves {row.get('level')} at {format_bytes(at)}: elasticity {value:.3g} {name}"
    return Point(at, value, told)


def _minima(rows: Sequence[_Row]) -> Iterator[Chart]:
    """How far past the nearest cache edge the cheapest sizes lie (paper, section 8)."""
    strips = []
    for row in rows:
        past = _number(row.get("octaves_past"))
        if past is not None:
            named = f"{row.get('working_set')}, {row.get('hardware')}"
            told = f"{named}: the cheapest size lies {past:+.2f} octaves past the nearest edge, in the median"
            strips.append(Strip(named, [Stretch(min(past, 0.0), max(past, 0.0), f"{past:+.2f}", told, 1)]))
    if strips:
        yield Chart(
            "Where the cheapest sizes lie",
            "Octaves between the nearest cache edge and each working set of the cheapest size to a loss, the median "
            "over the minima: 0 is a set that just fits, 1 one that is twice the edge (paper, section 8).",
            Axis("octaves past the nearest cache edge", log=False, within=(-1.0, 0.0, 1.0)),
            None,
            _table(
                rows,
                {
                    "hardware": "hardware",
                    "working_set": "set",
                    "minima": "minima",
                    "log2_bytes": "log2 bytes",
                    "octaves_past": "octaves past the edge",
                    "within_1_past": "share within an octave",
                },
            ),
            guides=[Guide("x", 0.0, "the edge")],
            strips=strips,
        )


def _slopes(rows: Sequence[_Row]) -> Iterator[Chart]:
    """What one more of each costs: quartiles (paper, figure 3)."""
    for slope, some in _by(rows, "slope").items():
        strips = []
        for row in some:
            low, middle, high = (_number(row.get(name)) for name in ("q25", "q50", "q75"))
            if low is not None and middle is not None and high is not None:
                told = f"{row.get('hardware')}: {middle:.4g} {slope} ({low:.4g} to {high:.4g}, the middle half)"
                strips.append(Strip(f"{row.get('hardware')}", [Stretch(low, high, f"{middle:.3g}", told, 1)]))
        if strips:
            yield Chart(
                f"Marginal cost: {slope}",
                "The middle half of the steps between neighbouring medians, with their median (paper, figure 3).",
                Axis(slope, log=False, within=(0.0,)),
                None,
                _table(
                    some,
                    {
                        "hardware": "hardware",
                        "q25": "lower quartile",
                        "q50": "median",
                        "q75": "upper quartile",
                        "pairs": "pairs",
                    },
                ),
                strips=strips,
            )


def _errors(rows: Sequence[_Row]) -> Iterator[Chart]:
    """How well each coefficient is known (paper, table 4 and figure 5)."""
    for hardware, some in _by(rows, "hardware").items():
        strips = []
        for row in some:
            error = _number(row.get("error"))
            if error is not None and error > 0:
                value = f"{row.get('term')}: {_cell(row.get('value'))} {row.get('unit')}"
                told = f"{value}, standard error {error:.1%}, {row.get('status')}"
                strips.append(Strip(f"{row.get('term')}", [Stretch(0.0, min(error, 2.0), f"{error:.1%}", told, 1)]))
        if strips:
            yield Chart(
                f"How well the coefficients are known on {hardware}",
                "The relative standard error of each coefficient of the fit; beyond a third it is not identified.",
                Axis("relative standard error", "share", log=False, within=(0.0, 0.4)),
                None,
                _table(
                    some,
                    {
                        "term": "coefficient",
                        "value": "value",
                        "unit": "unit",
                        "error": "relative error",
                        "status": "status",
                    },
                ),
                guides=[Guide("x", 1 / 3, "not identified beyond")],
                strips=strips,
            )
