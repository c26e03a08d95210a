"""Whether a GPU's energy counter and the power that is read of it are of one board: asked once, before it meters."""

from __future__ import annotations

import time
from collections.abc import Callable

import torch

from sizer.base.errors import MeterError
from sizer.calibration.plan import GPU_LARGE
from sizer.calibration.timed_step import make_step
from sizer.meters.counters import Reading, counter_over_power, disagreement
from sizer.meters.intervals import Windows
from sizer.method.training_step import Training

#: Boards report power late, by up to a second from Ampere on (NVML's reference); then a counter that moves every 0.1 s
#: is known within 5 %.
_LOADED_S, _COMPARED_S = 1.0, 2.0
#: A network that any GPU with 1 GiB trains, in steps that are short beside a counter's period.
_LOAD = GPU_LARGE[1]


def meter_doubt(meter: Windows | None, device: str, training: Training) -> str | None:
    """What is wrong with a GPU's energy counter, by the power that is read under one load; None where nothing is.

    None too where there is no counter, or no power beside it. Takes three seconds.
    """
    if meter is None or meter.reading is None or meter.edge_period_s is None:
        return None
    try:
        found = readings_under_load(meter.reading, make_step(_LOAD, training, device), device)
    except MeterError:
        return None
    said = disagreement(counter_over_power(found))
    return None if said is None else f"joules of {device} are doubtful: {said}"


def readings_under_load(
    read: Callable[[], Reading], step: Callable[[], None], device: str, seconds: float = _COMPARED_S
) -> list[Reading]:
    """Counter and power after each step for so many seconds, after a second of load. Raises MeterError."""
    found: list[Reading] = []
    began = time.perf_counter() + _LOADED_S
    while (now := time.perf_counter()) < began + seconds:
        step()
        torch.cuda.synchronize(device)
        if now >= began:
            found.append(read())
    return found
