"""Levers of a training that the search does not pull, measured: decay of the learning rate, and the batch size.

    python benchmarks/search_levers.py decay    # a minute: trains
    python benchmarks/search_levers.py batch    # seconds: reads the base

Decay: the loss of raw weights after so many epochs of which the last tenth lowered the rate to zero, beside that of
averaged weights, of raw ones, and of both together, without decay unless said. All losses are on all validation rows.

Batch size: what the cheapest of three sizes (2^12, 2^14, 2^16 parameters) and the rates of `search --learning-rate
auto`, known beforehand, takes to a target with batches of 64 or 1,024, as a ratio to the cheapest with batches of 256.
"""

from __future__ import annotations

import argparse
import copy
import math
from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
from curve_base import read_base, read_facts
from curves import MAIN_RATES
from search_base import DEVICE, LEVELS, Curves, epochs_to, targets

from sizer.devices import choose
from sizer.models.topology import Topology
from sizer.size_search.candidates import price_arms
from sizer.size_search.settings import SearchSettings

TASKS = ("vowel", "splice", "friedman1", "satimage", "optdigits", "housing")
SIZES, RATES, SEEDS = (2**13, 2**15), (4e-3, 1.6e-2), (0, 1)
EPOCHS, DECAYED, BATCH_SIZE = (5, 10, 20, 40), 0.1, 256
BATCH_TASKS = ("vowel", "swiss_roll", "splice", "banana", "friedman1", "satimage", "housing", "arm")
BATCH_SIZES, OTHER_BATCHES = (2**12, 2**14, 2**16), (64, 1024)


class Losses(NamedTuple):
    """After so many epochs, on all validation rows."""

    raw: float
    averaged: float
    decayed: float
    both: float


def decay() -> None:
    """Print the geometric means over tasks, sizes and seeds of losses as ratios to those of averaged weights."""
    import torch

    torch.set_num_threads(1)
    print(f"{'rate':>8s} {'epochs':>7s} {'raw':>7s} {'decayed':>8s} {'decayed, averaged':>18s}   of averages' loss")
    for rate in RATES:
        found: dict[int, list[Losses]] = {}
        for task in TASKS:
            for size in SIZES:
                for seed in SEEDS:
                    for epochs, losses in _trained(task, size, rate, seed):
                        found.setdefault(epochs, []).append(losses)
        for epochs, known in found.items():
            logs = np.log(np.array(known))
            raw, _, decayed, both = np.exp((logs - logs[:, 1:2]).mean(axis=0))
            print(f"{rate:8g} {epochs:7d} {raw:7.3f} {decayed:8.3f} {both:18.3f}", flush=True)


def _trained(name: str, size: int, rate: float, seed: int) -> Iterator[tuple[int, Losses]]:
    """Train one network; before the last tenth of each of `EPOCHS`, train a copy of it to there with decay."""
    from curve_tasks import load

    task = load(name)
    topology = Topology.solve("rectangle", size, 4, task.features.shape[1], task.output_dim)
    training = _Training(topology, task, rate, seed)
    for epochs in EPOCHS:
        ends = round(epochs * training.steps_per_epoch)
        branches = round((1 - DECAYED) * ends)
        training.run(branches, None)
        copied = copy.deepcopy(training)
        copied.run(ends, branches)
        training.run(ends, None)
        raw, averaged = training.losses()
        decayed, both = copied.losses()
        yield epochs, Losses(raw, averaged, decayed, both)


