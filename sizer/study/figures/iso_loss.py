"""Figures of `sizer study isoloss`: curves, FLOPs beside cost, minima, the law of epochs (figures 6 to 8)."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from sizer.study.analysis import cache_edges
from sizer.study.analysis.iso_loss import IsoLoss
from sizer.study.analysis.loss_minima import SETS
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

_CURVE = ["hardware", "dataset", "shape", "depth"]
#: Families of a figure, and losses of a family.
_FAMILIES, _LOSSES = 6, 5
_EDGE_LABEL = "where b, the backward set, leaves a level"
_BARS: dict[str, Any] = {"color": BLUE, "edgecolor": "white", "linewidth": 0.4}


def save_iso_loss(found: IsoLoss, networks: pd.DataFrame, laws: pd.DataFrame, folder: Path) -> list[str]:
    """All figures of each hardware, as SVG and PNG."""
    written = []
    for hardware in found.curves["hardware"].unique():
        for name, figure in (
            ("isoloss", draw_curves(found, hardware)),
            ("flops", draw_flops(found, hardware)),
            ("minima", draw_minima(found, hardware)),
        ):
            written += save_figure(figure, folder, f"{name}_{hardware}")
    return written + save_figure(draw_law(networks, laws), folder, "data_efficiency")


def shown_families(found: IsoLoss, hardware: str) -> list[tuple[str, str, int]]:
    """The families to draw: of each data set in turn the one with the most losses reached by the most sizes."""
    ours = found.curves[found.curves["hardware"] == hardware]
    counts = ours.groupby(["dataset", "shape", "depth"]).size().sort_values(ascending=False, kind="stable")
    turn = counts.groupby(level="dataset").cumcount()
    return list(counts.index[np.lexsort((-counts.to_numpy(), turn))][:_FAMILIES])


@in_house_style
def draw_curves(found: IsoLoss, hardware: str) -> Figure:
    """Cost to reach each of a few losses against parameters, the minima marked, with the edges of b (figure 6)."""
    from matplotlib.lines import Line2D

    families = shown_families(found, hardware)
    figure, grid = _grid(len(families))
    for axes, family in zip(grid, families, strict=False):
        curves, minima, edges = (_of(frame, hardware, family) for frame in (found.curves, found.minima, found.edges))
        _draw_family(axes, curves, minima)
        _name_family(axes, family, found.quantity.unit, f"{found.quantity.name} to reach the loss")
        room_above(axes, 0.6)
        axes.legend(loc="upper right", title="loss", title_fontsize=7, ncols=2, columnspacing=1, handlelength=1.8)
        _draw_set_edges(axes, edges, "b")
    dot = Line2D([], [], marker="o", color="0.35", linestyle="none", markersize=4, label="cheapest size")
    figure.legend(handles=[dot, edge_handle(_EDGE_LABEL)], loc="outside upper center", ncols=2)
    return figure


@in_house_style
def draw_flops(found: IsoLoss, hardware: str) -> Figure:
    """Measured cost and operations to reach the middle loss, each relative to its least (figure 7)."""
    families = shown_families(found, hardware)
    figure, grid = _grid(len(families))
    for axes, family in zip(grid, families, strict=False):
        curves = _of(found.curves, hardware, family)
        goal = _spread_losses(curves, 1)[0]
        curve = curves[curves["loss"] == goal]
        for style, name, label in ((STYLES[0], "cost", found.quantity.name), (STYLES[1], "operations", "FLOPs")):
            axes.plot(curve["num_free_parameters"], curve[name] / curve[name].min(), label=label, **style)
        _name_family(axes, family, "least = 1", "to reach the loss")
        axes.legend(loc="best", title=f"loss {goal:.3g}", title_fontsize=7)
        _draw_set_edges(axes, _of(found.edges, hardware, family), "b")
    figure.legend(handles=[edge_handle(_EDGE_LABEL)], loc="outside upper center")
    return figure


@in_house_style
def draw_minima(found: IsoLoss, hardware: str) -> Figure:
    """Histogram of the minima by bytes of each set there (figure 8), and by octaves past the set's nearest edge."""
    figure, grid = new_figure(2, len(SETS), 4.4)
    minima = found.minima[(found.minima["hardware"] == hardware) & found.minima["interior"]]
    for column, (name, letter) in enumerate(SETS.items()):
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
        bottom.axvspan(0, 1, color=ORANGE, alpha=0.2, linewidth=0)
        bottom.set(xlabel="octaves past its edge", ylabel="minima" if column == 0 else "")
    return figure


