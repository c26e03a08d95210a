"""Wall time of independent trials on a Ray cluster of two nodes with one worker each, over that of the local engine.

    python benchmarks/ray_engine.py --rounds 3

The cluster is started, and each worker warm, before anything is timed; the engines take turns, so that what disturbs
the machine disturbs both. A trial has one thread in either. Losses are compared too: they must be the same.
"""

from __future__ import annotations

import argparse
import sys
import time
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))
from ray_nodes import two_nodes
from search_tasks import load

from sizer.models.topology import Topology
from sizer.size_search.trials.ray_engine import RayEngine
from sizer.size_search.trials.trial import Engine, LocalEngine, SliceSpec

TASK = "satimage"


def jobs(trials: int, epochs: int) -> list[SliceSpec]:
    """Trials of one size and as many seeds."""
    task = load(TASK)
    topology = Topology.solve("rectangle", 2**15, 4, task.input_dim, task.output_dim)
    return [SliceSpec(f"{seed}", topology, 128, "adam", 1e-3, seed, threads=1, epochs=epochs) for seed in range(trials)]


def run(engine: Engine, wanted: list[SliceSpec]) -> tuple[float, list[float]]:
    """Wall time of the trials in s, and the loss that each ends at."""
    began = time.perf_counter()
    for job in wanted:
        engine.submit(job)
    losses = [engine.collect().epochs[-1].validation_loss for _ in wanted]
    return time.perf_counter() - began, losses


def main() -> None:
    """Time both engines in turn."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--trials", type=int, default=8)
    parser.add_argument("--epochs", type=int, default=30)
    parser.add_argument("--rounds", type=int, default=3)
    options = parser.parse_args()
    wanted = jobs(options.trials, options.epochs)
    local = LocalEngine(load(TASK))
    ratios = []
    with two_nodes():
        remote = RayEngine(load(TASK), threads=1)
        run(remote, jobs(4, 1))
        for _ in range(options.rounds):
            (here_s, here), (there_s, there) = run(local, wanted), run(remote, wanted)
            ratios.append(there_s / here_s)
            same = "the same losses" if here == there else "DIFFERENT losses"
            print(f"local {here_s:.1f} s, ray {there_s:.1f} s, ratio {ratios[-1]:.2f}, {same}", flush=True)
        remote.close()
    print(f"{options.trials} trials on two workers: {np.median(ratios):.2f} times the wall time (median)")


if __name__ == "__main__":
    main()
