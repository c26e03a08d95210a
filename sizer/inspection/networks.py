"""Working sets, operations and predicted cost of networks that the user names. Pure."""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, NamedTuple

import numpy as np

from sizer.base.errors import UsageError
from sizer.base.records import Record, plain
from sizer.base.units import format_bytes, format_quantity, format_widths
from sizer.devices import Chosen, Predicted, cheaper, choose
from sizer.method.coefficients import LAUNCH_TERMS, OUTSIDE, Coefficients, outside_interval, why_outside
from sizer.method.cost import (
    Networks,
    analyse,
    backward_flops,
    backward_operations,
    forward_flops,
    forward_operations,
    launch_and_work,
    predict,
    priced_row,
)
from sizer.method.hardware import Device, device_to_dict
from sizer.method.placement import NOWHERE, FloatArray, Hierarchy, Placements
from sizer.method.recommendation import PlacedSet
from sizer.method.sweep import MAX_WORK
from sizer.method.training_step import SET_NAMES, Training
from sizer.method.working_sets import IntArray, WorkingSets, count_parameters, stack
from sizer.models.shapes import residual_additions
from sizer.models.topology import MAX_WIDTH, Topology, check_whole

INSPECTION_FORMAT = "sizer.inspection/1"
_CHUNK = 4096


class Passes(NamedTuple):
    """A count of each pass over one batch."""

    forward: int
    backward: int


@dataclass(frozen=True)
class Placed:
    """Bytes and level of each working set; ``refused`` says why the device cannot hold one, None where it can.

    ``pushed_by`` names, for each set that alone would live nearer, the one that is placed before it.
    """

    working_sets: Mapping[str, PlacedSet | None]
    refused: str | None
    pushed_by: Mapping[str, str]


@dataclass(frozen=True)
class InspectedNetwork:
    """One network: its sets with the level each lives on, its operations, its predicted step.

    ``operations`` is the paper's count (a multiply-accumulate is 1), ``flops`` torch's (2, matrix products only).
    ``interval`` is the 90 % interval of the predicted quantity; ``label`` says what the prediction is; ``refused`` why
    the network cannot run on the device, None where it can. Not known is None.
    """

    input_dim: int
    widths: tuple[int, ...]
    num_free_parameters: int
    batch_size: int
    operations: Passes
    flops: Passes
    working_sets: Mapping[str, PlacedSet | None]
    time_per_step_s: float | None
    energy_per_step_j: float | None
    interval: tuple[float, float] | None
    label: str
    refused: str | None
    pushed_by: Mapping[str, str]


@dataclass(frozen=True)
class Inspection(Record):
    """The networks inspected, the device and the coefficients that their cost was predicted with."""

    device: Device
    coefficients: Coefficients
    training: Training
    networks: tuple[InspectedNetwork, ...]
    notes: tuple[str, ...] = ()

    main = "networks"

    def in_short(self) -> str:
        """The networks by their widths, the first of many."""
        names = [f"{network.input_dim}-{format_widths(network.widths)}" for network in self.networks[:3]]
        rest = len(self) - len(names)
        return f"{', '.join(names)}{f' and {rest:,} more' if rest else ''} on {self.device.id}"

    def to_dict(self) -> dict[str, Any]:
        """The record as the JSON data ``sizer.inspection/1``."""
        return {"format": INSPECTION_FORMAT, **plain(self), "device": device_to_dict(self.device)}

    def remarks(self) -> tuple[str, ...]:
        """What the predictions are outside of, and the device's warnings."""
        return (*self.notes, *self.device.warnings)

    def rows(self) -> list[dict[str, Any]]:
        """One row a network, nested values flattened."""
        return [_flat_row(network) for network in self.networks]


def _flat_row(network: InspectedNetwork) -> dict[str, Any]:
    row: dict[str, Any] = {}
    for name, value in plain(network).items():
        if name == "working_sets":
            for set_name, placed in value.items():
                row[f"{set_name}_bytes"] = placed and placed["bytes"]
                row[f"{set_name}_level"] = placed and placed["level"]
        elif name in ("operations", "flops"):
            row |= {f"{name}_{key}": count for key, count in value.items()}
        elif name == "pushed_by":
            continue
        elif name == "interval":
            row["interval_low"], row["interval_high"] = value or (None, None)
        else:
            row[name] = value
    return row


def choose_for(topologies: Sequence[Topology], training: Training, device: str | None, threads: int | None) -> Chosen:
    """The device that networks are inspected for: the one named, else that on which a step of each is cheaper."""
    chosen = choose(device, training.dtype, threads)

    def cost(one: Chosen) -> Predicted:
        networks = inspect_topologies(topologies, training, one.device, one.coefficients).networks
        steps = [network.energy_per_step_j or network.time_per_step_s or math.inf for network in networks]
        unit = "J" if one.coefficients.quantity == "energy" else "s"
        return Predicted(sum(steps), f"{format_quantity(sum(steps), unit)} for a step of each")

    return chosen if device is not None else cheaper(chosen, cost, training.dtype, threads)


