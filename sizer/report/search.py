"""A search as a report, and its points as a curve."""

from __future__ import annotations

import math
from collections.abc import Iterator

import numpy as np

from sizer.base.units import counted, format_count, format_network, format_quantity, format_widths
from sizer.method.recommendation import CurvePoint
from sizer.report.layout import BLANK, Block, Column, Curve, Line, More, Paragraph, Table, levels_text
from sizer.report.recommendation import fill_text
from sizer.size_search.data.metrics import CLASSIFICATION
from sizer.size_search.result import Ensemble, SearchResult, SearchStatus, SearchTrial

#: Sizes that are drawn: more than a terminal has columns of dots.
_DRAWN = 400
#: Columns left out are named in full up to so many.
_NAMED = 6
#: An r2 nearer to 0 than this is 0.00.
_ZERO = 0.05
_UNITS = {"time": "s", "energy": "J", "operations": "operations"}


def search_report(record: SearchResult) -> Iterator[Block]:
    """The answer with its cost and what to do next, a row for each size trained; behind it data, curve and state."""
    yield from _answer(record)
    yield BLANK
    yield _trial_table(record)
    yield More(list(_details(record)), "the data, the curve of cost against size, the choice by FLOPs")


def _details(record: SearchResult) -> Iterator[Block]:
    yield BLANK
    yield from _data(record)
    yield from map(Paragraph, _beside(record))
    yield BLANK
    yield from _curve(record)
    if record.folder is not None:
        yield Paragraph(f"{record.folder}", "state: ")


def _data(record: SearchResult) -> Iterator[Block]:
    task, prepared = record.task, record.preparation
    yield Line(f"{task.source}", strong=True)
    if prepared is not None:
        answers = f"{prepared.n_classes} classes" if prepared.kind == CLASSIFICATION else "regression"
        yield Paragraph(
            f"{counted(prepared.n_train, 'row')} to train, {prepared.n_validation:,} to validate ({prepared.split}); "
            f"{counted(prepared.n_columns, 'column')} as {counted(prepared.n_features, 'feature')}, {answers}"
        )
        if prepared.missing:
            yield Paragraph(_missing(prepared.missing, prepared.n_train), "missing: ")
        if prepared.left_out:
            yield Paragraph(_several([f"{name} ({reason})" for name, reason in prepared.left_out]), "left out: ")
    yield Paragraph(f"{record.device.name or record.device.id}: {levels_text(record.device)}")


def _missing(missing: dict[str, int], n_train: int) -> str:
    """Where values were missing, the worst first."""
    worst = sorted(missing.items(), key=lambda item: -item[1])
    return _several(
        [f"{name} {count / n_train:.0%}" if count * 100 > n_train else f"{name} <1%" for name, count in worst]
    )


def _several(texts: list[str]) -> str:
    rest = len(texts) - _NAMED
    return ", ".join(texts[:_NAMED]) + (f" and {rest} more" if rest > 0 else "")


def _answer(record: SearchResult) -> Iterator[Block]:
    """What was found, or how near it came and why not nearer; what it cost; how to use it."""
    task, best = record.task, record.winner or record.best
    bound = "at least" if task.higher_is_better else "at most"
    asked = f"{task.metric} of {bound} {task.target:g}"
    if best is None or best.best_value is None:
        yield Paragraph(f"{_not_reached(record)}: {asked}; nothing was trained", strong=True)
    elif record.winner is not None:
        yield Paragraph(f"Reached {asked}: {best.best_value:.4g} with {_winner(record, best)}", strong=True)
    else:
        found = f"the best is {best.best_value:.4g}, with {_named(best)}{_how(record, best)}"
        yield Paragraph(f"{_not_reached(record)}: {asked}; {found}", strong=True)
    if record.estimate is not None:
        yield Paragraph(f"{record.estimate[0].upper()}{record.estimate[1:]}.", "  ")
    if (average := record.best_average) is not None:
        count = f"The average of {len(average.members)} networks that were trained comes nearer"
        saves = " (--save-best saves it)" if record.saved is None else ""
        yield Paragraph(f"{count}: {average.value:.4g}{saves}.", "  ")
    if record.saved is not None:
        yield Paragraph(f"Saved: `sizer predict {record.saved} new.csv`, in Python:", "  ")
        yield Line(f'  network = sizer.load("{record.saved}"); network.predict(table)')
    yield Paragraph(_spent(record), "  ")
    if record.ensemble is not None and record.ensemble.single is not None:
        yield Paragraph(f"One network instead (--single): {record.ensemble.single}.", "  ")
    yield from _beside_the_answer(record)


