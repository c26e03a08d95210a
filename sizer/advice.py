"""The nearest changes to a fully connected network that are worth making, with their predicted effect. Pure.

A change counts when a working set moves to a nearer level by it, and the step gets cheaper by clearly more than the
size that is given up: shrinking a network always saves time, which is no advice. The worse end of an effect's interval
decides, so that no change is advised that may gain nothing.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from typing import NamedTuple

import numpy as np

from sizer.advice_other import level_name, pushes, smaller_batches
from sizer.coefficients import Coefficients
from sizer.cost import analyse, predict, priced_row
from sizer.models.shapes import residual_additions
from sizer.models.topology import MAX_WIDTH, Topology
from sizer.module_record import Advice
from sizer.placement import NOWHERE, FloatArray, Hierarchy, Placements, place_all
from sizer.sweep import MAX_WORK
from sizer.training import Training
from sizer.working_sets import BoolArray, IntArray, WorkingSet, WorkingSets, count_parameters, working_sets

#: Least saving that is worth a line, and how often it must exceed the share of parameters given up.
MIN_SAVING = 0.03
MIN_GAIN = 1.5
#: A step that costs at most this much more "costs nothing more"; a growth of at least `MIN_GROWTH` is worth a line.
FREE = 0.02
MIN_GROWTH = 0.10
#: How many distinct widths are varied, and how many values of each are tried on either side.
_WIDTHS = 3
_TRIED = 64

_SETS = ("b", "o", "f", "t_max")


class _Priced(NamedTuple):
    """N variants of a network: widths, parameters, cost of a step, and the level index of each set."""

    full: IntArray
    parameters: IntArray
    cost: FloatArray
    levels: dict[str, IntArray]

    def part(self, start: int, stop: int) -> _Priced:
        """Some of them."""
        levels = {name: level[start:stop] for name, level in self.levels.items()}
        return _Priced(self.full[:, start:stop], self.parameters[start:stop], self.cost[start:stop], levels)


class _Pricing(NamedTuple):
    """What variants are priced with. ``additions`` are the network's residual ones, which no variant changes."""

    training: Training
    hierarchy: Hierarchy
    coefficients: Coefficients
    additions: int

    def at_batch(self, batch_size: int) -> _Pricing:
        """The same at another batch size."""
        return self._replace(training=self.training._replace(batch_size=batch_size))

    def levels(self, full: IntArray) -> dict[str, IntArray]:
        """Level indices of the sets of networks, given as columns."""
        return self._levels(place_all(working_sets(full, count_parameters(full), self.training), self.hierarchy))

    def price(self, full: IntArray) -> tuple[_Priced, WorkingSets]:
        """Price networks, given as columns; and their working sets."""
        parameters = count_parameters(full)
        networks = analyse(full, parameters, self.training, self.hierarchy, self.additions)
        cost = predict(priced_row(networks, self.coefficients), self.coefficients)
        return _Priced(full, parameters, cost, self._levels(networks.placements)), networks.sets

    def _levels(self, placements: Placements) -> dict[str, IntArray]:
        """Level indices of the sets; what fits nowhere is beyond the last level."""
        found = {name: getattr(placements, name).level.astype(np.int64) for name in _SETS}
        return {name: np.where(level == NOWHERE, len(self.hierarchy.names), level) for name, level in found.items()}

    def interval(self, effect: float) -> tuple[float, float] | None:
        """The 90 % interval of a relative effect: the difference is off by the factors that predictions are off by."""
        factors = self.coefficients.interval
        if factors is None:
            return None
        low, high = sorted(max(-1.0, effect * factor) for factor in factors)
        return low, high

    def at_worst(self, effect: FloatArray) -> FloatArray:
        """The end of each effect's interval that speaks against a change: the smaller gain, the larger loss."""
        low, high = self.coefficients.interval or (1.0, 1.0)
        return np.maximum(effect * low, effect * high)


def advise_dense(
    topology: Topology, training: Training, hierarchy: Hierarchy, coefficients: Coefficients
) -> Iterator[Advice]:
    """Advice for a fully connected network: rewritten widths, a batch size, the layer that pushes, free room."""
    pricing = _Pricing(training, hierarchy, coefficients, residual_additions(topology.shape or "", topology.depth))
    widths = sorted(set(topology.widths[:-1]), reverse=True)[:_WIDTHS]
    tried = [_tried_around(width, topology, training) for width in widths]
    own = np.array([topology.full]).T
    columns = [own, *(_with_widths(own, *pair) for pair in zip(widths, tried, strict=True))]
    priced, sets = pricing.price(np.hstack(columns))
    base = priced.part(0, 1)
    ends = np.cumsum([column.shape[1] for column in columns]).tolist()
    variants = [priced.part(start, stop) for start, stop in itertools.pairwise(ends)]
    for width, values, found in zip(widths, tried, variants, strict=True):
        yield from _narrower(width, values, base, found, pricing)
    yield from _smaller_batch(base, pricing)
    yield from pushes(_first(sets), hierarchy, [f"layer {i + 1}" for i in range(topology.depth)], None)
    for width, values, found in zip(widths, tried, variants, strict=True):
        yield from _free_room(width, values, base, found, pricing)


