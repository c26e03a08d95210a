"""One trial: a network trained on a task in slices, each of which goes on, bit for bit, from the last one's checkpoint.

What a slice does depends on the task and its `SliceSpec` alone (`training`, `users_training`); times and energies are
measured. Slices run where an engine runs them: in this process, or on a cluster (`ray_engine`). An engine decides
nothing: the search submits slices and collects what they did in the order in which they were submitted, so that the
same decisions follow whatever finished first.
"""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Protocol

import torch

from sizer.meters.protocol import Meter
from sizer.models.topology import Topology
from sizer.size_search.data.table import CustomTask, Task
from sizer.size_search.log import Epoch, LogEntry, write_checkpoint
from sizer.size_search.trials.averaging import RAW
from sizer.size_search.trials.training import NetworkTraining
from sizer.size_search.trials.users_training import Running, UsersTraining, resumed


@dataclass(frozen=True)
class SliceSpec:
    """What determines a slice of a trial: the network, how it is trained, where it goes on from and how far.

    ``name`` is the trial's, and its folder's. The slice is ``epochs`` long, fewer if ``target``, a value of the task's
    metric, is met; None goes on to the end. ``checkpoint`` is where the trial stands, None at its start. ``parent``
    names the trial that it grows from, whose ``parent_checkpoint`` matters only at the start. ``weights`` says which
    of the checkpoint's weights count so far, ``raw`` or ``averaged``.
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
    weights: str = RAW


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
    with threads_set(spec.threads):
        if isinstance(task, CustomTask):
            entry = _run_users(task, spec, {} if running is None else running)
        else:
            entry = _run(NetworkTraining(task, spec), task.metric, spec)
    if meter is None or start is None:
        return entry
    return replace(entry, epochs=_with_energy(entry.epochs, meter.energy(start, meter.snapshot()).joules))


@contextmanager
def threads_set(threads: int | None) -> Iterator[None]:
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


def _run(training: NetworkTraining | UsersTraining, metric: str, spec: SliceSpec) -> LogEntry:
    """Epoch by epoch to the slice's end, or the trial's."""
    epochs: list[Epoch] = []
    ended, diverged = None, False
    while len(epochs) < spec.epochs and ended is None:
        epoch = training.run_epoch()
        if epoch is None:
            ended = "its training gave no further epoch"
            break
        epochs.append(epoch)
        if not all(map(math.isfinite, (epoch.train_loss, epoch.validation_loss, epoch.metric))):
            ended = f"its loss is no longer finite in epoch {epoch.epoch}"
            if epoch.epoch == 1 and isinstance(training, NetworkTraining):
                ended += f", or grew tenfold: after {epoch.steps} steps at the learning rate {spec.learning_rate:g}"
            diverged = True
        elif spec.target is not None and epoch.meets(metric, spec.target):
            break
    name = None if ended else f"trials/{spec.name}/{training.epoch:06d}.pt"
    state = None if ended else write_checkpoint(training.state())
    return LogEntry(
        spec.name,
        tuple(epochs),
        name,
        ended,
        parent=spec.parent,
        diverged=diverged,
        state=state,
        kept=training.kept,
    )


def _run_users(task: CustomTask, spec: SliceSpec, running: Running) -> LogEntry:
    """A slice of a user's training, which is left where the slice ends, and let go of after its last epoch."""
    training = resumed(task, spec, running)
    entry = _run(training, task.metric, spec)
    if entry.ended is None and training.epoch < spec.max_epochs:
        running[spec.name] = training
    return entry