def _beside_the_answer(record: SearchResult) -> Iterator[Block]:
    """What pruning did, what to expect of other rows, and what there is without a network."""
    task = record.task
    if (pruned := record.pruned) is not None:
        before, after, saving = pruned.before, pruned.after, pruned.measured_saving
        told = "" if saving is None else f", a forward pass takes {saving:.0%} less (measured)"
        yield Paragraph(
            f"Pruned {format_widths(before.widths)} to {format_widths(after.widths)}: {task.metric} "
            f"{pruned.value_after:.4g}, weights live in {after.level} (before: {before.level}){told}.",
            "  ",
        )
    if (expected := record.other_rows) is not None:
        between = f"{expected.low:.4g} to {expected.high:.4g}"
        yield Paragraph(
            f"On other rows of the same kind expect {between} (90 %, from {expected.n_rows:,} validation rows).", "  "
        )
    if task.baseline is not None:
        yield Paragraph(f"Without a network: {task.metric} {_baseline(task.metric, task.baseline)}.", "  ")


def _baseline(metric: str, value: float) -> str:
    """What predicting the mean gives: an r2 of 0.00, whose last digits only say how the two parts' means differ."""
    return "0.00" if metric == "r2" and abs(value) < _ZERO else f"{value:.4g}"


def _beside(record: SearchResult) -> Iterator[str]:
    """The members of an average, and what FLOPs would have chosen beside the winner."""
    if (average := record.ensemble or record.best_average) is not None:
        yield from _ensemble(average)
    if (choice := record.flops_choice) is not None:
        cost = f"{_curve_cost(record, choice.cost)}, {choice.label}{_against_winner(record)}"
        yield f"FLOPs would have chosen {format_network(choice.widths, choice.num_free_parameters)}: {cost}"


def _not_reached(record: SearchResult) -> str:
    if record.status == SearchStatus.RUNNING:
        return "Under way, not reached yet"
    return "Not reached" if record.status == SearchStatus.UNREACHABLE else f"Not reached ({record.status})"


def _winner(record: SearchResult, winner: SearchTrial) -> str:
    """What met the target, in words."""
    if record.ensemble is None:
        return f"{_named(winner)} after {winner.epochs} epoch{'' if winner.epochs == 1 else 's'}{_how(record, winner)}"
    return f"the average of {len(record.ensemble.members)} networks, {counted(winner.num_free_parameters, 'parameter')}"


def _how(record: SearchResult, trial: SearchTrial) -> str:
    """The learning rate where it was searched for, and which weights, where these are not the raw ones."""
    rate = "" if record.settings.pinned_rate is not None else f", learning rate {trial.learning_rate:g}"
    return rate + (", weights averaged" if trial.weights == "averaged" else "")


def _ensemble(ensemble: Ensemble) -> Iterator[str]:
    """Its members with their shares, what predicting with it costs, and what a single network would take."""
    members = [
        f"{member.share:.0%} {format_network(member.widths, member.num_free_parameters)} at {member.learning_rate:g} "
        f"(epoch {member.epoch})"
        for member in ensemble.members
    ]
    measured = "" if ensemble.measured_ratio is None else f", {ensemble.measured_ratio:.1f} times the time (measured)"
    yield f"averaged: {', '.join(members)}"
    yield f"predicting takes {ensemble.inference_ratio:.1f} times the FLOPs of the first of them{measured}"


