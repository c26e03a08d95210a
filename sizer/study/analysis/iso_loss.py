"""Cost to reach a loss against size: where it is least, and what counting FLOPs would have said (paper section 8).

Per data set, shape and depth (a *family*, whose networks differ in size only): cost to a loss = epochs to it x cost of
an epoch, by interpolation in log-log space.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import NamedTuple, TypeAlias

import numpy as np
import pandas as pd

from sizer.base.errors import MeasurementError
from sizer.method.placement import FloatArray, Hierarchy
from sizer.study.analysis import loss_curves
from sizer.study.analysis.loss_curves import FAMILY, LEAST_SIZES, LOSS
from sizer.study.analysis.quantity import AUTO, Costs, Quantity, costed
from sizer.study.files.tables import read_summaries
from sizer.study.step import Rule, StudyStep, drawn_points, finite_or_none, record_rows

#: Losses of each family that the cost to reach is worked out for, evenly spread in logarithms.
TARGETS = 25
#: Working sets whose bytes at the minimum are counted, with the letters of the study's figure 8, which has no o.
SETS = {"t_max": "l", "f": "f", "b": "b", "o": "o"}
#: Octaves of bytes that figure 8 spans.
_OCTAVES = range(5, 35)
Family: TypeAlias = tuple[str, str, int]
#: Families of each hardware, and losses of a family, whose curves a record keeps for its figures 6 and 7.
_KEPT_FAMILIES, _KEPT_LOSSES = 2, 3
_OF_HARDWARE = ["hardware", *FAMILY]
_NETWORK = [*_OF_HARDWARE, "size"]
_OF_SETS = [f"{name}_{of}" for name in SETS for of in ("bytes", "level")]
NEEDED = (*_NETWORK, "epochs", "h_t", "num_free_parameters", "operations_per_datum", *_OF_SETS)


_CURVE_COLUMNS = [*_OF_HARDWARE, "loss", "size", "num_free_parameters", "epochs", "cost", "operations"]
_EDGE_COLUMNS = [*_OF_HARDWARE, "working_set", "level", "next_level", "num_free_parameters"]
_MINIMUM_COLUMNS = [
    *(*_OF_HARDWARE, "loss", "sizes", "interior", "num_free_parameters", "cost"),
    *(f"{name}_bytes" for name in SETS),
    *("fewest_operations_parameters", "excess"),
]


class IsoLoss(NamedTuple):
    """What the analysis found.

    ``curves``: hardware, dataset, shape, depth, loss, size, num_free_parameters, epochs, cost (``unit``), operations:
    what each network needs to reach each loss. ``minima``: hardware, dataset, shape, depth, loss, sizes (that reach
    it), interior (neither the smallest nor the largest of them is cheapest), num_free_parameters and cost at the
    minimum, the bytes of t_max, f, b and o there; fewest_operations_parameters and excess: the size with the fewest
    operations to the loss, and its cost over the cheapest size's; and of each set the nearest of its edges
    (``f_edge``, the level that it leaves there) and the octaves of parameters past it (``f_octaves_past``, negative
    before it).
    ``edges`` and ``histogram``: see `edges_of` and `histogram`.
    """

    curves: pd.DataFrame
    minima: pd.DataFrame
    edges: pd.DataFrame
    histogram: pd.DataFrame
    quantity: Quantity


def iso_loss(
    runs: pd.DataFrame, summaries: pd.DataFrame, levels: Mapping[str, Hierarchy], wanted: str = AUTO
) -> tuple[IsoLoss, StudyStep]:
    """Cost to reach losses, its minima and where they lie.

    ``runs`` is a runs frame, ``summaries`` has the columns of ``summary_by_epoch``. Raises MeasurementError for frames
    without the cost or the columns, or where no family has three sizes with a cost and a loss.
    """
    costs = costed(runs, NEEDED, wanted)
    losses, no_loss = loss_curves.usable(summaries)
    networks = _networks(costs, losses)
    curves = pd.DataFrame(_curves(networks), columns=_CURVE_COLUMNS)
    if curves.empty:
        raise MeasurementError(
            f"no data set, shape and depth has {LEAST_SIZES} sizes with a cost and a test loss: the {len(runs)} runs "
            f"and the {len(summaries)} summaries by epoch have {len(networks)} networks in common"
        )
    edges = edges_of(networks, levels)
    minima = minima_of(curves, networks, edges)
    found = IsoLoss(curves.assign(unit=costs.quantity.unit), minima, edges, histogram(minima), costs.quantity)
    ours, theirs = (pd.MultiIndex.from_frame(frame[[*FAMILY, "size"]]) for frame in (costs.known, losses))
    unmatched = Rule.of("no pair", "no summary by epoch has the run's network", ~ours.isin(theirs))
    return found, _step(found, (costs.rule, no_loss, unmatched), len(runs))


def read_losses(folder: Path) -> pd.DataFrame:
    """Losses by epoch of a folder's experiments, all partitions. Raises MeasurementError where it has none."""
    return read_summaries(folder, [*loss_curves.NEEDED, "num_runs"]).frame


