"""A machine whose steps take what a formula says, so that calibrating and validating take no time."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from sizer.calibration import plan as planning
from sizer.calibration.measurements import Timing
from sizer.calibration.timed_step import charged
from sizer.detection import gpu_device
from sizer.method.hardware import Device
from sizer.models.topology import num_free_parameters

#: Budget that plans are made for, whatever is given: larger ones only take longer.
_PLANNED_S = 15.0


def step_s(case) -> float:
    """Overhead of a layer and time of the products, as `planning.Speed` assumes them too."""
    return 1e-4 * len(case.widths) + 1e-10 * num_free_parameters(case.input_dim, case.widths) * case.batch_size


class QuietReference:
    """Reference steps that always take the same."""

    def __init__(self, device: Device) -> None:
        self.device = device

    def take(self):
        return {"near": 1e-5, "last": 1e-4, "ram": 5e-5, "threads": 1e-4}

    def explained(self):
        return {}

    def close(self) -> None:
        pass

    def __enter__(self):
        return self

    def __exit__(self, *error) -> None:
        pass


def make_quick(monkeypatch: pytest.MonkeyPatch, device: Device, factor: Callable[[], float] = lambda: 1.0) -> list:
    """Replace the timing of real steps, detection and the probe; returns the list of the cases that are timed.

    A metered run lasts a little longer than its meter's shortest window.
    """
    from sizer.calibration import calibration, rounds, session

    timed = []

    def time_run(case, training, seconds, device="cpu", meter=None):
        timed.append(case)
        step = step_s(case) * factor()
        if meter is None:
            return Timing(0, 0, step, 5, 0.0)
        window_s = 1.01 * meter.minimum_window_s
        start = meter.snapshot()
        end = meter.snapshot()._replace(time_s=start.time_s + window_s, unix_s=start.unix_s + window_s)
        return charged(Timing(0, 0, step, max(1, round(window_s / step)), 0.0), meter, start, end)

    for module in (calibration, rounds):
        monkeypatch.setattr(module, "time_run", time_run)
    monkeypatch.setattr(rounds, "ReferenceSteps", QuietReference)
    plan, planned_s = planning.plan, _PLANNED_S * (2 if device.kind == "cuda" else 1)  # (a GPU's runs warm up longer)
    monkeypatch.setattr(planning, "plan", lambda budget_s, *more: plan(min(budget_s, planned_s), *more))
    monkeypatch.setattr(session, "detected", lambda name: device)
    monkeypatch.setattr(calibration, "sweep_accesses", lambda **probe: [])
    monkeypatch.setattr(calibration, "with_effective_capacity", lambda device, times: device)
    monkeypatch.setattr(calibration, "sweep_reads", lambda device, nominal_bytes: [])
    monkeypatch.setattr(calibration, "meter_doubt", lambda meter, device, training: None)
    monkeypatch.setattr(gpu_device, "_of_torch", lambda device: None)
    return timed
