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
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from sizer.method.epochs_to_loss import relative_epochs
from sizer.size_search.learning_curves import AHEAD, FloatArray, LearningCurve, hitting

if TYPE_CHECKING:
    from sizer.method.recommendation import Anchor
    from sizer.models.topology import Topology
    from sizer.size_search.log import Epoch

# Figures behind a constant are what the search spends on the 117 recorded targets (median / 90th percentile / worst)
# with another value, 1.25 / 4.63 / 13.3 with all as they are: `python benchmarks/search_constants.py`, 2026-11-26.

#: A curve speaks for itself from here; before, the nearest size's does. (4: 1.25 / 4.05 / 22.0)
OWN_EPOCHS = 2
#: The best loss falls by this for each doubling of the parameters, in logarithms (0: 1.22 / 5.28 / 15.6), and steeply
#: where a network is hardly larger than nothing: by (SMALL / P)^SMALL_EXPONENT (SMALL 30: 1.22 / 5.28 / 16.0).
FLOOR_FALL = 0.02
SMALL = 300.0
SMALL_EXPONENT = 0.75
#: Sizes scatter around that (0.12: 1.25 / 5.26 / 16.9), more the further they are apart (0: 1.25 / 4.52 / 13.3).
FLOOR_SPREAD = 0.06
FLOOR_SPREAD_PER_DOUBLING = 0.02
#: Root mean square of the log of the residual of the law of epochs to a loss (docs/method.md). (0: 1.25 / 5.19 / 13.3)
LAW_SPREAD = 0.4
#: Share of the epochs that it has already that a size is trained for before the next decision.
#: (0.3: 1.22 / 4.79 / 29.4)
SLICE_SHARE = 0.1
#: How many sizes beyond those begun may be begun next, on each side: from farther ones the forecast is a guess.
#: (2: 1.25 / 5.15 / 13.3)
OUTWARDS = 1
#: A size is given up when reaching the target is less likely than this. (0.02: the same)
HOPELESS = 0.002
#: Sizes below the first get this share of what those above it get, likely or not: they cost little, and where networks
#: overfit it is they that reach the target. (0: 1.25 / 4.31 / 31.2)
HEDGE = 0.15
#: No target is given up before one size has had so many epochs. (2: the same, as all 117 are reached)
LEAST_EPOCHS = 12
#: Exploring leaves a size that cost so many times what the cheapest training to the target did: a definition, as
#: docs/search.md has it.
EXPLORED = 4.0

#: How far a size's floor may be off, in units of the spread, and how likely that is: Student's t with 2 degrees of
#: freedom. Its tails matter: now and then a size reaches what its neighbours do not. (A normal
#: distribution: 1.22 / 4.52 / 16.9.)
_FLOORS = np.array([-9.0, -4.0, -2.0, -1.0, -0.4, 0.0, 0.4, 1.0, 2.0, 4.0, 9.0])
_FLOOR_WEIGHTS = (2.0 + _FLOORS**2) ** -1.5 * np.gradient(_FLOORS)
_FLOOR_WEIGHTS /= _FLOOR_WEIGHTS.sum()
#: Normal quantiles at five equally likely points.
_LAWS = np.array([-1.2816, -0.5244, 0.0, 0.5244, 1.2816])


@dataclass(frozen=True)
class SearchCandidate:
    """A size that the search may train: what is predicted for it beforehand, and what it has come to so far.

    ``epoch_cost`` is the cost of one epoch, training and validation, in s or J, or in operations where no coefficients
    are known; ``flops_per_epoch`` counts 2 for each multiply-accumulate of the training's matrix products. ``anchor``
    is what makes it cache-aware, None for a size in between; ``relative_cost`` is the
    predicted cost to a loss within reach, 1 for the cheapest size.

    ``values`` are its shortfalls, one an epoch, positive and better when smaller; ``ended`` says why it cannot go on,
    None while it can. ``checkpoint`` is the file that it goes on from, ``parent`` the size that it grew from, ``where``
    are the nodes that trained it.
    """

    name: str
    topology: Topology
    epoch_cost: float
    flops_per_epoch: float
    anchor: Anchor | None = None
    relative_cost: float = 1.0
    values: tuple[float, ...] = ()
    ended: str | None = None
    is_met: bool = False
    epochs: tuple[Epoch, ...] = ()
    checkpoint: str | None = None
    parent: str | None = None
    where: tuple[str, ...] = ()

    @property
    def num_free_parameters(self) -> int:
        """Number of trainable parameters."""
        return self.topology.num_free_parameters

    @property
    def spent(self) -> float:
        """Predicted cost of the epochs that it has had."""
        return self.epoch_cost * len(self.values)

    @property
    def slice_epochs(self) -> int:
        """Epochs of its next slice."""
        done = len(self.values)
        return max(1, OWN_EPOCHS - done, math.ceil(SLICE_SHARE * done))

    @property
    def slice_cost(self) -> float:
        """Predicted cost of its next slice."""
        return self.epoch_cost * self.slice_epochs