def _networks(costs: Costs, losses: pd.DataFrame) -> pd.DataFrame:
    """One row a network: its median cost and its operations an epoch, its sets, its losses by epoch."""
    runs, marginal = costs.known, costs.quantity.marginal
    runs = runs.assign(
        cost_per_epoch=runs[marginal] / runs["epochs"],
        operations_per_epoch=runs["operations_per_datum"] * (runs["h_t"] * runs["batch_size"]),
    )
    same = runs.groupby(_NETWORK, sort=True)
    keep = ["num_free_parameters", "operations_per_epoch", *_OF_SETS]
    networks = same[keep].first().assign(cost_per_epoch=same["cost_per_epoch"].median()).reset_index()
    return networks.merge(losses[[*FAMILY, "size", "epoch", LOSS]], on=[*FAMILY, "size"])


def _curves(networks: pd.DataFrame) -> Iterator[tuple[object, ...]]:
    """What each network of each family needs to reach each of the family's losses."""
    for family, members in networks.groupby(_OF_HARDWARE, sort=True):
        if len(members) < LEAST_SIZES:
            continue
        goals = targets(members)
        for network in members.sort_values("num_free_parameters").itertuples():
            epochs = loss_curves.epochs_to_loss(network.epoch, getattr(network, LOSS), goals)
            for loss, count in zip(goals, epochs, strict=True):
                if np.isfinite(count):
                    costs = (count, count * network.cost_per_epoch, count * network.operations_per_epoch)
                    yield (*family, loss, network.size, network.num_free_parameters, *costs)


def targets(members: pd.DataFrame) -> FloatArray:
    """Losses of a family: from what most sizes have after their first epoch to the lowest that three sizes reach."""
    curves = [loss_curves.best_so_far(row.epoch, getattr(row, LOSS))[1] for row in members.itertuples()]
    highest = float(np.median([curve[0] for curve in curves]))
    reached = np.sort([curve[-1] for curve in curves])
    lowest = min(float(reached[LEAST_SIZES - 1]), highest)
    return np.unique(np.geomspace(highest, lowest, TARGETS + 1)[1:])[::-1]


def traced(found: IsoLoss) -> pd.DataFrame:
    """The points of losses that enough sizes of a family reach for a curve."""
    points = found.curves.groupby([*_OF_HARDWARE, "loss"])["loss"].transform("size")
    return found.curves[points >= LEAST_SIZES]


def families_shown(found: IsoLoss, hardware: str, most: int) -> list[Family]:
    """A few families of a hardware: of each data set in turn the one with the most losses reached."""
    ours = traced(found)
    counts = ours[ours["hardware"] == hardware].groupby(FAMILY).size().sort_values(ascending=False, kind="stable")
    turn = counts.groupby(level="dataset").cumcount()
    return list(counts.index[np.lexsort((-counts.to_numpy(), turn))][:most])


def of_family(frame: pd.DataFrame, hardware: str, family: Family) -> pd.DataFrame:
    """The rows of a family."""
    here = frame["hardware"] == hardware
    for name, value in zip(FAMILY, family, strict=True):
        here &= frame[name] == value
    return frame[here]


def spread_losses(curves: pd.DataFrame, count: int) -> list[float]:
    """A few of a family's losses, evenly spread over those that three sizes or more reach."""
    sizes = curves.groupby("loss").size()
    losses = sizes[sizes >= LEAST_SIZES].index.to_numpy()
    positions = np.linspace(0, len(losses) - 1, count + 2)[1:-1].round().astype(int)
    return [float(losses[position]) for position in dict.fromkeys(positions)]


