"""One size placed by equation 10 and a width, as first releases did, beside the one that knowing all would have picked.

    python benchmarks/one_shot.py             # how good: on the recorded curves, nothing is trained
    python benchmarks/one_shot.py --fit       # the widths that reach each difficulty, each task left out in turn
    python benchmarks/one_shot.py --each      # every target by itself

The place of a size is the cheapest by equation 10 of those whose hidden layers are wide enough for the difficulty, on
the machine that the curves were recorded on; what counts is the recorded size nearest to it. The difficulty is given,
as its definition says, by the ratio of the target to the best loss in the sweep. Beside it stands rank 1 of `sizer
recommend` with the difficulty, or with the losses that two small sizes ended at, at the rate of the recorded curves.
"""

from __future__ import annotations

import argparse
import itertools
import math
from collections.abc import Callable, Sequence
from functools import cache
from pathlib import Path

import numpy as np
from search_replays import CURVES, DEVICE, LEVELS, Sweep, Target, read_sweeps, targets
from search_tasks import HELD_OUT

from sizer.devices import choose
from sizer.method.advisor import recommend
from sizer.method.epochs_to_loss import DIFFICULTIES, Pilot, difficulty_of, relative_epochs
from sizer.method.recommendation import Recommendation
from sizer.method.request import Request

#: Sizes whose losses are the pilots', and the rate at which the curves were recorded.
PILOT_SIZES = (2**11, 2**13)
RATE = 1e-3
#: The hidden width, and the epochs that no size saves, of the first releases' one shot (--fit).
FITTED = {"hard": (160, 0.0), "medium": (1, 0.25), "easy": (1, 0.25)}
#: Widths and saturations that are tried for each difficulty, and what a target that is not reached counts in the fit.
WIDTHS = (1, 32, 64, 96, 128, 160, 200, 240)
SATURATIONS = (0.0, 0.25, 0.5, 0.75, 1.0)
NOT_REACHED = 10.0

#: From a target to the position of a recorded size, None for no size.
Placing = Callable[[Target], "int | None"]


@cache
def placed(sweep: Sweep, hidden_width: int, saturation: float) -> int:
    """Position of the size placed for targets that need layers so wide, with so much saturation."""
    record = recommend(_request(sweep, law="paper"), *_machine())
    return sweep.nearest(wide_enough(record, hidden_width, saturation))


def wide_enough(record: Recommendation, hidden_width: int, saturation: float) -> int:
    """Parameters of the cheapest size of a recommendation by equation 10 whose middle hidden layer is wide enough."""
    points = [point for point in record.curve if np.median(point.widths[:-1]) >= hidden_width]
    sizes = np.array([point.num_free_parameters for point in points])
    per_datum = np.array([point.time_per_datum_s or point.energy_per_datum_j or math.inf for point in points])
    return int(sizes[np.argmin(per_datum * relative_epochs(sizes, saturation=saturation))])


def by_difficulty(target: Target) -> int:
    """Position of the size placed for a target's difficulty."""
    return placed(target.sweep, *FITTED[difficulty_of(target.loss, target.sweep.best)])


def ranked_first(target: Target) -> int:
    """Position of rank 1 of `sizer recommend` with the difficulty."""
    difficulty = difficulty_of(target.loss, target.sweep.best)
    return target.sweep.nearest(_first(target.sweep, difficulty=difficulty))


def by_pilots(target: Target) -> int:
    """Position of rank 1 of `sizer recommend` with the losses of two small sizes."""
    sweep = target.sweep
    positions = sorted({sweep.nearest(size) for size in PILOT_SIZES})
    pilots = tuple(Pilot(int(sweep.sizes[i]), min(sweep.losses[i])) for i in positions)
    return sweep.nearest(_first(sweep, pilots=pilots, target_loss=target.loss))


def _first(sweep: Sweep, **what: object) -> int:
    return recommend(_request(sweep, learning_rate=RATE, **what), *_machine()).best.num_free_parameters


def by_law_alone(target: Target) -> int:
    """Position of the law's cheapest size, whatever the target."""
    return placed(target.sweep, 1, 0.0)


def ratio(target: Target, position: int | None) -> float:
    """Cost of meeting a target at a size, over that of the cheapest size; inf where it does not meet it."""
    return math.inf if position is None else float(target.sweep.costs(target.loss)[position]) / target.best_cost


