"""Epochs to a loss (equation 10), and what a size needs to reach one.

The law holds for losses within reach of a size, so two things place a size without training: the law's cost, and the
smallest size that is trusted to reach the target. The second comes from how hard the target is, or from the losses that
two small networks ended at.

How hard a target is, is said in terms of the best loss that any size of a sweep reaches: hard is a target of at most
1.1 times that loss, medium of at most 1.5 times, easy above. Hard targets need layers that are wide enough, whatever
the inputs: on five real tasks the width below which a size misses targets differs much less from task to task than the
number of parameters does, since inputs (2 to 784 there) cost parameters and no width. Easy targets are reached after a
few epochs, of which a larger network saves fewer than the law says.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

# The law.

#: Fits seven real tasks; any value from -2 to +1 is as good (`docs/method.md`).
DEFAULT_C = -1.0
#: The size whose epochs `saturation` is a share of: the middle of the sizes that the tasks were trained at.
_SATURATION_SIZE = 2.0**16


def relative_epochs(
    num_free_parameters: npt.ArrayLike, c: float = DEFAULT_C, saturation: float = 0.0
) -> npt.NDArray[np.float64]:
    """Epochs to a loss, up to a factor that depends on the task: (log2 NTP + c)^-3.

    Source: paper equation 10, (epochs to the minimum loss)^(-1/3) is about affine in log NTP. Holds as long as the
    loss is within reach of the size; the root mean square of the log residual is 0.40 (`docs/method.md`). Infinite
    where log2 NTP + c is not positive. ``saturation`` adds epochs that no size saves, as a share of those that the law
    gives 2^16 parameters: a loss that is reached in a few epochs is hardly reached in fewer by a larger network.
    """
    base = np.log2(np.asarray(num_free_parameters, dtype=np.float64)) + c
    with np.errstate(divide="ignore"):
        epochs = np.where(base > 0, np.maximum(base, 0.0) ** -3.0, np.inf)
    return np.asarray(epochs + saturation * (np.log2(_SATURATION_SIZE) + c) ** -3.0)


# What a target needs.


class Difficulty(NamedTuple):
    """How hard a target is: at most ``ratio`` times the best loss of a sweep.

    Hidden layers of ``hidden_width`` units or more are trusted to reach it; ``saturation`` is that of the law.
    """

    ratio: float
    hidden_width: int
    saturation: float


#: Fitted to recorded learning curves of five tasks at depth 4, the same for every task (benchmarks/one_shot.py --fit);
#: the ratios are definitions.
DIFFICULTIES = {
    "hard": Difficulty(1.1, 160, 0.0),
    "medium": Difficulty(1.5, 1, 0.25),
    "easy": Difficulty(math.inf, 1, 0.25),
}


class Pilot(NamedTuple):
    """The best validation loss that a network with so many trainable parameters reached, in so many epochs.

    ``epochs`` is None for a pilot that was trained until its loss no longer fell.
    """

    size: int
    loss: float
    epochs: int | None = None


def difficulty_of(target_loss: float, best_loss: float) -> str:
    """How hard a target is, given the best loss that any size of a sweep reaches."""
    return next(name for name, found in DIFFICULTIES.items() if target_loss <= found.ratio * best_loss)


# Reach and epochs by recorded learning curves (benchmarks/curves.py): from what is known before training.

#: Learning rates of Adam that a suggestion may name: those recorded on every task, and 2e-3 between.
RATES: tuple[float, ...] = (1e-3, 2e-3, 4e-3, 8e-3, 1.6e-2)
#: What an epoch costs with averages of the weights kept, as a ratio to one without (assumed; a pass over the weights).
AVERAGING = 1.03
#: A training that does not reach its target is left after so many epochs without a better loss.
PATIENCE = 12

#: Nothing known, the logarithm of hardness, a target's ratio to the best loss less 1, is uniform between these: targets
#: of 1.015 to 3.5 times the best loss of any size. (A definition, as are the difficulties, which are parts of it.)
_HARDNESS = (0.015, 2.5)
_HARDNESS_POINTS, _PILOT_POINTS = 9, 40
#: Rows of data where they are not known: about the median of the tasks that were recorded.
_USUAL_ROWS = 4000
#: Depth and batch size of most of the curves.
_BASE_DEPTH, _BASE_BATCH = 4, 256
#: Hidden width beyond which width adds little reach, and inputs beyond which a high rate costs reach: nearby values
#: fit as well (benchmarks/recommend.py --fit).
_WIDE, _MANY_INPUTS = 64, 32
#: Octaves that a failing training goes up, and what it costs if none of them reaches, as a ratio to the size that
#: reaches the target most cheaply at 1e-3: where benchmarks/recommend.py cuts ratios. (10 and 30 do alike there.)
_OCTAVES_UP, _OUT_OF_REACH = 6, 100.0
#: The share that a size, rate or batch size other than the usual pair (`usual_pair`) must promise to save. Tasks left
#: out, three machines (docs/benchmarks.md, "Recommend"): 0 costs 0.55, 0.53 and 0.58 and misses 20, 16 and 11 % at
#: first; 0.4, and 0.8, 0.52, 0.50 and 0.55 and 11, 12 and 11 %.
DOUBT = 0.4

_Array = npt.NDArray[np.float64]
_Terms = dict[str, "_Array | float"]


class Known(NamedTuple):
    """What is known of the data before training; None for unknown. Outputs tell nothing yet.

    The kind of targets tells which pair of size and rate the law is doubted beside.
    """

    n_observations: int | None
    input_dim: int
    output_dim: int
    regression: bool | None = None


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


class Networks(NamedTuple):
    """Networks of one family in order of size, arrays of shape (N,).

    ``hidden_width`` is that of the rectangle of depth 4 with as many parameters (`as_rectangles`), whatever the shape
    and depth: other shapes learn as that rectangle does, other depths a little more slowly.
    """

    num_free_parameters: _Array
    hidden_width: _Array
    depth: _Array
    batch_size: _Array


class Constants(NamedTuple):
    """Coefficients by name of the terms of `reach_terms`, `epochs_terms` and `left_terms`.

    Those of `BESIDE` are fitted to pairs of trainings that differ in batch size or depth alone, the others to the rest.
    ``scatter`` is the standard deviation of log2 of the epochs about the law, from task to task and within one.
    ``together`` is how far sizes of a task share their luck: 1 where a size reaches all that smaller ones do, and
    what they fail at only by what it adds; 0 where each is a throw of its own.
    """

    reach: tuple[tuple[str, float], ...]
    epochs: tuple[tuple[str, float], ...]
    left: tuple[tuple[str, float], ...]
    scatter: float
    together: float


#: Fitted to the base of curves but for the tasks left out of every fit (benchmarks/recommend.py --fit).
CURVES = Constants(
    reach=(
        ("one", -1.73),
        ("hardness", 0.495),
        ("width", 0.822),
        ("rate", 0.218),
        ("rate, rate", -0.0586),
        ("rate, averaged", 0.217),
        ("rate, inputs", -0.136),
    ),
    epochs=(
        ("one", 4.7),
        ("steps", -0.369),
        ("hardness", -0.44),
        ("width", -0.677),
        ("rate", -0.67),
        ("rate, rate", 0.0806),
        ("rate, width", 0.104),
        ("batch", 0.68),
        ("batch, rate", -0.0505),
        ("shallow", 0.243),
        ("deep", 0.372),
    ),
    left=(
        ("one", 6.05),
        ("steps", 0.0245),
        ("width", -0.349),
        ("rate", -0.393),
        ("rate, averaged", 0.0946),
        ("batch", 0.311),
    ),
    scatter=1.72,
    together=0.8,
)

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
    constants = constants or CURVES
    setting = _pilots_network(pilot, known), known, RATES[0], False, ratios, constants
    chance = chance_to_reach(*setting)[0]
    if pilot.epochs is None:
        return np.asarray(chance)
    late = np.log2(_epochs(*setting)[0] / pilot.epochs) / constants.scatter
    return np.asarray(chance * np.array([math.erfc(z / math.sqrt(2)) / 2 for z in late.tolist()]))


def _pilots_network(pilot: Pilot, known: Known) -> Networks:
    """A pilot as a network of the base of curves."""
    size, same = np.array([float(pilot.size)]), np.ones(1)
    return as_rectangles(size, known.input_dim, known.output_dim, _BASE_DEPTH * same, _BASE_BATCH * same)


def as_rectangles(
    num_free_parameters: _Array, input_dim: int, output_dim: int, depth: _Array, batch_size: _Array
) -> Networks:
    """Networks by the rectangle of depth 4 with as many parameters: P = 2 w^2 + (inputs + outputs + 3) w + outputs.

    On eight tasks trapezoids and wide-first networks of 2^12 to 2^16 parameters took 0.1 octaves more epochs than that
    rectangle (benchmarks/recommend.py --varied), so the shape tells nothing beyond it.
    """
    half = (input_dim + output_dim + 3) / 4
    width = np.maximum(1.0, np.sqrt(half**2 + np.maximum(num_free_parameters - output_dim, 0) / 2) - half)
    return Networks(num_free_parameters, width, depth, batch_size)


# What the three laws are linear in: terms by name, of shape (N, H), or fewer where they do not differ.

#: Terms of what is not as most curves were recorded, in octaves; 0 at depth 4 and batch 256. Tasks left out, they halve
#: the error of the difference in epochs for batch sizes (on eight tasks of eight); for depths they take a tenth off it
#: at most (on six).
BESIDE = ("batch", "batch, rate", "shallow", "deep")


def _beside(networks: Networks, known: Known, rate: float) -> _Terms:
    """Octaves of the batch beyond 256, by which the steps of an epoch are fewer, and of the depth below and above 4."""
    octaves, depth = _batch_octaves(networks, known)[:, None], np.log2(networks.depth / _BASE_DEPTH)[:, None]
    terms = octaves, octaves * rate, np.maximum(0.0, -depth), np.maximum(0.0, depth)
    return dict(zip(BESIDE, terms, strict=True))


def _batch_octaves(networks: Networks, known: Known) -> _Array:
    return np.asarray(np.log2(np.minimum(networks.batch_size, max(_rows(known), _BASE_BATCH)) / _BASE_BATCH))


def reach_terms(networks: Networks, known: Known, learning_rate: float, averaged: bool, ratios: _Array) -> _Terms:
    """Terms of the log-odds of reaching a target: they rise with log(ratio - 1) and, up to a width, with the width.

    Batch sizes and depths reach other targets on some tasks, and fewer or more of them as it comes.
    """
    width, rate = networks.hidden_width[:, None], math.log2(learning_rate / RATES[0])
    return {
        "one": 1.0,
        "hardness": np.log2(ratios - 1)[None, :],
        "width": np.log2(width / (1 + width / _WIDE)),
        "rate": rate,
        "rate, rate": rate**2,
        "rate, averaged": rate * averaged,
        "rate, inputs": rate * max(0.0, math.log2(known.input_dim / _MANY_INPUTS)),
    }


def epochs_terms(networks: Networks, known: Known, learning_rate: float, averaged: bool, ratios: _Array) -> _Terms:
    """Terms of log2 of the epochs to a target that is reached. Averaging changes them too little to count."""
    del averaged
    width, rate = np.log2(networks.hidden_width / _WIDE)[:, None], math.log2(learning_rate / RATES[0])
    return {
        "one": 1.0,
        "steps": _log_steps(known),
        "hardness": np.log2(ratios - 1)[None, :],
        "width": width,
        "rate": rate,
        "rate, rate": rate**2,
        "rate, width": rate * width,
        **_beside(networks, known, rate),
    }


def left_terms(networks: Networks, known: Known, learning_rate: float, averaged: bool) -> _Terms:
    """Terms of log2 of the epochs until the best loss of all."""
    rate = math.log2(learning_rate / RATES[0])
    return {
        "one": 1.0,
        "steps": _log_steps(known),
        "width": np.log2(networks.hidden_width / _WIDE)[:, None],
        "rate": rate,
        "rate, averaged": rate * averaged,
        "batch": _batch_octaves(networks, known)[:, None],
    }


def _log_steps(known: Known) -> float:
    """log2 of the steps of 256 rows that make an epoch."""
    return math.log2(math.ceil(_rows(known) / _BASE_BATCH))


def _rows(known: Known) -> int:
    return _USUAL_ROWS if known.n_observations is None else known.n_observations


def _law(terms: _Terms, coefficients: tuple[tuple[str, float], ...], shape: tuple[int, int]) -> _Array:
    """The sum of the terms, each times its coefficient; those of sizes and those of ratios apart, which are fewer."""
    by_shape: dict[tuple[int, ...], _Array] = {}
    for name, value in coefficients:
        term = np.asarray(value * terms[name])
        by_shape[term.shape] = by_shape[term.shape] + term if term.shape in by_shape else term
    return np.broadcast_to(np.asarray(sum(by_shape.values())), shape)


# What they say.


def chance_to_reach(
    networks: Networks,
    known: Known,
    learning_rate: float,
    averaged: bool,
    ratios: _Array,
    constants: Constants | None = None,
) -> _Array:
    """Chance that a size reaches a target of each ratio to the best loss of any size at 1e-3, shape (N, H).

    With ``averaged`` the better of raw and averaged weights counts, after each epoch.
    """
    terms = reach_terms(networks, known, learning_rate, averaged, ratios)
    odds = _law(terms, (constants or CURVES).reach, (len(networks.hidden_width), len(ratios)))
    return np.asarray(1 / (1 + np.exp(-np.clip(odds, -30, 30))))


def epochs_to_reach(
    networks: Networks,
    known: Known,
    learning_rate: float,
    averaged: bool,
    ratios: _Array,
    constants: Constants | None = None,
) -> _Array:
    """Expected epochs until a size that reaches a target of each ratio does so, shape (N, H); 1 at least.

    The mean of a lognormal distribution whose scatter is the law's.
    """
    constants = constants or CURVES
    more = math.log(2) * constants.scatter**2 / 2
    return _epochs(networks, known, learning_rate, averaged, ratios, constants, more)


def _epochs(
    networks: Networks,
    known: Known,
    learning_rate: float,
    averaged: bool,
    ratios: _Array,
    constants: Constants,
    more: float = 0.0,
) -> _Array:
    """Epochs to a target, shape (N, H), 1 at least: the median, with ``more`` in octaves above it."""
    terms = epochs_terms(networks, known, learning_rate, averaged, ratios)
    log_epochs = _law(terms, constants.epochs, (len(networks.hidden_width), len(ratios)))
    return np.asarray(np.maximum(1.0, np.exp2(log_epochs + more)))


def epochs_until_given_up(
    networks: Networks, known: Known, learning_rate: float, averaged: bool, constants: Constants | None = None
) -> _Array:
    """Epochs after which a size that does not reach its target is left, shape (N,): until its best, and `PATIENCE`."""
    terms = left_terms(networks, known, learning_rate, averaged)
    return np.exp2(_law(terms, (constants or CURVES).left, (len(networks.hidden_width), 1))[:, 0]) + PATIENCE


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
    constants = constants or CURVES
    setting = networks, known, learning_rate, averaged
    chance = chance_to_reach(*setting, ratios, constants)
    success = epoch_cost[:, None] * _epochs(*setting, ratios, constants)
    failure = (epoch_cost * epochs_until_given_up(*setting, constants))[:, None]
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

    What is known before training tells little of what a task needs, and the law less than it seems to: another size,
    rate or batch size comes first where it is expected to save more than this.
    """
    octaves = np.log2(networks.num_free_parameters / usual.size)
    away = octaves**2 + math.log2(learning_rate / usual.learning_rate) ** 2 + (averaged != usual.averaged)
    return np.asarray(1 + DOUBT * (1 - np.exp(-(away + _batch_octaves(networks, known) ** 2) / 2)))


def _least_at_1e_3(
    epoch_cost: _Array, networks: Networks, known: Known, ratios: _Array, constants: Constants
) -> _Array:
    """Cost of the size that reaches a target most cheaply at 1e-3, were it known, shape (H,): a scale for costs."""
    epochs = _epochs(networks, known, RATES[0], False, ratios, constants)
    return np.asarray((epoch_cost[:, None] * epochs).min(axis=0))


def _an_octave_up(num_free_parameters: _Array) -> npt.NDArray[np.intp]:
    """Position of the network nearest to twice each size, the largest's where there is none, shape (N,)."""
    sizes = np.log2(num_free_parameters)
    return np.searchsorted((sizes[1:] + sizes[:-1]) / 2, sizes + 1)
