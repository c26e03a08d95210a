"""What a step of any module is predicted to cost, from the operators it calls, where these were timed here."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from math import exp, sqrt
from typing import Any, NamedTuple

import torch
from torch import nn

from sizer.inspection.counts import StepSettings, note_calls
from sizer.inspection.module_record import KindTime, LayerRecord, ModuleInspection, OperatorsRecord, Prediction
from sizer.inspection.networks import Passes
from sizer.inspection.optimizer_tape import note_optimizer
from sizer.method.coefficients import OUTSIDE, Coefficients
from sizer.method.hardware import Device, is_detected
from sizer.operators.between import TERMS, Between, fit_between, made_of
from sizer.operators.datasheet import Roofline, has_roofline
from sizer.operators.kinds import other_types
from sizer.operators.library import Library, library_of
from sizer.operators.prices import UNKNOWN, Prices
from sizer.operators.step_price import Priced, StepSum, sum_step
from sizer.operators.tape import BACKWARD, FORWARD, OPTIMIZER, Tape

#: Share of a step that may be operators of which nothing is known.
MOST_UNKNOWN = 0.2
#: Half of a 90 % interval in standard deviations.
_HALF_WIDTH = 1.645
#: Operators named in a reason.
_NAMED = 3


class OperatorPrice(NamedTuple):
    """A step priced by its operators: the prediction, what it rests on, and each layer's times in s by phase."""

    prediction: Prediction
    record: OperatorsRecord
    layers: Mapping[str, Mapping[str, float]]

    def of_layers(self, layers: Sequence[LayerRecord], module: nn.Module) -> tuple[LayerRecord, ...]:
        """The layers with their times, and the module's other parts that take time, such as activations."""
        known = {layer.name: layer for layer in layers}
        parts = dict(module.named_modules())
        every = [
            known.get(name) or _without_counts(name, parts[name]) for name in parts if name in {*known, *self.layers}
        ]
        whole = sum(layer.parameter_bytes for layer in every)
        optimizer_s = self.record.optimizer_s / whole if whole else 0.0
        return tuple(
            replace(
                layer,
                time_forward_s=self.layers.get(layer.name, {}).get(FORWARD, 0.0),
                time_backward_s=self.layers.get(layer.name, {}).get(BACKWARD, 0.0),
                time_optimizer_s=optimizer_s * layer.parameter_bytes,
            )
            for layer in every
        )


def _without_counts(name: str, part: nn.Module) -> LayerRecord:
    """A part of a module that has no parameters, saves nothing and counts no FLOPs."""
    return LayerRecord(name, type(part).__name__, 0, 0, 0, 0, Passes(0, 0), None)


class Pricing(NamedTuple):
    """What prices the calls of a step on a device, and what lies between them.

    ``cache_bytes`` is what the last cache holds; ``timed_calls`` counts the library, 0 for a datasheet.
    """

    prices: Priced
    between: Between
    cache_bytes: float
    timed_calls: int

    @property
    def label(self) -> str:
        """What a prediction by them is."""
        return "calibrated" if self.timed_calls else "estimated"


#: A datasheet's roofline has what launching a call takes in the call itself.
_OPERATORS_ALONE = Between((1.0, *[0.0] * (len(TERMS) - 1)), 0.0)


def pricing_of(device: Device, coefficients: Coefficients) -> Pricing | None:
    """What prices operators on a device: timings of this machine's CPU, a roofline of one that is planned for.

    None where there is neither.
    """
    library = own_library(device)
    if library is not None:
        return Pricing(prices_of(library), fit_between(library.steps), cache_bytes(device), len(library.times))
    if is_detected(device) or not has_roofline(coefficients):
        return None
    return Pricing(Roofline(device, coefficients), _OPERATORS_ALONE, cache_bytes(device), 0)


def own_library(device: Device) -> Library | None:
    """The timings that hold for a device: this machine's CPU with torch's threads; None where there are none."""
    if device.id != "cpu" or device.kind != "cpu":
        return None
    return library_of(torch.get_num_threads())


def price_calls(tape: Tape, pricing: Pricing, optimizer: Any, trainable: Sequence[nn.Parameter]) -> OperatorPrice:
    """The price of a step whose passes are on the tape; the optimizer's calls are added to it."""
    known = OPTIMIZER in {each.phase for each in tape.calls} or note_optimizer(tape, optimizer, trainable)
    found = sum_step(tape, pricing.prices, pricing.cache_bytes)
    step_s = pricing.between.step_s(made_of(found, kept_bytes(tape)))
    record = _record(found, tape, pricing, step_s)
    reason = None if known else f"{OUTSIDE}: what a step of {type(optimizer).__name__} calls cannot be traced"
    prediction = _prediction(found, pricing, step_s, reason or _why_outside(found, tape, record))
    scale = step_s / found.total_s if found.total_s else 0.0
    layers: dict[str, dict[str, float]] = {}
    for (layer, phase), seconds in found.by_layer.items():
        if phase != OPTIMIZER:
            layers.setdefault(layer, {})[phase] = scale * seconds
    return OperatorPrice(prediction, record, layers)


