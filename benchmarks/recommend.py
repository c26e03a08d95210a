"""How good the first line of `sizer recommend` is: what training the size that it names costs, beside the best size.

    python benchmarks/recommend.py            # each task left out of the fit in turn; minutes, nothing is trained
    python benchmarks/recommend.py --fit      # the constants of sizer/method/reach.py
    python benchmarks/recommend.py --tasks    # every task by itself

The base of curves is benchmarks/data/curves (`curves.py`). Targets are 1.02 to 3 times the best loss of any size at
1e-3 with raw weights. A cost is that of the training which begins at the named size and rate, is left after 12 epochs
without gain where it fails, and goes on with the next octave; given as a ratio to the size that meets the target most
cheaply at 1e-3, known beforehand. Step times are those of every shipped profile that was measured, and of this machine
where it is calibrated. Ratios are cut at 100, which is also what a target counts that no larger size meets.
"""

from __future__ import annotations

import argparse
import math
from collections.abc import Callable, Sequence
from functools import cache
from pathlib import Path
from typing import NamedTuple

import curve_base
import numpy as np
import numpy.typing as npt
import recommend_choices as choices
from curve_base import tasks
from curve_tasks import HELD_OUT, SEVEN
from recommend_base import BASE_RATE, LEVELS, LOG_UNIFORM, RATES, Target, epoch_cost, machines, read_sweeps, targets
from recommend_choices import Choice
from recommend_fit import constants_of, fit

#: Ratios are cut here: one target out of reach must not decide a mean.
CAP = 100.0
CONSTANT_SIZES = tuple(2**k for k in range(11, 20))


class Outcome(NamedTuple):
    """What a choice cost as a ratio to the best size at 1e-3, and whether the first size met the target."""

    ratio: float
    met_at_first: bool


@cache
def outcome(target: Target, machine: str, choice: Choice | None) -> Outcome:
    """What a choice costs; no choice counts as a target that is not met."""
    if choice is None:
        return Outcome(CAP, False)
    cost = target_costs(target, machine, choice.rate, choice.averaged)[choice.position]
    met = math.isfinite(target.sweep.epochs(choice.rate, choice.averaged, target.loss)[choice.position])
    return Outcome(min(CAP, cost / best_cost(target, machine)), met)


@cache
def piloted(target: Target, machine: str, choice: Choice | None) -> Outcome:
    """What a choice costs with its pilots, a few epochs each at 1e-3; one that is chosen goes on where it stopped."""
    sweep, spent = target.sweep, 0.0
    costs = epoch_cost(sweep, machines()[machine])
    epochs = sweep.epochs(BASE_RATE, False, target.loss)
    for position in choices.pilot_positions(sweep):
        if epochs[position] <= choices.PILOT_EPOCHS:
            spent += epochs[position] * costs[position]
            return Outcome(min(CAP, spent / best_cost(target, machine)), True)
        spent += choices.PILOT_EPOCHS * costs[position]
    if choice is not None and choice.position in choices.pilot_positions(sweep):
        spent -= choices.PILOT_EPOCHS * costs[choice.position]
    then = outcome(target, machine, choice)
    return Outcome(min(CAP, spent / best_cost(target, machine) + then.ratio), then.met_at_first)


@cache
def target_costs(target: Target, machine: str, rate: int, averaged: bool) -> npt.NDArray[np.float64]:
    """Cost of meeting a target that begins with each size, shape (sizes,)."""
    return target.sweep.costs(rate, averaged, target.loss, epoch_cost(target.sweep, machines()[machine]))


@cache
def best_cost(target: Target, machine: str) -> float:
    """Cost of the size that meets a target most cheaply at 1e-3 with raw weights."""
    epochs = target.sweep.epochs(BASE_RATE, False, target.loss)
    return float((epochs * epoch_cost(target.sweep, machines()[machine])).min())


#: From a target and a machine to what is trained.
Choosing = Callable[[Target, str], "Choice | None"]


