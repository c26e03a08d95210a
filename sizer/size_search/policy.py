"""Where the next slice of training goes: to the arm whose predicted cost of reaching the target is least. Pure.

An arm is a size at a learning rate. Each has a distribution of the epochs it still needs (`forecasts`). An arm that
needs T more epochs at cost c each, T being uncertain, is worth

    index = min over h of  c E[min(T, h)] / P(T <= h),

the cost that must be spent on it for each success to expect, given up after h epochs at the best moment. Training the
arm of the least index, and looking again after a few epochs, is the policy of least expected cost for independent
arms (Weitzman, "Optimal search for the best alternative", Econometrica 47 (1979), for searches that can be resumed:
Gittins's index). Arms are not independent, and forecasts are wrong about some of them now and then: where the first
one does not do, and larger sizes are tried, a share of the spending goes to smaller ones, and a share of what high
rates cost goes to lower ones.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from functools import partial
from typing import NamedTuple

from sizer.size_search.arms import OWN_EPOCHS, Arms, Goal, Place, SearchCandidate
from sizer.size_search.forecasts import HOPELESS, Forecast, forecast, index

# Figures behind a constant: as in `forecasts`.

#: How many sizes, and rates, beyond those begun may be begun next, on each side: from farther ones the forecast is a
#: guess. (2: 1.25 / 5.15 / 13.3)
OUTWARDS = 1
#: At several rates, a slice lasts at least this share of all that was spent: less is not worth a decision.
SLICE_OF_ALL = 0.02
#: Sizes below the first get this share of what those above it get, likely or not: they cost little, and where networks
#: overfit it is they that reach the target. (0: 1.25 / 4.31 / 31.2)
HEDGE = 0.15
#: At several rates, only an arm that has trained for so many epochs makes its neighbours candidates.
REACH_EPOCHS = 6
#: At several rates, begun arms beyond one for each so many epochs of the one furthest along make new ones dearer, by
#: the cube of their excess. (`search.py --base`, geometric mean: 0.605 without, of twelve tasks; of eleven of them 0.61
#: with 10 and the square, 0.58 with the square, 0.57 as it is.)
BREADTH_EPOCHS = 20.0
#: Rates below any up to the first's get this share of what it and higher ones get: on some tasks high rates stop short.
RATE_HEDGE = 0.15
#: No target is given up before one size has had so many epochs. (2: the same, as all 117 are reached)
LEAST_EPOCHS = 12
#: One more network in an average is taken to lower its loss by this factor. (`search.py --base`, nine tasks with
#: predictions, one seed, geometric mean: 0.59 without easing at all, 0.58 with 1, 0.55 with 1.04, 0.56 with 1.07.)
MEMBER_GAIN = 1.03
#: Exploring leaves a size that cost so many times what the cheapest training to the target did: a definition, as
#: docs/search.md has it.
EXPLORED = 4.0


class Decision(NamedTuple):
    """Train this arm for so many epochs more; ``why`` says in words why this one."""

    name: str
    epochs: int
    why: str


def decide(arms: Arms, goal: Goal, first: str, at_most: int = 1) -> list[Decision]:
    """The next slices, at most so many, the most promising first; none when no arm is predicted to reach the goal.

    ``first`` is the arm to begin with. Where that one does not do, what larger sizes and higher rates cost is hedged
    with a share for smaller and lower ones.
    """
    if not any(arm.values for arm in arms):
        return _begin(arms, first)
    forecasts = [(arm, forecast(arm, arms, _own_goal(arm, goal))) for arm in _within_reach(arms)]
    hopeful = [(arm, found) for arm, found in forecasts if found.chance > HOPELESS]
    new_arms_dearer = _dearer(arms)
    costs = {arm.name: found.cost_of_success * (1.0 if arm.values else new_arms_dearer) for arm, found in hopeful}
    ranked = sorted((arm for arm, _ in hopeful), key=lambda arm: costs[arm.name])
    chosen = {arm.name: arm for arm in ranked[:at_most] or _too_early_to_stop(arms, goal)}
    why = {name: _promise(name, [costs[arm.name] for arm in ranked], costs) for name in chosen}
    hedge = _hedge(arms, forecasts, next(iter(chosen.values())), first) if chosen else None
    if hedge is not None:
        chosen, why = {hedge.arm.name: hedge.arm} | chosen, why | {hedge.arm.name: hedge.why}
    return [Decision(name, _slice_epochs(arm, arms), why[name]) for name, arm in [*chosen.items()][:at_most]]


def _promise(name: str, ranked: Sequence[float], costs: Mapping[str, float]) -> str:
    """Why an arm is chosen by its expected cost of a success, of those that are ``ranked``, the least first."""
    if name not in costs:
        return f"too early to give up: no arm has trained for {LEAST_EPOCHS} epochs"
    if len(ranked) == 1:
        return "nothing else within reach may still get there"
    if costs[name] > ranked[0]:
        return f"at the same time, at {costs[name] / ranked[0]:.2g} times the least expected cost of getting there"
    return f"least expected cost of getting there, {ranked[0] / ranked[1]:.2g} of the next one's"


def _own_goal(arm: SearchCandidate, goal: Goal) -> Goal:
    """What an arm has to come to so that it, or the average that it joins, meets the target."""
    if goal.gain is None:
        return goal
    best = min(arm.values, default=math.inf)
    eased = (goal.target * goal.gain * more for more in (MEMBER_GAIN, 1.0))
    return goal._replace(target=next((target for target in eased if target < best), goal.target))


def _slice_epochs(arm: SearchCandidate, arms: Arms) -> int:
    """Epochs of an arm's next slice: more than its own share where arms are many, and it is cheap beside them."""
    if len({other.multiple for other in arms}) == 1:
        return arm.slice_epochs
    return max(arm.slice_epochs, int(SLICE_OF_ALL * sum(other.spent for other in arms) / arm.epoch_cost))


