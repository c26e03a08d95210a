"""Inspecting a module: its counts, where its working sets live on a device, and what a step is predicted to cost."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace
from typing import Any

import torch
from torch import nn

from sizer.base.errors import UsageError
from sizer.base.units import counted, format_bytes
from sizer.devices import chosen_for
from sizer.inspection.advice_larger import advise_fused, advise_size
from sizer.inspection.advice_unpredicted import Subject, advise_other
from sizer.inspection.batch import batch_of
from sizer.inspection.checks import Loss, as_loss, check_module, check_trainable
from sizer.inspection.counts import StepSettings, count
from sizer.inspection.layer_levels import with_levels
from sizer.inspection.module_record import Advice, Counted, Memory, ModuleInspection
from sizer.inspection.neighbours import Neighbours, advise_dense, price_neighbours
from sizer.inspection.networks import Placed
from sizer.inspection.operator_prices import OperatorPrice, price_module, pricing_of
from sizer.inspection.optimizer_state import implementation, known_name
from sizer.inspection.prediction import (
    UNFUSED,
    PricedStep,
    is_fused,
    memory_of,
    module_sets,
    place_sets,
    price_step,
    training_of,
)
from sizer.method.coefficients import Coefficients
from sizer.method.hardware import Device
from sizer.method.placement import Hierarchy
from sizer.method.request import MAX_BATCH
from sizer.method.training_step import DTYPES, Training
from sizer.models.reading import unwrap
from sizer.models.topology import check_whole
from sizer.operators.tape import Tape


def inspect_module(
    module: nn.Module,
    example_input: Any,
    batch_size: int | None,
    optimizer: Any,
    loss: Any,
    dtype: str | None,
    observations: int | None,
    device: str | None,
    measure_missing_s: float | None = None,
) -> ModuleInspection:
    """Inspect a module on this machine or a named device; see `sizer.inspect` for the arguments and errors."""
    inner = unwrap(module)
    check_module(inner)
    settings = step_settings(inner, example_input, batch_size, as_loss(loss), dtype)
    _check_one_batch(example_input, batch_size, settings)
    chosen = chosen_for(device or _own_device(inner), precision(inner, settings))
    if measure_missing_s is not None:
        from sizer.inspection.operator_calibration import measure_missing

        measure_missing(inner, settings, optimizer or "adam", chosen.device, measure_missing_s)
    return inspect_step(module, settings, optimizer or "adam", observations, chosen.device, chosen.coefficients)


def inspect_step(
    module: nn.Module,
    settings: StepSettings,
    optimizer: Any,
    observations: int | None,
    device: Device,
    coefficients: Coefficients,
) -> ModuleInspection:
    """Inspect a module called as the settings say: count, place, price and advise.

    Raises UsageError for a module that cannot be inspected.
    """
    inner, hierarchy = unwrap(module), Hierarchy.of(device)
    check_module(inner)
    check_trainable(inner)
    memory = memory_of(inner, optimizer, precision(inner, settings))
    pricing = pricing_of(device, coefficients)
    tape = None if pricing is None else Tape()
    counts = count(inner, settings, tape)
    training = training_of(counts, memory, settings, optimizer, observations)
    near = None
    if counts.topology is not None:
        near = price_neighbours(counts.topology, training, hierarchy, coefficients)
    priced = price_step(counts, near, optimizer, device, coefficients)
    advice: Iterable[Advice]
    if near is not None and priced.network is not None and priced.prediction.outside is None:
        placed = Placed(priced.network.working_sets, priced.network.refused, priced.network.pushed_by)
        advice = _dense_advice(near, priced, optimizer, training, device, coefficients)
    else:
        sets = module_sets(counts, memory, settings, training)
        placed = place_sets(sets, hierarchy, memory)
        advice = advise_other(Subject(counts.layers, sets, hierarchy))
    by_operators = None
    if pricing is not None and tape is not None and priced.prediction.outside is not None:
        by_operators = price_module(inner, settings, optimizer, tape, pricing)
    prediction = priced.prediction if by_operators is None else by_operators.prediction
    counted = _with_times_and_levels(counts.record(), by_operators, inner, hierarchy, placed)
    batch = batch_of(inner, settings, counts)
    return ModuleInspection(
        device=device,
        coefficients=coefficients,
        module=type(inner).__name__,
        batch_size=batch.observations,
        first_dimension=batch.first_dimension,
        optimizer=known_name(optimizer) or type(optimizer).__name__,
        optimizer_implementation=implementation(optimizer),
        loss=None if settings.loss is None else settings.loss.name,
        advice=tuple(advice),
        notes=(*wrapper_notes(module), *state_notes(inner, optimizer, memory), *counts.notes, *priced.notes),
        operators=None if by_operators is None else by_operators.record,
        **vars(memory) | vars(counted) | vars(prediction) | vars(placed),
    )


def _with_times_and_levels(
    counted: Counted, by_operators: OperatorPrice | None, module: nn.Module, hierarchy: Hierarchy, placed: Placed
) -> Counted:
    """The counts with what each layer's operators take, where that is known, and where its sets live."""
    layers = counted.layers if by_operators is None else by_operators.of_layers(counted.layers, module)
    return replace(counted, layers=with_levels(layers, hierarchy, placed))


