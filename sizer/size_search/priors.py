"""What is known of an arm, a size at a learning rate, before it has trained: one small table, fitted by a command.

    python benchmarks/search.py --fit-priors    # prints the table anew, from benchmarks/data/curves

Rates are multiples of the optimizer's base rate, 1e-3 for Adam. To a loss within reach a high rate takes fewer epochs;
the best loss that a size ends at, weights averaged, is a little lower for small networks and higher for large ones.
Tasks differ in both: hence spreads.
"""

from __future__ import annotations

import math
from typing import NamedTuple

#: The rate that multiples are of, by optimizer. Adam's is what curves were recorded at; what plain steps need to move
#: as far is ten (with momentum) to a hundred times as much, and is not recorded: arms hedge.
BASE_RATES = {"adam": 1e-3, "adamw": 1e-3, "sgd-momentum": 1e-2, "sgd": 1e-1}


class RatePrior(NamedTuple):
    """How an arm differs from one of the same size at the base rate.

    ``epochs`` is the logarithm of the ratio of epochs to a loss within reach, ``floor`` that of the best losses at 2^14
    parameters, ``floor_per_doubling`` what each doubling of the parameters adds to that.
    """

    epochs: float
    floor: float
    floor_per_doubling: float


#: By multiple of the base rate; no others are tried (32 is past the edge). `--fit-priors`, 2026-11-26: 279 pairs of
#: sizes at both rates, 31 tasks, weights averaged where that is better.
RATE_PRIORS = {
    1.0: RatePrior(0.0, 0.0, 0.0),
    4.0: RatePrior(-0.73, -0.016, 0.005),
    8.0: RatePrior(-0.96, -0.034, 0.013),
    16.0: RatePrior(-1.04, -0.030, 0.015),
}
#: How much tasks differ in the two for each doubling of the rate, as standard deviations (the same fit).
EPOCHS_SPREAD, RATE_FLOOR_SPREAD = 0.16, 0.05
#: Log of the size that floors are said for, and those of the sizes that the table was fitted to.
_SIZE, _FITTED = 14.0, (11.0, 18.0)

#: How far above the best loss of any arm targets may lie when nothing is known: each as likely as another.
HARDNESS = (1.02, 1.05, 1.1, 1.2, 1.5, 2.0, 3.0)
#: Log of the best loss at the base rate above that of any arm, at 2^14 parameters, its fall for each doubling, and how
#: much that scatters: 2^14 misses 8 targets of 48, 2^16 one.
FLOOR, FLOOR_FALL, FLOOR_SPREAD = 0.05, 0.02, 0.04


def rates(optimizer: str) -> dict[float, float]:
    """Learning rates that a search may try, by their multiples of the base rate."""
    return {multiple: BASE_RATES[optimizer] * multiple for multiple in RATE_PRIORS}


def log_rate_epochs(multiple: float) -> float:
    """Log of the epochs to a loss over those at the base rate."""
    return RATE_PRIORS[multiple].epochs


def log_rate_floor(num_free_parameters: int, multiple: float) -> float:
    """Log of the best loss over that at the base rate."""
    prior = RATE_PRIORS[multiple]
    size = min(max(math.log2(num_free_parameters), _FITTED[0]), _FITTED[1])
    return prior.floor + prior.floor_per_doubling * (size - _SIZE)


def chance_of_reach(num_free_parameters: int, multiple: float) -> float:
    """Chance that an arm reaches a target of which nothing is known."""
    floor = max(0.0, FLOOR + FLOOR_FALL * (_SIZE - math.log2(num_free_parameters)))
    floor += log_rate_floor(num_free_parameters, multiple)
    spread = math.hypot(FLOOR_SPREAD, RATE_FLOOR_SPREAD * math.log2(multiple)) * math.sqrt(2.0)
    chances = [0.5 + 0.5 * math.erf((math.log(level) - floor) / spread) for level in HARDNESS]
    return sum(chances) / len(chances)
