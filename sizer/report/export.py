"""A recommendation for other programs: CSV, Markdown, and the curve as a picture."""

from __future__ import annotations

import csv
import io
import math
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

from sizer.base.units import format_cost, format_count, format_times, format_widths
from sizer.method.recommendation import Candidate, CurvePoint, Recommendation, flat_row
from sizer.method.training_step import SET_NAMES
from sizer.report.recommendation import chances_text, family, fill_text, rate_text
from sizer.report.text_chart import level_starts, lower_envelope

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure


def as_csv(record: Recommendation) -> str:
    """The candidates, one a row, with every field; widths are written as everywhere, 512x5-10. Not known is empty."""
    stream = io.StringIO()
    writer = csv.DictWriter(stream, list(flat_row(record.optimum)), lineterminator="\n")
    writer.writeheader()
    writer.writerows({name: _cell(value) for name, value in row.items()} for row in record.rows())
    return stream.getvalue()


def _cell(value: Any) -> Any:
    return format_widths(value) if isinstance(value, tuple) else value


def as_markdown(record: Recommendation) -> str:
    """The candidates as a Markdown table with their reasons."""
    cost = f"{record.coefficients.quantity} per datum ({record.coefficients.label})"
    lines = [
        f"| # | shape | depth | batch | widths | parameters | fills | {cost} | rate | reached | cost to loss | why |",
        "|--:|---|--:|--:|---|--:|---|--:|--:|--:|--:|---|",
        *(f"| {' | '.join(_markdown_cells(candidate))} |" for candidate in record.candidates),
    ]
    return "\n".join(lines)


def _markdown_cells(candidate: Candidate) -> Iterator[str]:
    yield from (f"{candidate.rank}", candidate.shape, f"{candidate.depth}", f"{candidate.batch_size}")
    yield format_widths(candidate.widths)
    yield format_count(candidate.num_free_parameters)
    yield fill_text(candidate.anchor)
    yield format_cost(candidate.energy_per_datum_j, candidate.time_per_datum_s)
    yield rate_text(candidate)
    yield chances_text(candidate)
    yield format_times(candidate.relative_cost_to_loss)
    yield candidate.why


#: Okabe and Ito's palette, told apart by colour-blind readers and in grey.
_COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000", "#F0E442")
_LEVEL_GREYS = ("#ffffff", "#e4e4e4", "#c9c9c9", "#aeaeae", "#939393", "#787878")
MAX_CURVES = len(_COLOURS)
#: Octaves of parameters that two ranks on the same side must lie apart to be read.
_APART = 0.4


def draw(record: Recommendation) -> Figure:
    """The recommendation as a picture."""
    # The canvas is made without pyplot: no display is needed, and no global state is left behind.
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(8, 6), layout="constrained")
    FigureCanvasAgg(figure)
    curve_axes, level_axes = figure.subplots(2, 1, sharex=True, height_ratios=[3, 1])
    _draw_curves(curve_axes, record)
    _draw_levels(level_axes, record)
    request = record.request
    figure.suptitle(
        f"{record.device.name or record.device.id}: {request.input_dim} inputs, {request.output_dim} outputs, "
        f"{request.dtype}, {request.optimizer}\n{record.coefficients.label} {record.coefficients.quantity}",
        fontsize=10,
    )
    return figure


def _families(record: Recommendation) -> list[tuple[tuple[str, int, int], list[CurvePoint]]]:
    """The curve's points by family, the optimum's family first, at most as many as there are colours."""
    families: dict[tuple[str, int, int], list[CurvePoint]] = {family(record.optimum): []}
    for point in record.curve:
        if point.relative_cost_to_loss is not None:
            families.setdefault(family(point), []).append(point)
    return list(families.items())[:MAX_CURVES]


def _draw_curves(axes: Axes, record: Recommendation) -> None:
    """One line a family, over its faint saw-tooth; the candidates numbered, the optimum starred."""
    families = _families(record)
    for colour, ((shape, depth, batch_size), points) in zip(_COLOURS, families, strict=False):
        below = lower_envelope(points)
        if len(below) < len(points):  # (the saw-tooth of unaligned widths)
            axes.plot(*_sizes_and_costs(points), color=colour, linewidth=0.6, alpha=0.3)
        named = f"{shape}, depth {depth}, batch {batch_size}"
        axes.plot(*_sizes_and_costs(below), color=colour, linewidth=1.5, label=named)
    drawn = {key for key, _ in families}
    _mark(axes, [candidate for candidate in record.candidates if family(candidate) in drawn])
    best = record.optimum
    at = [best.num_free_parameters], [best.relative_cost_to_loss or 0.0]
    axes.plot(*at, "k*", markersize=12, label=f"optimum {format_widths(best.widths)}")
    axes.set(xscale="log", yscale="log", ylabel="cost of reaching a loss (1 = optimum)")
    axes.set_xscale("log", base=2)
    axes.grid(visible=True, which="major", linewidth=0.4, alpha=0.5)
    total = len({family(point) for point in record.curve})
    title = f"{len(families)} of {total} combinations" if total > len(families) else None
    axes.legend(fontsize=8, loc="upper left", title=title, title_fontsize=8)


def _sizes_and_costs(points: Sequence[CurvePoint]) -> tuple[list[int], list[float]]:
    return [point.num_free_parameters for point in points], [point.relative_cost_to_loss or 0.0 for point in points]


def _mark(axes: Axes, candidates: Sequence[Candidate]) -> None:
    """A dot for each candidate; its rank below or above it where no better rank stands in the way."""
    # Where several curves lie above one another, what is above a dot is the next curve's dots.
    sides = (-12, 5) if len({family(candidate) for candidate in candidates}) == 1 else (-12,)
    taken: list[tuple[int, float]] = []
    for candidate in candidates:
        at: Any = (candidate.num_free_parameters, candidate.relative_cost_to_loss)
        axes.plot(*([value] for value in at), "ko", markersize=3)
        position = math.log2(candidate.num_free_parameters)
        free = (side for side in sides if all(side != s or abs(position - p) > _APART for s, p in taken))
        if (side := next(free, None)) is not None:
            taken.append((side, position))
            axes.annotate(f"{candidate.rank}", at, (0, side), textcoords="offset points", ha="center", fontsize=8)


def _draw_levels(axes: Axes, record: Recommendation) -> None:
    """One bar a working set: the level where it lives along the sizes of the optimum's family."""
    points = _families(record)[0][1]
    names = list(points[0].levels)
    order = [level.name for level in record.device.sizing_levels()]
    for row, name in enumerate(names):
        starts = [(level, first.num_free_parameters) for level, first in level_starts(points, name)]
        ends = [*(low for _, low in starts[1:]), points[-1].num_free_parameters]
        for (level, low), high in zip(starts, ends, strict=True):
            grey = _LEVEL_GREYS[order.index(level) % len(_LEVEL_GREYS)]
            axes.barh(row, high - low, left=low, height=0.8, color=grey, edgecolor="black", linewidth=0.5)
            axes.text((low * high) ** 0.5, row, level, ha="center", va="center", fontsize=7, clip_on=True)
    axes.set(
        yticks=range(len(names)),
        yticklabels=[SET_NAMES[name] for name in names],
        xlabel="number of trainable parameters",
    )
    axes.invert_yaxis()
    axes.set_ylabel("lives in")
