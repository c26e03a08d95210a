"""What a search came to: the sizes that it could have tried, its trials, its cost. Pure data."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from sizer.models.topology import Topology
from sizer.size_search.trials.slices import Epoch, TrialSpec

#: How a search ended, by its log. Out of time or energy: the limit is spent, or leaves no room for another slice.
#: Unreachable: given up before, since no size is predicted to meet the target within the limits.
REACHED = "reached"
UNREACHABLE = "unreachable"
OUT_OF_TIME = "out of time"
OUT_OF_ENERGY = "out of energy"


@dataclass(frozen=True)
class SearchCandidate:
    """A size that the search may try, with what is predicted for it before anything is trained.

    ``epoch_cost`` is the cost of one epoch, training and validation, in s or J, or in operations where no coefficients
    are known; ``flops_per_epoch`` counts 2 for each multiply-accumulate of the training's matrix products. ``anchor``
    is the (working set, cache, fill) that makes it cache-aware, None for a size in between; ``relative_cost`` is the
    predicted cost to a loss within reach, 1 for the cheapest size.
    """

    name: str
    topology: Topology
    epoch_cost: float
    flops_per_epoch: float
    anchor: tuple[str, str, float] | None
    relative_cost: float

    @property
    def num_free_parameters(self) -> int:
        """Number of trainable parameters."""
        return self.topology.num_free_parameters


@dataclass(frozen=True)
class TrialSummary:
    """A trial as the search left it.

    ``best`` is the best value of the metric so far, None before the first; ``met`` whether that is as good as the
    target; ``ended`` why it cannot go on, None where it could. ``predicted_epochs`` is how many epochs in all its
    learning curve says reaching the target takes, None where the curve does not get there. ``energy_j`` is None where
    it was not measured.
    """

    spec: TrialSpec
    epochs: tuple[Epoch, ...]
    best: float | None
    met: bool
    ended: str | None
    predicted_epochs: float | None
    where: tuple[str, ...] = ()

    @property
    def time_s(self) -> float:
        """Measured time of its epochs."""
        return sum(epoch.time_s for epoch in self.epochs)

    @property
    def energy_j(self) -> float | None:
        """Energy of its epochs, None where that of one of them is not known."""
        return total_energy(self.epochs)


@dataclass(frozen=True)
class CostPoint:
    """What reaching the target costs at one size: measured where the size met it, else predicted from what was seen.

    ``cost`` is in the outcome's quantity; None where the size is not predicted to meet the target.
    """

    name: str
    num_free_parameters: int
    epochs: float | None
    cost: float | None
    measured: bool


@dataclass(frozen=True)
class Outcome:
    """What a search came to. ``winner`` names the trial that met the target, None where none did.

    ``status`` is one of this module's constants. ``quantity`` says what costs are in: ``time`` (s), ``energy`` (J) or
    ``operations``. ``best`` names the trial with the best value, ``best_value``. ``flops_choice`` names the candidate
    that the fewest FLOPs to the target would have chosen, by the same predictions. ``estimate`` is a sentence on what
    reaching the target would take, where it was not reached.
    """

    status: str
    winner: str | None
    best: str | None
    best_value: float | None
    candidates: tuple[SearchCandidate, ...]
    trials: tuple[TrialSummary, ...]
    quantity: str
    curve: tuple[CostPoint, ...]
    flops_choice: str | None
    estimate: str | None
    notes: tuple[str, ...] = ()

    def trial(self, name: str | None) -> TrialSummary | None:
        """The trial of that name."""
        return next((trial for trial in self.trials if trial.spec.name == name), None)

    @property
    def time_s(self) -> float:
        """Measured time of all epochs of all trials."""
        return sum(trial.time_s for trial in self.trials)

    @property
    def energy_j(self) -> float | None:
        """Energy of all epochs of all trials, None where some of it is not known."""
        return total_energy(epoch for trial in self.trials for epoch in trial.epochs)


def total_energy(epochs: Iterable[Epoch]) -> float | None:
    """Energy of epochs in J; None where that of one of them is not known."""
    parts = [epoch.energy_j for epoch in epochs]
    known = [part for part in parts if part is not None]
    return sum(known) if known and len(known) == len(parts) else None
