"""Pruning: the least important units go, constants are folded, and the target is kept or fewer units go."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

from sizer.base.errors import UsageError
from sizer.method.coefficients import Coefficients
from sizer.method.hardware import Device, Level
from sizer.method.placement import Hierarchy
from sizer.models.shapes import SHAPES
from sizer.models.topology import Topology
from sizer.size_search.data.table import CustomTask, Task
from sizer.size_search.result import ForwardCost, Pruned
from sizer.size_search.trials import pruning_search
from sizer.size_search.trials.pruning import importances, prune, unit_outputs
from sizer.size_search.trials.pruning_search import forward_level, forward_sweep, level_down, prune_winner
from sizer.size_search.trials.trial import LocalEngine, SliceSpec

KIB = 1024


def of_width(shape: str, width: int, depth: int = 4) -> Topology:
    return Topology.of_first_width(shape, width, depth, 5, 2)


def outputs_of(topology: Topology, parameters: dict[str, torch.Tensor], x: torch.Tensor) -> torch.Tensor:
    network = topology.build()
    network.load_state_dict(parameters)
    with torch.no_grad():
        return network(x)


@pytest.mark.parametrize("shape", SHAPES)
def test_constant_units_go_first_and_are_folded_exactly(shape):
    """A unit without incoming weights is constant: taking such units out changes nothing."""
    topology, smaller = of_width(shape, 16), of_width(shape, 11)
    torch.manual_seed(1)
    parameters = {name: values.clone() for name, values in topology.build().state_dict().items()}
    names = list(parameters)
    for index, width in enumerate(smaller.widths[:-1]):
        gone = torch.arange(topology.widths[index])[: topology.widths[index] - width]
        parameters[names[2 * index]][gone] = 0.0
        parameters[names[2 * index + 1]][gone] = torch.rand(len(gone)) * 3
    x = torch.randn(64, 5)
    pruned = prune(parameters, {}, topology, smaller, x).parameters
    torch.testing.assert_close(
        outputs_of(smaller, pruned, x), outputs_of(topology, parameters, x), rtol=1e-4, atol=1e-5
    )


def test_importance_is_the_expected_square_of_what_the_next_layer_loses():
    topology = of_width("trapezoid", 12)
    torch.manual_seed(2)
    parameters = dict(topology.build().state_dict())
    x = torch.randn(500, 5)
    with torch.no_grad():
        first = torch.relu(x @ parameters["0.weight"].T + parameters["0.bias"])
    unit = 3
    lost = (first[:, unit] - first[:, unit].mean())[:, None] * parameters["2.weight"][:, unit]
    found = importances(parameters, topology, unit_outputs(parameters, topology, x))
    torch.testing.assert_close(found[0][unit], lost.square().sum(dim=1).mean())


def test_units_that_additions_join_go_together():
    topology = of_width("rectangle_residual", 12, 5)
    parameters = dict(topology.build().state_dict())
    x = torch.randn(100, 5)
    found = importances(parameters, topology, unit_outputs(parameters, topology, x))
    assert all(torch.equal(found[0], other) for other in found)


def test_moments_lose_the_same_units():
    topology, smaller = of_width("rectangle", 8), of_width("rectangle", 5)
    parameters = dict(topology.build().state_dict())
    moments = {name: {"exp_avg": values.clone(), "step": torch.tensor(7.0)} for name, values in parameters.items()}
    pruned = prune(parameters, moments, topology, smaller, torch.randn(50, 5))
    for name, values in pruned.parameters.items():
        if name.endswith("weight"):  # (biases have constants folded in)
            assert torch.equal(pruned.moments[name]["exp_avg"], values)
        assert pruned.moments[name]["step"] == 7.0


def test_a_wider_network_and_uneven_residual_layers_are_refused():
    topology = of_width("rectangle", 8)
    with pytest.raises(UsageError, match="wider layer"):
        prune(dict(topology.build().state_dict()), {}, topology, of_width("rectangle", 9), torch.randn(9, 5))
    residual = of_width("rectangle_residual", 8)
    uneven = Topology(None, 5, (8, 7, 8, 2))
    with pytest.raises(UsageError, match="same units"):
        prune(dict(residual.build().state_dict()), {}, residual, uneven, torch.randn(9, 5))


HIERARCHY = Hierarchy(("L1", "L2", "RAM"), (32 * KIB, 512 * KIB, 2**33), (2, 2, 1))


@pytest.mark.parametrize("shape", SHAPES)
def test_the_level_down_is_the_largest_network_whose_parameters_are_nearer(shape):
    topology = of_width(shape, 700)
    assert forward_level(forward_sweep(topology, 32, HIERARCHY)) in ("L2", "RAM")
    down = level_down(topology, 32, HIERARCHY)
    assert not isinstance(down, str)
    assert forward_level(forward_sweep(of_width(shape, down.first_width), 32, HIERARCHY)) == down.level
    assert forward_level(forward_sweep(of_width(shape, down.first_width + 1), 32, HIERARCHY)) != down.level


def test_there_is_no_level_down_from_the_nearest_or_when_activations_fill_it():
    assert "L1 already" in level_down(of_width("rectangle", 10), 32, HIERARCHY)
    assert "smaller batch" in level_down(of_width("rectangle", 100), 100_000, HIERARCHY)


def device(l1_bytes: int) -> Device:
    levels = (Level("L1", l1_bytes, 2), Level("L2", 2**21, 2), Level("RAM", 2**33, 1))
    return Device("cpu", "cpu", "test", 2, levels)


def learned() -> tuple[Task, SliceSpec, int, LocalEngine]:
    """A network that has learned a function of which a few units are enough."""
    generator = np.random.default_rng(0)
    x = generator.normal(size=(600, 5)).astype(np.float32)
    y = np.stack([np.maximum(x[:, 0], 0) - x[:, 1], np.abs(x[:, 2])], axis=1)
    y = ((y - y.mean(axis=0)) / y.std(axis=0)).astype(np.float32)
    task = Task("known", "regression", x[:450], y[:450], x[450:], y[450:], 2)
    engine = LocalEngine(task)
    spec = SliceSpec("won", of_width("rectangle", 64, 3), 32, "adam", 3e-3, 0, threads=1, epochs=60, target=0.05)
    engine.submit(spec)
    result = engine.collect()
    assert result.epochs[-1].validation_loss <= spec.target
    return task, replace(spec, checkpoint=result.state), len(result.epochs), engine


def test_a_winner_comes_down_a_level_and_keeps_the_target(monkeypatch):
    monkeypatch.setattr(pruning_search, "time_forward", lambda *_: [50e-6, 40e-6])
    task, winner, epochs, engine = learned()
    coefficients = Coefficients("shipped", "estimated", "time", {"operation": 1e-9, "pass": 1e-6})
    found = prune_winner(task, winner, epochs, engine, device(12 * KIB), coefficients)
    assert not isinstance(found, str)
    spec, record = found
    assert (record.before.level, record.after.level, record.reached_level) == ("L2", "L1", True)
    assert record.value_after <= winner.target
    assert record.after.num_free_parameters == spec.topology.num_free_parameters
    assert 0 < record.predicted_saving < 1
    assert record.before.measured_s > 0
    # What is kept goes on training as any trial does.
    engine.submit(replace(spec, epochs=1, target=None))
    assert engine.collect().epochs[0].validation_loss < 2 * winner.target


def test_a_cut_that_loses_the_target_is_not_kept_nor_a_smaller_one_that_comes_no_nearer():
    task, winner, epochs, engine = learned()
    # (this L1 has room for a few units a layer)
    found = prune_winner(task, winner, epochs, engine, device(2_000), Coefficients("none", "estimated", "time"))
    assert isinstance(found, str)
    assert "loses the target" in found
    assert "to L1" in found


def test_a_cut_that_makes_the_forward_pass_no_faster_is_not_kept(monkeypatch):
    task, winner, epochs, engine = learned()
    none = Coefficients("none", "estimated", "time")
    monkeypatch.setattr(pruning_search, "time_forward", lambda *_: [50e-6, 52e-6])
    assert prune_winner(task, winner, epochs, engine, device(12 * KIB), none) == (
        "not pruned: the cut that brings its parameters to L1 makes a forward pass no faster (measured 50 us before, "
        "52 us after)"
    )
    monkeypatch.setattr(pruning_search, "time_forward", lambda *_: [50e-6, 40e-6])
    _, record = prune_winner(task, winner, epochs, engine, device(12 * KIB), none)
    assert record.measured_saving == pytest.approx(0.2)
    assert (record.before.predicted, record.predicted_saving) == (None, None)


def test_what_cannot_be_pruned_says_why():
    task, winner, epochs, engine = learned()
    none = Coefficients("none", "estimated", "time")
    assert "L1 already" in prune_winner(task, winner, epochs, engine, device(2**20), none)
    custom = CustomTask("own", lambda *_: iter(()), 5, 2, 450)
    assert "own training function" in prune_winner(custom, winner, epochs, engine, device(2**20), none)
    strict = replace(winner, target=1e-9)
    assert "loses the target" in prune_winner(task, strict, epochs, engine, device(12 * KIB), none)


def test_the_record_says_what_was_saved():
    before = ForwardCost((64, 64, 2), 4_674, "L2", 2e-5, 4e-5)
    after = replace(before, widths=(32, 32, 2), predicted=1e-5, measured_s=3e-5)
    record = Pruned(before, after, "L1", True, 0.04, 0.05, ((32, True),), 3, 0.1, "time")
    assert record.to_dict()["predicted_saving"] == pytest.approx(0.5)
    assert record.to_dict()["measured_saving"] == pytest.approx(0.25)
    assert record.to_dict()["attempts"] == [{"first_width": 32, "kept_target": True}]
    assert replace(record, after=replace(after, measured_s=None)).measured_saving is None