def _dearer(arms: Arms) -> float:
    """By how much the cost of a success with an arm that is not begun is raised, at several rates.

    Forecasts take arms to be independent, and each new one for a chance of its own to be far better than those seen.
    Where all of them are slow, that would begin one after the other and train none.
    """
    begun = [len(arm.values) for arm in arms if arm.values]
    if len({arm.multiple for arm in arms}) == 1:
        return 1.0
    return max(1.0, len(begun) / (1.0 + max(begun) / BREADTH_EPOCHS)) ** 3


def decide_exploring(arms: Arms, goal: Goal, at_most: int = 1) -> list[Decision]:
    """The next slices once the target is met: the other sizes, until each has met it or is too far from doing so.

    A size is left when one of its arms has cost `EXPLORED` times what the cheapest training to the target did.
    """
    met = [arm for arm in arms if arm.values and min(arm.values) <= goal.target]
    limit = EXPLORED * min(arm.spent for arm in met)
    known = {arm.num_free_parameters for arm in met}
    left = tuple(
        replace(arm, ended="it costs too much")
        if arm.num_free_parameters in known or arm.epoch_cost * (len(arm.values) + 1) > limit
        else arm
        for arm in arms
    )
    found = decide(left, goal, "", at_most)
    return [each._replace(why=f"the target is met; exploring: {each.why}") for each in found]


def _begin(arms: Arms, first: str) -> list[Decision]:
    """The arm to begin with, or the nearest one that has not ended without a single good epoch."""
    wanted = next(arm for arm in arms if arm.name == first)
    nearest = min(_open(arms), key=lambda arm: arm.place.distance(wanted.place), default=None)
    why = "the first: least expected cost by the law of learning curves"
    if nearest is not wanted:
        why = "nearest to the first, which ended without a good epoch"
    return [] if nearest is None else [Decision(nearest.name, OWN_EPOCHS, why)]


def _open(arms: Arms) -> Arms:
    """Those that can go on. Where a rate was too high for a size, it and higher ones are for larger sizes too."""
    too_high = [arm.place for arm in arms if arm.diverged]
    return tuple(arm for arm in arms if arm.ended is None and not any(_beyond(arm.place, edge) for edge in too_high))


def _beyond(place: Place, edge: Place) -> bool:
    return place.multiple >= edge.multiple > 1.0 and place.num_free_parameters >= edge.num_free_parameters


