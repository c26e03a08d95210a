"""The record that `recommend` answers with: candidates, the optimum beside them, and the curve they lie on."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple

from sizer.base.errors import UsageError
from sizer.base.records import Record, plain, rebuild
from sizer.base.units import counted, format_network
from sizer.method.coefficients import Coefficients
from sizer.method.epochs_to_loss import DIFFICULTIES
from sizer.method.hardware import Device, device_to_dict
from sizer.method.request import MAX_OBSERVATIONS, Request
from sizer.models.topology import Topology, check_whole

if TYPE_CHECKING:
    import torch

RECOMMENDATION_FORMAT = "sizer.recommendation/1"


class Anchor(NamedTuple):
    """A working set that fills a cache: ``fill`` is its cached size there over the capacity of one instance."""

    working_set: str
    level: str
    fill: float


class PlacedSet(NamedTuple):
    """A working set's whole size (replicated + distributed) in bytes and the level where it lives, None for nowhere."""

    bytes: int
    level: str | None


class Neighbour(NamedTuple):
    """Another network of the same family, such as the largest whose anchor set still fits the anchor's level."""

    widths: tuple[int, ...]
    num_free_parameters: int
    relative_cost_to_loss: float | None


@dataclass(frozen=True)
class Candidate:
    """One network with its reasons. Per datum means one training step over the batch size.

    ``relative_cost_to_loss`` is 1 for the optimum of the sweep: the cost that the list is ordered by, at
    ``learning_rate`` and with weights ``averaged`` or raw. ``interval`` is the 90 % interval of the per-datum quantity
    and ``label`` what its numbers are: calibrated, published or estimated. ``chance`` is that of reaching the target,
    as hard as it is taken to be; ``chance_to_reach`` and ``epochs_to_reach`` say the same for easy, medium and hard
    ones, and ``epochs_until_given_up`` after how many epochs to leave a training that has not. Not known is None.
    """

    rank: int | None
    shape: str
    depth: int
    input_dim: int
    widths: tuple[int, ...]
    num_free_parameters: int
    batch_size: int
    anchor: Anchor | None
    also_fills: tuple[Anchor, ...]
    working_sets: Mapping[str, PlacedSet | None]
    memory_bytes: int
    energy_per_datum_j: float | None
    time_per_datum_s: float | None
    energy_per_epoch_j: float | None
    time_per_epoch_s: float | None
    interval: tuple[float, float] | None
    label: str
    relative_cost_to_loss: float | None
    fits_inside: Neighbour | None
    warnings: tuple[str, ...]
    why: str
    optimizer_name: str = "adam"
    learning_rate: float | None = None
    averaged: bool | None = None
    steps_per_epoch: int | None = None
    chance: float | None = None
    chance_to_reach: Mapping[str, float] | None = None
    epochs_to_reach: Mapping[str, float] | None = None
    epochs_until_given_up: float | None = None

    @property
    def topology(self) -> Topology:
        """The network as a topology."""
        return Topology(self.shape, self.input_dim, self.widths)

    def build(self) -> torch.nn.Module:
        """The network as a PyTorch module (imports torch)."""
        return self.topology.build()

    def optimizer(self, model: torch.nn.Module) -> torch.optim.Optimizer:
        """The optimizer of the request for a model, in PyTorch's fused form, at the suggested rate (imports torch).

        Without a suggestion the rate is PyTorch's default, 0.001.
        """
        from sizer.models.training import fused_optimizer

        return fused_optimizer(self.optimizer_name, model, self.learning_rate)

    def average(self, model: torch.nn.Module, observations: int | None = None) -> torch.optim.swa_utils.AveragedModel:
        """Averages of a model's weights over two epochs (imports torch): a network that predicts with them.

        Call ``.update_parameters(model)`` on it after each step. ``observations`` are the rows trained on, None those
        of the request. Raises UsageError where neither says how many.
        """
        from sizer.models.training import RunningAverage

        return RunningAverage(model, self._steps_per_epoch(observations))

    def _steps_per_epoch(self, observations: int | None) -> int:
        if observations is not None:
            return -(-check_whole("observations", observations, 1, MAX_OBSERVATIONS) // self.batch_size)
        if self.steps_per_epoch is None:
            raise UsageError("weights are averaged over two epochs: say how many observations are trained on")
        return self.steps_per_epoch


@dataclass(frozen=True)
class OneShot:
    """One size for a target, in records of earlier releases; with a difficulty it is the first candidate now."""

    candidate: Candidate
    smallest_hidden_width: int | None
    smallest_num_free_parameters: int | None
    basis: str


class Hardness(NamedTuple):
    """How hard the target is taken to be: its ratios to the best loss of any size, with weights that add up to 1.

    ``basis`` says in words what they are of: ``any target``, ``medium targets``, ``the target, after 2 pilots``.
    """

    ratios: tuple[float, ...]
    weights: tuple[float, ...]
    basis: str


class SizeRange(NamedTuple):
    """The smallest and the largest of the sizes around the best one that cost at most ``within`` times as much."""

    within: float
    smallest: Neighbour
    largest: Neighbour


class NextSize(NamedTuple):
    """A larger size to go up to where the best one fails, with the settings of its training."""

    widths: tuple[int, ...]
    num_free_parameters: int
    relative_cost_to_loss: float | None
    learning_rate: float | None
    averaged: bool | None
    chance: float | None


class AtOtherSpeed(NamedTuple):
    """The first candidate at another speed of the machine, ``factor`` times as slow as the usual one.

    ``relative_cost_of_best`` is what the usual speed's first candidate costs there, 1 where it is the same, None
    where a limit rules it out there.
    """

    factor: float
    sessions: int
    widths: tuple[int, ...]
    num_free_parameters: int
    relative_cost_of_best: float | None = None


class CurvePoint(NamedTuple):
    """One size of a sweep: its per-datum cost, its cost to a loss, and the level each working set lives on."""

    shape: str
    depth: int
    batch_size: int
    widths: tuple[int, ...]
    num_free_parameters: int
    energy_per_datum_j: float | None
    time_per_datum_s: float | None
    relative_cost_to_loss: float | None
    levels: Mapping[str, str | None]


@dataclass(frozen=True)
class Recommendation(Record):
    """Candidates in order of predicted cost to a loss, the optimum of the whole sweep, and the sweep itself.

    ``largest`` answers the inverse question (the largest network within the limits given), None when it is not asked.
    ``notes`` are sentences for the user. ``hardness`` is the prior that costs are expected over, None by equation 10
    alone. ``near_best`` are the sizes about as good as `best`, ``next_sizes`` those to go up to where it fails, and
    ``at_other_speeds`` what would come first at the machine's other speeds. ``least_cost_to_loss`` is what reaching a
    loss costs with the optimum: in the coefficients' quantity, of the training where observations are given, else of a
    row of data; by equation 10 alone up to a factor of the task. ``one_shot`` is None: with a difficulty or pilots it
    is the first candidate.
    """

    request: Request
    device: Device
    coefficients: Coefficients
    candidates: tuple[Candidate, ...]
    optimum: Candidate
    largest: Candidate | None
    curve: tuple[CurvePoint, ...]
    notes: tuple[str, ...]
    one_shot: OneShot | None = None
    hardness: Hardness | None = None
    near_best: SizeRange | None = None
    next_sizes: tuple[NextSize, ...] = ()
    at_other_speeds: tuple[AtOtherSpeed, ...] = ()
    least_cost_to_loss: float | None = None

    main = "candidates"

    def in_short(self) -> str:
        """The size to train and where."""
        best = format_network(self.best.widths, self.best.num_free_parameters)
        return f"train {best} on {self.device.id}; {counted(len(self), 'candidate')}"

    @property
    def best(self) -> Candidate:
        """The first candidate, or the optimum when no size fills a cache once to twice."""
        return self.candidates[0] if self.candidates else self.optimum

    def to_dict(self) -> dict[str, Any]:
        """The record as the JSON data ``sizer.recommendation/1``."""
        return {
            "format": RECOMMENDATION_FORMAT,
            "request": self.request.to_dict(),
            "device": device_to_dict(self.device),
            "coefficients": plain(self.coefficients),
            "candidates": plain(self.candidates),
            "optimum": plain(self.optimum),
            "largest": plain(self.largest),
            "curve": [{**point._asdict(), "widths": list(point.widths)} for point in self.curve],
            "notes": list(self.notes),
            "one_shot": plain(self.one_shot),
            "hardness": plain(self.hardness),
            "near_best": plain(self.near_best),
            "next_sizes": plain(self.next_sizes),
            "at_other_speeds": plain(self.at_other_speeds),
            "least_cost_to_loss": self.least_cost_to_loss,
        }

    @classmethod
    def from_dict(cls, record: Mapping[str, Any]) -> Recommendation:
        """Rebuild a recommendation from `to_dict`, or from its JSON."""
        return rebuild(cls, {**record, "request": Request.from_dict(record["request"])})

    def remarks(self) -> tuple[str, ...]:
        """The notes, how many parameters come on a row of data where they are many, and the device's warnings."""
        crowded = rows_note(self.best, self.request.observations)
        return (*self.notes, *crowded, *self.device.warnings)

    def rows(self) -> list[dict[str, Any]]:
        """One row a candidate, nested values flattened."""
        return [flat_row(candidate) for candidate in self.candidates]


#: Parameters a row from which overfitting is worth a word: five times what the best size has on the smallest of the
#: seven tasks that were recorded first (2^16 for the 3,190 rows of splice).
CROWDED = 100


def rows_note(candidate: Candidate, observations: int | None) -> tuple[str, ...]:
    """What to do about many parameters for few rows; nothing where they are not, or the rows are not known."""
    if observations is None or candidate.num_free_parameters < CROWDED * observations:
        return ()
    return (
        f"{candidate.num_free_parameters:,} parameters for {counted(observations, 'row')}: whether such a network "
        f"overfits is not predicted; keep validation rows aside and stop by them, or take a smaller size",
    )


#: Fields with a value for each difficulty -> the beginning of their columns.
_BY_DIFFICULTY = {"chance_to_reach": "chance", "epochs_to_reach": "epochs"}


def flat_row(candidate: Candidate) -> dict[str, Any]:
    """A candidate as one flat row: the anchor and each working set in columns of their own."""
    nested = ("anchor", "also_fills", "working_sets", "fits_inside", "warnings", "interval", *_BY_DIFFICULTY)
    row = {name: getattr(candidate, name) for name in candidate.__dataclass_fields__ if name not in nested}
    for field in Anchor._fields:
        row[f"anchor_{field}"] = candidate.anchor and getattr(candidate.anchor, field)
    for name, placed in candidate.working_sets.items():
        for field in PlacedSet._fields:
            row[f"{name}_{field}"] = placed and getattr(placed, field)
    for name, column in _BY_DIFFICULTY.items():
        by_difficulty = getattr(candidate, name) or {}
        row |= {f"{column}_{difficulty}": by_difficulty.get(difficulty) for difficulty in DIFFICULTIES}
    row["interval_low"], row["interval_high"] = candidate.interval or (None, None)
    return row
