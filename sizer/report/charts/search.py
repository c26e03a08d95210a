"""A search: every size's curve over what was spent, and what reaching the target costs by size."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple

from sizer.base.units import counted, format_count, format_network, format_quantity, format_widths
from sizer.report.charts.figure import Axis, Chart, Guide, Mark, Point, Series, Stretch, Strip, drawable, spread
from sizer.report.charts.sizes import PARAMETERS, level_strips
from sizer.report.layout import Column, Table
from sizer.report.search import as_curve, origin
from sizer.size_search.result import SearchResult, SearchTrial

#: Sizes with a colour of their own; the colour of the others.
_COLOURED, _OTHERS = 6, 7
#: From how many times the first epoch's cost on an axis of costs is logarithmic.
_WIDE = 50
#: Turns that are drawn; all of them are in the record.
_TURNS = 120
_UNITS = {"time": "s", "energy": "J", "operations": ""}


def search_charts(record: SearchResult) -> Iterator[Chart]:
    """The curves of what was trained, and the cost by size."""
    yield from _curves(record)
    yield from _decisions(record)
    yield from _costs(record)


class _Epoch(NamedTuple):
    """An epoch of a trial: its number there, the metric after it, and what the search had spent by then."""

    number: int
    value: float
    spent: float


def _curves(record: SearchResult) -> Iterator[Chart]:
    """Every trial's metric over what the search had spent, with the moment when each was first chosen."""
    epochs, unit = _epochs(record)
    trials = {trial.name: trial for trial in record.trials}
    begun = [trials[name] for name in epochs if name in trials and epochs[name]]
    if not begun:
        return
    colours = _colours(record, begun)
    target = record.task.target
    known = [epoch for trial in begun for epoch in epochs[trial.name]]
    of_loss = min(target, *(epoch.value for epoch in known)) > 0 and not record.task.higher_is_better
    spent = [epoch.spent for epoch in known]
    wide = drawable(spent) and max(spent) > _WIDE * min(spent)
    bound = "at least" if record.task.higher_is_better else "at most"
    yield Chart(
        "What each size reached, over what was spent",
        f"The {record.task.metric} on the validation rows after each epoch of each size, over the time or energy that "
        "the whole search had spent by then; a size waits while others are trained. A number stands where a size was "
        "first chosen.",
        Axis("time spent by the search" if unit == "s" else "energy spent by the search", unit, log=wide),
        Axis(record.task.metric, log=of_loss, within=(target,)),
        _trial_table(record, unit),
        [_trial_series(record, trial, epochs[trial.name], unit, colours.get(trial.name)) for trial in begun],
        marks=[_chosen_mark(trial, epochs[trial.name][0], unit) for trial in begun],
        guides=[Guide("y", target, f"target: {bound} {target:g}")],
        label="measured",
    )


class _Turn(NamedTuple):
    """Slices of one trial on end: what was spent before and after, the epochs, the last value, why it was chosen."""

    trial: str
    before: float
    after: float
    epochs: int
    value: float | None
    why: str


def _turns(record: SearchResult) -> list[_Turn]:
    """The slices in order, those of one trial that follow on one another for the same reason as one."""
    metered = _is_metered(record)
    turns: list[_Turn] = []
    spent = 0.0
    for each in record.history:
        cost = sum((each.energy_j if metered else each.time_s) or ())
        value, why = each.values[-1] if each.values else None, each.why or ""
        turn = _Turn(each.trial, spent, spent + cost, len(each.values), value, why)
        spent += cost
        if turns and turns[-1].trial == turn.trial:
            first = turns.pop()
            turn = turn._replace(before=first.before, epochs=first.epochs + turn.epochs, why=first.why)
        turns.append(turn)
    return turns


