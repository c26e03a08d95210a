"""The networks as PyTorch modules."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import nn

if TYPE_CHECKING:
    from sizer.models.topology import Topology


class ResidualLayer(nn.Module):
    """A hidden layer with an identity addition after its activation: x + relu(W x + b), x of shape (batch, width)."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.linear = nn.Linear(width, width)
        self.activation = nn.ReLU()

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Return x + relu(W x + b)."""
        return x + self.activation(self.linear(x))


def build(topology: Topology) -> nn.Sequential:
    """Linear layers with ReLU between them and none after the last; residual additions where the shape has them."""
    layers: list[nn.Module] = []
    pairs = list(zip(topology.full[:-1], topology.widths, strict=True))
    for index, (w_in, w_out) in enumerate(pairs[:-1]):
        if topology.shape == "rectangle_residual" and index > 0:
            layers.append(ResidualLayer(w_out))
        else:
            layers += [nn.Linear(w_in, w_out), nn.ReLU()]
    layers.append(nn.Linear(*pairs[-1]))
    return nn.Sequential(*layers)
