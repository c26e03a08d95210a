"""Networks and modules: sets beside the caches, what a module is made of, where its time goes, what would change it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from sizer.base.units import counted, format_bytes, format_cost, format_count, format_quantity, format_widths
from sizer.method.hardware import RAM, Device
from sizer.method.placement import Hierarchy, place
from sizer.method.working_sets import WorkingSet
from sizer.report.charts.figure import (
    Axis,
    Cell,
    Chart,
    Figure,
    Guide,
    Icicle,
    Point,
    Series,
    Stretch,
    Strip,
    drawable,
)
from sizer.report.charts.sizes import PARAMETERS, ROWS, SET_WORDS
from sizer.report.layout import STEP_PARTS, Column, Table

if TYPE_CHECKING:  # (another command's record is not loaded with this one's)
    from sizer.inspection.module_record import LayerRecord, ModuleInspection
    from sizer.inspection.networks import InspectedNetwork, Inspection

#: Networks whose sets are drawn one by one; of more, their costs over size.
_FEW = 3
#: Parts of a layer's name that are rows of an icicle; what is deeper is one name.
_DEEPEST = 8
#: Boxes of an icicle below this share of the whole are left out: they are in the table and in the record.
_LEAST_SHARE = 0.002


def networks_charts(record: Inspection) -> Iterator[Chart]:
    """The sets of a few networks beside the caches; of several, the cost of their steps over size."""
    costs = [network.energy_per_step_j or network.time_per_step_s for network in record.networks]
    if len(record.networks) > 1 and drawable(costs):
        yield _step_costs(record)
    for network in record.networks[:_FEW] if len(record.networks) <= _FEW else ():
        named = f"{network.input_dim}-{format_widths(network.widths)}"
        yield from _sets(record.device, network, f"Working sets of {named} beside the caches")


def _step_costs(record: Inspection) -> Chart:
    unit = "J" if record.coefficients.quantity == "energy" else "s"
    points = [_network_point(network, unit) for network in record.networks]
    networks = record.networks
    costs = [format_cost(network.energy_per_step_j, network.time_per_step_s) for network in networks[:ROWS]]
    columns = [
        Column("network", [f"{one.input_dim}-{format_widths(one.widths)}" for one in networks[:ROWS]]),
        Column("parameters", [format_count(network.num_free_parameters) for network in networks[:ROWS]], right=True),
        Column(f"{record.coefficients.quantity} of a step", costs, right=True),
    ]
    return Chart(
        "Cost of a step by size",
        "The predicted cost of a training step of each network, with its 90 % interval, by its number of parameters.",
        PARAMETERS,
        Axis(f"{record.coefficients.quantity} of a step", unit),
        Table(columns),
        [Series("networks", points, "dots")],
        label=record.coefficients.label,
    )


def _network_point(network: InspectedNetwork, unit: str) -> Point:
    cost = network.energy_per_step_j or network.time_per_step_s or 0.0
    low, high = network.interval or (None, None)
    within = "" if low is None else f" ({format_quantity(low, unit)} to {format_quantity(high, unit)})"
    named = f"{network.input_dim}-{format_widths(network.widths)}"
    told = f"{named}, {counted(network.num_free_parameters, 'parameter')}: {format_quantity(cost, unit)}{within} a step"
    return Point(network.num_free_parameters, cost, f"{told}, {network.label}", low, high)


def _sets(device: Device, placed: InspectedNetwork | ModuleInspection, title: str) -> Iterator[Chart]:
    """Each set as a bar as long as its bytes, coloured by the level where it lives, caches as lines."""
    levels = [level.name for level in device.sizing_levels()]
    sets = {name: found for name, found in placed.working_sets.items() if found is not None and found.bytes > 0}
    caches = [level for level in device.caches() if level.sizing_bytes]
    if not sets or not caches:
        return
    smallest = min(*(found.bytes for found in sets.values()), *(level.sizing_bytes or 1 for level in caches)) / 4
    strips = []
    for name, found in sets.items():
        shade = levels.index(found.level) if found.level in levels else None
        pushed = f", pushed there by {placed.pushed_by[name]}" if name in placed.pushed_by else ""
        word = SET_WORDS.get(name, name)
        told = f"{word} ({name}): {format_bytes(found.bytes)} ({format_count(found.bytes)} bytes)"
        told += f" in {found.level or 'no level'}{pushed}"
        strips.append(Strip(word, [Stretch(smallest, found.bytes, f"{found.level or 'none'}", told, shade)]))
    columns = [
        Column("working set", [f"{SET_WORDS.get(name, name)} ({name})" for name in sets]),
        Column("bytes", [format_count(found.bytes) for found in sets.values()], right=True),
        Column("lives in", [found.level or "no level" for found in sets.values()]),
    ]
    yield Chart(
        title,
        "How large each working set is, coloured by the memory level where it lives; lines stand at the size of one "
        "instance of each cache. A set can live farther than its size says where another one is placed before it.",
        Axis("bytes", "bytes"),
        None,
        Table(columns),
        guides=[Guide("x", level.sizing_bytes or 1, level.name) for level in caches if level.name != RAM],
        strips=strips,
    )


def module_charts(record: ModuleInspection) -> Iterator[Figure]:
    """Where a step's time goes, the sets beside the caches, icicles of the layers, what changes would bring."""
    if record.measured is not None:
        yield _shares(record)
        yield from _before_and_after(record)
    yield from _sets(record.device, record, "Working sets beside the caches")
    yield from _icicles(record)
    yield from _effects(record)


