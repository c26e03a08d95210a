"""What a family's record says, from traced members and the times of a few: fit, order, windows, reasons."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from sizer.base.errors import UnreachableError
from sizer.base.units import format_bytes, format_quantity
from sizer.families.advice import Change, Rated, advise
from sizer.families.fit import MEASURED_AGAIN, FamilyFit, fit, predict
from sizer.families.making import Family
from sizer.families.record import (
    FamilyAdvice,
    FamilyFitRecord,
    FamilyPoint,
    FamilyRecommendation,
    FamilySize,
    SkippedSize,
    TimedSize,
    values_text,
)
from sizer.families.request import FamilyRequest
from sizer.families.terms import terms
from sizer.families.timing import Timed
from sizer.families.tracing import Left, Traced
from sizer.method.epochs_to_loss import relative_epochs
from sizer.method.explanation import SET_CONTENTS, home
from sizer.method.hardware import Device
from sizer.method.placement import NOWHERE, FloatArray, Hierarchy, Placement, Placements, fill
from sizer.method.recommendation import Anchor, PlacedSet
from sizer.method.sweep import ANCHOR_SETS, WINDOW
from sizer.method.training_step import SET_NAMES
from sizer.method.working_sets import BoolArray, WorkingSets

#: Sets that count: those that may be anchors in a training.
_SETS = ANCHOR_SETS["training"]


def weights(request: FamilyRequest, members: Sequence[Traced]) -> FloatArray:
    """What the time of a step counts in what sizes are ordered by, shape (N,)."""
    per_datum = 1 / np.array([one.observations for one in members], dtype=np.float64)
    if request.rank_by == "time":
        return per_datum
    return np.asarray(per_datum * relative_epochs([one.memory.num_trainable_parameters for one in members]))


@dataclass(frozen=True)
class Answer:
    """Everything that a record is made of."""

    family: Family
    device: Device
    hierarchy: Hierarchy
    members: Sequence[Traced]
    sets: WorkingSets
    placements: Placements
    timed: Sequence[Timed]
    left: Sequence[Left]
    threads: int

    @cached_property
    def positions(self) -> list[int]:
        """Where the timed members stand among all."""
        place = {one.values: index for index, one in enumerate(self.members)}
        return [place[one.values] for one in self.timed]

    @cached_property
    def _quiet(self) -> set[int]:
        """Positions of those that were timed undisturbed."""
        return {place for place, one in zip(self.positions, self.timed, strict=True) if one.quiet}

    @cached_property
    def fit(self) -> FamilyFit:
        """The fit to the timed members."""
        rows = {name: counts[self.positions] for name, counts in terms(self.members).items()}
        return fit(rows, np.array([one.step_s for one in self.timed]))

    @cached_property
    def step_s(self) -> FloatArray:
        """The time of each member's step: measured where it was timed, else predicted."""
        times = predict(terms(self.members), self.fit)
        times[self.positions] = [one.step_s for one in self.timed]
        return times

    @cached_property
    def per_datum_s(self) -> FloatArray:
        """The time of a datum of each member."""
        return np.asarray(self.step_s / np.array([one.observations for one in self.members]))

    @cached_property
    def cost(self) -> FloatArray:
        """What members are ordered by, infinite beyond the limits."""
        request = self.family.request
        cost = np.asarray(self.step_s * weights(request, self.members))
        allowed = np.ones(len(cost), dtype=bool)
        if request.max_bytes is not None:
            allowed &= np.array([one.memory_bytes for one in self.members]) <= request.max_bytes
        if request.max_time is not None:
            allowed &= self.step_s <= request.max_time
        if not (allowed & np.isfinite(cost)).any():
            raise UnreachableError(
                "no size is within the limits given; even the smallest exceeds them: raise the limit"
            )
        return np.where(allowed, cost, np.inf)

    def record(self) -> FamilyRecommendation:
        """The answer."""
        request, best = self.family.request, int(np.argmin(self.cost))
        limited = request.max_bytes is not None or request.max_time is not None
        sizes = np.array([one.memory.num_trainable_parameters for one in self.members])
        within = np.where(np.isfinite(self.cost), sizes, -1)
        return FamilyRecommendation(
            request=request,
            device=self.device,
            module=self.members[best].module,
            batch_size=self.members[best].observations,
            candidates=tuple(self._size(one, rank) for rank, one in enumerate(self._listed(), 1))[: request.top],
            optimum=self._size(best),
            largest=self._size(int(np.argmax(within))) if limited else None,
            curve=tuple(map(self._point, self._by_size())),
            timed=tuple(self._timed()),
            skipped=tuple(SkippedSize(request.named(one.values), one.reason) for one in self.left),
            fit=FamilyFitRecord(self.fit.terms, self.fit.mean_error, self.fit.interval),
            threads=self.threads,
            notes=tuple(self._notes()),
            advice=tuple(self._advice()),
        )

    @cached_property
    def change(self) -> Change | None:
        """The change of the size that is trained now, by positions; None without one that pays."""
        place = {one.values: index for index, one in enumerate(self.members)}
        now = place.get(self.family.request.now or ())
        if now is None:
            return None
        weights = np.where(np.isfinite(self.cost), self.cost / self.step_s, np.nan)
        return advise(
            [
                Rated(
                    float(self.step_s[index]),
                    self.interval(index),
                    one.memory.num_trainable_parameters,
                    None if np.isnan(weights[index]) else float(f"{weights[index]:.9g}"),
                )
                for index, one in enumerate(self.members)
            ],
            now,
        )

    def _advice(self) -> Iterator[FamilyAdvice]:
        named = self.family.request.named
        if self.change is not None:
            before, after = (self.members[index].values for index in self.change[:2])
            yield FamilyAdvice(named(before), named(after), *self.change[2:])

    def _by_size(self) -> list[int]:
        return sorted(range(len(self.members)), key=lambda one: self.members[one].memory.num_trainable_parameters)

    def _listed(self) -> list[int]:
        """The cheapest member of every window, each once, cheapest first."""
        found: dict[int, None] = {}
        for name, level in self._windows():
            cost = np.where(self._inside(name, level), self.cost, np.inf)
            if np.isfinite(cost.min()):
                found[int(np.argmin(cost))] = None
        return sorted(found, key=lambda one: self.cost[one])

    def _windows(self) -> Iterator[tuple[str, int]]:
        levels = self.family.request.levels
        for level, level_name in self.hierarchy.caches():
            if levels is None or level_name in levels:
                yield from ((name, level) for name in _SETS)

    def _inside(self, name: str, level: int) -> BoolArray:
        """Members of which a set fills a cache once to twice and does not live nearer."""
        filled, lives = self._fill(name, level), self._placement(name).level
        inside = (filled >= WINDOW[0]) & (filled <= WINDOW[1]) & ((lives >= level) | (lives == NOWHERE))
        return np.asarray(inside)

    def _fill(self, name: str, level: int) -> FloatArray:
        return fill(getattr(self.sets, name), self.hierarchy, level)

    def _placement(self, name: str) -> Placement:
        found: Placement = getattr(self.placements, name)
        return found

    def _anchors(self, index: int) -> list[Anchor]:
        return [
            Anchor(name, self.hierarchy.names[level], float(self._fill(name, level)[index]))
            for name, level in self._windows()
            if self._inside(name, level)[index]
        ]

    def interval(self, index: int) -> tuple[float, float]:
        """The 90 % interval of a member's step in s; a timing that was never undisturbed tells no more than the fit."""
        low, high = MEASURED_AGAIN if index in self._quiet else self.fit.interval
        return low * float(self.step_s[index]), high * float(self.step_s[index])

    def _label(self, index: int) -> str:
        return "measured" if index in self.positions else "calibrated"

    def _relative(self, index: int) -> float | None:
        relative = float(self.cost[index] / self.cost.min())
        return relative if np.isfinite(relative) else None

    def _placed(self, index: int) -> dict[str, PlacedSet | None]:
        return {
            name: PlacedSet(
                int(getattr(self.sets, name).total[index]),
                self.hierarchy.name(int(self._placement(name).level[index])),
            )
            for name in ("f", "b", "o", "t_max")
        } | {"d": None}

    def _size(self, index: int, rank: int | None = None) -> FamilySize:
        member, anchors, placed = self.members[index], self._anchors(index), self._placed(index)
        return FamilySize(
            rank=rank,
            values=self.family.request.named(member.values),
            num_parameters=member.memory.num_parameters,
            num_free_parameters=member.memory.num_trainable_parameters,
            flops=member.flops,
            anchor=anchors[0] if anchors else None,
            also_fills=tuple(anchors[1:]),
            working_sets=placed,
            memory_bytes=member.memory_bytes,
            time_per_step_s=float(self.step_s[index]),
            time_per_datum_s=float(self.per_datum_s[index]),
            interval=self.interval(index),
            label=self._label(index),
            relative_cost=self._relative(index),
            why=self._why(placed, anchors),
        )

    def _why(self, placed: Mapping[str, PlacedSet | None], anchors: Sequence[Anchor]) -> str:
        """Which set fills which cache, and where the others live."""
        capacities = dict(zip(self.hierarchy.names, self.hierarchy.capacities, strict=True))
        parts = [f"{SET_NAMES[name]} in {home(name, placed, capacities)}" for name in _SETS]
        if not anchors:
            return "; ".join(["no set fills a cache once to twice", *parts])
        name, level, times = anchors[0]
        filling = placed[name]
        said = f"{SET_NAMES[name]} ({SET_CONTENTS[name]}; {format_bytes(filling and filling.bytes)})"
        fills = "fill" if name in ("f", "t_max") else "fills"  # (weights and activations are several)
        return "; ".join([f"{said} {fills} {level} {times:.2f} times", *parts])

    def _point(self, index: int) -> FamilyPoint:
        member = self.members[index]
        lives = {name: self.hierarchy.name(int(self._placement(name).level[index])) for name in _SETS}
        return FamilyPoint(
            self.family.request.named(member.values),
            member.memory.num_trainable_parameters,
            member.flops,
            float(self.step_s[index]),
            float(self.per_datum_s[index]),
            self.interval(index),
            self._label(index),
            self._relative(index),
            lives,
        )

    def _timed(self) -> Iterator[TimedSize]:
        for one, ratio in zip(self.timed, self.fit.ratios, strict=True):
            named = self.family.request.named(one.values)
            yield TimedSize(named, one.step_s, one.rounds, one.quiet, ratio * one.step_s)

    def _unchanged(self) -> Iterator[str]:
        """What to know where advice was asked for and there is none."""
        now = self.family.request.now
        if now is not None and self.change is None:
            named = values_text(self.family.request.named(now))
            here = any(one.values == now for one in self.members)
            yield f"no change of {named} pays for certain" if here else f"{named}, trained now, is among those left out"

    def _notes(self) -> Iterator[str]:
        """What to know of the order, of sizes that were only foreseen, of the machine."""
        if self.family.request.rank_by == "loss":
            yield (
                "sizes are ordered by the time of a datum and the epochs of the paper's equation 10; that law was not "
                "tested for this family: --rank-by time orders by time alone"
            )
        largest = max(self.timed, key=lambda one: one.step_s)
        beyond = [index for index in range(len(self.members)) if self.step_s[index] > 1.1 * largest.step_s]
        if beyond:
            named = values_text(self.family.request.named(largest.values))
            slower = (
                f"{len(beyond)} of {len(self.members)} sizes {'is' if len(beyond) == 1 else 'are'} slower than {named}"
            )
            yield (
                f"{slower}, the slowest that was timed ({format_quantity(largest.step_s, 's')}): their times are "
                f"extrapolated; a longer --budget times them"
            )
        if busy := [one for one in self.timed if not one.quiet]:
            yield (
                f"{len(busy)} of {len(self.timed)} timed sizes {'was' if len(busy) == 1 else 'were'} never timed "
                f"undisturbed: times may be too high; run it again when the machine is quiet"
            )
        yield from self._unchanged()
        yield from dict.fromkeys(note for one in self.members for note in one.notes)
