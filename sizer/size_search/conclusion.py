"""From a search's outcome to its record: every trial with its reason, the cache edges, the trained network."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

from sizer.devices import Chosen
from sizer.method.advisor import recommend
from sizer.method.request import Request
from sizer.size_search.data.metrics import higher_is_better
from sizer.size_search.data.prepare import Prepared
from sizer.size_search.data.task import CustomTask, Task
from sizer.size_search.log import SearchFolder
from sizer.size_search.outcome import CostPoint, Outcome, SearchCandidate, TrialSummary
from sizer.size_search.result import (
    Edge,
    Fill,
    FlopsChoice,
    Pruned,
    SearchPoint,
    SearchResult,
    SearchTrial,
    Spent,
    TaskFacts,
)
from sizer.size_search.saved_network import SavedNetwork, facts_of_reading
from sizer.size_search.settings import SearchSettings
from sizer.size_search.trials.engine import Engine
from sizer.size_search.trials.slices import TrialSpec, read_checkpoint

#: The working sets whose edges are drawn below a curve.
_DRAWN = ("b", "o", "f", "t_max")


class Context(NamedTuple):
    """What a search ran on and with; ``energy_label`` says what the meter's joules are."""

    task: Task | CustomTask
    prepared: Prepared | None
    settings: SearchSettings
    folder: Path
    engine: Engine
    chosen: Chosen
    energy_label: str


def conclude(context: Context, outcome: Outcome) -> SearchResult:
    """The record of a search that has ended; prunes its winner first where that was asked for."""
    winner = outcome.trial(outcome.winner)
    notes = list(outcome.notes)
    last = _Network(winner.spec, _checkpoint(context.folder, winner.spec.name)) if winner else None
    pruned: Pruned | None = None
    if context.settings.prune and winner is not None and last is not None and last.checkpoint is not None:
        last, pruned, note = _pruned(context, winner, last)
        notes += [] if note is None else [note]
    trials = tuple(_trials(outcome))
    candidates = {candidate.name: candidate for candidate in outcome.candidates}
    coefficients = context.chosen.coefficients
    return SearchResult(
        task=_facts(context),
        settings=context.settings,
        status=outcome.status,
        device=context.chosen.device,
        label=coefficients.label,
        basis=coefficients.basis,
        quantity=outcome.quantity,
        preparation=None if context.prepared is None else context.prepared.report,
        trials=trials,
        winner=_named(trials, outcome.winner),
        best=_named(trials, outcome.best),
        spent=_spent(outcome, winner, pruned, context.energy_label),
        flops_choice=_flops_choice(outcome, candidates),
        curve=tuple(_point(point, candidates) for point in outcome.curve),
        edges=_edges(context, outcome.candidates),
        estimate=outcome.estimate,
        pruned=pruned,
        notes=tuple(notes),
        folder=context.folder,
        network=_trained(context, last),
    )


class _Network(NamedTuple):
    """A trial and its last checkpoint."""

    spec: TrialSpec
    checkpoint: bytes | None


def _checkpoint(folder: Path, trial: str) -> bytes | None:
    """The last checkpoint of a trial."""
    state = SearchFolder(folder)
    log = state.read()
    names = [] if log is None else [done.checkpoint for done in log.finished if done.trial == trial]
    return state.checkpoint(names[-1]) if names else None


def _pruned(context: Context, winner: TrialSummary, last: _Network) -> tuple[_Network, Pruned | None, str | None]:
    """The pruned network with its record; or the network as it was, with the reason."""
    from sizer.size_search.trials import pruning_search

    assert last.checkpoint is not None  # (the caller looked)
    subject = pruning_search.Winner(
        context.task, winner.spec, last.checkpoint, len(winner.epochs), context.settings.target
    )
    found = pruning_search.prune_winner(subject, context.engine, context.chosen.device, context.chosen.coefficients)
    if isinstance(found, str):
        return last, None, found
    return _Network(found.spec, found.checkpoint), found.record, None


def _facts(context: Context) -> TaskFacts:
    task = context.task
    kind, baseline = (task.kind, task.baseline_value) if isinstance(task, Task) else (None, None)
    return TaskFacts(
        source=task.name,
        kind=kind,
        metric=task.metric,
        target=context.settings.target,
        baseline=baseline,
        input_dim=task.input_dim,
        output_dim=task.output_dim,
        n_observations=task.n_observations,
    )


