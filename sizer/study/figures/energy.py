"""Figure of `sizer study trends`: medians and quartiles of cost against what a network is (the study's figure 3)."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from sizer.study.analysis.cache_edges import COSTS, LEAST_RUNS, SETS
from sizer.study.figures.axes import (
    BLUE,
    ORANGE,
    STYLES,
    draw_edges,
    edge_handle,
    in_house_style,
    logarithmic,
    new_figure,
    room_above,
    save_figure,
)

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure


_X_LABELS = {
    "training_data_per_epoch": "training observations an epoch",
    "size": "trainable parameters (target)",
    "operations_per_datum": "multiply-accumulates a datum",
    "depth": "depth (layers)",
}
_X_BASES = {"training_data_per_epoch": 10, "size": 2, "operations_per_datum": 10, "depth": None}


@in_house_style
def draw_trends(points: pd.DataFrame, hardware: str) -> Figure:
    """Four panels of one hardware from the medians that `sizer.study.analysis.trends.trends` gives."""
    figure, grid = new_figure(2, 2, 5.2)
    ours = points[points["hardware"] == hardware]
    for axes, (panel, some) in zip(grid.flat, ours.groupby("panel"), strict=False):
        _draw_panel(axes, str(panel), some)
    return figure


def save_trends(points: pd.DataFrame, folder: Path) -> list[str]:
    """A figure of each hardware, ``trends_<hardware>``, as SVG and PNG."""
    names = points["hardware"].unique()
    return [path for name in names for path in save_figure(draw_trends(points, name), folder, f"trends_{name}")]


def _draw_panel(axes: Axes, panel: str, points: pd.DataFrame) -> None:
    """Quartiles of all runs as a band, its median and each group's as lines."""
    from matplotlib.ticker import MaxNLocator

    everything = points[points["group"] == "all"].pivot_table(index="x", columns="stat", values="y")
    axes.fill_between(everything.index, everything["q25"], everything["q75"], color="0.85", label="all, quartiles")
    axes.plot(everything.index, everything["median"], color="black", linewidth=2, label="all, median")
    groups = points[points["group"] != "all"].groupby("group", sort=False)
    for style, (group, line) in zip(STYLES, groups, strict=False):
        ordered = line.sort_values("x")
        axes.plot(ordered["x"], ordered["y"], label=_label(str(group)), **style)
    x_name, y_name = points["x_name"].iloc[0], str(points["y_name"].iloc[0])
    quantity, unit = y_name.partition("_")[0], y_name.rpartition("_")[2]
    per = "an epoch" if "epoch" in y_name else "a training datum"
    axes.set(xlabel=_X_LABELS[x_name], ylabel=f"{quantity} {per} ({unit})")
    logarithmic(axes, x=_X_BASES[x_name], y=10)
    if x_name == "depth":
        axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    axes.set_title(f"({panel})", loc="left")
    room_above(axes, 0.35)
    axes.legend(loc="upper left", ncols=2)


def _label(group: str) -> str:
    """``depth=4`` as depth 4, ``size=2^10`` as size 2 to the 10."""
    name, _, value = group.partition("=")
    base, caret, exponent = value.partition("^")
    return f"{name} ${base}^{{{exponent}}}$" if caret else f"{name} {value}"


@in_house_style
def draw_caches(windows: pd.DataFrame, edges: pd.DataFrame, hardware: str) -> Figure:
    """A column a working set and a row a cost, of one hardware, from what `sizer.study.analysis.cache_edges` gives."""
    figure, grid = new_figure(len(COSTS), len(SETS), 4.6)
    unit = str(windows["unit"].iloc[0])
    for column, (name, meaning) in enumerate(SETS.items()):
        ours = edges[(edges["hardware"] == hardware) & (edges["working_set"] == name)]
        for row, (cost, per) in enumerate(COSTS.items()):
            axes = grid[row][column]
            here = (windows["hardware"] == hardware) & (windows["working_set"] == name) & (windows["cost"] == cost)
            _draw_windows(axes, windows[here])
            if here.any():
                draw_edges(axes, ours, "edge_bytes")
            if column == 0:
                axes.set_ylabel(f"{'energy' if unit == 'J' else 'time'} {per} ({unit})")
            if row == len(COSTS) - 1:
                axes.set_xlabel(f"bytes of {meaning}")
    handles, _ = grid[0][0].get_legend_handles_labels()
    handles.append(edge_handle("where the set leaves a level"))
    figure.legend(handles=handles, loc="outside upper center", ncols=3)
    return figure


