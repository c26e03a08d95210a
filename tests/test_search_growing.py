"""Growing: a widened network computes the same function, and goes on training as the larger one would have."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from sizer.base.errors import UsageError
from sizer.models.shapes import SHAPES
from sizer.models.topology import Topology
from sizer.size_search.data.table import CustomTask, Task
from sizer.size_search.log import Epoch, LogEntry, SearchFolder, fingerprint
from sizer.size_search.search import Search
from sizer.size_search.settings import SearchSettings
from sizer.size_search.trials.growing import grow
from sizer.size_search.trials.trial import SliceSpec, run_slice


def of_width(shape: str, width: int, depth: int, input_dim: int = 7, output_dim: int = 3) -> Topology:
    return Topology.of_first_width(shape, width, depth, input_dim, output_dim)


def network_of(topology: Topology, parameters: dict[str, torch.Tensor]) -> torch.nn.Module:
    network = topology.build()
    network.load_state_dict(parameters)
    return network


def moments_of(network: torch.nn.Module, optimizer: torch.optim.Optimizer) -> dict[str, dict[str, torch.Tensor]]:
    return {name: dict(optimizer.state[parameter]) for name, parameter in network.named_parameters()}


def trained(topology: Topology, steps: int = 5) -> tuple[torch.nn.Module, torch.optim.Optimizer]:
    torch.manual_seed(3)
    network = topology.build()
    optimizer = torch.optim.Adam(network.parameters(), lr=0.01)
    for _ in range(steps):
        optimizer.zero_grad()
        torch.nn.functional.mse_loss(network(torch.randn(16, 7)), torch.randn(16, 3)).backward()
        optimizer.step()
    return network, optimizer


@settings(max_examples=60, deadline=None)
@given(
    shape=st.sampled_from(SHAPES),
    depth=st.integers(2, 6),
    width=st.integers(3, 24),
    added=st.integers(0, 70),
    seed=st.integers(0, 2**16),
)
def test_a_widened_network_computes_the_same_function(shape, depth, width, added, seed):
    small, large = of_width(shape, width, depth), of_width(shape, width + added, depth)
    torch.manual_seed(seed)
    network = small.build()
    grown = grow(network.state_dict(), {}, small, large, seed, noise=0.0)
    x = torch.randn(32, 7)
    with torch.no_grad():
        torch.testing.assert_close(network_of(large, grown.parameters)(x), network(x), rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("shape", SHAPES)
def test_every_shape_grows_to_the_parameters_of_the_larger_network(shape):
    small, large = of_width(shape, 16, 5), of_width(shape, 61, 5)
    network = small.build()
    grown = grow(network.state_dict(), {}, small, large, 0)
    assert sum(values.numel() for values in grown.parameters.values()) == large.num_free_parameters
    assert list(grown.parameters) == list(large.build().state_dict())


def test_the_noise_is_small_seeded_and_parts_the_copies():
    small, large = of_width("rectangle", 12, 4), of_width("rectangle", 30, 4)
    network, _ = trained(small)
    first, again, other = (grow(network.state_dict(), {}, small, large, seed).parameters for seed in (1, 1, 2))
    x = torch.randn(64, 7)
    with torch.no_grad():
        outputs, wanted = network_of(large, first)(x), network(x)
    change = (outputs - wanted).square().mean().sqrt() / wanted.std()
    assert 0 < change < 0.02
    assert all(torch.equal(first[name], again[name]) for name in first)
    assert not all(torch.equal(first[name], other[name]) for name in first)
    rows = first["0.weight"]
    assert len(torch.unique(rows, dim=0)) == len(rows)
    assert torch.equal(rows[:12], network.state_dict()["0.weight"])


@pytest.mark.parametrize("shape", ["rectangle", "rectangle_residual", "trapezoid", "wide_first_4x"])
def test_moments_are_those_of_the_larger_network_trained_all_along(shape):
    """A gradient of the widened network is the widened gradient: Adam's moments after one step, and so for all."""
    small, large = of_width(shape, 10, 5), of_width(shape, 26, 5)
    torch.manual_seed(5)
    network = small.build()
    grown_network = network_of(large, grow(network.state_dict(), {}, small, large, 4, noise=0.0).parameters)
    x, y = torch.randn(32, 7), torch.randn(32, 3)
    optimizers = [torch.optim.Adam(of.parameters(), lr=1e-12) for of in (network, grown_network)]
    for of, optimizer in zip((network, grown_network), optimizers, strict=True):
        torch.nn.functional.mse_loss(of(x), y).backward()
        optimizer.step()
    widened = grow(network.state_dict(), moments_of(network, optimizers[0]), small, large, 4, noise=0.0).moments
    wanted = moments_of(grown_network, optimizers[1])
    assert wanted.keys() == widened.keys()
    for name, moments in wanted.items():
        assert moments.keys() == widened[name].keys()
        for kind, values in moments.items():
            torch.testing.assert_close(widened[name][kind], values, rtol=1e-4, atol=1e-9)