def _dense_advice(
    near: Neighbours, priced: PricedStep, optimizer: Any, training: Training, device: Device, coefficients: Coefficients
) -> Iterator[Advice]:
    """Advice for a fully connected network that is predicted."""
    yield from advise_size(near.topology, training, float(near.cost[0]), device, coefficients)
    yield from _fused(optimizer, training.optimizer, device)
    yield from advise_dense(near, priced.coefficients_for(coefficients))


def step_settings(
    module: nn.Module, example_input: Any, batch_size: int | None, loss: Loss | None, dtype: str | None
) -> StepSettings:
    """How to call a module: with the example, or with a batch of the size that its first layer takes."""
    autocast = torch.bfloat16 if dtype == "mixed" else None
    args: tuple[Any, ...] = ()
    if isinstance(example_input, Mapping):
        return StepSettings((), dict(example_input), loss, autocast)
    if example_input is None:
        size = check_whole("batch_size", 256 if batch_size is None else batch_size, 1, MAX_BATCH)
        args = (_first_input(module, size),)
    elif isinstance(example_input, torch.Tensor):
        args = (example_input,)
    elif isinstance(example_input, (list, tuple)) and any(isinstance(part, torch.Tensor) for part in example_input):
        args = tuple(example_input)
    else:
        raise UsageError(
            f"example_input is {type(example_input).__name__}; expected a tensor, a tuple of them, or a dictionary of "
            f"keyword arguments (meta tensors will do)"
        )
    return StepSettings(args, {}, loss, autocast)


def _fused(optimizer: Any, name: str, device: Device) -> Iterator[Advice]:
    """The fused form, where the optimizer is in another one on a CPU: on a GPU what that saves was not measured."""
    if device.kind == "cpu" and not is_fused(optimizer):
        yield from advise_fused(name, UNFUSED[name])


def _check_one_batch(example_input: Any, batch_size: int | None, settings: StepSettings) -> None:
    """Raises UsageError for a batch size beside an example of another size."""
    if example_input is None or batch_size is None:
        return
    shapes = [tensor.shape for tensor in settings.tensors if tensor.dim()]
    # (time may come first, and a fully connected network's observations are all its rows)
    sizes = {size for shape in shapes for size in (*shape[:2], shape.numel() // max(1, shape[-1]))}
    if shapes and batch_size not in sizes:
        raise UsageError(
            f"batch_size is {batch_size} and the example has {counted(shapes[0][0], 'observation')} (its shape is "
            f"{','.join(map(str, shapes[0]))}); leave out the batch size, or give an example of that many"
        )


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


def state_notes(module: nn.Module, optimizer: Any, memory: Memory) -> Iterator[str]:
    """What to know of the state that a module and its optimizer are in."""
    if not module.training:
        yield (
            f"{type(module).__name__} is in evaluation mode (.eval()) and was inspected so: dropout and batch "
            f"statistics as in inference; call .train() first for a step of a training"
        )
    if memory.optimizer_state_bytes is None:
        yield (
            f"what {type(optimizer).__name__} keeps beside parameters and gradients is not known before its first "
            f"step, so that the optimizer's set (twice the gradients, {format_bytes(2 * memory.gradient_bytes)}, and "
            f"that state) is not known either"
        )


def wrapper_notes(module: nn.Module) -> Iterator[str]:
    """What to know of a module in a wrapper, or one that is compiled."""
    inner = unwrap(module)
    if "_orig_mod" in module._modules or inner._compiled_call_impl is not None:
        yield (
            f"{type(inner).__name__} is compiled; this is the step that it takes without torch.compile, which fuses "
            f"operators: a compiled one is usually faster"
        )
    if isinstance(module, nn.DataParallel):
        replicas = len(module.device_ids) or 1
        yield (
            f"DataParallel splits each batch over {replicas} replicas; this is the wrapped module with the whole batch"
        )
