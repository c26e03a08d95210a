"""Figure of `sizer study trends`: medians and quartiles of cost against what a network is (the study's figure 3)."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import pandas as pd

from sizer.study.figures import STYLES, in_house_style, logarithmic, new_figure, room_above, save_figure

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
    """Four panels of one hardware from the medians that `sizer.study.trends.trends` gives."""
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
