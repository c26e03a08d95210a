"""A network in training on a task, epoch by epoch, with the average of its weights beside them.

What an epoch does depends on the task and its `SliceSpec` alone: weights are drawn from the seed, and epoch k visits
the data in an order drawn from (seed, k). Times are measured.
"""

from __future__ import annotations

import math
import time
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import torch
import torch.nn.functional as F  # noqa: N812 (its name everywhere)

from sizer.calibration.timed_step import QUIET_QUANTILE, make_optimizer
from sizer.models.topology import Topology
from sizer.size_search.data.halves import Judgement, Predict, judge
from sizer.size_search.data.metrics import CLASSIFICATION
from sizer.size_search.data.table import Task
from sizer.size_search.ensembles import Kept, averageable
from sizer.size_search.log import Epoch, read_checkpoint
from sizer.size_search.trials.averaging import AVERAGED, RAW, AveragedWeights

if TYPE_CHECKING:
    from sizer.size_search.trials.trial import SliceSpec

#: Validation runs over so many observations at a time, so that a large part does not need memory at once.
_VALIDATION_CHUNK = 8192


#: The first steps are looked at so many at a time; reading a loss waits for a GPU.
_LOOK = 8
#: A training whose loss is so many times that of its first steps diverges: a definition. (A loss begins near that of
#: predicting the mean, and what a training that recovers may lose in between is less.)
_GROWN = 10.0


class FirstSteps:
    """Watches the losses of a first epoch for a learning rate that is too high."""

    def __init__(self) -> None:
        self._losses: list[torch.Tensor] = []
        self._first: float | None = None

    def diverges(self, loss: torch.Tensor) -> bool:
        """Whether the loss after so many steps is not finite, or many times that of the first ones."""
        self._losses.append(loss.detach())
        if len(self._losses) < _LOOK:
            return False
        now = float(torch.stack(self._losses).mean())
        self._losses.clear()
        self._first = now if self._first is None else self._first
        return not now <= _GROWN * self._first


class Best(NamedTuple):
    """A network after the epoch that was best by the rows that choose: its weights, and its outputs for either half."""

    epoch: int
    standing: tuple[float, float]
    weights: dict[str, torch.Tensor]
    choosing: torch.Tensor
    deciding: torch.Tensor


def kept_of(best: Mapping[str, Any], kind: str) -> Kept:
    """What is averaged of a trial's best network, as its checkpoint holds it."""
    return Kept(best["epoch"], *(averageable(best[half].numpy(), kind) for half in ("choosing", "deciding")))


def halves_of(task: Task, device: str) -> list[torch.Tensor]:
    """The features of the validation rows that choose, and of those that decide."""
    return [torch.from_numpy(task.validation_features[rows]).to(device) for rows in task.validation.halves[:2]]


