"""What an arm still needs to reach a target: from its own learning curve, or from that of another arm. Pure.

An arm that has trained a few epochs is forecast from its own curve; else from that of the nearest arm that has, shifted
by the data-efficiency law (a larger network is further after the same epochs), by how much lower a larger network's
losses end, and by what a doubling of the learning rate does to both (`priors`).
"""

from __future__ import annotations

import math
from functools import lru_cache
from typing import NamedTuple

import numpy as np

from sizer.method.epochs_to_loss import relative_epochs
from sizer.size_search.arms import OWN_EPOCHS, Arms, Goal, Place, SearchCandidate
from sizer.size_search.learning_curves import AHEAD, FloatArray, LearningCurve, hitting
from sizer.size_search.priors import EPOCHS_SPREAD, RATE_FLOOR_SPREAD, log_rate_epochs, log_rate_floor

# Figures behind a constant are what the search at one rate spends on the 117 recorded targets (median / 90th percentile
# / worst) with another value, 1.25 / 4.63 / 13.3 with all as they are: `python benchmarks/search_constants.py`,
# 2026-11-26.

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
#: At several rates an arm's chance halves with each so many epochs that bring nothing better, as a number and a share
#: of its epochs. (At one rate, on other curves: held-out targets 1.34 / 7.25 / 7.87, without 1.31 / 6.52 / 8.32.)
#: (`search.py --base`, one seed, geometric mean and 90th percentile: 0.47, 1.42; without 0.50, 1.98; with 2 and 0.2
#: 0.48, 1.71; with 0.5 and 0.05 0.49, 1.80.)
STALL_EPOCHS, STALL_SHARE = 1.0, 0.1
#: An arm is given up when reaching the target is less likely than this. (0.02: the same)
HOPELESS = 0.002

#: How far an arm's floor may be off, in units of the spread, and how likely that is: Student's t with 2 degrees of
#: freedom. Its tails matter: now and then a size reaches what its neighbours do not. (A normal
#: distribution: 1.22 / 4.52 / 16.9.)
_FLOORS = np.array([-9.0, -4.0, -2.0, -1.0, -0.4, 0.0, 0.4, 1.0, 2.0, 4.0, 9.0])
_FLOOR_WEIGHTS = (2.0 + _FLOORS**2) ** -1.5 * np.gradient(_FLOORS)
_FLOOR_WEIGHTS /= _FLOOR_WEIGHTS.sum()
#: Normal quantiles at five equally likely points.
_LAWS = np.array([-1.2816, -0.5244, 0.0, 0.5244, 1.2816])


class Forecast(NamedTuple):
    """Numbers of further epochs to the target, in order; how likely each is; and the index that follows.

    The likelihoods add up to less than 1: with the rest, the arm never reaches the target.
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


def forecast(arm: SearchCandidate, arms: Arms, goal: Goal) -> Forecast:
    """What an arm still needs.

    Its own curve knows nothing of the floor that it is falling to; an arm that is further along does. So the chances
    from its own curve are multiplied by that of passing the target once it has come as low as it has, as the other's
    curve tells.
    """
    done = len(arm.values)
    if done >= OWN_EPOCHS:
        further = AHEAD
        progress = _progress(arm)
        ahead = tuple(other for other in arms if other.values and _progress(other) > progress)
        weights = _chance_to_pass(arm, _nearest(arm, ahead), goal.target) * _own_chances(arm.values, goal.target)
        if len({other.multiple for other in arms}) > 1:
            weights = weights * _chance_after_a_stall(arm.values)
    else:
        guide = _nearest(arm, arms)
        assert guide is not None  # (a search begins with an arm, so that one has trained)
        total, weights = borrowed_forecast(arm.place, guide.place, guide.values, goal.target)
        further = np.maximum(total - done, 1.0)
    weights = np.where(further <= min(goal.max_epochs - done, goal.budget / arm.epoch_cost), weights, 0.0)
    return Forecast(further, weights, index(further, weights, arm.epoch_cost))


def _chance_after_a_stall(values: tuple[float, ...]) -> float:
    """By how much the epochs since an arm's best one lower its chance, beyond what its trend says of that."""
    stalled = len(values) - 1 - values.index(min(values))
    return float(2.0 ** (-stalled / (STALL_EPOCHS + STALL_SHARE * len(values))))


