"""A training that the user gave as a function, epoch by epoch."""

from __future__ import annotations

from itertools import islice
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from sizer.base.errors import UsageError
from sizer.size_search.data.table import CustomTask, TrainedEpoch
from sizer.size_search.ensembles import Kept
from sizer.size_search.log import Epoch, read_checkpoint
from sizer.size_search.trials.training import kept_of

if TYPE_CHECKING:
    from sizer.size_search.trials.trial import SliceSpec


class UsersTraining:
    """A training that the user gave as a function, after so many epochs. Without a state it is trained up to there."""

    def __init__(
        self, task: CustomTask, spec: SliceSpec, done: int, state: Any, best: dict[str, Any] | None = None
    ) -> None:
        left = spec.max_epochs - (0 if state is None else done)
        rate = {"learning_rate": spec.learning_rate} if task.takes_rate else {}
        fresh = task.train(spec.topology, left, spec.seed, state, **rate)
        self._given = islice(fresh, done if state is None else 0, None)
        self._state = state
        self._best = best
        self._validation = task.validation
        self.epoch = done

    def state(self) -> dict[str, Any]:
        """What it gave after its last epoch."""
        return {"epoch": self.epoch, "state": self._state, "best": self._best}

    @property
    def kept(self) -> Kept | None:
        """What its network predicted after the best epoch for which it said so."""
        if self._best is None or self._validation is None:
            return None
        return kept_of(self._best, self._validation.kind)

    def _keep(self, predictions: Any) -> None:
        """Keep predictions that are the best so far by the rows that choose."""
        if self._validation is None or predictions is None:
            return
        outputs = np.asarray(predictions, dtype=np.float32)
        if outputs.shape != (expected := (len(self._validation.targets), self._validation.output_dim)):
            raise UsageError(f"a training gave predictions of the shape {outputs.shape}; expected {expected}")
        choosing, deciding = self._validation.halves[:2]
        standing = self._validation.standing(outputs[choosing], choosing)
        if self._best is None or list(standing) < self._best["standing"]:
            parts = [
                outputs[rows][kept] for rows, kept in zip((choosing, deciding), self._validation.kept, strict=True)
            ]
            halves = dict(zip(("choosing", "deciding"), map(torch.from_numpy, parts), strict=True))
            self._best = {"epoch": self.epoch, "standing": list(standing), **halves}

    def run_epoch(self) -> Epoch | None:
        """Its next epoch, None where it gives none."""
        given = next(self._given, None)
        if given is None:
            return None
        trained = TrainedEpoch(*given)
        loss, cost_s, self._state = float(trained.loss), float(trained.cost_s), trained.state
        self.epoch += 1
        self._keep(trained.predictions)
        return Epoch(self.epoch, loss, loss, loss, cost_s, cost_s, None, 0)


#: Trial name -> the user's training, left where its last slice ended.
Running = dict[str, UsersTraining]


def resumed(task: CustomTask, spec: SliceSpec, running: Running) -> UsersTraining:
    """A user's training where a slice of it begins: the one running here, else from its state, else from the start."""
    training = running.pop(spec.name, None)
    done, state, best = 0, None, None
    if spec.checkpoint is not None:
        kept = read_checkpoint(spec.checkpoint)
        done, state, best = int(kept["epoch"]), kept["state"], kept.get("best")
    return training if training is not None and training.epoch == done else UsersTraining(task, spec, done, state, best)
