"""What was inspected as reports: networks that were named by their widths, and a module."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

from sizer.base.units import format_bytes, format_cost, format_count, format_quantity, format_widths
from sizer.method.explanation import SET_CONTENTS
from sizer.report.hook import advice_text, nothing_advised, step_text
from sizer.report.layout import BLANK, Block, Column, Line, Paragraph, Table, device_lines, label_text

if TYPE_CHECKING:  # (another command's record is not loaded with this one's)
    from sizer.inspection.module_record import LayerRecord, ModuleInspection
    from sizer.inspection.networks import InspectedNetwork, Inspection

#: From how many networks on a row each says enough.
_WHOLE_TABLES = 3
#: Layers shown one a row; of more, the largest by saved bytes, moved bytes and FLOPs.
_SHOWN = 40


def networks_report(record: Inspection) -> Iterator[Block]:
    """Device, and a small table for each network; many networks share one table, a row each."""
    yield from device_lines(record.device)
    training = record.training
    yield Line(f"batch {training.batch_size}, {training.dtype}, {training.optimizer}")
    yield Line(label_text(record.device, record.coefficients))
    if len(record.networks) > _WHOLE_TABLES:
        yield BLANK
        yield _network_table(record)
    else:
        for network in record.networks:
            yield BLANK
            yield from _network(network)


def _network(network: InspectedNetwork) -> Iterator[Block]:
    """One network in full: its sets by level, operations, cost with interval."""
    yield Line(_name(network), strong=True)
    sets = {name: placed for name, placed in network.working_sets.items() if placed is not None}
    columns = [
        Column("working set", [f"{name} ({SET_CONTENTS[name]})" for name in sets]),
        Column("bytes", [format_count(placed.bytes) for placed in sets.values()], right=True),
        Column("size", [format_bytes(placed.bytes) for placed in sets.values()], right=True),
        Column("lives in", _levels(network)),
    ]
    yield Table(columns)
    yield Line(f"{format_count(network.num_free_parameters)} trainable parameters")
    yield _counts("operations", network.operations.forward, network.operations.backward)
    yield _counts("FLOPs", network.flops.forward, network.flops.backward)
    yield Line(f"step: {_step_cost(network)}")
    if network.refused is not None:
        yield Paragraph(f"does not fit: {network.refused}", " !  ")


def _name(network: InspectedNetwork) -> str:
    return f"{network.input_dim}-{format_widths(network.widths)}"


def _counts(what: str, forward: int, backward: int) -> Line:
    return Line(f"{what}: {format_count(forward)} forward, {format_count(backward)} backward")


def _step_cost(network: InspectedNetwork) -> str:
    cost = format_cost(network.energy_per_step_j, network.time_per_step_s)
    if network.interval is None:
        return cost
    unit = "s" if network.energy_per_step_j is None else "J"
    low, high = (format_quantity(value, unit) for value in network.interval)
    return f"{cost} ({low} to {high}, 90 % interval), {network.label}"


def _network_table(record: Inspection) -> Table:
    networks = record.networks
    costs = [format_cost(network.energy_per_step_j, network.time_per_step_s) for network in networks]
    columns = [
        Column("network", [_name(network) for network in networks], folds=True),
        Column("parameters", [format_count(network.num_free_parameters) for network in networks], right=True),
        *(Column(name, [_level(network, name) for network in networks]) for name in ("f", "b", "o", "t_max")),
        Column(f"{record.coefficients.quantity}/step", costs, right=True),
    ]
    return Table(columns)


def _level(network: InspectedNetwork, name: str) -> str:
    placed = network.working_sets[name]
    return "" if placed is None else placed.level or "none"


def module_report(record: ModuleInspection) -> Iterator[Block]:
    """The module, its memory, where its sets live, its layers, the predicted step, advice."""
    yield from device_lines(record.device)
    yield Line(f"{record.module}: batch {record.batch_size}, {record.dtype}, {record.optimizer}", strong=True)
    yield _memory_table(record)
    yield _layer_table(record.layers)
    yield _counts("FLOPs", record.flops.forward, record.flops.backward)
    if record.operations is not None:
        yield _counts("operations", record.operations.forward, record.operations.backward)
    yield Line(f"step: {step_text(record)}")
    if record.outside is None:
        yield Line(label_text(record.device, record.coefficients))
    if record.refused is not None:
        yield Line(f" !  does not fit: {record.refused}")
    for advice in record.advice:
        yield Line(f" *  {advice_text(advice)}")
    if not record.advice:
        yield Line(f" *  {nothing_advised(record)}")


def _memory_table(record: ModuleInspection) -> Table:
    kept = {
        f"parameters ({format_count(record.num_parameters)})": record.parameter_bytes,
        f"gradients ({format_count(record.num_trainable_parameters)} trained)": record.gradient_bytes,
        f"{record.optimizer} state": record.optimizer_state_bytes,
        "saved for backward": record.saved_activation_bytes,
        "largest inter-layer set": record.largest_transfer_bytes,
    }
    sets = {name: placed for name, placed in record.working_sets.items() if placed is not None}
    columns = [
        Column("kept", list(kept)),
        Column("bytes", [format_bytes(size) for size in kept.values()], right=True),
        Column("working set", list(sets)),
        Column("size", [format_bytes(placed.bytes) for placed in sets.values()], right=True),
        Column("lives in", _levels(record)),
    ]
    return Table(columns)


def _levels(record: InspectedNetwork | ModuleInspection) -> list[str]:
    """Where each set lives and, if another one that is placed before it pushed it there, which."""
    return [
        (placed.level or "no level") + (f", pushed by {record.pushed_by[name]}" if name in record.pushed_by else "")
        for name, placed in record.working_sets.items()
        if placed is not None
    ]


def _layer_table(layers: Sequence[LayerRecord]) -> Table:
    shown = _largest(layers)
    names = [layer.name or "(itself)" for layer in shown]
    if len(shown) < len(layers):
        names.append(f"... {len(layers) - len(shown)} smaller layers (all of them with --json)")
    columns = [
        Column("layer", names, folds=True),
        Column("kind", [layer.kind for layer in shown]),
        Column("parameters", [format_count(layer.parameters) for layer in shown], right=True),
        Column("saved", [format_bytes(layer.saved_bytes) for layer in shown], right=True),
        Column("in + out", [format_bytes(layer.transfer_bytes) for layer in shown], right=True),
        Column("FLOPs fwd", [format_count(layer.flops.forward) for layer in shown], right=True),
        Column("FLOPs bwd", [format_count(layer.flops.backward) for layer in shown], right=True),
    ]
    return Table(columns)


def _largest(layers: Sequence[LayerRecord]) -> list[LayerRecord]:
    """The layers to show, in order."""
    ranked = sorted(
        layers, key=lambda layer: (layer.saved_bytes + layer.transfer_bytes, layer.flops.forward), reverse=True
    )
    kept = {id(layer) for layer in ranked[:_SHOWN]}
    return [layer for layer in layers if id(layer) in kept]
