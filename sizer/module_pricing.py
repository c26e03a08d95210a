"""What a step of a module is predicted to cost, and why there is no prediction where there is none."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

from sizer.coefficients import Coefficients
from sizer.hardware import Device
from sizer.inspection import OUTSIDE, InspectedNetwork, inspect_topologies
from sizer.module_counts import Counts, StepSettings
from sizer.module_sets import Memory
from sizer.optimizer_state import implementation, known_name
from sizer.training import Training

#: Activations that cost what the calibrated step's does: none, or one comparison.
_CALIBRATED_ACTIVATIONS = {(), ("relu",)}

#: How much longer a step takes with torch's foreach or single-tensor optimizers than with the fused ones, on a CPU: 1.4
#: to 1.6 times on the networks tried (DESIGN section 3 and 4). The interval allows for more, since few were tried.
_UNFUSED = 1.5
_UNFUSED_INTERVAL = (1.0, 2.0)


@dataclass(frozen=True)
class PricedStep:
    """A step's prediction: the network's, or the reason why there is none; what to know about it."""

    network: InspectedNetwork | None
    label: str
    outside: str | None = None
    notes: tuple[str, ...] = ()
    time_s: float | None = None
    interval: tuple[float, float] | None = None

    def coefficients_for(self, coefficients: Coefficients) -> Coefficients:
        """The coefficients with this prediction's own interval, for what is compared with it."""
        cost = self.time_s if self.network is None or self.time_s is not None else self.network.energy_per_step_j
        if not cost or self.interval is None:
            return coefficients
        low, high = self.interval
        return replace(coefficients, label=self.label, interval=(low / cost, high / cost))

    def fields(self) -> dict[str, Any]:
        """The record's fields."""
        network = self.network
        energy = None if network is None or self.outside is not None else network.energy_per_step_j
        return {
            "operations": None if network is None else network.operations,
            "time_per_step_s": self.time_s,
            "energy_per_step_j": energy,
            "interval": self.interval,
            "label": self.label,
            "outside": self.outside,
        }


def training_of(
    counts: Counts, memory: Memory, settings: StepSettings, optimizer: Any, observations: int | None
) -> Training:
    """The settings of the step as the cost model takes them; Adam stands in for an optimizer that it does not know."""
    batch_size = settings.batch_size or 1
    if counts.topology is not None:
        batch_size = settings.args[0].numel() // counts.topology.input_dim
    return Training(batch_size, memory.precision, known_name(optimizer) or "adam", observations)


def price_step(
    counts: Counts, training: Training, optimizer: Any, device: Device, coefficients: Coefficients
) -> PricedStep:
    """The predicted step of a fully connected network, or why the prediction does not hold."""
    if counts.topology is None:
        no_network = f"{OUTSIDE}: the module is not a plain fully connected network (biased Linear layers, all trained)"
        return PricedStep(None, coefficients.label, no_network)
    inspected = inspect_topologies([counts.topology], training, device, coefficients)
    network = inspected.networks[0]
    reason = _why_outside(counts, optimizer, device, coefficients)
    if reason is not None:
        return PricedStep(network, coefficients.label, reason)
    priced = PricedStep(network, network.label, None, inspected.notes, network.time_per_step_s, network.interval)
    return priced if _is_fused(optimizer) else _unfused(priced, optimizer)


def _why_outside(counts: Counts, optimizer: Any, device: Device, coefficients: Coefficients) -> str | None:
    if counts.activations not in _CALIBRATED_ACTIVATIONS:
        return f"{OUTSIDE}: the activation is {counts.activations[0]}, not ReLU"
    if known_name(optimizer) is None:
        return f"{OUTSIDE}: the optimizer is {type(optimizer).__name__}, not Adam, AdamW or SGD"
    if coefficients.source == "none":
        return "no cost coefficients for this device; `sizer calibrate` measures this machine"
    if not _is_fused(optimizer) and (device.kind != "cpu" or coefficients.quantity != "time"):
        return (
            f"{OUTSIDE}: {type(optimizer).__name__} is in its {implementation(optimizer)} form, and the fused one was "
            f"measured; what the other costs here is not known"
        )
    return None


def _is_fused(optimizer: Any) -> bool:
    return implementation(optimizer) in ("fused", None)


def _unfused(priced: PricedStep, optimizer: Any) -> PricedStep:
    """An estimate for an optimizer in another form than the measured one."""
    assert priced.time_s is not None
    low, high = (priced.time_s, priced.time_s) if priced.interval is None else priced.interval
    note = (
        f"{type(optimizer).__name__} is in its {implementation(optimizer)} form, which was not measured: the "
        f"prediction is that of the fused form times {_UNFUSED} (an estimate), its interval times "
        f"{_UNFUSED_INTERVAL[0]:g} to {_UNFUSED_INTERVAL[1]:g}; fused=True is faster on a CPU"
    )
    return PricedStep(
        priced.network,
        "estimated",
        None,
        (*priced.notes, note),
        _UNFUSED * priced.time_s,
        (_UNFUSED_INTERVAL[0] * low, _UNFUSED_INTERVAL[1] * high),
    )
