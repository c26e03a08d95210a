"""Timing two sizes in turn, to see whether what was predicted of their difference holds."""

from __future__ import annotations

import gc
import time
from collections.abc import Sequence

from sizer.base.errors import MeasurementError
from sizer.base.progress import Progress
from sizer.calibration.timed_step import time_step
from sizer.families.making import Family, training_step

#: A run lasts so long, or two steps, and each size has at least so many.
_RUN_S, _FEWEST = 0.1, 3


def time_in_turn(
    family: Family, sizes: Sequence[tuple[int, ...]], device: str, seconds: float, progress: Progress
) -> list[float]:
    """The quiet step of each size in s, all of them in turn for so many seconds, at least three times each.

    The caller has the machine to itself. Raises MeasurementError where a step fails.
    """
    began = time.perf_counter()
    taken: list[list[float]] = [[] for _ in sizes]
    while (spent_s := time.perf_counter() - began) < seconds or len(taken[-1]) < _FEWEST:
        progress("timing in turn", min(spent_s / seconds, 1.0))
        for values, times in zip(sizes, taken, strict=True):
            times.append(_step_s(family, values, device))
    return [min(times) for times in taken]


def _step_s(family: Family, values: tuple[int, ...], device: str) -> float:
    """The quiet step of a fresh module in s, of one run."""
    try:
        return time_step(training_step(family, values, device), _RUN_S, device).step_s
    except Exception as error:  # the user's code and torch raise what they like
        said = " ".join(str(error).split())[:200] or type(error).__name__
        raise MeasurementError(f"a step of {family.request.named(values)} fails: {said}") from None
    finally:
        gc.collect()
