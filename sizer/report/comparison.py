"""A comparison of two machines as text for a terminal (rich renderables)."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from rich.table import Table
from rich.text import Text

from sizer.base.units import format_bytes, format_count, format_quantity, format_widths
from sizer.fleet.comparison import Comparison, Point
from sizer.fleet.fleet import Fleet, NodeChoice
from sizer.method.coefficients import QUANTITY_UNIT
from sizer.method.hardware import Level
from sizer.report.layout import cost_text, hanging, plain_table

if TYPE_CHECKING:
    from rich.console import Console, RenderableType


#: Crossings that a terminal shows; a cost that jumps where a set spills may cross back and forth.
_SHOWN = 6


def renderables(record: Comparison, console: Console) -> Iterator[RenderableType]:
    """Levels and coefficients side by side, then the costs over the sizes and where the cheaper machine changes."""
    names = record.names
    yield Text(f"{names[0]} and {names[1]}", style="bold")
    for machine in record.machines:
        found = machine.coefficients
        text = f"{found.quantity} {found.label}, {found.basis}"
        if found.interval is not None:
            text += f"; 90 % interval {found.interval[0]:.2g} to {found.interval[1]:.2g} times the value"
        yield hanging(f"{machine.device.id}: ", text, console.width)
    yield Text()
    yield _level_table(record)
    yield Text()
    yield _coefficient_table(record)
    yield Text()
    asked = record.asked
    yield Text(
        f"{record.quantity} of a step: rectangle, depth {asked.depth}, {asked.input_dim} inputs, {asked.output_dim} "
        f"outputs, batch {asked.batch_size}"
    )
    yield _cost_table(record)
    yield Text()
    yield from _crossing_lines(record, console.width)


def _level_table(record: Comparison) -> Table:
    """One instance of each level, the effective capacity where it is known, and how many there are."""
    table = plain_table()
    table.add_column("level")
    for name in record.names:
        table.add_column(name, overflow="fold")
    levels = [{level.name: level for level in machine.device.sizing_levels()} for machine in record.machines]
    names = sorted({name for one in levels for name in one}, key=lambda name: (name == "RAM", name))
    for name in names:
        table.add_row(name, *(_level(one.get(name)) for one in levels))
    table.add_row("units", *(str(machine.device.units or "unknown") for machine in record.machines))
    return table


def _level(level: Level | None) -> str:
    if level is None:
        return "none"
    count = f" x{level.instances}" if (level.instances or 1) > 1 else ""
    if level.effective_bytes is None:
        return f"{format_bytes(level.capacity_bytes)}{count}"
    return f"{format_bytes(level.effective_bytes)} effective of {format_bytes(level.capacity_bytes)}{count}"


def _coefficient_table(record: Comparison) -> Table:
    table = plain_table()
    table.add_column("coefficient")
    for name in record.names:
        table.add_column(name, justify="right", overflow="fold")
    for term, unit, *values in record.coefficient_rows():
        quantity, _, counted = unit.partition("/")
        cells = ("-" if value is None else f"{format_quantity(value, quantity)}/{counted}" for value in values)
        table.add_row(term, *cells)
    return table


def _cost_table(record: Comparison) -> Table:
    table = plain_table()
    for title in ("parameters", *record.names, "ratio", "its range"):
        table.add_column(title, justify="right", overflow="fold")
    unit = QUANTITY_UNIT[record.quantity]
    for point in record.points:
        costs = (format_quantity(cost, unit) for cost in point.costs)
        table.add_row(format_count(point.num_free_parameters), *costs, f"{point.ratio:.3g}", _range(point))
    return table


def _range(point: Point) -> str:
    if point.ratio_interval is None:
        return "unknown"
    low, high = point.ratio_interval
    return f"{low:.2g} to {high:.2g}"


def _crossing_lines(record: Comparison, width: int) -> Iterator[Text]:
    if not record.crossings:
        cheaper = record.names[0] if record.points[0].ratio <= 1 else record.names[1]
        yield hanging("", f"{cheaper} is the cheaper one at every size of this sweep.", width)
    for crossing in record.crossings[:_SHOWN]:
        parameters = format_count(crossing.num_free_parameters)
        yield hanging(
            "",
            f"From {parameters} parameters (width {crossing.first_width}) {crossing.cheaper_from_here} is the cheaper "
            f"one, below that {crossing.cheaper_below}.",
            width,
        )
    rest = len(record.crossings) - _SHOWN
    if rest > 0:
        yield hanging("", f"They cross {rest} more times; --json lists all.", width)


def fleet_renderables(record: Fleet, console: Console) -> Iterator[RenderableType]:
    """The cheapest kind of node with its size, then every kind, cheapest first."""
    yield hanging("", _verdict(record), console.width)
    yield Text()
    table = plain_table()
    for title in ("node", "widths"):
        table.add_column(title, overflow="fold")
    for title in ("parameters", f"{record.quantity}/datum", "cost to loss"):
        table.add_column(title, justify="right")
    table.add_column("", overflow="fold")
    for node in record.nodes:
        if node.candidate is not None:
            table.add_row(*map(Text, _cells(node)))
    yield table
    for node in record.nodes:
        if node.refused is not None:
            yield hanging(" -  ", f"{node.name}: {node.refused}", console.width)


def _verdict(record: Fleet) -> str:
    best = record.cheapest.candidate
    assert best is not None  # (the first node has a size)
    where = f"Cheapest: {record.cheapest.name}, {_network(record)}"
    others = [node for node in record.nodes[1:] if node.relative_cost_to_loss is not None]
    if not others:
        return f"{where}."
    return f"{where}; next is {others[0].name} at {others[0].relative_cost_to_loss:.3g} times its cost to a loss."


def _network(record: Fleet) -> str:
    best = record.cheapest.candidate
    assert best is not None
    return (
        f"{best.shape} {format_widths(best.widths)}, batch {best.batch_size} "
        f"({format_count(best.num_free_parameters)} parameters)"
    )


def _cells(node: NodeChoice) -> Iterator[str]:
    candidate = node.candidate
    assert candidate is not None
    assert node.coefficients is not None
    yield node.name
    yield format_widths(candidate.widths)
    yield format_count(candidate.num_free_parameters)
    yield cost_text(candidate.energy_per_datum_j, candidate.time_per_datum_s)
    yield f"{node.relative_cost_to_loss:.3g}x"
    yield node.coefficients.label
