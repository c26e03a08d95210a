"""Cost over size: of a recommendation with the levels where sets live below, of two machines, of a fleet's nodes."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING

from sizer.base.units import format_cost, format_count, format_network, format_quantity, format_times, format_widths
from sizer.method.coefficients import QUANTITY_UNIT
from sizer.method.recommendation import Candidate, CurvePoint, Recommendation
from sizer.report.charts.figure import Axis, Band, Chart, Guide, Mark, Point, Series, Stretch, Strip, spread
from sizer.report.layout import Column, Table
from sizer.report.recommendation import family
from sizer.report.text_chart import level_starts, lower_envelope

if TYPE_CHECKING:  # (another command's record is not loaded with this one's)
    from sizer.fleet.comparison import Comparison
    from sizer.fleet.fleet import Fleet

#: What working sets are called where people read.
SET_WORDS = {"f": "weights", "b": "backward", "o": "optimizer", "t_max": "activations", "d": "data"}
PARAMETERS = Axis("number of trainable parameters", "count")
#: Rows of a table below a chart; all values are in the record.
ROWS = 30
#: Families of networks drawn beside one another.
_FAMILIES = 6
#: Crossings that are drawn; a cost that jumps where a set spills may cross back and forth.
_CROSSINGS = 6


def recommendation_charts(record: Recommendation, asked: Sequence[int] = ()) -> Iterator[Chart]:
    """Cost of reaching a loss over size, candidates and optimum on it, the levels where the sets live below.

    ``asked`` are first widths that the user asked about.
    """
    families: dict[tuple[str, int, int], list[CurvePoint]] = {family(record.optimum): []}
    for point in record.curve:
        if point.relative_cost_to_loss is not None:
            families.setdefault(family(point), []).append(point)
    drawn = dict(list(families.items())[:_FAMILIES])
    points = drawn[family(record.optimum)]
    if len(points) < 2:
        return
    factors = record.coefficients.interval
    bands = [] if factors is None else [Band("90 % interval of the step's cost", _edges(points, factors))]
    levels = [level.name for level in record.device.sizing_levels()]
    yield Chart(
        "Cost of reaching a loss by size",
        "The predicted cost of training a network of each size to a loss, as a multiple of the cheapest size's, with "
        "the sizes that fill a cache once to twice numbered and the cheapest of all starred. Below it the memory "
        "level on which each working set lives at each size.",
        PARAMETERS,
        Axis("cost to a loss, 1x = the cheapest size", "times"),
        _curve_table(points, factors),
        [
            part
            for number, key in enumerate(drawn, start=1)
            for part in _family_series(number, key, drawn[key], factors)
        ],
        bands,
        [*_own_marks(points, asked), *_marks(record, drawn), *_asked(record)],
        (),
        level_strips(points, levels),
        record.coefficients.label,
    )


def _family_series(
    number: int, key: tuple[str, int, int], points: Sequence[CurvePoint], factors: tuple[float, float] | None
) -> Iterator[Series]:
    """The lower envelope of a family's curve, over its faint saw-tooth where it has one."""
    shape, depth, batch_size = key
    named, below = f"{shape}, depth {depth}, batch {batch_size}", lower_envelope(points)
    if len(below) < len(points):
        yield Series(f"{named}: dearer than the widths near them", _points(points, factors), colour=number, faint=True)
    yield Series(named, _points(below, factors), colour=number)


def _points(points: Sequence[CurvePoint], factors: tuple[float, float] | None) -> list[Point]:
    return [Point(p.num_free_parameters, p.relative_cost_to_loss or 0.0, _told(p, factors)) for p in points]


def _told(point: CurvePoint, factors: tuple[float, float] | None) -> str:
    cost = point.relative_cost_to_loss or 0.0
    within = "" if factors is None else f" ({format_times(cost * factors[0])} to {format_times(cost * factors[1])})"
    datum = format_cost(point.energy_per_datum_j, point.time_per_datum_s)
    per_datum = "" if datum == "unknown" else f", {datum} a datum"
    return (
        f"{format_network(point.widths, point.num_free_parameters)}: {format_times(cost)}{within} to a loss{per_datum}"
    )


def _edges(points: Sequence[CurvePoint], factors: tuple[float, float]) -> list[tuple[float, float, float]]:
    costs = [(point.num_free_parameters, point.relative_cost_to_loss or 0.0) for point in points]
    return [(float(size), cost * factors[0], cost * factors[1]) for size, cost in costs]


