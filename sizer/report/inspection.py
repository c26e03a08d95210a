"""What was inspected as reports: networks that were named by their widths, and a module."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

from sizer.base.units import counted, format_bytes, format_cost, format_count, format_quantity, format_widths
from sizer.method.explanation import SET_CONTENTS
from sizer.method.training_step import SET_NAMES
from sizer.report.hook import advice_text, homes, percent, step_text, unpredicted, what_to_do
from sizer.report.layout import (
    BLANK,
    Block,
    Column,
    Line,
    More,
    Paragraph,
    Table,
    answer,
    device_lines,
    label_text,
    short_label,
)

if TYPE_CHECKING:  # (another command's record is not loaded with this one's)
    from sizer.inspection.module_record import LayerRecord, ModuleInspection, OperatorsRecord
    from sizer.inspection.networks import InspectedNetwork, Inspection

#: From how many networks on a row each says enough.
_WHOLE_TABLES = 3
#: Layers shown one a row; of more, the largest by saved bytes, moved bytes and FLOPs.
_SHOWN = 40


def networks_report(record: Inspection) -> Iterator[Block]:
    """What a step of each network costs and where its sets live; many networks share one table, a row each."""
    if len(record.networks) > _WHOLE_TABLES:
        yield from answer(
            f"{len(record.networks):,} networks on {record.device.name or record.device.id}",
            short_label(record.device, record.coefficients),
        )
        yield BLANK
        yield _network_table(record)
    else:
        for number, network in enumerate(record.networks):
            yield from [BLANK] if number else []
            yield from _network(network, record)
    yield More(list(_networks_behind(record)), "bytes, operations, FLOPs, the machine and where costs are from")


def _networks_behind(record: Inspection) -> Iterator[Block]:
    training = record.training
    yield BLANK
    yield from device_lines(record.device)
    yield Line(f"batch {training.batch_size}, {training.dtype}, {training.optimizer}")
    yield Paragraph(label_text(record.device, record.coefficients))
    for network in record.networks if len(record.networks) <= _WHOLE_TABLES else ():
        yield BLANK
        yield Line(_name(network), strong=True)
        sizes = {SET_NAMES[name]: found.bytes for name, found in network.working_sets.items() if found is not None}
        yield Paragraph("; ".join(f"{name} {format_count(size)} B" for name, size in sizes.items()))
        yield _counts("operations", network.operations.forward, network.operations.backward)
        yield _counts("FLOPs", network.flops.forward, network.flops.backward)


def _network(network: InspectedNetwork, record: Inspection) -> Iterator[Block]:
    """One network: what a step costs with its interval, its sets by level."""
    yield from answer(
        f"{_name(network)}: {counted(network.num_free_parameters, 'parameter')}; a step of {network.batch_size} "
        f"{_takes(network)}",
        f"Does not fit {record.device.name or record.device.id}: {network.refused}." if network.refused else "",
        short_label(record.device, record.coefficients),
    )
    yield BLANK
    sets = {name: placed for name, placed in network.working_sets.items() if placed is not None}
    columns = [
        Column("working set", [SET_NAMES[name] for name in sets]),
        Column("of", [SET_CONTENTS[name] for name in sets], leave_out=1),
        Column("size", [format_bytes(placed.bytes) for placed in sets.values()], right=True),
        Column("lives in", homes(network.working_sets, record.device)),
    ]
    yield Table(columns)


def _takes(network: InspectedNetwork) -> str:
    """``takes 689 us (172 us to 2.75 ms, 90 % interval), estimated``."""
    cost = _step_cost(network)
    return "costs what is not known" if cost == "unknown" else f"takes {cost}"


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
        *(
            Column(SET_NAMES[name], [_level(network, name) for network in networks], leave_out=last)
            for name, last in (("f", 2), ("b", 1), ("o", 3), ("t_max", 4))
        ),
        Column(f"{record.coefficients.quantity}/step", costs, right=True),
    ]
    return Table(columns)


def _level(network: InspectedNetwork, name: str) -> str:
    placed = network.working_sets[name]
    return "" if placed is None else placed.level or "none"


def module_report(record: ModuleInspection) -> Iterator[Block]:
    """What a step of the module takes, what to do, its memory and where its sets live; behind it the layers."""
    counts = f"{counted(record.num_parameters, 'parameter')}; batch {record.batch_size}, {record.dtype}"
    yield from answer(
        f"{record.module}: {counts}, {record.optimizer}",
        f"A step: {_step(record)}.",
        f"Does not fit {record.device.name or record.device.id}: {record.refused}." if record.refused else "",
        *(f"{text[0].upper()}{text[1:]}." for text in what_to_do(record)),
        _where_from(record),
    )
    yield BLANK
    yield _memory_table(record)
    if record.operators is not None and record.outside is None:
        yield BLANK
        yield _kind_table(record.operators)
    yield More(list(_module_behind(record)), "the layers, FLOPs, the machine and where costs are from")


def _where_from(record: ModuleInspection) -> str:
    """Where an estimate is from, or what prices a module that has no price."""
    if record.outside is None:
        return "" if record.operators is not None else short_label(record.device, record.coefficients)
    if record.device.id != "cpu":
        return ""
    if record.operators is None and record.widths is None:
        return "`sizer calibrate --operators` times operators, from which any module is priced: 2 minutes."
    if record.operators is not None:
        return "`sizer inspect ... --measure-missing 10s` times the operators that are not known."
    return ""


#: Kinds of operators shown one a row.
_KINDS = 6


def _kind_table(record: OperatorsRecord) -> Table:
    """Where a step's time goes, by kind of operator."""
    shown, rest = record.kinds[:_KINDS], record.kinds[_KINDS:]
    rows = [(each.kind, each.time_s) for each in shown]
    if rest:
        rows.append((f"{len(rest)} more kinds", sum(each.time_s for each in rest)))
    if record.between_s:
        rows.append(("between operators", record.between_s))
    whole = sum(seconds for _, seconds in rows) or 1.0
    return Table(
        [
            Column("of the step", [kind for kind, _ in rows]),
            Column("time", [format_quantity(seconds, "s") for _, seconds in rows], right=True),
            Column("share", [percent(seconds / whole) for _, seconds in rows], right=True),
        ]
    )


