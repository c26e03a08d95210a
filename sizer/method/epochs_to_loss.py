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
    """The best validation loss that a network with so many trainable parameters reached."""

    size: int
    loss: float


def difficulty_of(target_loss: float, best_loss: float) -> str:
    """How hard a target is, given the best loss that any size of a sweep reaches."""
    return next(name for name, found in DIFFICULTIES.items() if target_loss <= found.ratio * best_loss)


# Reach and epochs of recorded learning curves. The constants here are rough ones.

#: Learning rates of Adam that a suggestion may name.
RATES: tuple[float, ...] = (1e-3, 2e-3, 4e-3, 8e-3, 1.6e-2)
#: What an epoch costs with averages of the weights kept, as a ratio to one without.
AVERAGING = 1.03
#: Points of the quadrature over hardness, and the hardness up to which targets are looked at.
_POINTS, _EASIEST = 12, 3.0
#: Octaves that a training is taken to go up after it failed.
_OCTAVES_UP = 12


class Known(NamedTuple):
    """What is known of the data before training; None for unknown."""

    n_observations: int | None
    input_dim: int
    output_dim: int
    regression: bool | None = None


class Networks(NamedTuple):
    """Networks of one family in order of size, arrays of shape (N,); ``hidden_width`` is the median hidden width."""

    num_free_parameters: npt.NDArray[np.float64]
    hidden_width: npt.NDArray[np.float64]
    depth: npt.NDArray[np.float64]
    batch_size: npt.NDArray[np.float64]


_Array = npt.NDArray[np.float64]


def hardness_prior(difficulty: str | None) -> tuple[_Array, _Array]:
    """Ratios of a target to the best loss of any size, shape (H,), and their weights, which add up to 1."""
    low, high = {None: (1.02, _EASIEST), "hard": (1.02, 1.1), "medium": (1.1, 1.5), "easy": (1.5, _EASIEST)}[difficulty]
    middles = (np.arange(_POINTS) + 0.5) / _POINTS
    return low * (high / low) ** middles, np.full(_POINTS, 1 / _POINTS)


def _floor(networks: Networks, learning_rate: float, averaged: bool) -> _Array:
    """Log of the ratio to the best loss that a size comes down to, median over tasks, shape (N,)."""
    raised = (learning_rate / (8e-3 if averaged else 1e-3)) ** 0.25
    return np.asarray(0.7 * networks.hidden_width**-0.5 * max(1.0, raised))


def chance_to_reach(
    networks: Networks,
    known: Known,  # noqa: ARG001
    learning_rate: float,
    averaged: bool,
    ratios: _Array,
) -> npt.NDArray[np.float64]:
    """Chance that a size reaches a target of each ratio, shape (N, H)."""
    floor = _floor(networks, learning_rate, averaged)
    return np.asarray(1 / (1 + (floor[:, None] / np.log(ratios)) ** 5))


def epochs_to_reach(
    networks: Networks, known: Known, learning_rate: float, averaged: bool, ratios: _Array
) -> npt.NDArray[np.float64]:
    """Epochs until a size that reaches a target of each ratio does so, shape (N, H)."""
    rows = 4000 if known.n_observations is None else known.n_observations
    scale = 15 * (learning_rate / 1e-3) ** -0.6 * (rows / 4000) ** -0.3 * (0.9 if averaged else 1.0)
    by_size = relative_epochs(networks.num_free_parameters) / relative_epochs(_SATURATION_SIZE)
    return np.asarray(scale * by_size[:, None] * (0.2 / np.log(ratios)) ** 0.7)


def epochs_until_given_up(networks: Networks, known: Known, learning_rate: float, averaged: bool) -> _Array:
    """Epochs after which a size that does not reach the target is left, shape (N,)."""
    floor = _floor(networks, learning_rate, averaged)
    at_floor = epochs_to_reach(networks, known, learning_rate, averaged, np.array([1.2]))[:, 0] * (0.2 / floor) ** 0.7
    return np.asarray(at_floor + 12)


def expected_cost(
    epoch_cost: _Array,
    networks: Networks,
    known: Known,
    learning_rate: float,
    averaged: bool,
    ratios: _Array,
    weights: _Array,
) -> _Array:
    """Cost of training a size to the target, or of seeing it fail and going on to the next octave, shape (N,)."""
    chance = chance_to_reach(networks, known, learning_rate, averaged, ratios)
    success = epoch_cost[:, None] * epochs_to_reach(networks, known, learning_rate, averaged, ratios)
    failure = (epoch_cost * epochs_until_given_up(networks, known, learning_rate, averaged))[:, None]
    sizes = networks.num_free_parameters
    following = np.minimum(np.searchsorted(sizes, 2 * sizes), len(sizes) - 1)
    cost = success + failure
    for _ in range(_OCTAVES_UP):
        cost = chance * success + (1 - chance) * (failure + cost[following])
    return np.asarray(cost @ weights)


def narrowed(
    ratios: _Array,
    weights: _Array,
    pilots: Sequence[Pilot],
    target_loss: float | None,
    known: Known,  # noqa: ARG001
) -> tuple[_Array, _Array]:
    """The prior of hardness after the losses that pilots ended at."""
    if not pilots or target_loss is None:
        return ratios, weights
    best = min(pilot.loss for pilot in pilots) / 1.2
    likelihood = np.exp(-0.5 * (np.log(ratios / max(target_loss / best, 1.02)) / 0.3) ** 2)
    return ratios, weights * likelihood / (weights * likelihood).sum()
