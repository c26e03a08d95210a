"""From a request to a recommendation: sweep the sizes, keep those that fill a cache, order them by cost to a loss.

The device and the coefficients come in as records, the recommendation goes out as one.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from sizer.base.errors import UnreachableError, UsageError, one_of
from sizer.base.units import format_times, format_widths
from sizer.method.coefficients import Coefficients
from sizer.method.cost_to_loss import Law, Outlook, not_told
from sizer.method.explanation import Half, Prospects, pushed_up, why
from sizer.method.hardware import Device
from sizer.method.picks import Pick, anchors_at, largest, optimum, ranked, widths_at
from sizer.method.placement import Hierarchy
from sizer.method.recommendation import (
    AtOtherSpeed,
    Candidate,
    CurvePoint,
    Hardness,
    Neighbour,
    NextSize,
    PlacedSet,
    Recommendation,
    SizeRange,
)
from sizer.method.request import BY_DEVICE, Request
from sizer.method.sweep import (
    PricedSweep,
    Sweep,
    apply_limits,
    families,
    free_until,
    memory_bytes,
    price,
    sweep,
)
from sizer.method.training_step import DTYPES, Training

#: Bytes of a cache line where the device does not say: that of x86-64, and of most ARM cores.
_LINE_BYTES = 64
#: Sizes up to this many times as dear as the best are said to be about as good.
_NEAR = 1.1
#: A network twice as large is a step up, at most four times as large where that one is listed; so many are named. One
#: that is not listed is the cheapest up to a tenth larger, whose width is an aligned one where that pays.
_STEP_UP, _LISTED_WITHIN, _STEPS = 2.0, 4.0, 3
_ABOUT = 1.1
#: Sizes further apart than this factor have others between them that are not near the best.
_GAP = 1.5


def recommend(request: Request, device: Device, coefficients: Coefficients) -> Recommendation:
    """Recommend sizes for a device.

    Raises UnreachableError when no network fits or one costs nothing, UsageError for a level that is no cache of the
    device.
    """
    hierarchy = Hierarchy.of(device, anchored=True)
    request = _fill_defaults(request, device)
    law = Law.of(request)
    unit = vector_width(device, request.dtype) if request.by_curves else 1  # (equation 10's order is the earlier one)
    swept = [sweep(family, hierarchy, unit) for family in families(request)]
    sweeps = [price(each, coefficients, law) for each in swept]
    context = _Context(request, coefficients, law, _best_cost(sweeps))
    within = [apply_limits(priced, request, coefficients.quantity) for priced in sweeps]
    picks = ranked(within, request, unit)
    least = optimum(within)
    best = picks[0] if picks else least
    place = next(index for index, priced in enumerate(within) if priced is best.priced), best.position
    others = tuple(_at_other_speeds(swept, request, coefficients, law, unit, place))
    return Recommendation(
        request=request,
        device=device,
        coefficients=coefficients,
        candidates=tuple(context.candidate(pick, rank) for rank, pick in enumerate(picks[: request.top], start=1)),
        optimum=context.candidate(least),
        largest=context.candidate(largest(within)) if request.largest_limit_given else None,
        curve=tuple(point for priced in sweeps for point in context.curve(priced)),
        notes=(*_notes(request, bool(picks), best, others), *_free_sizes(sweeps, coefficients)),
        hardness=_hardness(request, law),
        near_best=context.near(best),
        next_sizes=tuple(context.next_sizes(best, picks)),
        at_other_speeds=others,
        least_cost_to_loss=least.cost,
    )


def _free_sizes(sweeps: Sequence[PricedSweep], coefficients: Coefficients) -> Iterator[str]:
    """On a GPU, up to which width a step waits for the program that launches it; of the first family asked for."""
    family, width = sweeps[0].sweep.family, free_until(sweeps[0].sweep, coefficients)
    if width is not None:
        yield (
            f"{family.shape} of depth {family.depth}, batch {family.training.batch_size}: a step waits for the program "
            f"that launches it up to width {width}, and size is free until there; CUDA graphs or "
            f"torch.compile(mode='reduce-overhead') would help"
        )


def _fill_defaults(request: Request, device: Device) -> Request:
    caches = tuple(level.name for level in device.caches())
    levels = caches if request.levels is None else request.levels
    for name in levels:
        if name not in caches:
            held = " that holds anything from one kernel to the next" if device.kind == "cuda" and name == "L1" else ""
            raise UsageError(f"{name!r} is no cache of {device.id}{held}; {one_of(name, caches)}")
    return replace(
        request,
        device=device.id if request.device is None else request.device,
        levels=levels,
        width_multiple=_width_multiple(request, device),
        law="curves" if request.by_curves else "paper",
    )


def _width_multiple(request: Request, device: Device) -> int:
    by_device = 1 if request.width_multiple == BY_DEVICE and device.kind == "cpu" else None
    return request.width_multiple or by_device or vector_width(device, request.dtype)


def vector_width(device: Device, dtype: str) -> int:
    """Elements that fill one cache line of the device: widths that are multiples of it waste no vector lane."""
    line = next((level.line_bytes for level in device.known_levels() if level.line_bytes), _LINE_BYTES)
    return max(1, line // DTYPES[dtype].activation_bytes)


def _best_cost(sweeps: list[PricedSweep]) -> float:
    best = min(float(priced.to_loss.min()) for priced in sweeps)
    if np.isfinite(best):
        return best
    raise UnreachableError(
        "no network of this request fits the device's memory: even the smallest has a working set (or a data set) that "
        "no level holds; reduce input_dim, batch_size or observations, or name a larger --device"
    )


def _hardness(request: Request, law: Law) -> Hardness | None:
    if law.known is None:
        return None
    basis = "any target" if request.difficulty is None else f"{request.difficulty} targets"
    if request.pilots:
        basis = f"the target, after {len(request.pilots)} pilots"
    return Hardness(tuple(law.ratios.tolist()), tuple(law.weights.tolist()), basis)


def _at_other_speeds(
    swept: list[Sweep], request: Request, coefficients: Coefficients, law: Law, unit: int, place: tuple[int, int]
) -> Iterator[AtOtherSpeed]:
    """What comes first at each other speed of the machine; ``place`` is the sweep and position of what does usually."""
    for speed in coefficients.other_speeds:
        at_speed = replace(coefficients, terms=speed.terms)
        sweeps = [apply_limits(price(each, at_speed, law), request, coefficients.quantity) for each in swept]
        if picks := ranked(sweeps, request, unit):
            first, usual = picks[0], float(sweeps[place[0]].to_loss[place[1]])
            parameters = int(first.priced.sweep.num_free_parameters[first.position])
            dearer = usual / first.cost if usual < math.inf else None  # (a limit may hold at one speed only)
            yield AtOtherSpeed(speed.factor, speed.sessions, first.widths, parameters, dearer)


@dataclass(frozen=True)
class _Context:
    """What every candidate's record needs beside its own position."""

    request: Request
    coefficients: Coefficients
    law: Law
    best_cost: float

    def candidate(self, pick: Pick, rank: int | None = None) -> Candidate:
        """The record of one network."""
        swept, index = pick.priced.sweep, pick.position
        placed = _placed_sets(swept, index)
        neighbour = self._fitting_inside(pick)
        outlook = self._outlook(pick.priced, index)
        return Candidate(
            rank=rank,
            shape=swept.family.shape,
            depth=swept.family.depth,
            input_dim=swept.family.input_dim,
            widths=pick.widths,
            num_free_parameters=int(swept.num_free_parameters[index]),
            batch_size=swept.family.training.batch_size,
            anchor=pick.anchor,
            also_fills=tuple(anchor for anchor in anchors_at(pick.priced, index) if anchor != pick.anchor),
            working_sets=placed,
            memory_bytes=int(memory_bytes(swept)[index]),
            **self._quantities(float(pick.priced.per_datum[index]), swept.family.training),
            label=self.coefficients.label,
            relative_cost_to_loss=self._relative(pick.cost),
            fits_inside=neighbour,
            warnings=tuple(pushed_up(swept, index)),
            why=why(swept, placed, pick.anchor, neighbour, self._prospects(pick, outlook)),
            optimizer_name=self.request.optimizer,
            **self._training(pick.priced, index),
            **({} if outlook is None else outlook._asdict()),
        )

    def curve(self, priced: PricedSweep) -> Iterator[CurvePoint]:
        """Every network of a sweep as a point of the curve."""
        swept = priced.sweep
        per_datum = priced.per_datum.tolist()
        unknown = [None] * len(per_datum)
        levels = zip(*(swept.level_names(name) for name in swept.set_names), strict=True)
        for widths, parameters, energy_j, time_s, cost, lives in zip(
            swept.networks.full[1:].T.tolist(),
            swept.num_free_parameters.tolist(),
            per_datum if self._knows("energy") else unknown,
            per_datum if self._knows("time") else unknown,
            priced.to_loss.tolist(),
            levels,
            strict=True,
        ):
            level_of = dict(zip(swept.set_names, lives, strict=True))
            relative = self._relative(cost)
            yield CurvePoint(*swept.family.key, tuple(widths), parameters, energy_j, time_s, relative, level_of)

    def _knows(self, quantity: str) -> bool:
        return self.coefficients.source != "none" and self.coefficients.quantity == quantity

    def _quantities(self, per_datum: float, training: Training) -> dict[str, Any]:
        """Energy and time per datum and per epoch with the interval; None where they are not known."""
        quantities: dict[str, Any] = {"interval": None}
        for quantity, unit in (("energy", "j"), ("time", "s")):
            known = per_datum if self._knows(quantity) else None
            quantities[f"{quantity}_per_datum_{unit}"] = known
            steps = None if training.observations is None else -(-training.observations // training.batch_size)
            whole = None if known is None or steps is None else known * training.batch_size * steps
            quantities[f"{quantity}_per_epoch_{unit}"] = whole
        if self.coefficients.source != "none" and self.coefficients.interval is not None:
            low, high = self.coefficients.interval
            quantities["interval"] = per_datum * low, per_datum * high
        return quantities

    def _relative(self, cost: float) -> float | None:
        return cost / self.best_cost if cost < math.inf else None

    def _training(self, priced: PricedSweep, index: int) -> dict[str, Any]:
        """How a network is trained at the cost that it is given."""
        training, settings = priced.sweep.family.training, self._settings(priced, index)
        steps = None if training.observations is None else -(-training.observations // training.batch_size)
        return {**settings, "steps_per_epoch": steps}

    def _settings(self, priced: PricedSweep, index: int) -> dict[str, Any]:
        """The learning rate and whether weights are averaged; None where the law does not say."""
        if not self.law.rated or not np.isfinite(priced.learning_rate[index]):
            return {"learning_rate": None, "averaged": None}
        return {"learning_rate": float(priced.learning_rate[index]), "averaged": bool(priced.averaged[index])}

    def _outlook(self, priced: PricedSweep, index: int) -> Outlook | None:
        swept, rate, averaged = priced.sweep, float(priced.learning_rate[index]), bool(priced.averaged[index])
        full = swept.networks.full[:, index : index + 1]
        return self.law.outlook(full, swept.family.training, rate, averaged)

    def _prospects(self, pick: Pick, outlook: Outlook | None) -> Prospects | None:
        """The chance of the target, and what a network half as wide would cost and risk."""
        if outlook is None:
            return None
        hardness = self.request.difficulty or ("target" if self.request.pilots else "medium")
        chance = _chance(outlook, hardness)
        widths, priced = pick.priced.sweep.first_widths, pick.priced
        index = int(np.argmin(np.abs(widths - widths[pick.position] / 2)))
        half = self._outlook(priced, index)
        if half is None or index == pick.position:  # (the narrowest has no half)
            return Prospects(hardness, chance, None)
        saved = 1 - float(priced.per_datum[index] / priced.per_datum[pick.position])
        return Prospects(hardness, chance, Half(saved, _chance(half, hardness)))

    def _fitting_inside(self, pick: Pick) -> Neighbour | None:
        """The largest network of the sweep whose anchor set still fits the anchor's level."""
        if pick.anchor is None:
            return None
        window = pick.priced.windows[pick.anchor.working_set, pick.anchor.level]
        fitting = np.flatnonzero(window.fill[: pick.position] <= 1.0)
        return self._neighbour(pick.priced, int(fitting[-1])) if len(fitting) else None

    def _neighbour(self, priced: PricedSweep, index: int) -> Neighbour:
        swept, relative = priced.sweep, self._relative(float(priced.to_loss[index]))
        return Neighbour(widths_at(swept, index), int(swept.num_free_parameters[index]), relative)

    def near(self, best: Pick) -> SizeRange:
        """The sizes around the best one that cost about as little; unaligned widths between them may cost more."""
        sizes = best.priced.sweep.num_free_parameters
        cheap = np.flatnonzero(best.priced.to_loss <= _NEAR * best.cost)
        apart = np.flatnonzero(sizes[cheap[1:]] > _GAP * sizes[cheap[:-1]])
        stretches = np.split(cheap, apart + 1)
        around = next(stretch for stretch in stretches if stretch[0] <= best.position <= stretch[-1])
        ends = (self._neighbour(best.priced, int(index)) for index in (around[0], around[-1]))
        return SizeRange(_NEAR, *ends)

    def next_sizes(self, best: Pick, picks: Sequence[Pick]) -> Iterator[NextSize]:
        """Larger sizes of the best one's family, each an octave up: a listed one where it is near."""
        priced, sizes = best.priced, best.priced.sweep.num_free_parameters
        listed = [pick.position for pick in picks if pick.priced is priced]
        index = best.position
        for _ in range(_STEPS):
            times = sizes / sizes[index]
            enough = np.flatnonzero((times >= _STEP_UP) & np.isfinite(priced.to_loss))
            if not len(enough):
                return
            near = [position for position in listed if position >= enough[0] and times[position] <= _LISTED_WITHIN]
            alike = enough[sizes[enough] <= _ABOUT * sizes[enough[0]]]
            index = min(near) if near else int(alike[np.argmin(priced.to_loss[alike])])
            outlook, known = self._outlook(priced, index), self._neighbour(priced, index)
            settings = self._settings(priced, index)
            yield NextSize(*known, **settings, chance=None if outlook is None else outlook.chance)


def _chance(outlook: Outlook, hardness: str) -> float:
    return outlook.chance if hardness == "target" else outlook.chance_to_reach[hardness]


def _placed_sets(swept: Sweep, index: int) -> dict[str, PlacedSet | None]:
    """Each working set's size and level; None for the sets that the purpose or a missing data set leaves out."""
    placed: dict[str, PlacedSet | None] = dict.fromkeys(("f", "b", "o", "t_max", "d"))
    for name in swept.set_names:
        level = swept.networks.hierarchy.name(int(swept.networks.placement(name).level[index]))
        placed[name] = PlacedSet(int(swept.networks.working_set(name).total[index]), level)
    return placed


def _notes(request: Request, anchored: bool, best: Pick, others: Sequence[AtOtherSpeed]) -> Iterator[str]:
    if not anchored:
        yield (
            "no size of this request fills a cache once to twice; the optimum of the sweep is given instead. "
            "Try another depth, batch size or --levels"
        )
    for other in others:
        if anchored and other.widths != best.widths:
            dearer = other.relative_cost_of_best
            there = "is beyond the limit" if dearer is None else f"costs {format_times(dearer)} as much"
            yield (
                f"at another speed of this machine, {other.factor:.2f} times the usual time ({other.sessions} of its "
                f"sessions), {format_widths(other.widths)} would come first instead of {format_widths(best.widths)}, "
                f"which {there} there"
            )
    yield from not_told(request)
    if request.by_curves and request.largest_limit_given:
        yield (
            "a size that fails is taken to be followed by the next octave, beyond the limit given too: near the limit, "
            "what a size reaches counts more than its rank"
        )