class _Training:
    """A network in training, with the average of its weights."""

    def __init__(self, topology, task, rate, seed) -> None:  # type: ignore[no-untyped-def]
        import torch

        from sizer.size_search.trials.averaging import AveragedWeights

        torch.manual_seed(seed)
        self.model = topology.build()
        self.rate, self.task, self.steps = rate, task, 0
        self.adam = torch.optim.Adam(self.model.parameters(), lr=rate, fused=True)
        self.steps_per_epoch = math.ceil(len(task.targets) / BATCH_SIZE)
        self.averaged = AveragedWeights(self.model, self.steps_per_epoch)
        self.generator = np.random.default_rng(seed)
        self.order = np.zeros(0, dtype=np.int64)

    def run(self, until: int, decays_from: int | None) -> None:
        """Train up to a step; from ``decays_from`` on the rate falls in a line to zero there."""
        import torch
        import torch.nn.functional as F  # noqa: N812

        loss_of = F.mse_loss if self.task.regression else F.cross_entropy
        while self.steps < until:
            if decays_from is not None:
                left = (until - self.steps) / (until - decays_from)
                self.adam.param_groups[0]["lr"] = self.rate * left
            if len(self.order) == 0:
                self.order = self.generator.permutation(len(self.task.targets))
            batch, self.order = self.order[:BATCH_SIZE], self.order[BATCH_SIZE:]
            self.adam.zero_grad()
            said = self.model(torch.from_numpy(self.task.features[batch]))
            loss_of(said, torch.from_numpy(self.task.targets[batch])).backward()
            self.adam.step()
            self.averaged.step()
            self.steps += 1

    def losses(self) -> list[float]:
        """Of raw and averaged weights."""
        import torch
        import torch.nn.functional as F  # noqa: N812

        rows = sum(self.task.counts[:2])
        x, y = torch.from_numpy(self.task.looked_at[:rows]), torch.from_numpy(self.task.looked_at_targets[:rows])
        loss_of = F.mse_loss if self.task.regression else F.cross_entropy
        with torch.no_grad():
            return [float(loss_of(module(x), y)) for module in (self.model, self.averaged.module)]


def batch() -> None:
    """Print the ratios by task and target, and their geometric means over targets that both batch sizes meet."""
    print(f"{'':14s}{'rows':>7s}{'batch':>7s}" + "".join(f"{level:7.2f}" for level in LEVELS))
    known: dict[int, list[float]] = {batch_size: [] for batch_size in OTHER_BATCHES}
    for name in BATCH_TASKS:
        usual = _costs(name, BATCH_SIZE)
        for batch_size in OTHER_BATCHES:
            ratios = [one / other for one, other in zip(_costs(name, batch_size), usual, strict=True)]
            known[batch_size] += ratios
            cells = "".join(f"{ratio:7.2f}" for ratio in ratios)
            print(f"{name:14s}{read_facts(name).train_rows:7,d}{batch_size:7d}{cells}", flush=True)
    for batch_size, ratios in known.items():
        met = [math.log(ratio) for ratio in ratios if math.isfinite(ratio)]
        better = sum(ratio < 1 for ratio in ratios)
        print(
            f"batches of {batch_size}: {math.exp(np.mean(met)):.2f} where both meet it, {len(ratios) - len(met)} of "
            f"{len(ratios)} not met, cheaper in {better}"
        )
    best = np.minimum(1.0, np.min([*known.values()], axis=0))
    print(f"the best of all batch sizes, known beforehand: {np.exp(np.log(best).mean()):.2f}")


def _costs(name: str, batch_size: int) -> list[float]:
    """Predicted cost of the cheapest size and rate to each of a task's targets, inf where none meets it."""
    facts, chosen = read_facts(name), choose(DEVICE)
    settings = SearchSettings(target=1.0, depth=4, batch_size=batch_size)
    rows = facts.train_rows, sum(facts.looked_at_rows[:2])
    found = []
    for run in read_base(name):
        plain = run.depth, run.shape, run.batch_size, run.seed
        if plain == (4, "rectangle", batch_size, 0) and run.size in BATCH_SIZES and run.learning_rate in MAIN_RATES:
            topology = Topology(run.shape, facts.input_dim, run.widths)
            found.append((price_arms([topology], rows, settings, chosen)[0].epoch_cost, Curves.of(run).better))
    wanted = [target.loss for target in targets(name) if target.grid.seed == 0]
    return [min(cost * epochs_to(curve, loss) for cost, curve in found) for loss in wanted]


def main() -> None:
    """Print a table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("lever", choices=("decay", "batch"))
    {"decay": decay, "batch": batch}[parser.parse_args().lever]()


if __name__ == "__main__":
    main()
