"""Where the cost to reach a loss is least: the size, the working sets there, and the cache edges near it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd

from sizer.method.placement import FloatArray, Hierarchy
from sizer.method.working_sets import IntArray
from sizer.study.analysis.quantity import require_columns
from sizer.study.step import Rule

#: The median over an experiment's repetitions, by epoch.
LOSS = "test_loss_quantile_50"
#: A family: networks that differ in size only. Loss does not depend on the hardware.
FAMILY = ["dataset", "shape", "depth"]
NEEDED = (*FAMILY, "size", "num_free_parameters", "epoch", LOSS)


def usable(summaries: pd.DataFrame) -> tuple[pd.DataFrame, Rule]:
    """The summaries with a loss above 0 at two epochs or more, one for each network, and the rule that removed others.

    Of a network with several (other learning rates, regularizers) the one with the most repetitions, then epochs, is
    kept. Raises MeasurementError for missing columns.
    """
    require_columns(summaries, NEEDED, "the summaries by epoch")
    lengths = summaries[LOSS].map(_finite)
    known = summaries.assign(_epochs=lengths)[lengths >= 2]
    best = ["num_runs", "_epochs"] if "num_runs" in known else ["_epochs"]
    known = known.sort_values(best, ascending=False, kind="stable").drop_duplicates([*FAMILY, "size"])
    left_out = len(summaries) - len(known)
    meaning = "fewer than two epochs with a loss above 0, or a network that another summary has with more repetitions"
    return known.drop(columns="_epochs").sort_values([*FAMILY, "size"]), Rule("no loss", meaning, left_out, "networks")


def _finite(losses: object) -> int:
    """Epochs with a loss above 0; 0 for anything but a list of numbers."""
    values = np.asarray(losses if losses is not None else (), dtype=np.float64)
    return int(np.count_nonzero(np.isfinite(values) & (values > 0)))


def best_so_far(epochs: Any, losses: Any) -> tuple[FloatArray, FloatArray]:
    """(epochs, lowest loss up to each), in order, without the epochs whose loss is not a number above 0."""
    epoch, loss = np.asarray(epochs, dtype=np.float64), np.asarray(losses, dtype=np.float64)
    fine = np.isfinite(loss) & (loss > 0) & (epoch > 0)
    order = np.argsort(epoch[fine], kind="stable")
    return epoch[fine][order], np.minimum.accumulate(loss[fine][order])


def epochs_to_loss(epochs: Any, losses: Any, targets: Sequence[float] | FloatArray) -> FloatArray:
    """Epochs until the loss first was at or below each target, shape (targets,); NaN where it never was.

    Between two epochs log epochs are interpolated over the log of the lowest loss so far.
    """
    epoch, lowest = best_so_far(epochs, losses)
    new_best = np.concatenate([[True], lowest[1:] < lowest[:-1]])
    x, y = np.log(lowest[new_best]), np.log(epoch[new_best])
    # np.interp wants rising x; beyond the first loss the first epoch stands, beyond the last nothing is known.
    return np.exp(np.interp(np.log(targets), x[::-1], y[::-1], left=np.nan))


def epoch_of_minimum(epochs: Any, losses: Any) -> tuple[float, bool]:
    """(epoch of the lowest loss, whether the loss was still falling to it when the training ended)."""
    epoch, lowest = best_so_far(epochs, losses)
    position = int(np.argmin(lowest))
    return float(epoch[position]), position == len(epoch) - 1


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


#: Largest c tried: there the law is nearly flat over any sizes that one can train.
_LARGEST_C = 1000.0


def epochs_to_minimum(summaries: pd.DataFrame) -> pd.DataFrame:
    """Epochs to the lowest median test loss of each network: dataset, shape, depth, size, num_free_parameters, epochs.

    ``censored`` marks networks whose loss was still falling when the training ended: the epochs are too few.
    """
    losses, _ = usable(summaries)
    found = [epoch_of_minimum(row.epoch, getattr(row, LOSS)) for row in losses.itertuples()]
    networks = losses[[*FAMILY, "size", "num_free_parameters"]]
    return networks.assign(epochs=[epoch for epoch, _ in found], censored=[censored for _, censored in found])


def fit_laws(summaries: pd.DataFrame, curves: pd.DataFrame) -> tuple[pd.DataFrame, pd.DataFrame]:
    """The law fitted to epochs to the lowest loss and to epochs to each loss: (networks, `fit_law` of both).

    ``curves`` are `sizer.study.analysis.iso_loss.IsoLoss.curves`; the networks are those of `epochs_to_minimum`.
    """
    networks = epochs_to_minimum(summaries)
    known = networks[~networks["censored"]]
    # Loss does not depend on the hardware, so each network counts once.
    to_loss = curves.drop_duplicates([*FAMILY, "size", "loss"])
    laws = [fit_law(known, FAMILY, "minimum"), fit_law(to_loss, [*FAMILY, "loss"], "loss")]
    return networks, pd.concat(laws, ignore_index=True)


def fit_law(networks: pd.DataFrame, curve: list[str], epochs_to: str) -> pd.DataFrame:
    """Fit the law to each data set and to all together; a row each.

    ``networks`` has num_free_parameters, epochs, dataset and the columns ``curve`` that tell curves apart; each curve
    has a slope of its own, c is shared. Columns: epochs_to, dataset (``all``), c, c_standard_error, rms_log_residual,
    rms_log_no_dependence (the same with epochs alike for all sizes), networks, curves. Curves of fewer than three
    sizes are left out. c is NaN where nothing is left, its error NaN where c ends at a limit.
    """
    sizes = networks.groupby(curve)["num_free_parameters"].transform("size")
    fitted = networks[(sizes >= LEAST_SIZES) & (networks["num_free_parameters"] > 1)]
    return pd.DataFrame(_fits(fitted, curve, epochs_to), columns=_COLUMNS)


_COLUMNS = [
    *("epochs_to", "dataset", "c", "c_standard_error"),
    *("rms_log_residual", "rms_log_no_dependence", "networks", "curves"),
]


def _fits(networks: pd.DataFrame, curve: list[str], epochs_to: str) -> Iterator[tuple[object, ...]]:
    for name, some in [("all", networks), *networks.groupby("dataset")]:
        if some.empty:
            continue
        group = some.groupby(curve).ngroup().to_numpy()
        size = np.log2(some["num_free_parameters"].to_numpy(np.float64))
        log_epochs = np.log(some["epochs"].to_numpy(np.float64))
        c, error, residual, flat = fit_c(size, log_epochs, group)
        yield (epochs_to, name, c, error, residual, flat, len(some), len(set(group)))


def fit_c(log2_size: FloatArray, log_epochs: FloatArray, group: IntArray) -> tuple[float, float, float, float]:
    """(c, its standard error, rms residual, rms with no dependence) of log epochs = k_g - 3 log(log2 P + c).

    Each group g has its own k; it is the mean residual, so only c is searched for. Its error is that of the law made
    linear around it; NaN where c ends at a limit of the search.
    """
    from scipy.optimize import minimize_scalar

    least = -float(log2_size.min())
    freedom = max(len(log_epochs) - len(set(group.tolist())) - 1, 1)

    def squares(log_offset: float) -> float:
        return _spread(log_epochs + 3 * np.log(log2_size + least + np.exp(log_offset)), group)

    # c > -min(log2 P) is searched for by the logarithm of its distance from there.
    limits = (np.log(1e-3), np.log(_LARGEST_C))
    best = minimize_scalar(squares, bounds=limits, method="bounded", options={"xatol": 1e-6})
    offset, total = float(np.exp(best.x)), float(best.fun)
    at_limit = min(best.x - limits[0], limits[1] - best.x) < 1e-2
    seen = _spread(3 / (log2_size + least + offset), group)
    error = float("nan") if at_limit or not seen else float(np.sqrt(total / freedom / seen))
    flat = _spread(log_epochs, group)
    return least + offset, error, float(np.sqrt(total / freedom)), float(np.sqrt(flat / freedom))


def _spread(values: FloatArray, group: IntArray) -> float:
    """Sum of squares around the mean of each group."""
    means = np.bincount(group, values) / np.bincount(group)
    return float(np.square(values - means[group]).sum())