def _trials(outcome: Outcome) -> Iterator[SearchTrial]:
    """Trials in the order in which they began."""
    candidates = {candidate.name: candidate for candidate in outcome.candidates}
    for number, trial in enumerate(outcome.trials, start=1):
        candidate = candidates[trial.spec.name]
        losses = [epoch.validation_loss for epoch in trial.epochs]
        yield SearchTrial(
            number=number,
            name=candidate.name,
            widths=candidate.topology.widths,
            num_free_parameters=candidate.num_free_parameters,
            anchor=None if candidate.anchor is None else Fill(*candidate.anchor),
            epochs=len(trial.epochs),
            why_stopped=_why(trial, outcome),
            is_met=trial.met,
            best_value=trial.best,
            best_loss=min((loss for loss in losses if loss == loss), default=None),
            predicted_epochs=trial.predicted_epochs,
            time_s=trial.time_s,
            energy_j=trial.energy_j,
            grown_from=trial.spec.parent,
            where=trial.where,
        )


def _why(trial: TrialSummary, outcome: Outcome) -> str:
    """Why a trial was left where it was."""
    if trial.ended is not None:
        return trial.ended
    if trial.predicted_epochs is None:
        return "it is not predicted to meet the target"
    if outcome.winner is not None:
        return "another size was predicted to meet the target at less cost"
    return f"the search ended: {outcome.status}"


def _named(trials: Sequence[SearchTrial], name: str | None) -> SearchTrial | None:
    return next((trial for trial in trials if trial.name == name), None)


def _spent(outcome: Outcome, winner: TrialSummary | None, pruned: Pruned | None, energy_label: str) -> Spent:
    fine_tuning_s = 0.0 if pruned is None else pruned.fine_tuning_s
    return Spent(
        time_s=outcome.time_s + fine_tuning_s,
        energy_j=outcome.energy_j if pruned is None else None,
        winner_time_s=None if winner is None else winner.time_s,
        winner_energy_j=None if winner is None else winner.energy_j,
        energy_label=energy_label if outcome.energy_j is not None else "none",
        epochs=sum(len(trial.epochs) for trial in outcome.trials)
        + (0 if pruned is None else pruned.fine_tuning_epochs),
    )


def _label(point: CostPoint) -> str:
    return "measured" if point.measured else "estimated"


def _point(point: CostPoint, candidates: dict[str, SearchCandidate]) -> SearchPoint:
    widths = candidates[point.name].topology.widths
    return SearchPoint(point.name, widths, point.num_free_parameters, point.epochs, point.cost, _label(point))


def _flops_choice(outcome: Outcome, candidates: dict[str, SearchCandidate]) -> FlopsChoice | None:
    point = next((point for point in outcome.curve if point.name == outcome.flops_choice), None)
    if point is None:
        return None
    chosen = candidates[point.name]
    return FlopsChoice(
        point.name,
        chosen.topology.widths,
        chosen.num_free_parameters,
        chosen.flops_per_epoch,
        point.cost,
        _label(point),
    )


def _edges(context: Context, candidates: Sequence[SearchCandidate]) -> tuple[Edge, ...]:
    """Where each working set moves from one level to the next, from the family's whole sweep."""
    settings = context.settings
    request = Request(
        input_dim=context.task.input_dim,
        depth=(settings.depth,),
        output_dim=context.task.output_dim,
        batch_size=(settings.batch_size,),
        shape=(settings.shape,),
        optimizer=settings.optimizer,
    )
    largest = max(candidate.num_free_parameters for candidate in candidates)
    smallest = min(candidate.num_free_parameters for candidate in candidates)
    sweep = recommend(request, context.chosen.device, context.chosen.coefficients).curve
    edges: list[Edge] = []
    for name in _DRAWN:
        before: Edge | None = None
        for point in sweep:
            edge = Edge(name, point.levels[name], max(point.num_free_parameters, smallest))
            if point.num_free_parameters > largest:
                break
            if before is None or edge.level != before.level:
                if before is not None and before.num_free_parameters == edge.num_free_parameters:
                    edges.pop()  # a level that ends before the smallest candidate
                edges.append(edge)
                before = edge
    return tuple(edges)


def _trained(context: Context, last: _Network | None) -> SavedNetwork | None:
    """The network that predicts; None without a winner, or where only the user's training knows the weights."""
    if last is None or last.checkpoint is None or context.prepared is None:
        return None
    facts = {
        **facts_of_reading(context.prepared),
        "source": context.task.name,
        "metric": context.task.metric,
        "target": context.settings.target,
        "higher_is_better": higher_is_better(context.task.metric),
    }
    weights = read_checkpoint(last.checkpoint)["model"]
    return SavedNetwork.of_weights(context.prepared.preparation, last.spec.topology, weights, facts)
