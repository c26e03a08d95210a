"""What the search spends on all recorded targets, and what it would spend with another value of each of its constants.

    python benchmarks/search_constants.py    # some six minutes

As `search.py` has it: the ratio to the size that meets a target most cheaply, were it known beforehand.
"""

from __future__ import annotations

from types import ModuleType

import numpy as np
from search import row
from search_replays import read_sweeps, search, targets

from sizer.size_search import arms, forecasts, learning_curves, policy

OTHER_VALUES: dict[ModuleType, dict[str, float]] = {
    arms: {"OWN_EPOCHS": 4, "SLICE_SHARE": 0.3},
    forecasts: {
        "FLOOR_FALL": 0.0,
        "SMALL": 30.0,
        "SMALL_EXPONENT": 1.5,
        "FLOOR_SPREAD": 0.12,
        "FLOOR_SPREAD_PER_DOUBLING": 0.0,
        "LAW_SPREAD": 0.0,
        "HOPELESS": 0.02,
    },
    policy: {
        "OUTWARDS": 2,
        "HEDGE": 0.0,
        "LEAST_EPOCHS": 2,
    },
    learning_curves: {
        "WINDOW": 1.4,
        "LEAST_WINDOW": 4,
        "PRIOR_FALL": 0.05,
        "PRIOR_FALL_SPREAD": 0.1,
        "PRIOR_NOISE": 0.1,
        "EARLY_NOISE": 0.0,
        "PRIOR_WEIGHT": 30.0,
    },
}


def spent() -> str:
    """Median, 90th percentile, worst of those met, and how many were not met."""
    forecasts._own_chances.cache_clear()
    forecasts.borrowed_forecast.cache_clear()
    return row(np.array([search(target) / target.best_cost for target in targets(read_sweeps())]))


def main() -> None:
    """Change one constant at a time."""
    print(f"{'as it is':40s}{spent()}", flush=True)
    for module, values in OTHER_VALUES.items():
        for name, value in values.items():
            before = getattr(module, name)
            setattr(module, name, value)
            print(f"{name} {value:g} for {before:g}".ljust(40) + spent(), flush=True)
            setattr(module, name, before)


if __name__ == "__main__":
    main()
