"""A search as text for a terminal (rich renderables)."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import TYPE_CHECKING

import numpy as np
from rich.text import Text

from sizer.base.units import format_count, format_quantity, format_widths
from sizer.method.recommendation import CurvePoint
from sizer.report.layout import hanging, levels_line, plain_table
from sizer.report.text_chart import chart
from sizer.size_search.data.metrics import CLASSIFICATION
from sizer.size_search.result import SearchResult, SearchTrial

if TYPE_CHECKING:
    from rich.console import Console, RenderableType
    from rich.table import Table


#: Sizes that are drawn: more than a terminal has columns of dots.
_DRAWN = 400


def as_curve(record: SearchResult) -> tuple[list[CurvePoint], float | None]:
    """Points in order of size, their costs relative to the cheapest, and the cheapest's cost (None: no cost is known).

    Between two sizes of known cost the line is straight in the logarithms of both.
    """
    known = {point.num_free_parameters: point.cost for point in record.curve if point.cost}
    if not known:
        return [], None
    sizes = sorted(known)
    cheapest = min(known.values())
    spread = np.geomspace(sizes[0], sizes[-1], _DRAWN).round().astype(int).tolist()
    drawn = sorted({*spread, *sizes})
    logs = np.interp(np.log(drawn), np.log(sizes), [math.log(known[size] / cheapest) for size in sizes])
    return [_point(record, size, math.exp(log)) for size, log in zip(drawn, logs.tolist(), strict=True)], cheapest


def _point(record: SearchResult, size: int, relative: float) -> CurvePoint:
    levels = {edge.working_set: edge.level for edge in record.edges if edge.num_free_parameters <= size}
    settings = record.settings
    return CurvePoint(settings.shape, settings.depth, settings.batch_size, (), size, None, None, relative, levels)


#: Columns left out are named in full up to so many.
_NAMED = 6
_UNITS = {"time": "s", "energy": "J", "operations": "operations"}


def renderables(record: SearchResult, console: Console) -> Iterator[RenderableType]:
    """The data, the answer with its cost, every trial with its reason, and the curve with the cache edges."""
    width = console.width
    yield from _data(record, width)
    yield Text()
    for line in _answer(record):
        yield hanging("", line, width)
    yield Text()
    yield from _trials(record, console)
    yield from _curve(record, console)
    if record.saved is not None:
        yield hanging("", f"saved: {record.saved}", width)
    if record.folder is not None:
        yield hanging("", f"state: {record.folder}", width)


def _data(record: SearchResult, width: int) -> Iterator[RenderableType]:
    task, prepared = record.task, record.preparation
    yield Text(f"{task.source}: {_goal(record)}", style="bold")
    if prepared is not None:
        answers = f"{prepared.n_classes} classes" if prepared.kind == CLASSIFICATION else "regression"
        yield hanging(
            "",
            f"{prepared.n_train:,} rows to train, {prepared.n_validation:,} to validate ({prepared.split}); "
            f"{prepared.n_columns:,} columns as {prepared.n_features:,} features, {answers}",
            width,
        )
        if prepared.missing:
            yield hanging("missing: ", _missing(prepared.missing, prepared.n_train), width)
        if prepared.left_out:
            yield hanging("left out: ", _several([f"{name} ({reason})" for name, reason in prepared.left_out]), width)
    yield hanging("", f"{record.device.name or record.device.id}: {levels_line(record.device)}", width)


def _goal(record: SearchResult) -> str:
    task = record.task
    bound = "at least" if task.higher_is_better else "at most"
    known = "" if task.baseline is None else f" (without a network {task.baseline:.4g})"
    return f"{task.metric} of {bound} {task.target:g}{known}"


def _missing(missing: dict[str, int], n_train: int) -> str:
    """Where values were missing, the worst first."""
    worst = sorted(missing.items(), key=lambda item: -item[1])
    return _several(
        [f"{name} {count / n_train:.0%}" if count * 100 > n_train else f"{name} <1%" for name, count in worst]
    )


def _several(texts: list[str]) -> str:
    rest = len(texts) - _NAMED
    return ", ".join(texts[:_NAMED]) + (f" and {rest} more" if rest > 0 else "")


def _answer(record: SearchResult) -> Iterator[str]:
    """What was found, what it cost, and what FLOPs would have chosen."""
    spent, metric = record.spent, record.task.metric
    if record.winner is not None:
        best = record.winner
        yield f"reached: {metric} {best.best_value:.4g} by {_named(best)} after {best.epochs} epochs"
    elif record.best is not None and record.best.best_value is not None:
        yield (
            f"not reached ({record.status}): the best {metric} is {record.best.best_value:.4g}, by "
            f"{_named(record.best)} after {record.best.epochs} epochs"
        )
    else:
        yield f"not reached ({record.status})"
    if record.estimate is not None:
        yield f"estimate: {record.estimate}"
    yield f"spent: {_cost(spent.time_s, spent.energy_j)} in all{_on_winner(record)}; {_energy_words(record)}"
    if record.flops_choice is not None:
        choice = record.flops_choice
        yield (
            f"FLOPs would have chosen {format_widths(choice.widths)} ({format_count(choice.num_free_parameters)} "
            f"parameters): {_curve_cost(record, choice.cost)}, {choice.label}{_against_winner(record)}"
        )
    if record.pruned is not None:
        before, after, saving = record.pruned.before, record.pruned.after, record.pruned.measured_saving
        told = "" if saving is None else f", a forward pass takes {saving:.0%} less (measured)"
        yield (
            f"pruned: {format_widths(before.widths)} to {format_widths(after.widths)}, {metric} "
            f"{record.pruned.value_after:.4g}, parameters live in {after.level} (before: {before.level}){told}"
        )


def _named(trial: SearchTrial) -> str:
    return f"{format_widths(trial.widths)} ({format_count(trial.num_free_parameters)} parameters)"


def _cost(time_s: float, energy_j: float | None) -> str:
    time = format_quantity(time_s, "s")
    return time if energy_j is None else f"{format_quantity(energy_j, 'J')}, {time}"


def _on_winner(record: SearchResult) -> str:
    spent = record.spent
    if spent.winner_time_s is None:
        return ""
    return f", {_cost(spent.winner_time_s, spent.winner_energy_j)} on the winner"


def _energy_words(record: SearchResult) -> str:
    if record.spent.energy_j is None:
        return "time measured, energy not metered"
    return f"time measured, energy {record.spent.energy_label}"


def _curve_cost(record: SearchResult, cost: float | None) -> str:
    return "not predicted to get there" if cost is None else format_quantity(cost, _UNITS[record.quantity])


def _against_winner(record: SearchResult) -> str:
    """The winner's cost by the same prediction, so that like is compared with like."""
    winner = record.winner
    point = next((point for point in record.curve if winner is not None and point.name == winner.name), None)
    if point is None or point.cost is None:
        return ""
    return f" (the winner by the same reckoning: {_curve_cost(record, point.cost)})"


