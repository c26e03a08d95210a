"""The base of curves as one who trains a single network meets it: which size reaches which target, after how long.

A sweep is one task and seed: every size at every rate of the main grid (depth 4, rectangle, batch 256), raw weights or
the better of raw and averaged ones. A training is left once `PATIENCE` epochs bring nothing better; the next octave is
begun then, at the same rate.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache, cached_property
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
from curve_base import CHOOSE, DECIDE, RAW, Run, TaskFacts, read_base, read_facts

from sizer.devices import STAND_INS, Chosen, choose
from sizer.method.cost import step_costs
from sizer.method.placement import Hierarchy
from sizer.method.training_step import Training

FloatArray = npt.NDArray[np.float64]

PATIENCE = 12
DEPTH, BATCH_SIZE = 4, 256
#: Targets, as multiples of the best loss that any size reaches at 1e-3 with raw weights.
LEVELS = (1.02, 1.05, 1.1, 1.2, 1.5, 2.0, 3.0)
#: The same drawn log-uniformly from 1.01 to 4: the middles of equal parts.
LOG_UNIFORM = tuple(float(1.01 * (4 / 1.01) ** ((i + 0.5) / 12)) for i in range(12))
#: What averaging the weights costs, as a factor of a step.
AVERAGING = 1.03
RATES = (1e-3, 4e-3, 8e-3, 1.6e-2)
#: A sweep counts once it is recorded up to this size: with fewer, a training that fails has nowhere to go on.
LARGEST = 2**17
BASE_RATE = 0


def progress(run: Run, averaged: bool) -> FloatArray:
    """Best validation loss so far by epoch, of raw weights or of the better of both, until the training is left."""
    losses = run.losses[:, :, [CHOOSE, DECIDE]].mean(axis=2)
    now = losses.min(axis=1) if averaged else losses[:, RAW]
    best = np.minimum.accumulate(np.where(np.isfinite(now), now, np.inf))
    gained = np.flatnonzero(np.diff(best, prepend=np.inf) < 0)
    gaps = np.diff(gained, append=len(best) + PATIENCE)  # (a training that ended is not known to gain)
    last = int(gained[np.flatnonzero(gaps > PATIENCE)[0]]) if len(gained) and (gaps > PATIENCE).any() else -1
    return np.asarray(best[: last + 1 + PATIENCE])


@dataclass(frozen=True, eq=False)
class Sweep:
    """One task and seed. ``curves[size, rate, averaged]`` is a `progress`; sizes are positions, smallest first."""

    facts: TaskFacts
    seed: int
    sizes: tuple[int, ...]
    widths: tuple[tuple[int, ...], ...]
    num_free_parameters: FloatArray
    curves: dict[tuple[int, int, bool], FloatArray]

    @property
    def task(self) -> str:
        """Its name."""
        return self.facts.name

    @cached_property
    def best(self) -> float:
        """The best loss of any size at 1e-3 with raw weights."""
        return float(min(self.curves[i, BASE_RATE, False].min() for i in range(len(self.sizes))))

    @cached_property
    def hidden_width(self) -> FloatArray:
        """Median hidden width of each size."""
        return np.array([float(np.median(widths[:-1])) for widths in self.widths])

    @cached_property
    def steps(self) -> int:
        """Steps of an epoch."""
        return math.ceil(self.facts.train_rows / BATCH_SIZE)

    def epochs(self, rate: int, averaged: bool, target: float) -> FloatArray:
        """Epochs until each size meets a target, inf for never, shape (sizes,)."""
        found = []
        for i in range(len(self.sizes)):
            met = np.flatnonzero(self.curves[i, rate, averaged] <= target)
            found.append(met[0] + 1.0 if len(met) else math.inf)
        return np.array(found)

    def left_after(self, rate: int, averaged: bool) -> FloatArray:
        """Epochs after which each size is left, shape (sizes,)."""
        return np.array([float(len(self.curves[i, rate, averaged])) for i in range(len(self.sizes))])

    def floors(self, rate: int, averaged: bool) -> FloatArray:
        """Best loss of each size over `best`, shape (sizes,)."""
        return np.array([self.curves[i, rate, averaged].min() for i in range(len(self.sizes))]) / self.best

    def costs(self, rate: int, averaged: bool, target: float, epoch_cost: FloatArray) -> FloatArray:
        """Cost of meeting a target that begins with each size and goes on octave by octave, shape (sizes,)."""
        epochs, left = self.epochs(rate, averaged, target), self.left_after(rate, averaged)
        paid = epoch_cost * (AVERAGING if averaged else 1.0)
        total = math.inf
        costs = np.empty(len(epochs))
        for i in reversed(range(len(epochs))):
            total = epochs[i] * paid[i] if math.isfinite(epochs[i]) else left[i] * paid[i] + total
            costs[i] = total
        return costs

    def nearest(self, num_free_parameters: float) -> int:
        """Position of the size nearest to a number of parameters."""
        return int(np.argmin(np.abs(np.log(self.num_free_parameters / num_free_parameters))))


class Target(NamedTuple):
    """A loss to reach: ``level`` times the best of the sweep."""

    sweep: Sweep
    level: float

    @property
    def loss(self) -> float:
        """The loss itself."""
        return self.level * self.sweep.best


def targets(sweeps: Sequence[Sweep], levels: Sequence[float] = LEVELS) -> list[Target]:
    """Every target that predicting the mean does not meet."""
    wanted = (Target(sweep, level) for sweep in sweeps for level in levels)
    return [target for target in wanted if target.loss < target.sweep.facts.baseline_loss]


@cache
def read_sweeps(task: str) -> tuple[Sweep, ...]:
    """The sweeps of a task, one a seed, with the sizes that every rate was recorded at."""
    main = [run for run in read_base(task) if _is_main(run)]
    return tuple(
        sweep
        for seed in sorted({run.seed for run in main})
        if (sweep := _sweep(task, seed, [run for run in main if run.seed == seed])) is not None
    )


def _is_main(run: Run) -> bool:
    plain = (run.depth, run.shape, run.batch_size) == (DEPTH, "rectangle", BATCH_SIZE)
    return plain and run.learning_rate in RATES


def _sweep(task: str, seed: int, runs: list[Run]) -> Sweep | None:
    by_key = {(run.size, run.learning_rate): run for run in runs}
    sizes = sorted({run.size for run in runs if all((run.size, rate) in by_key for rate in RATES)})
    if not sizes or sizes[-1] < LARGEST:
        return None
    some = [by_key[size, RATES[BASE_RATE]] for size in sizes]
    curves = {
        (i, j, averaged): progress(by_key[size, rate], averaged)
        for i, size in enumerate(sizes)
        for j, rate in enumerate(RATES)
        for averaged in (False, True)
    }
    parameters = np.array([float(run.num_free_parameters) for run in some])
    return Sweep(read_facts(task), seed, tuple(sizes), tuple(run.widths for run in some), parameters, curves)


# Other depths, shapes and batch sizes.


class Pair(NamedTuple):
    """A training of another depth, shape or batch size, and the one of the main grid with the same size and rate.

    ``position`` and ``rate`` are those of the latter in ``sweep``; ``run`` is the former.
    """

    sweep: Sweep
    position: int
    rate: int
    run: Run

    def curves(self, averaged: bool) -> tuple[FloatArray, FloatArray]:
        """Best loss so far by epoch, of the other and of the one of the main grid."""
        return progress(self.run, averaged), self.sweep.curves[self.position, self.rate, averaged]


@cache
def read_pairs(task: str) -> tuple[Pair, ...]:
    """Every training of a task that is not of the main grid but for its rate, beside the one that is."""
    sweeps = {sweep.seed: sweep for sweep in read_sweeps(task)}
    others = (run for run in read_base(task) if not _is_main(run) and run.learning_rate in RATES)
    return tuple(
        Pair(sweeps[run.seed], sweeps[run.seed].sizes.index(run.size), RATES.index(run.learning_rate), run)
        for run in others
        if run.seed in sweeps and run.size in sweeps[run.seed].sizes
    )


# Machines.


@cache
def machines() -> dict[str, Chosen]:
    """Shipped profiles whose coefficients were fitted to measured steps, and this machine where it is calibrated."""
    measured = {name: choose(name) for name in STAND_INS["cpu"]}
    here = choose("cpu")
    return {**measured, **({"this machine": here} if here.coefficients.source == "calibrated" else {})}


def epoch_cost(sweep: Sweep, machine: Chosen) -> FloatArray:
    """Seconds of an epoch of each size, by the machine's measured coefficients, shape (sizes,)."""
    training = Training(BATCH_SIZE, "float32", "adam", None)
    full = np.array([(sweep.facts.input_dim, *widths) for widths in sweep.widths]).T
    hierarchy = Hierarchy.of(machine.device)
    return sweep.steps * step_costs(full, training, hierarchy, machine.coefficients)
