"""Pictures of a search, a family and a comparison of two machines; a recommendation's is in `export`."""

from __future__ import annotations

import io
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sizer.base.errors import UsageError
from sizer.base.storage import write_whole
from sizer.method.coefficients import QUANTITY_UNIT

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from sizer.families.record import FamilyRecommendation
    from sizer.fleet.comparison import Comparison
    from sizer.size_search.result import SearchResult

FORMATS = (".svg", ".png")


def picture(record: Any, path: Path | None) -> Figure:
    """The picture of a record, also in a file. Raises UsageError for a record without one, or another ending."""
    name = type(record).__name__
    if path is not None and path.suffix.lower() not in FORMATS:
        raise UsageError(f"cannot draw into {path.name!r}; expected a file that ends in {' or '.join(FORMATS)}")
    if name == "Recommendation":
        from sizer.report.export import draw

        figure = draw(record)
    elif name in _DRAWN:
        figure = _framed(lambda axes: _DRAWN[name](axes, record))
    else:
        raise UsageError(
            f"a {name} has no picture (.to_frame() gives the numbers); recommendations, searches and "
            f"comparisons have one"
        )
    if path is not None:
        content = io.BytesIO()
        figure.savefig(content, format=path.suffix[1:].lower(), dpi=150)
        write_whole(path, content.getvalue())
    return figure


def _framed(draw: Callable[[Axes], None]) -> Figure:
    # The canvas is made without pyplot: no display is needed, and no global state is left behind.
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(8, 5), layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.subplots()
    draw(axes)
    axes.set_xscale("log", base=2)
    axes.set_yscale("log")
    axes.set_xlabel("number of trainable parameters")
    axes.grid(visible=True, which="major", linewidth=0.4, alpha=0.5)
    axes.legend(fontsize=8)
    return figure


def _search(axes: Axes, record: SearchResult) -> None:
    """What reaching the target costs by size, the sizes trained as dots, the winner as a star."""
    known = [(point.num_free_parameters, point.cost) for point in record.curve if point.cost]
    axes.plot([size for size, _ in known], [cost for _, cost in known], linewidth=1.2, label="to the target, estimated")
    costs = dict(known)
    tried = [trial.num_free_parameters for trial in record.trials if trial.num_free_parameters in costs]
    axes.plot(tried, [costs[size] for size in tried], "ko", markersize=4, label="trained")
    winner = record.winner
    if winner is not None and winner.num_free_parameters in costs:
        axes.plot(
            [winner.num_free_parameters], [costs[winner.num_free_parameters]], "k*", markersize=12, label="winner"
        )
    unit = {"time": "s", "energy": "J"}.get(record.quantity, "operations")
    axes.set_ylabel(f"cost of reaching {record.task.metric} {record.task.target:g} ({unit}, {record.label})")
    axes.set_title(record.task.source, fontsize=10)


def _comparison(axes: Axes, record: Comparison) -> None:
    """The cost of a step on either machine over the sizes, with the sizes at which the cheaper one changes."""
    sizes = [point.num_free_parameters for point in record.points]
    for index, name in enumerate(record.names):
        label = f"{name} ({record.machines[index].coefficients.label})"
        axes.plot(sizes, [point.costs[index] for point in record.points], linewidth=1.5, label=label)
    for crossing in record.crossings:
        axes.axvline(crossing.num_free_parameters, color="grey", linewidth=0.6, linestyle="--")
    axes.set_ylabel(f"{record.quantity} of a step ({QUANTITY_UNIT[record.quantity]})")


def _family(axes: Axes, record: FamilyRecommendation) -> None:
    """What a step of each size takes with its interval, the timed ones as dots, the size to train as a star."""
    sizes = [point.num_free_parameters for point in record.curve]
    low, high = zip(*(point.interval for point in record.curve), strict=True)
    axes.fill_between(sizes, low, high, alpha=0.2, linewidth=0, label="90 % interval")
    axes.plot(sizes, [point.time_per_step_s for point in record.curve], linewidth=1.2, label="every size")
    timed = [(point.num_free_parameters, point.time_per_step_s) for point in record.curve if point.label == "measured"]
    axes.plot(*zip(*timed, strict=True), "ko", markersize=4, label="timed")
    best = record.best
    axes.plot([best.num_free_parameters], [best.time_per_step_s], "k*", markersize=12, label="to train")
    axes.set_ylabel("time of a step (s, calibrated)")
    axes.set_title(f"{record.module}, batch {record.batch_size}", fontsize=10)


_DRAWN: dict[str, Callable[[Axes, Any], None]] = {
    "SearchResult": _search,
    "Comparison": _comparison,
    "FamilyRecommendation": _family,
}
