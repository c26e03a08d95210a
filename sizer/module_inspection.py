"""Inspecting a module: its counts, where its working sets live on a device, and what a step is predicted to cost."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import nn

from sizer.advice import Subject, advise_dense, advise_other
from sizer.coefficients import Coefficients
from sizer.errors import UnreachableError, UsageError
from sizer.hardware import Device
from sizer.inspection import InspectedNetwork, Passes, inspect_topologies
from sizer.losses import Loss, as_loss
from sizer.models.reading import unwrap
from sizer.models.topology import check_whole
from sizer.module_checks import check_module, check_trainable
from sizer.module_counts import Counts, StepSettings, count
from sizer.module_record import ModuleInspection
from sizer.optimizer_state import implementation, known_name, state_bytes
from sizer.placement import NOWHERE, Hierarchy, Placements, place_all
from sizer.recommendation import PlacedSet
from sizer.request import MAX_BATCH
from sizer.training import DTYPES, Training
from sizer.units import format_bytes
from sizer.working_sets import WorkingSet, WorkingSets, count_parameters, stack, working_sets

#: Activations that cost what the calibrated step's does: none, or one comparison.
_CALIBRATED_ACTIVATIONS = {(), ("relu",)}


def inspect_module(
    module: nn.Module,
    example_input: Any,
    batch_size: int | None,
    optimizer: Any,
    loss: Any,
    dtype: str | None,
    observations: int | None,
    device: str | None,
) -> ModuleInspection:
    """Inspect a module on this machine or a named device; see `sizer.inspect` for the arguments and errors."""
    from sizer.devices import choose

    inner = unwrap(module)
    check_module(inner)
    settings = step_settings(inner, example_input, batch_size, as_loss(loss), dtype)
    chosen = choose(device or _own_device(inner), precision(inner, settings))
    return inspect_step(module, settings, optimizer or "adam", observations, chosen.device, chosen.coefficients)


def inspect_step(
    module: nn.Module,
    settings: StepSettings,
    optimizer: Any,
    observations: int | None,
    device: Device,
    coefficients: Coefficients,
) -> ModuleInspection:
    """Inspect a module called as the settings say. Raises UsageError for a module that cannot be inspected."""
    inner = unwrap(module)
    check_module(inner)
    check_trainable(inner)
    levels = device.sizing_levels()
    if not levels:
        raise UnreachableError(
            f"no memory level of {device.id!r} has a known capacity; name a machine with --device PROFILE"
        )
    memory = _memory(inner, optimizer, precision(inner, settings))
    counts = count(inner, settings)
    training = _training(counts, memory, settings, optimizer, observations)
    hierarchy = Hierarchy.of(levels)
    sets = _working_sets(counts, memory, settings, training)
    placements = place_all(sets, hierarchy)
    network, outside = _price(counts, training, optimizer, device, coefficients)
    priced = None if outside else network
    largest = max(counts.layers, key=lambda layer: layer.transfer_bytes)
    if priced is None or counts.topology is None:
        advice = advise_other(Subject(counts.layers, sets, hierarchy, settings.batch_size))
    else:
        advice = advise_dense(counts.topology, training, hierarchy, coefficients)
    return ModuleInspection(
        device=device,
        coefficients=coefficients,
        module=type(inner).__name__,
        batch_size=settings.batch_size,
        dtype=memory.precision,
        optimizer=known_name(optimizer) or type(optimizer).__name__,
        optimizer_implementation=implementation(optimizer),
        loss=None if settings.loss is None else settings.loss.name,
        widths=None if counts.topology is None else counts.topology.full,
        num_parameters=memory.num_parameters,
        num_trainable_parameters=memory.num_trainable,
        parameter_bytes=memory.parameters,
        gradient_bytes=memory.gradients,
        buffer_bytes=memory.buffers,
        optimizer_state_bytes=memory.state,
        saved_activation_bytes=sum(layer.saved_bytes for layer in counts.layers),
        largest_transfer_layer=largest.name,
        largest_transfer_bytes=largest.transfer_bytes,
        flops=_sum_flops(counts),
        operations=None if network is None else network.operations,
        working_sets=_placed(sets, placements, hierarchy),
        layers=counts.layers,
        time_per_step_s=None if priced is None else priced.time_per_step_s,
        energy_per_step_j=None if priced is None else priced.energy_per_step_j,
        interval=None if priced is None else priced.interval,
        label=coefficients.label,
        outside=outside,
        refused=_refusal(sets, placements, hierarchy),
        advice=tuple(advice),
        notes=(*_wrapper_notes(module), *counts.notes),
    )


def step_settings(
    module: nn.Module, example_input: Any, batch_size: int | None, loss: Loss | None, dtype: str | None
) -> StepSettings:
    """How to call a module: with the example, or with a batch of the size that its first layer takes."""
    autocast = torch.bfloat16 if dtype == "mixed" else None
    if isinstance(example_input, Mapping):
        return StepSettings((), dict(example_input), loss, autocast)
    if isinstance(example_input, torch.Tensor):
        return StepSettings((example_input,), {}, loss, autocast)
    if isinstance(example_input, (list, tuple)) and any(isinstance(part, torch.Tensor) for part in example_input):
        return StepSettings(tuple(example_input), {}, loss, autocast)
    if example_input is not None:
        raise UsageError(
            f"example_input is {type(example_input).__name__}; expected a tensor, a tuple of them, or a dictionary of "
            f"keyword arguments (meta tensors will do)"
        )
    size = check_whole("batch_size", 256 if batch_size is None else batch_size, 1, MAX_BATCH)
    return StepSettings((_first_input(module, size),), {}, loss, autocast)


def _first_input(module: nn.Module, batch_size: int) -> torch.Tensor:
    first = next((part for part in module.modules() if any(p is not None for p in part._parameters.values())), None)
    if not isinstance(first, nn.Linear):
        raise UsageError(
            f"{type(module).__name__} starts with {type(first).__name__}, so a batch size does not tell its "
            f"input's shape; give example_input (--input 256,3,32,32 on the command line)"
        )
    return torch.empty(batch_size, first.in_features, dtype=first.weight.dtype, device="meta")


def _own_device(module: nn.Module) -> str | None:
    """The accelerator that the module is on, else None for the default."""
    device = next(module.parameters()).device
    return str(device) if device.type == "cuda" else None


def precision(module: nn.Module, settings: StepSettings) -> str:
    """The name in `DTYPES` of what a step computes in."""
    own = next((p.dtype for p in module.parameters() if p.is_floating_point()), torch.float32)
    if settings.autocast is not None and own == torch.float32:
        return "mixed"
    name = str(own).removeprefix("torch.")
    if name not in DTYPES:
        raise UsageError(f"{type(module).__name__} has parameters of type {name}; expected one of {', '.join(DTYPES)}")
    return name


@dataclass(frozen=True)
class _Memory:
    """Bytes that a training keeps whatever the batch."""

    precision: str
    num_parameters: int
    num_trainable: int
    parameters: int
    gradients: int
    buffers: int
    state: int | None


def _memory(module: nn.Module, optimizer: Any, dtype: str) -> _Memory:
    parameters = list(module.parameters())
    trainable = [parameter for parameter in parameters if parameter.requires_grad]
    return _Memory(
        dtype,
        sum(parameter.numel() for parameter in parameters),
        sum(parameter.numel() for parameter in trainable),
        sum(parameter.numel() * parameter.element_size() for parameter in parameters),
        sum(parameter.numel() * parameter.element_size() for parameter in trainable),
        sum(buffer.numel() * buffer.element_size() for buffer in module.buffers()),
        state_bytes(optimizer, trainable),
    )


def _working_sets(counts: Counts, memory: _Memory, settings: StepSettings, training: Training | None) -> WorkingSets:
    """The table of DESIGN section 2, in closed form for a fully connected network.

    For others what the step really saves takes the place of one value a unit and datum.
    """
    trained = 2 * memory.gradients + (memory.state or 0)
    o = _one_set(0, trained)
    if counts.topology is not None and training is not None:
        full = stack([counts.topology.full])
        return working_sets(full, count_parameters(full), training)._replace(o=o)
    mixed = DTYPES["mixed"].forward_parameter_bytes * memory.num_parameters
    forward = mixed if memory.precision == "mixed" else memory.parameters
    transfers = [layer.transfer_bytes for layer in counts.layers]
    kept = counts.input_bytes + sum(layer.saved_bytes for layer in counts.layers) + counts.output_bytes
    t = np.array(transfers, dtype=np.int64)[:, None]
    return WorkingSets(
        f=_one_set(forward, 0),
        t=WorkingSet(np.zeros_like(t), t),
        b=_one_set(forward + memory.gradients, max(0, kept - max(transfers))),
        o=o,
        d=_data_set(counts, settings, training),
    )


def _data_set(counts: Counts, settings: StepSettings, training: Training | None) -> WorkingSet | None:
    if training is None or training.observations is None or not settings.batch_size:
        return None
    return _one_set(0, training.observations * (counts.input_bytes + counts.output_bytes) // settings.batch_size)


def _one_set(replicated: int, distributed: int) -> WorkingSet:
    return WorkingSet(np.array([replicated], dtype=np.int64), np.array([distributed], dtype=np.int64))


def _placed(sets: WorkingSets, placements: Placements, hierarchy: Hierarchy) -> dict[str, PlacedSet | None]:
    placed: dict[str, PlacedSet | None] = {}
    for name in ("f", "b", "o", "t_max", "d"):
        found, placement = getattr(sets, name), getattr(placements, name)
        placed[name] = found and PlacedSet(int(found.total[0]), hierarchy.name(int(placement.level[0])))
    return placed


def _refusal(sets: WorkingSets, placements: Placements, hierarchy: Hierarchy) -> str | None:
    for name in ("t_max", "f", "b", "o", "d"):
        placement = getattr(placements, name)
        if placement is not None and placement.level[0] == NOWHERE:
            size = format_bytes(int(getattr(sets, name).total[0]))
            return f"{name} needs {size}; {hierarchy.names[-1]} offers {format_bytes(hierarchy.capacities[-1])}"
    return None


def _sum_flops(counts: Counts) -> Passes:
    return Passes(*(sum(getattr(layer.flops, name) for layer in counts.layers) for name in ("forward", "backward")))


def _training(
    counts: Counts, memory: _Memory, settings: StepSettings, optimizer: Any, observations: int | None
) -> Training:
    """The settings of the step as the cost model takes them; Adam stands in for an optimizer that it does not know."""
    batch_size = settings.batch_size or 1
    if counts.topology is not None:
        batch_size = settings.args[0].numel() // counts.topology.input_dim
    return Training(batch_size, memory.precision, known_name(optimizer) or "adam", observations)


def _price(
    counts: Counts, training: Training, optimizer: Any, device: Device, coefficients: Coefficients
) -> tuple[InspectedNetwork | None, str | None]:
    """The predicted step of a fully connected network, and why the prediction does not hold where it does not."""
    if counts.topology is None:
        return (
            None,
            f"{_OUTSIDE}: the module is not a plain fully connected network (biased Linear layers, all trained)",
        )
    network = inspect_topologies([counts.topology], training, device, coefficients).networks[0]
    if counts.activations not in _CALIBRATED_ACTIVATIONS:
        return network, f"{_OUTSIDE}: the activation is {counts.activations[0]}, not ReLU"
    if known_name(optimizer) is None:
        return network, f"{_OUTSIDE}: the optimizer is {type(optimizer).__name__}, not Adam, AdamW or SGD"
    if coefficients.source == "none":
        return network, "no cost coefficients for this device; `sizer calibrate` measures this machine"
    return network, None


_OUTSIDE = "outside what was calibrated"


def _wrapper_notes(module: nn.Module) -> tuple[str, ...]:
    if isinstance(module, nn.DataParallel):
        count_ = len(module.device_ids) or 1
        return (
            f"DataParallel splits each batch over {count_} replicas; this is the wrapped module with the whole batch",
        )
    return ()