@in_house_style
def draw_law(networks: pd.DataFrame, laws: pd.DataFrame) -> Figure:
    """(Epochs to the lowest loss)^(-1/3) against log2 parameters, by data set, with the fitted lines (equation 10)."""
    figure, ((axes,),) = new_figure(1, 1, 3.2, width=4.6)
    known = networks[~networks["censored"]]
    count = known["dataset"].nunique()
    shown = f"medians of {min(count, len(STYLES))} of {count} data sets"
    c = laws.loc[(laws["dataset"] == "all") & (laws["epochs_to"] == "minimum"), "c"]
    for style, (dataset, some) in zip(STYLES, known.groupby("dataset"), strict=False):
        x, y = np.log2(some["num_free_parameters"].to_numpy(float)), some["epochs"].to_numpy(float) ** (-1 / 3)
        axes.plot(x, y, ".", color=style["color"], markersize=3, alpha=0.5)
        medians = some.assign(x=np.round(x), y=y).groupby("x")["y"].median()
        axes.plot(medians.index, medians, label=str(dataset), **style)
    title = shown if c.isna().all() else f"{shown}; c = {c.iloc[0]:.2g}"
    axes.set(xlabel="log2 of trainable parameters", ylabel="(epochs to the lowest loss)$^{-1/3}$")
    axes.legend(loc="upper left", title=title, title_fontsize=7)
    return figure


def _grid(count: int) -> tuple[Figure, list[Axes]]:
    columns = min(count, 3)
    rows = -(-count // columns)
    figure, grid = new_figure(rows, columns, 2.4 * rows + 0.3)
    for axes in grid.flat[count:]:
        axes.set_visible(False)
    return figure, list(grid.flat[:count])


def _of(frame: pd.DataFrame, hardware: str, family: tuple[str, str, int]) -> pd.DataFrame:
    """The rows of a family."""
    here = frame["hardware"] == hardware
    for name, value in zip(_CURVE[1:], family, strict=True):
        here &= frame[name] == value
    return frame[here]


def _spread_losses(curves: pd.DataFrame, count: int) -> list[float]:
    """A few of a family's losses, evenly spread over those that three sizes or more reach."""
    sizes = curves.groupby("loss").size()
    losses = sizes[sizes >= 3].index.to_numpy()
    positions = np.linspace(0, len(losses) - 1, count + 2)[1:-1].round().astype(int)
    return [float(losses[position]) for position in dict.fromkeys(positions)]


def _draw_family(axes: Axes, curves: pd.DataFrame, minima: pd.DataFrame) -> None:
    """A line a loss, its minimum a dot."""
    for style, loss in zip(STYLES, _spread_losses(curves, _LOSSES), strict=False):
        curve = curves[curves["loss"] == loss]
        axes.plot(curve["num_free_parameters"], curve["cost"], label=f"{loss:.3g}", **style)
        least = minima[minima["loss"] == loss]
        axes.plot(least["num_free_parameters"], least["cost"], "o", color=style["color"], markersize=4)


def _name_family(axes: Axes, family: tuple[str, str, int], unit: str, what: str) -> None:
    dataset, shape, depth = family
    logarithmic(axes, x=2, y=10)
    axes.set(xlabel="trainable parameters", ylabel=f"{what} ({unit})")
    axes.set_title(f"{dataset}\n{shape}, depth {depth}", loc="left", pad=11)


def _draw_set_edges(axes: Axes, edges: pd.DataFrame, name: str) -> None:
    """Edges of one working set, and the levels that it lives on between them."""
    draw_edges(axes, edges[edges["working_set"] == name], "num_free_parameters")