def _tried_around(width: int, topology: Topology, training: Training) -> IntArray:
    """Widths from half of a width to twice it, as far as what they do can be counted."""
    countable = 4 * topology.num_free_parameters * training.batch_size <= MAX_WORK
    most = min(2 * width, MAX_WIDTH) if countable else width
    return np.concatenate([_tried(max(1, width // 2), width - 1), _tried(width + 1, most)])


def _tried(low: int, high: int) -> IntArray:
    """At most `_TRIED` whole numbers from low to high, in order."""
    if high < low:
        return np.empty(0, dtype=np.int64)
    return np.unique(np.linspace(low, high, min(_TRIED, high - low + 1)).round().astype(np.int64))


def _with_widths(own: IntArray, old: int, new: IntArray) -> IntArray:
    """Every hidden layer of the old width gets the new ones, one network each."""
    full = np.repeat(own, len(new), axis=1)
    full[1:-1][own[1:-1, 0] == old] = new
    return full


def _first(sets: WorkingSets) -> WorkingSets:
    """The sets of the first network."""
    return WorkingSets(*(found and WorkingSet(*(part[..., :1] for part in found)) for found in sets))  # type: ignore[arg-type]


def _narrower(width: int, tried: IntArray, base: _Priced, variants: _Priced, pricing: _Pricing) -> Iterator[Advice]:
    """The widest narrower hidden width at which a set moves to a nearer level, if that pays."""
    lost = 1 - variants.parameters / base.parameters[0]
    effect = variants.cost / base.cost[0] - 1
    worth = (tried < width) & (pricing.at_worst(effect) <= -MIN_SAVING) & (-effect >= MIN_GAIN * lost)
    found = _first_crossing(base, variants, worth)
    if found is not None:
        index, name = found
        reason = _keeps(name, variants, base, index, pricing.hierarchy)
        yield _rewritten(
            "narrower", f"hidden {width} -> {tried[index]}", reason, float(effect[index]), variants, index, pricing
        )


def _rewritten(
    kind: str, change: str, reason: str, effect: float, variants: _Priced, index: int, pricing: _Pricing
) -> Advice:
    widths = tuple(variants.full[1:, index].tolist())
    return Advice(kind, change, reason, None, effect, pricing.interval(effect), widths, None)


def _first_crossing(base: _Priced, variants: _Priced, worth: BoolArray) -> tuple[int, str] | None:
    """The variant nearest to the network (the last) for which a set lives nearer, and that set."""
    best: tuple[int, str] | None = None
    for name in _SETS:
        nearer = np.flatnonzero(worth & (variants.levels[name] < base.levels[name][0]))
        if len(nearer) and (best is None or nearer[-1] > best[0]):
            best = int(nearer[-1]), name
    return best


def _keeps(name: str, variants: _Priced, base: _Priced, index: int, hierarchy: Hierarchy) -> str:
    before, after = (level_name(hierarchy, int(v.levels[name][i])) for v, i in ((base, 0), (variants, index)))
    return f"keeps {name} inside {after} (now in {before})"


def _smaller_batch(base: _Priced, pricing: _Pricing) -> Iterator[Advice]:
    """The largest smaller batch at which a set moves nearer and a datum gets cheaper."""
    batch_size = pricing.training.batch_size
    sizes = smaller_batches(batch_size)
    if not sizes or not _moves_nearer(base, pricing.at_batch(sizes[-1]).levels(base.full)):
        return  # where the smallest moves nothing, none does
    for smaller in sizes:
        variant, _ = pricing.at_batch(smaller).price(base.full)
        effect = variant.cost / smaller / (base.cost / batch_size) - 1
        found = _first_crossing(base, variant, pricing.at_worst(effect) <= -MIN_SAVING)
        if found is not None:
            reason = f"{_keeps(found[1], variant, base, 0, pricing.hierarchy)}; per datum"
            change, gain = f"batch {batch_size} -> {smaller}", float(effect[0])
            yield Advice("batch", change, reason, None, gain, pricing.interval(gain), None, smaller)
            return


def _moves_nearer(base: _Priced, levels: dict[str, IntArray]) -> bool:
    return any(levels[name][0] < base.levels[name][0] for name in _SETS)


def _free_room(width: int, tried: IntArray, base: _Priced, variants: _Priced, pricing: _Pricing) -> Iterator[Advice]:
    """The widest hidden width up to twice the present one that costs (almost) nothing more."""
    effect = variants.cost / base.cost[0] - 1
    stays = np.all([variants.levels[name] == base.levels[name][0] for name in _SETS], axis=0)
    free = np.flatnonzero((tried > width) & stays & (pricing.at_worst(effect) <= FREE))
    if not len(free):
        return
    index = int(free[-1])
    growth = float(variants.parameters[index] / base.parameters[0] - 1)
    if growth >= MIN_GROWTH:
        reason = f"free room: {growth:.0%} more parameters cost nothing more (at most {FREE:.0%})"
        yield _rewritten(
            "free room", f"hidden {width} -> {tried[index]}", reason, float(effect[index]), variants, index, pricing
        )
