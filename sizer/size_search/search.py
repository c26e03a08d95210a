"""A search from its start, or from where it was interrupted, to its end.

Rounds: decide from the log which slices come next, note that, run them, note what they did. Decisions depend on the log
alone: predicted costs are in its first line, losses in the others. Measured times matter only to the limits.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

from sizer.base.units import format_quantity
from sizer.detection.usable_gpu import check_usable
from sizer.devices import Chosen, Predicted, choose, trains_on
from sizer.method.epochs_to_loss import relative_epochs
from sizer.size_search.candidates import candidate_sizes, first_size
from sizer.size_search.data.task import CustomTask, Task
from sizer.size_search.log import LOG_FORMAT, SearchFolder, check_same, fingerprint
from sizer.size_search.outcome import OUT_OF_ENERGY, OUT_OF_TIME, REACHED, UNREACHABLE, Outcome, SearchCandidate
from sizer.size_search.policy import Decision, Goal, decide, decide_exploring
from sizer.size_search.progress import Tally, sum_up
from sizer.size_search.settings import SearchSettings
from sizer.size_search.trials.engine import Engine
from sizer.size_search.trials.slices import Slice

#: Told a sentence and the share of the work done, 0 to 1, None where it is not known.
Progress = Callable[[str, float | None], None]


def run_search(
    task: Task | CustomTask, settings: SearchSettings, folder: Path, engine: Engine, progress: Progress | None = None
) -> Outcome:
    """Run a search in its folder, going on where it was interrupted.

    Raises UsageError when the folder holds a search for something else or cannot be written.
    """
    state = SearchFolder(folder)
    with state.held():
        search = _begin(task, settings, state, progress)
        status = search.run(engine)
        return sum_up(search.tally, status)


def _begin(
    task: Task | CustomTask, settings: SearchSettings, state: SearchFolder, progress: Progress | None
) -> _Search:
    """A new search, or the one that the folder holds."""
    log = state.read()
    if log is None:
        state.append(_header(task, settings))
        log = state.read()
        assert log is not None  # (it was just written)
    check_same(log.header, settings.to_dict(), fingerprint(task), state.path)
    check_usable(str(log.header["device"]))
    tally = Tally(log.header, settings)
    for done in log.finished:
        tally.add(done)
    return _Search(state, tally, list(log.open_round), progress)


def where_to_train(task: Task | CustomTask, settings: SearchSettings) -> Chosen:
    """The device that trains: the one named, else that on which the first size is cheaper to train."""

    def cost(one: Chosen) -> Predicted:
        first = first_size(_candidates(task, settings, one))
        unit = "J" if one.coefficients.quantity == "energy" else "s"
        to_loss = first.epoch_cost * float(relative_epochs(first.topology.num_free_parameters))
        return Predicted(to_loss, f"{format_quantity(first.epoch_cost, unit)} an epoch")

    return trains_on(settings.device, settings.threads, cost)


def _candidates(task: Task | CustomTask, settings: SearchSettings, priced: Chosen) -> tuple[SearchCandidate, ...]:
    validation = len(task.validation_targets) if isinstance(task, Task) else 0
    sizes = task.input_dim, task.output_dim, task.n_observations, validation
    return candidate_sizes(*sizes, settings, priced.device, priced.coefficients)


def _header(task: Task | CustomTask, settings: SearchSettings) -> dict[str, Any]:
    """The log's first line: what is searched for, among which sizes, at which predicted cost."""
    where = where_to_train(task, settings)
    priced = where if settings.priced_for is None else choose(settings.priced_for, threads=settings.threads)
    candidates = _candidates(task, settings, priced)
    known = priced.coefficients.source != "none"
    return {
        "event": "start",
        "format": LOG_FORMAT,
        "task": fingerprint(task),
        "metric": task.metric,
        "input_dim": task.input_dim,
        "baseline": task.baseline_value if isinstance(task, Task) else None,
        "settings": settings.to_dict(),
        "device": where.device.id,
        "quantity": priced.coefficients.quantity if known else "operations",
        "first": first_size(candidates).name,
        "candidates": [_entry(candidate) for candidate in candidates],
    }