def edges_of(networks: pd.DataFrame, levels: Mapping[str, Hierarchy]) -> pd.DataFrame:
    """Parameters at which each set of each family leaves each level.

    Midway between the last size inside and the first one outside, as the study draws them. Columns: hardware, dataset,
    shape, depth, working_set, level, next_level, num_free_parameters.
    """
    return pd.DataFrame(_edges(networks, levels), columns=_EDGE_COLUMNS)


def _edges(networks: pd.DataFrame, levels: Mapping[str, Hierarchy]) -> Iterator[tuple[object, ...]]:
    for family, members in networks.groupby(_OF_HARDWARE, sort=True):
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
    sets = {family: _set_sizes(members) for family, members in networks.groupby(_OF_HARDWARE)}
    keys = [*_OF_HARDWARE, "loss"]
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
    sizes = ["num_free_parameters", *(f"{name}_bytes" for name in SETS)]
    known, *log_bytes = np.log2(members.sort_values(sizes[0])[sizes].to_numpy(np.float64)).T
    return known, log_bytes


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
        for family, some in edges.groupby(_OF_HARDWARE)
    }
    found: list[tuple[float | None, str | None]] = []
    for row in minima[[*_OF_HARDWARE, "num_free_parameters"]].itertuples(index=False):
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
    rows = []
    for hardware, some in minima[minima["interior"]].groupby("hardware"):
        for name, letter in SETS.items():
            counts, _ = np.histogram(np.log2(some[f"{name}_bytes"]), [*_OCTAVES, _OCTAVES[-1] + 1])
            rows += [(f"{hardware} {letter}", low, low + 1, count) for low, count in zip(_OCTAVES, counts, strict=True)]
    return pd.DataFrame(rows, columns=["panel", "log2_bytes_lo", "log2_bytes_hi", "count"])


def _step(found: IsoLoss, rules: tuple[Rule, ...], rows_in: int) -> StudyStep:
    """What `iso_loss` did, for people: of each hardware where the minima lie and what counting FLOPs costs."""
    table = []
    for hardware, minima in found.minima.groupby("hardware"):
        inside = minima[minima["interior"]]
        for name in SETS:
            past = inside[f"{name}_octaves_past"].dropna()
            where = {"log2_bytes": np.log2(inside[f"{name}_bytes"]).median(), "octaves_past": past.median()}
            shares = {"minima": len(inside), **where, "within_1_past": past.between(0, 1).mean()}
            table.append({"hardware": hardware, "working_set": name, **shares})
    excess = found.minima["excess"]
    numbers: dict[str, float | int | str | None] = {
        "minima": len(found.minima),
        "minima_at_the_smallest_or_largest_size": int((~found.minima["interior"]).sum()),
        "excess_of_fewest_operations_median": finite_or_none(float(excess.median())),
        "excess_of_fewest_operations_90_percent": finite_or_none(float(excess.quantile(0.9))),
    }
    title = f"{found.quantity.name} to reach a loss: the cheapest sizes"
    rows = record_rows(pd.DataFrame(table))
    drawn = drawn_points(found.histogram[found.histogram["count"] > 0]) + tuple(_curve_points(found))
    return StudyStep("isoloss", title, rows_in, len(found.curves), rules, numbers, rows, points=drawn)


def _curve_points(found: IsoLoss) -> Iterator[dict[str, object]]:
    """The curves of a few families, and where their backward set leaves a level, as points of figures."""
    for hardware in found.curves["hardware"].unique():
        for family in families_shown(found, hardware, _KEPT_FAMILIES):
            dataset, shape, depth = family
            named = {"hardware": hardware, "family": f"{dataset}, {shape}, depth {depth}"}
            curves = of_family(found.curves, hardware, family)
            curves = curves[curves["loss"].isin(spread_losses(curves, _KEPT_LOSSES))]
            for point in drawn_points(curves[["loss", "num_free_parameters", "cost", "operations"]]):
                yield named | point | {"unit": found.quantity.unit}
            edges = of_family(found.edges, hardware, family)
            for edge in edges[edges["working_set"] == "b"].itertuples():
                yield named | {"leaves": edge.level, "num_free_parameters": edge.num_free_parameters}
