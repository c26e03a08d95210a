"""The nearest changes to a fully connected network that are worth making, with their predicted effect. Pure.

A change counts when a working set moves to a nearer level by it, and the step gets cheaper by clearly more than the
size that is given up: shrinking a network always saves time, which is no advice. The worse end of an effect's interval
decides, so that no change is advised that may gain nothing.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from sizer.inspection.advice_unpredicted import level_name, pushes
from sizer.inspection.module_record import Advice
from sizer.inspection.neighbours import SETS, Neighbours, Variants
from sizer.method.coefficients import Coefficients
from sizer.method.placement import FloatArray

#: Least saving that is worth a line, and how often it must exceed the share of parameters given up.
MIN_SAVING = 0.03
MIN_GAIN = 1.5
#: A step that costs at most this much more "costs nothing more"; a growth of at least `MIN_GROWTH` is worth a line.
FREE = 0.02
MIN_GROWTH = 0.10


def advise_dense(near: Neighbours, coefficients: Coefficients) -> Iterator[Advice]:
    """Advice for a fully connected network: rewritten widths, a batch size, the layer that pushes, free room.

    ``coefficients`` give the interval; their terms are those that the networks were priced with.
    """
    variants = list(near.variants())
    for changed in variants:
        yield from _narrower(changed, near, coefficients)
    yield from _smaller_batch(near, coefficients)
    layers = [f"layer {index + 1}" for index in range(near.topology.depth)]
    yield from pushes(near.own_sets, near.hierarchy, layers, None)
    for changed in variants:
        yield from _free_room(changed, near, coefficients)


def _interval(effect: float, coefficients: Coefficients) -> tuple[float, float] | None:
    """The 90 % interval of a relative effect: the difference is off by the factors that predictions are off by."""
    if coefficients.interval is None:
        return None
    low, high = sorted(max(-1.0, effect * factor) for factor in coefficients.interval)
    return low, high


def _at_worst(effect: FloatArray | float, coefficients: Coefficients) -> FloatArray:
    """The end of each effect's interval that speaks against a change: the smaller gain, the larger loss."""
    low, high = coefficients.interval or (1.0, 1.0)
    return np.maximum(np.multiply(effect, low), np.multiply(effect, high))


def _narrower(variants: Variants, near: Neighbours, coefficients: Coefficients) -> Iterator[Advice]:
    """The widest narrower hidden width at which a set moves to a nearer level, if that pays."""
    saves = _at_worst(variants.effect, coefficients) <= -MIN_SAVING
    pays = (variants.tried < variants.width) & saves & (variants.effect <= MIN_GAIN * variants.growth)
    nearer = {name: np.flatnonzero(pays & (variants.levels[name] < near.own_levels[name])) for name in SETS}
    name = max(SETS, key=lambda each: nearer[each].max(initial=-1))  # of equal ones the first
    if len(nearer[name]):
        index = int(nearer[name][-1])
        reason = _keeps(name, int(variants.levels[name][index]), near)
        yield _rewritten("narrower", reason, variants, index, coefficients)


def _rewritten(kind: str, reason: str, variants: Variants, index: int, coefficients: Coefficients) -> Advice:
    effect, widths = float(variants.effect[index]), tuple(variants.widths[:, index].tolist())
    change = f"hidden {variants.width} -> {variants.tried[index]}"
    return Advice(kind, change, reason, None, effect, _interval(effect, coefficients), widths)


def _keeps(name: str, level: int, near: Neighbours) -> str:
    after, before = (level_name(near.hierarchy, index) for index in (level, near.own_levels[name]))
    return f"keeps {name} inside {after} (now in {before})"


def _smaller_batch(near: Neighbours, coefficients: Coefficients) -> Iterator[Advice]:
    """The largest smaller batch at which a set moves nearer and a datum gets cheaper."""
    for batch_size, name, level in near.nearer_batches():
        effect = near.effect_of_batch(batch_size)
        if _at_worst(effect, coefficients) <= -MIN_SAVING:
            change = f"batch {near.networks.training.batch_size} -> {batch_size}"
            reason = f"{_keeps(name, level, near)}; per datum"
            yield Advice("batch", change, reason, None, effect, _interval(effect, coefficients), batch_size=batch_size)
            return


def _free_room(variants: Variants, near: Neighbours, coefficients: Coefficients) -> Iterator[Advice]:
    """The widest hidden width up to twice the present one that costs (almost) nothing more."""
    own = near.own_levels
    stays = np.logical_and.reduce([variants.levels[name] == own[name] for name in SETS])
    free = stays & (variants.tried > variants.width) & (_at_worst(variants.effect, coefficients) <= FREE)
    found = np.flatnonzero(free & (variants.growth >= MIN_GROWTH))
    if len(found):
        index = int(found[-1])
        reason = f"free room: {variants.growth[index]:.0%} more parameters cost nothing more (at most {FREE:.0%})"
        yield _rewritten("free room", reason, variants, index, coefficients)
