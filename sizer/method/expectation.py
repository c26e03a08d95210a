"""How hard a target is when little is known of it, and what each size is expected to cost on the way to it.

A size is trained to the target, or fails and the next octave is begun; over a prior of hardness, which a difficulty or
the losses of small networks narrow. The laws of `reach` tell what a task needs less well than they seem to, so another
size and rate than the usual ones must promise to save more than a doubt.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from sizer.method import reach
from sizer.method.epochs_to_loss import DIFFICULTIES, Pilot
from sizer.method.reach import BASE_BATCH, BASE_DEPTH, RATES, Constants, Known, Networks

_Array = npt.NDArray[np.float64]

#: Nothing known, the logarithm of hardness, a target's ratio to the best loss less 1, is uniform between these: targets
#: of 1.015 to 3.5 times the best loss of any size. (A definition, as are the difficulties, which are parts of it.)
_HARDNESS = (0.015, 2.5)
_HARDNESS_POINTS, _PILOT_POINTS = 9, 40
#: Octaves that a failing training goes up, and what it costs if none of them reaches, as a ratio to the size that
#: reaches the target most cheaply at 1e-3: where benchmarks/recommend.py cuts ratios. (10 and 30 do alike there.)
_OCTAVES_UP, _OUT_OF_REACH = 6, 100.0
#: The share that a size, rate or batch size other than the usual pair (`usual_pair`) must promise to save. Tasks left
#: out, three machines (docs/benchmarks.md, "Recommend"): 0 costs 0.55, 0.53 and 0.58 and misses 20, 16 and 11 % at
#: first; 0.4, and 0.8, 0.52, 0.50 and 0.55 and 11, 12 and 11 %.
DOUBT = 0.4


# How hard the target is.


def hardness_prior(difficulty: str | None) -> tuple[_Array, _Array]:
    """Ratios of a target to the best loss of any size, shape (H,), and their weights, which add up to 1.

    Gauss-Legendre points of a prior that is uniform in log(ratio - 1); a difficulty cuts it down to its own ratios.
    """
    low, high = _HARDNESS if difficulty is None else _bounds()[difficulty]
    points, weights = np.polynomial.legendre.leggauss(_HARDNESS_POINTS)
    middle, half = math.log(low * high) / 2, math.log(high / low) / 2
    return 1 + np.exp(middle + half * points), weights / 2


def _bounds() -> dict[str, tuple[float, float]]:
    """Lowest and highest hardness of each difficulty, hardest first."""
    edges = [_HARDNESS[0], *(found.ratio - 1 for found in DIFFICULTIES.values())]
    return {
        name: (low, min(high, _HARDNESS[1])) for name, low, high in zip(DIFFICULTIES, edges, edges[1:], strict=False)
    }


def narrowed(
    ratios: _Array,
    weights: _Array,
    pilots: Sequence[Pilot],
    target_loss: float | None,
    known: Known,
    constants: Constants | None = None,
) -> tuple[_Array, _Array]:
    """The prior of hardness after the losses of small networks, trained at 1e-3 with raw weights.

    A pilot's own ratio to the best loss is its loss over the target's times the target's ratio; how likely that is, the
    slope of the chance to be there by then says. Pilots are taken as rectangles of depth 4 and, since they share their
    task's luck, count as one together.
    """
    if not pilots or target_loss is None:
        return ratios, weights
    points = 1 + np.geomspace(*_HARDNESS, _PILOT_POINTS)
    log_likelihood = np.zeros(len(points))
    for pilot in pilots:
        ended_at = pilot.loss / target_loss * points
        below, above = (np.maximum(ended_at * factor, 1.001) for factor in (0.97, 1.03))
        slope = _chance_by_then(pilot, known, above, constants) - _chance_by_then(pilot, known, below, constants)
        log_likelihood += np.log(slope + 1e-6) / len(pilots)
    likelihood = np.exp(log_likelihood - log_likelihood.max())
    return points, likelihood / likelihood.sum()


def _chance_by_then(pilot: Pilot, known: Known, ratios: _Array, constants: Constants | None) -> _Array:
    """Chance that a pilot is at each ratio to the best loss after its epochs, shape (H,).

    That it reaches it at all, and that its epochs, of lognormal scatter about the law, are no more than it had.
    """
    constants = constants or reach.CURVES
    setting = _pilots_network(pilot, known), known, RATES[0], False, ratios, constants
    chance = reach.chance_to_reach(*setting)[0]
    if pilot.epochs is None:
        return np.asarray(chance)
    late = np.log2(reach.median_epochs(*setting)[0] / pilot.epochs) / constants.scatter
    return np.asarray(chance * np.array([math.erfc(z / math.sqrt(2)) / 2 for z in late.tolist()]))


def _pilots_network(pilot: Pilot, known: Known) -> Networks:
    """A pilot as a network of the base of curves."""
    size, depth, batch_size = (np.array([float(value)]) for value in (pilot.size, BASE_DEPTH, BASE_BATCH))
    return reach.as_rectangles(size, known.input_dim, known.output_dim, depth, batch_size)


# Which pair is usual, and what a size costs.


class Usual(NamedTuple):
    """A size, rate and kind of weights that cost least as one choice for many tasks."""

    size: float
    learning_rate: float
    averaged: bool


#: Parameters and rate that cost least on the recorded tasks as one choice, weights averaged; the size where hard
#: targets are ruled out, and the rate there and on tasks of numbers. The tasks without the one in question would name
#: the same, but for 2^13 on tasks of numbers, which costs 1 % less and misses 3 % more (docs/benchmarks.md, Recommend).
_USUAL_SIZE, _USUAL_RATE = 2.0**14, 8e-3
_SIZE_NOT_HARD, _RATE_NUMBERS = 2.0**13, 1.6e-2
#: Hard targets are ruled out where their chance is less than this.
_RULED_OUT = 0.05


def expected_cost(
    epoch_cost: _Array,
    networks: Networks,
    known: Known,
    learning_rate: float,
    averaged: bool,
    ratios: _Array,
    weights: _Array,
    constants: Constants | None = None,
) -> _Array:
    """Cost of training each size to the target, or of seeing it fail and going on octave by octave, shape (N,).

    In units of ``epoch_cost``, of which an epoch with averages costs `AVERAGING` (the caller counts it). The mean, over
    luck and hardness, is that of logarithms: twice the cost counts as much for an easy target as for a hard one, which
    costs many times more. `doubt` is part of it.
    """
    constants = constants or reach.CURVES
    setting = networks, known, learning_rate, averaged
    chance = reach.chance_to_reach(*setting, ratios, constants)
    success = epoch_cost[:, None] * reach.median_epochs(*setting, ratios, constants)
    failure = (epoch_cost * reach.epochs_until_given_up(*setting, constants))[:, None]
    position, upward = np.arange(len(epoch_cost)), _an_octave_up(networks.num_free_parameters)
    log_cost, spent, left, before = (np.zeros_like(chance) for _ in range(4))
    left += 1
    for _ in range(_OCTAVES_UP):
        added = np.maximum(chance[position] - before, 0.0) / np.maximum(1 - before, 1e-9)
        now = constants.together * added + (1 - constants.together) * chance[position]
        log_cost += left * now * np.log(spent + success[position])
        spent += failure[position]
        left *= 1 - now
        before = np.maximum(before, chance[position])
        position = upward[position]
    at_most = np.log(_OUT_OF_REACH * _least_at_1e_3(epoch_cost, networks, known, ratios, constants))
    usual = usual_pair(known, ratios, weights)
    return np.asarray(np.exp((log_cost + left * at_most) @ weights) * doubt(*setting, usual))


def usual_pair(known: Known, ratios: _Array, weights: _Array) -> Usual:
    """The size and rate that the law is doubted beside, by what is known of the targets."""
    not_hard = float(weights[ratios <= DIFFICULTIES["hard"].ratio].sum()) < _RULED_OUT
    rate = _RATE_NUMBERS if not_hard or known.regression else _USUAL_RATE
    return Usual(_SIZE_NOT_HARD if not_hard else _USUAL_SIZE, rate, True)


def doubt(networks: Networks, known: Known, learning_rate: float, averaged: bool, usual: Usual) -> _Array:
    """How much more than the law says a size is taken to cost, shape (N,): 1 for the usual pair, 1 + `DOUBT` far off.

    What is known before training tells little of what a task needs, and the law less than it seems to: another size or
    rate comes first where it is expected to save more than this. So does another batch size than that of most curves,
    apart from that: with a single batch size, sizes are doubted as with any other.
    """
    octaves = np.log2(networks.num_free_parameters / usual.size)
    away = octaves**2 + math.log2(learning_rate / usual.learning_rate) ** 2 + (averaged != usual.averaged)
    return doubted(away) * doubted(reach.batch_octaves(networks, known) ** 2)


def doubted(away: npt.ArrayLike) -> _Array:
    """The factor at a squared distance in octaves, or of as many things that are not as they mostly were recorded."""
    return np.asarray(1 + DOUBT * (1 - np.exp(-np.asarray(away, dtype=np.float64) / 2)))


def _least_at_1e_3(
    epoch_cost: _Array, networks: Networks, known: Known, ratios: _Array, constants: Constants
) -> _Array:
    """Cost of the size that reaches a target most cheaply at 1e-3, were it known, shape (H,): a scale for costs."""
    epochs = reach.median_epochs(networks, known, RATES[0], False, ratios, constants)
    return np.asarray((epoch_cost[:, None] * epochs).min(axis=0))


def _an_octave_up(num_free_parameters: _Array) -> npt.NDArray[np.intp]:
    """Position of the network nearest to twice each size, the largest's where there is none, shape (N,)."""
    sizes = np.log2(num_free_parameters)
    return np.searchsorted((sizes[1:] + sizes[:-1]) / 2, sizes + 1)