def _within_reach(arms: Arms) -> Arms:
    """Arms that can go on: those begun, and their neighbours.

    An arm far from all that was seen is a bet on the forecast alone, and large sizes are dear bets. At one rate the
    sizes next to those begun are neighbours. At several there are many, of which the forecast says much the same: the
    sizes and rates next to the arms that have trained for `REACH_EPOCHS`.
    """
    sizes, rates = (_positions(offered) for offered in zip(*(arm.place for arm in arms), strict=True))
    begun = [arm for arm in arms if arm.values]
    if len(rates) > 1:
        begun = [arm for arm in begun if len(arm.values) >= REACH_EPOCHS] or begun
    near = range(-OUTWARDS, OUTWARDS + 1)
    reached = {
        (sizes[arm.num_free_parameters] + further, rates[arm.multiple] + higher)
        for arm in begun
        for further in near
        for higher in (near if len(rates) > 1 else (0,))
    }

    def is_near(arm: SearchCandidate) -> bool:
        return (sizes[arm.num_free_parameters], rates[arm.multiple]) in reached

    return tuple(arm for arm in _open(arms) if arm.values or is_near(arm))


def _positions(offered: Sequence[float]) -> dict[float, int]:
    """Values that are offered, each with its place among them."""
    return {value: place for place, value in enumerate(sorted(set(offered)))}


def _too_early_to_stop(arms: Arms, goal: Goal) -> list[SearchCandidate]:
    """The arm furthest along while none has had `LEAST_EPOCHS`: too early to say that a target is out of reach."""
    furthest = max(_open(arms), key=lambda arm: len(arm.values), default=None)
    if furthest is None or len(furthest.values) >= min(LEAST_EPOCHS, goal.max_epochs):
        return []
    return [furthest] if furthest.epoch_cost <= goal.budget else []


class _Hedge(NamedTuple):
    """An arm that is owed a slice, and why."""

    arm: SearchCandidate
    why: str


def _hedge(
    arms: Arms, forecasts: list[tuple[SearchCandidate, Forecast]], chosen: SearchCandidate, first: str
) -> _Hedge | None:
    """The best arm that is owed a slice: of a smaller size than the first, or of a lower rate; None if none is."""
    begun = next((arm for arm in arms if arm.name == first), None)
    if begun is None:
        return None
    size = begun.num_free_parameters
    groups: list[tuple[_Test, _Test, float, str]] = [
        (lambda arm: arm.num_free_parameters < size, lambda arm: arm.num_free_parameters > size, HEDGE, "larger sizes")
    ]
    edges = sorted({arm.multiple for arm in arms if arm.multiple <= begun.multiple})[1:]
    groups += [(partial(_is_slower, edge), partial(_is_no_slower, edge), RATE_HEDGE, "higher rates") for edge in edges]
    for below, above, share, dearer in groups:
        owed = _owed((arms, forecasts, chosen, share), below, above)
        if owed is not None:
            return _Hedge(owed, f"owed {100 * share:.0f} % of what {dearer} cost, in case they are wrong")
    return None


def _is_slower(edge: float, arm: SearchCandidate) -> bool:
    return arm.multiple < edge


def _is_no_slower(edge: float, arm: SearchCandidate) -> bool:
    return arm.multiple >= edge


_Known = tuple[Arms, list[tuple[SearchCandidate, Forecast]], SearchCandidate, float]
_Test = Callable[[SearchCandidate], bool]


def _owed(known: _Known, below: _Test, above: _Test) -> SearchCandidate | None:
    """The best arm of those below, if one above is next and those below are owed a slice of their share; else None."""
    arms, forecasts, chosen, share = known
    lower = [(arm, found) for arm, found in forecasts if below(arm) and found.chance > 0]
    if not above(chosen) or not lower:
        return None
    best, _ = min(lower, key=lambda item: index(item[1].further_epochs, item[1].weights, item[0].epoch_cost, 0.0))
    spent_below = _slice_epochs(best, arms) * best.epoch_cost + sum(arm.spent for arm in arms if below(arm))
    spent_above = _slice_epochs(chosen, arms) * chosen.epoch_cost + sum(arm.spent for arm in arms if above(arm))
    return best if spent_below <= share * spent_above else None
