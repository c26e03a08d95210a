"""Training one network of one's own study: whole epochs of training and test batches, timed and metered."""

from __future__ import annotations

import importlib
import itertools
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from importlib.util import find_spec
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import torch
from torch import nn

from sizer.base.errors import UsageError
from sizer.calibration.timed_step import QUIET_QUANTILE, StreamClock, others_busy_s
from sizer.meters.protocol import Meter, Snapshot, add_up
from sizer.models.topology import Topology
from sizer.study.own_runs.plan import PlannedRun
from sizer.study.published import TRAIN_SHARE

Array = npt.NDArray[np.float32]
REGRESSION, BINARY, CLASSES = "regression", "binary", "classification"
#: Share of the rows that is trained on, as in the study; the rest is tested on.
_SEED = 0


class DataSet(NamedTuple):
    """Rows to train on, features scaled to 0..1 and constant ones dropped.

    ``features`` has shape (rows, inputs). ``targets`` has shape (rows, 1) with numbers (``regression``), 0 or 1
    (``binary``), or shape (rows,) with the number of the class (``classification``).
    """

    name: str
    task: str
    features: Array
    targets: npt.NDArray[np.float32] | npt.NDArray[np.int64]
    output_dim: int

    @property
    def rows(self) -> int:
        """Number of observations."""
        return len(self.features)

    @property
    def input_dim(self) -> int:
        """Number of features that are not constant."""
        return self.features.shape[1]


def generated_regression() -> DataSet:
    """4096 rows, 16 features, a sum of products and waves with 5 % noise (after Friedman 1991)."""
    random = np.random.default_rng(_SEED)
    x = random.random((4096, 16))
    waves = np.sin(np.pi * x[:, 0] * x[:, 1]) + np.sin(4 * np.pi * x[:, 2]) * x[:, 3] + x[:, 4:8].prod(axis=1)
    y = waves + 4 * (x[:, 8] - 0.5) ** 2 + 0.05 * random.standard_normal(len(x))
    return DataSet("generated_regression", REGRESSION, _scaled(x), _scaled(y[:, None]), 1)


def generated_classes() -> DataSet:
    """8192 rows, 32 features, 8 classes of three clusters each."""
    random = np.random.default_rng(_SEED)
    centres = random.standard_normal((24, 32))
    cluster = random.integers(0, len(centres), 8192)
    x = centres[cluster] + 0.9 * random.standard_normal((len(cluster), 32))
    return DataSet("generated_classes", CLASSES, _scaled(x), (cluster % 8).astype(np.int64), 8)


#: Data sets by name: how to make one, and the tasks of scikit-learn's own.
_GENERATED = {"generated_regression": generated_regression, "generated_classes": generated_classes}
_BUNDLED = {"digits": CLASSES, "breast_cancer": BINARY, "diabetes": REGRESSION, "wine": CLASSES}
NAMES = (*_BUNDLED, *_GENERATED)
#: What is trained on unless data sets are named: three whose row counts lie far apart.
_DEFAULT = ("digits", "generated_regression", "breast_cancer")
_DEFAULT_WITHOUT_EXTRA = ("generated_regression", "generated_classes")


def has_bundled() -> bool:
    """Whether scikit-learn, the extra ``data``, is installed."""
    return find_spec("sklearn") is not None


def default_names() -> tuple[str, ...]:
    """The data sets to train on when none is named; generated ones alone without the extra ``data``."""
    return _DEFAULT if has_bundled() else _DEFAULT_WITHOUT_EXTRA


def load(name: str) -> DataSet:
    """A data set by name. Raises UsageError for an unknown one, or a bundled one without scikit-learn."""
    if name in _GENERATED:
        return _GENERATED[name]()
    if name not in _BUNDLED:
        raise UsageError(f"unknown data set {name!r}; expected some of {', '.join(NAMES)}")
    if not has_bundled():
        raise UsageError(
            f"the data set {name} is scikit-learn's, which is not installed: run `pip install 'cache-sizer[data]'`, "
            f"or train on {', '.join(_GENERATED)}"
        )
    datasets = importlib.import_module("sklearn.datasets")  # an extra: absent where types are checked
    found, task = getattr(datasets, f"load_{name}")(), _BUNDLED[name]
    if task == CLASSES:
        return DataSet(name, task, _scaled(found.data), found.target.astype(np.int64), len(np.unique(found.target)))
    return DataSet(name, task, _scaled(found.data), _scaled(found.target[:, None]), 1)


def _scaled(values: npt.NDArray[np.float64]) -> Array:
    """Columns scaled to 0..1, constant ones dropped."""
    low, high = values.min(axis=0), values.max(axis=0)
    varies = high > low
    return ((values[:, varies] - low[varies]) / (high - low)[varies]).astype(np.float32)


_LOSSES = {REGRESSION: nn.MSELoss, BINARY: nn.BCEWithLogitsLoss, CLASSES: nn.CrossEntropyLoss}
#: A run has at least this many epochs, however long they take, and at most as many as the study's.
LEAST_EPOCHS, MOST_EPOCHS = 4, 3000


@dataclass(frozen=True)
class Settings:
    """What all runs of a study share; ``device`` is a torch device's name."""

    device: str = "cpu"
    batch_size: int = 256
    learning_rate: float = 1e-3


