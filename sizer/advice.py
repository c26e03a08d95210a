"""The nearest changes to a network that are worth making, with their predicted effect. Pure.

A change counts when a working set moves to a nearer level by it, and the step gets cheaper by clearly more than the
size that is given up: shrinking a network always saves time, which is no advice.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from math import prod
from typing import NamedTuple

import numpy as np

from sizer.coefficients import Coefficients
from sizer.cost import Networks, analyse, predict, step_row
from sizer.models.topology import Topology
from sizer.module_record import Advice, LayerRecord
from sizer.placement import NOWHERE, FloatArray, Hierarchy, place
from sizer.training import Training
from sizer.units import format_bytes, format_count
from sizer.working_sets import IntArray, WorkingSet, WorkingSets, count_parameters

#: Least saving that is worth a line, and how often it must exceed the share of parameters given up.
MIN_SAVING = 0.03
MIN_GAIN = 1.5
#: A step that costs at most this much more "costs nothing more"; a growth of at least `MIN_GROWTH` is worth a line.
FREE = 0.02
MIN_GROWTH = 0.10
#: How many distinct widths are varied, and how many values of each are tried on either side.
_WIDTHS = 3
_TRIED = 128

_SETS = ("b", "o", "f", "t_max")


class Subject(NamedTuple):
    """A module as the advice for any architecture sees it."""

    layers: Sequence[LayerRecord]
    sets: WorkingSets
    hierarchy: Hierarchy
    batch_size: int | None


def advise_dense(
    topology: Topology, training: Training, hierarchy: Hierarchy, coefficients: Coefficients
) -> Iterator[Advice]:
    """Advice for a fully connected network: rewritten widths, a batch size, the layer that pushes, free room."""
    base = _Variants(topology.full, np.array([topology.full]).T, training, hierarchy, coefficients)
    widths = sorted(set(topology.widths[:-1]), reverse=True)[:_WIDTHS]
    tried = {
        width: np.concatenate([_tried(max(1, width // 2), width - 1), _tried(width + 1, 2 * width)]) for width in widths
    }
    variants = {width: base.with_widths(width, tried[width]) for width in widths}
    for width in widths:
        yield from _narrower(width, tried[width], base, variants[width])
    yield from _smaller_batch(base)
    yield from _pushes(base.networks.sets, hierarchy, [f"layer {i + 1}" for i in range(topology.depth)], None)
    for width in widths:
        yield from _free_room(width, tried[width], base, variants[width])


def advise_other(subject: Subject) -> Iterator[Advice]:
    """Advice for any module, without a predicted effect: which layer and dimension, which batch size."""
    names = [f"{layer.name or 'the module itself'} ({layer.kind})" for layer in subject.layers]
    yield from _pushes(subject.sets, subject.hierarchy, names, subject.layers)
    yield from _smaller_batch_of_any(subject)


class _Variants:
    """Networks with one thing changed, priced beside the network itself."""

    def __init__(
        self, own: Sequence[int], full: IntArray, training: Training, hierarchy: Hierarchy, coefficients: Coefficients
    ) -> None:
        self.own, self.training, self.hierarchy, self.coefficients = own, training, hierarchy, coefficients
        self.networks: Networks = analyse(full, count_parameters(full), training, hierarchy)
        self.cost: FloatArray = predict(step_row(self.networks), coefficients)

    def with_widths(self, old: int, new: IntArray) -> _Variants:
        """Every hidden layer of the old width gets the new ones, one network each."""
        full = np.repeat(np.array([self.own]).T, len(new), axis=1)
        hidden = np.flatnonzero(np.array(self.own) == old)
        hidden = hidden[(hidden > 0) & (hidden < len(self.own) - 1)]
        full[hidden] = new
        return _Variants(self.own, full, self.training, self.hierarchy, self.coefficients)

    def with_batch(self, batch_size: int) -> _Variants:
        """The network itself at another batch size."""
        training = self.training._replace(batch_size=batch_size)
        return _Variants(self.own, np.array([self.own]).T, training, self.hierarchy, self.coefficients)

    def levels(self, name: str) -> IntArray:
        """Level index of a set; what fits nowhere is beyond the last level."""
        level: IntArray = getattr(self.networks.placements, name).level.astype(np.int64)
        return np.where(level == NOWHERE, len(self.hierarchy.names), level)

    def interval(self, effect: float) -> tuple[float, float] | None:
        """The 90 % interval of a relative effect: the difference is off by the factors that predictions are off by."""
        factors = self.coefficients.interval
        if factors is None:
            return None
        low, high = sorted(max(-1.0, effect * factor) for factor in factors)
        return low, high


def _tried(low: int, high: int) -> IntArray:
    """At most `_TRIED` whole numbers from low to high, in order."""
    if high < low:
        return np.empty(0, dtype=np.int64)
    return np.unique(np.linspace(low, high, min(_TRIED, high - low + 1)).round().astype(np.int64))


def _narrower(width: int, tried: IntArray, base: _Variants, variants: _Variants) -> Iterator[Advice]:
    """The widest narrower hidden width at which a set moves to a nearer level, if that pays."""
    lost = 1 - variants.networks.num_free_parameters / base.networks.num_free_parameters[0]
    effect = variants.cost / base.cost[0] - 1
    worth = (tried < width) & (effect <= -MIN_SAVING) & (-effect >= MIN_GAIN * lost)
    found = _first_crossing(base, variants, worth)
    if found is None:
        return
    index, name = found
    yield Advice(
        kind="narrower",
        change=f"hidden {width} -> {tried[index]}",
        reason=_keeps(name, variants, base, index),
        layer=None,
        effect=float(effect[index]),
        interval=base.interval(float(effect[index])),
        widths=tuple(variants.networks.full[1:, index].tolist()),
        batch_size=None,
    )


def _first_crossing(base: _Variants, variants: _Variants, worth: FloatArray) -> tuple[int, str] | None:
    """The variant nearest to the network (the last) for which a set lives nearer, and that set."""
    best: tuple[int, str] | None = None
    for name in _SETS:
        nearer = np.flatnonzero(worth & (variants.levels(name) < base.levels(name)[0]))
        if len(nearer) and (best is None or nearer[-1] > best[0]):
            best = int(nearer[-1]), name
    return best


def _keeps(name: str, variants: _Variants, base: _Variants, index: int) -> str:
    before, after = (_level_name(base.hierarchy, int(v.levels(name)[i])) for v, i in ((base, 0), (variants, index)))
    return f"keeps {name} inside {after} (now in {before})"


def _level_name(hierarchy: Hierarchy, level: int) -> str:
    return hierarchy.names[level] if level < len(hierarchy.names) else "no level"


def _smaller_batch(base: _Variants) -> Iterator[Advice]:
    """The largest smaller batch at which a set moves nearer and a datum gets cheaper."""
    batch_size = base.training.batch_size
    sizes = _batches(batch_size)
    if not sizes or not _moves_nearer(base, base.with_batch(sizes[-1])):
        return  # where the smallest moves nothing, none does
    for smaller in sizes:
        variant = base.with_batch(smaller)
        effect = float(variant.cost[0] / smaller / (base.cost[0] / batch_size) - 1)
        found = _first_crossing(base, variant, np.array([effect <= -MIN_SAVING]))
        if found is not None:
            reason = f"{_keeps(found[1], variant, base, 0)}; per datum"
            change = f"batch {batch_size} -> {smaller}"
            yield Advice("batch", change, reason, None, effect, base.interval(effect), None, smaller)
            return


def _moves_nearer(base: _Variants, variant: _Variants) -> bool:
    return any(variant.levels(name)[0] < base.levels(name)[0] for name in _SETS)


def _batches(batch_size: int) -> list[int]:
    """Smaller batches worth trying: multiples of 16 (an eighth of a small batch), largest first, down to half."""
    multiple = max(16, batch_size // 32) if batch_size >= 64 else max(1, batch_size // 8)
    return [size for size in range(batch_size - 1, batch_size // 2 - 1, -1) if size % multiple == 0 and size > 0]


def _free_room(width: int, tried: IntArray, base: _Variants, variants: _Variants) -> Iterator[Advice]:
    """The widest hidden width up to twice the present one that costs (almost) nothing more."""
    effect = variants.cost / base.cost[0] - 1
    stays = np.all([variants.levels(name) == base.levels(name)[0] for name in _SETS], axis=0)
    free = np.flatnonzero((tried > width) & stays & (effect <= FREE))
    if not len(free):
        return
    index = int(free[-1])
    growth = float(variants.networks.num_free_parameters[index] / base.networks.num_free_parameters[0] - 1)
    if growth < MIN_GROWTH:
        return
    yield Advice(
        kind="free room",
        change=f"hidden {width} -> {tried[index]}",
        reason=f"free room: {growth:.0%} more parameters cost nothing more (at most {FREE:.0%})",
        layer=None,
        effect=float(effect[index]),
        interval=base.interval(float(effect[index])),
        widths=tuple(variants.networks.full[1:, index].tolist()),
        batch_size=None,
    )


def _pushes(
    sets: WorkingSets, hierarchy: Hierarchy, names: Sequence[str], layers: Sequence[LayerRecord] | None
) -> Iterator[Advice]:
    """The layer whose inter-layer set alone pushes f or b to a farther level."""
    sizes = sets.t.distributed[:, 0]
    if len(sizes) < 2:
        return
    order = np.argsort(sizes)
    widest, second = int(order[-1]), int(order[-2])
    for name in ("b", "f"):
        whole: WorkingSet = getattr(sets, name)
        lives, without = (_level_above(whole, int(sizes[index]), hierarchy) for index in (widest, second))
        if 0 <= without < lives:
            dimension = _widest_dimension(layers[widest]) if layers is not None else ""
            yield Advice(
                kind="pushes",
                change=f"{names[widest]}{dimension}",
                reason=(
                    f"its inter-layer set ({format_bytes(int(sizes[widest]))}) is the largest and alone pushes {name} "
                    f"from {hierarchy.name(without)} to {hierarchy.name(lives)}"
                ),
                layer=names[widest] if layers is None else layers[widest].name,
                effect=None,
                interval=None,
                widths=None,
                batch_size=None,
            )
            return


def _level_above(whole: WorkingSet, transfer: int, hierarchy: Hierarchy) -> int:
    """Level of f or b when it is placed on an inter-layer set of the given size."""
    below = place(np.zeros(1), WorkingSet(np.array([0]), np.array([transfer])), hierarchy)
    return int(place(np.floor(below.occupied), whole, hierarchy).level[0])


def _widest_dimension(layer: LayerRecord) -> str:
    """Which dimension of a layer's output is the largest, the batch left out."""
    shape = layer.output_shape
    if shape is None or len(shape) < 2:
        return ""
    dimension = max(range(1, len(shape)), key=lambda index: shape[index])
    share = f"{format_count(shape[dimension])} of {format_count(prod(shape[1:]))} a datum"
    return f", dimension {dimension} of its output ({share})"


def _smaller_batch_of_any(subject: Subject) -> Iterator[Advice]:
    """The largest smaller batch at which b lives nearer: what is distributed grows with the batch."""
    if subject.batch_size is None:
        return
    before = _scaled_level(subject, subject.batch_size)
    for smaller in _batches(subject.batch_size):
        after = _scaled_level(subject, smaller)
        if after < before:
            names = [_level_name(subject.hierarchy, level) for level in (after, before)]
            yield Advice(
                kind="batch",
                change=f"batch {subject.batch_size} -> {smaller}",
                reason=f"keeps b inside {names[0]} (now in {names[1]}); its effect is outside what was calibrated",
                layer=None,
                effect=None,
                interval=None,
                widths=None,
                batch_size=smaller,
            )
            return


def _scaled_level(subject: Subject, batch_size: int) -> int:
    share = batch_size / (subject.batch_size or 1)
    sets = subject.sets
    b = WorkingSet(sets.b.replicated, (sets.b.distributed * share).astype(np.int64))
    level = _level_above(b, int(sets.t_max.distributed[0] * share), subject.hierarchy)
    return len(subject.hierarchy.names) if level == NOWHERE else level