def _request(sweep: Sweep, **what: object) -> Request:
    topology = sweep.topologies[0]
    return Request(
        input_dim=topology.input_dim,
        depth=(topology.depth,),
        output_dim=topology.output_dim,
        batch_size=(sweep.batch_size,),
        observations=sweep.rows[0],
        **what,
    )


@cache
def _machine():
    chosen = choose(DEVICE)
    return chosen.device, chosen.coefficients


def row(ratios: Sequence[float]) -> str:
    """Median and 90th percentile of the targets that are reached, the worst of them, and how many are not."""
    reached = np.array([value for value in ratios if math.isfinite(value)])
    missed = len(ratios) - len(reached)
    quantiles = f"{np.median(reached):8.2f}{np.quantile(reached, 0.9, method='inverted_cdf'):8.2f}{reached.max():8.2f}"
    return f"{quantiles}{missed:6d}/{len(ratios)} ({missed / len(ratios):.0%})"


def report(wanted: list[Target], placings: dict[str, Placing], each: bool) -> None:
    """A line for each way of placing a size, of all targets and by difficulty."""
    print(f"{'':28s}{'median':>8s}{'90 %':>8s}{'worst':>8s}   not reached")
    for name, placing in placings.items():
        ratios = {target: ratio(target, placing(target)) for target in wanted}
        print(f"{name:28s}{row(list(ratios.values()))}")
        for difficulty in DIFFICULTIES:
            some = [v for t, v in ratios.items() if difficulty_of(t.loss, t.sweep.best) == difficulty]
            print(f"    {difficulty:24s}{row(some)}")
        for target, value in ratios.items() if each else ():
            size = placing(target)
            parameters = "-" if size is None else f"{target.sweep.sizes[size]:,}"
            print(
                f"    {target.sweep.task:10s} {target.sweep.seed} {target.level:5.2f}x {parameters:>10s} {value:8.2f}"
            )


def fit(wanted: list[Target]) -> dict[str, tuple[int, float]]:
    """For each difficulty the width and saturation with the least mean log of the ratio."""
    found = {}
    for difficulty in DIFFICULTIES:
        some = [target for target in wanted if difficulty_of(target.loss, target.sweep.best) == difficulty]
        costs = {
            pair: np.mean([math.log(min(ratio(target, placed(target.sweep, *pair)), NOT_REACHED)) for target in some])
            for pair in itertools.product(WIDTHS, SATURATIONS if difficulty != "hard" else SATURATIONS[:1])
        }
        found[difficulty] = min(costs, key=lambda pair: costs[pair])
    return found


def leave_one_out(wanted: list[Target]) -> None:
    """Fit on all tasks but one and place sizes for that one, for each task."""
    ratios = []
    for task in dict.fromkeys(target.sweep.task for target in wanted):
        fitted = fit([target for target in wanted if target.sweep.task != task])
        print(f"without {task:10s}: {fitted}")
        for target in (target for target in wanted if target.sweep.task == task):
            pair = fitted[difficulty_of(target.loss, target.sweep.best)]
            ratios.append(ratio(target, placed(target.sweep, *pair)))
    print(f"with all: {fit(wanted)}")
    print(f"{'each task left out':28s}{row(ratios)}")


def main() -> None:
    """Replay."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--curves", type=Path, default=CURVES, metavar="FILE", help="recorded curves")
    parser.add_argument("--fit", action="store_true", help="fit the widths, each task left out in turn")
    parser.add_argument("--each", action="store_true", help="print every target")
    options = parser.parse_args()
    sweeps = read_sweeps(options.curves)
    known = tuple(sweep for sweep in sweeps if sweep.task not in HELD_OUT)
    print(f"{len(LEVELS)} targets each on {len(known)} sweeps of {len({sweep.task for sweep in known})} tasks")
    if options.fit:
        leave_one_out(targets(known))
    placings: dict[str, Placing] = {
        "equation 10, wide enough": by_difficulty,
        "equation 10 alone": by_law_alone,
        "rank 1, difficulty given": ranked_first,
        "rank 1, two pilots": by_pilots,
    }
    report(targets(known), placings, options.each)
    held_out = targets(tuple(sweep for sweep in sweeps if sweep.task in HELD_OUT))
    if held_out:
        print("\nheld-out tasks")
        report(held_out, placings, options.each)


if __name__ == "__main__":
    main()
