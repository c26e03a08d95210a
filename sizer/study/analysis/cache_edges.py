"""Cost against the size of each working set, with windowed medians and cache edges (paper section 6, figure 4)."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

import numpy as np
import pandas as pd

from sizer.method.placement import FloatArray, Hierarchy
from sizer.method.working_sets import BoolArray
from sizer.study.analysis.quantity import AUTO, Costs, costed
from sizer.study.analysis.trends import QUARTILES, neighbours
from sizer.study.step import Rule, StudyStep, drawn_points, record_rows

#: Working sets whose size is set against cost: the three of the study's figure, and the optimizer's beside them.
SETS = {"t_max": "t (inter-layer)", "f": "f (forward)", "b": "b (backward)", "o": "o (optimizer)"}
#: A window is this many octaves of bytes wide; the next one starts a quarter of that further.
WINDOW_OCTAVES = 1.0
STEP_OCTAVES = 0.25
#: A window of fewer runs has no median worth a point.
LEAST_RUNS = 5
#: Octaves on either side of an edge that a bend is judged by.
_REACH = 2.0
_CURVE = ["hardware", "dataset", "shape", "depth", "batch_size"]
#: Costs that are shown, with what each is counted for.
COSTS = {"per_datum": "a training datum", "per_operation": "an operation"}
NEEDED = (*_CURVE, "operations_per_datum", *(f"{name}_{of}" for name in SETS for of in ("bytes", "level")))


def cache_edges(
    runs: pd.DataFrame, levels: Mapping[str, Hierarchy], wanted: str = AUTO
) -> tuple[pd.DataFrame, pd.DataFrame, StudyStep]:
    """Windowed medians of cost over the size of each working set, and where the sets leave each cache.

    The first frame has a window a row: hardware, working_set, cost (``per_datum`` or ``per_operation``, in
    ``unit``), bytes (the window's middle), q25, median, q75, runs. The second has an edge a row: hardware, working_set,
    level, next_level, edge_bytes, largest_inside, smallest_outside and, from pairs of networks that differ in size
    only, the elasticity of cost (d log cost per datum / d log bytes) inside the edge and beyond it. ``levels`` maps
    hardware to its levels. Raises MeasurementError for a frame without the cost or the columns.
    """
    found = costed(runs, NEEDED, wanted)
    known = found.known.assign(per_datum=found.known[found.quantity.per_datum])
    known = known.assign(per_operation=known["per_datum"] / known["operations_per_datum"])
    windows = pd.DataFrame(_windows(known), columns=_WINDOW_COLUMNS).assign(unit=found.quantity.unit)
    edges = pd.DataFrame(_edges(known, levels), columns=_EDGE_COLUMNS)
    return windows, edges, _step(len(runs), found, windows, edges)


_WINDOW_COLUMNS = ["hardware", "working_set", "cost", "bytes", *QUARTILES, "runs"]
_EDGE_COLUMNS = [
    *("hardware", "working_set", "level", "next_level", "edge_bytes", "largest_inside", "smallest_outside"),
    *("elasticity_inside", "elasticity_beyond", "pairs_inside", "pairs_beyond"),
]


def _windows(runs: pd.DataFrame) -> Iterator[tuple[object, ...]]:
    for hardware, of_hardware in runs.groupby("hardware"):
        for name in SETS:
            for cost in COSTS:
                size, y = of_hardware[f"{name}_bytes"].to_numpy(), of_hardware[cost].to_numpy()
                for middle, quartiles, count in windowed_quartiles(size, y):
                    yield (hardware, name, cost, middle, *quartiles, count)


def windowed_quartiles(x: FloatArray, y: FloatArray) -> Iterator[tuple[float, FloatArray, int]]:
    """(middle of the window, quartiles of y, runs) of windows that slide over log2 x; thin windows are left out."""
    order = np.argsort(x)
    logs, y = np.log2(x[order]), y[order]
    if not len(logs):
        return
    first = np.floor(logs[0] / STEP_OCTAVES) * STEP_OCTAVES
    for middle in np.arange(first, logs[-1] + STEP_OCTAVES, STEP_OCTAVES):
        low, high = np.searchsorted(logs, (middle - WINDOW_OCTAVES / 2, middle + WINDOW_OCTAVES / 2))
        if high - low >= LEAST_RUNS:
            yield float(2**middle), np.quantile(y[low:high], list(QUARTILES.values())), int(high - low)


def _edges(runs: pd.DataFrame, levels: Mapping[str, Hierarchy]) -> Iterator[tuple[object, ...]]:
    for hardware, of_hardware in runs.groupby("hardware"):
        names = levels[str(hardware)].names
        for working_set in SETS:
            size = of_hardware[f"{working_set}_bytes"].to_numpy(dtype=np.float64)
            lives = of_hardware[f"{working_set}_level"].map({name: index for index, name in enumerate(names)})
            level_of = lives.fillna(len(names)).to_numpy(dtype=np.int64)
            pairs = neighbours(of_hardware, f"{working_set}_bytes", "per_datum", _CURVE)
            for index, level in enumerate(names[:-1]):
                found = edge(size, level_of > index)
                if found is not None:
                    yield (hardware, working_set, level, names[index + 1], *found, *_bend(pairs, found[0]))


def edge(size: FloatArray, outside: BoolArray) -> tuple[float, float, float] | None:
    """(edge, largest size inside, smallest size outside) of a level, in bytes; None where no set crosses it.

    What else is in the cache moves the edge from network to network: the edge is the size that puts the fewest
    networks on its wrong side, in the middle (in logarithms) between the two sizes next to it.
    """
    if outside.all() or not outside.any():
        return None
    order = np.argsort(size, kind="stable")
    sizes, beyond = size[order], outside[order]
    # Wrong if the edge lies before position i: those outside before it and those inside from it on.
    wrong = np.concatenate([[0], np.cumsum(beyond)]) + np.concatenate([np.cumsum(~beyond[::-1])[::-1], [0]])
    best = int(np.argmin(wrong[1:-1])) + 1
    return float(np.sqrt(sizes[best - 1] * sizes[best])), float(sizes[~beyond].max()), float(sizes[beyond].min())


def _bend(pairs: pd.DataFrame, edge_bytes: float) -> tuple[float, float, int, int]:
    """Median elasticity of the pairs within reach inside the edge and beyond it, and how many pairs there are."""
    reach, low, high = 2**_REACH, pairs["x"] - pairs["dx"], pairs["x"]
    elasticity = pairs["dlogy"] / pairs["dlogx"]
    inside = elasticity[(high <= edge_bytes) & (low >= edge_bytes / reach)]
    beyond = elasticity[(low >= edge_bytes) & (high <= edge_bytes * reach)]
    return float(inside.median()), float(beyond.median()), len(inside), len(beyond)


def _step(rows_in: int, found: Costs, windows: pd.DataFrame, edges: pd.DataFrame) -> StudyStep:
    """What `cache_edges` did, for people."""
    shown = ["hardware", "working_set", "level", "edge_bytes", "elasticity_inside", "elasticity_beyond"]
    nowhere = int(found.known[[f"{name}_level" for name in SETS]].isna().to_numpy().sum())
    lost = Rule("on no level", "the set is larger than the memory; it counts as beyond every edge", nowhere, "sets")
    title = f"{found.quantity.name} against the size of each working set, and where sets leave each cache"
    empty = f"no window of {WINDOW_OCTAVES:g} octave has {LEAST_RUNS} runs: nothing to draw"
    told, rules = () if len(windows) else (empty,), (found.rule, lost)
    every_second = windows[windows["cost"] == "per_datum"].drop(columns="cost").iloc[::2]  # (they overlap by far)
    drawn = drawn_points(every_second)
    return StudyStep("caches", title, rows_in, len(windows), rules, {}, record_rows(edges[shown]), (), told, drawn)
