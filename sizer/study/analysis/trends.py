"""Cost per datum against parameters, operations, depth and training-set size (paper section 5, figure 3)."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import NamedTuple

import numpy as np
import pandas as pd

from sizer.study.analysis.quantity import AUTO, Costs, Quantity, costed
from sizer.study.step import StudyStep, drawn_points, record_rows

QUARTILES = {"q25": 0.25, "median": 0.5, "q75": 0.75}
#: Groups that figure 3 shows beside all runs.
_DEPTHS = (2, 4, 8, 16)
_SIZES = (2**10, 2**15, 2**20)
#: Sizes from which the cost of a parameter is its traffic and arithmetic, hardly the overhead of a pass.
LARGE = 2**21
_SETTING = ["dataset", "shape", "depth", "size", "batch_size"]


class Panel(NamedTuple):
    """One panel of figure 3: cost ``y`` over ``x``; ``group`` is the setting that some curves hold fixed."""

    name: str
    x: str
    y: str
    group: str | None
    values: Sequence[int]


PANELS = (
    Panel("a", "training_data_per_epoch", "per_epoch", "depth", _DEPTHS),
    Panel("b", "size", "per_training_datum", "depth", _DEPTHS),
    Panel("c", "operations_per_datum", "per_training_datum", "depth", _DEPTHS),
    Panel("d", "depth", "per_training_datum", "size", _SIZES),
)


class Slope(NamedTuple):
    """A marginal cost: the change of ``y`` for one more of ``x``, all else the same, over runs of ``least`` x or more.

    ``fixed`` are the settings held, ``unit`` what one more is.
    """

    x: str
    y: str
    unit: str
    fixed: Sequence[str]
    least: int = 0


SLOPES = (
    Slope("training_data_per_epoch", "per_epoch", "observation", ["shape", "depth", "size", "batch_size"]),
    Slope("num_free_parameters", "per_training_datum", "parameter", ["dataset", "shape", "depth", "batch_size"]),
    Slope("num_free_parameters", "per_training_datum", "parameter", ["dataset", "shape", "depth", "batch_size"], LARGE),
    Slope("operations_per_datum", "per_training_datum", "operation", ["dataset", "shape", "depth", "batch_size"]),
    Slope("depth", "per_training_datum", "layer", ["dataset", "shape", "size", "batch_size"]),
)
NEEDED = (*_SETTING, "hardware", "epochs", "h_t", "num_free_parameters", "operations_per_datum")


def trends(runs: pd.DataFrame, wanted: str = AUTO) -> tuple[pd.DataFrame, pd.DataFrame, StudyStep]:
    """Medians and quartiles of cost against what a network is, and slopes.

    The medians are tidy, a point a row, with the columns of the published figure 3: panel, hardware, group, stat,
    x_name, x, y_name, y, and runs; the slopes have hardware, x, unit, kind, least, q25, q50, q75 and pairs. ``runs`` is
    a runs frame (`sizer.study.runs.networks`). Raises MeasurementError for a frame without the cost or the columns.
    """
    found = costed(runs, NEEDED, wanted)
    known = with_costs(found.known, found.quantity)
    points = pd.concat([_points(known, panel, found.quantity) for panel in PANELS], ignore_index=True)
    slopes = pd.DataFrame(_slopes(known), columns=_SLOPE_COLUMNS)
    return points, slopes, _step(len(runs), found._replace(known=known), points, slopes)


def with_costs(runs: pd.DataFrame, quantity: Quantity) -> pd.DataFrame:
    """The runs with their cost an epoch and a training datum and the data an epoch holds, counted in whole batches."""
    return runs.assign(
        training_data_per_epoch=runs["h_t"] * runs["batch_size"],
        per_epoch=runs[quantity.marginal] / runs["epochs"],
        per_training_datum=runs[quantity.per_datum],
    )


def _points(runs: pd.DataFrame, panel: Panel, quantity: Quantity) -> pd.DataFrame:
    """Every curve of a panel: all runs with quartiles, then each group's median."""
    x = octave(runs[panel.x]) if panel.name == "c" else runs[panel.x]
    runs = runs.assign(x=x)
    parts = [_curves(runs, "all", panel.y, QUARTILES)]
    for value in shown(runs[str(panel.group)], panel.values):
        label = f"size=2^{np.log2(value):g}" if panel.group == "size" else f"{panel.group}={value:g}"
        parts.append(_curves(runs[runs[str(panel.group)] == value], label, panel.y, {"median": 0.5}))
    curves = pd.concat(parts, ignore_index=True)
    y_name = f"{quantity.name}_{panel.y}_{quantity.unit}"
    return curves.assign(panel=panel.name, x_name=panel.x, y_name=y_name)[_POINT_COLUMNS]


