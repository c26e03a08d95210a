"""Figure of `sizer study fit`: the errors of each hardware's fit (the study's figure 5)."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from sizer.study.figures import BLUE, ORANGE, in_house_style, logarithmic, new_figure, save_figure

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_BINS = 60


@in_house_style
def draw_fit(ratios: pd.DataFrame, unit: str) -> Figure:
    """A row a hardware: the histogram of predicted / measured - 1, and predicted against measured.

    ``ratios`` is what `sizer.study.cost_fitting.fit_costs` gives, of one form; ``unit`` is J or s.
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