def save_caches(windows: pd.DataFrame, edges: pd.DataFrame, folder: Path) -> list[str]:
    """A figure of each hardware, ``caches_<hardware>``, as SVG and PNG."""
    names = windows["hardware"].unique()
    return [path for name in names for path in save_figure(draw_caches(windows, edges, name), folder, f"caches_{name}")]


def _draw_windows(axes: Axes, windows: pd.DataFrame) -> None:
    """Median and quartiles of the windows."""
    if windows.empty:
        axes.text(0.5, 0.5, f"no window of\n{LEAST_RUNS} runs", transform=axes.transAxes, ha="center", va="center")
        return
    axes.fill_between(windows["bytes"], windows["q25"], windows["q75"], color="0.85", label="quartiles of a window")
    axes.plot(windows["bytes"], windows["median"], color=BLUE, label="median of a window of one octave")
    logarithmic(axes, x=2, y=10)


_BINS = 60


@in_house_style
def draw_fit(ratios: pd.DataFrame, unit: str) -> Figure:
    """A row a hardware: the histogram of predicted / measured - 1, and predicted against measured.

    ``ratios`` is what `sizer.study.analysis.cost_fit.fit_costs` gives, of one form; ``unit`` is J or s.
    """
    groups = list(ratios.groupby("hardware"))
    figure, grid = new_figure(len(groups), 2, 2.5 * len(groups))
    for (left, right), (hardware, some) in zip(grid, groups, strict=True):
        _draw_histogram(left, some, str(hardware))
        _draw_scatter(right, some, unit)
    return figure


def save_fit(ratios: pd.DataFrame, unit: str, folder: Path, form: str) -> list[str]:
    """The figure ``fit_<form>`` as SVG and PNG."""
    return save_figure(draw_fit(ratios, unit), folder, f"fit_{form}")


def _draw_histogram(axes: Axes, ratios: pd.DataFrame, hardware: str) -> None:
    """Counts of the errors between their 0.5 % quantiles; the rest is in the outermost bins."""
    error = 100 * (ratios["ratio"] - 1)
    low, high = error.quantile(0.005), error.quantile(0.995)
    axes.hist(np.clip(error, low, high), bins=_BINS, color=BLUE)
    axes.axvline(0, color="black", linewidth=0.8)
    axes.axvline(error.median(), color=ORANGE, linestyle="--", linewidth=1.2)
    absolute = error.abs()
    axes.set_title(
        f"{hardware}: mean |error| {absolute.mean():.2g} %, median {absolute.median():.2g} %, "
        f"std {error.std(ddof=0):.2g} %",
        loc="left",
    )
    axes.set(xlabel="predicted / measured - 1 (%)\ndashed: median; last bars: and beyond", ylabel="experiments")


def _draw_scatter(axes: Axes, ratios: pd.DataFrame, unit: str) -> None:
    """Predicted against measured; a figure with every point as a path would be megabytes, so points are an image."""
    axes.plot(ratios["measured"], ratios["predicted"], ".", color=BLUE, markersize=2, alpha=0.4, rasterized=True)
    ends = [ratios["measured"].min(), ratios["measured"].max()]
    axes.plot(ends, ends, color="black", linewidth=0.8, label="predicted = measured")
    logarithmic(axes, x=10, y=10)
    what = "energy" if unit == "J" else "time"
    axes.set(xlabel=f"measured {what} of a training ({unit})", ylabel=f"predicted {what} ({unit})")
    axes.legend(loc="upper left")