class Goal(NamedTuple):
    """What the sizes are trained for: the shortfall to reach, within so many epochs of a trial and so much cost.

    ``budget`` is the cost that may still be spent, in the unit of the sizes' epoch costs.
    """

    target: float
    max_epochs: int
    budget: float = math.inf


class Decision(NamedTuple):
    """Train this size for so many epochs more."""

    name: str
    epochs: int


Sizes = tuple[SearchCandidate, ...]


def decide(sizes: Sizes, goal: Goal, first: str, at_most: int = 1) -> list[Decision]:
    """The next slices, at most so many, the most promising first; none when no size is predicted to reach the goal.

    ``first`` is the size to begin with. Where that one does not do, what larger sizes cost is hedged with a share
    for smaller ones.
    """
    if not any(size.values for size in sizes):
        return _begin(sizes, first)
    forecasts = [(size, forecast(size, sizes, goal)) for size in _within_reach(sizes)]
    hopeful = [(size, found) for size, found in forecasts if found.chance > HOPELESS]
    ranked = [size for size, _ in sorted(hopeful, key=lambda item: item[1].cost_of_success)]
    chosen = ranked[:at_most] or _too_early_to_stop(sizes, goal)
    hedge = _hedge(sizes, forecasts, chosen[0], first) if chosen else None
    if hedge is not None:
        chosen = [hedge, *(size for size in chosen if size != hedge)][:at_most]
    return [Decision(size.name, size.slice_epochs) for size in chosen]


def decide_exploring(sizes: Sizes, goal: Goal, at_most: int = 1) -> list[Decision]:
    """The next slices once the target is met: the other sizes, until each has met it or is too far from doing so.

    A size is left when it has cost `EXPLORED` times what the cheapest training to the target did.
    """
    limit = EXPLORED * min(size.spent for size in sizes if size.values and min(size.values) <= goal.target)
    left = tuple(
        replace(size, ended="it costs too much") if size.epoch_cost * (len(size.values) + 1) > limit else size
        for size in sizes
    )
    return decide(left, goal, "", at_most)


def _begin(sizes: Sizes, first: str) -> list[Decision]:
    """The size to begin with, or the nearest one that has not ended without a single good epoch."""
    wanted = next(size for size in sizes if size.name == first)
    nearest = min(_open(sizes), key=lambda size: abs(_doublings(size, wanted)), default=None)
    return [] if nearest is None else [Decision(nearest.name, OWN_EPOCHS)]


def _open(sizes: Sizes) -> Sizes:
    """Those that can go on."""
    return tuple(size for size in sizes if size.ended is None)


def _within_reach(sizes: Sizes) -> Sizes:
    """Sizes that can go on: those begun, and the nearest ones outwards from them, `OUTWARDS` on each side.

    A size far from all that was seen is a bet on the forecast alone, and large sizes are dear bets.
    """
    ordered = tuple(sorted(sizes, key=lambda size: size.num_free_parameters))
    begun = [position for position, size in enumerate(ordered) if size.values]
    return _open(ordered[max(0, begun[0] - OUTWARDS) : begun[-1] + OUTWARDS + 1])


def _too_early_to_stop(sizes: Sizes, goal: Goal) -> list[SearchCandidate]:
    """The size furthest along while none has had `LEAST_EPOCHS`: too early to say that a target is out of reach."""
    furthest = max(_open(sizes), key=lambda size: len(size.values), default=None)
    if furthest is None or len(furthest.values) >= min(LEAST_EPOCHS, goal.max_epochs):
        return []
    return [furthest] if furthest.epoch_cost <= goal.budget else []


def _hedge(
    sizes: Sizes, forecasts: list[tuple[SearchCandidate, Forecast]], chosen: SearchCandidate, first: str
) -> SearchCandidate | None:
    """The best size below the first, if one above it is next and those below are owed a slice; else None."""
    limit = next((size.num_free_parameters for size in sizes if size.name == first), math.inf)
    below = [(size, found) for size, found in forecasts if size.num_free_parameters < limit and found.chance > 0]
    if chosen.num_free_parameters <= limit or not below:
        return None
    best, _ = min(below, key=lambda item: _index(item[1].further_epochs, item[1].weights, item[0].epoch_cost, 0.0))
    spent_below = best.slice_cost + sum(size.spent for size in sizes if size.num_free_parameters < limit)
    spent_above = chosen.slice_cost + sum(size.spent for size in sizes if size.num_free_parameters > limit)
    return best if spent_below <= HEDGE * spent_above else None


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


