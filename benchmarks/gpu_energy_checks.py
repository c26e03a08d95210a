"""Checks of a GPU's meter: how its counter moves, what it says of rest and load, and whose it is."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Iterator

import torch
from gpu_findings import NETWORKS, Finding, Setting

from sizer.calibration.meter_check import readings_under_load
from sizer.calibration.timed_step import make_step
from sizer.meters.counters import counter_over_power, disagreement, update_period_s
from sizer.meters.nvml import NvmlMeter
from sizer.method.training_step import Training


def energy(asked: Setting) -> Iterator[Finding]:
    """Update period, rest, load, half load; windows of 1, 2 and 5 s at shifted phases agree, and counter and power."""
    uuid = asked.device.facts.get("uuid", {}).get("value")
    meter = NvmlMeter(asked.id, uuid)
    yield Finding("source", meter.source)
    step = make_step(NETWORKS[-1 if not asked.dry else 0], Training(), asked.id)
    if meter.edge_period_s is not None:
        readings = readings_under_load(meter.reading, step, asked.id, asked.of(4.0, 0.3))
        period = update_period_s(readings)
        yield Finding("update period (s)", period, meter.edge_period_s, period and period <= 1.1 * meter.edge_period_s)
        ratio = None if asked.dry else counter_over_power(readings)
        yield Finding("counter over power", ratio, None, None if asked.dry else disagreement(ratio) is None)
    rest = _watts(meter, None, 1.0, asked, asked.of(2.0, 1.1))
    half, load = (_watts(meter, step, share, asked, asked.of(3.0, 1.1)) for share in (0.5, 1.0))
    ordered = None if asked.dry else rest < half < load
    yield Finding("W at rest, half load, load", (rest, half, load), "in this order", ordered)
    shift = (meter.edge_period_s or 0.1) / 3
    for seconds in (1.0, 2.0, 5.0)[: int(asked.of(3, 1))]:
        windows = []
        for phase in range(3):
            time.sleep(phase * shift)
            windows.append(_watts(meter, step, 1.0, asked, max(seconds, meter.minimum_window_s) * 1.02))
        spread = (max(windows) - min(windows)) / statistics.mean(windows)
        yield Finding(f"{seconds:g} s windows (W), spread", (windows, spread), 0.1, None if asked.dry else spread < 0.1)
    meter.close()


def _watts(meter: NvmlMeter, step: Callable[[], None] | None, share: float, asked: Setting, seconds: float) -> float:
    """Mean power of a window in which the GPU works a share of the time."""
    for settling in (True, False):
        start = meter.snapshot()
        end = time.perf_counter() + (asked.of(1.0, 0.0) if settling else seconds)
        while time.perf_counter() < end:
            began = time.perf_counter()
            if step is None:
                time.sleep(0.01)
                continue
            step()
            torch.cuda.synchronize(asked.id)
            time.sleep((time.perf_counter() - began) * (1 / share - 1))
    found = meter.energy(start, meter.snapshot())
    if found.power_w is None:
        raise RuntimeError("; ".join(found.warnings))
    return found.power_w


def meters(asked: Setting) -> Iterator[Finding]:
    """The same GPU by its number, by its UUID, without dashes, and by its first digits."""
    uuid = str(asked.device.facts.get("uuid", {}).get("value") or "")
    digits = uuid.removeprefix("GPU-")
    names = {"UUID": uuid, "bare": digits, "no dashes": digits.replace("-", ""), "short": uuid[:12]}
    if not asked.dry:  # (the fake's other GPU has that number)
        names["number"] = ""
    found = {}
    for name, text in names.items():
        meter = NvmlMeter(asked.id, text or None)
        found[name] = meter.snapshot().readings[0]
        meter.close()
    values = [value for value in found.values() if value is not None]
    close = bool(values) and max(values) - min(values) < 3000 * 10  # (mJ: ten seconds at 3 kW apart at most)
    yield Finding("counter by each name (mJ)", found, "one GPU's", close if not asked.dry else None)
