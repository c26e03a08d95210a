"""Which smaller network of a family has its parameters one cache level nearer when it predicts. Pure."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from sizer.coefficients import Coefficients
from sizer.cost import predict
from sizer.models.topology import Topology
from sizer.placement import NOWHERE, Hierarchy
from sizer.pricing import row_of
from sizer.sweep import Family, Sweep, at_widths
from sizer.training import Training


class LevelDown(NamedTuple):
    """The largest first width at which f lives on the next level down, and that level's name."""

    first_width: int
    level: str


def inference_family(topology: Topology, batch_size: int) -> Family:
    """The family of a network that predicts ``batch_size`` observations at a time, in float32."""
    shape = topology.shape or "rectangle"
    training = Training(batch_size, "float32", "sgd")
    return Family(shape, topology.depth, topology.input_dim, topology.output_dim, training, "inference", 1)


def level_down(topology: Topology, batch_size: int, hierarchy: Hierarchy) -> LevelDown | str:
    """The network to prune to, or in words why there is none."""
    widths = np.arange(1, topology.widths[0] + 1)
    swept = at_widths(inference_family(topology, batch_size), hierarchy, widths)
    levels = swept.placement("f").level
    now = len(hierarchy.names) if levels[-1] == NOWHERE else int(levels[-1])
    if now == 0:
        return f"its parameters live in {hierarchy.names[0]} already, and nothing is nearer"
    nearer = np.flatnonzero((levels >= 0) & (levels < now))
    if not len(nearer):
        return (
            f"with {batch_size} observations at a time not even one unit a layer has its parameters nearer than "
            f"{hierarchy.name(int(levels[-1]))}; a smaller batch size leaves them room"
        )
    return LevelDown(int(widths[nearer[-1]]), hierarchy.names[levels[nearer[-1]]])


def forward_sweep(topology: Topology, batch_size: int, hierarchy: Hierarchy) -> Sweep:
    """The forward pass of one network as a sweep of itself."""
    family = inference_family(topology, batch_size)
    return at_widths(family, hierarchy, np.array([topology.widths[0]]))


def forward_level(swept: Sweep) -> str | None:
    """Name of the level on which f lives."""
    return swept.networks.hierarchy.name(int(swept.placement("f").level[0]))


def forward_cost(swept: Sweep, coefficients: Coefficients) -> float | None:
    """Predicted cost of a forward pass in J or s, None where nothing is known of the machine."""
    if coefficients.source == "none":
        return None
    return float(predict(row_of(swept, coefficients), coefficients)[0])