class Table(NamedTuple):
    """Targets, on every machine, and how rows of choices do on them."""

    wanted: Sequence[Target]

    def row(self, name: str, choosing: Choosing, outcome_of: Callable[..., Outcome] = outcome) -> None:
        """Print a line: geometric mean, median, 90th percentile, share missed at first, on each machine."""
        cells = []
        for machine in machines():
            found = [outcome_of(target, machine, choosing(target, machine)) for target in self.wanted]
            ratios = np.array([each.ratio for each in found])
            missed = np.mean([not each.met_at_first for each in found])
            mean = np.exp(np.log(ratios).mean())
            p90 = np.quantile(ratios, 0.9, method="inverted_cdf")
            cells.append(f"{mean:6.2f}{np.median(ratios):6.2f}{p90:6.1f}{missed:5.0%}")
        print(f"{name:42s}" + "  |".join(cells), flush=True)

    def head(self, title: str) -> None:
        """Print what the columns are."""
        print(f"\n{title}: {len(self.wanted)} targets of {len({t.sweep.task for t in self.wanted})} tasks")
        print(f"{'':42s}" + "  |".join(f"{machine[:23]:>23s}" for machine in machines()))
        print(f"{'':42s}" + "  |".join(f"{'mean':>6s}{'med.':>6s}{'90 %':>6s}{'miss':>5s}" for _ in machines()))


def mean_of(wanted: Sequence[Target], machine: str, choosing: Choosing) -> float:
    """Mean logarithm of the ratios of a choosing."""
    return float(np.mean([math.log(outcome(target, machine, choosing(target, machine)).ratio) for target in wanted]))


def best_pair(wanted: Sequence[Target], machine: str, pairs: Sequence[tuple[int, int, bool]]) -> tuple[int, int, bool]:
    """Of pairs (size, rate, averaged) the one with the least mean over targets."""
    return min(pairs, key=lambda pair: mean_of(wanted, machine, choices.always(*pair)))


def best_of_others(pairs: Sequence[tuple[int, int, bool]], known: Sequence[Target]) -> Choosing:
    """The best constant pair of the other tasks."""

    @cache
    def of(task: str, machine: str) -> tuple[int, int, bool]:
        return best_pair([target for target in known if target.sweep.task != task], machine, pairs)

    return lambda target, machine: choices.always(*of(target.sweep.task, machine))(target, machine)


def best_in_hindsight(pairs: Sequence[tuple[int, int, bool]], known: Sequence[Target], by_task: bool) -> Choosing:
    """The best constant pair of each task, or of all, known afterwards."""

    @cache
    def of(task: str, machine: str) -> tuple[int, int, bool]:
        return best_pair([t for t in known if not by_task or t.sweep.task == task], machine, pairs)

    return lambda target, machine: choices.always(*of(target.sweep.task, machine))(target, machine)


