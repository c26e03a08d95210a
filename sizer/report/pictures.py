"""A record's first chart as a matplotlib Figure, the same that its page shows."""

from __future__ import annotations

import io
import math
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sizer.base.errors import UsageError
from sizer.base.storage import write_whole
from sizer.report.charts import CHARTS, charts
from sizer.report.charts.figure import Axis, Chart, Guide, Mark, Series, Strip
from sizer.report.charts.scales import Scale, ticks

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from sizer.base.records import Record

FORMATS = (".svg", ".png")
#: Okabe and Ito's palette, told apart by colour-blind readers and in grey.
_COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000", "#F0E442")
_DASHES = ("-", (0, (7, 3)), (0, (2, 3)), (0, (9, 3, 2, 3)))
_LEVEL_GREYS = ("#ffffff", "#e4e4e4", "#c9c9c9", "#aeaeae", "#939393", "#787878")
_MARKS = {"star": ("k*", 12.0), "diamond": ("kD", 6.0), "dot": ("ko", 3.0)}
#: Height of a plot and of a row of a strip, in inches.
_PLOT, _ROW = 4.5, 0.26
#: Most named values of an axis.
_TICKS = 8
#: Share of the width that two names must lie apart to be read.
_APART = 0.02


def picture(record: Record, path: Path | None) -> Figure:
    """The picture of a record, also in a file. Raises UsageError for a record without one, or another ending."""
    if path is not None and path.suffix.lower() not in FORMATS:
        raise UsageError(f"cannot draw into {path.name!r}; expected a file that ends in {' or '.join(FORMATS)}")
    chart = next((each for each in charts(record) if isinstance(each, Chart)), None)
    if chart is None:
        name = type(record).__name__
        why = "there is nothing in this one to draw" if name in CHARTS else f"a {name} has no picture"
        raise UsageError(f"{why}; .to_frame() gives the numbers")
    figure = drawn(chart, record.in_short())
    if path is not None:
        content = io.BytesIO()
        figure.savefig(content, format=path.suffix[1:].lower(), dpi=150)
        write_whole(path, content.getvalue())
    return figure


def drawn(chart: Chart, of_what: str) -> Figure:
    """A chart as a Figure: the plot, and below it the strips over the same sizes."""
    # The canvas is made without pyplot: no display is needed, and no global state is left behind.
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    heights = [*([_PLOT] if chart.y else []), *([_ROW * len(chart.strips) + 0.3] if chart.strips else [])]
    figure = Figure(figsize=(8, sum(heights) + 1), layout="constrained")
    FigureCanvasAgg(figure)
    parts: list[Axes] = list(figure.subplots(len(heights), 1, sharex=True, height_ratios=heights, squeeze=False)[:, 0])
    if chart.x.log:
        parts[0].set_xscale("log")
    if chart.y is not None:
        _draw_plot(parts[0], chart, chart.y)
    if chart.strips:
        _draw_strips(parts[-1], chart.strips)
    for guide in chart.guides:
        _draw_guide(parts[0], guide)
    parts[-1].set_xlabel(chart.x.title)
    _name_ticks(parts[-1].xaxis, chart.x)
    label = f" ({chart.label})" if chart.label else ""
    figure.suptitle(f"{chart.title}{label}\n{of_what}", fontsize=10, wrap=True)
    return figure


def _name_ticks(axis: Any, told: Axis, most: int = _TICKS) -> None:
    """Round values along an axis as pages write them."""
    low, high = sorted(axis.get_view_interval())
    named = ticks(Scale(low, high, told.log, 0.0, 1.0), told, most)
    axis.set_ticks([value for value, _ in named], [text for _, text in named])
    axis.set_ticks([], minor=True)