class Trained(NamedTuple):
    """What a run cost and reached.

    ``epoch_s`` is the quiet time of an epoch (`_Clock`: each batch at the 20th percentile of its kind), ``wall_s`` that
    of all epochs with whatever interrupted them, which is the time that the meter was read over; ``joules`` is what it
    says of that time. ``disturbed`` is the share of the machine that others used, None where that is not known;
    ``test_losses`` has one loss an epoch.
    """

    epochs: int
    epoch_s: float
    wall_s: float
    joules: float | None
    joules_label: str
    disturbed: float | None
    test_losses: list[float]


class _Work:
    """A network with its data on the device, and what an epoch does."""

    def __init__(self, planned: PlannedRun, data: DataSet, settings: Settings) -> None:
        torch.manual_seed(planned.repetition)
        topology = Topology(planned.shape, data.input_dim, planned.widths)
        self.model = topology.build().to(settings.device)
        self.optimizer = torch.optim.Adam(self.model.parameters(), lr=settings.learning_rate, fused=True)
        self.batch_size = settings.batch_size
        self.loss_of: nn.Module = _LOSSES[data.task]()
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
        for rows, wanted in self._batches(features, targets):
            with clock.timing("train", len(rows)):
                self.optimizer.zero_grad(set_to_none=True)
                loss = self.loss_of(self.model(rows), wanted)
                loss.backward()
                self.optimizer.step()
        return self._test(clock)

    @torch.no_grad()
    def _test(self, clock: _Clock) -> float:
        total = 0.0
        for rows, wanted in self._batches(*self.test):
            with clock.timing("test", len(rows)):
                total += float(self.loss_of(self.model(rows), wanted)) * len(rows)
        return total / len(self.test[0])

    def _batches(self, *tensors: torch.Tensor) -> Iterator[tuple[torch.Tensor, ...]]:
        return zip(*(torch.split(tensor, self.batch_size) for tensor in tensors), strict=True)


class _Clock:
    """Times of each kind of work, batches of different length apart.

    A training of one thread on the CPU is timed by that thread's processor time: on a machine that others use, a batch
    longer than the scheduler's slice never runs without an interruption, so its wall time has no quiet value.
    """

    def __init__(self, device: str) -> None:
        self._kinds: list[tuple[str, int]] = []
        self._times: list[float] = []
        on_cpu = torch.device(device).type == "cpu"
        self._stream = None if on_cpu else StreamClock(device)
        self._now = time.thread_time if on_cpu and torch.get_num_threads() == 1 else time.perf_counter

    @contextmanager
    def timing(self, kind: str, rows: int) -> Iterator[None]:
        """Time what the block does, by the device's own clock."""
        self._kinds.append((kind, rows))
        if self._stream is not None:
            self._stream.mark()
            yield
            self._stream.mark()
            return
        before = self._now()
        yield
        self._times.append(self._now() - before)

    @property
    def times(self) -> dict[tuple[str, int], list[float]]:
        """Times of each kind of work in s. Waits for a GPU."""
        # Between the marks of a GPU every other interval is what lies between two blocks.
        times = self._times if self._stream is None else self._stream.times_s()[::2]
        found: dict[tuple[str, int], list[float]] = {}
        for kind, time_s in zip(self._kinds, times, strict=True):
            found.setdefault(kind, []).append(time_s)
        return found

    def quiet_epoch_s(self, epochs: int) -> float:
        """An epoch's time with each batch at its quiet time: an interruption slows the batch it hits, no other."""
        quiet = (np.quantile(times, QUIET_QUANTILE) * len(times) / epochs for times in self.times.values())
        return float(sum(quiet))


def train(planned: PlannedRun, data: DataSet, settings: Settings, meter: Meter, seconds: float) -> Trained:
    """Train a network for about so many seconds, in whole epochs, from `LEAST_EPOCHS` to `MOST_EPOCHS` of them."""
    work = _Work(planned, data, settings)
    seconds = max(seconds, meter.minimum_window_s)
    others = others_busy_s()
    clock = _Clock(settings.device)
    losses: list[float] = []
    snapshots = [meter.snapshot()]
    while len(losses) < MOST_EPOCHS and (len(losses) < LEAST_EPOCHS or _elapsed_s(snapshots[0]) < seconds):
        losses.append(work.epoch(clock))
        if _elapsed_s(snapshots[-1]) > (meter.maximum_window_s or np.inf) / 4:
            snapshots.append(meter.snapshot())
    snapshots.append(meter.snapshot())
    wall_s = snapshots[-1].time_s - snapshots[0].time_s
    disturbed = _disturbed(others, wall_s)
    energy = add_up([meter.energy(*pair) for pair in itertools.pairwise(snapshots)])
    epoch_s = clock.quiet_epoch_s(len(losses))
    return Trained(len(losses), epoch_s, wall_s, energy.joules, energy.label, disturbed, losses)


def _elapsed_s(since: Snapshot) -> float:
    return time.perf_counter() - since.time_s


def _disturbed(before_s: float | None, wall_s: float) -> float | None:
    """Share of the machine's processor time that others used."""
    after_s = others_busy_s()
    if before_s is None or after_s is None:
        return None
    return max(0.0, (after_s - before_s) / (wall_s * (os.cpu_count() or 1)))
