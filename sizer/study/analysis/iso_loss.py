"""Cost to reach a loss against size: where it is least, and what counting FLOPs would have said (paper section 8).

Per data set, shape and depth (a *family*, whose networks differ in size only): cost to a loss = epochs to it x cost of
an epoch, by interpolation in log-log space.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pandas as pd

from sizer.base.errors import MeasurementError
from sizer.method.placement import FloatArray, Hierarchy
from sizer.study.analysis import loss_minima
from sizer.study.analysis.loss_minima import FAMILY, LEAST_SIZES, LOSS, SETS, edges_of, histogram, minima_of
from sizer.study.analysis.quantity import AUTO, Quantity, costed, prepared, quantity_of, without_cost
from sizer.study.files.tables import read_summaries
from sizer.study.step import Rule, StudyStep, finite_or_none

#: Losses of each family that the cost to reach is worked out for, evenly spread in logarithms.
TARGETS = 25
_NETWORK = ["hardware", *FAMILY, "size"]
_OF_SETS = [f"{name}_{of}" for name in SETS for of in ("bytes", "level")]
NEEDED = (*_NETWORK, "epochs", "h_t", "num_free_parameters", "operations_per_datum", *_OF_SETS)


class IsoLoss(NamedTuple):
    """What the analysis found.

    ``curves``: hardware, dataset, shape, depth, loss, size, num_free_parameters, epochs, cost (``unit``), operations:
    what each network needs to reach each loss. ``minima``: hardware, dataset, shape, depth, loss, sizes (that reach
    it), interior (neither the smallest nor the largest of them is cheapest), num_free_parameters and cost at the
    minimum, the bytes of t_max, f, b and o there; fewest_operations_parameters and excess: the size with the fewest
    operations to the loss, and its cost over the cheapest size's; and of each set the nearest of its edges
    (``f_edge``, the level that it leaves there) and the octaves of parameters past it (``f_octaves_past``, negative
    before it).
    ``edges`` and ``histogram``: see `sizer.study.analysis.loss_minima`.
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
    runs = prepared(runs, NEEDED)
    quantity = quantity_of(runs, wanted)
    known = costed(runs, quantity)
    losses, no_loss = loss_minima.usable(summaries)
    networks = _networks(known, losses, quantity)
    curves = pd.DataFrame(_curves(networks), columns=_CURVE_COLUMNS)
    if curves.empty:
        raise MeasurementError(
            f"no data set, shape and depth has {LEAST_SIZES} sizes with a cost and a test loss: the {len(runs)} runs "
            f"and the {len(summaries)} summaries by epoch have {len(networks)} networks in common"
        )
    edges = edges_of(networks, levels)
    minima = minima_of(curves, networks, edges)
    found = IsoLoss(curves.assign(unit=quantity.unit), minima, edges, histogram(minima), quantity)
    unmatched = Rule("no pair", "no summary by epoch has the run's network", _unmatched(known, losses))
    rules = (without_cost(runs, known, quantity), no_loss, unmatched)
    return found, _step(found, rules, len(runs))


def read_losses(folder: Path) -> pd.DataFrame:
    """Losses by epoch of a folder's experiments, all partitions. Raises MeasurementError where it has none."""
    return read_summaries(folder, [*loss_minima.NEEDED, "num_runs"]).frame


_CURVE_COLUMNS = ["hardware", *FAMILY, "loss", "size", "num_free_parameters", "epochs", "cost", "operations"]


def _networks(runs: pd.DataFrame, losses: pd.DataFrame, quantity: Quantity) -> pd.DataFrame:
    """One row a network: its median cost and its operations an epoch, its sets, its losses by epoch."""
    data_per_epoch = runs["h_t"] * runs["batch_size"]
    costs = runs.assign(
        cost_per_epoch=runs[quantity.marginal] / runs["epochs"],
        operations_per_epoch=runs["operations_per_datum"] * data_per_epoch,
    )
    same = costs.groupby(_NETWORK, sort=True)
    keep = ["num_free_parameters", "operations_per_epoch", *_OF_SETS]
    networks = same[keep].first().assign(cost_per_epoch=same["cost_per_epoch"].median()).reset_index()
    return networks.merge(losses[[*FAMILY, "size", "epoch", LOSS]], on=[*FAMILY, "size"])


def _unmatched(runs: pd.DataFrame, losses: pd.DataFrame) -> int:
    key = [*FAMILY, "size"]
    merged = runs[key].merge(losses[key], on=key, how="left", indicator=True)
    return int((merged["_merge"] == "left_only").sum())


def _curves(networks: pd.DataFrame) -> Iterator[tuple[object, ...]]:
    """What each network of each family needs to reach each of the family's losses."""
    for family, members in networks.groupby(["hardware", *FAMILY], sort=True):
        if len(members) < LEAST_SIZES:
            continue
        goals = targets(members)
        for network in members.sort_values("num_free_parameters").itertuples():
            epochs = loss_minima.epochs_to_loss(network.epoch, getattr(network, LOSS), goals)
            for loss, count in zip(goals, epochs, strict=True):
                if np.isfinite(count):
                    costs = (count, count * network.cost_per_epoch, count * network.operations_per_epoch)
                    yield (*family, loss, network.size, network.num_free_parameters, *costs)


def targets(members: pd.DataFrame) -> FloatArray:
    """Losses of a family: from what most sizes have after their first epoch to the lowest that three sizes reach."""
    curves = [loss_minima.best_so_far(row.epoch, getattr(row, LOSS))[1] for row in members.itertuples()]
    highest = float(np.median([curve[0] for curve in curves]))
    reached = np.sort([curve[-1] for curve in curves])
    lowest = min(float(reached[LEAST_SIZES - 1]), highest)
    return np.unique(np.geomspace(highest, lowest, TARGETS + 1)[1:])[::-1]


def _step(found: IsoLoss, rules: tuple[Rule, ...], rows_in: int) -> StudyStep:
    """What `iso_loss` did, for people: of each hardware where the minima lie and what counting FLOPs costs."""
    table = []
    for hardware, minima in found.minima.groupby("hardware"):
        inside = minima[minima["interior"]]
        for name in SETS:
            past = inside[f"{name}_octaves_past"].dropna()
            table.append(
                {
                    "hardware": hardware,
                    "working_set": name,
                    "minima": len(inside),
                    "log2_bytes": _median(np.log2(inside[f"{name}_bytes"])),
                    "octaves_past": _median(past),
                    "within_1_past": float(past.between(0, 1).mean()) if len(past) else None,
                }
            )
    numbers: dict[str, float | int | str | None] = {
        "minima": len(found.minima),
        "minima_at_the_smallest_or_largest_size": int((~found.minima["interior"]).sum()),
        "excess_of_fewest_operations_median": _median(found.minima["excess"]),
        "excess_of_fewest_operations_90_percent": finite_or_none(float(found.minima["excess"].quantile(0.9))),
    }
    title = f"{found.quantity.name} to reach a loss: the cheapest sizes"
    return StudyStep("isoloss", title, rows_in, len(found.curves), rules, numbers, tuple(table))


def _median(values: pd.Series) -> float | None:
    return float(values.median()) if values.notna().any() else None