class _Measure(NamedTuple):
    """What an icicle is of: of each layer its amount, and the bytes whose level colours it."""

    title: str
    unit: str
    amounts: Sequence[float]
    sets: Sequence[WorkingSet]
    colours: str


def _icicles(record: ModuleInspection) -> Iterator[Icicle]:
    layers = record.layers
    shared = [_working_set(distributed=layer.transfer_bytes) for layer in layers]
    held = [_working_set(replicated=layer.parameter_bytes) for layer in layers]
    saved = [_working_set(distributed=layer.saved_bytes) for layer in layers]
    flops = [float(layer.flops.forward + layer.flops.backward) for layer in layers]
    times = [float(getattr(layer, "time_s", None) or 0.0) for layer in layers]
    inter = "what goes into a layer and comes out of it"
    for measure in (
        _Measure("time", "s", times, shared, inter),
        _Measure("FLOPs", "", flops, shared, inter),
        _Measure("parameters", "", [float(layer.parameters) for layer in layers], held, "a layer's parameters"),
        _Measure("saved bytes", "bytes", [float(one.saved_bytes) for one in layers], saved, "what a layer saves"),
    ):
        if sum(measure.amounts) > 0 and len(layers) > 1:
            yield _icicle(record, measure)


def _working_set(replicated: int = 0, distributed: int = 0) -> WorkingSet:
    return WorkingSet(np.array([replicated]), np.array([distributed]))


def _icicle(record: ModuleInspection, measure: _Measure) -> Icicle:
    hierarchy = Hierarchy.of(record.device)
    shades = [int(place(np.zeros(1), each, hierarchy).level[0]) for each in measure.sets]
    cells = list(_cells(record.layers, measure, shades, record.module))
    order = sorted(range(len(measure.amounts)), key=lambda index: -measure.amounts[index])[:ROWS]
    total = sum(measure.amounts)
    columns = [
        Column("layer", [record.layers[index].name or "(itself)" for index in order]),
        Column("kind", [record.layers[index].kind for index in order]),
        Column(measure.title, [_amount(measure.amounts[index], measure.unit) for index in order], right=True),
        Column("share", [f"{measure.amounts[index] / total:.1%}" for index in order], right=True),
        Column("lives in", [hierarchy.name(shades[index]) or "no level" for index in order]),
    ]
    return Icicle(
        f"Layers by {measure.title}",
        f"What the module is made of, each layer below the module that it is in and as wide as its share of the "
        f"{measure.title} of a step; coloured by the memory level that {measure.colours} fits into.",
        cells,
        hierarchy.names,
        Table(columns),
        record.label if measure.unit == "s" else None,
    )


def _amount(value: float, unit: str) -> str:
    if unit == "bytes":
        return format_bytes(value)
    return format_quantity(value, unit) if unit else format_count(round(value))


def _cells(layers: Sequence[LayerRecord], measure: _Measure, shades: Sequence[int], module: str) -> Iterator[Cell]:
    """Boxes of every module and layer, in the order of the layers: a module's is as wide as what is in it."""
    total = sum(measure.amounts)
    paths = [tuple(layer.name.split(".", _DEEPEST - 1)) if layer.name else () for layer in layers]
    yield Cell(module, 0, 0.0, 1.0, f"{module}: {_amount(total, measure.unit)} in all", None)
    start = 0.0
    open_boxes: dict[tuple[str, ...], tuple[float, float]] = {}
    inner = {path[:depth] for path in paths for depth in range(len(path))}
    for path, amount, shade, layer in zip(paths, measure.amounts, shades, layers, strict=True):
        end = start + amount / total
        parts = len(path) + (path in inner)  # (what a module does itself stands beside what is in it)
        for depth in range(1, parts):
            first, _ = open_boxes.get(path[:depth], (start, start))
            open_boxes[path[:depth]] = first, end
        told = f"{layer.name or module} ({layer.kind}): {_amount(amount, measure.unit)}, {amount / total:.1%}"
        if end - start >= _LEAST_SHARE:
            name = "(itself)" if path in inner else _short(path[-1] if path else "", layer.kind)
            yield Cell(name, max(parts, 1), start, end, told, max(shade, 0))
        start = end
    for path, (first, last) in open_boxes.items():
        if last - first >= _LEAST_SHARE:
            told = f"{'.'.join(path)}: {_amount((last - first) * total, measure.unit)}, {last - first:.1%}"
            yield Cell(path[-1], len(path), first, last, told, None)


