"""The record that a family of modules is answered with: sizes, the optimum beside them, what was timed. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

from sizer.base.records import Record, plain, rebuild
from sizer.base.units import counted
from sizer.families.request import FamilyRequest
from sizer.method.hardware import Device, device_to_dict
from sizer.method.recommendation import Anchor, PlacedSet

FAMILY_FORMAT = "sizer.family/1"


class TimedSize(NamedTuple):
    """A size that was timed: its quiet step in s, the least of so many rounds; ``quiet`` is whether one was calm.

    ``predicted_s`` is what a fit without it says of it.
    """

    values: Mapping[str, int]
    time_per_step_s: float
    rounds: int
    quiet: bool
    predicted_s: float


class SkippedSize(NamedTuple):
    """A size that is left out, and why."""

    values: Mapping[str, int]
    reason: str


class FamilyPoint(NamedTuple):
    """One size of the sweep. ``label`` is ``measured`` where it was timed, else ``calibrated``: by the fit to those.

    ``interval`` is the 90 % interval of ``time_per_step_s``; ``relative_cost`` is 1 for the cheapest size in what the
    list is ordered by, None for a size beyond the limits; ``levels`` is where each working set lives.
    """

    values: Mapping[str, int]
    num_free_parameters: int
    flops: int
    time_per_step_s: float
    time_per_datum_s: float
    interval: tuple[float, float]
    label: str
    relative_cost: float | None
    levels: Mapping[str, str | None]


@dataclass(frozen=True)
class FamilySize:
    """One size with its reasons; the fields of a `FamilyPoint`, and what fills which cache. Not known is None.

    ``num_free_parameters`` are those that are trained.
    """

    rank: int | None
    values: Mapping[str, int]
    num_parameters: int
    num_free_parameters: int
    flops: int
    anchor: Anchor | None
    also_fills: tuple[Anchor, ...]
    working_sets: Mapping[str, PlacedSet | None]
    memory_bytes: int
    time_per_step_s: float
    time_per_datum_s: float
    interval: tuple[float, float]
    label: str
    relative_cost: float | None
    why: str


class FamilyFitRecord(NamedTuple):
    """The fit: costs of its terms in s a unit counted, its error on timed sizes that it did not see, its interval."""

    terms: Mapping[str, float]
    mean_error: float
    interval: tuple[float, float]


class FamilyAdvice(NamedTuple):
    """A change of the size that is trained now which pays even at the worse end of the predicted interval.

    ``parameters`` is the relative change of the trained parameters, ``effect`` that of the time of a step, ``interval``
    its 90 % interval; ``measured`` what both timed in turn showed, None where they were not.
    """

    before: Mapping[str, int]
    after: Mapping[str, int]
    parameters: float
    effect: float
    interval: tuple[float, float]
    measured: float | None = None


@dataclass(frozen=True)
class FamilyRecommendation(Record):
    """Sizes of a family of modules in order of ``request.rank_by``, the optimum of all, and the sweep itself.

    ``batch_size`` are the observations of a step; ``candidates`` fill a cache once to twice, ``optimum`` is the
    cheapest size of all, ``largest`` the largest within limits where any were given; ``advice`` is on the size that is
    trained now. ``notes`` are sentences for the user.
    """

    request: FamilyRequest
    device: Device
    module: str
    batch_size: int
    candidates: tuple[FamilySize, ...]
    optimum: FamilySize
    largest: FamilySize | None
    curve: tuple[FamilyPoint, ...]
    timed: tuple[TimedSize, ...]
    skipped: tuple[SkippedSize, ...]
    fit: FamilyFitRecord
    threads: int
    notes: tuple[str, ...]
    advice: tuple[FamilyAdvice, ...] = ()

    main = "candidates"

    #: A first candidate is as good as the optimum up to this factor: half of the timings' own noise
    #: (docs/families.md), so that the size with a reason comes first.
    _AS_GOOD = 1.01

    def in_short(self) -> str:
        """The size to train and where."""
        return (
            f"{self.module} with {values_text(self.best.values)} on {self.device.id}; {counted(len(self), 'candidate')}"
        )

    @property
    def best(self) -> FamilySize:
        """The size to train: the first candidate where it costs no more than the optimum, else the optimum."""
        first = self.candidates[0] if self.candidates else self.optimum
        cost = first.relative_cost
        return first if cost is not None and cost <= self._AS_GOOD else self.optimum

    def to_dict(self) -> dict[str, Any]:
        """The record as the JSON data ``sizer.family/1``."""
        return {"format": FAMILY_FORMAT, **plain(self), "device": device_to_dict(self.device)}

    @classmethod
    def from_dict(cls, record: Mapping[str, Any]) -> FamilyRecommendation:
        """Rebuild a recommendation from `to_dict`, or from its JSON."""
        return rebuild(cls, record)

    def remarks(self) -> tuple[str, ...]:
        """The notes, which sizes are left out, and the device's warnings."""
        return (*self.notes, *_skipped(self.skipped), *self.device.warnings)

    def rows(self) -> list[dict[str, Any]]:
        """One row a candidate, nested values flattened."""
        return [flat_row(candidate) for candidate in self.candidates]


def _skipped(sizes: tuple[SkippedSize, ...]) -> list[str]:
    """A sentence for each reason, with the sizes that it is of."""
    by_reason: dict[str, list[str]] = {}
    for one in sizes:
        by_reason.setdefault(one.reason, []).append(values_text(one.values))
    return [f"left out: {_few(names)}: {reason}" for reason, names in by_reason.items()]


def _few(names: list[str]) -> str:
    return ", ".join(names) if len(names) <= 4 else f"{', '.join(names[:3])} and {len(names) - 3} more"


def values_text(values: Mapping[str, int]) -> str:
    """A size as people say it: ``width 96``, ``d_model 128, layers 4``."""
    return ", ".join(f"{name} {value}" for name, value in values.items())


def size_text(size: FamilySize | FamilyPoint) -> str:
    """A size with its parameters."""
    return f"{values_text(size.values)} ({counted(size.num_free_parameters, 'parameter')})"


def flat_row(size: FamilySize) -> dict[str, Any]:
    """A size as one flat row: varied values, the anchor and each working set in columns of their own."""
    nested = ("values", "anchor", "also_fills", "working_sets", "interval")
    row: dict[str, Any] = {"rank": size.rank, **size.values}
    row |= {name: getattr(size, name) for name in size.__dataclass_fields__ if name not in (*nested, "rank")}
    for field in Anchor._fields:
        row[f"anchor_{field}"] = size.anchor and getattr(size.anchor, field)
    for name, placed in size.working_sets.items():
        for field in PlacedSet._fields:
            row[f"{name}_{field}"] = placed and getattr(placed, field)
    row["interval_low"], row["interval_high"] = size.interval
    return row