def _draw_plot(axes: Axes, chart: Chart, y: Axis) -> None:
    if y.log:
        axes.set_yscale("log")
    for band in chart.bands:
        x, low, high = zip(*band.edges, strict=True)
        axes.fill_between(x, low, high, alpha=0.16, color=_colour(band.colour), linewidth=0, label=band.name)
    for series in chart.series:
        _draw_series(axes, series, chart.rows)
    for value in y.within:
        axes.axhline(value, alpha=0.0)
    _draw_marks(axes, chart.marks)
    _name_ticks(axes.yaxis, y, len(y.ticks) if chart.rows else _TICKS)
    axes.set_ylabel(y.title)
    axes.grid(visible=True, which="major", linewidth=0.4, alpha=0.5)
    named = dict(zip(*reversed(axes.get_legend_handles_labels()), strict=True))
    if named:
        axes.legend(named.values(), named.keys(), fontsize=8)


def _colour(number: int) -> str:
    return _COLOURS[(number - 1) % len(_COLOURS)]


def _draw_series(axes: Axes, series: Series, rows: bool) -> None:
    """A line, or points with their intervals, which lie along x where the chart has rows."""
    x, y = [point.x for point in series.points], [point.y for point in series.points]
    look: dict[str, Any] = {"color": _colour(series.colour), "alpha": 0.45 if series.faint else 1.0}
    named = look | {"label": series.name}
    if series.look == "line":
        axes.plot(x, y, linewidth=1.5, linestyle=_DASHES[(series.colour - 1) % len(_DASHES)], **named)
        return
    ends = [(p.y if rows else p.x, p.low, p.high) for p in series.points if p.low is not None and p.high is not None]
    if ends:
        (axes.hlines if rows else axes.vlines)(*zip(*ends, strict=True), linewidth=0.8, **look)
    marker, size = {"crosses": ("x", 5.0), "dust": (".", 2.0)}.get(series.look, ("o", 4.0))
    axes.plot(x, y, marker, markersize=size, **named)


def _draw_marks(axes: Axes, marks: Sequence[Mark]) -> None:
    """Each mark, with its text below or above it where no earlier one stands in the way."""
    taken: list[tuple[float, float]] = []
    for mark in marks:
        style, size = _MARKS[mark.look]
        axes.plot([mark.x], [mark.y], style, markersize=size)
    for mark in marks:
        at, _ = axes.transAxes.inverted().transform(axes.transData.transform((mark.x, mark.y)))
        room = _APART * (1 + 0.5 * len(mark.text))
        free = (side for side in (-13, 6) if all(side != s or abs(at - x) > room for s, x in taken))
        if (side := next(free, None)) is not None:
            taken.append((side, at))
            place = (0, side)
            axes.annotate(mark.text, (mark.x, mark.y), place, textcoords="offset points", ha="center", fontsize=8)


def _draw_guide(axes: Axes, guide: Guide) -> None:
    look: dict[str, Any] = {"color": "grey", "linewidth": 0.8, "linestyle": "--"}
    if guide.along == "x":
        axes.axvline(guide.at, **look)
        place: dict[str, Any] = {"xy": (guide.at, 0.98), "xycoords": axes.get_xaxis_transform(), "rotation": 90}
        axes.annotate(guide.text, **place, va="top", ha="right", fontsize=7)
    elif guide.along == "y":
        axes.axhline(guide.at, **look)
        axes.annotate(guide.text, (0.99, guide.at), xycoords=axes.get_yaxis_transform(), ha="right", fontsize=7)
    else:
        low, high = axes.get_xlim()
        axes.plot([low, high], [low * guide.at, high * guide.at], label=guide.text, **look)
        axes.set_xlim(low, high)


def _draw_strips(axes: Axes, strips: Sequence[Strip]) -> None:
    """A row of boxes for each strip, from the top."""
    for row, strip in enumerate(strips):
        for stretch in strip.stretches:
            shade = 0 if stretch.shade is None else stretch.shade
            grey = _LEVEL_GREYS[shade % len(_LEVEL_GREYS)]
            width = stretch.last - stretch.first
            axes.barh(row, width, left=stretch.first, height=0.8, color=grey, edgecolor="black", linewidth=0.5)
            if stretch.text:
                middle = math.sqrt(stretch.first * stretch.last) if stretch.first > 0 else stretch.first + width / 2
                axes.text(middle, row, stretch.text, ha="center", va="center", fontsize=7, clip_on=True)
    axes.set_yticks(range(len(strips)), [strip.name for strip in strips], fontsize=8)
    axes.invert_yaxis()