def forecast(size: SearchCandidate, sizes: Sizes, goal: Goal) -> Forecast:
    """What a size still needs.

    Its own curve knows nothing of the floor that it is falling to; a size that is further along does. So the chances
    from its own curve are multiplied by that of passing the target once it has come as low as it has, as the other's
    curve tells.
    """
    done = len(size.values)
    if done >= OWN_EPOCHS:
        further = AHEAD
        ahead = tuple(other for other in sizes if _progress(other) > _progress(size))
        weights = _chance_to_pass(size, _nearest(size, ahead), goal.target) * _own_chances(size.values, goal.target)
    else:
        guide = _nearest(size, sizes)
        assert guide is not None  # (decide begins with a size, so that one has trained)
        total, weights = _borrowed(size, guide, goal.target)
        further = np.maximum(total - done, 1.0)
    weights = np.where(further <= min(goal.max_epochs - done, goal.budget / size.epoch_cost), weights, 0.0)
    return Forecast(further, weights, _index(further, weights, size.epoch_cost))


def _index(further: FloatArray, weights: FloatArray, epoch_cost: float, hopeless: float = HOPELESS) -> float:
    """Least expected cost for each success, over the epochs after which the size is given up."""
    chance = np.cumsum(weights)
    spent = np.cumsum(weights * further) + (1.0 - chance) * further
    possible = chance > hopeless
    return float(epoch_cost * (spent[possible] / chance[possible]).min()) if possible.any() else math.inf


def _progress(size: SearchCandidate) -> float:
    """How far along a size is: its epochs over those that a network of its size needs, up to a factor."""
    return len(size.values) / float(relative_epochs(size.num_free_parameters))


def _doublings(size: SearchCandidate, other: SearchCandidate) -> float:
    """How many times larger a size is than another, as doublings."""
    return math.log2(size.num_free_parameters / other.num_free_parameters)


def _nearest(size: SearchCandidate, others: Sizes) -> SearchCandidate | None:
    """The size nearest to one of those that have trained, None if none has."""
    trained = [other for other in others if len(other.values) >= OWN_EPOCHS] or [o for o in others if o.values]
    return min(trained, key=lambda other: abs(_doublings(size, other)), default=None)


def _chance_to_pass(size: SearchCandidate, guide: SearchCandidate | None, target: float) -> float:
    """Chance that a size meets the target ever, given its best so far, if it ends about where another one does."""
    best = min(size.values)
    if guide is None or best <= target:
        return 1.0
    to_target, to_best = (float(_borrowed(size, guide, goal)[1].sum()) for goal in (target, best))
    return min(1.0, to_target / max(to_best, 1e-12))


@lru_cache(maxsize=1024)
def _own_chances(values: tuple[float, ...], target: float) -> FloatArray:
    """Chance of meeting the target so many epochs ahead as `AHEAD` says, from a size's own curve."""
    chances: FloatArray = hitting(LearningCurve(values), math.log(target)).chances[0]
    return chances


def _borrowed(size: SearchCandidate, guide: SearchCandidate, target: float) -> tuple[FloatArray, FloatArray]:
    return borrowed_forecast(size.num_free_parameters, guide.num_free_parameters, guide.values, target)


@lru_cache(maxsize=4096)
def borrowed_forecast(
    parameters: int, other_parameters: int, other_values: tuple[float, ...], target: float
) -> tuple[FloatArray, FloatArray]:
    """Epochs in all to the target from another size's curve, in order, and how likely each number is."""
    spread = math.hypot(FLOOR_SPREAD, FLOOR_SPREAD_PER_DOUBLING * math.log2(parameters / other_parameters))
    lower = _log_floor(other_parameters) - _log_floor(parameters)
    first, chances = hitting(LearningCurve(other_values), math.log(target) + lower + spread * _FLOORS)
    met = np.isfinite(first)
    later = np.tile(len(other_values) + AHEAD, (len(met), 1))
    epochs = np.concatenate([np.where(met, first, 1.0)[:, None], later], axis=1)
    weights = _FLOOR_WEIGHTS[:, None] * np.concatenate([met[:, None], chances], axis=1)
    sizes = relative_epochs([parameters, other_parameters])
    law = float(sizes[0] / sizes[1]) * np.exp(LAW_SPREAD * _LAWS)
    total = np.maximum(np.multiply.outer(law, epochs), 1.0)
    order = np.argsort(total, axis=None, kind="stable")
    return total.ravel()[order], np.broadcast_to(weights / len(law), total.shape).ravel()[order]


def _log_floor(num_free_parameters: int) -> float:
    """Log of the best loss that a size ends at, up to a constant of the task."""
    small: float = (SMALL / num_free_parameters) ** SMALL_EXPONENT
    return small - FLOOR_FALL * math.log2(num_free_parameters)
