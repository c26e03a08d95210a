"""Timing real PyTorch training steps: the quantity that everything else predicts.

A step is: zero_grad(set_to_none=True), forward (Linear and ReLU, no activation after the last layer), mean squared
error, backward, optimizer step, on batches sliced from tensors in memory, eager (DESIGN section 4).
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from torch import nn

from sizer.calibrating.planning import MIN_STEPS, WARM_UP
from sizer.meters.protocol import Energy, Meter
from sizer.models.topology import Topology
from sizer.training import Training

#: A run's quiet value: interruptions only ever slow a step down, and the fastest steps of a run are its luckiest.
QUIET_QUANTILE = 0.2

#: Batches that the steps go through in turn, as many as fit into `_DATA_BYTES`, so that no batch stays in a near cache.
_BATCHES = 8
_DATA_BYTES = 64 * 2**20
_LEARNING_RATE = 1e-4

_TORCH_DTYPES = {
    "float32": torch.float32,
    "float64": torch.float64,
    "bfloat16": torch.bfloat16,
    "float16": torch.float16,
    "mixed": torch.float32,
}


@dataclass(frozen=True)
class Case:
    """A network and the settings of its training step."""

    topology: Topology
    training: Training


@dataclass(frozen=True)
class Run:
    """One timing: the quiet time of a step in s, how many steps were timed, and what the meter says of them.

    ``energy`` covers the timed steps, None without a meter; ``disturbed`` is the share of the machine's processor time
    that others used meanwhile (other processes, and other virtual machines on the host), None where that is not known.
    """

    step_s: float
    steps: int
    energy: Energy | None
    disturbed: float | None


def make_optimizer(model: nn.Module, name: str) -> torch.optim.Optimizer:
    """The optimizer in PyTorch's fused form."""
    parameters = model.parameters()
    if name == "adam":
        return torch.optim.Adam(parameters, lr=_LEARNING_RATE, fused=True)
    if name == "adamw":
        return torch.optim.AdamW(parameters, lr=_LEARNING_RATE, fused=True)
    momentum = 0.9 if name == "sgd-momentum" else 0.0
    return torch.optim.SGD(parameters, lr=_LEARNING_RATE, momentum=momentum, fused=True)


def make_step(case: Case, device: str = "cpu") -> Callable[[], None]:
    """A function that trains the case's network for one step each time it is called."""
    training = case.training
    dtype = _TORCH_DTYPES[training.dtype]
    model = case.topology.build().to(device=device, dtype=dtype)
    optimizer = make_optimizer(model, training.optimizer)
    batches = _batches(case, device, dtype)
    loss_function = nn.MSELoss()
    autocast = torch.autocast(torch.device(device).type, torch.bfloat16, enabled=training.dtype == "mixed")
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


def _batches(case: Case, device: str, dtype: torch.dtype) -> list[tuple[torch.Tensor, torch.Tensor]]:
    """Views of one tensor of features and one of targets, as a training loop slices them."""
    topology, size = case.topology, case.training.batch_size
    batch_bytes = 4 * size * (topology.input_dim + topology.output_dim)
    count = max(1, min(_BATCHES, _DATA_BYTES // batch_bytes))
    features = torch.randn(count * size, topology.input_dim, device=device, dtype=dtype)
    targets = torch.randn(count * size, topology.output_dim, device=device, dtype=dtype)
    return [(features[start : start + size], targets[start : start + size]) for start in range(0, count * size, size)]


def time_run(case: Case, seconds: float, device: str = "cpu", meter: Meter | None = None) -> Run:
    """Build the network, warm it up and time its steps for about so many seconds, at least `MIN_STEPS` of them."""
    step = make_step(case, device)
    wait = _waiter(device)
    for _ in range(WARM_UP):
        step()
    wait()
    seconds = seconds if meter is None else max(seconds, meter.minimum_window_s)
    others_before = others_busy_s()
    start = None if meter is None else meter.snapshot()
    began = time.perf_counter()
    times = _step_times(step, wait, began + seconds)
    lasted = time.perf_counter() - began
    energy = None if meter is None or start is None else meter.energy(start, meter.snapshot())
    return Run(float(np.quantile(times, QUIET_QUANTILE)), len(times), energy, _share(others_before, lasted))


def _waiter(device: str) -> Callable[[], None]:
    """What waits for the device to finish; a CPU has finished when the call returns."""
    if torch.device(device).type == "cuda":
        return torch.cuda.synchronize
    return lambda: None


def _step_times(step: Callable[[], None], wait: Callable[[], None], deadline: float) -> list[float]:
    """Times of single steps in s until the deadline on the `time.perf_counter` clock."""
    times: list[float] = []
    before = time.perf_counter()
    while before < deadline or len(times) < MIN_STEPS:
        step()
        wait()
        after = time.perf_counter()
        times.append(after - before)
        before = after
    return times


def others_busy_s() -> float | None:
    """Processor time in s that everything but this process has used since boot, stolen time included; Linux only."""
    try:
        with open("/proc/stat", encoding="ascii") as stream:  # noqa: PTH123 (read before and after each run)
            ticks = [int(field) for field in stream.readline().split()[1:9]]
    except (OSError, ValueError):
        return None
    idle, waiting = ticks[3], ticks[4]
    own = os.times()
    return (sum(ticks) - idle - waiting) / os.sysconf("SC_CLK_TCK") - own.user - own.system


def _share(before: float | None, lasted_s: float) -> float | None:
    after = others_busy_s()
    if before is None or after is None:
        return None
    return max(0.0, (after - before) / (lasted_s * (os.cpu_count() or 1)))
