"""A million networks through working sets, placement and cost, beside torchinfo and PyTorch's FlopCounterMode.

    python benchmarks/throughput.py

Target: at most 2 s and 1 GiB on one core for depths 2 to 20 and all shapes mixed. torchinfo (an extra of the
developers) and FlopCounterMode see a sample of the same networks in the same run; they only count, they place and
price nothing.
"""

from __future__ import annotations

import os

os.environ.setdefault("OMP_NUM_THREADS", "1")

import resource
import time

import numpy as np

from sizer import profiles
from sizer.method.cost import step_costs
from sizer.method.placement import Hierarchy
from sizer.method.training_step import Training
from sizer.method.working_sets import IntArray
from sizer.models import SHAPES, Topology, layer_widths

NETWORKS = 1_000_000
SAMPLE = 50
INPUT_DIM, OUTPUT_DIM = 784, 10


def make_networks(count: int, seed: int = 0) -> IntArray:
    """Full widths (21, count) of networks of all shapes and depths 2 to 20, first widths 2 to 4096, shuffled."""
    random = np.random.default_rng(seed)
    full = np.zeros((21, count), dtype=np.int64)
    full[0] = INPUT_DIM
    kind = random.integers(0, len(SHAPES) * 19, count)
    for index in range(len(SHAPES) * 19):
        columns = np.flatnonzero(kind == index)
        depth = 2 + index % 19
        first = np.rint(2 ** random.uniform(1, 12, len(columns)))
        full[1 : depth + 1, columns] = layer_widths(SHAPES[index // 19], first, depth, OUTPUT_DIM)
    return full


def main() -> None:
    """Time each and print the time a network."""
    os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})
    profile = profiles.load("butter-e-cpu")
    assert profile.coefficients is not None
    hierarchy = Hierarchy.of(profile.device)
    full = make_networks(NETWORKS)
    made = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
    best = float("inf")
    for _ in range(3):
        before = time.perf_counter()
        step_costs(full, Training(256, observations=60_000), hierarchy, profile.coefficients)
        best = min(best, time.perf_counter() - before)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
    print(f"sizer            {best:8.2f} s for {NETWORKS:,} networks, {best / NETWORKS * 1e6:10.2f} us each; best of 3")
    print(f"                 {peak:8.2f} GiB peak, of which the networks' widths and the interpreter {made:.2f} GiB")
    for name, seconds in (("FlopCounterMode", _flop_counter_s(full)), ("torchinfo", _torchinfo_s(full))):
        print(f"{name:16} {'not installed' if seconds is None else f'{seconds * 1e6:36.2f} us each'}")


def _modules(full: IntArray) -> list[tuple[object, int]]:
    import torch

    torch.set_num_threads(1)
    columns = [tuple(int(width) for width in column if width) for column in full.T[:SAMPLE]]
    with torch.device("meta"):
        return [(Topology(None, column[0], column[1:]).build(), column[0]) for column in columns]


def _flop_counter_s(full: IntArray) -> float:
    """Seconds a network, forward and backward on meta tensors."""
    import torch
    from torch.utils.flop_counter import FlopCounterMode

    modules = _modules(full)
    before = time.perf_counter()
    for module, width in modules:
        with FlopCounterMode(display=False):
            module(torch.empty(256, width, device="meta")).sum().backward()  # type: ignore[operator]
    return (time.perf_counter() - before) / SAMPLE


def _torchinfo_s(full: IntArray) -> float | None:
    """Seconds a network, or None where torchinfo is not installed."""
    try:
        import torchinfo
    except ImportError:
        return None
    modules = _modules(full)
    before = time.perf_counter()
    for module, width in modules:
        torchinfo.summary(module, input_size=(256, width), device="meta", verbose=0)
    return (time.perf_counter() - before) / SAMPLE


if __name__ == "__main__":
    main()
