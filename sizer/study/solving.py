"""Widths of many networks from their shape, size and depth: `Topology.solve` for whole columns at once."""

from __future__ import annotations

import numpy as np
import pandas as pd

from sizer.models.shapes import SHAPES, IntArray, layer_widths
from sizer.models.topology import MAX_WIDTH, TOLERANCE

#: What `solve_widths` reads of each network.
NETWORK = ["shape", "size", "depth", "input_dim", "output_dim"]


def solve_widths(networks: pd.DataFrame) -> pd.Series:
    """Widths (a tuple) of each network, None where its size is refused (more than 20 % off) or its shape unknown.

    ``networks`` has the columns `NETWORK`. BUTTER's bisection of the first width over 1 to 2^30, as
    `sizer.models.Topology.solve` does it for one network; equal rows are solved once.
    """
    unique = networks[NETWORK].drop_duplicates().reset_index(drop=True)
    found = pd.Series([None] * len(unique), dtype=object)
    for (shape, depth, output_dim), group in unique.groupby(["shape", "depth", "output_dim"], sort=False):
        if shape in SHAPES and depth >= 1:
            solved = _solve(str(shape), int(depth), int(output_dim), group["input_dim"], group["size"])
            found.loc[group.index] = pd.Series(solved, index=group.index, dtype=object)
    keyed = unique.assign(widths=found)
    return networks[NETWORK].merge(keyed, on=NETWORK, how="left").set_axis(networks.index)["widths"]


def _solve(
    shape: str, depth: int, output_dim: int, inputs: pd.Series, targets: pd.Series
) -> list[tuple[int, ...] | None]:
    """Widths of the networks of one shape, depth and output nearest to each target, None where that is refused."""
    input_dim, target = inputs.to_numpy(np.int64), targets.to_numpy(np.int64)
    low, high = np.ones_like(target), np.full_like(target, MAX_WIDTH)
    best_width, best_error, best_count = low.copy(), np.full_like(target, np.iinfo(np.int64).max), low.copy()
    running = np.ones(target.shape, dtype=bool)
    while running.any():
        middle = (low + high) // 2
        count = _parameters(input_dim, layer_widths(shape, middle, depth, output_dim))
        better = running & (np.abs(count - target) < best_error)
        best_width, best_count = np.where(better, middle, best_width), np.where(better, count, best_count)
        best_error = np.where(better, np.abs(count - target), best_error)
        low = np.where(running & (count < target), middle + 1, low)
        high = np.where(running & (count > target), middle, high)
        running &= (count != target) & (low < high)
    widths = layer_widths(shape, best_width, depth, output_dim)
    accepted = np.abs(best_count - target) <= TOLERANCE * target
    return [tuple(column) if fine else None for column, fine in zip(widths.T.tolist(), accepted, strict=True)]


def _parameters(input_dim: IntArray, widths: IntArray) -> IntArray:
    """Trainable parameters; beyond 2^62, where products would overflow, as large as can be."""
    full = np.concatenate([input_dim[None], widths]).astype(np.float64)
    count = ((full[:-1] + 1) * full[1:]).sum(axis=0)
    exact = ((np.concatenate([input_dim[None], widths])[:-1] + 1) * widths).sum(axis=0)
    return np.where(count < 2.0**62, exact, np.iinfo(np.int64).max // 2)
