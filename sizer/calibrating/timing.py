"""Timing real PyTorch training steps: the quantity that everything else predicts.

A step is: zero_grad(set_to_none=True), forward (Linear and ReLU, no activation after the last layer), mean squared
error, backward, optimizer step, on batches sliced from tensors in memory, eager (DESIGN section 4).
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from torch import nn

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
    """One timing: the quiet time of a step in s, how many steps were timed, and how long the run took in s."""

    step_s: float
    steps: int
    run_s: float


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


def time_run(case: Case, seconds: float, min_steps: int = 4, warm_up: int = 2) -> Run:
    """Build the network, warm it up and time its steps on the CPU for about so many seconds."""
    started = time.perf_counter()
    step = make_step(case)
    for _ in range(warm_up):
        step()
    times: list[float] = []
    deadline = time.perf_counter() + seconds
    before = time.perf_counter()
    while before < deadline or len(times) < min_steps:
        step()
        after = time.perf_counter()
        times.append(after - before)
        before = after
    quiet = float(np.quantile(times, QUIET_QUANTILE))
    return Run(quiet, len(times), time.perf_counter() - started)
