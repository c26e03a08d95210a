"""A trained network widened to a larger one of its family that computes the same function (Net2WiderNet).

Source: Chen, Goodfellow and Shlens, "Net2Net: Accelerating Learning via Knowledge Transfer" (arXiv 1511.05641), section
2.2. A hidden layer grows from w to w' units by copying some: g maps each new unit to the unit that it copies, c counts
the copies of a unit, itself included, and with g and c of layer l written g_l and c_l

    W'_l[i, k] = W_l[g_l(i), g_{l-1}(k)] / c_{l-1}(g_{l-1}(k)),    b'_l[i] = b_l[g_l(i)].

Each copy's activation is its unit's, and what a unit handed on is shared out evenly among its copies, so the outputs
are the same for any elementwise activation. Around an identity addition both layers have the same g.

The gradient of a copy's incoming weights is its unit's over c_l(g_l(i)), since so much of the unit's effect is left to
it. Hence the optimizer's running mean of gradients is copied and divided by that count, the running mean of their
squares by the count's square: they are what they would be had the larger network been trained all along.
"""

from __future__ import annotations

import itertools
from collections.abc import Mapping
from typing import Any, NamedTuple

import torch

from sizer.base.errors import UsageError
from sizer.models.topology import Topology

#: Standard deviation of the noise on a copy's incoming weights, relative to that of its layer's weights. Copies get the
#: same gradients, so that without it they stay the same for ever.
NOISE = 0.01

#: Names under which torch's optimizers keep running means, and the power of the gradient that each is a mean of.
MOMENT_POWERS = {"exp_avg": 1, "exp_avg_sq": 2, "max_exp_avg_sq": 2, "momentum_buffer": 1}

Tensors = Mapping[str, torch.Tensor]


class Copies(NamedTuple):
    """Which unit each unit of a widened layer copies, shape (w',), and how many copies each has, shape (w,)."""

    source: torch.Tensor
    counts: torch.Tensor

    @property
    def shares(self) -> torch.Tensor:
        """What part of its unit's effect each copy has, shape (w',)."""
        return 1.0 / self.counts[self.source]


class Resized(NamedTuple):
    """The parameters of a network that was grown or pruned, and the optimizer's moments for them, by name."""

    parameters: dict[str, torch.Tensor]
    moments: dict[str, dict[str, torch.Tensor]]

    @property
    def moments_by_position(self) -> dict[int, dict[str, torch.Tensor]]:
        """The moments as an optimizer's state holds them."""
        return {i: self.moments[name] for i, name in enumerate(self.parameters) if name in self.moments}


def moments_by_name(state: Mapping[str, Any]) -> dict[str, Tensors]:
    """The optimizer's moments for each parameter of a trial's checkpoint."""
    names = list(state["model"])
    return {names[position]: values for position, values in state["optimizer"]["state"].items()}


def grow(
    parameters: Tensors,
    moments: Mapping[str, Tensors],
    small: Topology,
    large: Topology,
    seed: int,
    noise: float = NOISE,
) -> Resized:
    """Widen a network built by `Topology.build`, given by its state, to a larger one of the same shape and depth.

    ``parameters`` hold each layer's weight (w_out, w_in) and bias in the order of the layers; ``moments`` the
    optimizer's running means for a parameter's name (``exp_avg``, ...), empty before the first step. With ``noise`` 0
    the function is exactly the same. Raises UsageError when the larger network is none of the same family, or a layer
    of it is narrower.
    """
    _check(small, large)
    generator = torch.Generator().manual_seed(seed)
    copies = _copies(small, large, generator)
    grown: dict[str, torch.Tensor] = {}
    grown_moments: dict[str, dict[str, torch.Tensor]] = {}
    for (weight, bias), (before, after) in zip(layer_names(parameters), itertools.pairwise(copies), strict=True):
        widened = _copied(parameters[weight], before, after) * before.shares
        grown[weight] = _with_noise(widened, after, noise, generator)
        grown[bias] = parameters[bias][after.source]
        kept = [name for name in (weight, bias) if name in moments]
        grown_moments |= {name: _grown_moments(moments[name], before, after) for name in kept}
    return Resized(grown, grown_moments)


def layer_names(parameters: Tensors) -> list[tuple[str, str]]:
    """Names of each layer's weight and bias, in the order of the layers."""
    names = list(parameters)
    return list(zip(names[::2], names[1::2], strict=True))


def _copies(small: Topology, large: Topology, generator: torch.Generator) -> list[Copies]:
    """Of the inputs, each layer and the outputs in turn; one for all layers that identity additions join."""
    found = [_widened(small.input_dim, small.input_dim, generator)]
    for before, after in zip(small.widths, large.widths, strict=True):
        joined = small.shape == "rectangle_residual" and 1 < len(found) < small.depth
        found.append(found[-1] if joined else _widened(before, after, generator))
    return found


def _widened(before: int, after: int, generator: torch.Generator) -> Copies:
    """Every unit, then copies of units in random order, no unit copied twice before all were copied once."""
    rounds = [torch.arange(before)]
    rounds += [torch.randperm(before, generator=generator) for _ in range(-(-after // before) - 1)]
    source = torch.cat(rounds)[:after]
    return Copies(source, torch.bincount(source, minlength=before))


def _copied(values: torch.Tensor, before: Copies, after: Copies) -> torch.Tensor:
    """A weight (w_out, w_in), or a bias (w_out,), of the larger network with the values of the units copied."""
    return values[after.source] if values.ndim == 1 else values[after.source][:, before.source]


def _with_noise(weight: torch.Tensor, after: Copies, noise: float, generator: torch.Generator) -> torch.Tensor:
    """Noise on the incoming weights of the copies; the units that they copy keep theirs."""
    width = len(after.counts)  # (of what was widened: the units beyond are copies)
    added = weight[width:]
    drawn = torch.randn(added.shape, generator=generator, dtype=added.dtype)
    scale = noise * weight.std(correction=0)
    return torch.cat([weight[:width], added + scale * drawn])


def _grown_moments(moments: Tensors, before: Copies, after: Copies) -> dict[str, torch.Tensor]:
    """Running means for the larger parameter; what is no running mean, as the count of steps, stays as it is."""
    grown = {}
    for name, values in moments.items():
        grown[name] = values
        if name in MOMENT_POWERS:
            shares = (after.shares ** MOMENT_POWERS[name]).to(values.dtype)
            grown[name] = _copied(values, before, after) * (shares if values.ndim == 1 else shares[:, None])
    return grown


def _check(small: Topology, large: Topology) -> None:
    one, other = ((of.shape, of.depth, of.input_dim, of.output_dim) for of in (small, large))
    if one != other:
        raise UsageError("only a network of the same shape, depth, inputs and outputs can be grown from another")
    if any(after < before for before, after in zip(small.widths, large.widths, strict=True)):
        raise UsageError(f"{large.widths} has a narrower layer than {small.widths}; growing only adds units")