def parse_mlp(text: str) -> Topology:
    """A network from its widths, input first: ``784-512-512-10``, or with repeats ``784-512x2-10``.

    Commas, or an x throughout (``30x64x1``), separate them too. Raises UsageError for anything else.
    """
    full: list[int] = []
    for part in _separated(text):
        width, times, count = part.partition("x")
        if not (width.isdecimal() and (count.isdecimal() if times else True)) or len(part) > 20:
            raise UsageError(
                f"network {_short(text)!r}: {_short(part)!r} is no width; "
                f"expected widths from input to output such as 784-512-512-10 or 784-512x2-10"
            )
        repeats = check_whole("repeats", int(count), 1, 1000) if times else 1
        full += [check_whole("width", int(width), 1, MAX_WIDTH)] * repeats
    if len(full) < 2:
        raise UsageError(
            f"network {_short(text)!r} has no layer; expected at least an input and an output width: 784-10"
        )
    return Topology(None, full[0], tuple(full[1:]))


def _separated(text: str) -> list[str]:
    """Widths, each with its repeats; ``30x64`` is one of them, 30 repeated, while ``30x64x1`` is three."""
    plain = text.strip().strip("()[]").lower().replace("->", "-").replace("\u00d7", "x")
    for mark in ("-", ","):
        if mark in plain:
            return [part.strip() for part in plain.split(mark)]
    return plain.split("x") if plain.count("x") > 1 else [plain]


def _short(text: str) -> str:
    text = text.strip()
    return text if len(text) <= 60 else text[:57] + "..."


def check_countable(topology: Topology, training: Training) -> None:
    """Raises UsageError for a network whose operations cannot be counted in 64 bits."""
    if topology.num_free_parameters * training.batch_size > MAX_WORK:
        raise UsageError(
            f"{topology.num_free_parameters:,} parameters with batch size {training.batch_size:,} is beyond what "
            f"can be counted; reduce the widths or the batch size"
        )


def inspect_topologies(
    topologies: Sequence[Topology], training: Training, device: Device, coefficients: Coefficients
) -> Inspection:
    """Inspect networks, one or thousands. Raises UsageError for one whose operations cannot be counted in 64 bits."""
    hierarchy = Hierarchy.of(device)
    for topology in topologies:
        check_countable(topology, training)
    inspected: list[InspectedNetwork] = []
    for start in range(0, len(topologies), _CHUNK):
        full = stack(topology.full for topology in topologies[start : start + _CHUNK])
        additions = np.array([residual_additions(t.shape or "", t.depth) for t in topologies[start : start + _CHUNK]])
        networks = analyse(full, count_parameters(full), training, hierarchy, additions)
        cost = predict(priced_row(networks, coefficients), coefficients)
        inspected += _inspect(networks, cost, coefficients)
    record = _inspection(topologies, inspected, training, device, coefficients)
    launches = _launch_notes(topologies, training, device, coefficients)
    return replace(record, notes=(*record.notes, *launches))


def inspect_priced(
    topology: Topology, networks: Networks, cost: FloatArray, device: Device, coefficients: Coefficients
) -> Inspection:
    """Inspect the first of networks that are analysed and priced already; ``topology`` is its own."""
    inspected = list(itertools.islice(_inspect(networks, cost, coefficients), 1))
    return _inspection([topology], inspected, networks.training, device, coefficients)


def _inspection(
    topologies: Sequence[Topology],
    inspected: Sequence[InspectedNetwork],
    training: Training,
    device: Device,
    coefficients: Coefficients,
) -> Inspection:
    """The record, in which what a calibration does not speak for is labelled an estimate."""
    outside = [why_outside(each, training.optimizer, training.batch_size, coefficients) for each in topologies]
    found = (
        _estimated(network, coefficients) if why else network for network, why in zip(inspected, outside, strict=True)
    )
    return Inspection(device, coefficients, training, tuple(found), _notes(topologies, outside))


def _estimated(network: InspectedNetwork, coefficients: Coefficients) -> InspectedNetwork:
    """A network outside what was calibrated: its prediction is an estimate."""
    step = network.time_per_step_s if network.energy_per_step_j is None else network.energy_per_step_j
    factors = outside_interval(coefficients)
    return replace(
        network, label="estimated", interval=None if step is None else (factors[0] * step, factors[1] * step)
    )


WAITS_FOR_LAUNCHES = (
    "a step waits for the program that launches it; CUDA graphs or torch.compile(mode='reduce-overhead') would help"
)
#: Eighths of a doubling by which a network grows in looking for the width at which launching ends: 256 times.
_GROWN_STEPS = 65


def free_widths(
    topology: Topology, training: Training, hierarchy: Hierarchy, coefficients: Coefficients
) -> tuple[int, ...] | None:
    """The widths up to which a network's hidden layers grow in step while its step on a GPU waits for the program.

    None where it does not wait, where launching and work are not told apart, and where nothing is hidden.
    """
    if coefficients.quantity != "time" or not coefficients.terms.keys() & LAUNCH_TERMS or topology.depth < 2:
        return None
    full = _grown(stack([topology.full]), topology.num_free_parameters * training.batch_size)
    additions = residual_additions(topology.shape or "", topology.depth)
    networks = analyse(full, count_parameters(full), training, hierarchy, additions)
    launch_s, work_s = launch_and_work(priced_row(networks, coefficients), coefficients)
    waits = launch_s >= work_s
    if not waits[0]:
        return None
    last = len(waits) - 1 if waits.all() else int(np.argmin(waits)) - 1
    return tuple(full[1:, last].tolist())


