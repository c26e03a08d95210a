"""Why what a search has reached may not hold on rows that it never saw, and what other rules for "reached" would buy.

    python benchmarks/search_untouched.py tasks   # the test rows that were recorded, task by task: a minute
    python benchmarks/search_untouched.py rules   # the search replayed with other rules: some minutes
    python benchmarks/search_untouched.py fresh   # trains what searches end with, looks at fresh rows: some minutes

A target is held by a network whose loss on untouched rows is at most 3 % above it. Three things keep it from that: what
the search chooses by luck, how the validation rows happen to differ from all others, and how the test rows do. Of the
last two no search can know. How large they are follows from n rows and from how much the losses of single rows scatter,
``spread`` (standard deviation over mean, of a small network): the mean of n rows is off by spread / sqrt(n).
"""

from __future__ import annotations

import argparse
import math
import zlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from functools import cache
from statistics import NormalDist
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import numpy.typing as npt
from curve_base import CHOOSE, TaskFacts, read_facts, tasks
from curve_tasks import ENDLESS, HELD_OUT, fresh, load
from search_base import Curves, Grid, Outcome, Target, epochs_to, search, targets

from sizer.size_search.data.halves import CROSS_FIT_BELOW

if TYPE_CHECKING:
    from curve_stacks import Stack

HOLDS = 1.03
FloatArray = npt.NDArray[np.float64]


def share_held(ratios: Sequence[float] | FloatArray) -> float:
    """Of losses over their targets, the share that holds; those that are not known left out."""
    known = np.asarray(ratios, dtype=np.float64)
    return float(np.mean(known[np.isfinite(known)] <= HOLDS))


# By task: what is the search's doing, and what is the rows'.


def unselected(target: Target) -> FloatArray:
    """Test loss over a target of every network of 2^11 parameters or more, in the epoch that first meets it."""
    found = []
    for arm in target.grid.arms:
        curves = target.grid.curves[target.grid.key(arm)]
        met = epochs_to(curves.better, target.loss)
        if arm.num_free_parameters >= 2**10.9 and math.isfinite(met):
            found.append(curves.test[int(met) - 1] / target.loss)
    return np.array(found)


def held_by_chance(n_test: int, n_validation: float, spread: float) -> float:
    """Chance that a network holds a target which its loss on some validation rows just meets, nothing being chosen.

    Infinitely many validation rows are the oracle that knows a network's true loss.
    """
    error = spread * math.sqrt(1 / n_test + 1 / n_validation)
    return NormalDist().cdf(math.log(HOLDS) / error)


@cache
def row_spread(name: str) -> float:
    """Standard deviation over mean of the losses of single rows: 2^13 parameters at 8e-3, ten epochs, averaged."""
    task = load(name)
    trained = list(_epochs(name, 2**13, 8e-3, 0, 10))[-1]
    losses = _row_losses_of(trained, task.looked_at, task.looked_at_targets)[1]
    return float(losses.std() / losses.mean())


def by_task() -> None:
    """Print for each task what the search, any network, and one whose true loss is known come to."""
    heads = ("rows", "test", "spread", "any: held", "median", "search: held", "median", "of any", "no choice", "oracle")
    widths = (6, 6, 8, 11, 8, 14, 8, 8, 11, 8)
    print(" " * 16 + "".join(f"{head:>{width}s}" for head, width in zip(heads, widths, strict=True)))
    columns = []
    for name in tasks():
        wanted = targets(name)
        ours = np.array([search(target).test for target in wanted])
        others = [unselected(target) for target in wanted]
        beside = ours / np.array([np.median(one) if len(one) else math.nan for one in others])
        any_one = np.concatenate(others)
        facts, spread = read_facts(name), row_spread(name)
        n_test, n_validation = facts.looked_at_rows[2], sum(facts.looked_at_rows[:2])
        chances = [held_by_chance(n_test, rows, spread) for rows in (n_validation, math.inf)]
        shares = [np.mean([share_held(one) for one in others if len(one)]), share_held(ours), share_held(beside)]
        columns.append((name, len(wanted), *shares, *chances))
        print(
            f"{name:16s}{n_validation:6d}{n_test:6d}{spread:8.2f}{shares[0]:11.0%}{np.median(any_one):8.2f}"
            f"{shares[1]:14.0%}{np.nanmedian(ours):8.2f}{np.nanmedian(beside):8.2f}{chances[0]:11.0%}{chances[1]:8.0%}",
            flush=True,
        )
    for title, is_wanted in (("fitted tasks", lambda one: one not in HELD_OUT), ("left out", HELD_OUT.__contains__)):
        some = [column for column in columns if is_wanted(column[0])]
        counts = np.array([column[1] for column in some], dtype=np.float64)
        means = counts @ np.array([column[2:] for column in some]) / counts.sum()
        names = ("any network", "search", "search beside any", "no choice", "oracle")
        print(f"{title}: " + ", ".join(f"{each} {mean:.0%}" for each, mean in zip(names, means, strict=True)))


