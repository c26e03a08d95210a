"""Training one network of one's own study: whole epochs of training and test batches, timed and metered."""

from __future__ import annotations

import itertools
import os
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import numpy as np
import torch
from torch import nn

from sizer.calibrating.steps import QUIET_QUANTILE
from sizer.calibrating.timing import others_busy_s
from sizer.meters.protocol import Energy, Meter, add_up
from sizer.models.topology import Topology
from sizer.study.own_runs_data import BINARY, CLASSES, DataSet
from sizer.study.own_runs_plan import PlannedRun
from sizer.study.published import TRAIN_SHARE

#: A run has at least this many epochs, however long they take, and at most as many as the study's.
LEAST_EPOCHS, MOST_EPOCHS = 4, 3000


@dataclass(frozen=True)
class Settings:
    """What all runs of a study share; ``device`` is a torch device's name."""

    device: str = "cpu"
    batch_size: int = 256
    learning_rate: float = 1e-3


@dataclass(frozen=True)
class Trained:
    """What a run cost and reached.

    ``epoch_s`` is the quiet time of an epoch (`_Clock`: each batch at the 20th percentile of its kind), ``wall_s`` that
    of all epochs with whatever interrupted them; ``test_losses`` has one loss an epoch. ``energy`` is what the meter
    says of the whole run; ``disturbed`` the share of the machine that others used, None where that is not known.
    """

    epochs: int
    epoch_s: float
    wall_s: float
    test_losses: tuple[float, ...]
    energy: Energy
    disturbed: float | None


class _Work:
    """A network with its data on the device, and what an epoch does."""

    def __init__(self, planned: PlannedRun, data: DataSet, settings: Settings) -> None:
        torch.manual_seed(planned.repetition)
        topology = Topology(planned.shape, data.input_dim, planned.widths)
        self.model = topology.build().to(settings.device)
        self.optimizer = torch.optim.Adam(self.model.parameters(), lr=settings.learning_rate, fused=True)
        self.batch_size = settings.batch_size
        self.loss_of = loss_function(data.task)
        features, targets = torch.from_numpy(data.features), torch.from_numpy(data.targets)
        order = torch.from_numpy(np.random.default_rng(planned.repetition).permutation(data.rows))
        cut = int(TRAIN_SHARE * data.rows)
        device = settings.device
        self.train = features[order[:cut]].to(device), targets[order[:cut]].to(device)
        self.test = features[order[cut:]].to(device), targets[order[cut:]].to(device)

    def epoch(self, clock: _Clock) -> float:
        """Train on all batches in new order, then test on all: the mean test loss of a row. The clock times each."""
        features, targets = self.train
        with clock.timing("shuffle", len(features)):
            order = torch.randperm(len(features), device=features.device)
            features, targets = features[order], targets[order]
        for start in range(0, len(features), self.batch_size):
            rows = features[start : start + self.batch_size]
            with clock.timing("train", len(rows)):
                self.optimizer.zero_grad(set_to_none=True)
                loss = self.loss_of(self.model(rows), targets[start : start + self.batch_size])
                loss.backward()  # type: ignore[no-untyped-call]
                self.optimizer.step()
        return self._test(clock)

    @torch.no_grad()
    def _test(self, clock: _Clock) -> float:
        features, targets = self.test
        total = 0.0
        for start in range(0, len(features), self.batch_size):
            rows = features[start : start + self.batch_size]
            with clock.timing("test", len(rows)):
                loss = self.loss_of(self.model(rows), targets[start : start + self.batch_size])
                total += float(loss) * len(rows)
        return total / len(features)


class _Clock:
    """Times of each kind of work, batches of different length apart.

    A training of one thread on the CPU is timed by that thread's processor time: on a machine that others use, a batch
    longer than the scheduler's slice never runs without an interruption, so its wall time has no quiet value.
    """

    def __init__(self, device: str) -> None:
        self.times: dict[tuple[str, int], list[float]] = {}
        on_cpu = torch.device(device).type == "cpu"
        self._wait: Callable[[], None] = (lambda: None) if on_cpu else torch.cuda.synchronize
        self._now = time.thread_time if on_cpu and torch.get_num_threads() == 1 else time.perf_counter

    @contextmanager
    def timing(self, kind: str, rows: int) -> Iterator[None]:
        """Time what the block does, to its end on the device."""
        before = self._now()
        yield
        self._wait()
        self.times.setdefault((kind, rows), []).append(self._now() - before)

    def quiet_epoch_s(self, epochs: int) -> float:
        """An epoch's time with each batch at its quiet time: an interruption slows the batch it hits, no other."""
        quiet = (np.quantile(times, QUIET_QUANTILE) * len(times) / epochs for times in self.times.values())
        return float(sum(quiet))


def loss_function(task: str) -> Callable[[torch.Tensor, torch.Tensor], torch.Tensor]:
    """The loss of a task: cross-entropy for classes, else mean squared error."""
    if task == CLASSES:
        return nn.CrossEntropyLoss()
    return nn.BCEWithLogitsLoss() if task == BINARY else nn.MSELoss()


def train(planned: PlannedRun, data: DataSet, settings: Settings, meter: Meter, seconds: float) -> Trained:
    """Train a network for about so many seconds, in whole epochs, from `LEAST_EPOCHS` to `MOST_EPOCHS` of them."""
    work = _Work(planned, data, settings)
    seconds = max(seconds, meter.minimum_window_s)
    others = others_busy_s()
    clock = _Clock(settings.device)
    losses: list[float] = []
    snapshots = [meter.snapshot()]
    began = now = time.perf_counter()
    while len(losses) < MOST_EPOCHS and (len(losses) < LEAST_EPOCHS or now - began < seconds):
        losses.append(work.epoch(clock))
        now = time.perf_counter()
        if now - snapshots[-1].time_s > (meter.maximum_window_s or np.inf) / 4:
            snapshots.append(meter.snapshot())
    snapshots.append(meter.snapshot())
    energy = add_up([meter.energy(*pair) for pair in itertools.pairwise(snapshots)])
    wall_s = now - began
    epoch_s = clock.quiet_epoch_s(len(losses))
    return Trained(len(losses), epoch_s, wall_s, tuple(losses), energy, _disturbed(others, wall_s))


def _disturbed(before_s: float | None, wall_s: float) -> float | None:
    """Share of the machine's processor time that others used."""
    after_s = others_busy_s()
    if before_s is None or after_s is None:
        return None
    return max(0.0, (after_s - before_s) / (wall_s * (os.cpu_count() or 1)))