def _entry(candidate: SearchCandidate) -> dict[str, Any]:
    return {
        "name": candidate.name,
        "widths": list(candidate.topology.widths),
        "epoch_cost": candidate.epoch_cost,
        "flops_per_epoch": candidate.flops_per_epoch,
        "anchor": candidate.anchor,
        "relative_cost": candidate.relative_cost,
    }


class _Search:
    """A search under way: what it knows, and the slices that were decided on and not run yet."""

    def __init__(
        self, state: SearchFolder, tally: Tally, open_round: list[tuple[str, int]], progress: Progress | None
    ) -> None:
        self.tally = tally
        self._state = state
        self._settings = tally.settings
        self._open_round = open_round
        self._progress = progress

    def run(self, engine: Engine) -> str:
        """Go on until the search has ended; how it did."""
        while True:
            status = self._status()
            if status is not None:
                return status
            if not self._open_round:
                decisions = self._decide(self.tally.goal())
                if not decisions:
                    return self._given_up()
                self._state.append({"event": "round", "slices": [list(decision) for decision in decisions]})
                self._open_round = [(decision.name, decision.epochs) for decision in decisions]
            self._run_round(engine)

    def _given_up(self) -> str:
        """How a search ended in which no size is predicted to meet the target: within the limits, or at all."""
        if self.tally.winner() is not None:
            return REACHED
        if not self._decide(self.tally.goal()._replace(budget=math.inf)):
            return UNREACHABLE
        return OUT_OF_TIME if self.tally.quantity == "time" else OUT_OF_ENERGY

    def _status(self) -> str | None:
        """Why the search is over, None while it goes on. A round that was decided on is finished first."""
        limits = self._settings
        if self._open_round:
            return None
        if self.tally.winner() is not None and not limits.explore:
            return REACHED
        energy_j = self.tally.energy_j
        out = None
        if limits.max_time_s is not None and self.tally.time_s >= limits.max_time_s:
            out = OUT_OF_TIME
        if limits.max_energy_j is not None and energy_j is not None and energy_j >= limits.max_energy_j:
            out = OUT_OF_ENERGY
        return REACHED if out is not None and self.tally.winner() is not None else out

    def _decide(self, goal: Goal) -> list[Decision]:
        arms, parallel = self.tally.arms(), self._settings.parallel
        if self.tally.winner() is not None:
            return decide_exploring(arms, goal, parallel)
        return decide(arms, goal, self.tally.first, parallel)

    def _run_round(self, engine: Engine) -> None:
        """Run the slices of a round and note each as its result comes, in the order in which they were decided."""
        for name, epochs in self._open_round:
            engine.submit(self._slice(name, epochs))
        while self._open_round:
            name, _ = self._open_round[0]
            self._tell(name)
            trial = self.tally.trials[name]
            done = self._state.keep(name, engine.collect(), trial.checkpoint, self.tally.spec(name).parent)
            self.tally.add(done)
            self._open_round.pop(0)

    def _slice(self, name: str, epochs: int) -> Slice:
        spec = self.tally.spec(name)
        trial = self.tally.trials[name]
        grows = not trial.epochs and spec.parent is not None
        parent = self.tally.trials[spec.parent].checkpoint if grows and spec.parent is not None else None
        return Slice(
            spec,
            epochs,
            self._settings.target,
            self._state.checkpoint(trial.checkpoint),
            self._state.checkpoint(parent),
        )

    def _tell(self, name: str) -> None:
        if self._progress is None:
            return
        trial = self.tally.trials[name]
        last = f", {self.tally.metric} {trial.epochs[-1].metric:.4g}" if trial.epochs else ""
        share = None
        if self._settings.max_time_s is not None:
            share = min(1.0, self.tally.time_s / self._settings.max_time_s)
        parameters = trial.candidate.num_free_parameters
        self._progress(f"{parameters:,} parameters, epoch {len(trial.epochs) + 1}{last}", share)
