"""Sizes of a family: cost over parameters with the levels where sets live below, and the time of a step by size."""

from __future__ import annotations

from collections.abc import Iterator

from sizer.base.units import format_count, format_quantity, format_times
from sizer.families.record import FamilyPoint, FamilyRecommendation, FamilySize, size_text, values_text
from sizer.report.charts.figure import Axis, Band, Chart, Mark, Point, Series, spread
from sizer.report.charts.sizes import PARAMETERS, ROWS, level_strips
from sizer.report.family import curve_points
from sizer.report.layout import Column, Table


def family_charts(record: FamilyRecommendation) -> Iterator[Chart]:
    """What sizes are ordered by over their parameters, and what a step of each takes."""
    known = [point for point in record.curve if point.relative_cost is not None]
    if len(known) >= 2:
        yield _costs(record, known)
    if len(record.curve) >= 2:
        yield _times(record)


def _costs(record: FamilyRecommendation, known: list[FamilyPoint]) -> Chart:
    by_loss = record.request.rank_by == "loss"
    what = "Cost of reaching a loss" if by_loss else "Time of a datum"
    axis = "cost to a loss" if by_loss else "time of a datum"
    order = " times the epochs of the paper's equation 10, which was not tested for this family" if by_loss else ""
    told = [Point(p.num_free_parameters, p.relative_cost or 0.0, _told(p)) for p in known]
    levels = [level.name for level in record.device.sizing_levels()]
    points = [point for point in curve_points(record) if point.relative_cost_to_loss is not None]
    return Chart(
        f"{what} by size",
        f"The time of a datum{order}, as a multiple of the cheapest size's, of {record.module} by "
        f"{' and '.join(record.request.vary)}. Sizes that fill a cache once to twice are numbered, the cheapest of all "
        "is starred. Below it the memory level on which each working set lives.",
        PARAMETERS,
        Axis(f"{axis}, 1x = the cheapest size", "times"),
        _table(record),
        [Series(record.module, told)],
        marks=list(_marks(record)),
        strips=level_strips(points, levels),
        label="calibrated",
    )


def _times(record: FamilyRecommendation) -> Chart:
    """Predicted times with their interval, and those that were measured."""
    predicted = [Point(p.num_free_parameters, p.time_per_step_s, _told(p)) for p in record.curve]
    measured = [
        Point(p.num_free_parameters, p.time_per_step_s, _told(p)) for p in record.curve if p.label == "measured"
    ]
    edges = [(float(p.num_free_parameters), *p.interval) for p in record.curve]
    return Chart(
        "Time of a step by size",
        f"What a training step of each size takes: {len(record.timed)} sizes were timed, the others are predicted by a "
        "fit to them, with its 90 % interval.",
        PARAMETERS,
        Axis("time of a step", "s"),
        _table(record),
        [Series("every size", predicted), Series("timed", measured, "dots", colour=2)],
        [Band("90 % interval", edges)],
        label="calibrated",
    )


def _told(point: FamilyPoint) -> str:
    low, high = (format_quantity(end, "s") for end in point.interval)
    within = "measured" if point.label == "measured" else f"{low} to {high}, {point.label}"
    cost = "" if point.relative_cost is None else f", {format_times(point.relative_cost)} the cheapest"
    return f"{size_text(point)}: {format_quantity(point.time_per_step_s, 's')} a step ({within}){cost}"


def _marks(record: FamilyRecommendation) -> Iterator[Mark]:
    """The optimum first, since names are placed in this order."""
    yield from _mark(record.optimum, "optimum", "the cheapest size of all", "star")
    for one in record.candidates:
        yield from _mark(one, f"{one.rank}", f"rank {one.rank}")


def _mark(size: FamilySize, text: str, what: str, look: str = "dot") -> Iterator[Mark]:
    if size.relative_cost is not None:
        told = f"{what}: {size_text(size)}, {format_times(size.relative_cost)} the cheapest"
        yield Mark(size.num_free_parameters, size.relative_cost, text, told, look)


def _table(record: FamilyRecommendation) -> Table:
    shown = [record.curve[index] for index in spread(len(record.curve), ROWS)]
    intervals = [[format_quantity(end, "s") for end in point.interval] for point in shown]
    return Table(
        [
            Column("size", [values_text(point.values) for point in shown]),
            Column("parameters", [format_count(point.num_free_parameters) for point in shown], right=True),
            Column("time a step", [format_quantity(point.time_per_step_s, "s") for point in shown], right=True),
            Column("90 % interval", [" to ".join(ends) for ends in intervals], right=True),
            Column("is", [point.label for point in shown]),
            Column("cost", [format_times(point.relative_cost) for point in shown], right=True),
        ]
    )
