"""Figure of `sizer study caches`: cost against the size of each working set, with cache edges (figure 4)."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import pandas as pd

from sizer.study.cache_edges import COSTS, LEAST_RUNS, SETS
from sizer.study.figures import BLUE, draw_edges, edge_handle, in_house_style, logarithmic, new_figure, save_figure

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure


@in_house_style
def draw_caches(windows: pd.DataFrame, edges: pd.DataFrame, hardware: str) -> Figure:
    """A column a working set and a row a cost, of one hardware, from what `sizer.study.cache_edges` gives."""
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