def _spent(record: SearchResult) -> str:
    spent = record.spent
    text = f"Training took {_cost(spent.time_s, spent.energy_j)}"
    if spent.winner_time_s is not None:
        text += f", {_cost(spent.winner_time_s, spent.winner_energy_j)} of it on the winner"
    text += " (time measured)" if spent.energy_j is None else f" (time measured, energy {spent.energy_label})"
    if spent.wall_time_s is not None:
        text += f"; this call took {format_quantity(spent.wall_time_s, 's')} in all"
    if spent.is_reused:
        text += ". The search had ended before and was reused; --fresh starts it anew"
    return f"{text}."


def _cost(time_s: float, energy_j: float | None) -> str:
    time = format_quantity(time_s, "s")
    return time if energy_j is None else f"{format_quantity(energy_j, 'J')}, {time}"


def _named(trial: SearchTrial) -> str:
    return format_network(trial.widths, trial.num_free_parameters)


def _curve_cost(record: SearchResult, cost: float | None) -> str:
    return "not predicted to get there" if cost is None else format_quantity(cost, _UNITS[record.quantity])


def _against_winner(record: SearchResult) -> str:
    """The winner's cost by the same prediction, so that like is compared with like."""
    winner = record.winner
    point = next((point for point in record.curve if winner is not None and point.name == winner.name), None)
    if point is None or point.cost is None:
        return ""
    return f" (the winner by the same reckoning: {_curve_cost(record, point.cost)})"


def _trial_table(record: SearchResult) -> Table:
    """A row for each size that was trained; why it stopped stands at the end."""
    trials, metric = record.trials, record.task.metric
    values = ["" if trial.best_value is None else f"{trial.best_value:.4g}" for trial in trials]
    if record.spent.energy_j is None:
        cost, costs = "time", [format_quantity(trial.time_s, "s") for trial in trials]
    else:
        cost, costs = "energy", [format_quantity(trial.energy_j, "J") for trial in trials]
    counts = [format_count(trial.num_free_parameters) for trial in trials]
    stopped = [trial.why_stopped.removeprefix("it ") + origin(trial, record) for trial in trials]
    columns = [
        Column("#", [f"{trial.number}" for trial in trials], right=True),
        Column("widths", [format_widths(trial.widths) for trial in trials], folds=True),
        Column("parameters", counts, right=True, leave_out=1),
        *_rates(record),
        Column("fills", [fill_text(trial.anchor) for trial in trials], whole=True, leave_out=4),
        Column("epochs", [f"{trial.epochs}" for trial in trials], right=True, leave_out=3),
        Column(f"best {metric}", values, right=True),
        Column(cost, costs, right=True),
        Column("stopped", stopped),
    ]
    return Table(columns)


def origin(trial: SearchTrial, record: SearchResult) -> str:
    """The row of the trial whose weights a trial began with; empty where it began with fresh ones."""
    parent = next((other for other in record.trials if other.name == trial.grown_from), None)
    return "" if parent is None else f"; grew from {parent.number}"


def _rates(record: SearchResult) -> list[Column]:
    """The learning rates, where they were searched for."""
    if record.settings.pinned_rate is not None:
        return []
    return [Column("rate", [f"{trial.learning_rate:g}" for trial in record.trials], right=True, told=" at {}")]


def _curve(record: SearchResult) -> Iterator[Block]:
    """What reaching the target costs by size, with the sizes that were tried."""
    points, cheapest = as_curve(record)
    if cheapest is None:
        return
    marks = {trial.num_free_parameters: f"{trial.number}" for trial in record.trials if trial.number < 10}
    winner = ""
    if record.winner is not None and record.ensemble is None:
        marks[record.winner.num_free_parameters] = "*"
        winner = ", * the winner"
    title = (
        f"cost of reaching the target by number of parameters (1x = {_curve_cost(record, cheapest)}; digits: sizes "
        f"trained{winner}; the rest is estimated)"
    )
    yield Curve(Paragraph(title), points, marks)


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