def test_a_widened_layer_shares_each_units_effect_evenly():
    small, large = of_width("rectangle", 4, 2), of_width("rectangle", 10, 2)
    network = small.build()
    weight = grow(network.state_dict(), {}, small, large, 0, noise=0.0).parameters["2.weight"]
    before = network.state_dict()["2.weight"]
    torch.testing.assert_close(weight.sum(dim=1), before.sum(dim=1))
    assert weight.abs().max() <= before.abs().max() / 2 + 1e-7  # 10 units of 4: each has two copies or three


@pytest.mark.parametrize(
    "large",
    [
        of_width("rectangle", 8, 4),
        of_width("trapezoid", 16, 5),
        of_width("rectangle", 16, 4, input_dim=8),
        of_width("rectangle", 9, 5),
    ],
)
def test_what_is_no_larger_network_of_the_family_is_refused(large):
    small = of_width("rectangle", 10, 5)
    with pytest.raises(UsageError, match=r"same shape|narrower"):
        grow(small.build().state_dict(), {}, small, large, 0)


@pytest.fixture
def parent_of(tmp_path):
    """A search that has trained one size for some epochs, and may try a larger one: what that one grows from."""

    def found(train_loss: float, validation_loss: float, grow: bool = True, epochs: int = 12, of: str = "32"):
        sizes = [Topology.of_first_width("rectangle", width, 4, 7, 3) for width in (8, 32)]
        entries = [
            {"name": f"{s.widths[0]}", "widths": s.widths, "epoch_cost": 1.0, "flops_per_epoch": 1.0, "anchor": None}
            | {"relative_cost": 1.0}
            for s in sizes
        ]
        task, settings = CustomTask("own", lambda *_: iter(()), 7, 3, 600), SearchSettings(target=0.1, grow=grow)
        header = {"format": "sizer.search-log/1", "task": fingerprint(task), "settings": settings.to_dict()}
        header |= {"quantity": "time", "first": "8", "device": "cpu", "candidates": entries}
        folder = SearchFolder(tmp_path / f"{train_loss} {validation_loss} {grow} {epochs} {of}")
        epoch = Epoch(1, train_loss, validation_loss, validation_loss, 1.0, 1.0, None, 10)
        with folder.held():
            folder.append(header)
            folder.keep(LogEntry("8", (epoch,) * epochs, "trials/8/000001.pt", state=b"weights"), None)
            spec = Search(task, settings, folder).spec(of)
        assert spec.parent_checkpoint == (b"weights" if spec.parent else None)
        return spec.parent

    return found


def test_a_larger_size_grows_from_what_has_not_learned_by_heart(parent_of):
    assert parent_of(0.5, 0.6) == "8"
    assert parent_of(0.5, 0.6, grow=False) is None
    assert parent_of(0.1, 0.6) is None
    assert parent_of(0.5, 0.6, epochs=2) is None
    assert parent_of(0.5, 0.6, of="8") is None


def test_a_grown_trial_begins_where_the_smaller_one_was():
    generator = np.random.default_rng(0)
    x = generator.normal(size=(800, 7)).astype(np.float32)
    y = x[:, :3] * x[:, 1:4]
    task = Task("products", "regression", x[:600], y[:600], x[600:], y[600:], 3)
    small, large = (
        SliceSpec(f"{w}", Topology.of_first_width("rectangle", w, 4, 7, 3), 32, "adam", 3e-3, 0, threads=1)
        for w in (24, 64)
    )
    parent = run_slice(task, replace(small, epochs=8))
    grown = run_slice(task, replace(large, parent="24", parent_checkpoint=parent.state))
    fresh = run_slice(task, large)
    assert grown.epochs[0].train_loss < 1.2 * parent.epochs[-1].train_loss
    assert grown.epochs[0].train_loss < 0.7 * fresh.epochs[0].train_loss
