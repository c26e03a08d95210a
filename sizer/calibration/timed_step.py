"""What a calibration times: a real PyTorch training step, and how long it takes on a CPU or a CUDA device.

A step is: zero_grad(set_to_none=True), forward (Linear and ReLU, no activation after the last layer), mean squared
error, backward, optimizer step, on batches sliced from tensors in memory, eager (docs/calibration.md).

On a CPU steps are timed one by one. A GPU runs behind the program that feeds it: waiting for it after every step would
add the wait to each of them and keep the next step's launches from overlapping with this one's kernels, and a small
step would seem to take longer than it does in any training. So there steps are timed in batches, by marks in the GPU's
own stream (`StreamClock`), and a batch's time is divided by its steps. The first batch of a network is timed with the
context, the libraries' handles and the kernels that are loaded in it: it is discarded, and batches are run until two
agree.
"""

from __future__ import annotations

import functools
import itertools
import math
import os
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from itertools import pairwise
from typing import Any

import numpy as np
import torch
from torch import nn

from sizer.calibration.disturbance import read_counters
from sizer.calibration.measurements import Case, Timing
from sizer.calibration.plan import MIN_STEPS, WARM_UP
from sizer.detection.captured_tree import Tree
from sizer.meters.protocol import Meter, Snapshot
from sizer.method.training_step import Training
from sizer.models.topology import Topology


class StreamClock:
    """The time between marks in the current stream of a CUDA device, by the device's own clock.

    A mark waits for nothing. While a stream captures a graph no mark may be made, since it would become a part of the
    graph: such a mark is passed over, and the intervals that it ends and begins are not known.
    """

    def __init__(self, device: str | torch.device) -> None:
        self._device = torch.device(device)
        self._marks: list[Any] = []

    def mark(self) -> None:
        """Note where the stream is."""
        if torch.cuda.is_current_stream_capturing():
            self._marks.append(None)
            return
        event = torch.cuda.Event(enable_timing=True)  # type: ignore[no-untyped-call]
        event.record(torch.cuda.current_stream(self._device))
        self._marks.append(event)

    def wait_for(self, mark: int) -> None:
        """Wait until the device has passed a mark, -2 for the last but one; does nothing where there is none."""
        if -len(self._marks) <= mark < len(self._marks) and self._marks[mark] is not None:
            self._marks[mark].synchronize()

    def times_s(self) -> list[float]:
        """The intervals between neighbouring marks in s, unknown ones left out. Waits once, for the last mark."""
        return [seconds for seconds in self.intervals_s() if not math.isnan(seconds)]

    def intervals_s(self) -> list[float]:
        """All intervals between neighbouring marks in s, NaN for unknown ones. Waits once, for the last mark."""
        last = next((event for event in reversed(self._marks) if event is not None), None)
        if last is not None:
            last.synchronize()
        return [
            math.nan if None in (before, after) else float(before.elapsed_time(after)) / 1000
            for before, after in pairwise(self._marks)
        ]


#: A run's quiet value: interruptions only ever slow a step down, and the fastest steps of a run are its luckiest.
QUIET_QUANTILE = 0.2

#: Batches that the steps go through in turn, as many as fit into `_DATA_BYTES`, so that no batch stays in a near cache.
_BATCHES = 8
_DATA_BYTES = 64 * 2**20
_LEARNING_RATE = 1e-4
#: Random numbers kept to slice batches from: 32 MiB in float32.
_POOL_SIZE = 2**23

#: On a GPU a batch of steps lasts at least this long, some hundred times what a mark takes.
_BATCH_S = 0.005
#: The first steps on a GPU load kernels, let the libraries choose theirs, and bring the clocks up.
_WARM_UP_S = 0.02
#: Two batches agree within a tenth, the calibration's own error; a GPU that others use may never come to that.
_AGREE, _MOST_BATCHES = 0.1, 50
_MOST_STEPS = 1000
#: Boards report power late, by up to a second from Ampere on (NVML's reference): so long they work before a window.
_LOADED_S = 1.0
#: A counter that does not move for so many of its periods has no edge to wait for.
_EDGE_PERIODS = 3
#: A register of power is renewed every 0.1 s and shows a part of that time (Yang et al., arXiv 2312.02741): where power
#: is sampled, each window begins this share of it later than the one before, so that not all meet the same part.
_REGISTER_S, _SHIFT = 0.1, 0.618
_windows = itertools.count()

_Step = Callable[[], None]
_TREE = Tree("/")


def time_run(case: Case, training: Training, seconds: float, device: str = "cpu", meter: Meter | None = None) -> Timing:
    """Build the network, warm it up and time its steps for about so many seconds, at least `MIN_STEPS` of them.

    The case gives the batch size, ``training`` the rest.
    """
    return time_step(make_step(case, training, device), seconds, device, meter)


