"""The study's figures, each drawn from what an analysis gives, in the paper's order.

`trends` medians and quartiles of cost against what a network is (figure 3); `caches` cost against the size of each
working set (figure 4); `fit` the errors of fitted coefficients (figure 5); `isoloss` the cost to reach a loss, `flops`
beside it what counting FLOPs says, `minima` where it is least (figures 6 to 8); the law of epochs (equation 10).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import MaxNLocator

from sizer.study.analysis import cache_edges, iso_loss
from sizer.study.analysis.cache_edges import COSTS, LEAST_RUNS
from sizer.study.analysis.iso_loss import Family, IsoLoss, of_family, spread_losses
from sizer.study.figures import axes as house

#: Labels of what cost is drawn over, and the bases of their logarithms.
_X_AXES: dict[str, tuple[str, int | None]] = {
    "training_data_per_epoch": ("training observations an epoch", 10),
    "size": ("trainable parameters (target)", 2),
    "operations_per_datum": ("multiply-accumulates a datum", 10),
    "depth": ("depth (layers)", None),
}


@house.house_style()
def draw_trends(points: pd.DataFrame, hardware: str) -> Figure:
    """Four panels of one hardware from the medians that `sizer.study.analysis.trends.trends` gives."""
    figure, grid = house.new_figure(2, 2, 5.2)
    ours = points[points["hardware"] == hardware]
    for axes, (panel, some) in zip(grid.flat, ours.groupby("panel"), strict=False):
        _draw_panel(axes, str(panel), some)
    return figure


def save_trends(points: pd.DataFrame, folder: Path) -> list[str]:
    """A figure of each hardware, ``trends_<hardware>``, as SVG and PNG."""
    return _of_each_hardware(points, folder, {"trends": partial(draw_trends, points)})


def _of_each_hardware(frame: pd.DataFrame, folder: Path, draws: Mapping[str, Callable[[str], Figure]]) -> list[str]:
    return [
        path
        for hardware in frame["hardware"].unique()
        for name, draw in draws.items()
        for path in house.save_figure(draw(hardware), folder, f"{name}_{hardware}")
    ]


def _draw_panel(axes: Axes, panel: str, points: pd.DataFrame) -> None:
    """Quartiles of all runs as a band, its median and each group's as lines."""
    everything = points[points["group"] == "all"].pivot_table(index="x", columns="stat", values="y")
    axes.fill_between(everything.index, everything["q25"], everything["q75"], color="0.85", label="all, quartiles")
    axes.plot(everything.index, everything["median"], color="black", linewidth=2, label="all, median")
    groups = points[points["group"] != "all"].groupby("group", sort=False)
    for style, (group, line) in zip(house.STYLES, groups, strict=False):
        ordered = line.sort_values("x")
        axes.plot(ordered["x"], ordered["y"], label=_label(str(group)), **style)
    x_name, y_name = points["x_name"].iloc[0], str(points["y_name"].iloc[0])
    quantity, unit = y_name.partition("_")[0], y_name.rpartition("_")[2]
    per = "an epoch" if "epoch" in y_name else "a training datum"
    x_label, base = _X_AXES[x_name]
    axes.set(xlabel=x_label, ylabel=f"{quantity} {per} ({unit})")
    house.logarithmic(axes, x=base, y=10)
    if x_name == "depth":
        axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    axes.set_title(f"({panel})", loc="left")
    house.room_above(axes, 0.35)
    axes.legend(loc="upper left", ncols=2)


def _label(group: str) -> str:
    """``depth=4`` as depth 4, ``size=2^10`` as size 2 to the 10."""
    name, _, value = group.partition("=")
    base, caret, exponent = value.partition("^")
    return f"{name} ${base}^{{{exponent}}}$" if caret else f"{name} {value}"


