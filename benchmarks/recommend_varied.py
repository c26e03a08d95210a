"""What other depths, shapes and batch sizes than those of most curves do, and whether the law tells it.

    python benchmarks/recommend_varied.py     # nothing is trained; a minute

Every training of another depth, shape or batch size stands beside the one of depth 4, rectangle, batch 256 with as many
parameters, at the same rate (`curves.py`, eight tasks). Printed are octaves of the epochs to targets that both reach,
mean over tasks and spread of the tasks' means; targets that the one and the other reach; and what it costs to train
what the law names among them, fitted without the task, as a ratio to depth 4, rectangle, batch 256. One that fails is
left, and that one begun.
"""

from __future__ import annotations

import math
from collections import defaultdict
from functools import cache
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
from curve_base import Run, tasks
from curve_tasks import HELD_OUT
from recommend_base import AVERAGING, BATCH_SIZE, DEPTH, LEVELS, RATES, Pair, Sweep, machines, read_pairs, read_sweeps
from recommend_choices import known_of
from recommend_fit import constants_of

from sizer.base.errors import UnreachableError
from sizer.devices import Chosen
from sizer.method import reach as law
from sizer.method.cost import step_costs
from sizer.method.expectation import doubted, expected_cost, hardness_prior
from sizer.method.placement import Hierarchy
from sizer.method.training_step import Training
from sizer.models.topology import Topology

FloatArray = npt.NDArray[np.float64]


class Setting(NamedTuple):
    """What differs: the default is that of most curves."""

    depth: int = DEPTH
    shape: str = "rectangle"
    batch_size: int = BATCH_SIZE

    def __str__(self) -> str:
        names = ("depth", "", "batch")
        return " ".join(f"{n} {v}".strip() for n, v, usual in zip(names, self, Setting(), strict=True) if v != usual)


def setting_of(run: Run) -> Setting:
    """That of a training."""
    return Setting(run.depth, run.shape, run.batch_size)


def epochs_to(curve: FloatArray, loss: float) -> float:
    """Epochs after which a loss is met, infinite where it is not."""
    met = np.flatnonzero(curve <= loss)
    return float(met[0] + 1) if len(met) else math.inf


def changes(names: tuple[str, ...]) -> None:
    """Print octaves of the epochs and what is reached, by setting and rate."""
    octaves, reached = defaultdict(lambda: defaultdict(list)), defaultdict(list)
    for task in names:
        for pair in read_pairs(task):
            other, like = pair.curves(averaged=True)
            for level in LEVELS:
                loss = level * pair.sweep.best
                epochs, usual = epochs_to(other, loss), epochs_to(like, loss)
                key = setting_of(pair.run), pair.rate
                reached[key].append((math.isfinite(epochs), math.isfinite(usual)))
                if math.isfinite(epochs) and math.isfinite(usual):
                    octaves[key][task].append(math.log2(epochs / usual))
    for key in sorted(reached):
        means = [float(np.mean(values)) for values in octaves[key].values()]
        here, there = np.mean(reached[key], axis=0)
        setting, rate = key
        print(
            f"{setting!s:15s} at {RATES[rate]:5g}: epochs {np.mean(means):5.2f} octaves, spread {np.std(means):.2f} of "
            f"{len(means)} tasks; reached {here:4.0%}, {there:4.0%} as most are"
        )


@cache
def family(task: str, setting: Setting, sizes: tuple[int, ...]) -> tuple[Topology, ...] | None:
    """The networks of a setting, an octave apart; None where one of them has no such size."""
    facts = read_sweeps(task)[0].facts
    dims = facts.input_dim, facts.output_dim
    try:
        return tuple(Topology.solve(setting.shape, size, setting.depth, *dims) for size in sizes)
    except UnreachableError:
        return None


def epoch_costs(networks: tuple[Topology, ...], rows: int, batch_size: int, machine: Chosen) -> FloatArray:
    """Seconds of an epoch of each, shape (sizes,)."""
    full = np.array([network.full for network in networks]).T
    training = Training(batch_size, "float32", "adam", None)
    return math.ceil(rows / batch_size) * step_costs(full, training, Hierarchy.of(machine.device), machine.coefficients)


