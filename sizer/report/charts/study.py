"""A study's steps: what each found, with what was published beside it."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

from sizer.base.units import format_bytes, format_count
from sizer.report.charts.figure import Axis, Band, Chart, Guide, Point, Series, Stretch, Strip, spread
from sizer.report.charts.sizes import PARAMETERS, SET_WORDS
from sizer.report.layout import Column, Table
from sizer.study.published import facts

if TYPE_CHECKING:
    from sizer.study.step import StudyStep

_Row = Mapping[str, Any]
#: The sets of the study's figure 8, whose letter for the largest set between layers is another one.
_LETTERS = SET_WORDS | {"l": SET_WORDS["t_max"]}
#: Points of a curve, and rows of a table: a step has up to eight charts, and all points are in the record.
_SHOWN = 16
#: A relative standard error from which on a bar grows no longer.
_UNKNOWN = 1.0
#: Colour of what was published, beside the first, which is one's own.
_PUBLISHED = 2


def study_charts(record: StudyStep) -> Iterator[Chart]:
    """The figures of a step, from the numbers that its record has."""
    draw = _STEPS.get(record.step)
    if draw is not None:
        yield from draw(list(record.table), list(record.points))


def _number(value: object) -> float | None:
    """A finite number, None for anything else."""
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        return None
    return float(value) if math.isfinite(value) else None


def _numbers(row: _Row, *names: str) -> list[float] | None:
    """The numbers of those names, None where one is not known."""
    found = [_number(row.get(name)) for name in names]
    return [value for value in found if value is not None] if None not in found else None


def _by(rows: Sequence[_Row], name: str) -> dict[str, list[_Row]]:
    parts: dict[str, list[_Row]] = {}
    for row in rows:
        parts.setdefault(str(row.get(name)), []).append(row)
    return parts


def _table(rows: Sequence[_Row], titles: Mapping[str, str]) -> Table:
    """The columns of those names, by their titles, of rows evenly spread."""
    shown = [rows[index] for index in spread(len(rows), _SHOWN)]
    return Table([Column(title, [_cell(row.get(name)) for row in shown]) for name, title in titles.items()])


def _cell(value: object) -> str:
    number = _number(value)
    return f"{number:.4g}" if number is not None else "" if value is None else f"{value}"


class _Panel(NamedTuple):
    """A panel of the published figure 3: what is on its axes."""

    x: str
    y: str
    unit: str


_PANELS = {
    "a": _Panel("training data of an epoch", "of an epoch", "count"),
    "b": _Panel("size", "a training datum", "count"),
    "c": _Panel("operations a datum", "a training datum", "count"),
    "d": _Panel("depth", "a training datum", ""),
}


def _trends(rows: Sequence[_Row], points: Sequence[_Row]) -> Iterator[Chart]:
    """Cost against data, size, operations and depth (paper, figure 3), then what one more of each costs."""
    for name, of_panel in _by(points, "panel").items():
        for hardware, some in _by(of_panel, "hardware").items():
            if name in _PANELS:
                yield from _trend(_PANELS[name], name, hardware, some)
    yield from _slopes(rows)


def _trend(panel: _Panel, name: str, hardware: str, rows: Sequence[_Row]) -> Iterator[Chart]:
    quantity, _, rest = str(rows[0].get("y_name")).partition("_")
    unit = rest.rpartition("_")[2]
    known = _quartiles(rows, "x")
    if len(known) < 2:
        return
    own = [
        Point(x, y, f"{panel.x} {x:,.6g}: {y:.4g} {unit} {panel.y} ({low:.4g} to {high:.4g}, the middle half)")
        for x, y, low, high in known
    ]
    theirs = facts("published_figures")["figure_3"]["panels"].get(name, {}).get(hardware, []) if unit == "J" else []
    published = [Point(x, y, f"published, {panel.x} {x:,.6g}: {y:.4g} J {panel.y}") for x, _, y, _ in theirs]
    yield Chart(
        f"{quantity.capitalize()} {panel.y} by {panel.x}, {hardware}",
        f"Median and middle half of the {quantity} {panel.y} over all runs (the study's figure 3{name}); the published "
        "medians beside it where they are of the same quantity. Meters and machines differ: compare the slopes.",
        Axis(panel.x, panel.unit),
        Axis(f"{quantity} {panel.y}", unit if unit in ("s", "J") else ""),
        _table(rows, {"x": panel.x, "q25": "lower quartile", "median": "median", "q75": "upper quartile"}),
        [Series("these runs", own), *([Series("published", published, colour=_PUBLISHED)] if published else [])],
        [Band("their middle half", [(x, low, high) for x, _, low, high in known])],
    )


def _quartiles(rows: Sequence[_Row], x: str) -> list[list[float]]:
    """What x is, the median and the quartiles there, of rows evenly spread."""
    known = [found for row in rows if (found := _numbers(row, x, "median", "q25", "q75")) is not None]
    return [known[index] for index in spread(len(known), _SHOWN)]


def _slopes(rows: Sequence[_Row]) -> Iterator[Chart]:
    """What one more of each costs: quartiles."""
    for slope, some in _by(rows, "slope").items():
        strips = []
        for row in some:
            found = _numbers(row, "q25", "q50", "q75")
            if found is not None:
                low, middle, high = found
                told = f"{row.get('hardware')}: {middle:.4g} {slope} ({low:.4g} to {high:.4g}, the middle half)"
                strips.append(Strip(f"{row.get('hardware')}", [Stretch(low, high, f"{middle:.3g}", told, 1)]))
        if strips:
            titles = {"hardware": "hardware", "q25": "lower quartile", "q50": "median", "q75": "upper quartile"}
            yield Chart(
                f"Marginal cost: {slope}",
                "The middle half of the steps between neighbouring medians, with their median.",
                Axis(slope, log=False, within=(0.0,)),
                None,
                _table(some, titles | {"pairs": "pairs"}),
                strips=strips,
            )


def _caches(rows: Sequence[_Row], points: Sequence[_Row]) -> Iterator[Chart]:
    """Cost over the size of each working set, with the cache edges (paper, figure 4)."""
    for hardware, of_hardware in _by(points, "hardware").items():
        for name, some in _by(of_hardware, "working_set").items():
            yield from _windows(hardware, name, some, [r for r in rows if r.get("hardware") == hardware])
    yield from _edges(rows)


def _windows(hardware: str, name: str, rows: Sequence[_Row], edges: Sequence[_Row]) -> Iterator[Chart]:
    known = _quartiles(rows, "bytes")
    if len(known) < 2:
        return
    word, unit = SET_WORDS.get(name, name), str(rows[0].get("unit"))
    points = [
        Point(x, y, f"{word} of {format_bytes(x)}: {y:.4g} {unit} a datum ({low:.4g} to {high:.4g})")
        for x, y, low, high in known
    ]
    at = [(_number(row.get("edge_bytes")), row.get("level")) for row in edges if row.get("working_set") == name]
    yield Chart(
        f"Cost a datum by the size of {word}, {hardware}",
        "Median and middle half of the cost a training datum in a sliding window of an octave, over the size of the "
        "working set (the study's figure 4); vertical lines where the set leaves a cache.",
        Axis(f"size of {word} ({name})", "bytes"),
        Axis("cost a training datum", unit if unit in ("s", "J") else ""),
        _table(rows, {"bytes": "bytes", "q25": "lower quartile", "median": "median", "q75": "upper quartile"}),
        [Series("median", points)],
        [Band("middle half", [(x, low, high) for x, _, low, high in known])],
        guides=[Guide("x", edge, f"leaves {level}") for edge, level in at if edge is not None and edge > 0],
    )


def _edges(rows: Sequence[_Row]) -> Iterator[Chart]:
    """How steeply cost grows with a set inside each cache and beyond it."""
    for hardware, some in _by(rows, "hardware").items():
        sides = (("elasticity_inside", "inside", "dots"), ("elasticity_beyond", "beyond", "crosses"))
        series = []
        for colour, (side, name, look) in enumerate(sides, start=1):
            points = [point for row in some if (point := _edge_point(row, side, name)) is not None]
            if points:
                series.append(Series(f"{name} the edge", points, look, colour))
        if series:
            titles = {"working_set": "set", "level": "level", "edge_bytes": "edge, bytes"}
            yield Chart(
                f"Cache edges on {hardware}",
                "How much cost grows with each doubling of a working set, inside the cache edge and beyond it: 1 means "
                "in proportion. A bend is where the two differ.",
                Axis("size of the working set at the edge", "bytes"),
                Axis("elasticity of cost", log=False, within=(0.0, 1.0)),
                _table(some, titles | {"elasticity_inside": "inside", "elasticity_beyond": "beyond"}),
                series,
                guides=[Guide("y", 1.0, "in proportion")],
            )


def _edge_point(row: _Row, side: str, name: str) -> Point | None:
    found = _numbers(row, "edge_bytes", side)
    if found is None:
        return None
    at, value = found
    told = f"{row.get('working_set')} leaves {row.get('level')} at {format_bytes(at)}: elasticity {value:.3g} {name}"
    return Point(at, value, told)


def _fit(rows: Sequence[_Row], points: Sequence[_Row]) -> Iterator[Chart]:
    """The errors of the fit (paper, figure 5), and how well each coefficient is known."""
    for hardware, some in _by(points, "hardware").items():
        theirs = facts("published_figures")["figure_5"]["hardware"].get(hardware, [])
        yield from _shares(
            f"Predicted over measured, {hardware}",
            "Share of the experiments by the ratio of predicted to measured cost (the study's figure 5), per hundredth "
            "of the ratio.",
            Axis("predicted / measured", log=False, within=(1.0,)),
            [(row, _numbers(row, "ratio_lo", "ratio_hi", "count")) for row in some],
            theirs,
            lambda low, high: ((low + high) / 2, (high - low) * 100, f"ratio {low:.3g} to {high:.3g}"),
        )
    yield from _coefficients(rows)


def _minima(rows: Sequence[_Row], points: Sequence[_Row]) -> Iterator[Chart]:
    """Cost to reach losses by size (paper, figures 6 and 7), and how large the sets of the cheapest sizes are."""
    curves = [point for point in points if point.get("family") is not None]
    for hardware, of_hardware in _by(curves, "hardware").items():
        for number, (family, some) in enumerate(_by(of_hardware, "family").items()):
            yield from list(_to_losses(f"{family}, {hardware}", some))[: 1 if number else 2]
    yield from _sizes_of_sets([point for point in points if point.get("panel") is not None])
    yield from _past(rows)


def _to_losses(named: str, rows: Sequence[_Row]) -> Iterator[Chart]:
    """What reaching a few losses costs by size (paper, figure 6), and what counting FLOPs says (figure 7)."""
    by_loss = {
        loss: known
        for loss, some in _by([row for row in rows if _numbers(row, "loss")], "loss").items()
        if len(known := sorted(_known(some, "num_free_parameters", "cost", "operations"))) > 1
    }
    if not by_loss:
        return
    losses = sorted(by_loss, key=float, reverse=True)
    unit = next(str(row["unit"]) for row in rows if row.get("unit") is not None)
    edges = [(_number(row.get("num_free_parameters")), row["leaves"]) for row in rows if row.get("leaves") is not None]
    guides = [Guide("x", at, f"leaves {level}") for at, level in edges if at is not None and at > 0]
    lines = {
        loss: [Point(x, y, f"loss {float(loss):.3g} with {x:,.0f} parameters: {y:.4g} {unit}") for x, y, _ in known]
        for loss, known in by_loss.items()
    }
    least = [min(lines[loss], key=lambda point: point.y) for loss in losses]
    series = [Series(f"loss {float(loss):.3g}", lines[loss], colour=n) for n, loss in enumerate(losses, start=1)]
    cheapest = Series("cheapest size", [point._replace(told=f"cheapest, {point.told}") for point in least], "dots", 7)
    titles = {"loss": "loss", "num_free_parameters": "parameters", "cost": f"cost, {unit}", "operations": "operations"}
    table = _table([row for row in rows if row.get("loss") is not None], titles)
    yield Chart(
        f"Cost to reach a loss by size: {named}",
        "What training networks of one family to each of a few test losses costs, by their size, the cheapest size of "
        "each loss a dot (the study's figure 6); vertical lines where the backward set leaves a cache.",
        PARAMETERS,
        Axis("cost to the loss", unit if unit in ("s", "J") else ""),
        table,
        [*series, cheapest],
        guides=guides,
    )
    middle = losses[len(losses) // 2]
    yield _beside_flops(named, middle, by_loss[middle], table, guides)


def _beside_flops(
    named: str, loss: str, known: Sequence[Sequence[float]], table: Table, guides: Sequence[Guide]
) -> Chart:
    """Measured cost and operations to reach a loss, each over its least."""
    series = []
    for colour, (name, index) in enumerate((("measured cost", 1), ("FLOPs", 2)), start=1):
        least = min(each[index] for each in known)
        points = [
            Point(each[0], each[index] / least, f"{name} with {each[0]:,.0f} parameters: {each[index] / least:.3g}x")
            for each in known
        ]
        series.append(Series(name, points, colour=colour))
    return Chart(
        f"Cost and FLOPs to reach loss {float(loss):.3g}: {named}",
        "Measured cost and counted operations of training each size to the middle loss, each as a multiple of its "
        "least (the study's figure 7): the size with the fewest FLOPs is not the cheapest where the two part; vertical "
        "lines where the backward set leaves a cache.",
        PARAMETERS,
        Axis("1x = the least", "times"),
        table,
        series,
        guides=guides,
    )


def _known(rows: Sequence[_Row], *names: str) -> list[list[float]]:
    """The numbers of those names, of the rows that have all of them, none of them 0 or less."""
    found = [_numbers(row, *names) for row in rows]
    return [values for values in found if values is not None and min(values) > 0]


def _sizes_of_sets(points: Sequence[_Row]) -> Iterator[Chart]:
    """How large the sets of the cheapest sizes are (paper, figure 8)."""
    for panel, some in _by(points, "panel").items():
        hardware, _, letter = panel.partition(" ")
        theirs = facts("published_figures")["figure_8"]["panels"].get(panel, [])
        yield from _shares(
            f"Size of {_LETTERS.get(letter, letter)} at the cheapest networks, {hardware}",
            "Share of the cheapest sizes to a loss by the size of their working set, by octaves (the study's figure "
            "8). Peaks lie at cache edges.",
            Axis("size of the working set", "bytes"),
            [(row, _numbers(row, "log2_bytes_lo", "log2_bytes_hi", "count")) for row in some],
            theirs,
            lambda low, high: (2 ** ((low + high) / 2), 1.0, f"{format_bytes(2**low)} to {format_bytes(2**high)}"),
        )


def _shares(
    title: str,
    description: str,
    x: Axis,
    own: Sequence[tuple[_Row, list[float] | None]],
    published: Sequence[Sequence[float]],
    bin_of: Callable[[float, float], tuple[float, float, str]],
) -> Iterator[Chart]:
    """Histograms as lines, one's own and the published one, each as shares of its total by width of bin."""
    series = []
    bins = [found for _, found in own if found is not None]
    for colour, (name, counted) in enumerate((("these runs", bins), ("published", published)), start=1):
        total = sum(count for *_, count in counted)
        points = []
        for low, high, count in counted:
            at, width, said = bin_of(low, high)
            told = f"{name}, {said}: {count / total:.1%} ({format_count(round(count))})" if total else ""
            points.append(Point(at, count / total / width if total else 0.0, told))
        if total:
            series.append(Series(name, points, colour=colour))
    if series and bins:
        titles = dict.fromkeys(own[0][0], "")
        table = _table([row for row, _ in own], {name: name for name in titles})
        yield Chart(title, description, x, Axis("share", "share", log=False, within=(0.0,)), table, series)