@house.house_style()
def draw_caches(windows: pd.DataFrame, edges: pd.DataFrame, hardware: str) -> Figure:
    """A column a working set and a row a cost, of one hardware, from what `sizer.study.analysis.cache_edges` gives."""
    figure, grid = house.new_figure(len(COSTS), len(cache_edges.SETS), 4.6)
    unit = str(windows["unit"].iloc[0])
    for column, (name, meaning) in enumerate(cache_edges.SETS.items()):
        ours = edges[(edges["hardware"] == hardware) & (edges["working_set"] == name)]
        for row, (cost, per) in enumerate(COSTS.items()):
            axes = grid[row][column]
            here = (windows["hardware"] == hardware) & (windows["working_set"] == name) & (windows["cost"] == cost)
            _draw_windows(axes, windows[here])
            if here.any():
                house.draw_edges(axes, ours, "edge_bytes")
            if column == 0:
                axes.set_ylabel(f"{'energy' if unit == 'J' else 'time'} {per} ({unit})")
            if row == len(COSTS) - 1:
                axes.set_xlabel(f"bytes of {meaning}")
    handles, _ = grid[0][0].get_legend_handles_labels()
    handles.append(house.edge_handle("where the set leaves a level"))
    figure.legend(handles=handles, loc="outside upper center", ncols=3)
    return figure


def save_caches(windows: pd.DataFrame, edges: pd.DataFrame, folder: Path) -> list[str]:
    """A figure of each hardware, ``caches_<hardware>``, as SVG and PNG."""
    return _of_each_hardware(windows, folder, {"caches": partial(draw_caches, windows, edges)})


def _draw_windows(axes: Axes, windows: pd.DataFrame) -> None:
    """Median and quartiles of the windows."""
    if windows.empty:
        axes.text(0.5, 0.5, f"no window of\n{LEAST_RUNS} runs", transform=axes.transAxes, ha="center", va="center")
        return
    axes.fill_between(windows["bytes"], windows["q25"], windows["q75"], color="0.85", label="quartiles of a window")
    axes.plot(windows["bytes"], windows["median"], color=house.BLUE, label="median of a window of one octave")
    house.logarithmic(axes, x=2, y=10)


_BINS = 60


@house.house_style()
def draw_fit(ratios: pd.DataFrame, unit: str) -> Figure:
    """A row a hardware: the histogram of predicted / measured - 1, and predicted against measured.

    ``ratios`` is what `sizer.study.analysis.cost_fit.fit_costs` gives, of one form; ``unit`` is J or s.
    """
    groups = list(ratios.groupby("hardware"))
    figure, grid = house.new_figure(len(groups), 2, 2.5 * len(groups))
    for (left, right), (hardware, some) in zip(grid, groups, strict=True):
        _draw_histogram(left, some, str(hardware))
        _draw_scatter(right, some, unit)
    return figure


def save_fit(ratios: pd.DataFrame, unit: str, folder: Path, form: str) -> list[str]:
    """The figure ``fit_<form>`` as SVG and PNG."""
    return house.save_figure(draw_fit(ratios, unit), folder, f"fit_{form}")


def _draw_histogram(axes: Axes, ratios: pd.DataFrame, hardware: str) -> None:
    """Counts of the errors between their 0.5 % quantiles; the rest is in the outermost bins."""
    error = 100 * (ratios["ratio"] - 1)
    low, high = error.quantile(0.005), error.quantile(0.995)
    axes.hist(np.clip(error, low, high), bins=_BINS, color=house.BLUE)
    axes.axvline(0, color="black", linewidth=0.8)
    axes.axvline(error.median(), color=house.ORANGE, linestyle="--", linewidth=1.2)
    absolute = error.abs()
    axes.set_title(
        f"{hardware}: mean |error| {absolute.mean():.2g} %, median {absolute.median():.2g} %, "
        f"std {error.std(ddof=0):.2g} %",
        loc="left",
    )
    axes.set(xlabel="predicted / measured - 1 (%)\ndashed: median; last bars: and beyond", ylabel="experiments")


