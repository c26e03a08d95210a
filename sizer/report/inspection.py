"""An inspected module as text for a terminal."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from rich.table import Table
from rich.text import Text

from sizer.base.units import format_bytes, format_count, format_quantity, format_widths
from sizer.inspection.module_record import LayerRecord, ModuleInspection
from sizer.inspection.networks import InspectedNetwork, Inspection
from sizer.method.explanation import SET_CONTENTS
from sizer.report.hook import advice_text, step_text
from sizer.report.layout import cost_line, cost_text, hanging, levels_line, plain_table

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


#: Layers shown one a row; of more, the largest by saved bytes, moved bytes and FLOPs.
_SHOWN = 40


def module_renderables(record: ModuleInspection, console: Console) -> Iterator[RenderableType]:  # noqa: ARG001
    """The module, its memory, where its sets live, its layers, the predicted step, advice."""
    yield Text(f"{record.device.name or record.device.id} ({record.device.id})", style="bold")
    yield Text(levels_line(record.device))
    yield Text(f"{record.module}: batch {record.batch_size}, {record.dtype}, {record.optimizer}", style="bold")
    yield _memory(record)
    yield _layers(record)
    flops = record.flops
    yield Text(f"FLOPs: {format_count(flops.forward)} forward, {format_count(flops.backward)} backward")
    if record.operations is not None:
        operations = record.operations
        yield Text(
            f"operations: {format_count(operations.forward)} forward, {format_count(operations.backward)} backward"
        )
    yield Text(f"step: {step_text(record)}")
    if record.outside is None:
        yield Text(cost_line(record.device, record.coefficients))
    if record.refused is not None:
        yield Text(f" !  does not fit: {record.refused}")
    for advice in record.advice:
        yield Text(f" *  {advice_text(advice)}")
    if not record.advice:
        yield Text(" *  nothing near is worth changing")


def _memory(record: ModuleInspection) -> Table:
    table = Table(box=None, padding=(0, 2, 0, 0), header_style="bold")
    for title, justify in (
        ("kept", "left"),
        ("bytes", "right"),
        ("working set", "left"),
        ("size", "right"),
        ("lives in", "left"),
    ):
        table.add_column(title, justify=justify)  # type: ignore[arg-type]
    kept = [
        (f"parameters ({format_count(record.num_parameters)})", record.parameter_bytes),
        (f"gradients ({format_count(record.num_trainable_parameters)} trained)", record.gradient_bytes),
        (f"{record.optimizer} state", record.optimizer_state_bytes),
        ("saved for backward", record.saved_activation_bytes),
        ("largest inter-layer set", record.largest_transfer_bytes),
    ]
    sets = [(name, placed) for name, placed in record.working_sets.items() if placed is not None]
    for index in range(max(len(kept), len(sets))):
        left = (kept[index][0], format_bytes(kept[index][1])) if index < len(kept) else ("", "")
        if index < len(sets):
            name, placed = sets[index]
            table.add_row(*left, name, format_bytes(placed.bytes), placed.level or "no level")
        else:
            table.add_row(*left)
    return table


def _layers(record: ModuleInspection) -> Table:
    table = Table(box=None, padding=(0, 2, 0, 0), header_style="bold")
    table.add_column("layer", overflow="fold")
    table.add_column("kind")
    for title in ("parameters", "saved", "in + out", "FLOPs fwd", "FLOPs bwd"):
        table.add_column(title, justify="right")
    shown = _largest(record.layers)
    for layer in shown:
        table.add_row(
            layer.name or "(itself)",
            layer.kind,
            format_count(layer.parameters),
            format_bytes(layer.saved_bytes),
            format_bytes(layer.transfer_bytes),
            format_count(layer.flops.forward),
            format_count(layer.flops.backward),
        )
    if len(shown) < len(record.layers):
        table.add_row(f"... {len(record.layers) - len(shown)} smaller layers (all of them with --json)")
    return table


def _largest(layers: tuple[LayerRecord, ...]) -> list[LayerRecord]:
    """The layers to show, in order."""
    ranked = sorted(
        layers, key=lambda layer: (layer.saved_bytes + layer.transfer_bytes, layer.flops.forward), reverse=True
    )
    kept = {id(layer) for layer in ranked[:_SHOWN]}
    return [layer for layer in layers if id(layer) in kept]