def _trials(record: SearchResult, console: Console) -> Iterator[RenderableType]:
    """A table and the reasons below it; in a terminal too narrow for the table, its cells before each reason."""
    table = _trial_table(record)
    room = console.measure(table, options=console.options.update_width(1000)).maximum
    wide = room <= console.width
    if wide:
        yield table
        yield Text()
    for trial in record.trials:
        told = "" if wide else f"{', '.join(_told(record, trial))}; "
        yield hanging(f"{trial.number:>2}  ", told + trial.why_stopped, console.width)
    yield Text()


def _trial_table(record: SearchResult) -> Table:
    table = plain_table()
    table.add_column("#", justify="right")
    table.add_column("widths", overflow="fold")
    table.add_column("parameters", justify="right")
    table.add_column("fills")
    table.add_column("epochs", justify="right")
    table.add_column(f"best {record.task.metric}", justify="right")
    table.add_column("time" if record.spent.energy_j is None else "energy", justify="right")
    for trial in record.trials:
        fill = (
            "" if trial.anchor is None else f"{trial.anchor.working_set} {trial.anchor.level} {trial.anchor.fill:.2f}x"
        )
        cells = (
            f"{trial.number}",
            format_widths(trial.widths),
            format_count(trial.num_free_parameters),
            fill,
            f"{trial.epochs}",
            "" if trial.best_value is None else f"{trial.best_value:.4g}",
            _trial_cost(record, trial),
        )
        table.add_row(*map(Text, cells))
    return table


def _trial_cost(record: SearchResult, trial: SearchTrial) -> str:
    if record.spent.energy_j is None:
        return format_quantity(trial.time_s, "s")
    return format_quantity(trial.energy_j, "J")


def _told(record: SearchResult, trial: SearchTrial) -> Iterator[str]:
    """What the table would have said, for a terminal too narrow for it."""
    yield _named(trial)
    yield f"{trial.epochs} epochs"
    if trial.best_value is not None:
        yield f"{record.task.metric} {trial.best_value:.4g}"
    yield _trial_cost(record, trial)


def _curve(record: SearchResult, console: Console) -> Iterator[RenderableType]:
    """What reaching the target costs by size, with the sizes that were tried."""
    unicode = (console.encoding or "").lower().startswith("utf")
    points, cheapest = as_curve(record)
    marks = {trial.num_free_parameters: f"{trial.number}" for trial in record.trials if trial.number < 10}
    if record.winner is not None:
        marks[record.winner.num_free_parameters] = "*"
    lines = list(chart(points, marks, min(console.width, 100), unicode))
    if not lines or cheapest is None:
        return
    winner = "" if record.winner is None else ", * the winner"
    yield hanging(
        "",
        f"cost of reaching the target by number of parameters (1x = {_curve_cost(record, cheapest)}; digits: sizes "
        f"trained{winner}; the rest is estimated)",
        console.width,
    )
    yield Text("\n".join(lines), no_wrap=True, overflow="crop")
