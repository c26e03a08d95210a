"""Whether the search's forecasts come true: chances that it gives, beside how often they do, on recorded curves.

    python benchmarks/search_forecasts.py

A size's own curve is asked after 2, 3, 4, 6, 8, 11, 15, 20, 28 and 40 epochs for targets at 0.98 to 0.6 times its best
so far, met within one, half as many, as many and three times as many epochs; the curve of another size, up to four
doublings away, for targets at 1.1 to 0.7 times its best, met within 2, 6, 15 and all epochs of the other.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
from search_replays import Sweep, read_sweeps

from sizer.size_search.arms import Place
from sizer.size_search.forecasts import borrowed_forecast
from sizer.size_search.learning_curves import AHEAD, LearningCurve, hitting

SMALLEST = 3000
AGES = (2, 3, 4, 6, 8, 11, 15, 20, 28, 40)
BINS = np.linspace(0, 1, 6)


class Said(NamedTuple):
    """A chance, and whether it came true."""

    task: str
    chance: float
    true: bool


def own(sweep: Sweep) -> Iterator[Said]:
    """Forecasts from curves for themselves."""
    for size, losses in zip(sweep.sizes, sweep.losses, strict=True):
        for age in AGES if size >= SMALLEST else ():
            for factor in (0.98, 0.95, 0.9, 0.8, 0.6):
                if age < len(losses):
                    target = factor * min(losses[:age])
                    chances = np.cumsum(hitting(LearningCurve(losses[:age]), math.log(target)).chances[0])
                    for within in (1, max(1, age // 2), age, 3 * age):
                        met = min(losses[age : age + within]) <= target
                        yield Said(sweep.task, float(np.interp(within, AHEAD, chances)), met)


def borrowed(sweep: Sweep) -> Iterator[Said]:
    """Forecasts from curves for other sizes."""
    sizes = [i for i, size in enumerate(sweep.sizes) if size >= SMALLEST]
    for i in sizes:
        for age in (2, 4, 8, 16):
            for j in sizes:
                if i != j and abs(math.log2(sweep.sizes[i] / sweep.sizes[j])) <= 4.2:
                    yield from _borrowed(sweep, i, age, j)


def _borrowed(sweep: Sweep, guide: int, age: int, other: int) -> Iterator[Said]:
    values = sweep.losses[guide][:age]
    for factor in (1.1, 0.98, 0.93, 0.85, 0.7):
        target = factor * min(values)
        places = (Place(int(sweep.sizes[position]), 1.0) for position in (other, guide))
        epochs, weights = borrowed_forecast(*places, values, target)
        for within in (2, 6, 15, len(sweep.losses[other])):
            chance = float(weights[epochs <= within].sum())
            yield Said(sweep.task, chance, sweep.epochs(other, target) <= within)


def report(title: str, said: list[Said]) -> None:
    """Print how often chances came true, and the log score of each task (0.69 for a coin)."""
    chance = np.clip([one.chance for one in said], 0.002, 0.998)
    true = np.array([one.true for one in said])
    print(f"{title}: {len(said)} forecasts")
    for low, high in itertools.pairwise(BINS):
        inside = (chance > low) & (chance <= high)
        said_here, true_here = chance[inside].mean(), true[inside].mean()
        print(f"  {low:.1f} to {high:.1f}: {inside.sum():6d} times, {said_here:.2f} said, {true_here:.2f} true")
    score = -np.log(np.where(true, chance, 1 - chance))
    tasks = np.array([one.task for one in said])
    print("  log score", "  ".join(f"{task} {score[tasks == task].mean():.2f}" for task in dict.fromkeys(tasks)))


def main() -> None:
    """Ask all recorded curves."""
    sweeps = read_sweeps()
    report("a curve for itself", [one for sweep in sweeps for one in own(sweep)])
    report("a curve for another size", [one for sweep in sweeps for one in borrowed(sweep)])


if __name__ == "__main__":
    main()
