"""One trial: a network trained on a task in slices, each of which goes on, bit for bit, from the last one's checkpoint.

What a slice does depends on the task, its `TrialSpec` and the checkpoint alone: weights are drawn from the seed, and
epoch k visits the data in an order drawn from (seed, k). Times and energies are measured, of course.
"""

from __future__ import annotations

import math
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F  # noqa: N812 (its name everywhere)

from sizer.calibration.timed_step import QUIET_QUANTILE, make_optimizer
from sizer.meters.protocol import Meter
from sizer.models.topology import Topology
from sizer.size_search.data.metrics import CLASSIFICATION, LOSS, reached
from sizer.size_search.data.task import CustomTask, Task
from sizer.size_search.trials.custom import Running, run_custom
from sizer.size_search.trials.slices import Epoch, Slice, SliceResult, TrialSpec, read_checkpoint, write_checkpoint

#: Validation runs over so many observations at a time, so that a large part does not need memory at once.
_VALIDATION_CHUNK = 8192


class _Training:
    """A network in training on a task: its weights, its optimizer, and how many epochs it has seen."""

    def __init__(self, task: Task, spec: TrialSpec) -> None:
        self._spec = spec
        self._task = task
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(spec.seed)
            model = spec.topology.build()
        self.model = model.to(spec.device)
        self.optimizer = make_optimizer(self.model, spec.optimizer)
        for group in self.optimizer.param_groups:
            group["lr"] = spec.learning_rate
        self._features = torch.from_numpy(task.train_features).to(spec.device)
        self._targets = torch.from_numpy(task.train_targets).to(spec.device)
        self._validation = torch.from_numpy(task.validation_features).to(spec.device)
        self._loss = F.cross_entropy if task.kind == CLASSIFICATION else F.mse_loss
        self.epoch = 0

    def save(self) -> bytes:
        """Everything that the next epoch depends on."""
        return write_checkpoint(
            {
                "epoch": self.epoch,
                "widths": list(self._spec.topology.widths),
                "model": self.model.state_dict(),
                "optimizer": self.optimizer.state_dict(),
            }
        )

    def restore(self, checkpoint: bytes) -> None:
        """Go back to where `save` was called."""
        state = read_checkpoint(checkpoint, self._spec.device)
        self.model.load_state_dict(state["model"])
        self.optimizer.load_state_dict(state["optimizer"])
        self.epoch = state["epoch"]

    def grow_from(self, checkpoint: bytes) -> None:
        """Start from a smaller network of the family, widened so that the function stays the same."""
        from sizer.size_search.trials.growing import grow

        state = read_checkpoint(checkpoint)
        topology = self._spec.topology
        smaller = Topology(topology.shape, topology.input_dim, tuple(state["widths"]))
        names = list(state["model"])
        moments = {names[index]: values for index, values in state["optimizer"]["state"].items()}
        grown = grow(state["model"], moments, smaller, topology, self._spec.seed)
        self.model.load_state_dict(grown.parameters)
        optimizer = self.optimizer.state_dict()
        optimizer["state"] = {i: grown.moments[name] for i, name in enumerate(names) if name in grown.moments}
        self.optimizer.load_state_dict(optimizer)

    def run_epoch(self) -> Epoch:
        """Train for one epoch and validate."""
        began = time.perf_counter()
        order = np.random.default_rng([self._spec.seed, self.epoch]).permutation(self._task.n_observations)
        total, step_times = self._steps(torch.from_numpy(order).to(self._spec.device))
        trained = time.perf_counter()
        predictions = self._predict()
        validated = time.perf_counter()
        self.epoch += 1
        # On a GPU steps return before they are done: only the epoch as a whole is timed.
        on_gpu = torch.device(self._spec.device).type == "cuda"
        loss = self._task.loss_of(predictions)
        value = loss if self._task.metric == LOSS else self._task.value_of(predictions)
        return Epoch(
            self.epoch,
            total / self._task.n_observations,
            loss,
            value,
            validated - began,
            (trained - began if on_gpu else _quiet(step_times)) + validated - trained,
            None,
            len(step_times),
        )

    def _steps(self, order: torch.Tensor) -> tuple[float, list[float]]:
        """One pass over the data: the summed loss, and the times of its steps in s."""
        features, targets = self._features[order], self._targets[order]
        total = torch.zeros((), device=self._spec.device)
        times = []
        self.model.train()
        before = time.perf_counter()
        for start in range(0, len(order), self._spec.batch_size):
            batch = features[start : start + self._spec.batch_size]
            self.optimizer.zero_grad(set_to_none=True)
            loss = self._loss(self.model(batch), targets[start : start + self._spec.batch_size])
            torch.autograd.backward(loss)
            self.optimizer.step()
            total += loss.detach() * len(batch)
            after = time.perf_counter()
            times.append(after - before)
            before = after
        return float(total), times  # (reading the total waits for a GPU)

    @torch.no_grad()
    def _predict(self) -> np.ndarray[Any, np.dtype[np.float32]]:
        self.model.eval()
        return torch.cat([self.model(part) for part in torch.split(self._validation, _VALIDATION_CHUNK)]).cpu().numpy()


def _quiet(step_times: list[float]) -> float:
    """Time of an epoch's training with every step at its quiet value."""
    return float(np.quantile(step_times, QUIET_QUANTILE)) * len(step_times)


def run_slice(
    task: Task | CustomTask, job: Slice, meter: Meter | None = None, running: Running | None = None
) -> SliceResult:
    """Run a slice in this process. A network whose loss is no longer finite ends its trial and nothing else.

    ``running`` holds the user's trainings that this process has begun, to go on with them without starting over.
    """
    start = None if meter is None else meter.snapshot()
    with _threads(job.spec.threads):
        if isinstance(task, CustomTask):
            result = run_custom(task, job, {} if running is None else running)
        else:
            result = _run_own(task, job)
    if meter is None or start is None:
        return result
    return replace(result, epochs=_with_energy(result.epochs, meter.energy(start, meter.snapshot()).joules))


@contextmanager
def _threads(threads: int | None) -> Iterator[None]:
    """PyTorch's number of threads set for a while; None leaves it as it is."""
    before = torch.get_num_threads()
    if threads is not None:
        torch.set_num_threads(threads)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def _with_energy(epochs: tuple[Epoch, ...], energy_j: float | None) -> tuple[Epoch, ...]:
    """Each epoch with its share of a slice's energy, in proportion to its time."""
    total_s = math.fsum(epoch.time_s for epoch in epochs)
    if energy_j is None or total_s <= 0:
        return epochs
    return tuple(epoch._replace(energy_j=energy_j * epoch.time_s / total_s) for epoch in epochs)


def _run_own(task: Task, job: Slice) -> SliceResult:
    training = _Training(task, job.spec)
    if job.checkpoint is not None:
        training.restore(job.checkpoint)
    elif job.parent is not None:
        training.grow_from(job.parent)
    epochs: list[Epoch] = []
    for _ in range(job.epochs):
        epochs.append(training.run_epoch())
        if not _finite(epochs[-1]):
            return SliceResult(tuple(epochs), None, f"its loss is no longer finite in epoch {epochs[-1].epoch}")
        if job.target is not None and reached(task.metric, epochs[-1].metric, job.target):
            break
    return SliceResult(tuple(epochs), training.save())


def _finite(epoch: Epoch) -> bool:
    return all(math.isfinite(value) for value in (epoch.train_loss, epoch.validation_loss, epoch.metric))
