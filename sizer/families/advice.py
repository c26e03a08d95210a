"""Advice on the size that is trained now: another one, where the predicted effect pays even at its worse end. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

#: Advice is worth a word from this effect on, at the worse end of its interval: less is within what timings scatter.
_WORTH = 0.01


class Rated(NamedTuple):
    """What advice reads of a size: the time of its step with its interval, in s, and its parameters.

    ``weight`` is what the time counts in the cost that sizes are ordered by, None beyond the limits.
    """

    step_s: float
    interval: tuple[float, float]
    parameters: int
    weight: float | None


class Change(NamedTuple):
    """From one size to another, by position: relative changes of the parameters and of the time, and its interval."""

    before: int
    after: int
    parameters: float
    effect: float
    interval: tuple[float, float]


def advise(sizes: Sequence[Rated], now: int) -> Change | None:
    """The change that lowers the cost most, of those that lower it at the worse end of the interval; None for none.

    Where time alone counts (all weights are equal) it is to the size with most parameters that takes no longer: a
    smaller one always takes less, and that is no advice.
    """
    alone = len({one.weight for one in sizes if one.weight is not None}) == 1
    found = [_change(sizes, now, after) for after in range(len(sizes)) if sizes[after].weight is not None]
    if alone:
        larger = [one for one in found if one.parameters > _WORTH and one.interval[1] <= 0]
        return max(larger, key=lambda one: one.parameters, default=None)
    paying = [one for one in found if _cost(sizes, one, one.interval[1]) < 1 - _WORTH]
    return min(paying, key=lambda one: _cost(sizes, one, one.effect), default=None)


def _change(sizes: Sequence[Rated], before: int, after: int) -> Change:
    now, then = sizes[before], sizes[after]
    low, high = then.interval[0] / now.interval[1] - 1, then.interval[1] / now.interval[0] - 1
    return Change(before, after, then.parameters / now.parameters - 1, then.step_s / now.step_s - 1, (low, high))


def _cost(sizes: Sequence[Rated], change: Change, effect: float) -> float:
    """What the size after costs in what sizes are ordered by, as a multiple of the one before."""
    before, after = sizes[change.before].weight, sizes[change.after].weight
    assert after is not None  # (the caller leaves out those beyond the limits)
    return 1.0 if before is None else (1 + effect) * after / before
