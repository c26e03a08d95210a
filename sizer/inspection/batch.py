"""How many observations a call has, told from its inputs; None where the first dimension may be something else."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import NamedTuple

import torch
from torch import nn

from sizer.inspection.counts import Counts, StepSettings


class Batch(NamedTuple):
    """Observations of a call, None where doubtful, and the first dimension of its first tensor."""

    observations: int | None
    first_dimension: int | None

    @property
    def is_first(self) -> bool:
        """Whether the first dimension counts the observations."""
        return self.observations is not None and self.observations == self.first_dimension


def batch_of(module: nn.Module, settings: StepSettings, counts: Counts) -> Batch:
    """Observations of a call.

    A fully connected network's are its rows. Elsewhere it is the first dimension, unless time comes first (a recurrent
    or attention layer without ``batch_first``), the input is a single observation, the inputs disagree, or one is a
    matrix between the rows of another, as a graph's nodes have.
    """
    tensors = [tensor for tensor in settings.tensors if tensor.dim()]
    if not tensors:
        return Batch(None, None)
    first = tensors[0]
    if counts.topology is not None:
        return Batch(first.numel() // counts.topology.input_dim, first.shape[0])
    if first.dim() == 1:
        return Batch(_of_vector(first, module), first.shape[0])
    if _is_graph(tensors, module) or len({tensor.shape[0] for tensor in tensors}) > 1:
        return Batch(None, first.shape[0])
    return Batch(_of_sequences(first, module, counts), first.shape[0])


def _of_vector(first: torch.Tensor, module: nn.Module) -> int | None:
    """Whole numbers are one an observation, unless they are a sequence; numbers that a Linear takes are one in all."""
    sequential = any(isinstance(part, (nn.RNNBase, nn.MultiheadAttention)) for part in module.modules())
    if not first.is_floating_point():
        return None if sequential else first.shape[0]
    linear = next((part for part in module.modules() if isinstance(part, nn.Linear)), None)
    return 1 if linear is not None and linear.in_features == first.shape[0] else None


def _of_sequences(first: torch.Tensor, module: nn.Module, counts: Counts) -> int | None:
    """The second dimension where the layers that take time first get the input so; None where that cannot be told."""
    time_first = {name for name, part in module.named_modules() if getattr(part, "batch_first", None) is False}
    shapes = [shape for name, shape in counts.called_with.items() if name in time_first]
    known = [shape for shape in shapes if shape is not None and len(shape) == 3]
    if not known:
        return None if shapes else first.shape[0]
    found = {_observations(tuple(first.shape), shape) for shape in known}
    return found.pop() if len(found) == 1 else None


def _observations(given: Sequence[int], inside: Sequence[int]) -> int | None:
    """Observations of an input that a layer sees as (time, batch, features)."""
    if tuple(given[:2]) == tuple(inside[:2]):
        return given[1]
    return given[0] if given[0] == inside[1] else None


def _is_graph(tensors: Sequence[torch.Tensor], module: nn.Module) -> bool:
    """Whether rows of features come with a matrix between them, given or kept by the module."""
    first = tensors[0]
    if first.dim() != 2 or not first.is_floating_point():
        return False
    square = (first.shape[0], first.shape[0])
    return any(tuple(tensor.shape) == square for tensor in (*tensors[1:], *_kept(module)))


def _kept(module: nn.Module) -> Iterator[torch.Tensor]:
    """Buffers, and tensors that are plain attributes."""
    yield from module.buffers()
    for part in module.modules():
        yield from (value for value in vars(part).values() if isinstance(value, torch.Tensor))
