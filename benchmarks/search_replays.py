"""Recorded learning curves, and what a method that picks or searches a size spends on them.

Every method is charged alike: the epochs that it trains, of whichever size and to whatever end, at the measured quiet
time of that size's epoch. What it may know beforehand is a size's predicted cost, not the measured one.
"""

from __future__ import annotations

import gzip
import json
import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import cache, cached_property
from pathlib import Path
from typing import Any

import numpy as np

from sizer.devices import choose
from sizer.models.topology import Topology
from sizer.size_search.arms import Goal, SearchCandidate
from sizer.size_search.candidates import candidate_sizes, first_arm, price_arms
from sizer.size_search.policy import decide
from sizer.size_search.settings import SearchSettings

CURVES = Path(__file__).parent / "data" / "search_curves.json.gz"
#: Targets, as multiples of the best loss that any size of the sweep reaches.
LEVELS = (1.02, 1.05, 1.1, 1.2, 1.5, 2.0, 3.0)
#: The machine that the curves were recorded on, by its shipped profile: predictions do not depend on where this runs.
DEVICE = "x86-vm-2cpu"


@dataclass(frozen=True, eq=False)
class Sweep:
    """Every size of one task trained once from one seed: validation losses by epoch, and what an epoch costs in s."""

    task: str
    seed: int
    baseline_loss: float
    rows: tuple[int, int]
    batch_size: int
    topologies: tuple[Topology, ...]
    losses: tuple[tuple[float, ...], ...]
    epoch_cost: tuple[float, ...]

    @cached_property
    def best(self) -> float:
        """The best loss that any size reaches."""
        return min(min(losses) for losses in self.losses)

    @cached_property
    def settings(self) -> SearchSettings:
        """Settings of a search on this sweep."""
        dims = {"depth": self.topologies[0].depth, "batch_size": self.batch_size}
        return SearchSettings(target=self.best, learning_rate=1e-3, **dims)

    @cached_property
    def candidates(self) -> tuple[SearchCandidate, ...]:
        """The sizes as the search sees them."""
        return price_arms(self.topologies, self.rows, self.settings, choose(DEVICE))

    @cached_property
    def first(self) -> int:
        """Position of the recorded size nearest to the one that a search on this machine begins with."""
        topology = self.topologies[0]
        sizes = candidate_sizes(topology.input_dim, topology.output_dim, self.rows, self.settings, choose(DEVICE))
        return self.nearest(first_arm(sizes).num_free_parameters)

    @cached_property
    def sizes(self) -> np.ndarray:
        """Trainable parameters of each size."""
        return np.array([topology.num_free_parameters for topology in self.topologies])

    def nearest(self, parameters: float) -> int:
        """Position of the size nearest to a number of parameters."""
        return int(np.argmin(np.abs(np.log(self.sizes / parameters))))

    def epochs(self, position: int, target: float) -> float:
        """Epochs after which a size first meets a target, inf for never."""
        return next((epoch for epoch, loss in enumerate(self.losses[position], start=1) if loss <= target), math.inf)

    def costs(self, target: float) -> np.ndarray:
        """What meeting a target costs at each size alone, in s; inf where it never does."""
        return np.array([self.epochs(i, target) * cost for i, cost in enumerate(self.epoch_cost)])


@dataclass(frozen=True)
class Target:
    """A loss to reach on a sweep. ``level`` is the multiple of the best loss."""

    sweep: Sweep
    level: float

    @property
    def loss(self) -> float:
        """The loss."""
        return self.level * self.sweep.best

    @cached_property
    def best_cost(self) -> float:
        """Cost of the cheapest size that meets it."""
        return float(self.sweep.costs(self.loss).min())

    @property
    def is_trivial(self) -> bool:
        """Whether predicting the mean meets it."""
        return self.loss >= self.sweep.baseline_loss


#: What a method spends on a target, in s; inf where it does not meet it.
Method = Callable[[Target], float]


@cache
def read_sweeps(path: Path = CURVES) -> tuple[Sweep, ...]:
    """All recorded sweeps."""
    with gzip.open(path, "rt", encoding="utf-8") as stream:
        record = json.load(stream)
    return tuple(
        _sweep(name, task, seed, trainings, record["batch_size"])
        for name, task in record["tasks"].items()
        for seed, trainings in enumerate(task["seeds"])
    )


def _sweep(name: str, task: dict[str, Any], seed: int, trainings: list[dict[str, Any]], batch_size: int) -> Sweep:
    return Sweep(
        name,
        seed,
        task["baseline_loss"],
        (task["train_rows"], task["validation_rows"]),
        batch_size,
        tuple(Topology("rectangle", task["input_dim"], tuple(training["widths"])) for training in trainings),
        tuple(tuple(training["validation_loss"]) for training in trainings),
        tuple(task["epoch_cost_s"][str(training["size"])] for training in trainings),
    )


def targets(sweeps: tuple[Sweep, ...]) -> list[Target]:
    """Every level of every sweep that is not met by predicting the mean."""
    found = [Target(sweep, level) for sweep in sweeps for level in LEVELS]
    return [target for target in found if not target.is_trivial]


def search(target: Target) -> float:
    """The search, everything that it trains included."""
    return replay(target)[0]


def replay(target: Target) -> tuple[float, list[tuple[int, int]]]:
    """The search on recorded curves: what it spends, and its slices (position of the size, epochs trained by then)."""
    sweep = target.sweep
    losses: list[tuple[float, ...]] = [()] * len(sweep.sizes)
    spent, slices = 0.0, []
    while True:
        sizes = tuple(
            replace(candidate, values=seen, ended="recorded no further" if len(seen) >= len(recorded) else None)
            for candidate, seen, recorded in zip(sweep.candidates, losses, sweep.losses, strict=True)
        )
        decisions = decide(sizes, Goal(target.loss, max(map(len, sweep.losses))), sizes[sweep.first].name)
        if not decisions:
            return math.inf, slices
        position = next(i for i, size in enumerate(sizes) if size.name == decisions[0].name)
        done = len(losses[position])
        until = min(done + decisions[0].epochs, sweep.epochs(position, target.loss), len(sweep.losses[position]))
        losses[position] = sweep.losses[position][: int(until)]
        spent += (until - done) * sweep.epoch_cost[position]
        slices.append((position, int(until)))
        if losses[position][-1] <= target.loss:
            return spent, slices