def _draw_scatter(axes: Axes, ratios: pd.DataFrame, unit: str) -> None:
    """Predicted against measured; a figure with every point as a path would be megabytes, so points are an image."""
    axes.plot(ratios["measured"], ratios["predicted"], ".", color=house.BLUE, markersize=2, alpha=0.4, rasterized=True)
    ends = [ratios["measured"].min(), ratios["measured"].max()]
    axes.plot(ends, ends, color="black", linewidth=0.8, label="predicted = measured")
    house.logarithmic(axes, x=10, y=10)
    what = "energy" if unit == "J" else "time"
    axes.set(xlabel=f"measured {what} of a training ({unit})", ylabel=f"predicted {what} ({unit})")
    axes.legend(loc="upper left")


#: Families of a figure, and losses of a family.
_FAMILIES, _LOSSES = 6, 5
_EDGE_LABEL = "where b, the backward set, leaves a level"
_BARS: dict[str, Any] = {"color": house.BLUE, "edgecolor": "white", "linewidth": 0.4}


def save_iso_loss(found: IsoLoss, networks: pd.DataFrame, laws: pd.DataFrame, folder: Path) -> list[str]:
    """All figures of each hardware, as SVG and PNG."""
    draws = {"isoloss": draw_curves, "flops": draw_flops, "minima": draw_minima}
    written = _of_each_hardware(
        iso_loss.traced(found), folder, {name: partial(draw, found) for name, draw in draws.items()}
    )
    return written + house.save_figure(draw_law(networks, laws), folder, "data_efficiency")


@house.house_style()
def draw_curves(found: IsoLoss, hardware: str) -> Figure:
    """Cost to reach each of a few losses against parameters, the minima marked, with the edges of b (figure 6)."""
    figure, families = _family_grid(found, hardware)
    for axes, family in families:
        _draw_family(axes, of_family(found.curves, hardware, family), of_family(found.minima, hardware, family))
        _name_family(axes, family, found.quantity.unit, f"{found.quantity.name} to reach the loss")
        house.room_above(axes, 0.6)
        axes.legend(loc="upper right", title="loss", title_fontsize=7, ncols=2, columnspacing=1, handlelength=1.8)
        _draw_edges_of_b(axes, found, hardware, family)
    dot = Line2D([], [], marker="o", color="0.35", linestyle="none", markersize=4, label="cheapest size")
    figure.legend(handles=[dot, house.edge_handle(_EDGE_LABEL)], loc="outside upper center", ncols=2)
    return figure


@house.house_style()
def draw_flops(found: IsoLoss, hardware: str) -> Figure:
    """Measured cost and operations to reach the middle loss, each relative to its least (figure 7)."""
    figure, families = _family_grid(found, hardware)
    for axes, family in families:
        curves = of_family(found.curves, hardware, family)
        goal = spread_losses(curves, 1)[0]
        curve = curves[curves["loss"] == goal]
        for style, name, label in (
            (house.STYLES[0], "cost", found.quantity.name),
            (house.STYLES[1], "operations", "FLOPs"),
        ):
            axes.plot(curve["num_free_parameters"], curve[name] / curve[name].min(), label=label, **style)
        _name_family(axes, family, "least = 1", "to reach the loss")
        axes.legend(loc="best", title=f"loss {goal:.3g}", title_fontsize=7)
        _draw_edges_of_b(axes, found, hardware, family)
    figure.legend(handles=[house.edge_handle(_EDGE_LABEL)], loc="outside upper center")
    return figure


