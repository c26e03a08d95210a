"""What a search knows at one moment: its candidates and their epochs so far. Rebuilt from the log at any time."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from sizer.models.topology import Topology
from sizer.searching.deciding import Arm, Goal
from sizer.searching.metrics import higher_is_better, reached
from sizer.searching.outcome import SearchCandidate, total_energy
from sizer.searching.settings import SearchSettings
from sizer.searching.slices import Epoch, TrialSpec
from sizer.searching.state import Finished

#: Metrics that are better when higher are at most 1; what is missing to 1 is what a search brings down.
_PERFECT = 1.0
#: Shortfalls below this count as this: their logarithm must exist.
_LEAST = 1e-9


def shortfall(metric: str, value: float) -> float:
    """A metric's value as a positive number that is better when smaller."""
    return max(_PERFECT - value if higher_is_better(metric) else value, _LEAST)


#: A network whose training loss is below this share of its best validation loss is no start for a larger one: what it
#: knows by heart, the larger one cannot unlearn. Grown from such weights, networks end no lower, where fresh ones do.
OVERFITTED = 0.5
#: Nor is one of fewer epochs: it saves the larger one hardly any.
_EPOCHS_TO_GROW = 8


@dataclass
class Trial:
    """One candidate's training so far."""

    candidate: SearchCandidate
    epochs: list[Epoch] = field(default_factory=list)
    checkpoint: str | None = None
    ended: str | None = None
    parent: str | None = None
    where: dict[str, None] = field(default_factory=dict)


def _can_grow(trial: Trial) -> bool:
    """Whether a larger network may begin with a trial's weights: trained, and not yet knowing its data by heart."""
    if trial.checkpoint is None or len(trial.epochs) < _EPOCHS_TO_GROW:
        return False
    return trial.epochs[-1].train_loss >= OVERFITTED * min(epoch.validation_loss for epoch in trial.epochs)


class Tally:
    """The trials of a search, and what they cost so far."""

    def __init__(self, header: Mapping[str, Any], settings: SearchSettings) -> None:
        self.settings = settings
        self.metric = str(header["metric"])
        self.quantity = str(header["quantity"])
        self.first = str(header["first"])
        self.device = str(header["device"])
        self.input_dim = int(header["input_dim"])
        self.baseline = header["baseline"]
        self.trials = {entry["name"]: Trial(self._candidate(entry)) for entry in header["candidates"]}
        self.target = shortfall(self.metric, settings.target)

    def _candidate(self, entry: Mapping[str, Any]) -> SearchCandidate:
        return SearchCandidate(
            entry["name"],
            Topology(self.settings.shape, self.input_dim, tuple(entry["widths"])),
            entry["epoch_cost"],
            entry["flops_per_epoch"],
            None if entry["anchor"] is None else tuple(entry["anchor"]),
            entry["relative_cost"],
        )

    def add(self, done: Finished) -> None:
        """Take in what a slice did."""
        trial = self.trials[done.trial]
        trial.epochs += done.epochs
        trial.checkpoint = done.checkpoint
        trial.parent = done.parent
        trial.ended = done.ended
        if trial.ended is None and len(trial.epochs) >= self.settings.max_epochs:
            trial.ended = f"it had all of its {self.settings.max_epochs} epochs"
        if done.where is not None:
            trial.where[done.where] = None

    def arms(self) -> tuple[Arm, ...]:
        """Every candidate as decisions need it."""
        return tuple(
            Arm(
                name,
                trial.candidate.num_free_parameters,
                trial.candidate.epoch_cost,
                tuple(shortfall(self.metric, epoch.metric) for epoch in trial.epochs if epoch.metric == epoch.metric),
                trial.ended is not None or self.met(trial),
            )
            for name, trial in self.trials.items()
        )

    def met(self, trial: Trial) -> bool:
        """Whether a trial met the target."""
        return any(reached(self.metric, epoch.metric, self.settings.target) for epoch in trial.epochs)

    def winner(self) -> str | None:
        """Of the trials that met the target, the one whose epochs cost least as predicted; None if none did."""
        costs = {
            name: trial.candidate.epoch_cost * len(trial.epochs)
            for name, trial in self.trials.items()
            if self.met(trial)
        }
        return min(costs, key=lambda name: costs[name]) if costs else None

    def spec(self, name: str) -> TrialSpec:
        """What determines a trial of a candidate."""
        settings, trial = self.settings, self.trials[name]
        return TrialSpec(
            name,
            trial.candidate.topology,
            settings.batch_size,
            settings.optimizer,
            settings.learning_rate,
            settings.seed,
            self.device,
            settings.threads,
            settings.max_epochs,
            trial.parent if trial.epochs else self.parent_of(name),
        )

    def parent_of(self, name: str) -> str | None:
        """The trial that a new one grows from, where that was asked for: the largest smaller one that is worth it."""
        if not self.settings.grow:
            return None
        size = self.trials[name].candidate.num_free_parameters
        smaller = [
            trial.candidate
            for trial in self.trials.values()
            if trial.candidate.num_free_parameters < size and _can_grow(trial)
        ]
        return max(smaller, key=lambda candidate: candidate.num_free_parameters).name if smaller else None

    def goal(self) -> Goal:
        """What the trials are trained for. Limits are measured time or energy: predictions are scaled to that."""
        settings = self.settings
        limits = {"time": (settings.max_time_s, self.time_s), "energy": (settings.max_energy_j, self.energy_j)}
        limit, spent = limits.get(self.quantity, (None, None))
        if limit is None or not spent:
            return Goal(self.target, settings.max_epochs)
        predicted = sum(trial.candidate.epoch_cost * len(trial.epochs) for trial in self.trials.values())
        return Goal(self.target, settings.max_epochs, (limit - spent) * predicted / spent)

    @property
    def time_s(self) -> float:
        """Measured time of everything so far."""
        return sum(epoch.time_s for trial in self.trials.values() for epoch in trial.epochs)

    @property
    def energy_j(self) -> float | None:
        """Measured energy of everything so far, None where it is not known."""
        return total_energy(epoch for trial in self.trials.values() for epoch in trial.epochs)
