"""What passes between a search and the engine that runs its trials: slices, and back epochs and checkpoints."""

from __future__ import annotations

import io
from dataclasses import dataclass
from typing import Any, NamedTuple

import torch

from sizer.base.errors import UsageError
from sizer.models.topology import Topology


@dataclass(frozen=True)
class TrialSpec:
    """What determines a trial. ``name`` is its folder's name too; ``parent`` names the trial that it grows from."""

    name: str
    topology: Topology
    batch_size: int
    optimizer: str
    learning_rate: float
    seed: int
    device: str = "cpu"
    threads: int | None = None
    max_epochs: int = 1000
    parent: str | None = None


class Epoch(NamedTuple):
    """One epoch of a trial, counted from 1.

    ``metric`` is the value of the task's metric on the validation part. ``time_s`` is what the epoch took, validation
    included; ``quiet_s`` what it takes when nothing else runs (steps at their 20th percentile). ``energy_j`` is its
    share of the slice's energy, None where that is not known.
    """

    epoch: int
    train_loss: float
    validation_loss: float
    metric: float
    time_s: float
    quiet_s: float
    energy_j: float | None
    steps: int


@dataclass(frozen=True)
class Slice:
    """A piece of a trial: ``epochs`` more of them from a checkpoint (None: from the start), fewer if the target is met.

    ``target`` is a value of the task's metric, None to go on to the end. ``parent`` is the checkpoint of the trial that
    this one grows from, None for fresh weights; it matters only at the start.
    """

    spec: TrialSpec
    epochs: int
    target: float | None = None
    checkpoint: bytes | None = None
    parent: bytes | None = None


@dataclass(frozen=True)
class SliceResult:
    """What a slice did. ``ended`` says in words why the trial cannot go on, None while it can.

    ``checkpoint`` is None where there is nothing to go on from. ``where`` names the node that ran it, None for this
    process.
    """

    epochs: tuple[Epoch, ...]
    checkpoint: bytes | None
    ended: str | None = None
    where: str | None = None


def write_checkpoint(state: dict[str, Any]) -> bytes:
    """A dictionary of tensors, numbers and text, nested as one likes, as bytes."""
    stream = io.BytesIO()
    torch.save(state, stream)
    return stream.getvalue()


def read_checkpoint(checkpoint: bytes, device: str = "cpu") -> dict[str, Any]:
    """The tensors and numbers of a checkpoint. Raises UsageError for bytes that are none."""
    try:
        state: dict[str, Any] = torch.load(io.BytesIO(checkpoint), map_location=device, weights_only=True)
    except Exception as error:
        raise UsageError("a checkpoint of the search is damaged; remove the search's folder and start again") from error
    return state
