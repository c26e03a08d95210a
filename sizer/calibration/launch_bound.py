"""Steps on a GPU that wait for the program: launching and the device's work, fitted apart. Pure.

A program launches a step's kernels one after the other while the GPU works on those before. Whichever is slower sets
the pace, so that a step takes the longer of the two:

    time = max(launch, work),    launch = k_s + k_d layers + k_w tensors,    work = (design row) . k

with the tensors that the optimizer's form launches for: a fused or foreach one launches for all at once, a
single-tensor one for each. Energy is a sum: the board draws power while it waits, and the work costs its joules on top.
One sum fitted to times instead makes cache edges out of the place where launching ends, and prices wide networks far
too low when most of those timed were narrow.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from sizer.calibration.fit import solve
from sizer.method.placement import FloatArray

Row = Mapping[str, FloatArray]
BoolArray = npt.NDArray[np.bool_]

#: Networks of one kind below which there is no telling its costs from them.
_FEWEST = 8
#: The kinds of the networks settle within a few turns; a network at the edge may go on changing, which is no harm.
_TURNS = 20


class LaunchFit(NamedTuple):
    """Costs in s of launching and of the work, each by term, and which networks waited for the program, shape (N,).

    Where too few networks were of one kind its terms are empty, and nothing is known of it.
    """

    launch: Mapping[str, float]
    work: Mapping[str, float]
    waited: BoolArray

    def launch_s(self, row: Row) -> FloatArray:
        """Time that launching a step takes, shape (N,)."""
        return _priced(row, self.launch)

    def work_s(self, row: Row) -> FloatArray:
        """Time that the device works on a step, shape (N,)."""
        return _priced(row, self.work)


def launch_row(layers: FloatArray, tensors: FloatArray, per_tensor: bool) -> dict[str, FloatArray]:
    """Counts of what launching costs, shape (N,) each: a step, its layers, and tensors where each is launched for."""
    row = {"step": np.ones(len(layers)), "layer": layers}
    return row | {"tensor": tensors} if per_tensor else row


def fit_launch(launch: Row, work: Row, measured_s: FloatArray) -> LaunchFit:
    """Fit both to measured steps in s, shape (N,): each to the networks whose time it sets.

    At first those with less work than the median are taken to wait; then each is of the kind that predicts more.
    """
    size = sum(column / max(float(column.max()), 1e-300) for column in work.values())
    waited = np.asarray(size < np.median(size))
    fitted = LaunchFit(_solved(launch, measured_s, waited), _solved(work, measured_s, ~waited), waited)
    for _ in range(_TURNS):
        waited = fitted.launch_s(launch) >= fitted.work_s(work)
        if np.array_equal(waited, fitted.waited):
            break
        fitted = LaunchFit(_solved(launch, measured_s, waited), _solved(work, measured_s, ~waited), waited)
    return fitted


def step_s(launch_s: FloatArray, work_s: FloatArray) -> FloatArray:
    """Time of a step in s: the longer of the two."""
    return np.maximum(launch_s, work_s)


def step_j(launch_s: FloatArray, work_s: FloatArray, work_j: FloatArray, waiting_w: float) -> FloatArray:
    """Energy of a step in J: that of the work, and what the board draws while it waits for the program."""
    return work_j + waiting_w * np.maximum(launch_s - work_s, 0.0)


def free_until(widths: Sequence[int], launch_s: FloatArray, work_s: FloatArray) -> int | None:
    """The largest width up to which size costs no time, since a step waits for the program; None where none does."""
    free = [width for width, launch, work in zip(widths, launch_s, work_s, strict=True) if work <= launch]
    return max(free, default=None)


def advice(width: int | None) -> str | None:
    """What to say where a step waits for the program."""
    if width is None:
        return None
    return (
        f"a step waits for the program that launches it: size is free up to width {width}; CUDA graphs or "
        f"torch.compile(mode='reduce-overhead') would help"
    )


def _solved(row: Row, measured_s: FloatArray, chosen: BoolArray) -> dict[str, float]:
    if np.count_nonzero(chosen) < _FEWEST:
        return {}
    names = list(row)
    found = solve(np.column_stack([row[name][chosen] for name in names]), measured_s[chosen])
    return {name: float(value) for name, value in zip(names, found, strict=True) if value > 0}


def _priced(row: Row, terms: Mapping[str, float]) -> FloatArray:
    count = len(next(iter(row.values())))
    return np.asarray(sum((value * row[name] for name, value in terms.items()), np.zeros(count)))
