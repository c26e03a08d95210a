"""A module's working sets on a device's levels, and what a step is predicted to cost, or why nothing is predicted."""

from __future__ import annotations

from dataclasses import replace
from typing import Any, NamedTuple

import numpy as np
from torch import nn

from sizer.inspection.counts import NOT_DENSE, Counts, StepSettings
from sizer.inspection.module_record import Memory, Prediction
from sizer.inspection.neighbours import Neighbours
from sizer.inspection.networks import InspectedNetwork, Placed, inspect_priced, placed
from sizer.inspection.optimizer_state import implementation, known_name, state_bytes
from sizer.method.coefficients import OUTSIDE, Coefficients
from sizer.method.hardware import Device
from sizer.method.placement import Hierarchy, place_all
from sizer.method.training_step import DTYPES, Training
from sizer.method.working_sets import WorkingSet, WorkingSets, count_parameters, stack, working_sets


def memory_of(module: nn.Module, optimizer: Any, dtype: str) -> Memory:
    """What a module and its optimizer keep; ``dtype`` is the name in `DTYPES` of what a step computes in."""
    parameters = list(module.parameters())
    trainable = [parameter for parameter in parameters if parameter.requires_grad]
    return Memory(
        dtype=dtype,
        num_parameters=sum(parameter.numel() for parameter in parameters),
        num_trainable_parameters=sum(parameter.numel() for parameter in trainable),
        parameter_bytes=sum(parameter.nbytes for parameter in parameters),
        gradient_bytes=sum(parameter.nbytes for parameter in trainable),
        buffer_bytes=sum(buffer.nbytes for buffer in module.buffers()),
        optimizer_state_bytes=state_bytes(optimizer, trainable),
    )


