"""A recommendation: cost over size with the levels where sets live below, and what each candidate may reach."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from sizer.base.units import counted, format_cost, format_count, format_network, format_times, format_widths
from sizer.method.recommendation import Candidate, CurvePoint, Recommendation
from sizer.report.charts.figure import Axis, Band, Chart, Mark, Point, Series, Stretch, Strip, spread
from sizer.report.layout import Column, Table
from sizer.report.recommendation import family
from sizer.report.text_chart import level_starts, lower_envelope

#: What working sets are called where people read.
SET_WORDS = {"f": "weights", "b": "backward", "o": "optimizer", "t_max": "activations", "d": "data"}
PARAMETERS = Axis("number of trainable parameters", "count")
#: Rows of a table below a chart; all values are in the record.
ROWS = 24
#: Families of networks drawn beside one another.
_FAMILIES = 6


def recommendation_charts(record: Recommendation, asked: Sequence[int] = ()) -> Iterator[Chart]:
    """Cost of reaching a loss over size, candidates and optimum on it, the levels where the sets live below.

    ``asked`` are first widths that the user asked about.
    """
    families: dict[tuple[str, int, int], list[CurvePoint]] = {family(record.optimum): []}
    for point in record.curve:
        if point.relative_cost_to_loss is not None:
            families.setdefault(family(point), []).append(point)
    drawn = dict(list(families.items())[:_FAMILIES])
    points = drawn[family(record.optimum)]
    if len(points) < 2:
        return
    yield _costs_to_loss(record, drawn, points, asked)
    yield from _chances(record)


def _costs_to_loss(
    record: Recommendation,
    drawn: Mapping[tuple[str, int, int], Sequence[CurvePoint]],
    points: Sequence[CurvePoint],
    asked: Sequence[int],
) -> Chart:
    """The sweep, with the sizes that stand out on it and the levels where sets live below it."""
    factors = record.coefficients.interval
    below = lower_envelope(points)
    bands = [] if factors is None else [Band("90 % interval of the step's cost", _edges(below, factors))]
    levels = [level.name for level in record.device.sizing_levels()]
    expected = "Cost" if record.hardness is None else "Expected cost"
    of_target = "" if record.hardness is None else f" ({record.hardness.basis})"
    return Chart(
        f"{expected} of reaching a loss by size",
        f"The predicted cost of training a network of each size to a loss{of_target}, as a multiple of the cheapest "
        "size's, with the sizes that fill a cache once to twice numbered and the cheapest of all starred. Faint are "
        "sizes that cost more than those near them. Below it the memory level on which each working set lives.",
        PARAMETERS,
        Axis("cost to a loss, 1x = the cheapest size", "times"),
        _curve_table(points, factors),
        [*_teeth(points, below), *_families(drawn, factors)],
        bands,
        [*_own_marks(points, asked), *_marks(record, drawn), *_asked(record)],
        (),
        [*_near_best(record), *level_strips(points, levels)],
        record.coefficients.label,
    )


def _teeth(points: Sequence[CurvePoint], below: Sequence[CurvePoint]) -> Iterator[Series]:
    """All sizes, faint, where some of them are dearer than those near them."""
    if len(below) < len(points):
        told = [Point(p.num_free_parameters, p.relative_cost_to_loss or 0.0, "") for p in points]
        yield Series("every width", told, "dust", colour=7, faint=True)


def _near_best(record: Recommendation) -> Iterator[Strip]:
    """The sizes that are about as good as the best."""
    if record.near_best is not None:
        near, first, last = record.near_best, record.near_best.smallest, record.near_best.largest
        said = f"within {100 * (near.within - 1):.0f} %"
        told = f"from {format_network(first.widths, first.num_free_parameters)} to "
        told += f"{format_network(last.widths, last.num_free_parameters)}: {said} of the best listed"
        yield Strip(said, [Stretch(first.num_free_parameters, last.num_free_parameters, "", told)])


def _chances(record: Recommendation) -> Iterator[Chart]:
    """The chance that each candidate reaches an easy, a medium and a hard target, where that is known."""
    known = sorted((c for c in record.candidates if c.chance_to_reach), key=lambda c: c.num_free_parameters)
    if len(known) < 2:
        return
    names = list(known[0].chance_to_reach or {})
    series = [
        Series(f"{name} targets", [point for one in known for point in _chance(one, name)], "line", colour)
        for colour, name in enumerate(names, start=1)
    ]
    columns = [
        Column("#", [f"{one.rank}" for one in known], right=True),
        Column("widths", [format_widths(one.widths) for one in known]),
        Column("rate", ["" if one.learning_rate is None else f"{one.learning_rate:g}" for one in known], right=True),
        *(
            Column(name, [f"{(one.chance_to_reach or {}).get(name, 0):.0%}" for one in known], right=True)
            for name in names
        ),
    ]
    yield Chart(
        "Chance to reach a target by size",
        "The chance that training each candidate, at its own learning rate, reaches an easy, a medium and a hard "
        "target, from recorded learning curves.",
        PARAMETERS,
        Axis("chance to reach it", "share", log=False, within=(0.0, 1.0)),
        Table(columns),
        series,
        label="estimated",
    )


def _chance(size: Candidate, difficulty: str) -> Iterator[Point]:
    chance = (size.chance_to_reach or {}).get(difficulty)
    if chance is not None:
        named = f"{size.rank}, {format_network(size.widths, size.num_free_parameters)}{_training(size)}"
        yield Point(size.num_free_parameters, chance, f"rank {named}: {chance:.0%} for {difficulty} targets")


def _training(size: Candidate) -> str:
    """The rate and the weights that a size is ranked at, as the end of a phrase; empty where none is suggested."""
    rate = "" if size.learning_rate is None else f", rate {size.learning_rate:g}"
    return f"{rate}, weights averaged" if size.averaged else rate


def _families(
    drawn: Mapping[tuple[str, int, int], Sequence[CurvePoint]], factors: tuple[float, float] | None
) -> Iterator[Series]:
    """The lower envelope of each family's sizes."""
    for number, ((shape, depth, batch_size), points) in enumerate(drawn.items(), start=1):
        below = lower_envelope(points)
        told = [Point(p.num_free_parameters, p.relative_cost_to_loss or 0.0, _told(p, factors)) for p in below]
        yield Series(f"{shape}, depth {depth}, batch {batch_size}", told, colour=number)


