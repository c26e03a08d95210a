"""What a search knows at one moment: its candidates and their epochs so far. Rebuilt from the log at any time."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from sizer.models.topology import Topology
from sizer.size_search.data.metrics import higher_is_better, reached
from sizer.size_search.log import Finished
from sizer.size_search.outcome import REACHED, UNREACHABLE, CostPoint, Outcome, SearchCandidate, TrialSummary, total_energy
from sizer.size_search.policy import Arm, Goal, forecast
from sizer.size_search.settings import SearchSettings
from sizer.size_search.trials.slices import Epoch, TrialSpec

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
        return Goal(self.target, settings.max_epochs, (limit - spent) / self.measured_per_predicted)

    @property
    def measured_per_predicted(self) -> float:
        """Measured over predicted cost of all epochs so far; 1 where nothing was measured in the costs' quantity."""
        predicted = sum(trial.candidate.epoch_cost * len(trial.epochs) for trial in self.trials.values())
        spent = {"time": self.time_s, "energy": self.energy_j}.get(self.quantity)
        return spent / predicted if spent and predicted else 1.0

    @property
    def time_s(self) -> float:
        """Measured time of everything so far."""
        return sum(epoch.time_s for trial in self.trials.values() for epoch in trial.epochs)

    @property
    def energy_j(self) -> float | None:
        """Measured energy of everything so far, None where it is not known."""
        return total_energy(epoch for trial in self.trials.values() for epoch in trial.epochs)


def sum_up(tally: Tally, status: str) -> Outcome:
    """The outcome of a search that has ended, or of one that is looked at while it runs."""
    winner = tally.winner()
    trained = {name: trial for name, trial in tally.trials.items() if trial.epochs}
    best = min(trained, key=lambda name: _best_shortfall(tally, trained[name]), default=None)
    curve = _curve(tally)
    return Outcome(
        status=status,
        winner=winner,
        best=best,
        best_value=None if best is None else _best_value(tally, trained[best]),
        candidates=tuple(trial.candidate for trial in tally.trials.values()),
        trials=tuple(_summary(tally, name) for name in trained),
        quantity=tally.quantity,
        curve=curve,
        flops_choice=_flops_choice(tally, curve),
        estimate=None if status == REACHED or best is None else _estimate(tally, status, best, curve),
    )


def _values(trial: Trial) -> list[float]:
    return [epoch.metric for epoch in trial.epochs if math.isfinite(epoch.metric)]


def _best_value(tally: Tally, trial: Trial) -> float | None:
    values = _values(trial)
    if not values:
        return None
    return max(values) if higher_is_better(tally.metric) else min(values)


def _best_shortfall(tally: Tally, trial: Trial) -> float:
    value = _best_value(tally, trial)
    return math.inf if value is None else shortfall(tally.metric, value)


def _summary(tally: Tally, name: str) -> TrialSummary:
    trial = tally.trials[name]
    met = tally.met(trial)
    point = _point(tally, name)
    return TrialSummary(
        spec=tally.spec(name),
        epochs=tuple(trial.epochs),
        best=_best_value(tally, trial),
        met=met,
        ended="it met the target" if met else trial.ended,
        predicted_epochs=point.epochs,
        where=tuple(trial.where),
    )


def _curve(tally: Tally) -> tuple[CostPoint, ...]:
    """What reaching the target costs at each size, in order of size."""
    points = [_point(tally, name) for name in tally.trials]
    return tuple(sorted(points, key=lambda point: point.num_free_parameters))


def _point(tally: Tally, name: str) -> CostPoint:
    trial = tally.trials[name]
    candidate = trial.candidate
    met = tally.met(trial)
    epochs = float(len(trial.epochs)) if met else _expected_epochs(tally, name)
    cost = None if epochs is None else epochs * candidate.epoch_cost
    return CostPoint(name, candidate.num_free_parameters, epochs, cost, met)


def _expected_epochs(tally: Tally, name: str) -> float | None:
    """Epochs in all that a size is more likely than not to have reached the target by, None if never."""
    arms = tally.arms()
    arm = next(arm for arm in arms if arm.name == name)
    if arm.ended or not any(other.values for other in arms):
        return None
    middle = forecast(arm, arms, Goal(tally.target, tally.settings.max_epochs)).middle
    return len(arm.values) + middle if math.isfinite(middle) else None


def _flops_choice(tally: Tally, curve: tuple[CostPoint, ...]) -> str | None:
    """The size that the fewest FLOPs to the target would have chosen, by the same epochs."""
    flops = {
        point.name: point.epochs * tally.trials[point.name].candidate.flops_per_epoch
        for point in curve
        if point.epochs is not None
    }
    return min(flops, key=lambda name: flops[name]) if flops else None


def _estimate(tally: Tally, status: str, best: str, curve: tuple[CostPoint, ...]) -> str:
    """What reaching the target would take, in words; of a search that gave up, that its limits leave no room for that."""
    known = [point for point in curve if point.cost is not None]
    if not known:
        return _out_of_reach(tally, best)
    point = min(known, key=lambda point: point.cost or math.inf)
    unit = {"time": "s", "energy": "J"}.get(tally.quantity, "operations")
    cost = (point.cost or 0.0) * tally.measured_per_predicted
    return (
        f"{point.num_free_parameters:,} parameters are predicted to meet the target after about {point.epochs:.0f} "
        f"epochs, {cost:.3g} {unit} in all{_more_than_left(tally) if status == UNREACHABLE else ''}"
    )


def _more_than_left(tally: Tally) -> str:
    """That a search was given up before its limit was spent, since what it needs is not left."""
    limits = {"time": (tally.settings.max_time_s, tally.time_s, "s"), "energy": (tally.settings.max_energy_j, tally.energy_j, "J")}
    limit, spent, unit = limits.get(tally.quantity, (None, None, ""))
    if limit is None or spent is None:
        return ""
    return f", which is more than is left: given up after {spent:.3g} of {limit:.3g} {unit}"


def _out_of_reach(tally: Tally, best: str) -> str:
    reached = _best_shortfall(tally, tally.trials[best])
    missing = 1.0 - tally.target / reached
    return (
        f"no size up to {max(arm.num_free_parameters for arm in tally.arms()):,} parameters is predicted to meet the "
        f"target: the best is {missing:.0%} short of it; more data, another depth or a looser target would be needed"
    )
