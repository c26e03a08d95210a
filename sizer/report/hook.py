"""What the hook prints: plain lines, made without the libraries that a command's report loads."""

from __future__ import annotations

from collections.abc import Iterator

from sizer.base.units import format_bytes, format_count, format_quantity
from sizer.inspection.module_record import Advice, ModuleInspection


def report_text(record: ModuleInspection) -> str:
    """The report: what trains, where its sets live, what a step is predicted to cost, what would be worth changing."""
    return "\n".join(f"sizer: {line}" for line in _lines(record))


def _lines(record: ModuleInspection) -> Iterator[str]:
    widths = "" if record.widths is None else f" {'-'.join(map(str, record.widths))}"
    settings = f"batch {record.batch_size}, {record.dtype}, {record.optimizer}"
    if record.optimizer_implementation is not None:
        settings += f" ({record.optimizer_implementation})"
    parameters = f"{format_count(record.num_parameters)} parameters"
    yield f"{record.module}{widths}, {parameters}, {settings}, on {record.device.id}"
    placed = [
        f"{name} {format_bytes(found.bytes)} in {found.level or 'no level'}"
        for name, found in record.working_sets.items()
        if found is not None
    ]
    yield f"working sets: {', '.join(placed)}; saved for backward {format_bytes(record.saved_activation_bytes)}"
    yield f"step: {step_text(record)}"
    if record.refused is not None:
        yield f"does not fit: {record.refused}"
    for advice in record.advice:
        yield f"advice: {advice_text(advice)}"
    if not record.advice:
        yield "advice: nothing near is worth changing"
    yield from record.notes


def step_text(record: ModuleInspection) -> str:
    """The predicted cost of a step with its interval and label, or why there is none."""
    flops = f"{format_count(record.flops.forward + record.flops.backward)} FLOPs"
    if record.outside is not None:
        return f"{flops}; {record.outside}"
    value, unit = (record.energy_per_step_j, "J") if record.time_per_step_s is None else (record.time_per_step_s, "s")
    cost = format_quantity(value, unit)
    if record.interval is not None:
        low, high = (format_quantity(end, unit) for end in record.interval)
        cost += f" ({low} to {high}, 90 % interval)"
    return f"{cost}, {record.label}; {flops}"


def advice_text(advice: Advice) -> str:
    """One piece of advice on a line: ``hidden 512 -> 500: keeps b inside L2 (now in L3): -9 % (-12 to -6)``."""
    text = f"{advice.change}: {advice.reason}"
    if advice.effect is None:
        return text
    text += f": {100 * advice.effect:+.1f} %"
    if advice.interval is not None:
        low, high = advice.interval
        text += f" ({100 * low:+.1f} to {100 * high:+.1f})"
    return text


def measured_text(record: ModuleInspection, measured_s: float, steps: int) -> str:
    """Measured beside predicted. A step is from one optimizer step to the next, so data loading is in it."""
    line = (
        f"sizer: measured {format_quantity(measured_s, 's')} a step (20th percentile of {steps}, data loading included)"
    )
    if record.time_per_step_s is None:
        return f"{line}; no predicted time to compare with"
    predicted = format_quantity(record.time_per_step_s, "s")
    return (
        f"{line}; predicted {predicted}, {record.label}: {measured_s / record.time_per_step_s:.2f} times the prediction"
    )
