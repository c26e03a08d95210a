"""Machines beside one another: the cost of a step over size on two of them, and a fleet's kinds of node."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

from sizer.base.units import counted, format_count, format_network, format_quantity, format_ratio, format_times
from sizer.method.coefficients import QUANTITY_UNIT
from sizer.report.charts.figure import Axis, Band, Chart, Guide, Mark, Point, Series
from sizer.report.charts.sizes import PARAMETERS
from sizer.report.layout import Column, Table

if TYPE_CHECKING:  # (another command's record is not loaded with this one's)
    from sizer.fleet.comparison import Comparison
    from sizer.fleet.fleet import Fleet

#: Crossings that are drawn; a cost that jumps where a set spills may cross back and forth.
_CROSSINGS = 6


def comparison_charts(record: Comparison) -> Iterator[Chart]:
    """The cost of a step over the sizes on both machines, where the cheaper one changes, and their ratio."""
    unit = QUANTITY_UNIT[record.quantity]
    yield Chart(
        f"{record.quantity.capitalize()} of a step by size",
        f"What a training step of networks of growing size costs on {record.names[0]} and on {record.names[1]}; "
        "vertical lines stand where the cheaper machine changes.",
        PARAMETERS,
        Axis(f"{record.quantity} of a step", unit),
        _cost_table(record, unit),
        [_machine_series(record, index, unit) for index in (0, 1)],
        [*_machine_bands(record)],
        (),
        _crossing_guides(record),
        label=" and ".join(dict.fromkeys(machine.coefficients.label for machine in record.machines)),
    )


def _machine_series(record: Comparison, index: int, unit: str) -> Series:
    name = record.names[index]
    points = [
        Point(
            point.num_free_parameters,
            point.costs[index],
            f"{counted(point.num_free_parameters, 'parameter')} on {name}: "
            f"{format_quantity(point.costs[index], unit)} a step",
        )
        for point in record.points
    ]
    return Series(name, points, colour=index + 1)


def _machine_bands(record: Comparison) -> Iterator[Band]:
    for index, machine in enumerate(record.machines):
        factors = machine.coefficients.interval
        if factors is not None:
            costs = [(float(point.num_free_parameters), point.costs[index]) for point in record.points]
            edges = [(size, cost * factors[0], cost * factors[1]) for size, cost in costs]
            yield Band(f"90 % interval on {record.names[index]}", edges, index + 1)


def _crossing_guides(record: Comparison) -> list[Guide]:
    return [
        Guide("x", crossing.num_free_parameters, f"{crossing.cheaper_from_here} from here")
        for crossing in record.crossings[:_CROSSINGS]
    ]


def _cost_table(record: Comparison, unit: str) -> Table:
    points = record.points
    within = [p.ratio_interval and " to ".join(map(format_ratio, p.ratio_interval)) for p in points]
    columns = [
        ("parameters", [format_count(point.num_free_parameters) for point in points]),
        *((name, [format_quantity(p.costs[i], unit) for p in points]) for i, name in enumerate(record.names)),
        ("ratio", [f"{point.ratio:.4g}" for point in points]),
        ("its range", [text or "unknown" for text in within]),
    ]
    return Table([Column(title, cells, right=True) for title, cells in columns])


def fleet_charts(record: Fleet) -> Iterator[Chart]:
    """Each kind of node at its size and its cost to a loss, 1 for the cheapest."""
    marks: list[Mark] = []
    rows: list[tuple[str, str, str, str]] = []
    for node in record.nodes:
        size, cost = node.candidate, node.relative_cost_to_loss
        if size is None or cost is None:
            continue
        label = "unknown" if node.coefficients is None else node.coefficients.label
        named = format_network(size.widths, size.num_free_parameters)
        told = f"{node.name}: {named}, {format_times(cost)} the cheapest node's {record.quantity} to a loss, {label}"
        marks.append(Mark(size.num_free_parameters, cost, node.name, told, "dot" if marks else "star"))
        rows.append((node.name, format_count(size.num_free_parameters), format_times(cost), label))
    if not marks:
        return
    names, counts, costs, labels = zip(*rows, strict=True)
    columns = (
        Column("node", names),
        Column("parameters", counts, right=True),
        Column("cost to a loss", costs, right=True),
    )
    yield Chart(
        "Cost of reaching a loss by kind of node",
        "Each kind of node at the size that suits it, and what reaching a loss costs there as a multiple of the "
        "cheapest.",
        PARAMETERS._replace(within=_around([mark.x for mark in marks])),
        Axis("cost to a loss, 1x = the cheapest node", "times", within=(1.0, 2.0)),
        Table([*columns, Column("", labels)]),
        marks=marks,
        label=" and ".join(dict.fromkeys(labels)),
    )


def _around(sizes: Sequence[float]) -> tuple[float, float]:
    """An octave beyond the sizes on both sides: nodes that agree would else leave an axis of a few parameters."""
    return min(sizes) / 2, max(sizes) * 2