class NetworkTraining:
    """A network in training on a task: its weights, their average, its optimizer, and how many epochs it has seen."""

    def __init__(self, task: Task, spec: SliceSpec) -> None:
        self._spec = spec
        self._task = task
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(spec.seed)
            model = spec.topology.build()
        self.model = model.to(spec.device)
        self.optimizer = make_optimizer(self.model, spec.optimizer)
        for group in self.optimizer.param_groups:
            group["lr"] = spec.learning_rate
        self.averaged = AveragedWeights(self.model, -(-task.n_observations // spec.batch_size))
        self._features = torch.from_numpy(task.train_features).to(spec.device)
        self._targets = torch.from_numpy(task.train_targets).to(spec.device)
        self._halves = halves_of(task, spec.device)
        self._loss = F.cross_entropy if task.kind == CLASSIFICATION else F.mse_loss
        self.epoch = 0
        self._watch = FirstSteps()
        self._best: Best | None = None
        if spec.checkpoint is not None:
            self._restore(spec.checkpoint)
        elif spec.parent_checkpoint is not None:
            self._grow_from(spec.parent_checkpoint)

    def state(self) -> dict[str, Any]:
        """Everything that the next epoch depends on."""
        return {
            "epoch": self.epoch,
            "widths": list(self._spec.topology.widths),
            "model": self.model.state_dict(),
            "averaged": self.averaged.state(),
            "optimizer": self.optimizer.state_dict(),
            "best": None if self._best is None else self._best._asdict() | {"standing": list(self._best.standing)},
        }

    def _restore(self, checkpoint: bytes) -> None:
        """Go back to where `state` was called; searches of the version before kept no average."""
        state = read_checkpoint(checkpoint, self._spec.device)
        self.model.load_state_dict(state["model"])
        self.averaged.restore(state.get("averaged"))
        self.optimizer.load_state_dict(state["optimizer"])
        self.epoch = state["epoch"]
        if (best := state.get("best")) is not None:
            halves = {half: best[half].cpu() for half in ("choosing", "deciding")}
            self._best = Best(**best | halves | {"standing": tuple(best["standing"])})

    def _grow_from(self, checkpoint: bytes) -> None:
        """Start from a smaller network of the family, widened so that the function stays the same."""
        from sizer.size_search.trials.growing import grow, moments_by_name

        state = read_checkpoint(checkpoint)
        topology = self._spec.topology
        smaller = Topology(topology.shape, topology.input_dim, tuple(state["widths"]))
        grown = grow(state["model"], moments_by_name(state), smaller, topology, self._spec.seed)
        self.model.load_state_dict(grown.parameters)
        self.optimizer.load_state_dict(self.optimizer.state_dict() | {"state": grown.moments_by_position})
        if (kept := state.get("averaged")) is not None:
            # The same seed copies the same units, so that the average stays one of the weights beside it.
            widened = grow(kept["weights"], {}, smaller, topology, self._spec.seed)
            self.averaged.begin_with(widened.parameters)

    def run_epoch(self) -> Epoch:
        """Train for one epoch and validate."""
        began = time.perf_counter()
        order = np.random.default_rng([self._spec.seed, self.epoch]).permutation(self._task.n_observations)
        total, step_times = self._steps(torch.from_numpy(order).to(self._spec.device))
        trained = time.perf_counter()
        judged = self._judge() if math.isfinite(total) else Judgement(0, math.nan, math.nan, None)
        validated = time.perf_counter()
        self.epoch += 1
        # On a GPU steps return before they are done: only the epoch as a whole is timed.
        on_gpu = torch.device(self._spec.device).type == "cuda"
        return Epoch(
            self.epoch,
            total / self._task.n_observations,
            judged.loss,
            judged.value,
            validated - began,
            (trained - began if on_gpu else _quiet(step_times)) + validated - trained,
            None,
            len(step_times),
            judged.choosing,
            (RAW, AVERAGED)[judged.chosen],
        )

    def _steps(self, order: torch.Tensor) -> tuple[float, list[float]]:
        """One pass over the data: the summed loss, inf where it diverged; and the times of its steps in s."""
        features, targets = self._features[order], self._targets[order]
        total = torch.zeros((), device=self._spec.device)
        times: list[float] = []
        self.model.train()
        before = time.perf_counter()
        for start in range(0, len(order), self._spec.batch_size):
            batch = features[start : start + self._spec.batch_size]
            self.optimizer.zero_grad(set_to_none=True)
            loss = self._loss(self.model(batch), targets[start : start + self._spec.batch_size])
            torch.autograd.backward(loss)
            self.optimizer.step()
            self.averaged.step()
            total += loss.detach() * len(batch)
            if self.epoch == 0 and self._watch.diverges(loss):
                return math.inf, times
            after = time.perf_counter()
            times.append(after - before)
            before = after
        return float(total), times  # (reading the total waits for a GPU)

    def _judge(self) -> Judgement:
        """The better of the weights and their average, by the validation rows that choose, on those that decide.

        The best so far is kept, weights and predictions, for averaging with other networks (`ensembles`).
        """
        validation = self._task.validation
        modules = self.model.eval(), self.averaged.module
        predicted = [self._predict(module) for module in modules]
        judged = judge(validation, predicted)
        standing = validation.standing(predicted[judged.chosen](0), validation.halves.choosing)
        if self._best is None or standing < self._best.standing:
            chosen = [predicted[judged.chosen](half)[rows] for half, rows in enumerate(validation.kept)]
            weights = {name: value.clone() for name, value in modules[judged.chosen].state_dict().items()}
            self._best = Best(self.epoch + 1, standing, weights, *(torch.from_numpy(part) for part in chosen))
        return judged

    @property
    def kept(self) -> Kept | None:
        """What the network predicted after its best epoch."""
        return None if self._best is None else kept_of(self._best._asdict(), self._task.kind)

    def _predict(self, module: torch.nn.Module) -> Predict:
        """The predictions of a module for either half of the validation rows, each worked out once."""
        known: dict[int, np.ndarray[Any, np.dtype[np.float32]]] = {}

        def predict(half: int) -> np.ndarray[Any, np.dtype[np.float32]]:
            if half not in known:
                known[half] = predictions(module, self._halves[half])
            return known[half]

        return predict


@torch.no_grad()
def predictions(module: torch.nn.Module, features: torch.Tensor) -> np.ndarray[Any, np.dtype[np.float32]]:
    """A module's outputs, so many observations at a time."""
    return torch.cat([module(part) for part in torch.split(features, _VALIDATION_CHUNK)]).cpu().numpy()


def _quiet(step_times: list[float]) -> float:
    """Time of an epoch's training with every step at its quiet value."""
    return float(np.quantile(step_times, QUIET_QUANTILE)) * len(step_times)
