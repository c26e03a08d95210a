"""Timing training steps on a CUDA device: many steps between two synchronisations.

A GPU runs behind the program that feeds it. Waiting for it after every step would add the wait to each of them and keep
the next step's launches from overlapping with this one's kernels: a small step would seem to take longer than it does
in any training. So steps are timed in batches, each long enough that one wait does not count, and a batch's time is
divided by its steps.
"""

from __future__ import annotations

import math
import os
import time
from collections.abc import Callable

import numpy as np
import torch

from sizer.calibration.plan import MIN_STEPS, WARM_UP
from sizer.calibration.training_loop import QUIET_QUANTILE, Case, Run, make_step
from sizer.meters.protocol import Meter

#: A batch lasts at least this long, some hundred times what a wait takes.
_BATCH_S = 0.005
#: The first steps load kernels, let the libraries choose theirs, and bring the clocks up.
_WARM_UP_S = 0.02
_MOST_STEPS = 1000


def time_cuda_run(case: Case, seconds: float, device: str = "cuda", meter: Meter | None = None) -> Run:
    """Build the network on the GPU, warm it up and time batches of its steps for about so many seconds.

    ``step_s`` is the quiet value over the batches, ``steps`` counts single steps; ``energy`` covers all of them. Who
    else used the GPU meanwhile is not known.
    """
    step = make_step(case, device)
    steps = _batch_steps(step, device)
    seconds = seconds if meter is None else max(seconds, meter.minimum_window_s)
    start = None if meter is None else meter.snapshot()
    times = _batch_times(step, steps, device, time.perf_counter() + seconds)
    energy = None if meter is None or start is None else meter.energy(start, meter.snapshot())
    return Run(float(np.quantile(times, QUIET_QUANTILE)) / steps, len(times) * steps, energy, None)


def _batch_steps(step: Callable[[], None], device: str) -> int:
    """Warm up, a few steps at a time, and say how many make a batch by how long the last of them took."""
    began = time.perf_counter()
    lasted = _batch_time(step, WARM_UP, device)
    while time.perf_counter() - began < _WARM_UP_S:
        lasted = _batch_time(step, WARM_UP, device)
    return min(max(math.ceil(_BATCH_S * WARM_UP / lasted), 1), _MOST_STEPS)


def _batch_times(step: Callable[[], None], steps: int, device: str, deadline: float) -> list[float]:
    """Times of batches in s until the deadline on the `time.perf_counter` clock, at least `MIN_STEPS` of them."""
    times: list[float] = []
    while len(times) < MIN_STEPS or time.perf_counter() < deadline:
        times.append(_batch_time(step, steps, device))
    return times


def _batch_time(step: Callable[[], None], steps: int, device: str) -> float:
    """Time of so many steps in s. The device has nothing left to do before and after."""
    began = time.perf_counter()
    for _ in range(steps):
        step()
    torch.cuda.synchronize(device)
    return time.perf_counter() - began


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
