"""Where the next slice of training goes: to the size whose predicted cost of reaching the target is least. Pure.

Each size has a distribution of the epochs it still needs: its own learning curve's forecast once it has trained a few,
else that of the nearest size that has, shifted by the data-efficiency law (a larger network is further after the same
epochs) and by how much lower a larger network's losses end. A size that needs T more epochs at cost c each, T being
uncertain, is worth

    index = min over h of  c E[min(T, h)] / P(T <= h),

the cost that must be spent on it for each success to expect, given up after h epochs at the best moment. Training the
size of the least index, and looking again after a few epochs, is the policy of least expected cost for independent
sizes (Weitzman, "Optimal search for the best alternative", Econometrica 47 (1979), for searches that can be resumed:
Gittins's index). Where the first size does not do and larger ones are tried, a share of the spending goes to smaller
ones: forecasts are wrong about them now and then, and finding that out costs little.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import NamedTuple

import numpy as np

from sizer.method.epochs_to_loss import relative_epochs
from sizer.size_search.learning_curves import AHEAD, FloatArray, LearningCurve, hitting

#: A curve speaks for itself from here; before, the nearest size's does.
OWN_EPOCHS = 2
#: The best loss falls by this for each doubling of the parameters, in logarithms, and steeply where a network is hardly
#: larger than nothing: by (SMALL / P)^SMALL_EXPONENT. Sizes scatter around that, more the further they are apart.
FLOOR_FALL = 0.02
SMALL = 300.0
SMALL_EXPONENT = 0.75
FLOOR_SPREAD = 0.06
FLOOR_SPREAD_PER_DOUBLING = 0.02
#: Standard deviation of the log of the data-efficiency law's residual (DESIGN section 2).
LAW_SPREAD = 0.4
#: Share of the epochs that it has already that a size is trained for before the next decision.
SLICE_SHARE = 0.1
#: How many sizes beyond those begun may be begun next, on each side: from farther ones the forecast is a guess.
OUTWARDS = 1
#: A size is given up when reaching the target is less likely than this.
HOPELESS = 0.002
#: Sizes below the first get this share of what those above it get, likely or not: they cost little, and where networks
#: overfit it is they that reach the target.
HEDGE = 0.15

#: No target is given up before one size has had so many epochs.
LEAST_EPOCHS = 12
#: Exploring leaves a size that cost so many times what the cheapest training to the target did.
EXPLORED = 4.0

#: How far a size's floor may be off, in units of the spread, and how likely that is: Student's t with 2 degrees of
#: freedom. Its tails matter: now and then a size reaches what its neighbours do not.
_FLOORS = np.array([-9.0, -4.0, -2.0, -1.0, -0.4, 0.0, 0.4, 1.0, 2.0, 4.0, 9.0])
_FLOOR_WEIGHTS = (2.0 + _FLOORS**2) ** -1.5 * np.gradient(_FLOORS)
_FLOOR_WEIGHTS /= _FLOOR_WEIGHTS.sum()
#: Normal quantiles at five equally likely points.
_LAWS = np.array([-1.2816, -0.5244, 0.0, 0.5244, 1.2816])


@dataclass(frozen=True)
class Arm:
    """A size as the search knows it. ``values`` are its shortfalls, one an epoch; ``ended`` when it cannot go on."""

    name: str
    num_free_parameters: int
    epoch_cost: float
    values: tuple[float, ...] = ()
    ended: bool = False

    @property
    def curve(self) -> LearningCurve:
        """Its learning curve."""
        return LearningCurve(self.values)


class Forecast(NamedTuple):
    """Numbers of further epochs to the target, in order; how likely each is; and the index that follows.

    The likelihoods add up to less than 1: with the rest, the size never reaches the target.
    """

    further_epochs: FloatArray
    weights: FloatArray
    cost_of_success: float

    @property
    def chance(self) -> float:
        """Chance of reaching the target at all."""
        return float(self.weights.sum())

    @property
    def middle(self) -> float:
        """Number of further epochs by which the target is more likely reached than not; inf if there is none."""
        likely = np.flatnonzero(np.cumsum(self.weights) >= 0.5)
        return float(self.further_epochs[likely[0]]) if len(likely) else math.inf


class Decision(NamedTuple):
    """Train this size for so many epochs more."""

    name: str
    epochs: int


class Goal(NamedTuple):
    """What the sizes are trained for: the shortfall to reach, within so many epochs of a trial and so much cost.

    ``budget`` is the cost that may still be spent, in the unit of the sizes' epoch costs.
    """

    target: float
    max_epochs: int
    budget: float = math.inf


def decide(arms: tuple[Arm, ...], goal: Goal, first: str, at_most: int = 1) -> list[Decision]:
    """The next slices, at most so many, the most promising first; none when no size is predicted to reach the goal.

    ``first`` is the size to begin with. Where that one does not do, what larger sizes cost is hedged with a share
    for smaller ones.
    """
    if not any(arm.values for arm in arms):
        return _begin(arms, first)
    forecasts = {arm.name: forecast(arm, arms, goal) for arm in _within_reach(arms)}
    hopeful = {name: found.cost_of_success for name, found in forecasts.items() if found.chance > HOPELESS}
    done = {arm.name: len(arm.values) for arm in arms}
    chosen = sorted(hopeful, key=lambda name: hopeful[name])[:at_most] or _not_yet(arms, goal)
    hedge = _hedge(arms, forecasts, chosen[0], first) if chosen else None
    if hedge is not None:
        chosen = [hedge, *(name for name in chosen if name != hedge)][:at_most]
    return [Decision(name, slice_epochs(done[name])) for name in chosen]


def _hedge(arms: tuple[Arm, ...], forecasts: Mapping[str, Forecast], chosen: str, first: str) -> str | None:
    """The best size below the first, if one above it is next and those below are owed a slice; else None."""
    by_name = {arm.name: arm for arm in arms}
    if first not in by_name:
        return None
    limit = by_name[first].num_free_parameters
    below = [name for name in forecasts if by_name[name].num_free_parameters < limit and forecasts[name].chance > 0]
    if by_name[chosen].num_free_parameters <= limit or not below:
        return None
    best = min(below, key=lambda name: _index(*forecasts[name][:2], by_name[name].epoch_cost, 0.0))
    spent_below = sum(_spent(arm) for arm in arms if arm.num_free_parameters < limit) + _next_slice(by_name[best])
    spent_above = sum(_spent(arm) for arm in arms if arm.num_free_parameters > limit) + _next_slice(by_name[chosen])
    return best if spent_below <= HEDGE * spent_above else None


def _spent(arm: Arm) -> float:
    return arm.epoch_cost * len(arm.values)


def _next_slice(arm: Arm) -> float:
    return arm.epoch_cost * slice_epochs(len(arm.values))


def _not_yet(arms: tuple[Arm, ...], goal: Goal) -> list[str]:
    """The size furthest along while none has had `LEAST_EPOCHS`: too early to say that a target is out of reach."""
    furthest = max((arm for arm in arms if not arm.ended), key=lambda arm: len(arm.values), default=None)
    if furthest is None or len(furthest.values) >= min(LEAST_EPOCHS, goal.max_epochs):
        return []
    return [furthest.name] if furthest.epoch_cost <= goal.budget else []


def _within_reach(arms: tuple[Arm, ...]) -> list[Arm]:
    """Sizes that can go on: those begun, and the nearest ones outwards from them, `OUTWARDS` on each side.

    A size far from all that was seen is a bet on the forecast alone, and large sizes are dear bets.
    """
    ordered = sorted(arms, key=lambda arm: arm.num_free_parameters)
    begun = [position for position, arm in enumerate(ordered) if arm.values]
    near = ordered[max(0, begun[0] - OUTWARDS) : begun[-1] + OUTWARDS + 1]
    return [arm for arm in near if not arm.ended]


def _begin(arms: tuple[Arm, ...], first: str) -> list[Decision]:
    """The size to begin with, or the nearest one that has not ended without a single good epoch."""
    size = math.log(next(arm.num_free_parameters for arm in arms if arm.name == first))
    left = [arm for arm in arms if not arm.ended]
    nearest = min(left, key=lambda arm: abs(math.log(arm.num_free_parameters) - size), default=None)
    return [] if nearest is None else [Decision(nearest.name, OWN_EPOCHS)]


def slice_epochs(done: int) -> int:
    """Epochs of a slice after so many."""
    return max(1, OWN_EPOCHS - done, math.ceil(SLICE_SHARE * done))


def decide_exploring(arms: tuple[Arm, ...], goal: Goal, at_most: int = 1) -> list[Decision]:
    """The next slices once the target is met: the other sizes, until each has met it or is too far from doing so.

    A size is left when it has cost `EXPLORED` times what the cheapest training to the target did.
    """
    costs = [_spent(arm) for arm in arms if arm.values and min(arm.values) <= goal.target]
    limit = EXPLORED * min(costs)
    open_arms = tuple(replace(arm, ended=arm.ended or arm.epoch_cost * (len(arm.values) + 1) > limit) for arm in arms)
    return decide(open_arms, goal, "", at_most)


def forecast(arm: Arm, arms: tuple[Arm, ...], goal: Goal) -> Forecast:
    """What a size still needs.

    Its own curve knows nothing of the floor that it is falling to; a size that is further along does. So the chances
    from its own curve are multiplied by that of passing the target once it has come as low as it has, as the other's
    curve tells.
    """
    done = len(arm.values)
    if done >= OWN_EPOCHS:
        guide = _nearest(arm, tuple(other for other in arms if other != arm and _progress(other) > _progress(arm)))
        passes = 1.0 if guide is None else _chance_to_pass(arm, guide, goal.target)
        further, weights = AHEAD, passes * _own_chances(arm, goal.target)
    else:
        guide = _nearest(arm, arms)
        assert guide is not None  # (decide begins with a size, so that one has trained)
        total, weights = borrowed_forecast(arm, guide, goal.target)
        further = np.maximum(total - done, 1.0)
    weights = np.where(further <= min(goal.max_epochs - done, goal.budget / arm.epoch_cost), weights, 0.0)
    return Forecast(further, weights, _index(further, weights, arm.epoch_cost))


def _progress(arm: Arm) -> float:
    """How far along a size is: its epochs over those that a network of its size needs, up to a factor."""
    return len(arm.values) / float(relative_epochs(arm.num_free_parameters))


def _chance_to_pass(arm: Arm, guide: Arm, target: float) -> float:
    """Chance that a size meets the target ever, given its best so far, if it ends about where another one does."""
    best = min(arm.values)
    return min(1.0, _chance(arm, guide, target) / max(_chance(arm, guide, best), 1e-12)) if best > target else 1.0


def _chance(arm: Arm, guide: Arm, target: float) -> float:
    """Chance that a size meets a target ever, from another one's curve."""
    return float(borrowed_forecast(replace(arm, values=()), guide, target)[1].sum())


