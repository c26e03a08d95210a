"""Real PyTorch training steps, ready to be timed: the quantity that everything else predicts.

A step is: zero_grad(set_to_none=True), forward (Linear and ReLU, no activation after the last layer), mean squared
error, backward, optimizer step, on batches sliced from tensors in memory, eager (DESIGN section 4).
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import nn

from sizer.meters.protocol import Energy
from sizer.method.training_step import Training
from sizer.models.topology import Topology

#: A run's quiet value: interruptions only ever slow a step down, and the fastest steps of a run are its luckiest.
QUIET_QUANTILE = 0.2

#: Batches that the steps go through in turn, as many as fit into `_DATA_BYTES`, so that no batch stays in a near cache.
_BATCHES = 8
_DATA_BYTES = 64 * 2**20
_LEARNING_RATE = 1e-4
#: Random numbers kept to slice batches from: 32 MiB in float32.
_POOL_SIZE = 2**23

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
    features, targets = (
        _random(count * size * width, device, dtype).view(count * size, width)
        for width in (topology.input_dim, topology.output_dim)
    )
    return [(features[start : start + size], targets[start : start + size]) for start in range(0, count * size, size)]


def _random(count: int, device: str, dtype: torch.dtype) -> torch.Tensor:
    """So many random numbers, the first of a pool: drawing millions afresh for each run takes longer than its steps."""
    pool = _pool(device, dtype)
    return pool[:count] if count <= len(pool) else pool.repeat(-(-count // len(pool)))[:count]


@functools.lru_cache(maxsize=1)
def _pool(device: str, dtype: torch.dtype) -> torch.Tensor:
    return torch.randn(_POOL_SIZE, generator=torch.Generator().manual_seed(0)).to(device=device, dtype=dtype)
