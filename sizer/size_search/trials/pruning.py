"""A trained network with its least important hidden units taken out.

Let a_j be the output of a hidden unit and w_j its outgoing weights, a column of the next layer's weight. The unit is
replaced by its mean output, folded into the next layer's bias: b' = b + sum over removed j of w_j mean(a_j). What this
leaves out of the next layer's input, one unit at a time, is w_j (a_j - mean(a_j)), whose expected square is

    importance_j = |w_j|^2 var(a_j).

Units with the least importance go first; of a unit that is constant nothing is lost. Where identity additions join
layers, a unit is the same one in all of them, and its importance is summed over them. (The criterion is that of
Molchanov et al., "Pruning Convolutional Neural Networks", arXiv 1611.06440, section 2.2, in its activation-variance
form, weighted by what the next layer makes of the activation.)
"""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from typing import NamedTuple

import torch

from sizer.base.errors import UsageError
from sizer.models.topology import Topology
from sizer.size_search.trials.growing import MOMENT_POWERS, Resized, Tensors, layer_names

#: Observations that means and variances are taken over: their error is a hundredth of a standard deviation.
SAMPLE = 8192


class UnitOutputs(NamedTuple):
    """Mean and variance of each unit's output in a hidden layer, shape (w,) each."""

    mean: torch.Tensor
    variance: torch.Tensor


def prune(
    parameters: Tensors, moments: Mapping[str, Tensors], topology: Topology, smaller: Topology, features: torch.Tensor
) -> Resized:
    """Take units out of a network built by `Topology.build` until it has the widths of ``smaller``.

    ``parameters`` and ``moments`` are as `growing.grow` takes them, ``features`` (n, input_dim) what the network was
    trained on. Raises UsageError when the smaller network is none of the same depth, inputs and outputs, or is wider.
    """
    _check(topology, smaller)
    outputs = unit_outputs(parameters, topology, features[:SAMPLE])
    kept = _kept(parameters, topology, smaller, outputs)
    pruned: dict[str, torch.Tensor] = {}
    pruned_moments: dict[str, dict[str, torch.Tensor]] = {}
    means = [torch.zeros(topology.input_dim), *(of_layer.mean for of_layer in outputs)]
    for (weight, bias), (before, after), mean in zip(
        layer_names(parameters), itertools.pairwise(kept), means, strict=True
    ):
        gone = mean.clone()
        gone[before] = 0.0  # what is kept still says its own
        pruned[weight] = parameters[weight][after][:, before]
        pruned[bias] = (parameters[bias] + parameters[weight] @ gone)[after]
        stays = [name for name in (weight, bias) if name in moments]
        pruned_moments |= {name: _pruned_moments(moments[name], before, after) for name in stays}
    return Resized(pruned, pruned_moments)


@torch.no_grad()
def unit_outputs(parameters: Tensors, topology: Topology, features: torch.Tensor) -> list[UnitOutputs]:
    """Mean and variance of the outputs of each hidden layer's units, identity additions included."""
    found = []
    current = features
    for index, (weight, bias) in enumerate(layer_names(parameters)[:-1]):
        activated = torch.relu(current @ parameters[weight].T + parameters[bias])
        residual = topology.shape == "rectangle_residual" and index > 0
        current = current + activated if residual else activated
        variance, mean = torch.var_mean(current, dim=0, correction=0)
        found.append(UnitOutputs(mean, variance))
    return found


def importances(parameters: Tensors, topology: Topology, outputs: Sequence[UnitOutputs]) -> list[torch.Tensor]:
    """Importance of each unit of each hidden layer, shape (w,) a layer; the same in all layers that additions join."""
    following = layer_names(parameters)[1:]
    found = [
        parameters[weight].square().sum(dim=0) * of_layer.variance
        for (weight, _), of_layer in zip(following, outputs, strict=True)
    ]
    if topology.shape == "rectangle_residual":
        found = [torch.stack(found).sum(dim=0)] * len(found)
    return found


def _kept(
    parameters: Tensors, topology: Topology, smaller: Topology, outputs: Sequence[UnitOutputs]
) -> list[torch.Tensor]:
    """Positions of the inputs, of each hidden layer's kept units in their order, and of the outputs."""
    hidden = [
        torch.sort(torch.argsort(importance, descending=True, stable=True)[:width]).values
        for importance, width in zip(importances(parameters, topology, outputs), smaller.widths[:-1], strict=True)
    ]
    return [torch.arange(topology.input_dim), *hidden, torch.arange(topology.output_dim)]


def _pruned_moments(moments: Tensors, before: torch.Tensor, after: torch.Tensor) -> dict[str, torch.Tensor]:
    """Running means of the parameters that stay; the count of steps stays as it is."""
    return {
        name: (values[after] if values.ndim == 1 else values[after][:, before]) if name in MOMENT_POWERS else values
        for name, values in moments.items()
    }


def _check(topology: Topology, smaller: Topology) -> None:
    before, after = ((of.depth, of.input_dim, of.output_dim) for of in (topology, smaller))
    if before != after:
        raise UsageError("a network is pruned to one of the same depth, inputs and outputs")
    if any(new > old for old, new in zip(topology.widths, smaller.widths, strict=True)):
        raise UsageError(f"{smaller.widths} has a wider layer than {topology.widths}; pruning only takes units out")
    if topology.shape == "rectangle_residual" and len(set(smaller.widths[:-1])) > 1:
        raise UsageError("layers that identity additions join must all keep the same units")
