"""Ways to choose a size, and a rate, for a target: constants, equation 10 alone, and the model of the curves."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
from recommend_base import BASE_RATE, BATCH_SIZE, DEPTH, RATES, Pair, Sweep, Target, epoch_cost, machines

from sizer.method import expectation
from sizer.method import reach as law
from sizer.method.advisor import recommend
from sizer.method.epochs_to_loss import Pilot, difficulty_of
from sizer.method.reach import Constants, Known, Networks
from sizer.method.recommendation import Candidate, Recommendation
from sizer.method.request import Request

#: Sizes whose losses are the pilots', and after how many epochs. Whole pilots of 2^11 and 2^13 cost 2.7 to 3.6.
PILOT_SIZES = (2**13, 2**16)
PILOT_EPOCHS = 2


class Choice(NamedTuple):
    """What is trained: positions of a size of the sweep and of a rate, and whether averaged weights count too."""

    position: int
    rate: int
    averaged: bool


Choosing = Callable[[Target, str], "Choice | None"]


@cache
def always(size: int, rate: int, averaged: bool) -> Choosing:
    """The same size and rate whatever the target."""
    return lambda target, _: Choice(target.sweep.nearest(size), rate, averaged)


# Equation 10 alone.


def paper_rank_1(target: Target, machine: str) -> Choice | None:
    """Rank 1 of `sizer recommend --law paper`."""
    found = _paper(target.sweep, machine).candidates
    return _placed(target.sweep, found[0]) if found else None


def paper_optimum(target: Target, machine: str) -> Choice | None:
    """The optimum beside it, of all sizes."""
    return _placed(target.sweep, _paper(target.sweep, machine).optimum)


def fills_l2(target: Target, machine: str) -> Choice | None:
    """The size whose backward pass fills L2 once."""
    found = _paper(target.sweep, machine).candidates
    anchors = {(anchor.working_set, anchor.level): pick for pick in found for anchor in (pick.anchor, *pick.also_fills)}
    return _placed(target.sweep, anchors["b", "L2"]) if ("b", "L2") in anchors else None


@cache
def _paper(sweep: Sweep, machine: str) -> Recommendation:
    chosen = machines()[machine]
    request = Request(**_family(sweep), top=100, law="paper")
    return recommend(request, chosen.device, chosen.coefficients)


def _family(sweep: Sweep) -> dict[str, object]:
    facts = sweep.facts
    dims = {"input_dim": facts.input_dim, "output_dim": facts.output_dim}
    kind = "regression" if facts.regression else "classification"
    return {**dims, "kind": kind, "depth": (DEPTH,), "batch_size": (BATCH_SIZE,), "observations": facts.train_rows}


def _placed(sweep: Sweep, candidate: Candidate) -> Choice:
    return Choice(sweep.nearest(candidate.num_free_parameters), BASE_RATE, False)


# The model.


#: From a task to constants that were fitted without it.
ConstantsWithout = Callable[[str], Constants]


def of_all_sizes(constants_without: ConstantsWithout, pinned: bool, given: str | None = None) -> Choosing:
    """The recorded size, and the rate, of least expected cost; ``given`` is None, difficulty or pilots."""

    def choosing(target: Target, machine: str) -> Choice:
        constants = constants_without(target.sweep.task)
        difficulty = difficulty_of(target.loss, target.sweep.best) if given == "difficulty" else None
        level = target.level if given == "pilots" else None
        return _cheapest(target.sweep, machine, constants, pinned, difficulty, level)

    return choosing


@cache
def _cheapest(
    sweep: Sweep,
    machine: str,
    constants: Constants,
    pinned: bool,
    difficulty: str | None,
    piloted_level: float | None,
) -> Choice:
    ratios, weights = expectation.hardness_prior(difficulty)
    known = known_of(sweep)
    if piloted_level is not None:
        losses = [_pilot(sweep, i) for i in pilot_positions(sweep)]
        ratios, weights = expectation.narrowed(ratios, weights, losses, piloted_level * sweep.best, known, constants)
    costs = {}
    for rate, averaged in [(BASE_RATE, False)] if pinned else settings():
        price = epoch_cost(sweep, machines()[machine]) * (law.AVERAGING if averaged else 1.0)
        setting = networks_of(sweep), known, RATES[rate], averaged
        cost = expectation.expected_cost(price, *setting, ratios, weights, constants)
        costs[Choice(int(cost.argmin()), rate, averaged)] = float(cost.min())
    return min(costs, key=costs.__getitem__)


def rank_1(constants_without: ConstantsWithout, pinned: bool, given: str | None = None) -> Choosing:
    """Rank 1 of `sizer recommend` itself, at the nearest size and rate that were recorded.

    ``given`` is None, difficulty, or inputs: these and outputs and rows alone, not the kind of targets.
    """

    def choosing(target: Target, machine: str) -> Choice | None:
        difficulty = difficulty_of(target.loss, target.sweep.best) if given == "difficulty" else None
        constants = constants_without(target.sweep.task)
        return _rank_1(target.sweep, machine, constants, pinned, difficulty, given != "inputs")

    return choosing


@cache
def _rank_1(
    sweep: Sweep, machine: str, constants: Constants, pinned: bool, difficulty: str | None, kind_known: bool
) -> Choice | None:
    chosen, before = machines()[machine], law.CURVES
    family = _family(sweep) if kind_known else {**_family(sweep), "kind": None}
    law.CURVES = constants
    try:
        request = Request(**family, difficulty=difficulty, learning_rate=RATES[BASE_RATE] if pinned else None)
        found = recommend(request, chosen.device, chosen.coefficients).candidates
    finally:
        law.CURVES = before
    if not found:
        return None
    rate = int(np.argmin(np.abs(np.log(np.array(RATES) / (found[0].learning_rate or RATES[BASE_RATE])))))
    return Choice(sweep.nearest(found[0].num_free_parameters), rate, bool(found[0].averaged))


def settings() -> list[tuple[int, bool]]:
    """Every rate, with raw weights and with averaged ones beside them."""
    return [(rate, averaged) for rate in range(len(RATES)) for averaged in (False, True)]


def pilot_positions(sweep: Sweep) -> list[int]:
    """Positions of the sizes that are trained as pilots."""
    return sorted({sweep.nearest(size) for size in PILOT_SIZES})


def _pilot(sweep: Sweep, position: int) -> Pilot:
    curve = sweep.curves[position, BASE_RATE, False][:PILOT_EPOCHS]
    return Pilot(int(sweep.num_free_parameters[position]), float(curve.min()), len(curve))


@cache
def networks_of(sweep: Sweep) -> Networks:
    """The sizes of a sweep as the model knows them."""
    same = np.ones(len(sweep.sizes))
    return Networks(sweep.num_free_parameters, sweep.hidden_width, DEPTH * same, BATCH_SIZE * same)


def network_of(pair: Pair) -> Networks:
    """A training of another depth, shape or batch size as the model knows it."""
    like = networks_of(pair.sweep)
    found = like.num_free_parameters[[pair.position]], like.hidden_width[[pair.position]]
    return Networks(*found, np.array([float(pair.run.depth)]), np.array([float(pair.run.batch_size)]))


def known_of(sweep: Sweep) -> Known:
    """What is known of a task before training."""
    return Known(sweep.facts.train_rows, sweep.facts.input_dim, sweep.facts.output_dim, sweep.facts.regression)


def chances(target: Target, constants: Constants, rate: int, averaged: bool) -> npt.NDArray[np.float64]:
    """Chance of each size to reach a target whose hardness is known, shape (sizes,)."""
    setting = networks_of(target.sweep), known_of(target.sweep), RATES[rate], averaged
    return law.chance_to_reach(*setting, np.array([target.level]), constants)[:, 0]