def time_step(step: _Step, seconds: float, device: str = "cpu", meter: Meter | None = None) -> Timing:
    """Warm a step up and time it for about so many seconds, at least `MIN_STEPS` times, under a meter as it needs."""
    seconds = seconds if meter is None else max(seconds, meter.minimum_window_s)
    if torch.device(device).type == "cuda":
        return _time_on_gpu(step, seconds, device, meter)
    _warm_up(step)
    counted = read_counters(_TREE)
    start = None if meter is None else meter.snapshot()
    began = time.perf_counter()
    times = _times(step, began + seconds)
    lasted = time.perf_counter() - began
    end = None if meter is None else meter.snapshot()
    meanwhile = read_counters(_TREE).since(counted)
    timing = Timing(0, 0, _quiet_s(times), len(times), _others_share(meanwhile, lasted), kernel=meanwhile or None)
    return timing if meter is None or start is None or end is None else charged(timing, meter, start, end)


def _quiet_s(times: list[float]) -> float:
    return float(np.quantile(times, QUIET_QUANTILE))


def _time_on_gpu(step: _Step, seconds: float, device: str, meter: Meter | None) -> Timing:
    """As `time_run`. Who else used a GPU meanwhile is not known.

    Under a meter the GPU works for a second before, since boards report power late, and the window begins and ends
    where the meter's counter moves, with equally many steps under way.
    """
    steps = steps_in_batch(step, device)
    start = None if meter is None else _Batches(step, steps, device).to_edge(meter, _LOADED_S + _phase_s(meter))
    batches = _Batches(step, steps, device)
    deadline = time.perf_counter() + seconds
    while time.perf_counter() < deadline or batches.count < MIN_STEPS:
        batches.run()
    end = None if meter is None else batches.to_edge(meter)
    timing = Timing(0, 0, _quiet_s(batches.times_s()) / steps, batches.count * steps, None)
    return timing if meter is None or start is None or end is None else charged(timing, meter, start, end)


class _Batches:
    """Batches of so many steps that follow one another on a GPU, which has always one to work on."""

    def __init__(self, step: _Step, steps: int, device: str) -> None:
        self._step, self._steps = step, steps
        self._clock = StreamClock(device)
        self._clock.mark()
        self.count = 0

    def run(self) -> None:
        """Start a batch, and wait for the one before: the program is never far ahead of the GPU, nor waits for all."""
        for _ in range(self._steps):
            self._step()
        self._clock.mark()
        self._clock.wait_for(-2)
        self.count += 1

    def to_edge(self, meter: Meter, loaded_s: float = 0.0) -> Snapshot:
        """Run for so long, and on to where the meter's counter moves, if it says that it does (``edge_period_s``)."""
        loaded = time.perf_counter() + loaded_s
        while time.perf_counter() < loaded:
            self.run()
        before = snapshot = meter.snapshot()
        last = time.perf_counter() + _EDGE_PERIODS * (getattr(meter, "edge_period_s", None) or 0.0)
        while snapshot.readings == before.readings and time.perf_counter() < last:
            self.run()
            snapshot = meter.snapshot()
        return snapshot

    def times_s(self) -> list[float]:
        """Times of the batches in s, by the device's clock. Waits for the last."""
        return self._clock.times_s()


def _phase_s(meter: Meter) -> float:
    """How much later the next window begins under a meter that samples power, in s; 0 where a counter has edges."""
    edged = getattr(meter, "edge_period_s", None) is not None
    return 0.0 if edged else _REGISTER_S * (_SHIFT * next(_windows) % 1)


def _warm_up(step: _Step) -> None:
    for _ in range(WARM_UP):
        step()


def steps_in_batch(step: _Step, device: str) -> int:
    """How many steps make a batch on a GPU, which has nothing left to do afterwards; warmed up."""
    _batch_s(step, 1, device)
    began = time.perf_counter()
    lasted = _batch_s(step, WARM_UP, device)
    for _ in range(_MOST_BATCHES):
        before, lasted = lasted, _batch_s(step, WARM_UP, device)
        if abs(lasted - before) <= _AGREE * before and time.perf_counter() - began >= _WARM_UP_S:
            break
    return min(max(math.ceil(_BATCH_S * WARM_UP / lasted), 1), _MOST_STEPS)


def _batch_s(step: _Step, steps: int, device: str) -> float:
    """Time of so many steps in s, and of the wait for the device."""
    began = time.perf_counter()
    for _ in range(steps):
        step()
    torch.cuda.synchronize(device)
    return time.perf_counter() - began


