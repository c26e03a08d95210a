"""Sizes of a family of modules as a report: the one to train first, then those beside it, then what that rests on."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator, Sequence

from sizer.base.units import counted, format_count, format_quantity, format_times
from sizer.families.record import (
    FamilyPoint,
    FamilyRecommendation,
    FamilySize,
    flat_row,
    size_text,
    values_text,
)
from sizer.method.recommendation import CurvePoint
from sizer.report.layout import (
    BLANK,
    Block,
    Column,
    Curve,
    Line,
    More,
    Paragraph,
    Table,
    answer,
    device_lines,
    reasoned,
)
from sizer.report.recommendation import fill_text

#: Sizes up to this many times as dear as the best are said to be about as good.
_NEAR = 1.1
#: Rows of the short table, unless another number was asked for, as in a recommendation.
_SHORT, _USUAL_TOP = 5, 10
#: Error of a fit without a size from which it does not order sizes: those of a list lie 10 to 50 % apart.
_UNSURE = 0.5


def family_report(record: FamilyRecommendation) -> Iterator[Block]:
    """The size to train, what a step takes, which sizes are about as good; behind it reasons, timings, the curve."""
    yield from answer(
        _train(record), _takes(record), _near(record), _rests_on(record), _largest(record), *_advised(record)
    )
    yield BLANK
    shown = record.candidates if record.request.top != _USUAL_TOP else record.candidates[:_SHORT]
    if shown:
        yield _table(record, shown)
    else:
        yield Line("No size of this range fills a cache once to twice.")
    if (rest := len(record.candidates) - len(shown)) > 0:
        yield Line(f"and {rest} more")
    yield More(list(_behind(record)), "why each size, the sizes that were timed, the curve of cost against size")


def _train(record: FamilyRecommendation) -> str:
    """``Train width 96: Net, 85,002 parameters; batch 64, adam``."""
    best = record.best
    counts = f"{counted(best.num_free_parameters, 'parameter')}"
    train = "Train" if record.fit.mean_error <= _UNSURE else "Too disturbed to tell, time it again; for now:"
    return (
        f"{train} {values_text(best.values)}: {record.module}, {counts}; batch {record.batch_size}, {_settings(record)}"
    )


def _settings(record: FamilyRecommendation) -> str:
    request = record.request
    loss = "" if request.loss is None else f", {request.loss}"
    return f"{request.optimizer}{loss}" + (", mixed precision" if request.dtype == "mixed" else "")


def _takes(record: FamilyRecommendation) -> str:
    """``A step takes 12.1 ms (11.5 ms to 12.8 ms, calibrated), 189 us a datum``."""
    best = record.best
    datum = format_quantity(best.time_per_datum_s, "s")
    return f"A step takes {format_quantity(best.time_per_step_s, 's')} ({_sure(best)}), {datum} a datum."


def _sure(size: FamilySize | FamilyPoint) -> str:
    """``measured``, or the interval with what the number is."""
    if size.label == "measured":
        return "measured"
    low, high = (format_quantity(end, "s") for end in size.interval)
    return f"{low} to {high}, {size.label}"


def _near(record: FamilyRecommendation) -> str:
    """``From width 80 to width 144 within 10 % of its cost to a loss``."""
    costs = [(point, point.relative_cost) for point in record.curve]
    least = record.best.relative_cost or 1.0
    near = [point for point, cost in costs if cost is not None and cost <= _NEAR * least]
    if len(near) < 2:
        return ""
    first, last = values_text(near[0].values), values_text(near[-1].values)
    return f"From {first} to {last} within {100 * (_NEAR - 1):.0f} % of its {_ranked(record)}."


def _ranked(record: FamilyRecommendation) -> str:
    return "cost to a loss" if record.request.rank_by == "loss" else "time a datum"


def _rests_on(record: FamilyRecommendation) -> str:
    """How many sizes were timed, and how far off those are that a fit did not see."""
    return (
        f"{len(record.timed)} of {len(record.curve)} sizes are timed; a fit without one of them misses it by "
        f"{100 * record.fit.mean_error:.1f} % in the mean."
    )


def _largest(record: FamilyRecommendation) -> str:
    return "" if record.largest is None else f"Largest within the limits: {size_text(record.largest)}."


def _advised(record: FamilyRecommendation) -> Iterator[str]:
    """``width 96 -> 112: 16 % more parameters, 1 % more time (-2 % to 4 %); timed in turn: 2 % more``."""
    for one in record.advice:
        low, high = (f"{100 * end:+.1f} %" for end in one.interval)
        turn = "" if one.measured is None else f"; timed in turn: {_more(one.measured)} time"
        change = ", ".join(f"{name} {one.before[name]} -> {after}" for name, after in one.after.items())
        size = f"{_more(one.parameters, 'fewer')} parameters"
        yield f"{change}: {size}, {_more(one.effect)} time ({low} to {high}){turn}."


def _more(change: float, less: str = "less") -> str:
    return f"{100 * abs(change):.{0 if abs(change) >= 0.1 else 1}f} % {'more' if change >= 0 else less}"


def _table(record: FamilyRecommendation, sizes: Sequence[FamilySize]) -> Table:
    names = record.request.vary
    return Table(
        [
            Column("#", [f"{one.rank}" for one in sizes], right=True),
            *(
                Column(name, [f"{one.values[name]}" for one in sizes], right=True, told=f"{name} {{}}, ")
                for name in names
            ),
            Column(
                "parameters",
                [format_count(one.num_free_parameters) for one in sizes],
                right=True,
                told="{} parameters",
                leave_out=2,
            ),
            Column(
                "time a step", [format_quantity(one.time_per_step_s, "s") for one in sizes], right=True, told=", {}"
            ),
            Column("is", [one.label for one in sizes], told=" ({})", leave_out=4),
            Column(_ranked(record), [format_times(one.relative_cost) for one in sizes], right=True, told=", {}"),
            Column("fills", [fill_text(one.anchor) for one in sizes], whole=True, leave_out=1, told=", {}"),
        ]
    )


def _behind(record: FamilyRecommendation) -> Iterator[Block]:
    yield BLANK
    yield from device_lines(record.device)
    inputs = "; ".join(record.request.inputs)
    yield Paragraph(
        f"{record.request.target}, called with {inputs}; {counted(record.threads, 'thread')}, {_settings(record)}"
    )
    if record.candidates:
        yield BLANK
        yield reasoned(_table(record, record.candidates), [one.why for one in record.candidates])
    yield Paragraph(f"optimum of all sizes: {size_text(record.optimum)}; {record.optimum.why}", " *  ")
    yield BLANK
    yield _timed_table(record)
    low, high = record.fit.interval
    yield Paragraph(f"90 % interval of sizes that were not timed: {low:.2g} to {high:.2g} times the value.")
    yield BLANK
    yield _curve(record)


def _timed_table(record: FamilyRecommendation) -> Table:
    """The sizes that were timed, and what a fit to the others says of each."""
    timed = record.timed
    columns = [
        Column("timed", [values_text(one.values) for one in timed], folds=True),
        Column("a step", [format_quantity(one.time_per_step_s, "s") for one in timed], right=True),
        Column("by the others", [format_quantity(one.predicted_s, "s") for one in timed], right=True),
        Column("off", [f"{100 * (one.predicted_s / one.time_per_step_s - 1):+.1f} %" for one in timed], right=True),
        Column("rounds", [f"{one.rounds}" for one in timed], right=True, leave_out=1),
        Column("machine", ["quiet" if one.quiet else "busy" for one in timed], leave_out=2),
    ]
    return Table(columns, firm=True)


def _curve(record: FamilyRecommendation) -> Curve:
    """Cost over parameters, ranks of one digit on it and a star at the optimum."""
    named = ", ".join(record.request.vary)
    title = Line(f"{_ranked(record)} by number of parameters ({record.module} by {named})")
    marks = {one.num_free_parameters: f"{one.rank}" for one in record.candidates if (one.rank or 10) < 10}
    return Curve(title, curve_points(record), {**marks, record.optimum.num_free_parameters: "*"})


def curve_points(record: FamilyRecommendation) -> list[CurvePoint]:
    """The sweep as points of a curve, which other recommendations have."""
    return [
        CurvePoint(
            record.module,
            0,
            record.batch_size,
            tuple(point.values.values()),
            point.num_free_parameters,
            None,
            point.time_per_datum_s,
            point.relative_cost,
            point.levels,
        )
        for point in record.curve
    ]


def family_csv(record: FamilyRecommendation) -> str:
    """The candidates, one a row, with every field. Not known is empty."""
    stream = io.StringIO()
    writer = csv.DictWriter(stream, list(flat_row(record.optimum)), lineterminator="\n")
    writer.writeheader()
    writer.writerows(record.rows())
    return stream.getvalue()


def family_markdown(record: FamilyRecommendation) -> str:
    """The candidates as a Markdown table with their reasons."""
    names = record.request.vary
    lines = [
        f"| # | {' | '.join(names)} | parameters | fills | time a step | is | {_ranked(record)} | why |",
        f"|--:|{'--:|' * len(names)}--:|---|--:|---|--:|---|",
    ]
    for one in record.candidates:
        values = [f"{one.values[name]}" for name in names]
        time_s, cost = format_quantity(one.time_per_step_s, "s"), format_times(one.relative_cost)
        cells = [f"{one.rank}", *values, format_count(one.num_free_parameters), fill_text(one.anchor), time_s]
        lines.append(f"| {' | '.join([*cells, one.label, cost, one.why])} |")
    return "\n".join(lines)