def _marks(record: Recommendation, drawn: Mapping[tuple[str, int, int], object]) -> Iterator[Mark]:
    """The optimum first, since names are placed in this order."""
    yield from _mark(record.optimum, "optimum", "the cheapest size of all", "star")
    for candidate in record.candidates:
        if family(candidate) in drawn:
            yield from _mark(candidate, f"{candidate.rank}", f"rank {candidate.rank}")


def _own_marks(points: Sequence[CurvePoint], asked: Sequence[int]) -> Iterator[Mark]:
    """The sizes whose first width the user asked about, of the optimum's family; the nearest of the sweep's."""
    for width in asked:
        near = min(points, key=lambda point: abs(point.widths[0] - width))
        cost = format_times(near.relative_cost_to_loss)
        named = format_network(near.widths, near.num_free_parameters)
        exact = "" if near.widths[0] == width else f"near your width {width}, "
        told = f"yours: {exact}{named}, {cost} to a loss"
        yield Mark(near.num_free_parameters, near.relative_cost_to_loss or 0.0, f"yours: {width}", told, "diamond")


def _asked(record: Recommendation) -> Iterator[Mark]:
    """The largest size within limits, and the one size for a target, where they were asked for."""
    if record.largest is not None:
        yield from _mark(record.largest, "largest", "the largest within the limits")
    if record.one_shot is not None:
        yield from _mark(record.one_shot.candidate, "one shot", "in one shot, for the target")


def _mark(size: Candidate, text: str, what: str, look: str = "dot") -> Iterator[Mark]:
    cost = size.relative_cost_to_loss
    if cost is not None:
        named = format_network(size.widths, size.num_free_parameters)
        told = f"{what}: {named}, {format_times(cost)} to a loss"
        yield Mark(size.num_free_parameters, cost, text, told, look)


def level_strips(points: Sequence[CurvePoint], levels: Sequence[str]) -> list[Strip]:
    """A row a working set: the level on which it lives along the sizes."""
    return [_level_strip(points, name, levels) for name in points[0].levels]


def _level_strip(points: Sequence[CurvePoint], name: str, levels: Sequence[str]) -> Strip:
    word = SET_WORDS.get(name, name)
    starts = [(level, first.num_free_parameters) for level, first in level_starts(points, name)]
    ends = [*(low for _, low in starts[1:]), points[-1].num_free_parameters]
    stretches = []
    for (level, low), high in zip(starts, ends, strict=True):
        shade = levels.index(level) if level in levels else None
        told = f"{word} ({name}) in {level} from {format_count(low)} to {format_count(high)} parameters"
        stretches.append(Stretch(low, high, level, told, shade))
    return Strip(word, stretches)


def _curve_table(points: Sequence[CurvePoint], factors: tuple[float, float] | None) -> Table:
    shown = [points[index] for index in spread(len(points), ROWS)]
    costs = [point.relative_cost_to_loss or 0.0 for point in shown]
    datum = [format_cost(point.energy_per_datum_j, point.time_per_datum_s) for point in shown]
    columns = [
        Column("parameters", [format_count(point.num_free_parameters) for point in shown], right=True),
        Column("widths", [format_widths(point.widths) for point in shown]),
        Column("cost to a loss", [format_times(cost) for cost in costs], right=True),
    ]
    if factors is not None:
        within = [f"{format_times(cost * factors[0])} to {format_times(cost * factors[1])}" for cost in costs]
        columns.append(Column("90 % interval", within, right=True))
    columns.append(Column("a datum", datum, right=True))
    homes = {name: [point.levels[name] or "none" for point in shown] for name in points[0].levels}
    return Table([*columns, *(Column(f"{SET_WORDS.get(name, name)} in", cells) for name, cells in homes.items())])


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
            f"{format_count(point.num_free_parameters)} parameters on {name}: "
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
    within = [p.ratio_interval and f"{p.ratio_interval[0]:.3g} to {p.ratio_interval[1]:.3g}" for p in points]
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
        PARAMETERS,
        Axis("cost to a loss, 1x = the cheapest node", "times"),
        Table([*columns, Column("", labels)]),
        marks=marks,
        label=" and ".join(dict.fromkeys(labels)),
    )