@house.house_style()
def draw_minima(found: IsoLoss, hardware: str) -> Figure:
    """Histogram of the minima by bytes of each set there (figure 8), and by octaves past the set's nearest edge."""
    figure, grid = house.new_figure(2, len(iso_loss.SETS), 4.4)
    minima = found.minima[(found.minima["hardware"] == hardware) & found.minima["interior"]]
    for column, (name, letter) in enumerate(iso_loss.SETS.items()):
        counts = found.histogram[found.histogram["panel"] == f"{hardware} {letter}"]
        top, bottom = grid[0][column], grid[1][column]
        held = counts["log2_bytes_lo"][counts["count"] > 0]
        used = counts[counts["log2_bytes_lo"].between(held.min(), held.max())]
        top.bar(used["log2_bytes_lo"], used["count"], width=1.0, align="edge", **_BARS)
        top.set(xlabel=f"log2 bytes of {letter}", ylabel="minima" if column == 0 else "")
        top.set_title(cache_edges.SETS[name])
        past = minima[f"{name}_octaves_past"].dropna()
        bottom.hist(np.clip(past, -6, 6), bins=np.arange(-6, 6.5, 0.5), **_BARS)
        bottom.axvline(0, color="black", linewidth=0.8)
        bottom.axvspan(0, 1, color=house.ORANGE, alpha=0.2, linewidth=0)
        bottom.set(xlabel="octaves past its edge", ylabel="minima" if column == 0 else "")
    return figure


@house.house_style()
def draw_law(networks: pd.DataFrame, laws: pd.DataFrame) -> Figure:
    """(Epochs to the lowest loss)^(-1/3) against log2 parameters, by data set, with the fitted lines (equation 10)."""
    figure, ((axes,),) = house.new_figure(1, 1, 3.2, width=4.6)
    known = networks[~networks["censored"]]
    count = known["dataset"].nunique()
    shown = f"medians of {min(count, len(house.STYLES))} of {count} data sets"
    c = laws.loc[(laws["dataset"] == "all") & (laws["epochs_to"] == "minimum"), "c"]
    for style, (dataset, some) in zip(house.STYLES, known.groupby("dataset"), strict=False):
        x, y = np.log2(some["num_free_parameters"].to_numpy(float)), some["epochs"].to_numpy(float) ** (-1 / 3)
        axes.plot(x, y, ".", color=style["color"], markersize=3, alpha=0.5)
        medians = some.assign(x=np.round(x), y=y).groupby("x")["y"].median()
        axes.plot(medians.index, medians, label=str(dataset), **style)
    title = shown if c.isna().all() else f"{shown}; c = {c.iloc[0]:.2g}"
    axes.set(xlabel="log2 of trainable parameters", ylabel="(epochs to the lowest loss)$^{-1/3}$")
    axes.legend(loc="upper left", title=title, title_fontsize=7)
    return figure


def _family_grid(found: IsoLoss, hardware: str) -> tuple[Figure, list[tuple[Axes, Family]]]:
    """A figure with axes for each of a few families."""
    families = iso_loss.families_shown(found, hardware, _FAMILIES)
    columns = min(len(families), 3)
    rows = -(-len(families) // columns)
    figure, grid = house.new_figure(rows, columns, 2.4 * rows + 0.3)
    for axes in grid.flat[len(families) :]:
        axes.set_visible(False)
    return figure, list(zip(grid.flat, families, strict=False))


def _draw_family(axes: Axes, curves: pd.DataFrame, minima: pd.DataFrame) -> None:
    """A line a loss, its minimum a dot."""
    for style, loss in zip(house.STYLES, spread_losses(curves, _LOSSES), strict=False):
        curve = curves[curves["loss"] == loss]
        axes.plot(curve["num_free_parameters"], curve["cost"], label=f"{loss:.3g}", **style)
        least = minima[minima["loss"] == loss]
        axes.plot(least["num_free_parameters"], least["cost"], "o", color=style["color"], markersize=4)


def _name_family(axes: Axes, family: Family, unit: str, what: str) -> None:
    dataset, shape, depth = family
    house.logarithmic(axes, x=2, y=10)
    axes.set(xlabel="trainable parameters", ylabel=f"{what} ({unit})")
    axes.set_title(f"{dataset}\n{shape}, depth {depth}", loc="left", pad=11)


def _draw_edges_of_b(axes: Axes, found: IsoLoss, hardware: str, family: Family) -> None:
    """Where the backward set leaves a level, and the levels that it lives on between."""
    edges = of_family(found.edges, hardware, family)
    house.draw_edges(axes, edges[edges["working_set"] == "b"], "num_free_parameters")
