"""From a request to a recommendation: sweep the sizes, keep those that fill a cache, order them by cost to a loss.

The device and the coefficients come in as records, the recommendation goes out as one.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any, NamedTuple

import numpy as np

from sizer.base.errors import UnreachableError, UsageError
from sizer.method.coefficients import Coefficients
from sizer.method.epochs_to_loss import Reach, reach_of
from sizer.method.explanation import pushed_up, why
from sizer.method.hardware import Device
from sizer.method.placement import Hierarchy
from sizer.method.recommendation import Anchor, Candidate, CurvePoint, Neighbour, OneShot, PlacedSet, Recommendation
from sizer.method.request import Request
from sizer.method.sweep import (
    ANCHOR_SETS,
    PricedSweep,
    Sweep,
    apply_limits,
    families,
    free_until,
    large_enough,
    memory_bytes,
    price,
    sweep,
)
from sizer.method.training_step import DTYPES, Training
from sizer.models.shapes import SHAPES

#: Bytes of a cache line where the device does not say: that of x86-64, and of most ARM cores.
_LINE_BYTES = 64


class _Pick(NamedTuple):
    """A network of a sweep, by position, with the cache it fills."""

    priced: PricedSweep
    position: int
    anchor: Anchor | None

    @property
    def widths(self) -> tuple[int, ...]:
        """Output width of each layer."""
        return _widths(self.priced.sweep, self.position)

    @property
    def cost(self) -> float:
        """Its cost to a loss."""
        return float(self.priced.to_loss[self.position])


def recommend(request: Request, device: Device, coefficients: Coefficients) -> Recommendation:
    """Recommend sizes for a device.

    Raises UnreachableError when no network fits, UsageError for a level that is no cache of the device.
    """
    hierarchy = Hierarchy.of(device, anchored=True)
    request = _fill_defaults(request, device)
    sweeps = [price(sweep(family, hierarchy), coefficients) for family in families(request)]
    context = _Context(request, coefficients, _best_cost(sweeps))
    within = [apply_limits(priced, request, coefficients.quantity) for priced in sweeps]
    picks = sorted(_distinct(_picks(within, request)), key=lambda pick: pick.cost)
    reach = reach_of(request.difficulty, request.pilots, request.target_loss)
    one_shot = None if reach is None else _one_shot(within, reach, context)
    return Recommendation(
        request=request,
        device=device,
        coefficients=coefficients,
        candidates=tuple(context.candidate(pick, rank) for rank, pick in enumerate(picks[: request.top], start=1)),
        optimum=context.candidate(_optimum(within)),
        largest=context.candidate(_largest(within)) if request.largest_limit_given else None,
        curve=tuple(point for priced in sweeps for point in context.curve(priced)),
        notes=(*_notes(request, bool(picks), reach if one_shot is None else None), *_free_sizes(sweeps, coefficients)),
        one_shot=one_shot,
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
            raise UsageError(f"{name!r} is no cache of {device.id}{held}; expected one of {', '.join(caches)}")
    return replace(
        request,
        device=device.id if request.device is None else request.device,
        levels=levels,
        width_multiple=request.width_multiple or vector_width(device, request.dtype),
    )


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


def _picks(sweeps: list[PricedSweep], request: Request) -> Iterator[_Pick]:
    """The cheapest network of every window, each network once with the first anchor that it fills."""
    for priced in sweeps:
        anchors: dict[int, Anchor] = {}
        for name, level in itertools.product(ANCHOR_SETS[request.purpose], request.levels or ()):
            window = priced.windows[name, level]
            costs = np.where(window.inside, priced.to_loss, np.inf)
            cheapest = int(np.argmin(costs))
            if np.isfinite(costs[cheapest]):
                anchors.setdefault(cheapest, Anchor(name, level, float(window.fill[cheapest])))
        yield from (_Pick(priced, index, anchor) for index, anchor in anchors.items())


def _distinct(picks: Iterator[_Pick]) -> Iterator[_Pick]:
    """Each network once, under the first shape asked for: at depth 2 all shapes are the same network."""
    seen = set()
    for pick in picks:
        swept = pick.priced.sweep
        key = swept.family.training.batch_size, pick.widths, int(swept.networks.additions[pick.position])
        if key not in seen:
            seen.add(key)
            yield pick


def _optimum(sweeps: list[PricedSweep]) -> _Pick:
    """The cheapest network of the whole sweep, whether or not it fills a cache."""
    priced = min(sweeps, key=lambda priced: float(priced.to_loss.min()))
    return _anchored(priced, int(np.argmin(priced.to_loss)))


def _largest(sweeps: list[PricedSweep]) -> _Pick:
    """The network with the most parameters within the limits. Raises UnreachableError when none is."""
    sizes = [np.where(np.isfinite(priced.to_loss), priced.sweep.num_free_parameters, 0) for priced in sweeps]
    which = int(np.argmax([size.max() for size in sizes]))
    return _anchored(sweeps[which], int(np.argmax(sizes[which])))


def _anchored(priced: PricedSweep, index: int) -> _Pick:
    if not np.isfinite(priced.to_loss[index]):
        raise UnreachableError("no network is within the limits given; even the smallest exceeds them: raise the limit")
    return _Pick(priced, index, next(_anchors_at(priced, index), None))


def _anchors_at(priced: PricedSweep, index: int) -> Iterator[Anchor]:
    """Every cache that the network at this position fills once to twice."""
    for (name, level), window in priced.windows.items():
        if window.inside[index]:
            yield Anchor(name, level, float(window.fill[index]))


def _one_shot(sweeps: list[PricedSweep], reach: Reach, context: _Context) -> OneShot | None:
    """The cheapest network of those that are large enough and within the limits, None where there is none."""
    enough = [large_enough(priced, reach) for priced in sweeps]
    if not any(np.isfinite(priced.to_loss).any() for priced in enough):
        return None
    return OneShot(context.candidate(_optimum(enough)), reach.hidden_width, reach.num_free_parameters, reach.why)


@dataclass(frozen=True)
class _Context:
    """What every candidate's record needs beside its own position."""

    request: Request
    coefficients: Coefficients
    best_cost: float

    def candidate(self, pick: _Pick, rank: int | None = None) -> Candidate:
        """The record of one network."""
        swept, index = pick.priced.sweep, pick.position
        placed = _placed_sets(swept, index)
        neighbour = self._neighbour(pick)
        return Candidate(
            rank=rank,
            shape=swept.family.shape,
            depth=swept.family.depth,
            input_dim=swept.family.input_dim,
            widths=pick.widths,
            num_free_parameters=int(swept.num_free_parameters[index]),
            batch_size=swept.family.training.batch_size,
            anchor=pick.anchor,
            also_fills=tuple(anchor for anchor in _anchors_at(pick.priced, index) if anchor != pick.anchor),
            working_sets=placed,
            memory_bytes=int(memory_bytes(swept)[index]),
            **self._quantities(float(pick.priced.per_datum[index]), swept.family.training),
            label=self.coefficients.label,
            relative_cost_to_loss=self._relative(pick.cost),
            fits_inside=neighbour,
            warnings=tuple(pushed_up(swept, index)),
            why=why(swept, placed, pick.anchor, neighbour),
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

    def _neighbour(self, pick: _Pick) -> Neighbour | None:
        """The largest network of the sweep whose anchor set still fits the anchor's level."""
        if pick.anchor is None:
            return None
        swept = pick.priced.sweep
        window = pick.priced.windows[pick.anchor.working_set, pick.anchor.level]
        fitting = np.flatnonzero(window.fill[: pick.position] <= 1.0)
        if not len(fitting):
            return None
        index = int(fitting[-1])
        relative = self._relative(float(pick.priced.to_loss[index]))
        return Neighbour(_widths(swept, index), int(swept.num_free_parameters[index]), relative)


def _widths(swept: Sweep, index: int) -> tuple[int, ...]:
    return tuple(swept.networks.full[1:, index].tolist())


def _placed_sets(swept: Sweep, index: int) -> dict[str, PlacedSet | None]:
    """Each working set's size and level; None for the sets that the purpose or a missing data set leaves out."""
    placed: dict[str, PlacedSet | None] = dict.fromkeys(("f", "b", "o", "t_max", "d"))
    for name in swept.set_names:
        level = swept.networks.hierarchy.name(int(swept.networks.placement(name).level[index]))
        placed[name] = PlacedSet(int(swept.networks.working_set(name).total[index]), level)
    return placed


def _notes(request: Request, anchored: bool, not_reached: Reach | None) -> Iterator[str]:
    if not_reached is not None:
        yield f"no size within the device's memory and the limits is large enough for the target: {not_reached.why}"
    if not anchored:
        yield (
            "no size of this request fills a cache once to twice; the optimum of the sweep is given instead. "
            "Try another depth, batch size or --levels"
        )
    if len(request.batch_size) > 1:
        yield (
            "the law of epochs to a loss knows nothing of the batch size: comparing batch sizes compares their cost "
            "per epoch only"
        )
    if request.purpose == "inference":
        yield "for inference the cost is that of one forward pass, weighted with the same law of epochs to a loss"
    if set(request.shape) == set(SHAPES):
        yield "the law of epochs to a loss knows nothing of the shape: comparing shapes compares cost per epoch only"
