"""Runs frames for the tests of the analyses: from the cost model, with coefficients that are known."""

from __future__ import annotations

import numpy as np
import pandas as pd

from sizer.study.generated.design import Plan, design

OVERHEAD_J = {"cpu": 14028.67, "gpu": 271560.24}


def modelled_runs(plan: Plan) -> pd.DataFrame:
    """A runs frame of the plan's runs, their energies the cost model's, their time energy over power."""
    runs, _, _ = design(plan)
    overhead = runs["hardware"].map(OVERHEAD_J)
    runs = runs.assign(
        experiment_id=runs["old_experiment_id"],
        run_time=runs["run_time_us"] / 1e6,
        non_overhead_energy=runs["std_energy"] - overhead,
    )
    data = runs["h_t"] * runs["epochs"] * 256
    return runs.assign(
        non_overhead_runtime=runs["run_time"],
        energy_per_datum_j=runs["non_overhead_energy"] / data,
        time_per_datum_s=runs["run_time"] / data,
    )


def one_family(sizes: np.ndarray, energy: np.ndarray) -> pd.DataFrame:
    """Runs of mnist, rectangle, depth 4 with networks of exactly those parameters and costs, on a CPU without caches.

    What the sets hold is made up: f 4 bytes a parameter, the others as much.
    """
    count = len(sizes)
    frame = pd.DataFrame(
        {
            "hardware": "cpu",
            "dataset": "mnist",
            "shape": "rectangle",
            "depth": 4,
            "size": sizes,
            "num_free_parameters": sizes,
            "batch_size": "256",
            "epochs": 100,
            "h_t": 10,
            "operations_per_datum": 3.0 * sizes,
            "non_overhead_energy": energy,
            "energy_per_datum_j": energy / (10 * 100 * 256),
        }
    )
    for name in ("t_max", "f", "b", "o"):
        frame[f"{name}_bytes"] = 4 * sizes
        frame[f"{name}_level"] = ["L1"] * count
    return frame
