"""The house of the study's figures: size, type, colours and line styles, cache edges, writing SVG and PNG.

Figures are made for print at the width of a page or a column, with Okabe and Ito's palette: told apart by colour-blind
readers, and by line style in grey.
"""

from __future__ import annotations

import io
import itertools
import math
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import matplotlib as mpl
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import LogFormatterSciNotation, LogLocator, NullFormatter, NullLocator

from sizer.study.step import save

FORMATS = ("svg", "png")
#: Width of a page in inches; text is set for it, so that nothing is scaled in print.
PAGE_WIDTH = 7.0
_DPI = 150
#: Width of a letter of a level's name, with some room.
_LETTER_INCHES = 0.075
_FEW_DECADES = 1.6
_MOST_TICKS, _TICKS_AN_INCH = 7, 3.0
_EDGE: dict[str, Any] = {"color": "0.35", "linewidth": 0.8, "linestyle": (0, (4, 2))}
#: Okabe and Ito's palette without its yellow, which white paper swallows, each with a line style of its own.
STYLES: tuple[dict[str, Any], ...] = (
    {"color": "#0072B2", "linestyle": "-"},
    {"color": "#D55E00", "linestyle": "--"},
    {"color": "#009E73", "linestyle": "-."},
    {"color": "#CC79A7", "linestyle": ":"},
    {"color": "#E69F00", "linestyle": (0, (5, 1, 1, 1, 1, 1))},
    {"color": "#56B4E9", "linestyle": (0, (1, 1))},
    {"color": "#000000", "linestyle": (0, (7, 2))},
)
BLUE, ORANGE = STYLES[0]["color"], STYLES[1]["color"]
_SETTINGS: Any = {
    **dict.fromkeys(("font.size", "axes.titlesize", "axes.labelsize"), 8),
    **dict.fromkeys(("legend.fontsize", "xtick.labelsize", "ytick.labelsize"), 7),
    "lines.linewidth": 1.3,
    "axes.linewidth": 0.6,
    "axes.spines.top": False,
    "axes.spines.right": False,
    # White behind the text, so that lines which pass below a legend do not strike it through.
    "legend.framealpha": 0.9,
    "legend.edgecolor": "none",
    "legend.fancybox": False,
    "legend.borderpad": 0.2,
    "svg.hashsalt": "sizer",
}


@contextmanager
def house_style() -> Iterator[None]:
    """The house's settings, for a function that draws (``@house_style()``); matplotlib's own stay as they are."""
    with mpl.rc_context(_SETTINGS):
        yield


def new_figure(rows: int, columns: int, height: float, width: float = PAGE_WIDTH) -> tuple[Figure, Any]:
    """An empty figure of so many inches and its axes, an array of shape (rows, columns)."""
    # Without pyplot no display is needed, and no global state is left behind.
    figure = Figure(figsize=(width, height), layout="constrained")
    FigureCanvasAgg(figure)
    return figure, figure.subplots(rows, columns, squeeze=False)


@house_style()
def save_figure(figure: Figure, folder: Path, name: str) -> list[str]:
    """Write a figure as SVG and PNG, each whole or not at all; returns the paths."""
    written = []
    for ending in FORMATS:
        stream = io.BytesIO()
        metadata = {"Date": None} if ending == "svg" else {}  # the same figure is the same file
        figure.savefig(stream, format=ending, dpi=_DPI, metadata=metadata)
        written.append(save(folder / f"{name}.{ending}", stream.getvalue()))
    return written


def logarithmic(axes: Axes, x: int | None = None, y: int | None = None) -> None:
    """Logarithmic scales of the bases given, 2 or 10, over what is drawn so far."""
    for axis, base, scale in ((axes.xaxis, x, axes.set_xscale), (axes.yaxis, y, axes.set_yscale)):
        if base is None:
            continue
        scale("log", base=base)
        low, high = axis.get_view_interval()
        # Over little more than a decade powers of ten alone would leave an axis with one number.
        is_short = base != 2 and 0 < low < high and math.log10(high / low) < _FEW_DECADES
        steps = (1.0, 2.0, 5.0) if is_short else (1.0,)
        room = _inches(axes) * _TICKS_AN_INCH if axis is axes.xaxis else _MOST_TICKS
        axis.set_major_locator(LogLocator(base=base, subs=steps, numticks=min(int(room), _MOST_TICKS)))
        axis.set_major_formatter(LogFormatterSciNotation(base=base, minor_thresholds=(math.inf, math.inf)))
        axis.set_minor_formatter(NullFormatter())
        if base == 2:
            axis.set_minor_locator(NullLocator())
    axes.grid(visible=True, which="major", linewidth=0.3, alpha=0.6)


def edge_handle(label: str) -> Line2D:
    """What a legend shows for the lines that `draw_edges` draws."""
    return Line2D([], [], label=label, **_EDGE)


def room_above(axes: Axes, share: float) -> None:
    """Stretch a logarithmic y axis upwards by a share of its length, for a legend."""
    low, high = axes.get_ylim()
    axes.set_ylim(low, high * (high / low) ** share)


def draw_edges(axes: Axes, edges: pd.DataFrame, x: str) -> None:
    """Draw cache edges as vertical lines and name, above the axes, the level between each two of them.

    ``edges`` has level (that is left), next_level and the column ``x``. A name wider than its place is left out.
    """
    low, high = axes.get_xlim()
    inside = edges[edges[x].between(low, high)].sort_values(x, kind="stable")
    if inside.empty:
        return
    for position in inside[x]:
        axes.axvline(position, zorder=0.5, **_EDGE)
    bounds = [low, *inside[x], high]
    names = [*inside["level"], inside["next_level"].iloc[-1]]
    inch = math.log(high / low) / _inches(axes)
    style: dict[str, Any] = {"ha": "center", "va": "bottom", "fontsize": 6.5, "color": "0.25"}
    for (start, end), name in zip(itertools.pairwise(bounds), names, strict=True):
        if math.log(end / start) > _LETTER_INCHES * len(name) * inch:
            axes.text((start * end) ** 0.5, 1.01, name, transform=axes.get_xaxis_transform(), **style)


def _inches(axes: Axes) -> float:
    """Width of the axes before the layout has settled, about."""
    figure = axes.get_figure(root=True)
    assert figure is not None  # axes without a figure have no width
    specification = axes.get_subplotspec()
    columns = specification.get_gridspec().ncols if specification is not None else 1
    return float(0.8 * figure.get_figwidth() / columns)
