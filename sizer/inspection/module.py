"""Inspecting a module: its counts, where its working sets live on a device, and what a step is predicted to cost."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

import torch
from torch import nn

from sizer.base.errors import UsageError
from sizer.devices import chosen_for
from sizer.inspection.advice_predicted import advise_dense
from sizer.inspection.advice_unpredicted import Subject, advise_other
from sizer.inspection.batch import batch_of
from sizer.inspection.checks import check_module, check_trainable
from sizer.inspection.counts import Counts, StepSettings, count
from sizer.inspection.losses import Loss, as_loss
from sizer.inspection.module_record import ModuleInspection
from sizer.inspection.module_sets import Memory, memory_of, module_sets, place_sets
from sizer.inspection.neighbours import Neighbours, price_neighbours
from sizer.inspection.networks import Passes
from sizer.inspection.optimizer_state import implementation, known_name
from sizer.inspection.prediction import PricedStep, price_step, training_of
from sizer.method.coefficients import Coefficients
from sizer.method.hardware import Device
from sizer.method.placement import Hierarchy
from sizer.method.request import MAX_BATCH
from sizer.method.training_step import DTYPES, Training
from sizer.models.reading import unwrap
from sizer.models.topology import check_whole


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
    inner = unwrap(module)
    check_module(inner)
    settings = step_settings(inner, example_input, batch_size, as_loss(loss), dtype)
    chosen = chosen_for(device or _own_device(inner), precision(inner, settings))
    step = _Step(inner, settings, optimizer or "adam", observations, chosen.device, chosen.coefficients)
    return step.inspect(wrapper_notes(module))


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
    step = _Step(inner, settings, optimizer, observations, device, coefficients)
    return step.inspect(wrapper_notes(module))


class _Step(NamedTuple):
    """A step to inspect, of a module that `check_module` lets pass."""

    module: nn.Module
    settings: StepSettings
    optimizer: Any
    observations: int | None
    device: Device
    coefficients: Coefficients

    def inspect(self, wrapper_notes: tuple[str, ...]) -> ModuleInspection:
        """Count, place, price and advise."""
        check_trainable(self.module)
        memory = memory_of(self.module, self.optimizer, precision(self.module, self.settings))
        counts = count(self.module, self.settings)
        training = training_of(counts, memory, self.settings, self.optimizer, self.observations)
        near = self._near(counts, training)
        priced = price_step(counts, near, self.optimizer, self.device, self.coefficients)
        if near is not None and priced.outside is None:
            placed = _as_network(near, priced, self.coefficients)
        else:
            placed = self._as_any_module(counts, memory, training)
        return ModuleInspection(
            device=self.device,
            coefficients=self.coefficients,
            notes=(*wrapper_notes, *counts.notes, *priced.notes),
            **self._named(counts),
            **counted_fields(counts),
            **kept_fields(memory),
            **priced.fields(),
            **placed,
        )

    def _near(self, counts: Counts, training: Training) -> Neighbours | None:
        """A fully connected network priced with those near it."""
        if counts.topology is None:
            return None
        return price_neighbours(counts.topology, training, Hierarchy.of(self.device), self.coefficients)

    def _named(self, counts: Counts) -> dict[str, Any]:
        """What is inspected."""
        batch = batch_of(self.module, self.settings, counts)
        return {
            "module": type(self.module).__name__,
            "batch_size": batch.observations,
            "first_dimension": batch.first_dimension,
            "optimizer": known_name(self.optimizer) or type(self.optimizer).__name__,
            "optimizer_implementation": implementation(self.optimizer),
            "loss": None if self.settings.loss is None else self.settings.loss.name,
        }

    def _as_any_module(self, counts: Counts, memory: Memory, training: Training) -> dict[str, Any]:
        """Where the sets live, and the advice that needs no prediction."""
        hierarchy = Hierarchy.of(self.device)
        sets = module_sets(counts, memory, self.settings, training)
        placed, refused = place_sets(sets, hierarchy)
        advice = advise_other(Subject(counts.layers, sets, hierarchy))
        return {"working_sets": placed, "refused": refused, "advice": tuple(advice)}


def _as_network(near: Neighbours, priced: PricedStep, coefficients: Coefficients) -> dict[str, Any]:
    """Where the sets of a network with a prediction live, and the advice that follows from it."""
    assert priced.network is not None
    advice = advise_dense(near, priced.coefficients_for(coefficients))
    network = priced.network
    return {"working_sets": network.working_sets, "refused": network.refused, "advice": tuple(advice)}


def counted_fields(counts: Counts) -> dict[str, Any]:
    """What a step computes, saves and moves."""
    largest = max(counts.layers, key=lambda layer: layer.transfer_bytes)
    return {
        "widths": None if counts.topology is None else counts.topology.full,
        "saved_activation_bytes": sum(layer.saved_bytes for layer in counts.layers),
        "largest_transfer_layer": largest.name,
        "largest_transfer_bytes": largest.transfer_bytes,
        "flops": _sum_flops(counts),
        "layers": counts.layers,
    }


def kept_fields(memory: Memory) -> dict[str, Any]:
    """What a training keeps whatever the batch."""
    return {
        "dtype": memory.precision,
        "num_parameters": memory.num_parameters,
        "num_trainable_parameters": memory.num_trainable,
        "parameter_bytes": memory.parameters,
        "gradient_bytes": memory.gradients,
        "buffer_bytes": memory.buffers,
        "optimizer_state_bytes": memory.state,
    }


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
    own = next((p.dtype for p in module.parameters() if p.is_floating_point() or p.is_complex()), torch.float32)
    if settings.autocast is not None and own == torch.float32:
        return "mixed"
    name = str(own).removeprefix("torch.")
    if name not in DTYPES:
        raise UsageError(f"{type(module).__name__} has parameters of type {name}; expected one of {', '.join(DTYPES)}")
    return name


def _sum_flops(counts: Counts) -> Passes:
    return Passes(*(sum(getattr(layer.flops, name) for layer in counts.layers) for name in ("forward", "backward")))


def wrapper_notes(module: nn.Module) -> tuple[str, ...]:
    """What to know of a module in a wrapper."""
    if isinstance(module, nn.DataParallel):
        count_ = len(module.device_ids) or 1
        return (
            f"DataParallel splits each batch over {count_} replicas; this is the wrapped module with the whole batch",
        )
    return ()