def _told(point: CurvePoint, factors: tuple[float, float] | None) -> str:
    cost = point.relative_cost_to_loss or 0.0
    within = "" if factors is None else f" ({format_times(cost * factors[0])} to {format_times(cost * factors[1])})"
    datum = format_cost(point.energy_per_datum_j, point.time_per_datum_s)
    per_datum = "" if datum == "unknown" else f", {datum} a datum"
    return (
        f"{format_network(point.widths, point.num_free_parameters)}: {format_times(cost)}{within} to a loss{per_datum}"
    )


def _edges(points: Sequence[CurvePoint], factors: tuple[float, float]) -> list[tuple[float, float, float]]:
    costs = [(point.num_free_parameters, point.relative_cost_to_loss or 0.0) for point in points]
    return [(float(size), cost * factors[0], cost * factors[1]) for size, cost in costs]


def _marks(record: Recommendation, drawn: Mapping[tuple[str, int, int], object]) -> Iterator[Mark]:
    """The optimum first, since names are placed in this order."""
    yield from _mark(record.optimum, "optimum", "the cheapest size of all", "star")
    for candidate in record.candidates:
        if family(candidate) in drawn:
            yield from _mark(candidate, f"{candidate.rank}", f"rank {candidate.rank}")


def _own_marks(points: Sequence[CurvePoint], asked: Sequence[int]) -> Iterator[Mark]:
    """The sizes whose first width the user asked about, of the optimum's family; the nearest of the sweep's."""
    for width in asked:
        near = min(points, key=lambda point: abs(point.widths[0] - width))
        cost = format_times(near.relative_cost_to_loss)
        named = format_network(near.widths, near.num_free_parameters)
        exact = "" if near.widths[0] == width else f"near your width {width}, "
        told = f"yours: {exact}{named}, {cost} to a loss"
        yield Mark(near.num_free_parameters, near.relative_cost_to_loss or 0.0, f"yours: {width}", told, "diamond")


def _asked(record: Recommendation) -> Iterator[Mark]:
    """The largest size within limits, and the one size for a target, where they were asked for."""
    if record.largest is not None:
        yield from _mark(record.largest, "largest", "the largest within the limits")
    if record.one_shot is not None:
        yield from _mark(record.one_shot.candidate, "one shot", "in one shot, for the target")


def _mark(size: Candidate, text: str, what: str, look: str = "dot") -> Iterator[Mark]:
    cost = size.relative_cost_to_loss
    if cost is not None:
        named = format_network(size.widths, size.num_free_parameters)
        told = f"{what}: {named}{_training(size)}, {format_times(cost)} to a loss"
        yield Mark(size.num_free_parameters, cost, text, told, look)


def level_strips(points: Sequence[CurvePoint], levels: Sequence[str]) -> list[Strip]:
    """A row a working set: the level on which it lives along the sizes."""
    return [_level_strip(points, name, levels) for name in points[0].levels]


def _level_strip(points: Sequence[CurvePoint], name: str, levels: Sequence[str]) -> Strip:
    word = SET_WORDS.get(name, name)
    starts = [(level, first.num_free_parameters) for level, first in level_starts(points, name)]
    ends = [*(low for _, low in starts[1:]), points[-1].num_free_parameters]
    stretches = []
    for (level, low), high in zip(starts, ends, strict=True):
        shade = levels.index(level) if level in levels else None
        told = f"{word} ({name}) in {level} from {format_count(low)} to {counted(high, 'parameter')}"
        stretches.append(Stretch(low, high, level, told, shade))
    return Strip(word, stretches)


def _curve_table(points: Sequence[CurvePoint], factors: tuple[float, float] | None) -> Table:
    shown = [points[index] for index in spread(len(points), ROWS)]
    costs = [point.relative_cost_to_loss or 0.0 for point in shown]
    datum = [format_cost(point.energy_per_datum_j, point.time_per_datum_s) for point in shown]
    columns = [
        Column("parameters", [format_count(point.num_free_parameters) for point in shown], right=True),
        Column("widths", [format_widths(point.widths) for point in shown]),
        Column("cost to a loss", [format_times(cost) for cost in costs], right=True),
    ]
    if factors is not None:
        within = [f"{format_times(cost * factors[0])} to {format_times(cost * factors[1])}" for cost in costs]
        columns.append(Column("90 % interval", within, right=True))
    columns.append(Column("a datum", datum, right=True))
    homes = {name: [point.levels[name] or "none" for point in shown] for name in points[0].levels}
    return Table([*columns, *(Column(f"{SET_WORDS.get(name, name)} in", cells) for name, cells in homes.items())])
