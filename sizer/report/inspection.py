"""An inspection of networks as text for a terminal (rich renderables)."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from rich.table import Table
from rich.text import Text

from sizer.inspection import InspectedNetwork, Inspection
from sizer.reasons import SET_CONTENTS
from sizer.report.layout import cost_line, cost_text, hanging, levels_line, plain_table
from sizer.units import format_bytes, format_count, format_quantity, format_widths

if TYPE_CHECKING:
    from rich.console import Console, RenderableType


def renderables(record: Inspection, console: Console) -> Iterator[RenderableType]:
    """Device, and a small table for each network; many networks share one table, a row each."""
    yield Text(f"{record.device.name or record.device.id} ({record.device.id})", style="bold")
    yield Text(levels_line(record.device))
    training = record.training
    yield Text(f"batch {training.batch_size}, {training.dtype}, {training.optimizer}")
    yield Text(cost_line(record.device, record.coefficients))
    if len(record.networks) > _WHOLE_TABLES:
        yield Text()
        yield _network_rows(record)
    else:
        for network in record.networks:
            yield Text()
            yield from _network(network, console)


#: From how many networks on a row each says enough.
_WHOLE_TABLES = 3


def _network(network: InspectedNetwork, console: Console) -> Iterator[RenderableType]:
    """One network in full: its sets by level, operations, cost with interval."""
    yield Text(f"{network.input_dim}-{format_widths(network.widths)}", style="bold")
    table = plain_table()
    table.add_column("working set")
    table.add_column("bytes", justify="right")
    table.add_column("size", justify="right")
    table.add_column("lives in")
    for name, placed in network.working_sets.items():
        if placed is not None:
            row = f"{name} ({SET_CONTENTS[name]})", format_count(placed.bytes), format_bytes(placed.bytes)
            table.add_row(*row, placed.level or "no level")
    yield table
    yield Text(f"{format_count(network.num_free_parameters)} trainable parameters")
    operations, flops = network.operations, network.flops
    yield Text(f"operations: {format_count(operations.forward)} forward, {format_count(operations.backward)} backward")
    yield Text(f"FLOPs: {format_count(flops.forward)} forward, {format_count(flops.backward)} backward")
    yield Text(f"step: {_step_cost(network)}")
    if network.refused is not None:
        yield hanging(" !  ", f"does not fit: {network.refused}", console.width)


def _step_cost(network: InspectedNetwork) -> str:
    cost = cost_text(network.energy_per_step_j, network.time_per_step_s)
    if network.interval is None:
        return cost
    unit = "s" if network.energy_per_step_j is None else "J"
    low, high = (format_quantity(value, unit) for value in network.interval)
    return f"{cost} ({low} to {high}, 90 % interval), {network.label}"


def _network_rows(record: Inspection) -> Table:
    table = plain_table()
    table.add_column("network", overflow="fold")
    table.add_column("parameters", justify="right")
    for name in ("f", "b", "o", "t_max"):
        table.add_column(name)
    table.add_column(f"{record.coefficients.quantity}/step", justify="right")
    for network in record.networks:
        levels = [placed.level or "none" for name in ("f", "b", "o", "t_max") if (placed := network.working_sets[name])]
        cost = cost_text(network.energy_per_step_j, network.time_per_step_s)
        widths = f"{network.input_dim}-{format_widths(network.widths)}"
        table.add_row(widths, format_count(network.num_free_parameters), *levels, cost)
    return table
