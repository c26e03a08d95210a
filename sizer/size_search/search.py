"""A search from its start, or from where it was interrupted, to its end.

Rounds: decide from the log which slices come next (`policy`), note that, run them, note what they did. Decisions depend
on the log, with predicted costs in its first line and losses in the others, and on predictions that checkpoints hold.
Measured times matter only to the limits.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from sizer.base.progress import Progress
from sizer.base.units import counted, format_quantity
from sizer.detection.gpu_device import check_usable
from sizer.devices import Chosen, Predicted, choose, trains_on
from sizer.method.recommendation import Anchor
from sizer.models.topology import Topology
from sizer.size_search.arms import Goal, SearchCandidate
from sizer.size_search.candidates import candidate_sizes, first_arm
from sizer.size_search.data.halves import is_reached, worse_of
from sizer.size_search.data.metrics import shortfall
from sizer.size_search.data.table import CustomTask, Task
from sizer.size_search.ensembles import Selection
from sizer.size_search.forecasts import law_epochs
from sizer.size_search.library import Library
from sizer.size_search.log import LOG_FORMAT, Epoch, LogEntry, Planned, SearchFolder, check_same, fingerprint
from sizer.size_search.policy import Decision, decide, decide_exploring
from sizer.size_search.result import SearchStatus
from sizer.size_search.settings import SearchSettings
from sizer.size_search.trials.averaging import RAW
from sizer.size_search.trials.trial import Engine, SliceSpec

#: What the log's first line holds of a size beside its name and widths, by the names of `SearchCandidate`.
_NOTED = ("epoch_cost", "flops_per_epoch", "anchor", "relative_cost", "learning_rate", "multiple")
#: A network whose training loss is below this share of its best validation loss is no start for a larger one: what it
#: knows by heart, the larger one cannot unlearn. Of the sizes trained for 15 targets (benchmarks/growing.py, cost 1.00
#: of that without growing) no one was worth growing from by these two.
OVERFITTED = 0.5
#: Nor is one of fewer epochs: it saves the larger one hardly any.
_EPOCHS_TO_GROW = 8


def run_search(
    task: Task | CustomTask,
    settings: SearchSettings,
    folder: Path,
    engine: Engine,
    progress: Progress | None = None,
    watch: Callable[[Search], None] | None = None,
) -> Search:
    """Run a search in its folder, going on where it was interrupted; it comes back with its status.

    ``watch`` is called with the search after each slice.

    Raises UsageError when the folder holds a search for something else or cannot be written.
    """
    state = SearchFolder(folder)
    with state.held():
        search = Search(task, settings, state)
        search.run(engine, progress, watch)
    return search


class Search:
    """What a search knows at one moment, all of it read from its log: its sizes, and the slices decided on but not run.

    ``status`` is None until `run` has come to an end. ``quantity`` says what predicted costs are in: ``time`` (s),
    ``energy`` (J) or ``operations``.
    """

    def __init__(self, task: Task | CustomTask, settings: SearchSettings, state: SearchFolder) -> None:
        log = state.read()
        if log is None:
            state.append(_header(task, settings))
            log = state.read()
            assert log is not None  # (it was just written)
        check_same(log.header, settings, fingerprint(task), state.path)
        check_usable(str(log.header["device"]))
        self.task = task
        self.settings = settings
        self.folder = state
        self.status: SearchStatus | None = None
        self.quantity = str(log.header["quantity"])
        self.target = shortfall(task.metric, settings.target)
        self.sizes = {size.name: size for size in _candidates(log.header, settings, task.input_dim)}
        self._first = str(log.header["first"])
        self._device = str(log.header["device"])
        self._open_round = log.open_round
        self.library = Library(task, state)
        self.ensemble: Selection | None = None
        self._gain = 1.0
        self._noted_ensemble = log.ensemble
        self.slices: list[LogEntry] = []
        for entry in log.entries:
            self._add(entry)

    def run(self, engine: Engine, progress: Progress | None, watch: Callable[[Search], None] | None = None) -> None:
        """Go on until the search has ended."""
        while self.status is None:
            if not self._open_round:
                self._open_round = self._next_round()
            why = {planned.trial: planned.why for planned in self._open_round}
            for planned in self._open_round:
                engine.submit(replace(self.spec(planned.trial), epochs=planned.epochs))
            while self._open_round:
                size = self.sizes[self._open_round[0].trial]
                if progress is not None:
                    self._tell(size, progress)
                entry = engine.collect()
                entry = replace(entry, why=why[entry.trial])
                self.folder.keep(entry, size.checkpoint)
                self._add(entry)
                self._open_round.pop(0)
                if watch is not None:
                    watch(self)

    def _next_round(self) -> list[Planned]:
        """The slices that come next, noted in the log; none, and the status, at the end of the search."""
        over = self._over_limit()
        self._look_at_averages()
        is_met = self.winner is not None or self.ensemble is not None
        decisions = [] if over or (is_met and not self.settings.explore) else self._decide(self._goal())
        if not decisions:
            self.status = SearchStatus.REACHED if is_met else over or self._given_up()
            return []
        self.folder.append({"event": "round", "slices": decisions})
        return [Planned(*decision) for decision in decisions]

    def _look_at_averages(self) -> None:
        """Whether an average of what was trained meets the target, where no single network does."""
        if self.winner is not None:
            return
        metric, target = self.task.metric, self.settings.target
        found = self.library.average(self.sizes.values(), self.target, self.settings.most_members)
        is_met = found is not None and is_reached(metric, found.value, found.choosing, target)
        self.ensemble = found if is_met else None
        self._gain = 1.0
        if found is not None:
            best = min(min(size.values) for size in self.trained if size.values)
            self._gain = max(1.0, best / worse_of(metric, found.value, found.choosing))
        if self.ensemble is not None and (noted := self.ensemble._asdict()) != self._noted_ensemble:
            self.folder.append({"event": "ensemble", **noted})
            self._noted_ensemble = noted

    def _decide(self, goal: Goal) -> list[Decision]:
        sizes = tuple(self.sizes.values())
        if self.winner is not None:
            return decide_exploring(sizes, goal, self.settings.parallel)
        gain = None if self.settings.most_members == 1 or self.task.validation is None else self._gain
        return decide(sizes, goal._replace(gain=gain), self._first, self.settings.parallel)

    def _over_limit(self) -> SearchStatus | None:
        """Which limit is used up, None while the search may go on."""
        limits, energy_j = self.settings, self.energy_j
        if limits.max_energy_j is not None and energy_j is not None and energy_j >= limits.max_energy_j:
            return SearchStatus.OUT_OF_ENERGY
        if limits.max_time_s is not None and self.time_s >= limits.max_time_s:
            return SearchStatus.OUT_OF_TIME
        return None

    def _given_up(self) -> SearchStatus:
        """How a search ended in which no size is predicted to meet the target within the limits.

        A limit is spent when what is left of it does not pay for the next slice that there would be without it. Else
        the target is out of reach, whether or not a size could meet it with more: that hangs on the clock.
        """
        goal = self._goal()
        wished = self._decide(goal._replace(budget=math.inf))
        if min((each.epochs * self.sizes[each.name].epoch_cost for each in wished), default=0.0) <= goal.budget:
            return SearchStatus.UNREACHABLE
        return SearchStatus.OUT_OF_TIME if self.quantity == "time" else SearchStatus.OUT_OF_ENERGY

    def _goal(self) -> Goal:
        """What the sizes are trained for. Limits are measured time or energy: predictions are scaled to that."""
        limit, spent = self.limit
        if limit is None or not spent:
            return Goal(self.target, self.settings.max_epochs)
        return Goal(self.target, self.settings.max_epochs, (limit - spent) / self.measured_per_predicted)

    def _add(self, entry: LogEntry) -> None:
        """Take in what a slice did."""
        self.library.add(entry)
        self.slices.append(replace(entry, state=None, kept=None))
        size, metric = self.sizes[entry.trial], self.task.metric
        epochs = (*size.epochs, *entry.epochs)
        is_met = size.is_met or any(epoch.meets(metric, self.settings.target) for epoch in entry.epochs)
        ended = "it met the target" if is_met else entry.ended
        if ended is None and len(epochs) >= self.settings.max_epochs:
            ended = f"it had all of its {counted(self.settings.max_epochs, 'epoch')}"
        self.sizes[entry.trial] = replace(
            size,
            values=tuple(epoch.shortfall(metric) for epoch in epochs if not math.isnan(epoch.metric)),
            ended=ended,
            diverged=entry.diverged,
            is_met=is_met,
            epochs=epochs,
            checkpoint=entry.checkpoint,
            parent=entry.parent,
            where=tuple(dict.fromkeys(node for node in (*size.where, entry.where) if node is not None)),
        )

    def spec(self, name: str) -> SliceSpec:
        """What determines the next slice of a size, its checkpoint included."""
        settings, size = self.settings, self.sizes[name]
        parent = size.parent if size.epochs else self.parent_of(size)
        begins_with = None if parent is None or size.epochs else self.sizes[parent].checkpoint
        return SliceSpec(
            name,
            size.topology,
            settings.batch_size,
            settings.optimizer,
            size.learning_rate,
            settings.seed,
            self._device,
            settings.threads,
            settings.max_epochs,
            target=settings.target,
            checkpoint=self.folder.checkpoint(size.checkpoint),
            parent=parent,
            parent_checkpoint=self.folder.checkpoint(begins_with),
            weights=size.epochs[-1].weights if size.epochs else RAW,
        )

    def parent_of(self, size: SearchCandidate) -> str | None:
        """The size that a new one grows from, where that was asked for: the largest smaller one that is worth it."""
        smaller = [
            other
            for other in self.sizes.values()
            if self.settings.grow and other.num_free_parameters < size.num_free_parameters and _can_grow(other)
        ]
        nearest = max(
            smaller,
            key=lambda other: (other.num_free_parameters, -abs(math.log(other.learning_rate / size.learning_rate))),
            default=None,
        )
        return None if nearest is None else nearest.name

    @property
    def trained(self) -> list[SearchCandidate]:
        """The sizes that have had an epoch, in order of size."""
        return [size for size in self.sizes.values() if size.epochs]

    @property
    def winner(self) -> SearchCandidate | None:
        """Of the sizes that met the target, the one whose epochs cost least as predicted; None if none did."""
        met = [size for size in self.sizes.values() if size.is_met]
        return min(met, key=lambda size: size.epoch_cost * len(size.epochs), default=None)

    @property
    def limit(self) -> tuple[float | None, float | None]:
        """The limit that is of the predicted costs' quantity, and what is spent of it; None for what there is not."""
        settings = self.settings
        limits = {"time": (settings.max_time_s, self.time_s), "energy": (settings.max_energy_j, self.energy_j)}
        return limits.get(self.quantity, (None, None))

    @property
    def measured_per_predicted(self) -> float:
        """Measured over predicted cost of all epochs so far; 1 where nothing was measured in the costs' quantity."""
        predicted = sum(size.epoch_cost * len(size.epochs) for size in self.sizes.values())
        _, spent = self.limit
        return spent / predicted if spent and predicted else 1.0

    @property
    def time_s(self) -> float:
        """Measured time of everything so far."""
        return sum(epoch.time_s for size in self.sizes.values() for epoch in size.epochs)

    @property
    def energy_j(self) -> float | None:
        """Measured energy of everything so far, None where it is not known."""
        return total_energy(epoch for size in self.sizes.values() for epoch in size.epochs)

    def _tell(self, size: SearchCandidate, progress: Progress) -> None:
        last = f", {self.task.metric} {size.epochs[-1].metric:.4g}" if size.epochs else ""
        limit_s = self.settings.max_time_s
        share = None if limit_s is None else min(1.0, self.time_s / limit_s)
        progress(f"{counted(size.num_free_parameters, 'parameter')}, epoch {len(size.epochs) + 1}{last}", share)


