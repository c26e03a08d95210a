"""What a step of a module is predicted to cost, and why there is no prediction where there is none."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

from sizer.inspection.counts import NOT_DENSE, Counts, StepSettings
from sizer.inspection.module_sets import Memory
from sizer.inspection.neighbours import Neighbours
from sizer.inspection.networks import InspectedNetwork, inspect_priced
from sizer.inspection.optimizer_state import implementation, known_name
from sizer.method.coefficients import OUTSIDE, Coefficients
from sizer.method.hardware import Device
from sizer.method.training_step import Training

#: Activations that cost what the calibrated step's does: none, or one comparison.
_CALIBRATED_ACTIVATIONS = {(), ("relu",)}

#: How many times as long a step takes with torch's foreach or single-tensor optimizers as with the fused ones, on a
#: CPU, and the range. Measured on one thread (docs/benchmarks.md): 1.09 to 1.79 for Adam, 0.89 to 1.04 for SGD, 1.02 to
#: 1.18 with momentum; on two, where the fused form gains from the second, 1.4 to 1.6 for Adam (DESIGN section 4).
_UNFUSED = {
    "adam": (1.5, 1.05, 2.0),
    "adamw": (1.5, 1.05, 2.0),
    "sgd": (1.0, 0.85, 1.15),
    "sgd-momentum": (1.1, 1, 1.2),
}


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
    counts: Counts, near: Neighbours | None, optimizer: Any, device: Device, coefficients: Coefficients
) -> PricedStep:
    """The predicted step of a fully connected network, priced with those near it; or why there is no prediction."""
    if near is None:
        return PricedStep(None, coefficients.label, f"{OUTSIDE}: {counts.not_closed or NOT_DENSE}")
    inspected = inspect_priced(near.topology, near.networks, near.cost, device, coefficients)
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
    low, high = priced.interval or (priced.time_s, priced.time_s)
    factor, least, most = _UNFUSED[known_name(optimizer) or "adam"]
    note = (
        f"{type(optimizer).__name__} is in its {implementation(optimizer)} form, which was not measured: the "
        f"prediction is that of the fused form times {factor:g} (an estimate), its interval times {least:g} to {most:g}"
    ) + ("; fused=True is faster on a CPU" if least >= 1 else "")
    interval = least * low, most * high
    return PricedStep(priced.network, "estimated", None, (*priced.notes, note), factor * priced.time_s, interval)