def _decisions(record: SearchResult) -> Iterator[Chart]:
    """When which trial was chosen, and why: a row for each, in the order in which they were begun."""
    turns = _turns(record)
    if len(turns) < 2 or not any(turn.why for turn in turns):
        return
    trials = {trial.name: trial for trial in record.trials}
    named = {name: f"{trials[name].number}: {format_widths(trials[name].widths)}" for name in trials}
    unit = "J" if _is_metered(record) else "s"
    wide = turns[-1].after > _WIDE * turns[0].after
    nearest = turns[0].after / 2 if wide else 0.0  # (no logarithm of nothing)
    rows: dict[str, list[Stretch]] = {}
    drawn = set(spread(len(turns), _TURNS))
    for number, turn in enumerate(turns):
        if turn.trial in named and number in drawn:
            rows.setdefault(turn.trial, []).append(_turn_box(turn, nearest, unit))
    yield Chart(
        "Which size was chosen when, and why",
        "A row for each size and learning rate in the order in which they were begun, over what the whole search had "
        "spent; a box is a turn of one of them, with the reason why it was chosen then.",
        Axis("time spent by the search" if unit == "s" else "energy spent by the search", unit, log=wide),
        None,
        _turn_table(turns, named, record.task.metric, unit),
        strips=[Strip(f"{named[name]}{_at_rate(record, trials[name])}", boxes) for name, boxes in rows.items()],
        label="measured",
    )


def _turn_box(turn: _Turn, nearest: float, unit: str) -> Stretch:
    at, why = format_quantity(turn.before, unit), turn.why or "reason not noted"
    return Stretch(
        max(turn.before, nearest), turn.after, "", f"from {at} on, {counted(turn.epochs, 'epoch')}: {why}", 2
    )


def _turn_table(turns: Sequence[_Turn], named: Mapping[str, str], metric: str, unit: str) -> Table:
    columns = [
        Column("spent before", [format_quantity(turn.before, unit) for turn in turns], right=True),
        Column("trial", [named.get(turn.trial, turn.trial) for turn in turns]),
        Column("epochs", [f"{turn.epochs}" for turn in turns], right=True),
        Column(f"{metric} then", ["" if turn.value is None else f"{turn.value:.4g}" for turn in turns], right=True),
        Column("why", [turn.why for turn in turns]),
    ]
    return Table(columns)


def _is_metered(record: SearchResult) -> bool:
    return bool(record.history) and all(each.energy_j is not None for each in record.history)


def _epochs(record: SearchResult) -> tuple[dict[str, list[_Epoch]], str]:
    """The epochs of each trial, in the order in which trials were begun, and the unit of what they cost."""
    metered = _is_metered(record)
    found: dict[str, list[_Epoch]] = {}
    done: dict[str, int] = {}
    spent = 0.0
    for each in record.history:
        costs = each.energy_j if metered else each.time_s
        for value, cost in zip(each.values, costs or (), strict=False):
            spent += cost
            done[each.trial] = done.get(each.trial, 0) + 1
            if value is not None:
                found.setdefault(each.trial, []).append(_Epoch(done[each.trial], value, spent))
    return found, "J" if metered else "s"


def _colours(record: SearchResult, begun: Sequence[SearchTrial]) -> dict[str, int]:
    """A colour for what won, a trial or the members of an average, and for those that had most epochs."""
    won = _winners(record)
    chosen = sorted(begun, key=lambda trial: (trial.name not in won, -trial.epochs))[:_COLOURED]
    return {trial.name: number for number, trial in enumerate(chosen, start=1)}


def _trial_series(
    record: SearchResult, trial: SearchTrial, epochs: Sequence[_Epoch], unit: str, colour: int | None
) -> Series:
    named = f"trial {trial.number}, {format_network(trial.widths, trial.num_free_parameters)}{_at_rate(record, trial)}"
    points = [
        Point(
            epoch.spent,
            epoch.value,
            f"{named}, epoch {epoch.number}: {record.task.metric} {epoch.value:.5g}, "
            f"{format_quantity(epoch.spent, unit)} spent in all",
        )
        for epoch in epochs
    ]
    if colour is None:
        return Series("others", points, colour=_OTHERS, faint=True)
    won = "" if trial.name not in _winners(record) else ", the winner" if record.ensemble is None else ", averaged in"
    return Series(f"{trial.number}: {format_widths(trial.widths)}{_at_rate(record, trial)}{won}", points, colour=colour)


def _winners(record: SearchResult) -> set[str]:
    """Names of the trials that met the target, alone or as members of an average."""
    if record.ensemble is not None:
        return {member.name for member in record.ensemble.members}
    return set() if record.winner is None else {record.winner.name}


def _at_rate(record: SearchResult, trial: SearchTrial) -> str:
    """The learning rate, where the trials differ in it."""
    rates = {each.learning_rate for each in record.trials}
    return f" at {trial.learning_rate:g}" if len(rates) > 1 and trial.learning_rate is not None else ""