def total_energy(epochs: Iterable[Epoch]) -> float | None:
    """Energy of epochs in J; None where that of one of them is not known."""
    parts = [epoch.energy_j for epoch in epochs]
    known = [part for part in parts if part is not None]
    return sum(known) if known and len(known) == len(parts) else None


def _can_grow(size: SearchCandidate) -> bool:
    """Whether a larger network may begin with a size's weights: trained, and not yet knowing its data by heart."""
    if size.checkpoint is None or len(size.epochs) < _EPOCHS_TO_GROW:
        return False
    return size.epochs[-1].train_loss >= OVERFITTED * min(epoch.validation_loss for epoch in size.epochs)


def where_to_train(task: Task | CustomTask, settings: SearchSettings) -> Chosen:
    """The device that trains: the one named, else that on which the first size is cheaper to train."""

    def cost(one: Chosen) -> Predicted:
        first = first_arm(_priced_sizes(task, settings, one))
        unit = "J" if one.coefficients.quantity == "energy" else "s"
        to_loss = first.epoch_cost * law_epochs(first.place)
        return Predicted(to_loss, f"{format_quantity(first.epoch_cost, unit)} an epoch")

    return trains_on(settings.device, settings.threads, cost)


def _priced_sizes(task: Task | CustomTask, settings: SearchSettings, priced: Chosen) -> tuple[SearchCandidate, ...]:
    rows = task.n_observations, len(task.validation_targets) if isinstance(task, Task) else 0
    return candidate_sizes(task.input_dim, task.output_dim, rows, settings, priced)


