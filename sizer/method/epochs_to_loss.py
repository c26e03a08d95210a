"""Epochs to a loss (equation 10), and how hard a target is.

The law holds for losses within reach of a size. Whether a loss is, and after how many epochs it is reached at which
learning rate, `reach` says by recorded learning curves, and `expectation` what that is expected to cost.

How hard a target is, is said in terms of the best loss that any size of a sweep reaches: hard is a target of at most
1.1 times that loss, medium of at most 1.5 times, easy above. Hard targets need layers that are wide enough, whatever
the inputs: on five real tasks the width below which a size misses targets differs much less from task to task than the
number of parameters does, since inputs (2 to 784 there) cost parameters and no width. Easy targets are reached after a
few epochs, of which a larger network saves fewer than the law says.
"""

from __future__ import annotations

import math
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
        epochs = np.maximum(base, 0.0) ** -3.0
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
