"""From a search that has ended to its record: each trial with its reason, the curve, the edges, the trained network."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import replace

import numpy as np

from sizer.devices import Chosen
from sizer.method.advisor import recommend
from sizer.size_search.arms import Goal, SearchCandidate
from sizer.size_search.data.metrics import higher_is_better
from sizer.size_search.data.prepare import Prepared
from sizer.size_search.data.table import Task
from sizer.size_search.ensemble_record import as_trial, record_of
from sizer.size_search.forecasts import forecast
from sizer.size_search.learning_curves import LearningCurve, hitting
from sizer.size_search.log import Epoch, LogEntry
from sizer.size_search.result import (
    Edge,
    FlopsChoice,
    Pruned,
    SearchPoint,
    SearchResult,
    SearchSlice,
    SearchStatus,
    SearchTrial,
    Spent,
    TaskFacts,
)
from sizer.size_search.search import Search, total_energy
from sizer.size_search.trained import as_saved, members_of, nearest_average, on_other_rows
from sizer.size_search.trials.trial import Engine

#: The working sets whose edges are drawn below a curve.
_DRAWN = ("b", "o", "f", "t_max")
#: More likely than not; and how far below the best value so far what is possible is looked for.
_HALF = 0.5
_HOPELESS = "it is not predicted to meet the target"


def conclude(
    search: Search,
    prepared: Prepared | None,
    engine: Engine,
    chosen: Chosen,
    energy_label: str,
    keep_best: bool = False,
) -> SearchResult:
    """The record of a search that has ended; prunes its winner first where that was asked for.

    ``chosen`` is the device that costs were predicted for; ``energy_label`` says what the meter's joules are. With
    ``keep_best`` the network is the best one where none met the target.
    """
    assert search.status is not None  # (it has ended)
    winner, best = search.winner, best_of(search)
    kept = best if winner is None and keep_best else winner
    network = None if kept is None else search.spec(kept.name)
    best_average = None if search.status == SearchStatus.REACHED else nearest_average(search)
    pruned: Pruned | str | None = None
    if winner is not None and network is not None and search.settings.prune:
        from sizer.size_search.trials.pruning_search import prune_winner

        found = prune_winner(search.task, network, len(winner.epochs), engine, chosen.device, chosen.coefficients)
        network, pruned = (network, found) if isinstance(found, str) else found
    notes = (pruned,) if isinstance(pruned, str) else ()
    if search.ensemble is not None and search.settings.prune:
        notes = ("not pruned: an average of networks met the target; --single goes on to one that can be",)
    record = pruned if isinstance(pruned, Pruned) else None
    whole = _summed_up(search, search.status, prepared, chosen, energy_label, record)
    if best_average is not None:
        whole = replace(whole, best_average=record_of(search, best_average, whole.curve))
    members = members_of(search, network, best_average if keep_best else search.ensemble)
    return replace(
        whole,
        notes=notes,
        network=as_saved(search, prepared, members),
        other_rows=on_other_rows(search, members, whole.final_value),
    )


def so_far(search: Search, prepared: Prepared | None, chosen: Chosen, energy_label: str) -> SearchResult:
    """The record of a search that is under way, without its network."""
    return _summed_up(search, SearchStatus.RUNNING, prepared, chosen, energy_label, None)


def _summed_up(
    search: Search,
    status: SearchStatus,
    prepared: Prepared | None,
    chosen: Chosen,
    energy_label: str,
    pruned: Pruned | None,
) -> SearchResult:
    winner, best = search.winner, best_of(search)
    curve = curve_of(search)
    trials = tuple(_trials(search, status.sentence))
    by_name = {trial.name: trial for trial in trials}
    average = None if search.ensemble is None else as_trial(search.ensemble, trials)
    return SearchResult(
        task=_facts(search),
        settings=search.settings,
        status=status,
        device=chosen.device,
        label=chosen.coefficients.label,
        basis=chosen.coefficients.basis,
        quantity=search.quantity,
        preparation=None if prepared is None else prepared.report,
        trials=trials,
        winner=average if winner is None else by_name[winner.name],
        best=average or (None if best is None else by_name[best.name]),
        spent=_spent(search, average if winner is None else by_name[winner.name], pruned, energy_label),
        flops_choice=_flops_choice(search, curve),
        curve=curve,
        edges=_edges(search, chosen),
        estimate=estimate_of(search, curve),
        pruned=pruned,
        notes=(),
        folder=search.folder.path,
        history=tuple(map(_slice, search.slices)),
        ensemble=None if search.ensemble is None else record_of(search, search.ensemble, curve),
    )


def _slice(entry: LogEntry) -> SearchSlice:
    values = tuple(epoch.metric if math.isfinite(epoch.metric) else None for epoch in entry.epochs)
    joules = [epoch.energy_j for epoch in entry.epochs if epoch.energy_j is not None]
    metered = tuple(joules) if len(joules) == len(values) else None
    return SearchSlice(entry.trial, values, tuple(epoch.time_s for epoch in entry.epochs), metered, entry.why)


def best_of(search: Search) -> SearchCandidate | None:
    """The size that came nearest to the best value of the metric, None where none was trained."""
    return min(search.trained, key=_nearest, default=None)


def _nearest(size: SearchCandidate) -> float:
    """The least shortfall of a size, inf where it had none."""
    return min(size.values, default=math.inf)


def curve_of(search: Search) -> tuple[SearchPoint, ...]:
    """What reaching the target costs at each size, in order of size: measured where it met it, else as forecast.

    Of a size's learning rates the cheapest counts.
    """
    by_size: dict[int, list[SearchPoint]] = {}
    for arm in sorted(search.sizes.values(), key=lambda arm: arm.num_free_parameters):
        by_size.setdefault(arm.num_free_parameters, []).append(_point(search, arm))
    return tuple(min(points, key=_known_first) for points in by_size.values())


def _known_first(point: SearchPoint) -> tuple[bool, float]:
    """Order among the rates of a size: those measured, then the cheapest."""
    return point.label != "measured", math.inf if point.cost is None else point.cost


def _point(search: Search, arm: SearchCandidate) -> SearchPoint:
    epochs = float(len(arm.epochs)) if arm.is_met else _expected_epochs(search, arm)
    cost = None if epochs is None else epochs * arm.epoch_cost
    label = "measured" if arm.is_met else "estimated"
    size = arm.topology.widths, arm.num_free_parameters
    return SearchPoint(arm.name, *size, epochs, cost, label, arm.learning_rate)


def _expected_epochs(search: Search, size: SearchCandidate) -> float | None:
    """Epochs in all that a size is more likely than not to have reached the target by, None if never."""
    sizes = tuple(search.sizes.values())
    if size.ended is not None or not any(other.values for other in sizes):
        return None
    middle = forecast(size, sizes, Goal(search.target, search.settings.max_epochs)).middle
    return len(size.values) + middle if math.isfinite(middle) else None


def _flops_choice(search: Search, curve: tuple[SearchPoint, ...]) -> FlopsChoice | None:
    """The size that the fewest FLOPs to the target would have chosen, by the same epochs."""
    reachable = [point for point in curve if point.epochs is not None]
    flops = {point.name: search.sizes[point.name].flops_per_epoch for point in reachable}
    point = min(reachable, key=lambda point: (point.epochs or 0.0) * flops[point.name], default=None)
    if point is None:
        return None
    return FlopsChoice(point.name, point.widths, point.num_free_parameters, flops[point.name], point.cost, point.label)


def estimate_of(search: Search, curve: tuple[SearchPoint, ...]) -> str | None:
    """What reaching the target would take, in words; None where it was reached or nothing was trained."""
    best = best_of(search)
    if search.status == SearchStatus.REACHED or best is None:
        return None
    if not best.values:
        return f"no training came to a finite {search.task.metric}: a smaller learning rate may"
    known = [point for point in curve if point.cost is not None]
    if known:
        point = min(known, key=lambda point: point.cost or math.inf)
        unit = {"time": "s", "energy": "J"}.get(search.quantity, "operations")
        cost = (point.cost or 0.0) * search.measured_per_predicted
        return (
            f"{point.num_free_parameters:,} parameters are predicted to meet the target after about {point.epochs:.0f} "
            f"epochs, {cost:.3g} {unit} in all{_more_than_left(search)}"
        )
    return (
        f"about {search.task.metric} {_possible(search, best):.3g} looks possible with sizes up to "
        f"{curve[-1].num_free_parameters:,} parameters; for more it takes more data, another depth, or better columns"
    )


def _possible(search: Search, best: SearchCandidate) -> float:
    """The value of the metric that the best size, as its learning curve goes, is more likely than not to come to."""
    nearest = _nearest(best)
    tried = nearest * np.geomspace(_HALF, 1.0, 50)
    found = hitting(LearningCurve(best.values), np.log(tried))
    chance = np.where(np.isfinite(found.first), 1.0, found.chances.sum(axis=-1))
    value = float(tried[np.flatnonzero(chance >= _HALF)[0]]) if (chance >= _HALF).any() else nearest
    value = max(value, search.target)  # (no size is predicted to come that far)
    return 1.0 - value if higher_is_better(search.task.metric) else value


def _more_than_left(search: Search) -> str:
    """Of a search given up before its limit was spent: that what it would take is not left."""
    limit, spent = search.limit
    if search.status != SearchStatus.UNREACHABLE or limit is None or spent is None:
        return ""
    unit = "s" if search.quantity == "time" else "J"
    return f", which is more than is left: given up after {spent:.3g} of {limit:.3g} {unit}"


def _facts(search: Search) -> TaskFacts:
    task, target = search.task, search.settings.target
    kind, baseline = (task.kind, task.baseline_value) if isinstance(task, Task) else (None, None)
    dimensions = task.input_dim, task.output_dim, task.n_observations
    return TaskFacts(task.name, kind, task.metric, target, baseline, *dimensions)


def _why_stopped(search: Search, size: SearchCandidate, otherwise: str) -> str:
    """Why an arm was trained no further."""
    if size.ended is None and search.ensemble is not None and size.name in search.ensemble.shares:
        return "it is part of the average that met the target"
    return size.ended or otherwise


def _trials(search: Search, sentence: str) -> Iterator[SearchTrial]:
    """What each arm that was trained came to, in order of size; ``sentence`` is said of those still promising."""
    for number, size in enumerate(search.trained, start=1):
        best = best_epoch(search.task.metric, size)
        predicted_epochs = _point(search, size).epochs
        yield SearchTrial(
            number=number,
            name=size.name,
            widths=size.topology.widths,
            num_free_parameters=size.num_free_parameters,
            anchor=size.anchor,
            epochs=len(size.epochs),
            why_stopped=_why_stopped(search, size, _HOPELESS if predicted_epochs is None else sentence),
            is_met=size.is_met,
            best_value=None if best is None else best.metric,
            best_loss=None if best is None else best.validation_loss,
            predicted_epochs=predicted_epochs,
            time_s=sum(epoch.time_s for epoch in size.epochs),
            energy_j=total_energy(size.epochs),
            grown_from=size.parent,
            where=size.where,
            weights=None if best is None else best.weights,
            learning_rate=size.learning_rate,
        )


def best_epoch(metric: str, size: SearchCandidate) -> Epoch | None:
    """The epoch that stands for a size: the one that met the target, else the best by the rows that choose."""
    known = [epoch for epoch in size.epochs if math.isfinite(epoch.metric)]
    if size.is_met:
        return known[-1]
    return min(known, key=lambda epoch: epoch.standing(metric), default=None)


def _spent(search: Search, winner: SearchTrial | None, pruned: Pruned | None, energy_label: str) -> Spent:
    return Spent(
        time_s=search.time_s + (0.0 if pruned is None else pruned.fine_tuning_s),
        energy_j=search.energy_j if pruned is None else None,
        winner_time_s=None if winner is None else winner.time_s,
        winner_energy_j=None if winner is None else winner.energy_j,
        energy_label=energy_label if search.energy_j is not None else "none",
        epochs=sum(len(size.epochs) for size in search.trained) + (0 if pruned is None else pruned.fine_tuning_epochs),
    )


def _edges(search: Search, chosen: Chosen) -> tuple[Edge, ...]:
    """Where each working set moves from one level to the next, from the family's whole sweep."""
    request = search.settings.request(search.task.input_dim, search.task.output_dim)
    sweep = recommend(request, chosen.device, chosen.coefficients).curve
    sizes = [size.num_free_parameters for size in search.sizes.values()]
    within = [point for point in sweep if point.num_free_parameters <= max(sizes)]
    edges: list[Edge] = []
    for name in _DRAWN:
        last: dict[int, Edge] = {}  # (a level that ends before the smallest candidate gives way to the next)
        level: str | None = ""
        for point in within:
            if point.levels[name] != level:
                level = point.levels[name]
                smallest = max(point.num_free_parameters, min(sizes))
                last[smallest] = Edge(name, level, smallest)
        edges += last.values()
    return tuple(edges)
