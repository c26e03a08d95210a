"""Steps on a GPU that wait for the program: launching and the device's work, fitted apart. Pure.

A program launches a step's kernels one after the other while the GPU works on those before. Whichever is slower sets
the pace, so that a step takes the longer of the two:

    time = max(launch, work),    launch = k_l + k_ld layers + the optimizer's form,    work = (design row) . k

A fused or foreach optimizer launches for all tensors at once, a single-tensor one for each. Energy is a sum, as on a
CPU: the board draws power while it waits, and the work costs its joules on top. One sum fitted to times instead makes
cache edges out of the place where launching ends, and prices wide networks far too low when most of those timed were
narrow.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from sizer.calibration.fit import FOLDS, Fit, choose_columns, conformal_interval, fit, from_afar, named_terms, solve
from sizer.method.coefficients import LAUNCH_TERMS
from sizer.method.cost import Row
from sizer.method.placement import FloatArray

BoolArray = npt.NDArray[np.bool_]

#: Networks of one kind below which there is no telling its costs from them: two a launch term.
_FEWEST = 12
#: Terms by which the two kinds are told apart.
_ROUGH = ("operation", "layer", "traffic", "optimizer", "unfused")
#: At first the third with the fewest operations are taken to wait, and with them all that take hardly longer.
_SMALL, _HARDLY_LONGER = 1 / 3, 1.25
#: The kinds settle within a few turns; a network at the edge may go on changing, which is no harm.
_TURNS = 20


class LaunchBound(NamedTuple):
    """The fit of a GPU's times, and the share of the networks whose steps wait for the program.

    The share is None where nearly all networks were of one kind: then both are one sum.
    """

    fit: Fit
    waiting: float | None


class _Columns(NamedTuple):
    """Columns that launching and work are fitted with."""

    launch: Row
    work: Row

    def solved(self, measured_s: FloatArray, waits: BoolArray) -> tuple[FloatArray, FloatArray]:
        """Coefficients of both, each of the networks whose time it sets."""
        of_launch = solve(_matrix(self.launch, waits), measured_s[waits])
        return of_launch, solve(_matrix(self.work, ~waits), measured_s[~waits])

    def times_s(self, coefficients: tuple[FloatArray, FloatArray]) -> tuple[FloatArray, FloatArray]:
        """What launching and work take in s, shape (N,) each."""
        return _matrix(self.launch) @ coefficients[0], _matrix(self.work) @ coefficients[1]

    def of(self, chosen: BoolArray) -> _Columns:
        """The columns of some of the networks."""
        return _Columns(*({name: column[chosen] for name, column in each.items()} for each in self))


def fit_times(row: Row, measured_s: FloatArray, seed: int = 0) -> LaunchBound:
    """Fit launching and work to measured steps in s, shape (N,): each to the networks whose time it sets."""
    launch = {name: column for name, column in row.items() if name in LAUNCH_TERMS and np.count_nonzero(column) > 2}
    work = {name: column for name, column in row.items() if name not in LAUNCH_TERMS}
    afar = from_afar(work)
    rough = {name: column for name, column in afar.items() if name.split(".")[0] in _ROUGH and column.any()}
    waits = _waiting(_Columns(launch, rough), measured_s)
    if not _enough(waits):
        return LaunchBound(fit(work, measured_s, seed), None)
    chosen, _ = choose_columns({name: column[~waits] for name, column in work.items()}, measured_s[~waits], seed)
    columns = _Columns(launch, {name: afar[name] for name in chosen})
    ratios = _cross_validated(columns, measured_s, waits, seed)
    k_launch, k_work = columns.solved(measured_s, waits)
    launching = {name: value for name, value in zip(launch, k_launch.tolist(), strict=True) if value > 0}
    found = Fit(named_terms(columns.work, k_work) | launching, ratios, conformal_interval(ratios))
    return LaunchBound(found, float(np.mean(waits)))


def _waiting(columns: _Columns, measured_s: FloatArray) -> BoolArray:
    """Which networks' steps wait for the program, shape (N,): those of which launching is predicted to take longer."""
    operations = columns.work["operation"]
    small = operations <= np.quantile(operations, _SMALL)
    k_launch = solve(_matrix(columns.launch, small), measured_s[small])
    waits = np.asarray(measured_s <= _HARDLY_LONGER * (_matrix(columns.launch) @ k_launch))
    for _ in range(_TURNS):
        if not _enough(waits):
            break
        launch_s, work_s = columns.times_s(columns.solved(measured_s, waits))
        before, waits = waits, np.asarray(launch_s >= work_s)
        if np.array_equal(before, waits):
            break
    return waits


def _enough(waits: BoolArray) -> bool:
    return bool(min(np.count_nonzero(waits), np.count_nonzero(~waits)) >= _FEWEST)


def _cross_validated(columns: _Columns, measured_s: FloatArray, waits: BoolArray, seed: int) -> FloatArray:
    """Predicted / measured of each network by coefficients fitted without its fold."""
    fold = np.random.default_rng(seed).permutation(len(measured_s)) % FOLDS
    ratios = np.empty(len(measured_s))
    for number in range(FOLDS):
        out = fold == number
        coefficients = columns.of(~out).solved(measured_s[~out], waits[~out])
        ratios[out] = np.maximum(*columns.of(out).times_s(coefficients)) / measured_s[out]
    return ratios


def _matrix(columns: Row, chosen: BoolArray | slice = slice(None)) -> FloatArray:
    return np.column_stack([column[chosen] for column in columns.values()])
