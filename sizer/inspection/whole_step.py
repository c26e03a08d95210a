"""Inspecting a whole step: several calls of several modules between two steps of the optimizer that trains them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from math import prod
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import nn

from sizer.inspection.advice_unpredicted import Subject, advise_other
from sizer.inspection.batch import Batch, batch_of
from sizer.inspection.checks import check_module
from sizer.inspection.counts import Counts, StepSettings, count, note_calls
from sizer.inspection.module import inspect_step, precision, state_notes
from sizer.inspection.module_record import LayerRecord, ModuleInspection, PartRecord
from sizer.inspection.neighbours import Neighbours, price_neighbours
from sizer.inspection.networks import Passes
from sizer.inspection.operator_prices import Pricing, price_calls, pricing_of, several_calls
from sizer.inspection.optimizer_state import implementation, known_name
from sizer.inspection.prediction import PricedStep, memory_of, module_sets, place_sets, price_step, training_of
from sizer.method.coefficients import LAUNCH_TERMS, OUTSIDE, Coefficients, outside_interval
from sizer.method.cost import SMALL_WORK, add_rows, backward_row, forward_row, launch_row, predict, small_work_row
from sizer.method.hardware import Device
from sizer.method.placement import Hierarchy
from sizer.models.reading import unwrap
from sizer.operators.tape import Tape


class Calls(NamedTuple):
    """Like calls of a module in a step: how many, and how many of them each backward pass reaches.

    What a call saves is kept until the pass that reaches it, so that those of one pass are alive together.
    """

    module: nn.Module
    settings: StepSettings
    times: int
    in_passes: tuple[int, ...]


class WholeStep(NamedTuple):
    """A step to inspect, on a device. ``names`` gives modules, by id, the names that they have in a larger one."""

    calls: tuple[Calls, ...]
    optimizer: torch.optim.Optimizer
    device: Device
    coefficients: Coefficients
    names: dict[int, str]


class _Counted(NamedTuple):
    """Calls with the counts of one of them."""

    calls: Calls
    counts: Counts
    batch: Batch
    tape: Tape | None = None


def inspect_whole_step(step: WholeStep) -> tuple[ModuleInspection, tuple[PartRecord, ...]]:
    """The record of a step, and its parts. Raises UsageError for a module that cannot be inspected.

    FLOPs are those of all calls; what a backward pass does outside of them (a loss that multiplies matrices) is not
    known here. Sets and saved bytes are those of the calls that are alive together.
    """
    for calls in step.calls:
        check_module(calls.module)
    if len(step.calls) == 1 and max(step.calls[0].in_passes, default=1) <= 1:
        return _of_like_calls(step)
    pricing = pricing_of(step.device, step.coefficients)
    counted = [_count(calls, None if pricing is None else Tape()) for calls in step.calls]
    return _Merged(step, counted).inspect(), _parts(step, counted)


def _of_like_calls(step: WholeStep) -> tuple[ModuleInspection, tuple[PartRecord, ...]]:
    """A module called in one way, once or again and again with a backward pass for each call.

    Its memory is that of one call; its FLOPs and time are those of all, with one step of the optimizer.
    """
    (calls,) = step.calls
    record = inspect_step(calls.module, calls.settings, step.optimizer, None, step.device, step.coefficients)
    batch = Batch(record.batch_size, record.first_dimension)
    if calls.times > 1:
        layers = tuple(_layer_times(layer, calls.times, 1) for layer in record.layers)
        record = replace(record, layers=layers, flops=_times(record.flops, calls.times), advice=())
        if record.operators is not None:
            record = replace(record, **several_calls(record, calls.times))
        elif record.outside is None:  # fully connected, so that it is counted again in no time
            cost = _cost(step, [_count(calls)])
            record = replace(record, **{**cost, "notes": (*record.notes, *cost.get("notes", ()))})
    return record, (_part(step, calls.module, record.widths, calls.times, batch),)


def _count(calls: Calls, tape: Tape | None = None) -> _Counted:
    counts = count(calls.module, calls.settings, tape)
    return _Counted(calls, counts, batch_of(calls.module, calls.settings, counts), tape)


class _Merged(NamedTuple):
    """Several kinds of calls as one step."""

    step: WholeStep
    counted: list[_Counted]

    def inspect(self) -> ModuleInspection:
        """Count, place, price."""
        step, main = self.step, self._main()
        settings = main.calls.settings
        whole = nn.ModuleList(_outermost([each.calls.module for each in self.counted]))
        memory = memory_of(whole, step.optimizer, precision(main.calls.module, settings))
        counts = self._counts()
        hierarchy = Hierarchy.of(step.device)
        sets = module_sets(counts, memory, settings, None)
        placed = place_sets(sets, hierarchy, memory)
        kinds = [type(part).__name__ for part in whole]
        cost = _cost(step, self.counted)
        notes = [
            *state_notes(main.calls.module, step.optimizer, memory),
            *(note for each in self.counted for note in each.counts.notes),
            *cost.pop("notes", ()),
        ]
        return ModuleInspection(
            device=step.device,
            coefficients=step.coefficients,
            module=" + ".join(kinds[:4]) + (f" and {len(kinds) - 4} more" if len(kinds) > 4 else ""),
            batch_size=main.batch.observations,
            first_dimension=main.batch.first_dimension,
            optimizer=known_name(step.optimizer) or type(step.optimizer).__name__,
            optimizer_implementation=implementation(step.optimizer),
            loss=None,
            notes=tuple(dict.fromkeys(notes)),
            advice=tuple(advise_other(Subject(counts.layers, sets, hierarchy))),
            **vars(placed) | vars(replace(counts.record(), widths=self._widths(len(kinds)))) | vars(memory) | cost,
        )

    def _main(self) -> _Counted:
        """The calls that compute most in one go; of equal ones the last."""
        return max(reversed(self.counted), key=lambda each: _flops(each.counts))

    def _widths(self, num_parts: int) -> tuple[int, ...] | None:
        known = [each.counts.topology.full for each in self.counted if each.counts.topology is not None]
        return known[0] if known and num_parts == 1 else None

    def _counts(self) -> Counts:
        """All calls' counts as one: FLOPs of each, bytes of those alive together at the worst backward pass."""
        worst = _worst_pass(self.counted)
        several = len({id(each.calls.module) for each in self.counted}) > 1
        layers: dict[tuple[int, str], LayerRecord] = {}
        for each in self.counted:
            alive = each.calls.in_passes[worst] if each.calls.in_passes else 1
            prefix = f"{_name(each.calls.module, self.step.names)}." if several else ""
            for layer in each.counts.layers:
                key = id(each.calls.module), layer.name
                added = _layer_times(layer, each.calls.times, alive)
                added = replace(added, name=f"{prefix}{layer.name}".rstrip(".") if several else layer.name)
                layers[key] = _both(layers[key], added) if key in layers else added
        alive_of = [each.calls.in_passes[worst] if each.calls.in_passes else 1 for each in self.counted]
        inputs = sum(n * each.counts.input_bytes for n, each in zip(alive_of, self.counted, strict=True))
        outputs = sum(n * each.counts.output_bytes for n, each in zip(alive_of, self.counted, strict=True))
        return Counts(tuple(layers.values()), inputs, outputs)


