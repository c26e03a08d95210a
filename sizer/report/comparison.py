"""Machines beside one another as reports: two of them over the sizes, and a fleet's kinds of node."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from sizer.base.units import (
    counted,
    format_bytes,
    format_cost,
    format_count,
    format_network,
    format_quantity,
    format_ratio,
    format_times,
    format_widths,
)
from sizer.method.coefficients import QUANTITY_UNIT
from sizer.method.hardware import Level
from sizer.report.layout import BLANK, Block, Column, Line, More, Paragraph, Table, answer

if TYPE_CHECKING:  # (another command's record is not loaded with this one's)
    from sizer.fleet.comparison import Comparison
    from sizer.fleet.fleet import Fleet

#: Crossings that a terminal shows; a cost that jumps where a set spills may cross back and forth.
_SHOWN = 6


#: Costs this near to each other are alike: what predictions of one machine are off by (docs/benchmarks.md).
_ALIKE = 1.1
#: Names up to so many letters in all stand above their columns; longer ones have a letter there.
_SHORT = 32


def comparison_report(record: Comparison) -> Iterator[Block]:
    """From which size on the other machine pays, and what a step costs on either; behind it levels and coefficients."""
    first, *others = _crossings(record)
    asked = record.asked
    yield from answer(first, *others, *_sureness(record))
    yield BLANK
    yield Paragraph(
        f"{record.quantity} of a step: rectangle, depth {asked.depth}, {counted(asked.input_dim, 'input')}, "
        f"{counted(asked.output_dim, 'output')}, batch {asked.batch_size}"
    )
    yield from _legend(record)
    yield _cost_table(record)
    yield More(list(_behind(record)), "the levels and coefficients of both, and where costs are from")


def _sureness(record: Comparison) -> Iterator[str]:
    """What the costs are, of each machine."""
    for machine in record.machines:
        found = machine.coefficients
        interval = "" if found.interval is None else f", {_range(found.interval)} times that"
        yield f"{machine.device.id}: {found.quantity} {found.label}{interval}."


def _heads(record: Comparison) -> tuple[str, str]:
    """What stands above the columns of the two machines."""
    return record.names if len("".join(record.names)) <= _SHORT else ("A", "B")


def _legend(record: Comparison) -> Iterator[Block]:
    for head, name in zip(_heads(record), record.names, strict=True):
        if head != name:
            yield Line(f"{head}  {name}")


def _behind(record: Comparison) -> Iterator[Block]:
    yield BLANK
    for machine in record.machines:
        found = machine.coefficients
        yield Paragraph(f"{found.quantity} {found.label}, {found.basis}", f"{machine.device.id}: ")
    yield BLANK
    yield from _legend(record)
    yield _level_table(record)
    yield BLANK
    yield _coefficient_table(record)


def _level_table(record: Comparison) -> Table:
    """One instance of each level, the effective capacity where it is known, and how many there are."""
    levels = [{level.name: level for level in machine.device.known_levels()} for machine in record.machines]
    names = sorted({name for one in levels for name in one}, key=lambda name: (name == "RAM", name))
    columns = [Column("level", [*names, "units"])]
    for title, machine, one in zip(_heads(record), record.machines, levels, strict=True):
        cells = [*(_level(one.get(name)) for name in names), f"{machine.device.units or 'unknown'}"]
        columns.append(Column(title, cells, folds=True))
    return Table(columns)


def _level(level: Level | None) -> str:
    if level is None:
        return "none"
    count = f" x{level.instances}" if (level.instances or 1) > 1 else ""
    effective = "" if level.effective_bytes is None else f"{format_bytes(level.effective_bytes)} effective of "
    return f"{effective}{format_bytes(level.capacity_bytes)}{count}"


def _coefficient_table(record: Comparison) -> Table:
    rows = list(record.coefficient_rows())
    columns = [Column("coefficient", [term for term, *_ in rows])]
    for index, name in enumerate(_heads(record)):
        cells = [_rate(values[index], unit) for _, unit, *values in rows]
        columns.append(Column(name, cells, right=True, folds=True))
    return Table(columns)


def _rate(value: float | None, unit: str) -> str:
    quantity, _, counted = unit.partition("/")
    return "-" if value is None else f"{format_quantity(value, quantity)}/{counted}"


def _cost_table(record: Comparison) -> Table:
    points, unit = record.points, QUANTITY_UNIT[record.quantity]
    first, second = _heads(record)
    columns = [
        ("parameters", [format_count(point.num_free_parameters) for point in points], 0),
        (first, [format_quantity(point.costs[0], unit) for point in points], 0),
        (second, [format_quantity(point.costs[1], unit) for point in points], 0),
        ("ratio", [format_ratio(point.ratio) for point in points], 0),
        ("its range", [_range(point.ratio_interval) for point in points], 1),
    ]
    return Table([Column(title, cells, right=True, leave_out=last) for title, cells, last in columns])


def _range(ratios: tuple[float, float] | None) -> str:
    if ratios is None:
        return "unknown"
    low, high = ratios
    return f"{format_ratio(low, 2)} to {format_ratio(high, 2)}"


def _crossings(record: Comparison) -> Iterator[str]:
    """From which size on which machine is the cheaper one, the first crossing as a verdict."""
    if not record.crossings:
        cheaper = record.names[0] if record.points[0].ratio <= 1 else record.names[1]
        other = next(name for name in record.names if name != cheaper)
        yield f"{cheaper} is the cheaper one at every size of this sweep: {other} does not pay"
    for crossing in record.crossings[:_SHOWN]:
        size = f"{counted(crossing.num_free_parameters, 'parameter')} (width {crossing.first_width})"
        yield f"From {size} on {crossing.cheaper_from_here} pays; below that {crossing.cheaper_below} is cheaper"
    if (rest := len(record.crossings) - _SHOWN) > 0:
        yield f"They cross {rest} more times; --json lists all."


def fleet_report(record: Fleet) -> Iterator[Block]:
    """The cheapest kind of node with its size, which others do not pay, then every kind, cheapest first."""
    yield from answer(_verdict(record), *_others(record), *_equal(record))
    yield BLANK
    yield from _node_table(record)
    for node in record.nodes:
        if node.refused is not None:
            yield Paragraph(f"{node.name}: {node.refused}", " -  ")


def _verdict(record: Fleet) -> str:
    cheapest = record.cheapest
    best = cheapest.candidate
    assert best is not None  # (the first node has a size)
    shape = "" if best.shape == "rectangle" else f"{best.shape} "
    size = f"{shape}{format_network(best.widths, best.num_free_parameters)}, batch {best.batch_size}"
    rate = "" if best.learning_rate is None else f", at a rate of {best.learning_rate:g}"
    return f"Cheapest: {cheapest.name}, training {size}{rate}{', weights averaged' * bool(best.averaged)}"


def _others(record: Fleet) -> Iterator[str]:
    """The next node, and by how much it is dearer."""
    sized = [node for node in record.nodes if node.candidate is not None]
    for node in sized[1:2]:
        yield f"Next is {node.name}, at {format_ratio(node.relative_cost_to_loss or 0.0)} times its cost to a loss."
    labels = {node.coefficients.label for node in sized if node.coefficients is not None}
    if labels == {"estimated"}:
        yield "All costs are estimated; `sizer calibrate` on a node measures it."


def _equal(record: Fleet) -> Iterator[str]:
    """At equal size: which node is cheaper there, and that the one with the larger best size does not pay."""
    equal = record.equal_size
    known = [node for node in record.nodes if node.equal_size_per_datum is not None]
    if equal is None or len(known) < 2:
        return
    ranked = sorted(known, key=lambda node: node.equal_size_per_datum or 0.0)
    first, last = ranked[0], ranked[-1]
    ratio = (last.equal_size_per_datum or 0.0) / (first.equal_size_per_datum or 1.0)
    name = "the GPU" if last.device.kind != "cpu" and first.device.kind == "cpu" else last.name
    pays = f"{name} does not pay at this size" if ratio > _ALIKE else "they cost about the same"
    times = format_ratio(ratio)
    named = f"At equal size ({format_widths(equal.widths)}) a datum costs {times} times as much on {last.name}"
    yield f"{named} as on {first.name}: {pays}."


def _node_table(record: Fleet) -> Iterator[Block]:
    nodes = [(node, node.candidate) for node in record.nodes]
    sized = [(node, size) for node, size in nodes if size is not None]
    costs = [format_cost(size.energy_per_datum_j, size.time_per_datum_s) for _, size in sized]
    labels = [node.coefficients.label for node, _ in sized if node.coefficients is not None]
    unit = QUANTITY_UNIT[record.quantity]
    columns = [
        Column("node", [node.name for node, _ in sized]),
        Column("its best", [format_widths(size.widths) for _, size in sized], folds=True),
        Column("parameters", [format_count(size.num_free_parameters) for _, size in sized], right=True, leave_out=2),
        Column(f"{record.quantity} a datum", costs, right=True, leave_out=3),
        Column("cost to a loss", [format_times(node.relative_cost_to_loss) for node, _ in sized], right=True),
    ]
    if record.equal_size is not None:
        at = [format_quantity(node.equal_size_per_datum, unit) for node, _ in sized]
        columns.append(Column(f"at {format_widths(record.equal_size.widths)}", at, right=True, leave_out=1))
    yield Table([*columns, Column("", labels, leave_out=4)])