def _times(step: _Step, deadline: float) -> list[float]:
    """Times of steps in s until the deadline on the `time.perf_counter` clock, at least `MIN_STEPS` of them."""
    times: list[float] = []
    before = time.perf_counter()
    while before < deadline or len(times) < MIN_STEPS:
        step()
        after = time.perf_counter()
        times.append(after - before)
        before = after
    return times


def charged(timing: Timing, meter: Meter, start: Snapshot, end: Snapshot) -> Timing:
    """The timing with what the meter says of its steps."""
    energy = meter.energy(start, end)
    timing = timing._replace(window_unix_s=(start.unix_s, end.unix_s))
    if energy.joules is None:
        return timing._replace(problem="; ".join(energy.warnings) or "the meter did not say why")
    return timing._replace(energy_j=energy.joules / timing.steps)


def others_busy_s() -> float | None:
    """Processor time in s that everything but this process has used since boot, stolen time included; Linux only."""
    return read_counters(_TREE).used_s


def _others_share(meanwhile: Mapping[str, float], lasted_s: float) -> float | None:
    """Share of the machine's processor time that others used, None where that was not counted."""
    if "used_s" not in meanwhile:
        return None
    return meanwhile["used_s"] / (lasted_s * (os.cpu_count() or 1))


def make_step(case: Case, training: Training, device: str = "cpu") -> _Step:
    """A function that trains the case's network for one step each time it is called."""
    dtype = torch.float32 if training.dtype == "mixed" else getattr(torch, training.dtype)
    model = Topology(case.shape, case.input_dim, case.widths).build().to(device=device, dtype=dtype)
    optimizer = make_optimizer(model, training.optimizer, case.form)
    batches = _batches(case, device, dtype)
    loss_function = nn.MSELoss()
    autocast = torch.autocast(torch.device(device).type, half_of(device), enabled=training.dtype == "mixed")
    position = 0

    def step() -> None:
        nonlocal position
        features, targets = batches[position]
        position = (position + 1) % len(batches)
        optimizer.zero_grad(set_to_none=True)
        with autocast:
            loss = loss_function(model(features), targets)
        loss.backward()
        optimizer.step()

    return step


def half_of(device: str) -> torch.dtype:
    """What mixed precision multiplies in: bfloat16, but on GPUs before Ampere, which have no units for it, float16."""
    on_gpu = torch.device(device).type == "cuda"
    return torch.float16 if on_gpu and torch.cuda.get_device_capability(device)[0] < 8 else torch.bfloat16


def make_optimizer(model: nn.Module, name: str, form: str = "fused") -> torch.optim.Optimizer:
    """The optimizer in one of PyTorch's forms (`OPTIMIZER_FORMS`)."""
    fused, foreach = form == "fused", None if form == "fused" else form == "foreach"
    if name in ("adam", "adamw"):
        kind = torch.optim.Adam if name == "adam" else torch.optim.AdamW
        return kind(model.parameters(), lr=_LEARNING_RATE, fused=fused, foreach=foreach)
    momentum = 0.9 if name == "sgd-momentum" else 0.0
    return torch.optim.SGD(model.parameters(), lr=_LEARNING_RATE, momentum=momentum, fused=fused, foreach=foreach)


def _batches(case: Case, device: str, dtype: torch.dtype) -> list[tuple[torch.Tensor, torch.Tensor]]:
    """Views of one tensor of features and one of targets, as a training loop slices them."""
    size, dims = case.batch_size, (case.input_dim, case.widths[-1])
    count = max(1, min(_BATCHES, _DATA_BYTES // (4 * size * sum(dims))))
    features, targets = (_random(count * size * dim, device, dtype).view(count * size, dim) for dim in dims)
    return [(features[start : start + size], targets[start : start + size]) for start in range(0, count * size, size)]


def _random(count: int, device: str, dtype: torch.dtype) -> torch.Tensor:
    """So many random numbers, the first of a pool: drawing millions afresh for each run takes longer than its steps."""
    pool = _pool(device, dtype)
    return pool[:count] if count <= len(pool) else pool.repeat(-(-count // len(pool)))[:count]


@contextmanager
def leaving_nothing() -> Iterator[None]:
    """Timing in a process that goes on: torch's random state is as it was afterwards, memory is given back.

    Networks are made on the CPU, so that a GPU's random state does not move.
    """
    with torch.random.fork_rng(devices=[]):
        try:
            yield
        finally:
            _pool.cache_clear()
            if torch.cuda.is_initialized():  # type: ignore[no-untyped-call]
                torch.cuda.empty_cache()


@functools.lru_cache(maxsize=1)
def _pool(device: str, dtype: torch.dtype) -> torch.Tensor:
    return torch.randn(_POOL_SIZE, generator=torch.Generator().manual_seed(0)).to(device=device, dtype=dtype)
