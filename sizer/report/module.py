"""An inspected module as text for a terminal."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from rich.table import Table
from rich.text import Text

from sizer.modules.record import LayerRecord, ModuleInspection
from sizer.report.hook import advice_text, step_text
from sizer.report.layout import cost_line, levels_line
from sizer.units import format_bytes, format_count

if TYPE_CHECKING:
    from rich.console import Console, RenderableType

#: Layers shown one a row; of more, the largest by saved bytes, moved bytes and FLOPs.
_SHOWN = 40


def renderables(record: ModuleInspection, console: Console) -> Iterator[RenderableType]:  # noqa: ARG001
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