def _header(task: Task | CustomTask, settings: SearchSettings) -> dict[str, Any]:
    """The log's first line: what is searched for, among which sizes, at which predicted cost."""
    where = where_to_train(task, settings)
    priced = where if settings.priced_for is None else choose(settings.priced_for, threads=settings.threads)
    sizes = _priced_sizes(task, settings, priced)
    return {
        "event": "start",
        "format": LOG_FORMAT,
        "task": fingerprint(task),
        "metric": task.metric,
        "input_dim": task.input_dim,
        "baseline": task.baseline_value if isinstance(task, Task) else None,
        "settings": settings.to_dict(),
        "device": where.device.id,
        "quantity": priced.coefficients.quantity if priced.coefficients.source != "none" else "operations",
        "first": first_arm(sizes).name,
        "candidates": [
            {"name": size.name, "widths": list(size.topology.widths), **{name: getattr(size, name) for name in _NOTED}}
            for size in sizes
        ],
    }


def _candidates(header: Mapping[str, Any], settings: SearchSettings, input_dim: int) -> Iterator[SearchCandidate]:
    """The arms that the log's first line lists; those of the version before all have the rate that was given."""
    for noted in header["candidates"]:
        anchor = None if noted["anchor"] is None else Anchor(*noted["anchor"])
        topology = Topology(settings.shape, input_dim, tuple(noted["widths"]))
        told = {name: noted[name] for name in _NOTED if name in noted} | {"anchor": anchor}
        if "learning_rate" not in noted and settings.pinned_rate is not None:
            told["learning_rate"] = settings.pinned_rate
        yield SearchCandidate(name=noted["name"], topology=topology, **told)