# Other rules.

#: What a curve is held against a target by, an entry an epoch.
Rule = Callable[[Curves, TaskFacts], FloatArray]


def _by(margin: float) -> Rule:
    return lambda curves, _: (1 + margin) * np.array(curves.better)


def _by_errors(errors: float) -> Rule:
    """The worse half, so many standard errors of the mean of one half below the target."""
    return lambda curves, facts: (
        np.array(curves.better) * math.exp(errors * row_spread(facts.name) / math.sqrt(facts.looked_at_rows[1]))
    )


def _all_by_errors(errors: float) -> Rule:
    """All validation rows together, so many standard errors of their mean below the target."""
    return lambda curves, facts: (
        np.array(curves.mean) * math.exp(errors * row_spread(facts.name) / math.sqrt(sum(facts.looked_at_rows[:2])))
    )


def _in_a_row(epochs: int) -> Rule:
    """The worst of the last epochs."""

    def rule(curves: Curves, _: TaskFacts) -> FloatArray:
        padded = np.concatenate([np.full(epochs - 1, np.inf), curves.better])
        worst: FloatArray = np.lib.stride_tricks.sliding_window_view(padded, epochs).max(axis=1)
        first = np.isfinite(worst)
        # (a search sees the losses themselves until it may stop)
        return np.where(first, worst, np.array(curves.better) * 1e3)

    return rule


RULES: dict[str, Rule] = {
    "both halves (built)": _by(0.0),
    "all validation rows together": _all_by_errors(0.0),
    "all together, by 1 standard error": _all_by_errors(1.0),
    "all together, by 1.5": _all_by_errors(1.5),
    "both halves, by 2 %": _by(0.02),
    "by 5 %": _by(0.05),
    "by 10 %": _by(0.10),
    "by 15 %": _by(0.15),
    "by 0.5 standard errors of a half": _by_errors(0.5),
    "by 1": _by_errors(1.0),
    "by 2": _by_errors(2.0),
    "in two consecutive epochs": _in_a_row(2),
    "in three": _in_a_row(3),
}


@cache
def _under(grid: Grid, name: str) -> Grid:
    """A grid whose curves are held against targets by a rule."""
    curves = {key: replace(one, better=tuple(RULES[name](one, grid.facts))) for key, one in grid.curves.items()}
    return replace(grid, curves=curves)


def by_rule(wanted: Sequence[str]) -> None:
    """Print what the search spends under each rule, and how often what it reaches holds."""
    heads = ("fitted tasks: cost", "not met", "held", "left out: cost", "not met", "held")
    print(" " * 36 + "".join(f"{head:>{width}s}" for head, width in zip(heads, (20, 10, 6, 16, 11, 6), strict=True)))
    for rule in wanted or RULES:
        cells = ""
        for is_wanted in (lambda one: one not in HELD_OUT, HELD_OUT.__contains__):
            known = [target for name in tasks() if is_wanted(name) for target in targets(name)]
            found = [search(replace(target, grid=_under(target.grid, rule))) for target in known]
            ratios = np.array([one.spent / target.cheapest for one, target in zip(found, known, strict=True)])
            middle, tail = np.quantile(ratios, (0.5, 0.9), method="inverted_cdf")
            missed = int(np.isinf(ratios).sum())
            held = share_held([one.test for one in found])
            cells += f"{middle:13.2f}{tail:7.2f}{missed:6d}/{len(known):3d}{held:6.0%}"
        print(f"{rule:36s}{cells}", flush=True)


# Fresh rows of generated tasks: the true loss, up to half a per cent.

FRESH_ROWS = 20_000


def _row_losses_of(stack: Stack, features: npt.NDArray[np.float32], answers: npt.NDArray[np.generic]) -> FloatArray:
    """Loss of each row (2, rows) by the only network of a stack: raw and averaged weights."""
    import torch
    from curve_stacks import losses_of

    outputs = stack.outputs(torch.from_numpy(features))[:, 0]
    losses: FloatArray = losses_of(outputs, torch.from_numpy(answers), stack.regression).double().numpy()
    return losses


def _epochs(name: str, size: int, rate: float, seed: int, epochs: int) -> Iterator[Stack]:
    """Train a network as it was for the base, alone in a stack, an epoch at a time."""
    import torch
    from curve_stacks import Member, Rows, Stack

    from sizer.models.topology import Topology

    torch.set_num_threads(1)
    task = load(name)
    topology = Topology.solve("rectangle", size, 4, task.features.shape[1], task.output_dim)
    member = Member(zlib.crc32(f"{name} {seed} {rate:g}".encode()), rate)
    stack = Stack(topology, [member], task.regression)
    rows = Rows(torch.from_numpy(task.features), torch.from_numpy(task.targets))
    for _ in range(epochs):
        stack.train_epoch(rows, 256)
        yield stack