def price_module(
    module: nn.Module, settings: StepSettings, optimizer: Any, tape: Tape, pricing: Pricing
) -> OperatorPrice:
    """The price of a module's step; a tape without calls is filled first, as of a network counted in closed form."""
    if not tape.calls:
        note_calls(module, settings, tape)
    return price_calls(tape, pricing, optimizer, [p for p in module.parameters() if p.requires_grad])


def several_calls(record: ModuleInspection, times: int) -> dict[str, Any]:
    """What changes in a record that was priced by its operators where the module is called several times in a step."""
    assert record.operators is not None
    again = (times - 1) * record.operators.passes_s
    changed: dict[str, Any] = {
        "operators": replace(
            record.operators, passes_s=times * record.operators.passes_s, calls=times * record.operators.calls
        )
    }
    if record.time_per_step_s is not None and record.interval is not None:
        grown = (record.time_per_step_s + again) / record.time_per_step_s
        low, high = record.interval
        changed |= {"time_per_step_s": grown * record.time_per_step_s, "interval": (grown * low, grown * high)}
    return changed


_prices: dict[int, tuple[Library, int, Prices]] = {}


def prices_of(library: Library) -> Prices:
    """The prices by a library, whose families are fitted once while nothing is added to it."""
    kept = _prices.get(id(library))
    if kept is None or kept[0] is not library or kept[1] != len(library.times):
        _prices.clear()
        _prices[id(library)] = kept = library, len(library.times), Prices(library)
    return kept[2]


def cache_bytes(device: Device) -> float:
    """Capacity of a device's last cache in bytes, the effective one where a calibration found it."""
    caches = device.caches()
    return float(caches[-1].sizing_bytes or 0) if caches else 0.0


def kept_bytes(tape: Tape) -> int:
    """Bytes that the calls of a step are given anew."""
    return sum(each.call.bytes_out for each in tape.calls if not each.call.in_place)


def _prediction(found: StepSum, pricing: Pricing, step_s: float, outside: str | None) -> Prediction:
    if outside is not None or not step_s:
        reason = outside or f"{OUTSIDE}: the step calls no operator"
        return Prediction(None, None, None, None, pricing.label, reason)
    if pricing.timed_calls:
        deviation = sqrt(pricing.between.deviation**2 + found.variance_s2 / found.total_s**2)
    else:  # (what is wrong with a datasheet is so of every call)
        deviation = max(price.deviation for _, price in found.known.values())
    spread = exp(_HALF_WIDTH * deviation)
    return Prediction(None, step_s, None, (step_s / spread, step_s * spread), pricing.label, None)


def _record(found: StepSum, tape: Tape, pricing: Pricing, step_s: float) -> OperatorsRecord:
    total = found.total_s or 1.0
    optimizer_s = sum(seconds for (_, phase), seconds in found.by_layer.items() if phase == OPTIMIZER)
    optimizer_s *= step_s / total
    kinds = sorted(found.by_kind.items(), key=lambda item: -item[1])
    unnoted = sum(tape.unnoted.values()) / max(len(tape.calls) + sum(tape.unnoted.values()), 1)
    shares = {how: (1 - unnoted) * seconds / total for how, seconds in found.by_how.items()}
    return OperatorsRecord(
        source="timed" if pricing.timed_calls else "datasheet",
        measured_share=shares.get("measured", 0.0),
        interpolated_share=shares.get("interpolated", 0.0),
        unknown_share=shares.get(UNKNOWN, 0.0) + unnoted,
        calls=len(tape.calls),
        passes_s=step_s - optimizer_s,
        optimizer_s=optimizer_s,
        between_s=max(step_s - total, 0.0),
        kinds=tuple(KindTime(kind, seconds, seconds / total) for kind, seconds in kinds),
        unknown=_unknown(found, tape),
        timed_calls=pricing.timed_calls,
    )


def _unknown(found: StepSum, tape: Tape) -> tuple[str, ...]:
    """The operators of which nothing is known, the dearest first."""
    guessed: dict[str, float] = dict.fromkeys(tape.unnoted, 0.0)
    for key, seconds in found.by_call.items():
        call, price = found.known[key]
        if price.how == UNKNOWN:
            guessed[call.operator] = guessed.get(call.operator, 0.0) + seconds
    return tuple(sorted(guessed, key=lambda name: -guessed[name]))


def _why_outside(found: StepSum, tape: Tape, record: OperatorsRecord) -> str | None:
    if record.unknown_share <= MOST_UNKNOWN:
        return None
    names = _unknown(found, tape)[:_NAMED]
    share = f"{100 * record.unknown_share:.0f} %"
    named = [call for call, price in found.known.values() if price.how == UNKNOWN and call.operator in names]
    types = sorted({name for call in named for name in other_types(call)})
    in_types = f" in {' and '.join(types)}" if all(map(other_types, named)) else ""
    return (
        f"{OUTSIDE}: {share} of the step are operators of a kind that was not timed here{in_types} ({', '.join(names)})"
    )
