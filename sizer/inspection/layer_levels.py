"""Where each layer's parameters, saved activations, optimizer state and inter-layer set live in a step. Pure.

Between a layer's forward pass and its own backward pass lie those of the layers after it: when it comes to its
parameters and to what it saved again, what these layers have and saved was touched meanwhile. So the last layers find
theirs near, and the first ones far. The optimizer's state is touched once a step, with everything in between.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from sizer.inspection.module_record import LayerRecord
from sizer.inspection.networks import Placed
from sizer.method.placement import Hierarchy, place, place_alone
from sizer.method.working_sets import WorkingSet


def with_levels(layers: Sequence[LayerRecord], hierarchy: Hierarchy, placed: Placed) -> tuple[LayerRecord, ...]:
    """The layers, in the order in which they run, each with the level of its sets; None for what it does not have."""
    optimizer_set = placed.working_sets.get("o")
    parameters = np.array([layer.parameter_bytes for layer in layers], dtype=np.int64)
    saved = np.array([layer.saved_bytes for layer in layers], dtype=np.int64)
    after = WorkingSet(np.cumsum(parameters[::-1])[::-1], np.cumsum(saved[::-1])[::-1])
    meanwhile = place(np.zeros(1), after, hierarchy).level.astype(int).tolist()
    moved = np.array([layer.transfer_bytes for layer in layers], dtype=np.int64)
    alone = place_alone(moved, hierarchy).astype(int).tolist()
    return tuple(
        replace(
            layer,
            parameter_level=hierarchy.name(far) if layer.parameter_bytes else None,
            saved_level=hierarchy.name(far) if layer.saved_bytes else None,
            optimizer_level=optimizer_set.level if layer.parameter_bytes and optimizer_set is not None else None,
            transfer_level=hierarchy.name(near) if layer.transfer_bytes else None,
        )
        for layer, far, near in zip(layers, meanwhile, alone, strict=True)
    )