def index(further: FloatArray, weights: FloatArray, epoch_cost: float, hopeless: float = HOPELESS) -> float:
    """Least expected cost for each success, over the epochs after which the arm is given up."""
    chance = np.cumsum(weights)
    spent = np.cumsum(weights * further) + (1.0 - chance) * further
    possible = chance > hopeless
    return float(epoch_cost * (spent[possible] / chance[possible]).min()) if possible.any() else math.inf


@lru_cache(maxsize=4096)
def law_epochs(place: Place) -> float:
    """Epochs that an arm needs to a loss within reach, up to a factor that depends on the task."""
    return float(relative_epochs(place.num_free_parameters)) * math.exp(log_rate_epochs(place.multiple))


def _progress(arm: SearchCandidate) -> float:
    """How far along an arm is: its epochs over those that one of its kind needs, up to a factor."""
    return len(arm.values) / law_epochs(arm.place)


def _nearest(arm: SearchCandidate, others: Arms) -> SearchCandidate | None:
    """The arm nearest to one of those that have trained, None if none has."""
    trained = [other for other in others if len(other.values) >= OWN_EPOCHS] or [o for o in others if o.values]
    return min(trained, key=lambda other: arm.place.distance(other.place), default=None)


def _chance_to_pass(arm: SearchCandidate, guide: SearchCandidate | None, target: float) -> float:
    """Chance that an arm meets the target ever, given its best so far, if it ends about where another one does."""
    best = min(arm.values)
    if guide is None or best <= target:
        return 1.0
    to_target, to_best = (
        float(borrowed_forecast(arm.place, guide.place, guide.values, goal)[1].sum()) for goal in (target, best)
    )
    return min(1.0, to_target / max(to_best, 1e-12))


@lru_cache(maxsize=1024)
def _own_chances(values: tuple[float, ...], target: float) -> FloatArray:
    """Chance of meeting the target so many epochs ahead as `AHEAD` says, from an arm's own curve."""
    chances: FloatArray = hitting(LearningCurve(values), math.log(target)).chances[0]
    return chances


@lru_cache(maxsize=512)  # (24 kB each: 4096 held 100 MB after a long search, and a round asks for a hundred)
def borrowed_forecast(
    arm: Place, other: Place, other_values: tuple[float, ...], target: float
) -> tuple[FloatArray, FloatArray]:
    """Epochs in all to the target from another arm's curve, in order, and how likely each number is."""
    sizes, rates = arm.doublings_from(other), arm.rate_doublings_from(other)
    spread = math.hypot(FLOOR_SPREAD, FLOOR_SPREAD_PER_DOUBLING * sizes, RATE_FLOOR_SPREAD * rates)
    lower = _log_floor(other) - _log_floor(arm)
    first, chances = hitting(LearningCurve(other_values), math.log(target) + lower + spread * _FLOORS)
    met = np.isfinite(first)
    later = np.tile(len(other_values) + AHEAD, (len(met), 1))
    epochs = np.concatenate([np.where(met, first, 1.0)[:, None], later], axis=1)
    weights = _FLOOR_WEIGHTS[:, None] * np.concatenate([met[:, None], chances], axis=1)
    law = law_epochs(arm) / law_epochs(other) * np.exp(math.hypot(LAW_SPREAD, EPOCHS_SPREAD * rates) * _LAWS)
    total = np.maximum(np.multiply.outer(law, epochs), 1.0)
    order = np.argsort(total, axis=None, kind="stable")
    return total.ravel()[order], np.broadcast_to(weights / len(law), total.shape).ravel()[order]


def _log_floor(place: Place) -> float:
    """Log of the best loss that an arm ends at, up to a constant of the task."""
    small: float = (SMALL / place.num_free_parameters) ** SMALL_EXPONENT
    by_rate = log_rate_floor(place.num_free_parameters, place.multiple)
    return small - FLOOR_FALL * math.log2(place.num_free_parameters) + by_rate