def _worst_pass(counted: Sequence[_Counted]) -> int:
    """The backward pass before which most bytes are saved."""
    saved = [sum(layer.saved_bytes for layer in each.counts.layers) for each in counted]
    passes = np.array([each.calls.in_passes or (1,) for each in counted])
    return int(np.argmax(np.array(saved) @ passes))


def _layer_times(layer: LayerRecord, times: int, alive: int) -> LayerRecord:
    seconds = layer.time_forward_s, layer.time_backward_s
    forward_s, backward_s = (None if each is None else times * each for each in seconds)
    return replace(
        layer,
        flops=_times(layer.flops, times),
        saved_bytes=alive * layer.saved_bytes,
        time_forward_s=forward_s,
        time_backward_s=backward_s,
    )


def _times(flops: Passes, times: int) -> Passes:
    return Passes(times * flops.forward, times * flops.backward)


def _both(one: LayerRecord, other: LayerRecord) -> LayerRecord:
    """A layer in two kinds of calls."""
    flops = Passes(*(a + b for a, b in zip(one.flops, other.flops, strict=True)))
    largest = max(one, other, key=lambda layer: (layer.transfer_bytes, prod(layer.output_shape or ())))
    return replace(largest, name=one.name, flops=flops, saved_bytes=one.saved_bytes + other.saved_bytes)


def _flops(counts: Counts) -> int:
    return sum(layer.flops.forward + layer.flops.backward for layer in counts.layers)


def _outermost(modules: Sequence[nn.Module]) -> list[nn.Module]:
    """The modules, each once, without those that are inside another."""
    inner = [unwrap(module) for module in modules]
    distinct = list({id(module): module for module in inner}.values())
    inside = {id(part) for module in distinct for part in module.modules() if part is not module}
    return [module for module in distinct if id(module) not in inside]


def _name(module: nn.Module, names: dict[int, str]) -> str:
    return names.get(id(unwrap(module))) or type(unwrap(module)).__name__


def _parts(step: WholeStep, counted: Sequence[_Counted]) -> tuple[PartRecord, ...]:
    """A record for each module that is called, with its main calls' batch."""
    parts = []
    for module in {id(each.calls.module): each.calls.module for each in counted}.values():
        own = [each for each in counted if each.calls.module is module]
        main = max(reversed(own), key=lambda each: _flops(each.counts))
        known = [each.counts.topology.full for each in own if each.counts.topology is not None]
        widths = known[0] if known else None
        parts.append(_part(step, module, widths, sum(each.calls.times for each in own), main.batch))
    return tuple(parts)


