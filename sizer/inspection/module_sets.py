"""What a module keeps and moves: its memory and its working sets."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
from torch import nn

from sizer.inspection.counts import Counts, StepSettings
from sizer.inspection.module_record import Memory
from sizer.inspection.networks import Placed, placed
from sizer.inspection.optimizer_state import state_bytes
from sizer.method.placement import Hierarchy, place_all
from sizer.method.training_step import DTYPES, Training
from sizer.method.working_sets import WorkingSet, WorkingSets, count_parameters, stack, working_sets


def memory_of(module: nn.Module, optimizer: Any, dtype: str) -> Memory:
    """What a module and its optimizer keep; ``dtype`` is the name in `DTYPES` of what a step computes in."""
    parameters = list(module.parameters())
    trainable = [parameter for parameter in parameters if parameter.requires_grad]
    return Memory(
        dtype=dtype,
        num_parameters=sum(parameter.numel() for parameter in parameters),
        num_trainable_parameters=sum(parameter.numel() for parameter in trainable),
        parameter_bytes=sum(parameter.nbytes for parameter in parameters),
        gradient_bytes=sum(parameter.nbytes for parameter in trainable),
        buffer_bytes=sum(buffer.nbytes for buffer in module.buffers()),
        optimizer_state_bytes=state_bytes(optimizer, trainable),
    )


def module_sets(counts: Counts, memory: Memory, settings: StepSettings, training: Training | None) -> WorkingSets:
    """The paper's working sets (`docs/method.md`), in closed form for a fully connected network.

    For others what the step really saves takes the place of one value a unit and datum.
    """
    o = _one_set(0, 2 * memory.gradient_bytes + (memory.optimizer_state_bytes or 0))
    if counts.topology is not None and training is not None:
        full = stack([counts.topology.full])
        return working_sets(full, count_parameters(full), training)._replace(o=o)
    mixed = DTYPES["mixed"].forward_parameter_bytes * memory.num_parameters
    forward = mixed if memory.dtype == "mixed" else memory.parameter_bytes
    t = np.array([layer.transfer_bytes for layer in counts.layers], dtype=np.int64)[:, None]
    kept = counts.input_bytes + sum(layer.saved_bytes for layer in counts.layers) + counts.output_bytes
    data, batch_size = training and training.observations, settings.batch_size
    moved = counts.input_bytes + counts.output_bytes
    return WorkingSets(
        f=_one_set(forward, 0),
        t=WorkingSet(np.zeros_like(t), t),
        b=_one_set(forward + memory.gradient_bytes, max(0, kept - int(t.max()))),
        o=o,
        d=_one_set(0, data * moved // batch_size) if data is not None and batch_size else None,
    )


def _one_set(replicated: int, distributed: int) -> WorkingSet:
    return WorkingSet(np.array([replicated], dtype=np.int64), np.array([distributed], dtype=np.int64))


def place_sets(sets: WorkingSets, hierarchy: Hierarchy, memory: Memory) -> Placed:
    """Bytes and level of each working set, and why the module cannot run on the device where it cannot.

    Without the optimizer's state o is not known.
    """
    found = placed(sets, place_all(sets, hierarchy), hierarchy)
    if memory.optimizer_state_bytes is None:
        return replace(found, working_sets={**found.working_sets, "o": None})
    return found
