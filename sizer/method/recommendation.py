"""The record that `recommend` answers with: candidates, the optimum beside them, and the curve they lie on."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple

from sizer.base.records import Record, plain, rebuild
from sizer.method.coefficients import Coefficients
from sizer.method.hardware import Device, device_to_dict
from sizer.method.request import Request
from sizer.models.topology import Topology

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
    """The largest network of the same family whose anchor set still fits the anchor's level."""

    widths: tuple[int, ...]
    num_free_parameters: int
    relative_cost_to_loss: float | None


@dataclass(frozen=True)
class Candidate:
    """One network with its reasons. Per datum means one training step over the batch size.

    ``relative_cost_to_loss`` is 1 for the optimum of the sweep. ``interval`` is the 90 % interval of the per-datum
    quantity and ``label`` what its numbers are: calibrated, published or estimated. Not known is None.
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

    @property
    def topology(self) -> Topology:
        """The network as a topology."""
        return Topology(self.shape, self.input_dim, self.widths)

    def build(self) -> torch.nn.Module:
        """The network as a PyTorch module (imports torch)."""
        return self.topology.build()


@dataclass(frozen=True)
class OneShot:
    """One size for a target, placed without training: the cheapest by the law among those large enough.

    ``smallest_hidden_width`` and ``smallest_num_free_parameters`` are what the target is taken to need (None: no such
    limit), and ``basis`` says why.
    """

    candidate: Candidate
    smallest_hidden_width: int | None
    smallest_num_free_parameters: int | None
    basis: str


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
    ``one_shot`` is the one size for a target, None when none is asked for or none is large enough. ``notes`` are
    sentences for the user.
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
        }

    @classmethod
    def from_dict(cls, record: Mapping[str, Any]) -> Recommendation:
        """Rebuild a recommendation from `to_dict`, or from its JSON."""
        return rebuild(cls, {**record, "request": Request.from_dict(record["request"])})

    def remarks(self) -> tuple[str, ...]:
        """The notes and the device's warnings."""
        return (*self.notes, *self.device.warnings)

    def rows(self) -> list[dict[str, Any]]:
        """One row a candidate, nested values flattened."""
        return [flat_row(candidate) for candidate in self.candidates]


def flat_row(candidate: Candidate) -> dict[str, Any]:
    """A candidate as one flat row: the anchor and each working set in columns of their own."""
    nested = ("anchor", "also_fills", "working_sets", "fits_inside", "warnings", "interval")
    row = {name: getattr(candidate, name) for name in candidate.__dataclass_fields__ if name not in nested}
    for field in Anchor._fields:
        row[f"anchor_{field}"] = candidate.anchor and getattr(candidate.anchor, field)
    for name, placed in candidate.working_sets.items():
        for field in PlacedSet._fields:
            row[f"{name}_{field}"] = placed and getattr(placed, field)
    row["interval_low"], row["interval_high"] = candidate.interval or (None, None)
    return row