def _step(record: ModuleInspection) -> str:
    """What a step is predicted to cost, or what of the module has no predicted cost."""
    if record.outside is None:
        return step_text(record)
    flops = format_count(record.flops.forward + record.flops.backward)
    return f"{flops} FLOPs; its cost is not predicted ({unpredicted(record)})"


def _module_behind(record: ModuleInspection) -> Iterator[Block]:
    yield BLANK
    yield _layer_table(record.layers)
    yield from _spills(record)
    yield _counts("FLOPs", record.flops.forward, record.flops.backward)
    if record.operations is not None:
        yield _counts("operations", record.operations.forward, record.operations.backward)
    yield from device_lines(record.device)
    if record.operators is None or record.operators.source != "timed":
        yield Paragraph(label_text(record.device, record.coefficients))
    else:
        yield Paragraph(
            f"Time: added up from {record.operators.calls:,} calls of operators and what lies between them, by "
            f"{record.operators.timed_calls:,} timings of this machine."
        )
    for advice in record.advice:
        yield Paragraph(advice_text(advice), " *  ")


def _spills(record: ModuleInspection) -> Iterator[Block]:
    """For each cache which layers' inter-layer sets do not fit it, and on what share of the step's time."""
    names = [level.name for level in record.device.sizing_levels()]
    for index, name in enumerate(names[:-1]):
        beyond = [layer for layer in record.layers if layer.transfer_level in names[index + 1 :]]
        if not beyond:
            continue
        largest = max(beyond, key=lambda layer: layer.transfer_bytes)
        share = ""
        if record.time_per_step_s is not None and record.operators is not None:
            spent = sum(layer.time_s or 0.0 for layer in beyond)
            share = f": {percent(min(spent / record.time_per_step_s, 1.0))} of the step's time"
        sets = "set of 1 layer does" if len(beyond) == 1 else f"sets of {len(beyond)} layers do"
        yield Paragraph(
            f"the inter-layer {sets} not fit {name} (largest: {largest.name or 'the module itself'}, "
            f"{format_bytes(largest.transfer_bytes)}){share}"
        )


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
        Column("working set", [SET_NAMES[name] for name in sets]),
        Column("size", [format_bytes(placed.bytes) for placed in sets.values()], right=True),
        Column("lives in", homes(record.working_sets, record.device)),
    ]
    return Table(columns)


def _layer_table(layers: Sequence[LayerRecord]) -> Table:
    shown = _largest(layers)
    names = [layer.name or "(itself)" for layer in shown]
    if len(shown) < len(layers):
        names.append(f"... {len(layers) - len(shown)} smaller layers (all of them with --json)")
    timed = [layer.time_s for layer in shown if layer.time_s is not None]
    times = [] if len(timed) < len(shown) else [Column("time", [format_quantity(t, "s") for t in timed], right=True)]
    columns = [
        Column("layer", names, folds=True),
        Column("kind", [layer.kind for layer in shown]),
        *times,
        Column("parameters", [format_count(layer.parameters) for layer in shown], right=True),
        Column("saved", [format_bytes(layer.saved_bytes) for layer in shown], right=True, leave_out=1),
        Column("in", [layer.saved_level or layer.parameter_level or "" for layer in shown], leave_out=2),
        Column("in + out", [format_bytes(layer.transfer_bytes) for layer in shown], right=True, leave_out=3),
        Column("in", [layer.transfer_level or "" for layer in shown], leave_out=4),
        Column("FLOPs fwd", [format_count(layer.flops.forward) for layer in shown], right=True, leave_out=5),
        Column("FLOPs bwd", [format_count(layer.flops.backward) for layer in shown], right=True, leave_out=6),
    ]
    return Table(columns)


def _largest(layers: Sequence[LayerRecord]) -> list[LayerRecord]:
    """The layers to show, in order."""
    ranked = sorted(
        layers,
        key=lambda layer: (layer.time_s or 0.0, layer.saved_bytes + layer.transfer_bytes, layer.flops.forward),
        reverse=True,
    )
    kept = {id(layer) for layer in ranked[:_SHOWN]}
    return [layer for layer in layers if id(layer) in kept]
