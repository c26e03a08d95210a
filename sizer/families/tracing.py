"""Tracing the members of a family without data: what a step of each computes, keeps and moves."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Sequence
from math import ceil
from typing import Any, NamedTuple

import numpy as np
from torch import nn

from sizer.base.errors import SizerError
from sizer.base.progress import Progress
from sizer.families.making import Family
from sizer.inspection.batch import batch_of
from sizer.inspection.checks import check_module, check_trainable
from sizer.inspection.counts import Counts, StepSettings, count
from sizer.inspection.module import precision
from sizer.inspection.module_record import Memory
from sizer.inspection.optimizer_state import implementation, known_name
from sizer.inspection.prediction import memory_of, module_sets
from sizer.method.working_sets import WorkingSet, WorkingSets

#: Channels that a CPU's convolution kernels work on together: a vector of 16 float32 (oneDNN's nChw16c), one of 8 where
#: there are no more. Of three families with convolutions 4 to 8 channels cost the same, and half of what 12 to 16 do
#: (`benchmarks/module_families.py`).
CHANNELS, FEW_CHANNELS = 16, 8


class Traced(NamedTuple):
    """A member that was traced. Counts are those of one step; ``sets`` has one network.

    ``padded_flops`` are the FLOPs with convolutions' channels rounded up to whole vectors; ``structure`` identifies
    what a step does; ``observations`` are those of a step.
    """

    values: tuple[int, ...]
    module: str
    structure: str
    memory: Memory
    sets: WorkingSets
    flops: int
    padded_flops: float
    saved_bytes: int
    layers: int
    observations: int
    notes: tuple[str, ...]

    @property
    def memory_bytes(self) -> int:
        """Bytes that a step needs at once: parameters, gradients, the optimizer's state, everything saved."""
        kept = self.sets.b.distributed + self.sets.t_max.distributed
        return int(self.sets.o.total[0]) + self.memory.buffer_bytes + int(kept[0])


class Left(NamedTuple):
    """A member that is left out, by its values, and why."""

    values: tuple[int, ...]
    reason: str


def trace_members(
    family: Family, sizes: Iterable[tuple[int, ...]], progress: Progress
) -> tuple[list[Traced], list[Left]]:
    """Trace members in the order given; those that cannot be built or called are left out with the reason."""
    found: list[Traced] = []
    left: list[Left] = []
    wanted = list(sizes)
    for number, values in enumerate(wanted):
        progress("tracing sizes", number / len(wanted))
        try:
            found.append(_traced(family, values))
        except SizerError as error:
            left.append(Left(values, str(error)))
    return found, left


def _traced(family: Family, values: tuple[int, ...]) -> Traced:
    module = family.outlined(values)
    check_module(module)
    check_trainable(module)
    settings = family.settings(module, values)
    optimizer = family.optimizer_like(module)
    memory = memory_of(module, optimizer, precision(module, settings))
    counts = count(module, settings)
    batch = batch_of(module, settings, counts)
    described = [known_name(optimizer) or type(optimizer).__name__, implementation(optimizer), settings.autocast]
    return Traced(
        values=values,
        module=type(module).__name__,
        structure=_structure(counts, settings, described),
        memory=memory,
        sets=module_sets(counts, memory, settings, None),
        flops=sum(layer.flops.forward + layer.flops.backward for layer in counts.layers),
        padded_flops=_padded_flops(module, counts),
        saved_bytes=sum(layer.saved_bytes for layer in counts.layers),
        layers=sum(layer.parameters > 0 for layer in counts.layers),
        observations=batch.observations or batch.first_dimension or 1,
        notes=counts.notes,
    )


def _structure(counts: Counts, settings: StepSettings, described: Sequence[Any]) -> str:
    """What a step does, as a fingerprint: layers with their counts, shapes that go in, loss, optimizer, precision."""
    layers = [(each.kind, each.parameters, each.saved_bytes, each.flops, each.output_shape) for each in counts.layers]
    inputs = [(tuple(each.shape), str(each.dtype), each.requires_grad) for each in settings.tensors]
    loss = None if settings.loss is None else settings.loss.name
    told = repr((layers, inputs, loss, [str(each) for each in described]))
    return hashlib.sha256(told.encode()).hexdigest()[:32]


def _padded_flops(module: nn.Module, counts: Counts) -> float:
    """FLOPs of the step with channels rounded up to whole vectors where a kernel works on whole vectors of them."""
    parts = dict(module.named_modules())
    return sum(
        (layer.flops.forward + layer.flops.backward) * _padding(parts.get(layer.name)) for layer in counts.layers
    )


def _padding(part: nn.Module | None) -> float:
    """How many times its operations a layer's kernels compute.

    Convolutions on a CPU are computed in blocks of 16 channels, of 8 where there are no more; a first layer of few
    channels, and one with a channel a group, have kernels of their own.
    """
    if not isinstance(part, nn.modules.conv._ConvNd):
        return 1.0
    into, out = part.in_channels // part.groups, part.out_channels // part.groups
    return _whole_vectors(out) * (_whole_vectors(into) if into > CHANNELS // 4 else 1.0) if out > 1 else 1.0


def _whole_vectors(channels: int) -> float:
    vector = CHANNELS if channels > FEW_CHANNELS else FEW_CHANNELS
    return ceil(channels / vector) * vector / channels


def together(sets: Sequence[WorkingSets]) -> WorkingSets:
    """The sets of single networks as those of N, layers padded with zeros."""
    depth = max(each.t.distributed.shape[0] for each in sets)
    t = np.zeros((depth, len(sets)), dtype=np.int64)
    for column, each in enumerate(sets):
        t[: each.t.distributed.shape[0], column] = each.t.distributed[:, 0]
    joined = {name: _joined([getattr(each, name) for each in sets]) for name in ("f", "b", "o")}
    return WorkingSets(t=WorkingSet(np.zeros_like(t), t), d=None, **joined)


def _joined(sets: Sequence[WorkingSet]) -> WorkingSet:
    return WorkingSet(*(np.concatenate([each[part] for each in sets]) for part in (0, 1)))