def _part(step: WholeStep, module: nn.Module, widths: tuple[int, ...] | None, calls: int, batch: Batch) -> PartRecord:
    trained = {id(p) for group in step.optimizer.param_groups for p in group["params"] if p.requires_grad}
    inner = unwrap(module)
    return PartRecord(
        name=step.names.get(id(inner), ""),
        kind=type(inner).__name__,
        widths=widths,
        num_parameters=sum(p.numel() for p in inner.parameters()),
        trained_parameters=sum(p.numel() for p in inner.parameters() if id(p) in trained),
        calls=calls,
        batch_size=batch.observations,
        first_dimension=batch.first_dimension,
    )


def _cost(step: WholeStep, counted: Sequence[_Counted]) -> dict[str, Any]:
    """The predicted cost of all calls with one step of the optimizer, or why there is none."""
    priced = [_price(step, each) for each in counted]
    outside = next((each.prediction.outside for each, _ in priced if each.prediction.outside is not None), None)
    none = {"operations": None, "time_per_step_s": None, "energy_per_step_j": None, "interval": None}
    if outside is not None and (pricing := pricing_of(step.device, step.coefficients)) is not None:
        return _by_operators(step, counted, pricing)
    if outside is not None:
        return {**none, "label": step.coefficients.label, "outside": outside}
    if len({id(each.calls.module) for each in counted}) < len(counted):
        outside = f"{OUTSIDE}: the step calls one network with batches of several sizes"
        return {**none, "label": step.coefficients.label, "outside": outside}
    cost = sum(_calls_cost(each, *found) for each, found in zip(counted, priced, strict=True))
    cost -= (len(counted) - 1) * step.coefficients.terms.get("step", 0.0)  # one step of the optimizer, not one a part
    low, high = outside_interval(step.coefficients)
    in_time = step.coefficients.quantity == "time"
    operations = [found.network.operations for found, _ in priced if found.network is not None]
    times = [each.calls.times for each in counted]
    return {
        "operations": Passes(*(sum(n * o[i] for n, o in zip(times, operations, strict=True)) for i in (0, 1))),
        "time_per_step_s": cost if in_time else None,
        "energy_per_step_j": None if in_time else cost,
        "interval": (low * cost, high * cost),
        "label": "estimated",
        "outside": None,
        "notes": (f"a step of {sum(times)} calls is priced as so many passes and one optimizer's step: an estimate",),
    }


def _by_operators(step: WholeStep, counted: Sequence[_Counted], pricing: Pricing) -> dict[str, Any]:
    """The cost of all calls by the operators that they call, each so many times, with one step of the optimizer."""
    whole = Tape()
    for each in counted:
        tape = each.tape or Tape()
        if not tape.calls:
            note_calls(each.calls.module, each.calls.settings, tape)
        for _ in range(each.calls.times):
            whole.add(tape)
    trained = [p for group in step.optimizer.param_groups for p in group["params"] if p.requires_grad]
    price = price_calls(whole, pricing, step.optimizer, trained)
    return {**vars(price.prediction), "operators": price.record}


def _price(step: WholeStep, each: _Counted) -> tuple[PricedStep, Neighbours | None]:
    """One call's step, as if it were alone."""
    calls = each.calls
    memory = memory_of(calls.module, step.optimizer, precision(calls.module, calls.settings))
    training = training_of(each.counts, memory, calls.settings, step.optimizer, None)
    near = None
    if each.counts.topology is not None:
        near = price_neighbours(each.counts.topology, training, Hierarchy.of(step.device), step.coefficients)
    return price_step(each.counts, near, step.optimizer, step.device, step.coefficients), near


def _calls_cost(each: _Counted, priced: PricedStep, near: Neighbours | None) -> float:
    """Cost of a network's calls: its passes so many times, the optimizer once."""
    assert near is not None
    assert priced.network is not None
    found = priced.prediction
    alone = found.energy_per_step_j if found.time_per_step_s is None else found.time_per_step_s
    assert alone is not None
    return float(alone + (each.calls.times - 1) * _passes_cost(near))


def _passes_cost(near: Neighbours) -> float:
    """Cost of a forward and a backward pass of the network itself."""
    networks, coefficients = near.networks, near.coefficients
    rows = [forward_row(networks), backward_row(networks)]
    if coefficients.terms.keys() & SMALL_WORK:
        rows += [small_work_row(networks), small_work_row(networks, backward=True)]
    if coefficients.terms.keys() & LAUNCH_TERMS:  # (launched while the GPU works: the longer of both sums)
        layers = {"launch_layer": launch_row(networks)["launch_layer"]}
        return float(predict(add_rows(*rows, layers), coefficients)[0])
    return float(sum(predict(row, coefficients)[0] for row in rows))