def _grown(own: IntArray, work: int) -> IntArray:
    """The network with its hidden layers ever wider, an eighth of a doubling at a time, as far as it can be counted."""
    factors = 2 ** (np.arange(_GROWN_STEPS) / 8)
    countable = (4 * float(work) * factors**2 <= MAX_WORK) & (factors * own.max() <= MAX_WIDTH)
    full = np.repeat(own, max(int(countable.sum()), 1), axis=1)
    full[1:-1] = np.round(own[1:-1] * factors[: full.shape[1]])
    return full


def _launch_notes(
    topologies: Sequence[Topology], training: Training, device: Device, coefficients: Coefficients
) -> Iterator[str]:
    """For the first few networks, up to which width size is free because their steps wait for the program."""
    for topology in topologies[:3]:
        widths = free_widths(topology, training, Hierarchy.of(device), coefficients)
        if widths is not None:
            full = "-".join(map(str, topology.full))
            yield f"{full}: size is free up to width {max(widths[:-1])}: {WAITS_FOR_LAUNCHES}"


def _notes(topologies: Sequence[Topology], outside: Sequence[str | None]) -> tuple[str, ...]:
    """A line for the first few networks that a calibration does not speak for, and how many more there are."""
    found = [
        f"{'-'.join(map(str, topology.full))} is {why}; its cost is an estimate"
        for topology, why in zip(topologies, outside, strict=True)
        if why
    ]
    rest = len(found) - 3
    return (*found[:3], *([f"{rest:,} more networks are {OUTSIDE}"] if rest > 0 else []))


def _inspect(networks: Networks, cost: FloatArray, coefficients: Coefficients) -> Iterator[InspectedNetwork]:
    full, parameters, batch_size = networks.full, networks.num_free_parameters, networks.training.batch_size
    operations = forward_operations(full, batch_size), backward_operations(full, parameters, batch_size)
    flops = forward_flops(full, batch_size), backward_flops(full, batch_size)
    depths = (np.count_nonzero(full, axis=0) - 1).tolist()
    known = coefficients.source != "none"
    low, high = (coefficients.interval if known else None) or (None, None)
    for index, (depth, step) in enumerate(zip(depths, cost.tolist(), strict=True)):
        yield InspectedNetwork(
            input_dim=int(full[0, index]),
            widths=tuple(full[1 : depth + 1, index].tolist()),
            num_free_parameters=int(parameters[index]),
            batch_size=batch_size,
            operations=Passes(*(int(counts[index]) for counts in operations)),
            flops=Passes(*(int(counts[index]) for counts in flops)),
            time_per_step_s=step if known and coefficients.quantity == "time" else None,
            energy_per_step_j=step if known and coefficients.quantity == "energy" else None,
            interval=None if low is None or high is None else (step * low, step * high),
            label=coefficients.label,
            **vars(placed(networks.sets, networks.placements, networks.hierarchy, index)),
        )


def placed(sets: WorkingSets, placements: Placements, hierarchy: Hierarchy, index: int = 0) -> Placed:
    """Where the sets of one of N networks live, and which fits on no level."""
    found: dict[str, PlacedSet | None] = {}
    for name in ("f", "b", "o", "t_max", "d"):
        one, placement = getattr(sets, name), getattr(placements, name)
        found[name] = one and PlacedSet(int(one.total[index]), hierarchy.name(int(placement.level[index])))
    refused = next((name for name in ("t_max", *found) if (one := found[name]) and one.level is None), None)
    if refused is not None:
        size, last = format_bytes(found[refused].bytes), format_bytes(hierarchy.capacities[-1])  # type: ignore[union-attr]
        verb = "needs" if refused in ("b", "o") else "need"
        refused = f"{SET_NAMES[refused]} {verb} {size}; {hierarchy.names[-1]} offers {last}"
    return Placed(found, refused, dict(_pushed(sets, placements, hierarchy, index)))


def _pushed(sets: WorkingSets, placements: Placements, hierarchy: Hierarchy, index: int) -> Iterator[tuple[str, str]]:
    """Each set that alone would live nearer, and the set that it is placed on top of (`placement.place_all`)."""
    for name, below in (("f", "t_max"), ("b", "t_max"), ("d", "b")):
        if getattr(sets, name) is not None:
            replicated, distributed = (int(part[index]) for part in getattr(sets, name))
            levels = zip(hierarchy.capacities, hierarchy.instances, strict=True)
            fits = (replicated + distributed / instances <= capacity for capacity, instances in levels)
            alone = next((level for level, fit in enumerate(fits) if fit), NOWHERE)
            if alone != getattr(placements, name).level[index]:
                yield name, below
