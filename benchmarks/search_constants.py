"""What the search spends on recorded targets, and what it would spend with another value of each of its constants.

    python benchmarks/search_constants.py           # sizes alone, the first base of curves: some six minutes
    python benchmarks/search_constants.py --base    # sizes and rates, every second task and the others: ten minutes

As `search.py` has it: the ratio to the size that meets a target most cheaply, were it known beforehand. With `--base` a
value can be chosen on one half of the tasks and looked at on the other: tasks left out of every fit are in neither.
"""

from __future__ import annotations

import argparse
import math
from types import ModuleType

import numpy as np
from search import row
from search_replays import read_sweeps, search, targets

from sizer.size_search import arms, forecasts, learning_curves, policy

OTHER_VALUES: dict[ModuleType, dict[str, tuple[float, ...]]] = {
    arms: {"OWN_EPOCHS": (4,), "SLICE_SHARE": (0.3,)},
    forecasts: {
        "FLOOR_FALL": (0.0,),
        "SMALL": (30.0,),
        "SMALL_EXPONENT": (1.5,),
        "FLOOR_SPREAD": (0.12,),
        "FLOOR_SPREAD_PER_DOUBLING": (0.0,),
        "LAW_SPREAD": (0.0,),
        "HOPELESS": (0.02,),
    },
    policy: {
        "OUTWARDS": (2,),
        "HEDGE": (0.0,),
        "LEAST_EPOCHS": (2,),
    },
    learning_curves: {
        "WINDOW": (1.4,),
        "LEAST_WINDOW": (4,),
        "PRIOR_FALL": (0.05,),
        "PRIOR_FALL_SPREAD": (0.1,),
        "PRIOR_NOISE": (0.1,),
        "EARLY_NOISE": (0.0,),
        "PRIOR_WEIGHT": (30.0,),
    },
}
#: Those that matter at several rates.
AT_SEVERAL_RATES: dict[ModuleType, dict[str, tuple[float, ...]]] = {
    policy: {
        "RATE_HEDGE": (0.05, 0.3),
        "HEDGE": (0.05, 0.3),
        "REACH_EPOCHS": (3, 10),
        "BREADTH_EPOCHS": (10.0, 40.0),
        "SLICE_OF_ALL": (0.05,),
    },
    forecasts: {"STALL_SHARE": (0.05, 0.2), "FLOOR_SPREAD": (0.12,), "RATE_FLOOR_SPREAD": (0.1,)},
    arms: {"SLICE_SHARE": (0.2,)},
}


def spent() -> str:
    """Median, 90th percentile, worst of those met, and how many were not met."""
    return row(np.array([search(target) / target.best_cost for target in targets(read_sweeps())]))


def spent_by_halves() -> str:
    """Geometric mean (a target not met counting 50), 90th percentile and worst, of every second task and of the others.

    Of one seed: the other one says much the same.
    """
    import search_base
    from curve_base import tasks
    from curve_tasks import HELD_OUT

    known = [name for name in tasks() if name not in HELD_OUT]
    cells = ""
    for names in (known[::2], known[1::2]):
        wanted = [target for name in names for target in search_base.targets(name) if target.grid.seed == 0]
        ratios = np.array([search_base.search(target).spent / target.cheapest for target in wanted])
        mean = math.exp(np.log(np.minimum(ratios, 50.0)).mean())
        tail = np.quantile(ratios, 0.9, method="inverted_cdf")
        missed = int(np.isinf(ratios).sum())
        cells += f"{mean:10.3f}{tail:8.2f}{ratios[np.isfinite(ratios)].max():8.1f} ({missed})"
    return cells


def main() -> None:
    """Change one constant at a time."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--base", action="store_true", help="sizes and rates, on the base of curves")
    is_base = parser.parse_args().base
    measured, modules = (spent_by_halves, AT_SEVERAL_RATES) if is_base else (spent, OTHER_VALUES)
    print(f"{'as it is':40s}{measured()}", flush=True)
    for module, constants in modules.items():
        for name, values in constants.items():
            before = getattr(module, name)
            for value in values:
                setattr(module, name, value)
                forecasts._own_chances.cache_clear()
                forecasts.borrowed_forecast.cache_clear()
                print(f"{name} {value:g} for {before:g}".ljust(40) + measured(), flush=True)
            setattr(module, name, before)
            forecasts._own_chances.cache_clear()
            forecasts.borrowed_forecast.cache_clear()


if __name__ == "__main__":
    main()