def compare(title: str, wanted: Sequence[Target], known: Sequence[Target]) -> None:
    """Every row of choices on some targets; constants are chosen on the known ones."""
    if not wanted:
        return
    table = Table(wanted)
    table.head(title)
    pinned = [(size, BASE_RATE, False) for size in CONSTANT_SIZES]
    pairs = [
        (size, rate, averaged) for size in CONSTANT_SIZES for rate in range(len(RATES)) for averaged in (False, True)
    ]
    table.row("equation 10 alone: rank 1", choices.paper_rank_1)
    table.row("  its optimum of all sizes", choices.paper_optimum)
    table.row("  s_b = L2", choices.fills_l2)
    for size in CONSTANT_SIZES[3:7]:
        table.row(f"always 2^{int(math.log2(size))}", choices.always(size, BASE_RATE, False))
    table.row("best constant of the other tasks", best_of_others(pinned, known))
    table.row("best constant of all, in hindsight", best_in_hindsight(pinned, wanted, by_task=False))
    table.row("best constant of each task, in hindsight", best_in_hindsight(pinned, wanted, by_task=True))
    without = left_out(known)
    table.row("PINNED to 1e-3: rank 1", choices.rank_1(without, pinned=True))
    table.row("  of all recorded sizes", choices.of_all_sizes(without, pinned=True))
    table.row("  rank 1, difficulty given", choices.rank_1(without, pinned=True, given="difficulty"))
    with_pilots = choices.of_all_sizes(without, pinned=True, given="pilots")
    table.row("  two pilots of 2 epochs, their cost counted", with_pilots, piloted)
    table.row("  two pilots given, had for nothing", with_pilots)
    for label, pair in (("2^14 at 8e-3", (2**14, 2)), ("2^15 at 4e-3", (2**15, 1)), ("2^16 at 1e-3", (2**16, 0))):
        for averaged in (False, True):
            table.row(f"always {label}{', averaged' if averaged else ''}", choices.always(*pair, averaged))
    table.row("best pair of the other tasks", best_of_others(pairs, known))
    table.row("best pair of all, in hindsight", best_in_hindsight(pairs, wanted, by_task=False))
    table.row("best pair of each task, in hindsight", best_in_hindsight(pairs, wanted, by_task=True))
    table.row("SUGGESTED rate: rank 1", choices.rank_1(without, pinned=False))
    table.row("  the kind of targets not known", choices.rank_1(without, pinned=False, given="inputs"))
    table.row("  of all recorded sizes", choices.of_all_sizes(without, pinned=False))
    table.row("  rank 1, difficulty given", choices.rank_1(without, pinned=False, given="difficulty"))


def left_out(known: Sequence[Target]) -> Callable[[str], choices.Constants]:
    """The constants fitted to all known tasks but the one named."""
    names = tuple(sorted({target.sweep.task for target in known}))
    return lambda task: constants_of(tuple(name for name in names if name != task))


def calibration(wanted: Sequence[Target], known: Sequence[Target]) -> None:
    """Stated chances to reach a target beside how often it was, in five bins, each task left out of the fit."""
    stated, happened = [], []
    for target in wanted:
        for rate in range(len(RATES)):
            for averaged in (False, True):
                chances = choices.chances(target, left_out(known)(target.sweep.task), rate, averaged)
                stated.append(chances)
                happened.append(np.isfinite(target.sweep.epochs(rate, averaged, target.loss)))
    chance, came = np.concatenate(stated), np.concatenate(happened)
    print("\nstated chance to reach a target, and how often it was reached (each task left out)")
    for low in np.arange(0, 1, 0.2):
        some = (chance >= low) & ((chance < low + 0.2) | (low > 0.7))
        if some.any():
            print(
                f"    {low:.1f} to {low + 0.2:.1f}:{chance[some].mean():6.2f}{came[some].mean():6.2f}  of {some.sum()}"
            )


def main() -> None:
    """Fit, or compare."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--fit", action="store_true", help="print the constants fitted to all tasks but HELD_OUT")
    parser.add_argument("--tasks", action="store_true", help="print every task by itself")
    parser.add_argument("--base", type=Path, default=curve_base.BASE, help="the curves (default: %(default)s)")
    options = parser.parse_args()
    curve_base.BASE = options.base
    names = [name for name in tasks() if name not in HELD_OUT and read_sweeps(name)]
    if not names:
        parser.error(f"no curves in {options.base}; make them with benchmarks/curves.py")
    if options.fit:
        fit(tuple(names))
        return
    known = targets([sweep for name in names for sweep in read_sweeps(name)])
    apart = targets([sweep for name in tasks() if name in HELD_OUT for sweep in read_sweeps(name)])
    uniform = targets([sweep for name in names for sweep in read_sweeps(name)], LOG_UNIFORM)
    compare(f"Each task left out, targets {LEVELS}", known, known)
    compare("The seven tasks alone", [target for target in known if target.sweep.task in SEVEN], known)
    compare("Targets log-uniform from 1.01 to 4", uniform, known)
    compare("Tasks left out of every fit", apart, known)
    calibration(known, known)
    for name in names if options.tasks else ():
        compare(name, [target for target in known if target.sweep.task == name], known)


if __name__ == "__main__":
    main()