def _coefficients(rows: Sequence[_Row]) -> Iterator[Chart]:
    for hardware, some in _by(rows, "hardware").items():
        strips = []
        for row in some:
            error = _number(row.get("error"))
            if error is not None and error > 0:
                value = f"{row.get('term')}: {_cell(row.get('value'))} {row.get('unit')}"
                told = f"{value}, standard error {error:.1%}, {row.get('status')}"
                said = f"{error:.1%}" if error < _UNKNOWN else "not known"
                strips.append(Strip(f"{row.get('term')}", [Stretch(0.0, min(error, _UNKNOWN), said, told, 1)]))
        if strips:
            titles = {"term": "coefficient", "value": "value", "unit": "unit", "error": "relative error"}
            yield Chart(
                f"How well the coefficients are known on {hardware}",
                "The relative standard error of each coefficient of the fit; beyond a third it is not identified.",
                Axis("relative standard error", "share", log=False, within=(0.0, 0.4)),
                None,
                _table(some, titles | {"status": "status"}),
                guides=[Guide("x", 1 / 3, "not identified beyond")],
                strips=strips,
            )


def _past(rows: Sequence[_Row]) -> Iterator[Chart]:
    """How far past the nearest cache edge the cheapest sizes lie (paper, section 8)."""
    strips = []
    for row in rows:
        past = _number(row.get("octaves_past"))
        if past is not None:
            named = f"{SET_WORDS.get(str(row.get('working_set')), row.get('working_set'))}, {row.get('hardware')}"
            told = f"{named}: the cheapest size lies {past:+.2f} octaves past the nearest edge, in the median"
            strips.append(Strip(named, [Stretch(min(past, 0.0), max(past, 0.0), f"{past:+.2f}", told, 1)]))
    if strips:
        titles = {"hardware": "hardware", "working_set": "set", "minima": "minima", "log2_bytes": "log2 bytes"}
        yield Chart(
            "Where the cheapest sizes lie",
            "Octaves between the nearest cache edge and each working set of the cheapest size to a loss, the median "
            "over the minima: 0 is a set that just fits, 1 one that is twice the edge (paper, section 8).",
            Axis("octaves past the nearest cache edge", log=False, within=(-1.0, 0.0, 1.0)),
            None,
            _table(rows, titles | {"octaves_past": "octaves past the edge", "within_1_past": "share within an octave"}),
            guides=[Guide("x", 0.0, "the edge")],
            strips=strips,
        )


_STEPS: Mapping[str, Callable[[Sequence[_Row], Sequence[_Row]], Iterator[Chart]]] = {
    "trends": _trends,
    "caches": _caches,
    "fit": _fit,
    "isoloss": _minima,
}
