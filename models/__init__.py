"""Topologies and shapes (numpy only), and the PyTorch modules they build."""

from sizer.models.shapes import MAX_DEPTH, SHAPES, layer_widths, residual_additions
from sizer.models.topology import MAX_PARAMETERS, MAX_WIDTH, Topology, num_free_parameters

__all__ = [
    "MAX_DEPTH",
    "MAX_PARAMETERS",
    "MAX_WIDTH",
    "SHAPES",
    "Topology",
    "layer_widths",
    "num_free_parameters",
    "residual_additions",
]
