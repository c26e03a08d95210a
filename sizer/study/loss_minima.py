"""Where the cost to reach a loss is least: the size, the working sets there, and the cache edges near it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

import numpy as np
import pandas as pd

from sizer.placement import FloatArray, Hierarchy
from sizer.study.loss_curves import FAMILY

#: A minimum needs this many sizes that reach the loss.
LEAST_SIZES = 3
#: Working sets whose bytes at the minimum are counted, with the letters of the study's figure 8, which has no o.
SETS = {"t_max": "l", "f": "f", "b": "b", "o": "o"}
#: Octaves of bytes that figure 8 spans.
_FIRST_OCTAVE, _LAST_OCTAVE = 5, 35
_CURVE = ["hardware", *FAMILY]
_SIZES = ["num_free_parameters", *(f"{name}_bytes" for name in SETS)]
_EDGE_COLUMNS = [*_CURVE, "working_set", "level", "next_level", "num_free_parameters"]
_MINIMUM_COLUMNS = [
    *(*_CURVE, "loss", "sizes", "interior", "num_free_parameters", "cost"),
    *(f"{name}_bytes" for name in SETS),
    *("fewest_operations_parameters", "excess"),
]


def edges_of(networks: pd.DataFrame, levels: Mapping[str, Hierarchy]) -> pd.DataFrame:
    """Parameters at which each set of each family leaves each level.

    Midway between the last size inside and the first one outside, as the study draws them. Columns: hardware, dataset,
    shape, depth, working_set, level, next_level, num_free_parameters.
    """
    return pd.DataFrame(_edges(networks, levels), columns=_EDGE_COLUMNS)


def _edges(networks: pd.DataFrame, levels: Mapping[str, Hierarchy]) -> Iterator[tuple[object, ...]]:
    for family, members in networks.groupby(_CURVE, sort=True):
        names = levels[str(family[0])].names
        members = members.sort_values("num_free_parameters")
        counts = members["num_free_parameters"].to_numpy(np.float64)
        for name in SETS:
            lives = [names.index(level) if level in names else len(names) for level in members[f"{name}_level"]]
            for index, level in enumerate(names[:-1]):
                outside = np.array(lives) > index
                if outside.any() and not outside.all():
                    first = int(np.argmax(outside))
                    if first:
                        yield (*family, name, level, names[index + 1], (counts[first - 1] + counts[first]) / 2)


def minima_of(curves: pd.DataFrame, networks: pd.DataFrame, edges: pd.DataFrame) -> pd.DataFrame:
    """Where each family's cost to each loss is least; the columns are those of `IsoLoss.minima`."""
    minima = pd.DataFrame(_minima(curves, networks), columns=_MINIMUM_COLUMNS)
    for name in SETS:
        minima[[f"{name}_octaves_past", f"{name}_edge"]] = _nearest(minima, edges[edges["working_set"] == name])
    return minima


def _minima(curves: pd.DataFrame, networks: pd.DataFrame) -> Iterator[tuple[object, ...]]:
    """A row a family and loss; plain arrays, since there are tens of thousands of them."""
    sets = {family: _set_sizes(members) for family, members in networks.groupby(_CURVE)}
    keys = [*_CURVE, "loss"]
    ordered = curves.sort_values([*keys, "num_free_parameters"], kind="stable")
    first = np.flatnonzero(~ordered.duplicated(keys))
    sizes, costs, operations = (
        ordered[name].to_numpy(np.float64) for name in ("num_free_parameters", "cost", "operations")
    )
    labels = list(ordered[keys].iloc[first].itertuples(index=False, name=None))
    for (*family, loss), start, stop in zip(labels, first, [*first[1:], len(ordered)], strict=True):
        if stop - start < LEAST_SIZES:
            continue
        size, cost = sizes[start:stop], costs[start:stop]
        parameters, least = minimum(size, cost)
        fewest = int(np.argmin(operations[start:stop]))
        interior = 0 < int(np.argmin(cost)) < len(size) - 1
        known, log_bytes = sets[tuple(family)]
        there = [float(2 ** np.interp(np.log2(parameters), known, each)) for each in log_bytes]
        yield (*family, loss, len(size), interior, parameters, least, *there, size[fewest], cost[fewest] / cost.min())


def _set_sizes(members: pd.DataFrame) -> tuple[FloatArray, list[FloatArray]]:
    """Log2 parameters of a family's networks, and log2 bytes of each set."""
    ordered = members.sort_values("num_free_parameters")
    logs = {name: np.log2(ordered[name].to_numpy(np.float64)) for name in _SIZES}
    return logs["num_free_parameters"], [logs[f"{name}_bytes"] for name in SETS]


def minimum(sizes: FloatArray, cost: FloatArray) -> tuple[float, float]:
    """(size, cost) where cost is least: in log-log space the vertex of a parabola through the least and its neighbours.

    At either end it is the end itself.
    """
    at = int(np.argmin(cost))
    if at in (0, len(sizes) - 1):
        return float(sizes[at]), float(cost[at])
    (x0, x1, x2), (y0, y1, y2) = np.log2(sizes[at - 1 : at + 2]), np.log2(cost[at - 1 : at + 2])
    left, right = (y1 - y0) / (x1 - x0), (y2 - y1) / (x2 - x1)
    curvature = (right - left) / (x2 - x0)
    if curvature <= 0:  # three equal costs
        return float(sizes[at]), float(cost[at])
    slope = left + curvature * (x1 - x0)
    return float(2 ** (x1 - slope / (2 * curvature))), float(2 ** (y1 - slope**2 / (4 * curvature)))


def _nearest(minima: pd.DataFrame, edges: pd.DataFrame) -> pd.DataFrame:
    """Octaves of parameters that each minimum lies past the nearest edge (negative before it), and the edge's level."""
    by_family = {
        family: (np.log2(some["num_free_parameters"].to_numpy()), some["level"].tolist())
        for family, some in edges.groupby(_CURVE)
    }
    found: list[tuple[float | None, str | None]] = []
    for row in minima[[*_CURVE, "num_free_parameters"]].itertuples(index=False):
        known = by_family.get(tuple(row[:-1]))
        if known is None:
            found.append((None, None))
            continue
        past = np.log2(row.num_free_parameters) - known[0]
        nearest = int(np.argmin(np.abs(past)))
        found.append((float(past[nearest]), known[1][nearest]))
    return pd.DataFrame(found, columns=["past", "level"], index=minima.index).astype({"past": "float64"})


def histogram(minima: pd.DataFrame) -> pd.DataFrame:
    """Minima by octave of the bytes of each set there, in the form of the published figure 8.

    Columns: panel (hardware and l, f, b or o), log2_bytes_lo, log2_bytes_hi, count. Counted are interior minima: at the
    end of a family's sizes cost is least because there is no further size.
    """
    parts = []
    octaves = np.arange(_FIRST_OCTAVE, _LAST_OCTAVE + 1)
    for hardware, some in minima[minima["interior"]].groupby("hardware"):
        for name, letter in SETS.items():
            counts, _ = np.histogram(np.log2(some[f"{name}_bytes"]), octaves)
            columns = {"log2_bytes_lo": octaves[:-1], "log2_bytes_hi": octaves[1:], "count": counts}
            parts.append(pd.DataFrame({"panel": f"{hardware} {letter}"} | columns))
    empty = pd.DataFrame(columns=["panel", "log2_bytes_lo", "log2_bytes_hi", "count"])
    return pd.concat(parts, ignore_index=True) if parts else empty