@lru_cache(maxsize=1024)
def _own_chances(arm: Arm, target: float) -> FloatArray:
    """Chance of meeting the target so many epochs ahead as `AHEAD` says, from a size's own curve."""
    chances: FloatArray = hitting(arm.curve, math.log(target)).chances[0]
    return chances


def _nearest(arm: Arm, arms: tuple[Arm, ...]) -> Arm | None:
    """The size nearest to an arm of those that have trained, None if none has."""
    trained = [other for other in arms if len(other.values) >= OWN_EPOCHS] or [other for other in arms if other.values]
    size = math.log(arm.num_free_parameters)
    return min(trained, key=lambda other: abs(math.log(other.num_free_parameters) - size), default=None)


@lru_cache(maxsize=4096)
def borrowed_forecast(arm: Arm, other: Arm, target: float) -> tuple[FloatArray, FloatArray]:
    """Epochs in all to the target from another size's curve, in order, and how likely each number is."""
    doublings = math.log2(arm.num_free_parameters / other.num_free_parameters)
    spread = math.hypot(FLOOR_SPREAD, FLOOR_SPREAD_PER_DOUBLING * doublings)
    lower = _log_floor(other.num_free_parameters) - _log_floor(arm.num_free_parameters)
    first, chances = hitting(other.curve, math.log(target) + lower + spread * _FLOORS)
    met = np.isfinite(first)
    epochs = np.concatenate([np.where(met, first, 1.0)[:, None], np.tile(len(other.values) + AHEAD, (len(met), 1))], 1)
    weights = _FLOOR_WEIGHTS[:, None] * np.concatenate([met[:, None], chances], axis=1)
    sizes = relative_epochs([arm.num_free_parameters, other.num_free_parameters])
    law = float(sizes[0] / sizes[1]) * np.exp(LAW_SPREAD * _LAWS)
    total = np.maximum(np.multiply.outer(law, epochs), 1.0)
    order = np.argsort(total, axis=None, kind="stable")
    return total.ravel()[order], np.broadcast_to(weights / len(law), total.shape).ravel()[order]


def _log_floor(num_free_parameters: int) -> float:
    """Log of the best loss that a size ends at, up to a constant of the task."""
    small: float = (SMALL / num_free_parameters) ** SMALL_EXPONENT
    return small - FLOOR_FALL * math.log2(num_free_parameters)


def _index(further: FloatArray, weights: FloatArray, epoch_cost: float, hopeless: float = HOPELESS) -> float:
    """Least expected cost for each success, over the epochs after which the size is given up."""
    chance = np.cumsum(weights)
    spent = np.cumsum(weights * further) + (1.0 - chance) * further
    possible = chance > hopeless
    return float(epoch_cost * (spent[possible] / chance[possible]).min()) if possible.any() else math.inf
