"""An arm of the search: a size at a learning rate, what is predicted for it, and what it has come to so far."""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from sizer.method.recommendation import Anchor
    from sizer.models.topology import Topology
    from sizer.size_search.log import Epoch

#: A curve speaks for itself from here; before, the nearest arm's does. (Another value of this and of `SLICE_SHARE`:
#: see `forecasts`. 4: 1.25 / 4.05 / 22.0)
OWN_EPOCHS = 2
#: Share of the epochs that it has already that an arm is trained for before the next decision.
#: (0.3: 1.22 / 4.79 / 29.4)
SLICE_SHARE = 0.1


@dataclass(frozen=True)
class SearchCandidate:
    """A size at a learning rate that the search may train: an arm.

    ``epoch_cost`` is the cost of one epoch, training and validation, in s or J, or in operations where no coefficients
    are known; ``flops_per_epoch`` counts 2 for each multiply-accumulate of the training's matrix products. ``anchor``
    is what makes the size cache-aware, None for one in between; ``relative_cost`` is the predicted cost to a loss
    within reach, 1 for the cheapest arm. ``multiple`` is the learning rate as a multiple of the optimizer's base rate.

    ``values`` are its shortfalls, one an epoch, positive and better when smaller; ``ended`` says why it cannot go on,
    None while it can, and ``diverged`` whether that is its rate's doing. ``checkpoint`` is the file that it goes on
    from, ``parent`` the arm that it grew from, ``where`` are the nodes that trained it.
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
    learning_rate: float = 1e-3
    multiple: float = 1.0
    diverged: bool = False

    @cached_property
    def num_free_parameters(self) -> int:
        """Number of trainable parameters."""
        return self.topology.num_free_parameters

    @property
    def spent(self) -> float:
        """Predicted cost of the epochs that it has had."""
        return self.epoch_cost * len(self.values)

    @property
    def slice_epochs(self) -> int:
        """Epochs of its next slice, as its own curve asks for."""
        done = len(self.values)
        return max(1, OWN_EPOCHS - done, math.ceil(SLICE_SHARE * done))

    @cached_property
    def place(self) -> Place:
        """Where it stands among arms."""
        return Place(self.num_free_parameters, self.multiple)


class Place(NamedTuple):
    """An arm's size in trainable parameters, and its learning rate as a multiple of the optimizer's base rate."""

    num_free_parameters: int
    multiple: float

    def doublings_from(self, other: Place) -> float:
        """How many times larger the size is than another's, as doublings."""
        return math.log2(self.num_free_parameters / other.num_free_parameters)

    def rate_doublings_from(self, other: Place) -> float:
        """How many times higher the rate is than another's, as doublings."""
        return math.log2(self.multiple / other.multiple)

    def distance(self, other: Place) -> float:
        """How unlike two arms are, in doublings of the size or the rate."""
        return abs(self.doublings_from(other)) + abs(self.rate_doublings_from(other))


class Goal(NamedTuple):
    """What the arms are trained for: the shortfall to reach, within so many epochs of a trial and so much cost.

    ``budget`` is the cost that may still be spent, in the unit of the arms' epoch costs. ``gain`` is what averaging
    takes off the least shortfall so far, as a factor of at least 1; None where a single network is wanted.
    """

    target: float
    max_epochs: int
    budget: float = math.inf
    gain: float | None = None


Arms = tuple[SearchCandidate, ...]
