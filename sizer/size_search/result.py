"""The record that a search answers with. Built from plain data; the trained network rides along, outside the record."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import Enum
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from sizer.base.errors import UsageError
from sizer.base.records import Record, plain
from sizer.base.units import counted, format_network
from sizer.method.hardware import Device, device_to_dict
from sizer.method.recommendation import Anchor
from sizer.size_search.data.metrics import higher_is_better
from sizer.size_search.data.other_rows import OtherRows
from sizer.size_search.settings import SearchSettings

if TYPE_CHECKING:
    from sizer.size_search.data.prepare import PreparationReport
    from sizer.size_search.saved_network import SavedNetwork

SEARCH_FORMAT = "sizer.search/1"


class SearchStatus(str, Enum):
    """How a search ended, and what is said then of a trial that still had a chance; or that it has not ended."""

    RUNNING = "running", "it may be trained further"
    REACHED = "reached", "another size was predicted to meet the target at less cost"
    UNREACHABLE = "unreachable", "the search ended: unreachable"
    OUT_OF_TIME = "out of time", "the search ended: out of time"
    OUT_OF_ENERGY = "out of energy", "the search ended: out of energy"

    sentence: str

    def __new__(cls, word: str, sentence: str) -> SearchStatus:
        """A word of the record, and its sentence."""
        status = str.__new__(cls, word)
        status._value_ = word
        status.sentence = sentence
        return status

    __str__ = str.__str__


class TaskFacts(NamedTuple):
    """What was searched for: the data in numbers, the target, and the metric of predicting the mean (``baseline``)."""

    source: str
    kind: str | None
    metric: str
    target: float
    baseline: float | None
    input_dim: int
    output_dim: int
    n_observations: int

    @property
    def higher_is_better(self) -> bool:
        """Whether the target is a lower bound."""
        return higher_is_better(self.metric)


class SearchTrial(NamedTuple):
    """What one size that was trained came to.

    ``number`` counts trials in order of size. ``best_value`` and ``best_loss`` are the metric and the loss on the
    validation rows that decide, after the epoch that met the target, else after the best one by the rows that choose;
    ``weights`` says which weights they are of, ``raw`` or ``averaged``. ``predicted_epochs`` are the epochs in all that
    its learning curve asks for to reach the target (None: it does not get there). ``time_s`` and ``energy_j`` are what
    it cost, energy None where it was not metered. ``grown_from`` names the trial whose weights it began with.
    """

    number: int
    name: str
    widths: tuple[int, ...]
    num_free_parameters: int
    anchor: Anchor | None
    epochs: int
    why_stopped: str
    is_met: bool
    best_value: float | None
    best_loss: float | None
    predicted_epochs: float | None
    time_s: float
    energy_j: float | None
    grown_from: str | None
    where: tuple[str, ...]
    weights: str | None = None
    learning_rate: float | None = None


class SearchSlice(NamedTuple):
    """Epochs that a trial was trained for in one go, an entry each; slices are in the order in which they ended.

    ``values`` are the metric on the validation rows, None where it was not finite; ``energy_j`` is None where it was
    not metered. ``why`` says why this trial was chosen then, None where that was not noted.
    """

    trial: str
    values: tuple[float | None, ...]
    time_s: tuple[float, ...]
    energy_j: tuple[float, ...] | None
    why: str | None = None


class SearchPoint(NamedTuple):
    """What reaching the target costs at one size; ``label`` says whether that was measured or is estimated.

    ``cost`` is in the record's quantity, None where the size is not predicted to reach the target.
    """

    name: str
    widths: tuple[int, ...]
    num_free_parameters: int
    epochs: float | None
    cost: float | None
    label: str
    learning_rate: float | None = None


class Edge(NamedTuple):
    """The size, in parameters, from which on a working set lives on a level; the smallest size for the nearest."""

    working_set: str
    level: str | None
    num_free_parameters: int


class FlopsChoice(NamedTuple):
    """The size that the fewest FLOPs to the target would have chosen; its cost as the curve has it."""

    name: str
    widths: tuple[int, ...]
    num_free_parameters: int
    flops_per_epoch: float
    cost: float | None
    label: str


class Spent(NamedTuple):
    """Measured training time and metered energy, in all and on the winner alone; ``energy_label`` says what they are.

    ``wall_time_s`` is what this call took, reading the data and everything else included; ``epochs_before`` are those
    of ``epochs`` that an earlier call had trained: all of them where a search that had ended is only told again.
    """

    time_s: float
    energy_j: float | None
    winner_time_s: float | None
    winner_energy_j: float | None
    energy_label: str
    epochs: int
    wall_time_s: float | None = None
    epochs_before: int = 0

    @property
    def is_reused(self) -> bool:
        """Whether nothing was trained in this call."""
        return 0 < self.epochs == self.epochs_before


@dataclass(frozen=True)
class ForwardCost:
    """Cost of one forward pass of a network over a batch.

    ``level`` is where the parameters, f, live; ``predicted`` is in s or J (`Pruned.quantity`), None where nothing is
    known of the machine; ``measured_s`` is the quiet time of a pass, both networks timed in turn.
    """

    widths: tuple[int, ...]
    num_free_parameters: int
    level: str | None
    predicted: float | None
    measured_s: float | None


@dataclass(frozen=True)
class Pruned:
    """A winner with units taken out until its parameters lived one cache level nearer, or as many as kept the target.

    ``value_before`` and ``value_after`` are the task's metric before, and after fine-tuning. ``reached_level`` says
    whether f came down to ``level_wanted``. ``fine_tuning_epochs`` are those of all ``attempts`` (first widths, and
    whether the target was kept), and ``fine_tuning_s`` the time that they took.
    """

    before: ForwardCost
    after: ForwardCost
    level_wanted: str
    reached_level: bool
    value_before: float
    value_after: float
    attempts: tuple[tuple[int, bool], ...]
    fine_tuning_epochs: int
    fine_tuning_s: float
    quantity: str

    @property
    def predicted_saving(self) -> float | None:
        """What part of a forward pass is predicted to be saved, None where the cost is not known."""
        return _saving(self.before.predicted, self.after.predicted)

    @property
    def measured_saving(self) -> float | None:
        """What part of a forward pass' time was measured to be saved."""
        return _saving(self.before.measured_s, self.after.measured_s)

    def to_dict(self) -> dict[str, Any]:
        """The record as JSON data, with the savings."""
        fields: dict[str, Any] = plain(self)
        attempts = [{"first_width": width, "kept_target": kept} for width, kept in self.attempts]
        savings = {"predicted_saving": self.predicted_saving, "measured_saving": self.measured_saving}
        return fields | {"attempts": attempts} | savings


