"""A tuning as charts: what a step's time goes into, and every lever's ratio with its interval."""

from __future__ import annotations

from collections.abc import Iterator

from sizer.base.units import format_quantity
from sizer.report.charts.figure import Axis, Chart, Guide, Point, Series, Stretch, Strip, named_rows
from sizer.report.layout import STEP_PARTS, Column, Table
from sizer.tuning.comparing import WORTH
from sizer.tuning.record import RECOMMENDED, Tuning

#: Least share of a step that is drawn and named: less reads as 0 %.
_SEEN = 0.005


def tuning_charts(record: Tuning) -> Iterator[Chart]:
    """The split, and the levers."""
    if sum(record.shares.values()) > 0:
        yield _split(record)
    if any(lever.ratio for lever in record.levers):
        yield _levers(record)


def _split(record: Tuning) -> Chart:
    step_s, begin, stretches = record.unchanged.time_per_step_s, 0.0, []
    parts = [(part, share) for part, share in record.shares.items() if share >= _SEEN]
    for shade, (part, share) in enumerate(parts):
        told = f"{STEP_PARTS[part]}: {share:.0%} of a step, {format_quantity(share * step_s, 's')}"
        stretches.append(Stretch(begin, begin + share, f"{STEP_PARTS[part]} {share:.0%}", told, shade))
        begin += share
    columns = [
        Column("part", [STEP_PARTS[part] for part, _ in parts]),
        Column("share", [f"{share:.1%}" for _, share in parts], right=True),
        Column("time", [format_quantity(share * step_s, "s") for _, share in parts], right=True),
    ]
    return Chart(
        "Where a step's time goes",
        f"The time between two steps of the optimizer, {format_quantity(step_s, 's')}, by what the script did in it.",
        Axis("share of a step", "share", log=False, within=(0.0, 1.0)),
        None,
        Table(columns),
        strips=[Strip("step", stretches)],
        label=record.label,
        shades=[stretch.text for stretch in stretches],
    )


def _levers(record: Tuning) -> Chart:
    measured = sorted((lever for lever in record.levers if lever.ratio), key=lambda lever: lever.ratio or 0.0)
    proven: list[Point] = []
    others: list[Point] = []
    for place, lever in enumerate(measured, start=1):
        low, high = lever.interval or (None, None)
        told = f"{lever.name}: {lever.ratio:.3f} times the {record.quantity}, {lever.state}; {lever.changes}"
        point = Point(lever.ratio or 0.0, -place, told, low, high)
        (proven if lever.state == RECOMMENDED else others).append(point)
    columns = [
        Column("lever", [lever.name for lever in measured]),
        Column("ratio", [f"{lever.ratio:.3f}" for lever in measured], right=True),
        Column("90 %", ["" if not one.interval else "{:.3f} to {:.3f}".format(*one.interval) for one in measured]),
        Column("became", [lever.state for lever in measured]),
    ]
    named = (("proven", proven, "dots", 1), ("not proven", others, "crosses", 2))
    return Chart(
        "What each lever makes of a step",
        f"The {record.quantity} of a step with a lever over that of the unchanged script, with the 90 % interval of a "
        "fresh pair of runs; left of the line at 1 it is cheaper, left of the other one enough to be worth a change.",
        Axis(f"times the {record.quantity} of the unchanged script", "times", within=(0.9, 1.1)),
        named_rows("lever", [lever.name for lever in measured]),
        Table(columns),
        [Series(name, points, look, colour) for name, points, look, colour in named if points],
        guides=[Guide("x", 1.0, "unchanged"), Guide("x", WORTH, "worth it")],
        label=record.label,
        rows=True,
    )
