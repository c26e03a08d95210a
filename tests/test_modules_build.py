"""The eight shapes as modules, and topologies read back from modules."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F  # noqa: N812
from torch import nn

import sizer
from sizer.base.errors import UsageError
from sizer.models import SHAPES, Topology
from sizer.models.modules import ACTIVATIONS
from sizer.models.reading import read_network


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("depth", [2, 3, 6])
@pytest.mark.parametrize("normalization", [None, "batch", "layer"])
def test_a_topology_reads_back_equal(shape, depth, normalization):
    topology = Topology.of_first_width(shape, 40, depth, 9, 3)
    for activation in ACTIVATIONS:
        module = topology.build(activation=activation, normalization=normalization, dropout=0.25)
        read = read_network(module)
        assert (read.shape, read.input_dim, read.widths) == (topology.shape, 9, topology.widths)
        assert Topology.of_module(module) == topology
        assert set(read.activations) == ({activation} - {"identity"})
        assert (read.normalization, read.dropout) == (normalization, 0.25)


def test_the_default_network_has_linear_and_relu_only():
    module = Topology(None, 5, (7, 3, 2)).build()
    assert [type(part).__name__ for part in module] == ["Linear", "ReLU", "Linear", "ReLU", "Linear"]
    assert sum(p.numel() for p in module.parameters()) == Topology(None, 5, (7, 3, 2)).num_free_parameters


def test_residual_layers_add_their_input():
    module = Topology.of_first_width("rectangle_residual", 6, 4, 5, 2).build("tanh")
    x = torch.randn(3, 5)
    hidden = torch.tanh(module[0](x))
    for layer in (module[2], module[3]):
        hidden = hidden + torch.tanh(layer.linear(hidden))
    assert torch.equal(module(x), module[4](hidden))


def test_a_best_candidate_builds():
    best = sizer.recommend(input_dim=8, depth=3, device="butter-e-cpu").best
    assert Topology.of_module(best.build()).widths == best.widths


class Functional(nn.Module):
    def __init__(self):
        super().__init__()
        self.layers = nn.ModuleList([nn.Linear(12, 8), nn.Linear(8, 8), nn.Linear(8, 2)])

    def forward(self, x):
        x = x.view(x.size(0), -1)
        for layer in self.layers[:-1]:
            x = F.relu(layer(x), inplace=True)
        return self.layers[-1](x)


def test_a_class_with_its_own_forward_is_read():
    read = read_network(Functional(), torch.empty(5, 3, 4, device="meta"))
    assert (read.input_dim, *read.widths) == (12, 8, 8, 2)
    assert read.linears == ("layers.0.weight", "layers.1.weight", "layers.2.weight")


class Concatenating(Functional):
    def forward(self, x):
        return torch.cat([self.layers[0](x), self.layers[0](x)], 1)


class Tied(Functional):
    def forward(self, x):
        return self.layers[1](self.layers[1](self.layers[0](x)))


@pytest.mark.parametrize(
    "module", [nn.Conv2d(1, 1, 1), Concatenating(), Tied(), nn.Sequential(nn.Linear(2, 4), nn.GLU())]
)
def test_what_is_no_dense_network_is_refused(module):
    with pytest.raises(UsageError, match="not a fully connected network"):
        Topology.of_module(module)


@pytest.mark.parametrize(
    "options", [{"activation": "rel"}, {"normalization": "group"}, {"dropout": 1.0}, {"dropout": "x"}]
)
def test_unknown_options_are_refused(options):
    with pytest.raises(UsageError, match="expected"):
        Topology(None, 3, (2, 1)).build(**options)
