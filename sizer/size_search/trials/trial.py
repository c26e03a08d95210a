"""One trial: a network trained on a task in slices, each of which goes on, bit for bit, from the last one's checkpoint.

What a slice does depends on the task and its `SliceSpec` alone: weights are drawn from the seed, and epoch k visits the
data in an order drawn from (seed, k). Times and energies are measured, of course. Slices run where an engine runs them:
in this process, or on a cluster (`ray_engine`). An engine decides nothing: the search submits slices and collects what
they did in the order in which they were submitted, so that the same decisions follow whatever finished first.
"""

from __future__ import annotations

import math
import time
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from itertools import islice
from typing import Any, Protocol

import numpy as np
import torch
import torch.nn.functional as F  # noqa: N812 (its name everywhere)

from sizer.calibration.timed_step import QUIET_QUANTILE, make_optimizer
from sizer.meters.protocol import Meter
from sizer.models.topology import Topology
from sizer.size_search.data.metrics import CLASSIFICATION, LOSS, reached
from sizer.size_search.data.table import CustomTask, Task, TrainedEpoch
from sizer.size_search.log import Epoch, LogEntry, read_checkpoint, write_checkpoint

#: Validation runs over so many observations at a time, so that a large part does not need memory at once.
_VALIDATION_CHUNK = 8192


@dataclass(frozen=True)
class SliceSpec:
    """What determines a slice of a trial: the network, how it is trained, where it goes on from and how far.

    ``name`` is the trial's, and its folder's. The slice is ``epochs`` long, fewer if ``target``, a value of the task's
    metric, is met; None goes on to the end. ``checkpoint`` is where the trial stands, None at its start. ``parent``
    names the trial that it grows from, whose ``parent_checkpoint`` matters only at the start.
    """

    name: str
    topology: Topology
    batch_size: int
    optimizer: str
    learning_rate: float
    seed: int
    device: str = "cpu"
    threads: int | None = None
    max_epochs: int = 1000
    epochs: int = 1
    target: float | None = None
    checkpoint: bytes | None = None
    parent: str | None = None
    parent_checkpoint: bytes | None = None


class Engine(Protocol):
    """Runs slices of trials of one task, so many at a time as it has ``workers``."""

    workers: int

    def submit(self, spec: SliceSpec) -> None:
        """Queue a slice. Returns at once where slices run elsewhere."""

    def collect(self) -> LogEntry:
        """What the slice did that was submitted first of those not collected yet; waits for it."""

    def close(self) -> None:
        """Let go of processes and connections. Slices that still run are given up."""


class LocalEngine:
    """Runs each slice in this process when its result is asked for."""

    workers = 1

    def __init__(self, task: Task | CustomTask, meter: Meter | None = None) -> None:
        self._task = task
        self._meter = meter
        self._queue: deque[SliceSpec] = deque()
        self._running: Running = {}

    def submit(self, spec: SliceSpec) -> None:
        """Queue a slice."""
        self._queue.append(spec)

    def collect(self) -> LogEntry:
        """Run the slice submitted first."""
        return run_slice(self._task, self._queue.popleft(), self._meter, self._running)

    def close(self) -> None:
        """Forget what was not collected."""
        self._queue.clear()


def run_slice(
    task: Task | CustomTask, spec: SliceSpec, meter: Meter | None = None, running: Running | None = None
) -> LogEntry:
    """Run a slice in this process. A network whose loss is no longer finite ends its trial and nothing else.

    ``running`` holds the user's trainings that this process has begun, to go on with them without starting over.
    """
    start = None if meter is None else meter.snapshot()
    with _threads(spec.threads):
        if isinstance(task, CustomTask):
            entry = _run_users(task, spec, {} if running is None else running)
        else:
            entry = _run(_Training(task, spec), task.metric, spec)
    if meter is None or start is None:
        return entry
    return replace(entry, epochs=_with_energy(entry.epochs, meter.energy(start, meter.snapshot()).joules))


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