_POINT_COLUMNS = ["panel", "hardware", "group", "stat", "x_name", "x", "y_name", "y", "runs"]
_SLOPE_COLUMNS = ["hardware", "x", "unit", "kind", "least", "q25", "q50", "q75", "pairs"]


def octave(values: pd.Series) -> pd.Series:
    """The middle, in logarithms, of the octave that each value is in."""
    return 2.0 ** (np.floor(np.log2(values)) + 0.5)


def shown(values: pd.Series, wanted: Sequence[int]) -> list[int]:
    """The groups to show: the study's where the runs have two of them, else the smallest, a middle and the largest."""
    present = sorted(set(values))
    among = [value for value in wanted if value in present]
    if len(among) >= 2 or not present:
        return among
    return sorted({present[0], present[len(present) // 2], present[-1]})


def _curves(runs: pd.DataFrame, group: str, y: str, stats: dict[str, float]) -> pd.DataFrame:
    """Quantiles of y at each x, by hardware."""
    by_x = runs.groupby(["hardware", "x"])[y]
    table = pd.DataFrame({name: by_x.quantile(level) for name, level in stats.items()})
    table["runs"] = by_x.size()
    tidy = table.reset_index().melt(["hardware", "x", "runs"], var_name="stat", value_name="y")
    return tidy.assign(group=group)


def _slopes(runs: pd.DataFrame) -> Iterator[tuple[object, ...]]:
    for hardware, of_hardware in runs.groupby("hardware"):
        for slope in SLOPES:
            pairs = neighbours(of_hardware[of_hardware[slope.x] >= slope.least], slope.x, slope.y, slope.fixed)
            kinds = {"marginal": pairs["dy"] / pairs["dx"], "elasticity": pairs["dlogy"] / pairs["dlogx"]}
            for kind, values in kinds.items():
                quartiles = values.quantile(list(QUARTILES.values())).tolist() if len(values) else [np.nan] * 3
                yield (hardware, slope.x, slope.unit, kind, slope.least, *quartiles, len(values))


def neighbours(runs: pd.DataFrame, x: str, y: str, fixed: Sequence[str]) -> pd.DataFrame:
    """Pairs of medians next to each other in x with all that is fixed the same: the steps dx, dy, dlogx, dlogy.

    ``x`` is where a step leads to.
    """
    cells = runs.groupby([*fixed, x], observed=True)[y].median().reset_index()
    steps = cells[[x, y]].set_axis(["dx", "dy"], axis=1)
    steps = steps.join(np.log(steps).set_axis(["dlogx", "dlogy"], axis=1))
    steps = steps.groupby(cells.groupby(list(fixed), observed=True).ngroup()).diff().assign(x=cells[x])
    return steps[steps["dx"] > 0]


def _step(rows_in: int, found: Costs, points: pd.DataFrame, slopes: pd.DataFrame) -> StudyStep:
    """What `trends` did, for people."""
    quantity, unit = found.quantity, found.quantity.unit
    marginal = slopes[slopes["kind"] == "marginal"]
    per = marginal["unit"].map(lambda one: f"{unit} per {'epoch' if one == 'observation' else 'datum'} and {one}")
    where = marginal["least"].map(lambda least: f", from 2^{np.log2(least):g} on" if least else "")
    table = marginal.assign(slope=per + where)[["hardware", "slope", "q25", "q50", "q75", "pairs"]]
    numbers = {
        f"median_{quantity.name}_per_datum_{hardware}_{unit.lower()}": float(of_hardware["per_training_datum"].median())
        for hardware, of_hardware in found.known.groupby("hardware")
    }
    title = f"{quantity.name} per datum against parameters, operations, depth and training-set size"
    rows, drawn = record_rows(table), drawn_points(_drawn(points))
    return StudyStep("trends", title, rows_in, len(points), (found.rule,), numbers, rows, points=drawn)


def _drawn(points: pd.DataFrame) -> pd.DataFrame:
    """The quartiles over all runs of each panel: panel, hardware, x_name, x, y_name, q25, median, q75."""
    over_all = points[points["group"] == "all"]
    index = ["panel", "hardware", "x_name", "x", "y_name"]
    return over_all.pivot_table(values="y", index=index, columns="stat").reset_index()