def _chosen_mark(trial: SearchTrial, first: _Epoch, unit: str) -> Mark:
    """Where a trial was begun, and how it ended."""
    at = format_quantity(first.spent, unit)
    told = f"trial {trial.number} was begun, {at} spent with its first epoch; {counted(trial.epochs, 'epoch')} in all"
    return Mark(first.spent, first.value, f"{trial.number}", f"{told}, until {trial.why_stopped}")


def _trial_table(record: SearchResult, unit: str) -> Table:
    trials, metric = record.trials, record.task.metric
    costs = [trial.energy_j if unit == "J" else trial.time_s for trial in trials]
    columns = [
        Column("trial", [f"{trial.number}" for trial in trials], right=True),
        Column("widths", [format_widths(trial.widths) for trial in trials]),
        Column("parameters", [format_count(trial.num_free_parameters) for trial in trials], right=True),
        Column("rate", ["" if t.learning_rate is None else f"{t.learning_rate:g}" for t in trials], right=True),
        Column("epochs", [f"{trial.epochs}" for trial in trials], right=True),
        Column(
            f"best {metric}", [f"{t.best_value:.5g}" if t.best_value is not None else "" for t in trials], right=True
        ),
        Column("spent", [format_quantity(cost, unit) for cost in costs], right=True),
        Column("weights", [trial.weights or "" for trial in trials]),
        Column("ended", [trial.why_stopped + origin(trial, record) for trial in trials]),
    ]
    return Table(columns)


def _costs(record: SearchResult) -> Iterator[Chart]:
    """What reaching the target costs by size: measured where a size met it, estimated else."""
    known = sorted((point for point in record.curve if point.cost), key=lambda point: point.num_free_parameters)
    if len(known) < 2 or not drawable(point.cost for point in known):
        return
    unit = _UNITS[record.quantity]
    points = [
        Point(
            point.num_free_parameters,
            point.cost or 0.0,
            f"{format_network(point.widths, point.num_free_parameters)}: {format_quantity(point.cost, unit)} to the "
            f"target, {point.label}",
        )
        for point in known
    ]
    edges, _ = as_curve(record)
    levels = [level.name for level in record.device.sizing_levels()]
    columns = [
        Column("parameters", [format_count(point.num_free_parameters) for point in known], right=True),
        Column("widths", [format_widths(point.widths) for point in known]),
        Column("cost", [format_quantity(point.cost, unit) for point in known], right=True),
        Column("", [point.label for point in known]),
    ]
    yield Chart(
        "Cost of reaching the target by size",
        "What training each size to the target costs: measured where one was trained until it met it, estimated for "
        "the others. The winner is starred. Below, the memory level on which each working set lives.",
        PARAMETERS,
        Axis(f"{record.quantity} to the target", unit),
        Table(columns),
        [Series("cost to the target", points), *_trained_dots(record, known)],
        marks=list(_choices(record, known)),
        strips=level_strips(edges, levels) if edges and edges[0].levels else [],
        label=" and ".join(dict.fromkeys(point.label for point in known)),
    )


def _trained_dots(record: SearchResult, known: Sequence[Any]) -> Iterator[Series]:
    costs = {point.num_free_parameters: point for point in known}
    trained = [
        Point(point.num_free_parameters, point.cost, f"trial {trial.number}: {trial.why_stopped}")
        for trial in record.trials
        if (point := costs.get(trial.num_free_parameters)) is not None
    ]
    if trained:
        yield Series("trained", trained, "dots", 2)


def _choices(record: SearchResult, known: Sequence[Any]) -> Iterator[Mark]:
    """The winner, and what FLOPs would have chosen."""
    costs = {point.num_free_parameters: point.cost for point in known}
    unit, winner, choice = _UNITS[record.quantity], record.winner, record.flops_choice
    if winner is not None and winner.num_free_parameters in costs:
        cost = costs[winner.num_free_parameters]
        named = format_network(winner.widths, winner.num_free_parameters)
        told = f"the winner: {named}, {format_quantity(cost, unit)} to the target"
        yield Mark(winner.num_free_parameters, cost, "winner", told, "star")
    if choice is not None and choice.cost is not None and (winner is None or choice.name != winner.name):
        named = format_network(choice.widths, choice.num_free_parameters)
        told = f"the fewest FLOPs: {named}, {format_quantity(choice.cost, unit)} to the target, {choice.label}"
        yield Mark(choice.num_free_parameters, choice.cost, "fewest FLOPs", told)