def expected(sweep: Sweep, setting: Setting, rate: int, machine: str, constants: law.Constants) -> FloatArray | None:
    """Expected cost of each size of a sweep by the law, averaged weights, shape (sizes,)."""
    networks = family(sweep.task, setting, sweep.sizes)
    if networks is None:
        return None
    facts, same = sweep.facts, np.ones(len(networks))
    sizes = np.array([float(network.num_free_parameters) for network in networks])
    described = law.as_rectangles(
        sizes, facts.input_dim, facts.output_dim, setting.depth * same, setting.batch_size * same
    )
    price = AVERAGING * epoch_costs(networks, facts.train_rows, setting.batch_size, machines()[machine])
    prior = hardness_prior(None)
    costs = expected_cost(price, described, known_of(sweep), RATES[rate], True, *prior, constants)
    return costs * (1.0 if setting.shape == "rectangle" else doubted(1.0))


def chosen_costs(task: str, names: tuple[str, ...], by: str) -> dict[str, list[float]]:
    """Log cost of what the law names among settings that differ in one thing, over that of the usual, by machine.

    For each size, rate and target that the usual setting reaches. ``by`` is depth, shape or batch_size.
    """
    constants = constants_of(tuple(name for name in names if name != task))
    of_place: dict[tuple[Sweep, int, int], list[Pair]] = defaultdict(list)
    for pair in read_pairs(task):
        if getattr(pair.run, by) != getattr(Setting(), by):
            of_place[pair.sweep, pair.position, pair.rate].append(pair)
    found: dict[str, list[float]] = {machine: [] for machine in machines()}
    for (sweep, position, rate), pairs in of_place.items():
        for machine, ratios in found.items():
            pairs = [pair for pair in pairs if family(task, setting_of(pair.run), sweep.sizes) is not None]
            if not pairs:
                continue
            settings = [Setting(), *(setting_of(pair.run) for pair in pairs)]
            costs = [expected(sweep, setting, rate, machine, constants) for setting in settings]
            at_size = [math.inf if cost is None else float(cost[position]) for cost in costs]
            best = int(np.argmin(at_size))
            compared = _ratios(pairs[max(best - 1, 0)], machine)
            ratios += compared if best else [0.0] * len(compared)
    return found


def _ratios(pair: Pair, machine: str) -> list[float]:
    """Logarithms of what a training costs over the usual one, for targets that the usual one reaches."""
    sweep, rows = pair.sweep, pair.sweep.facts.train_rows
    alike = family(sweep.task, Setting(), sweep.sizes)
    others = family(sweep.task, setting_of(pair.run), sweep.sizes)
    assert alike is not None  # (it was recorded)
    assert others is not None
    usual_cost = epoch_costs(alike, rows, BATCH_SIZE, machines()[machine])[pair.position]
    cost = epoch_costs(others, rows, pair.run.batch_size, machines()[machine])[pair.position]
    other, like = pair.curves(averaged=True)
    found = []
    for level in LEVELS:
        usual = usual_cost * epochs_to(like, level * sweep.best)
        epochs = epochs_to(other, level * sweep.best)
        if math.isfinite(usual):
            found.append(math.log((epochs * cost if math.isfinite(epochs) else len(other) * cost + usual) / usual))
    return found


def main() -> None:
    """Print both tables."""
    names = tuple(name for name in tasks() if name not in HELD_OUT and read_sweeps(name))
    varied = tuple(name for name in names if read_pairs(name))
    changes(varied)
    for by in ("batch_size", "depth", "shape"):
        costs = [chosen_costs(task, names, by) for task in varied]
        line = []
        for machine in machines():
            means = [float(np.mean(found[machine])) for found in costs if found[machine]]
            line.append(f"{math.exp(np.mean(means)):.2f} ({math.exp(min(means)):.2f} to {math.exp(max(means)):.2f})")
        print(f"{by} by the law, task left out: " + " | ".join(line))


if __name__ == "__main__":
    main()