def _short(name: str, kind: str) -> str:
    """A layer's name, with its kind where it is only a number."""
    return f"{name} {kind}".strip() if name.isdecimal() or not name else name


def _shares(record: ModuleInspection) -> Chart:
    """What a step's time goes into, one after the other."""
    measured = record.measured
    assert measured is not None  # (the caller asks)
    start, stretches = 0.0, []
    parts = [(STEP_PARTS.get(name, name), share) for name, share in measured.shares.items() if share > 0]
    for shade, (word, share) in enumerate(parts):
        told = f"{word}: {share:.1%} of a step, {format_quantity(share * measured.time_per_step_s, 's')}"
        stretches.append(Stretch(start, start + share, f"{word} {share:.0%}", told, shade))
        start += share
    step = format_quantity(measured.time_per_step_s, "s")
    columns = [
        Column("part", [STEP_PARTS.get(name, name) for name in measured.shares]),
        Column("share", [f"{share:.1%}" for share in measured.shares.values()], right=True),
    ]
    return Chart(
        f"Where the time of a step goes ({step})",
        f"Shares of the time from one step of the optimizer to its next (20th percentile of {measured.steps} steps).",
        Axis("share of the time of a step", "share", log=False, within=(0.0, 1.0)),
        None,
        Table(columns),
        strips=[Strip("a step", stretches)],
        label="measured",
        shades=[stretch.text for stretch in stretches],
    )


def _before_and_after(record: ModuleInspection) -> Iterator[Chart]:
    """The predicted step beside the measured one."""
    predicted, measured = record.time_per_step_s, record.measured
    if predicted is None or measured is None or record.interval is None:
        return
    low, high = record.interval
    within = f"{format_quantity(low, 's')} to {format_quantity(high, 's')}"
    told = f"predicted {format_quantity(predicted, 's')} ({within})"
    took = format_quantity(measured.computing_s, "s")
    strips = [
        Strip("predicted", [Stretch(low, high, within, f"{told}, {record.label}", 0)]),
        Strip("measured", [Stretch(0.0, measured.computing_s, took, f"measured {took}", 1)]),
    ]
    columns = [
        Column("", ["predicted", "measured"]),
        Column("step", [format_quantity(predicted, "s"), took], right=True),
        Column("what it is", [record.label, "measured"]),
    ]
    yield Chart(
        "Forward, backward and optimizer: predicted and measured",
        "The 90 % interval of the predicted time of a step beside what was measured.",
        Axis("time", "s", log=False, within=(0.0,)),
        None,
        Table(columns),
        guides=[Guide("x", predicted, "predicted")],
        strips=strips,
        label=f"{record.label} and measured",
    )


def _effects(record: ModuleInspection) -> Iterator[Chart]:
    """What each change that is advised is predicted to bring, with its interval."""
    known = [(advice, *advice.interval) for advice in record.advice if advice.interval and advice.effect is not None]
    if not known:
        return
    strips, rows = [], []
    for advice, low, high in known:
        effect = f"{100 * (advice.effect or 0.0):+.1f} %"
        within = f"{100 * low:+.1f} to {100 * high:+.1f} %"
        told = f"{advice.change}: {effect} ({within}); {advice.reason}"
        strips.append(Strip(advice.change, [Stretch(low, high, effect, told, 0)]))
        rows.append((advice.change, effect, within, advice.reason))
    titles = ("change", "effect on a step", "90 % interval", "why")
    columns = [Column(title, cells) for title, cells in zip(titles, zip(*rows, strict=True), strict=True)]
    yield Chart(
        "What a change would bring",
        "The 90 % interval of the predicted change of the cost of a step for each change advised; before it is 0.",
        Axis("change of the cost of a step", "share", log=False, within=(0.0,)),
        None,
        Table(columns),
        guides=[Guide("x", 0.0, "before")],
        strips=strips,
        label=record.label,
    )
