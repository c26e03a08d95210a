"""What a search trains on: features and targets in two parts, ready for a network. Pure data, numpy only."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property
from typing import Any, NamedTuple, Protocol

import numpy as np
import numpy.typing as npt

from sizer.models.topology import Topology
from sizer.size_search.data.metrics import CLASSIFICATION, LOSS, REGRESSION, evaluate

Features = npt.NDArray[np.float32]
Targets = npt.NDArray[np.float32] | npt.NDArray[np.int64]


@dataclass(frozen=True, eq=False)
class Task:
    """A learning task: what is trained on, what is validated on, and the metric that the target is about.

    ``kind`` is ``"regression"`` or ``"classification"``. Features are float32 (n, input_dim). Targets of a regression
    are float32 (n, output_dim), standardised, with ``target_scale`` the standard deviations taken out; those of a
    classification are int64 class indices (n,) below ``output_dim``. The loss is the mean squared error of the
    standardised targets, or the cross entropy in nats.
    """

    name: str
    kind: str
    train_features: Features
    train_targets: Targets
    validation_features: Features
    validation_targets: Targets
    output_dim: int
    metric: str = LOSS
    target_scale: npt.NDArray[np.float64] | float = 1.0

    @property
    def input_dim(self) -> int:
        """Width of one observation's features."""
        return int(self.train_features.shape[1])

    @property
    def n_observations(self) -> int:
        """Observations that are trained on."""
        return len(self.train_features)

    @cached_property
    def baseline_loss(self) -> float:
        """Validation loss of predicting the training part's mean, or its class frequencies, whatever the features."""
        return evaluate(LOSS, self.kind, self._baseline, self.validation_targets)

    @cached_property
    def baseline_value(self) -> float:
        """The task's metric of that same prediction."""
        return self.value_of(self._baseline)

    def loss_of(self, predictions: npt.ArrayLike) -> float:
        """The loss of predictions (n, output_dim) of the validation part, standardised targets or logits."""
        return evaluate(LOSS, self.kind, predictions, self.validation_targets)

    def value_of(self, predictions: npt.ArrayLike) -> float:
        """The task's metric of predictions (n, output_dim) of the validation part, standardised targets or logits."""
        return evaluate(self.metric, self.kind, predictions, self.validation_targets, self.target_scale)

    @property
    def _baseline(self) -> npt.NDArray[np.float64]:
        if self.kind == REGRESSION:
            best = self.train_targets.astype(np.float64).mean(axis=0)
        else:
            assert self.kind == CLASSIFICATION
            counts = np.bincount(self.train_targets.astype(np.int64), minlength=self.output_dim)
            # A class that is only in the validation part counts as half an observation: its loss would be infinite.
            best = np.log(np.maximum(counts, 0.5) / self.n_observations)
        return np.broadcast_to(best, (len(self.validation_targets), self.output_dim))


class TrainedEpoch(NamedTuple):
    """What a user's own training says after each epoch.

    ``loss`` is the validation loss, ``cost_s`` the time that the epoch took in s, and ``state`` what it needs to go on
    in another process: None to start that trial over, else what `torch.save` writes and reads back without pickle
    (numbers, text, tensors, and lists and dictionaries of them).
    """

    loss: float
    cost_s: float
    state: Any = None


class Trainer(Protocol):
    """A user's own training: ``train(topology, epochs, seed, resume_state)`` yields a tuple after each epoch.

    The tuple is ``(validation_loss, cost_s)`` or a `TrainedEpoch`. It is asked for one epoch at a time and may be left
    at any of them, so that the search can spend the next epochs elsewhere; ``resume_state`` is None at the start, or
    the last state it gave.
    """

    def __call__(
        self, topology: Topology, epochs: int, seed: int, resume_state: Any | None
    ) -> Iterable[TrainedEpoch | tuple[float, float]]:
        """Train for up to so many epochs more."""


@dataclass(frozen=True, eq=False)
class CustomTask:
    """A task that only its own training knows: sizes to search over, and the function that trains one of them."""

    name: str
    train: Trainer
    input_dim: int
    output_dim: int
    n_observations: int
    metric: str = LOSS
