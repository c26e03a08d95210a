"""The networks as PyTorch modules, with activation, normalisation and dropout to choose."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

import torch
from torch import nn

from sizer.base.errors import UsageError

if TYPE_CHECKING:
    from sizer.models.topology import Topology

ACTIVATIONS: dict[str, Callable[[], nn.Module]] = {
    "relu": nn.ReLU,
    "leaky_relu": nn.LeakyReLU,
    "elu": nn.ELU,
    "selu": nn.SELU,
    "gelu": nn.GELU,
    "silu": nn.SiLU,
    "mish": nn.Mish,
    "softplus": nn.Softplus,
    "hardswish": nn.Hardswish,
    "tanh": nn.Tanh,
    "sigmoid": nn.Sigmoid,
    "identity": nn.Identity,
}

#: Normalisation of a layer's outputs before its activation, from the layer's width.
NORMALIZATIONS: dict[str, Callable[[int], nn.Module]] = {"batch": nn.BatchNorm1d, "layer": nn.LayerNorm}


class ResidualLayer(nn.Module):
    """A hidden layer with an identity addition after its activation, x of shape (batch, width).

    x + dropout(activation(normalization(W x + b))), where normalisation and dropout may be absent.
    """

    def __init__(
        self, width: int, activation: str = "relu", normalization: str | None = None, dropout: float = 0.0
    ) -> None:
        super().__init__()
        self.linear = nn.Linear(width, width)
        self.after = nn.Sequential(*_after(width, activation, normalization, dropout))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Return the sum of x and the layer's output."""
        layer_output: torch.Tensor = self.after(self.linear(x))
        return x + layer_output


class DenseNetwork(nn.Sequential):
    """A fully connected network in the order of its layers; ``shape`` is the topology's."""

    def __init__(self, shape: str | None, *layers: nn.Module) -> None:
        super().__init__(*layers)
        self.shape = shape


def build(
    topology: Topology, activation: str = "relu", normalization: str | None = None, dropout: float = 0.0
) -> DenseNetwork:
    """The network of a topology.

    Each hidden layer is Linear, normalisation (``"batch"``, ``"layer"`` or None), activation (a name of `ACTIVATIONS`)
    and dropout where it is above 0; nothing follows the last Linear. The residual shape has an identity addition around
    each hidden layer but the first. Raises UsageError for an unknown name or a dropout outside [0, 1).
    """
    _check(activation, normalization, dropout)
    layers: list[nn.Module] = []
    pairs = list(zip(topology.full[:-1], topology.widths, strict=True))
    for index, (w_in, w_out) in enumerate(pairs[:-1]):
        if topology.shape == "rectangle_residual" and index > 0:
            layers.append(ResidualLayer(w_out, activation, normalization, dropout))
        else:
            layers += [nn.Linear(w_in, w_out), *_after(w_out, activation, normalization, dropout)]
    layers.append(nn.Linear(*pairs[-1]))
    return DenseNetwork(topology.shape, *layers)


def _after(width: int, activation: str, normalization: str | None, dropout: float) -> list[nn.Module]:
    """What follows a hidden layer's products."""
    layers = [] if normalization is None else [NORMALIZATIONS[normalization](width)]
    layers.append(ACTIVATIONS[activation]())
    return [*layers, nn.Dropout(dropout)] if dropout else layers


def _check(activation: str, normalization: str | None, dropout: float) -> None:
    if activation not in ACTIVATIONS:
        raise UsageError(f"unknown activation {activation!r}; expected one of {', '.join(ACTIVATIONS)}")
    if normalization is not None and normalization not in NORMALIZATIONS:
        known = ", ".join(NORMALIZATIONS)
        raise UsageError(f"unknown normalization {normalization!r}; expected one of {known}, or None")
    if isinstance(dropout, bool) or not isinstance(dropout, (int, float)) or not 0 <= dropout < 1:
        raise UsageError(f"dropout is {dropout!r}; expected a number from 0 up to, but not including, 1")
