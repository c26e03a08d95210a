"""Timing training steps on a CPU, where a call returns when it is done, or on a GPU as `cuda_timing` does."""

from __future__ import annotations

import os
import time
from collections.abc import Callable

import numpy as np
import torch

from sizer.calibrating.cuda_timing import time_cuda_run
from sizer.calibrating.planning import MIN_STEPS, WARM_UP
from sizer.calibrating.steps import QUIET_QUANTILE, Case, Run, make_step
from sizer.meters.protocol import Meter


def time_run(case: Case, seconds: float, device: str = "cpu", meter: Meter | None = None) -> Run:
    """Build the network, warm it up and time its steps for about so many seconds, at least `MIN_STEPS` of them."""
    if torch.device(device).type == "cuda":
        return time_cuda_run(case, seconds, device, meter)
    step = make_step(case, device)
    for _ in range(WARM_UP):
        step()
    seconds = seconds if meter is None else max(seconds, meter.minimum_window_s)
    others_before = others_busy_s()
    start = None if meter is None else meter.snapshot()
    began = time.perf_counter()
    times = _step_times(step, began + seconds)
    lasted = time.perf_counter() - began
    energy = None if meter is None or start is None else meter.energy(start, meter.snapshot())
    return Run(float(np.quantile(times, QUIET_QUANTILE)), len(times), energy, _share(others_before, lasted))


def _step_times(step: Callable[[], None], deadline: float) -> list[float]:
    """Times of single steps in s until the deadline on the `time.perf_counter` clock."""
    times: list[float] = []
    before = time.perf_counter()
    while before < deadline or len(times) < MIN_STEPS:
        step()
        after = time.perf_counter()
        times.append(after - before)
        before = after
    return times


def others_busy_s() -> float | None:
    """Processor time in s that everything but this process has used since boot, stolen time included; Linux only."""
    try:
        with open("/proc/stat", encoding="ascii") as stream:  # noqa: PTH123 (read before and after each run)
            ticks = [int(field) for field in stream.readline().split()[1:9]]
    except (OSError, ValueError):
        return None
    idle, waiting = ticks[3], ticks[4]
    own = os.times()
    return (sum(ticks) - idle - waiting) / os.sysconf("SC_CLK_TCK") - own.user - own.system


def _share(before: float | None, lasted_s: float) -> float | None:
    after = others_busy_s()
    if before is None or after is None:
        return None
    return max(0.0, (after - before) / (lasted_s * (os.cpu_count() or 1)))