def _saving(before: float | None, after: float | None) -> float | None:
    return None if before is None or after is None or before <= 0 else 1.0 - after / before


class EnsembleMember(NamedTuple):
    """A network of an ensemble as it was after ``epoch``; its predictions count by its ``share``."""

    name: str
    widths: tuple[int, ...]
    num_free_parameters: int
    learning_rate: float
    epoch: int
    share: float


@dataclass(frozen=True)
class Ensemble:
    """Networks whose averaged predictions met the target before any single one did.

    ``value`` and ``loss`` are the metric and the loss of the average on the validation rows that decide.
    ``inference_ratio`` is what predicting costs as a ratio to the best member alone: by FLOPs, and, ``measured_ratio``,
    as timed in turn (None where only the user's training knows the weights). ``single`` says what going on to one
    network is predicted to take, None where none is predicted to get there.
    """

    members: tuple[EnsembleMember, ...]
    value: float
    loss: float
    inference_ratio: float
    measured_ratio: float | None
    single: str | None


@dataclass(frozen=True)
class SearchResult(Record):
    """What a search came to.

    ``winner`` is the trial that met the target, ``best`` the one with the best metric; where an average of networks met
    it first, both are that average as one trial, its parameters, epochs and costs those of all members together, and
    ``ensemble`` says which these are. Where the target was not reached, ``best_average`` is the average that came
    nearest, None where none came nearer than ``best``, and ``estimate`` says what reaching it would take.

    Costs of ``curve`` and ``flops_choice`` are in ``quantity``: time (s), energy (J), or operations on a machine of
    which nothing is known. ``history`` holds every epoch of every trial, slice by slice. ``network`` predicts, and is
    not part of the JSON; None after a search with the user's own training. ``other_rows`` is what to expect of it on
    rows that had no part in the search.
    """

    task: TaskFacts
    settings: SearchSettings
    status: SearchStatus
    device: Device
    label: str
    basis: str
    quantity: str
    preparation: PreparationReport | None
    trials: tuple[SearchTrial, ...]
    winner: SearchTrial | None
    best: SearchTrial | None
    spent: Spent
    flops_choice: FlopsChoice | None
    curve: tuple[SearchPoint, ...]
    edges: tuple[Edge, ...]
    estimate: str | None
    pruned: Pruned | None
    notes: tuple[str, ...]
    folder: Path | None
    saved: Path | None = None
    ensemble: Ensemble | None = None
    history: tuple[SearchSlice, ...] = ()
    best_average: Ensemble | None = None
    other_rows: OtherRows | None = None
    network: SavedNetwork | None = field(default=None, compare=False, repr=False)

    main = "trials"

    def in_short(self) -> str:
        """What was reached, by what."""
        best = self.winner or self.best
        value = None if best is None else best.best_value
        by = "" if best is None else f" by {format_network(best.widths, best.num_free_parameters)}"
        found = "nothing trained" if value is None else f"{self.task.metric} {value:.4g}{by}"
        return f"{self.task.source}: {self.status}, {found}; {counted(len(self), 'size')} trained"

    def save(self, path: str | os.PathLike[str]) -> Path:
        """Write the trained network (``.pt2``), which `sizer.load` reads, or the record as JSON (``.json``).

        Raises UsageError where there is no trained network, or for a path that cannot be written.
        """
        if Path(path).suffix == ".json":
            return super().save(path)
        if self.network is None:
            raise UsageError(
                f"the target was not met, so there is no network for {path}; --save-best (in Python save_best) keeps "
                f"the best one"
            )
        self.network.save(Path(path))
        return Path(path)

    @property
    def final_value(self) -> float | None:
        """The metric, on the validation rows, of what the search ends with: pruned, averaged or single; the best."""
        if self.pruned is not None:
            return self.pruned.value_after
        if self.best_average is not None:
            return self.best_average.value
        best = self.winner or self.best
        return None if best is None else best.best_value

    @property
    def reached(self) -> bool:
        """Whether the target was met."""
        return self.status == SearchStatus.REACHED

    def to_dict(self) -> dict[str, Any]:
        """The record as the JSON data ``sizer.search/1``."""
        return {
            "format": SEARCH_FORMAT,
            "request": self.settings.to_dict(),
            "task": {**plain(self.task), "higher_is_better": self.task.higher_is_better},
            "preparation": plain(self.preparation),
            "device": device_to_dict(self.device),
            "coefficients": {"label": self.label, "basis": self.basis, "quantity": self.quantity},
            "status": str(self.status),
            "reached": self.reached,
            "winner": plain(self.winner),
            "best": plain(self.best),
            "spent": {**plain(self.spent), "time_label": "measured"},
            "flops_choice": plain(self.flops_choice),
            "trials": plain(self.trials),
            "history": plain(self.history),
            "curve": plain(self.curve),
            "edges": plain(self.edges),
            "estimate": self.estimate,
            "ensemble": plain(self.ensemble),
            "best_average": plain(self.best_average),
            "other_rows": plain(self.other_rows),
            "pruned": None if self.pruned is None else self.pruned.to_dict(),
            "folder": None if self.folder is None else str(self.folder),
            "saved": None if self.saved is None else str(self.saved),
            "notes": list(self.notes),
        }

    def rows(self) -> list[dict[str, Any]]:
        """One row a trial."""
        return [_row(trial) for trial in self.trials]

    def remarks(self) -> tuple[str, ...]:
        """The notes, what preparing the data met with, and the device's warnings."""
        of_data = () if self.preparation is None else self.preparation.remarks
        return (*self.notes, *of_data, *self.device.warnings)


def _row(trial: SearchTrial) -> dict[str, Any]:
    row: dict[str, Any] = trial._asdict()
    anchor: Mapping[str, Any] = {} if trial.anchor is None else trial.anchor._asdict()
    del row["anchor"]
    return row | {f"anchor_{name}": anchor.get(name) for name in Anchor._fields}
