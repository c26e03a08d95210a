"""Ways to choose a size, and a rate, for a target: constants, equation 10 alone, and the model of the curves."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
from recommend_base import BASE_RATE, BATCH_SIZE, DEPTH, RATES, Sweep, Target, epoch_cost, machines

from sizer.method import epochs_to_loss as law
from sizer.method.advisor import recommend
from sizer.method.epochs_to_loss import Constants, Known, Networks, Pilot, difficulty_of
from sizer.method.placement import Hierarchy
from sizer.method.recommendation import Candidate, Recommendation
from sizer.method.request import Request
from sizer.method.sweep import families, sweep, windows

#: Sizes whose losses are the pilots'.
PILOT_SIZES = (2**11, 2**13)


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


def paper_one_shot(target: Target, machine: str) -> Choice | None:
    """Its one size for a difficulty."""
    record = _paper(target.sweep, machine, difficulty_of(target.loss, target.sweep.best))
    shot = record.one_shot
    return _placed(target.sweep, shot.candidate if shot is not None else record.candidates[0])


def fills_l2(target: Target, machine: str) -> Choice | None:
    """The size whose backward pass fills L2 once."""
    found = _paper(target.sweep, machine).candidates
    anchors = {(anchor.working_set, anchor.level): pick for pick in found for anchor in (pick.anchor, *pick.also_fills)}
    return _placed(target.sweep, anchors["b", "L2"]) if ("b", "L2") in anchors else None


@cache
def _paper(sweep: Sweep, machine: str, difficulty: str | None = None) -> Recommendation:
    chosen = machines()[machine]
    by_paper = {"law": "paper"} if "law" in Request.__dataclass_fields__ else {}
    request = Request(**_family(sweep), difficulty=difficulty, top=100, **by_paper)
    return recommend(request, chosen.device, chosen.coefficients)


def _family(sweep: Sweep) -> dict[str, object]:
    facts = sweep.facts
    dims = {"input_dim": facts.input_dim, "output_dim": facts.output_dim}
    return {**dims, "depth": (DEPTH,), "batch_size": (BATCH_SIZE,), "observations": facts.train_rows}


def _placed(sweep: Sweep, candidate: Candidate) -> Choice:
    return Choice(sweep.nearest(candidate.num_free_parameters), BASE_RATE, False)


# The model.


def by_model(
    constants_without: Callable[[str], Constants],
    pinned: bool,
    anchored: bool = False,
    difficulty: bool = False,
    pilots: bool = False,
) -> Choosing:
    """The least expected cost by constants that were fitted without the target's task."""

    def choosing(target: Target, machine: str) -> Choice:
        given = difficulty_of(target.loss, target.sweep.best) if difficulty else None
        level = target.level if pilots else None
        return _cheapest(target.sweep, machine, constants_without(target.sweep.task), pinned, anchored, given, level)

    return choosing


@cache
def _cheapest(
    sweep: Sweep,
    machine: str,
    constants: Constants,
    pinned: bool,
    anchored: bool,
    difficulty: str | None,
    piloted_level: float | None,
) -> Choice:
    ratios, weights = law.hardness_prior(difficulty)
    known = known_of(sweep)
    if piloted_level is not None:
        losses = [Pilot(int(sweep.num_free_parameters[i]), _ended(sweep, i)) for i in _pilots(sweep)]
        ratios, weights = law.narrowed(ratios, weights, losses, piloted_level * sweep.best, known, constants)
    allowed = _fills_a_cache(sweep, machine) if anchored else np.ones(len(sweep.sizes), dtype=bool)
    costs = {}
    for rate, averaged in [(BASE_RATE, False)] if pinned else settings():
        price = epoch_cost(sweep, machines()[machine]) * (law.AVERAGING if averaged else 1.0)
        setting = networks_of(sweep), known, RATES[rate], averaged
        cost = np.where(allowed, law.expected_cost(price, *setting, ratios, weights, constants), np.inf)
        costs[Choice(int(cost.argmin()), rate, averaged)] = float(cost.min())
    return min(costs, key=costs.__getitem__)


def settings() -> list[tuple[int, bool]]:
    """Every rate, with raw weights and with averaged ones beside them."""
    return [(rate, averaged) for rate in range(len(RATES)) for averaged in (False, True)]


def _pilots(sweep: Sweep) -> list[int]:
    return sorted({sweep.nearest(size) for size in PILOT_SIZES})


def _ended(sweep: Sweep, position: int) -> float:
    return float(sweep.curves[position, BASE_RATE, False].min())


def _fills_a_cache(sweep: Sweep, machine: str) -> npt.NDArray[np.bool_]:
    """Whether a network within half an octave of each recorded size fills a cache once to twice, shape (sizes,)."""
    anchors = _anchored_parameters(sweep.facts.input_dim, sweep.facts.output_dim, machine)
    return np.array([(np.abs(np.log2(anchors / size)) < 0.5).any() for size in sweep.num_free_parameters])


@cache
def _anchored_parameters(input_dim: int, output_dim: int, machine: str) -> npt.NDArray[np.float64]:
    request = Request(input_dim, (DEPTH,), output_dim, (BATCH_SIZE,))
    swept = sweep(next(iter(families(request))), Hierarchy.of(machines()[machine].device, anchored=True))
    inside = np.logical_or.reduce([window.inside for window in windows(swept).values()])
    return swept.num_free_parameters[inside].astype(np.float64)


@cache
def networks_of(sweep: Sweep) -> Networks:
    """The sizes of a sweep as the model knows them."""
    same = np.ones(len(sweep.sizes))
    return Networks(sweep.num_free_parameters, sweep.hidden_width, DEPTH * same, BATCH_SIZE * same)


def known_of(sweep: Sweep) -> Known:
    """What is known of a task before training."""
    return Known(sweep.facts.train_rows, sweep.facts.input_dim, sweep.facts.output_dim, sweep.facts.regression)


def chances(target: Target, constants: Constants, rate: int, averaged: bool) -> npt.NDArray[np.float64]:
    """Chance of each size to reach a target whose hardness is known, shape (sizes,)."""
    setting = networks_of(target.sweep), known_of(target.sweep), RATES[rate], averaged
    return law.chance_to_reach(*setting, np.array([target.level]), constants)[:, 0]
