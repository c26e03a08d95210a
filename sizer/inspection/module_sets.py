"""What a module keeps and moves: its memory, its working sets, and the level that each lives on."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from torch import nn

from sizer.base.units import format_bytes
from sizer.inspection.counts import Counts, StepSettings
from sizer.inspection.optimizer_state import state_bytes
from sizer.method.placement import NOWHERE, Hierarchy, Placements, place_all
from sizer.method.recommendation import PlacedSet
from sizer.method.training_step import DTYPES, Training
from sizer.method.working_sets import WorkingSet, WorkingSets, count_parameters, stack, working_sets


@dataclass(frozen=True)
class Memory:
    """Bytes that a training keeps whatever the batch."""

    precision: str
    num_parameters: int
    num_trainable: int
    parameters: int
    gradients: int
    buffers: int
    state: int | None


def memory_of(module: nn.Module, optimizer: Any, dtype: str) -> Memory:
    """What a module and its optimizer keep; ``dtype`` is the name in `DTYPES` of what a step computes in."""
    parameters = list(module.parameters())
    trainable = [parameter for parameter in parameters if parameter.requires_grad]
    return Memory(
        dtype,
        sum(parameter.numel() for parameter in parameters),
        sum(parameter.numel() for parameter in trainable),
        sum(parameter.numel() * parameter.element_size() for parameter in parameters),
        sum(parameter.numel() * parameter.element_size() for parameter in trainable),
        sum(buffer.numel() * buffer.element_size() for buffer in module.buffers()),
        state_bytes(optimizer, trainable),
    )


def module_sets(counts: Counts, memory: Memory, settings: StepSettings, training: Training | None) -> WorkingSets:
    """The table of DESIGN section 2, in closed form for a fully connected network.

    For others what the step really saves takes the place of one value a unit and datum.
    """
    trained = 2 * memory.gradients + (memory.state or 0)
    o = _one_set(0, trained)
    if counts.topology is not None and training is not None:
        full = stack([counts.topology.full])
        return working_sets(full, count_parameters(full), training)._replace(o=o)
    mixed = DTYPES["mixed"].forward_parameter_bytes * memory.num_parameters
    forward = mixed if memory.precision == "mixed" else memory.parameters
    transfers = [layer.transfer_bytes for layer in counts.layers]
    kept = counts.input_bytes + sum(layer.saved_bytes for layer in counts.layers) + counts.output_bytes
    t = np.array(transfers, dtype=np.int64)[:, None]
    return WorkingSets(
        f=_one_set(forward, 0),
        t=WorkingSet(np.zeros_like(t), t),
        b=_one_set(forward + memory.gradients, max(0, kept - max(transfers))),
        o=o,
        d=_data_set(counts, settings, training),
    )


def _data_set(counts: Counts, settings: StepSettings, training: Training | None) -> WorkingSet | None:
    if training is None or training.observations is None or not settings.batch_size:
        return None
    return _one_set(0, training.observations * (counts.input_bytes + counts.output_bytes) // settings.batch_size)


def _one_set(replicated: int, distributed: int) -> WorkingSet:
    return WorkingSet(np.array([replicated], dtype=np.int64), np.array([distributed], dtype=np.int64))


def place_sets(sets: WorkingSets, hierarchy: Hierarchy) -> tuple[dict[str, PlacedSet | None], str | None]:
    """Bytes and level of each working set, and why the module cannot run on the device where it cannot."""
    placements = place_all(sets, hierarchy)
    return _placed(sets, placements, hierarchy), _refusal(sets, placements, hierarchy)


def _placed(sets: WorkingSets, placements: Placements, hierarchy: Hierarchy) -> dict[str, PlacedSet | None]:
    placed: dict[str, PlacedSet | None] = {}
    for name in ("f", "b", "o", "t_max", "d"):
        found, placement = getattr(sets, name), getattr(placements, name)
        placed[name] = found and PlacedSet(int(found.total[0]), hierarchy.name(int(placement.level[0])))
    return placed


def _refusal(sets: WorkingSets, placements: Placements, hierarchy: Hierarchy) -> str | None:
    for name in ("t_max", "f", "b", "o", "d"):
        placement = getattr(placements, name)
        if placement is not None and placement.level[0] == NOWHERE:
            size = format_bytes(int(getattr(sets, name).total[0]))
            return f"{name} needs {size}; {hierarchy.names[-1]} offers {format_bytes(hierarchy.capacities[-1])}"
    return None