def module_sets(counts: Counts, memory: Memory, settings: StepSettings, training: Training | None) -> WorkingSets:
    """The paper's working sets (`docs/method.md`), in closed form for a fully connected network.

    For others what the step really saves takes the place of one value a unit and datum.
    """
    o = _one_set(0, 2 * memory.gradient_bytes + (memory.optimizer_state_bytes or 0))
    if counts.topology is not None and training is not None:
        full = stack([counts.topology.full])
        return working_sets(full, count_parameters(full), training)._replace(o=o)
    mixed = DTYPES["mixed"].forward_parameter_bytes * memory.num_parameters
    forward = mixed if memory.dtype == "mixed" else memory.parameter_bytes
    t = np.array([layer.transfer_bytes for layer in counts.layers], dtype=np.int64)[:, None]
    kept = counts.input_bytes + sum(layer.saved_bytes for layer in counts.layers) + counts.output_bytes
    data, batch_size = training and training.observations, settings.batch_size
    moved = counts.input_bytes + counts.output_bytes
    return WorkingSets(
        f=_one_set(forward, 0),
        t=WorkingSet(np.zeros_like(t), t),
        b=_one_set(forward + memory.gradient_bytes, max(0, kept - int(t.max()))),
        o=o,
        d=_one_set(0, data * moved // batch_size) if data is not None and batch_size else None,
    )


def _one_set(replicated: int, distributed: int) -> WorkingSet:
    return WorkingSet(np.array([replicated], dtype=np.int64), np.array([distributed], dtype=np.int64))


def place_sets(sets: WorkingSets, hierarchy: Hierarchy, memory: Memory) -> Placed:
    """Bytes and level of each working set, and why the module cannot run on the device where it cannot.

    Without the optimizer's state o is not known.
    """
    found = placed(sets, place_all(sets, hierarchy), hierarchy)
    if memory.optimizer_state_bytes is None:
        return replace(found, working_sets={**found.working_sets, "o": None})
    return found


#: Activations that cost what the calibrated step's does: none, or one comparison.
_CALIBRATED_ACTIVATIONS = {(), ("relu",)}

#: How many times as long a step takes with torch's foreach or single-tensor optimizers as with the fused ones, on a
#: CPU, and the range. Measured on one thread (docs/benchmarks.md): 1.09 to 1.79 for Adam, 0.89 to 1.04 for SGD, 1.02 to
#: 1.18 with momentum; on two, where the fused form gains from the second, 1.4 to 1.6 for Adam.
UNFUSED = {
    "adam": (1.5, 1.05, 2.0),
    "adamw": (1.5, 1.05, 2.0),
    "sgd": (1.0, 0.85, 1.15),
    "sgd-momentum": (1.1, 1, 1.2),
}


#: The same on a GPU whose calibration timed the fused form alone, or that has none: assumed, a foreach optimizer moves
#: its tensors two to three times and launches some ten kernels where a fused one launches one.
_UNFUSED_ON_GPU = (1.5, 1.0, 3.0)


class PricedStep(NamedTuple):
    """A step's prediction, the network that it is of (None for another module), what to know about it."""

    network: InspectedNetwork | None
    prediction: Prediction
    notes: tuple[str, ...] = ()

    def coefficients_for(self, coefficients: Coefficients) -> Coefficients:
        """The coefficients with this prediction's own interval, for what is compared with it."""
        cost, interval = self.prediction.time_per_step_s or self.prediction.energy_per_step_j, self.prediction.interval
        if not cost or interval is None:
            return coefficients
        return replace(coefficients, label=self.prediction.label, interval=(interval[0] / cost, interval[1] / cost))


def training_of(
    counts: Counts, memory: Memory, settings: StepSettings, optimizer: Any, observations: int | None
) -> Training:
    """The settings of the step as the cost model takes them; Adam stands in for an optimizer that it does not know."""
    batch_size = settings.batch_size or 1
    if counts.topology is not None:
        batch_size = settings.args[0].numel() // counts.topology.input_dim
    name, form = known_name(optimizer) or "adam", implementation(optimizer) or "fused"
    return Training(batch_size, memory.dtype, name, observations, optimizer_form=form)


def price_step(
    counts: Counts, near: Neighbours | None, optimizer: Any, device: Device, coefficients: Coefficients
) -> PricedStep:
    """The predicted step of a fully connected network, priced with those near it; or why there is no prediction."""
    if near is None:
        no_network = f"{OUTSIDE}: {counts.not_closed or NOT_DENSE}"
        return PricedStep(None, Prediction(None, None, None, None, coefficients.label, no_network))
    inspected = inspect_priced(near.topology, near.networks, near.cost, device, coefficients)
    network = inspected.networks[0]
    reason = _why_outside(counts, optimizer, coefficients)
    if reason is not None:
        return PricedStep(network, Prediction(network.operations, None, None, None, coefficients.label, reason))
    time_s, energy_j = network.time_per_step_s, network.energy_per_step_j
    prediction = Prediction(network.operations, time_s, energy_j, network.interval, network.label, None)
    priced = PricedStep(network, prediction, inspected.notes)
    if is_fused(optimizer) or _timed_in(implementation(optimizer), coefficients):
        return priced
    return _unfused(priced, optimizer, device.kind)


def _why_outside(counts: Counts, optimizer: Any, coefficients: Coefficients) -> str | None:
    if counts.activations not in _CALIBRATED_ACTIVATIONS:
        return f"{OUTSIDE}: the activation is {counts.activations[0]}, not ReLU"
    if known_name(optimizer) is None:
        return f"{OUTSIDE}: the optimizer is {type(optimizer).__name__}, not Adam, AdamW or SGD"
    if coefficients.source == "none":
        return "no cost coefficients for this device; `sizer calibrate` measures this machine (--quick: in 8 s)"
    known = is_fused(optimizer) or _timed_in(implementation(optimizer), coefficients)
    if not known and coefficients.quantity != "time":
        return (
            f"{OUTSIDE}: {type(optimizer).__name__} is in its {implementation(optimizer)} form, and the fused one was "
            f"measured; what the other costs here is not known"
        )
    return None


def _timed_in(form: str | None, coefficients: Coefficients) -> bool:
    """Whether the optimizer's form was among those that were timed, as a calibration of a GPU notes."""
    forms = coefficients.conditions.get("optimizer_forms")
    return isinstance(forms, list) and form in forms


def is_fused(optimizer: Any) -> bool:
    """Whether an optimizer is in the form that was measured, or is named only."""
    return implementation(optimizer) in ("fused", None)


def _unfused(priced: PricedStep, optimizer: Any, kind: str) -> PricedStep:
    """An estimate for an optimizer in another form than the measured one."""
    found = priced.prediction
    assert found.time_per_step_s is not None
    low, high = found.interval or (found.time_per_step_s, found.time_per_step_s)
    factor, least, most = UNFUSED[known_name(optimizer) or "adam"] if kind == "cpu" else _UNFUSED_ON_GPU
    note = (
        f"{type(optimizer).__name__} is in its {implementation(optimizer)} form, which was not measured: the "
        f"prediction is that of the fused form times {factor:g} (an estimate), its interval times {least:g} to {most:g}"
    ) + ("; fused=True is faster" + (" on a CPU" if kind == "cpu" else "") if least >= 1 else "")
    time_s, interval = factor * found.time_per_step_s, (least * low, most * high)
    estimate = replace(found, time_per_step_s=time_s, interval=interval, label="estimated")
    return PricedStep(priced.network, estimate, (*priced.notes, note))