def _run(training: _Training | _UsersTraining, metric: str, spec: SliceSpec) -> LogEntry:
    """Epoch by epoch to the slice's end, or the trial's."""
    epochs: list[Epoch] = []
    ended = None
    while len(epochs) < spec.epochs and ended is None:
        epoch = training.run_epoch()
        if epoch is None:
            ended = "its training gave no further epoch"
            break
        epochs.append(epoch)
        if not all(map(math.isfinite, (epoch.train_loss, epoch.validation_loss, epoch.metric))):
            ended = f"its loss is no longer finite in epoch {epoch.epoch}"
        elif spec.target is not None and reached(metric, epoch.metric, spec.target):
            break
    name = None if ended else f"trials/{spec.name}/{training.epoch:06d}.pt"
    state = None if ended else write_checkpoint(training.state())
    return LogEntry(spec.name, tuple(epochs), name, ended, parent=spec.parent, state=state)


class _Training:
    """A network in training on a task: its weights, its optimizer, and how many epochs it has seen."""

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
        self._features = torch.from_numpy(task.train_features).to(spec.device)
        self._targets = torch.from_numpy(task.train_targets).to(spec.device)
        self._validation = torch.from_numpy(task.validation_features).to(spec.device)
        self._loss = F.cross_entropy if task.kind == CLASSIFICATION else F.mse_loss
        self.epoch = 0
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
            "optimizer": self.optimizer.state_dict(),
        }

    def _restore(self, checkpoint: bytes) -> None:
        """Go back to where `state` was called."""
        state = read_checkpoint(checkpoint, self._spec.device)
        self.model.load_state_dict(state["model"])
        self.optimizer.load_state_dict(state["optimizer"])
        self.epoch = state["epoch"]

    def _grow_from(self, checkpoint: bytes) -> None:
        """Start from a smaller network of the family, widened so that the function stays the same."""
        from sizer.size_search.trials.growing import grow, moments_by_name

        state = read_checkpoint(checkpoint)
        topology = self._spec.topology
        smaller = Topology(topology.shape, topology.input_dim, tuple(state["widths"]))
        grown = grow(state["model"], moments_by_name(state), smaller, topology, self._spec.seed)
        self.model.load_state_dict(grown.parameters)
        self.optimizer.load_state_dict(self.optimizer.state_dict() | {"state": grown.moments_by_position})

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
        return Epoch(
            self.epoch,
            total / self._task.n_observations,
            loss,
            loss if self._task.metric == LOSS else self._task.value_of(predictions),
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


def _run_users(task: CustomTask, spec: SliceSpec, running: Running) -> LogEntry:
    """A slice of a user's training: on with the one running here, else from its state, else from the start."""
    training = running.pop(spec.name, None)
    done, state = 0, None
    if spec.checkpoint is not None:
        kept = read_checkpoint(spec.checkpoint)
        done, state = int(kept["epoch"]), kept["state"]
    if training is None or training.epoch != done:
        training = _UsersTraining(task, spec, done, state)
    entry = _run(training, task.metric, spec)
    if entry.ended is None:
        running[spec.name] = training
    return entry


class _UsersTraining:
    """A training that the user gave as a function, after so many epochs. Without a state it is trained up to there."""

    def __init__(self, task: CustomTask, spec: SliceSpec, done: int, state: Any) -> None:
        left = spec.max_epochs - (0 if state is None else done)
        fresh = task.train(spec.topology, left, spec.seed, state)
        self._given = islice(fresh, done if state is None else 0, None)
        self._state = state
        self.epoch = done

    def state(self) -> dict[str, Any]:
        """What it gave after its last epoch."""
        return {"epoch": self.epoch, "state": self._state}

    def run_epoch(self) -> Epoch | None:
        """Its next epoch, None where it gives none."""
        given = next(self._given, None)
        if given is None:
            return None
        trained = TrainedEpoch(*given)
        loss, cost_s, self._state = float(trained.loss), float(trained.cost_s), trained.state
        self.epoch += 1
        return Epoch(self.epoch, loss, loss, loss, cost_s, cost_s, None, 0)


#: Trial name -> the user's training, left where its last slice ended.
Running = dict[str, _UsersTraining]