class Truth(NamedTuple):
    """What fresh rows say of a network that met a target: its true loss over that, and whether that holds.

    ``drawn`` is the share of drawn test sets on which it holds, ``oracle`` that of the network as it was, or would be,
    when its true loss first met the target, ``epochs`` that one's epochs over its own (NaN where it never does), and
    ``inside`` whether the true loss lies in the interval that the search reports (`sizer.size_search.data.other_rows`).
    """

    ratio: float
    held: float
    drawn: float
    oracle: float
    epochs: float
    inside: float


def on_fresh_rows(names: Sequence[str]) -> None:
    """Print by task what fresh rows say of the networks that searches end with."""
    heads = ("targets", "true/target", "held truly", "drawn test set", "oracle, drawn", "its epochs", "in interval")
    print(" " * 14 + "".join(f"{head:>15s}" for head in heads))
    everything: list[Truth] = []
    for name in names or ENDLESS:
        found = [(target, search(target)) for target in targets(name)]
        told = [_truth(target, one) for target, one in found if one.arm is not None]
        everything += told
        print(_truth_row(name, told), flush=True)
    print(_truth_row("all", everything))


def _truth_row(name: str, told: Sequence[Truth]) -> str:
    ratio, held, drawn, oracle, epochs, inside = np.array(told).T
    longer = math.exp(np.nanmean(np.log(epochs)))
    shares = f"{held.mean():15.0%}{drawn.mean():15.0%}{np.nanmean(oracle):15.0%}{longer:15.2f}{inside.mean():15.0%}"
    return f"{name:14s}{len(told):15d}{np.median(ratio):15.3f}{shares}"


def _truth(target: Target, outcome: Outcome) -> Truth:
    assert outcome.arm is not None  # (only single networks are looked at)
    grid, n_test = target.grid, target.grid.facts.looked_at_rows[2]
    true, deciding = _row_losses(grid.facts.name, *grid.recorded_as(outcome.arm))
    mine, said = true[outcome.epochs - 1], deciding[outcome.epochs - 1]
    known = epochs_to(list(true.mean(axis=1)), target.loss)
    oracle = math.nan if math.isinf(known) else _drawn(true[int(known) - 1], n_test, target.loss)
    ratio = float(mine.mean()) / target.loss
    error = 1.7 * float(said.std() / said.mean()) / math.sqrt(len(said))
    is_inside = abs(math.log(mine.mean() / said.mean())) <= error
    epochs = known / outcome.epochs if math.isfinite(known) else math.nan
    return Truth(ratio, float(ratio <= HOLDS), _drawn(mine, n_test, target.loss), oracle, epochs, float(is_inside))


def _drawn(losses: FloatArray, rows: int, target: float) -> float:
    """Share of drawn test sets of so many rows on which losses hold a target."""
    draw = np.random.default_rng(0)
    means = np.array([losses[draw.integers(0, len(losses), rows)].mean() for _ in range(400)])
    return float(np.mean(means <= HOLDS * target))


@cache
def _row_losses(name: str, size: int, rate: float, seed: int) -> tuple[FloatArray, FloatArray]:
    """By epoch the losses of fresh rows, and of the rows that decide, of a network that the base has.

    Of the weights that the choosing half prefers, as a search has it; few rows decide together.
    """
    features, answers = fresh(name, FRESH_ROWS)
    task = load(name)
    half = task.counts[CHOOSE]
    deciding = slice(half if 2 * half >= CROSS_FIT_BELOW else 0, 2 * half)
    grid = next(target.grid for target in targets(name) if target.grid.seed == seed)
    arm = next(arm for arm in grid.arms if grid.recorded_as(arm) == (size, rate, seed))
    true, decided = [], []
    for trained in _epochs(name, size, rate, seed, len(grid.curves[grid.key(arm)].better)):
        by_row = _row_losses_of(trained, task.looked_at, task.looked_at_targets)
        chosen = int(np.nan_to_num(by_row[:, :half].mean(axis=1), nan=np.inf).argmin())
        true.append(_row_losses_of(trained, features, answers)[chosen])
        decided.append(by_row[chosen, deciding])
    return np.array(true, dtype=np.float32), np.array(decided)


def main() -> None:
    """Print a table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", choices=("tasks", "rules", "fresh"))
    parser.add_argument("names", nargs="*", help="tasks or rules, all unless named")
    options = parser.parse_args()
    if options.what == "tasks":
        by_task()
    else:
        {"rules": by_rule, "fresh": on_fresh_rows}[options.what](options.names)


if __name__ == "__main__":
    main()
