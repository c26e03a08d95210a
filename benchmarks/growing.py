"""Searching with --grow beside searching without it: what either spends on the same targets, everything trained anew.

    python benchmarks/growing.py --levels 1.05,1.2,2 --seconds 600

Costs are epochs times the quiet time of an epoch of that size, as recorded (the same for both, whatever else the
machine does meanwhile). Sizes are those of the recorded sweep. Prints a line for each task and target, then what each
task costs in all, with over without.
"""

from __future__ import annotations

import argparse
import math
import tempfile
import time
from pathlib import Path
from typing import NamedTuple

import numpy as np
from search_recording import LEARNING_RATE
from search_replays import CURVES, DEVICE, Sweep, Target, read_sweeps
from search_tasks import TASKS, load

from sizer.size_search.search import run_search
from sizer.size_search.settings import SearchSettings
from sizer.size_search.trials.trial import LocalEngine


class Spent(NamedTuple):
    """What a search cost in s, the sizes that it trained, and whether it met the target."""

    cost_s: float
    sizes: str
    met: bool


def search(target: Target, grow: bool) -> Spent:
    """A real search for a target."""
    sweep = target.sweep
    settings = SearchSettings(
        target=target.loss,
        depth=sweep.topologies[0].depth,
        batch_size=sweep.batch_size,
        learning_rate=LEARNING_RATE,
        priced_for=DEVICE,
        device="cpu",
        threads=1,
        meter="none",
        seed=sweep.seed,
        grow=grow,
        max_epochs=300,
    )
    task = load(sweep.task)
    with tempfile.TemporaryDirectory() as folder:
        found = run_search(task, settings, Path(folder) / "search", LocalEngine(task))
    cost_s = sum(len(size.epochs) * _epoch_cost(sweep, size.num_free_parameters) for size in found.trained)
    sizes = " ".join(f"{_kilo(size.num_free_parameters)}:{len(size.epochs)}" for size in found.trained)
    return Spent(cost_s, sizes, found.winner is not None)


def _epoch_cost(sweep: Sweep, parameters: int) -> float:
    """Quiet time of an epoch of a size in s, between the recorded ones."""
    return float(np.exp(np.interp(math.log(parameters), np.log(sweep.sizes), np.log(sweep.epoch_cost))))


def _kilo(parameters: int) -> str:
    return f"{parameters / 1000:.3g}k"


def main() -> None:
    """Search each target twice."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--curves", type=Path, default=CURVES, metavar="FILE", help="recorded curves")
    parser.add_argument("--levels", default="1.05,1.2,2", help="targets, as multiples of the best recorded loss")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--seconds", type=float, default=600.0, help="no search begins later than this")
    options = parser.parse_args()
    sweeps = {sweep.task: sweep for sweep in read_sweeps(options.curves) if sweep.seed == options.seed}
    end = time.perf_counter() + options.seconds
    totals: dict[str, list[tuple[float, float]]] = {}
    for level in map(float, options.levels.split(",")):
        for task in TASKS:
            if time.perf_counter() > end:
                break
            without, grown = (search(Target(sweeps[task], level), grow) for grow in (False, True))
            totals.setdefault(task, []).append((grown.cost_s, without.cost_s))
            print(f"{task:10s} {level:5.2f}x  without {without}  with {grown}", flush=True)
    for task, costs in totals.items():
        grown_s, without_s = np.sum(costs, axis=0)
        print(f"{task:10s} with {grown_s:.2f} s, without {without_s:.2f} s, ratio {grown_s / without_s:.2f}")


if __name__ == "__main__":
    main()
