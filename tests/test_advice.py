"""Advice for fully connected networks: its effects, when there is none, and what it never says."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from sizer.inspection.neighbours import FREE, MIN_GAIN, MIN_SAVING, advise_dense, price_neighbours
from sizer.inspection.networks import inspect_topologies
from sizer.method.coefficients import Coefficients
from sizer.method.placement import Hierarchy
from sizer.method.training_step import Training
from sizer.models.topology import Topology

#: Terms of a calibration, with those that the paper leaves out, and a steep price for all that lives beyond L2.
TERMS = {"step": 1e-5, "layer": 1e-6, "operation": 1e-13, "row": 1e-9, "unit": 1e-9, "activation": 1e-11}
TERMS |= {"addition": 2e-5, "traffic.L3": 1e-3, "traffic.RAM": 3e-3, "optimizer.L3": 1e-4, "optimizer.RAM": 1e-3}
STEEP = Coefficients("calibrated", "calibrated", "time", TERMS, (0.8, 1.2))
FLAT = Coefficients("calibrated", "calibrated", "time", {"step": 1e-3, "operation": 1e-15}, (0.8, 1.2))
TRAINING = Training(64)


def advise(topology, device, coefficients=STEEP, training=TRAINING):
    near = price_neighbours(topology, training, Hierarchy.of(device), coefficients)
    return list(advise_dense(near, coefficients))


def step_s(topology, device, coefficients=STEEP, training=TRAINING):
    return inspect_topologies([topology], training, device, coefficients).networks[0].time_per_step_s


def just_past_the_edge(device, shape="rectangle"):
    """The narrowest network of a shape whose b lives beyond L2."""
    for width in range(50, 1000):
        topology = Topology.of_first_width(shape, width, 4, 100, 10)
        found = inspect_topologies([topology], TRAINING, device, STEEP).networks[0]
        if found.working_sets["b"].level == "L3":
            return topology
    raise AssertionError("no width is past the edge")


@pytest.mark.parametrize("shape", ["rectangle", "rectangle_residual", "trapezoid"])
def test_a_predicted_effect_is_that_of_the_rewritten_network(small_cpu, shape):
    topology = just_past_the_edge(small_cpu, shape)
    found = [advice for advice in advise(topology, small_cpu) if advice.widths is not None]
    assert found
    for advice in found:
        kept = shape if shape == "rectangle_residual" else None
        rewritten = Topology(kept, topology.input_dim, advice.widths)
        ratio = step_s(rewritten, small_cpu) / step_s(topology, small_cpu)
        assert advice.effect == pytest.approx(ratio - 1, rel=1e-9, abs=1e-12)


def test_the_width_just_inside_an_edge_is_found(small_cpu):
    topology = just_past_the_edge(small_cpu)
    width = topology.widths[0]
    narrower = next(advice for advice in advise(topology, small_cpu) if advice.kind == "narrower")
    assert narrower.change == f"hidden {width} -> {width - 1}"
    assert narrower.reason == "keeps backward inside L2 (now in L3)"
    assert narrower.widths == (width - 1,) * 3 + (10,)


def test_a_smaller_batch_is_priced_per_datum(small_cpu):
    steep = replace(STEEP, terms={"operation": 1e-13, "traffic.L3": 1e-2, "traffic.RAM": 1e-2})
    topology, training = Topology(None, 20, (200, 200, 10)), Training(800)
    found = [advice for advice in advise(topology, small_cpu, steep, training) if advice.kind == "batch"]
    for advice in found:
        smaller = training._replace(batch_size=advice.batch_size)
        per_datum = step_s(topology, small_cpu, steep, smaller) / advice.batch_size
        assert advice.effect == pytest.approx(per_datum / (step_s(topology, small_cpu, steep, training) / 800) - 1)
    assert len(found) == 1


def test_nothing_is_advised_where_nothing_is_worth_it(small_cpu):
    assert advise(Topology(None, 20, (500, 500, 10)), small_cpu, replace(FLAT, terms={"operation": 1e-12})) == []


def test_the_record_says_that_nothing_is_worth_it():
    torch = pytest.importorskip("torch")
    import sizer
    from sizer.report.hook import training_text

    record = sizer.inspect(torch.nn.Linear(4, 2), batch_size=64)
    assert record.advice == ()
    assert "to do: nothing to change was found: no width" in training_text([record])


def test_rewritten_widths_are_valid_networks(small_cpu):
    for full in ((1, 1, 1), (3, 2, 5, 2, 1), (100, 100, 100, 100), (10, 300, 200, 100, 300, 10)):
        topology = Topology(None, full[0], full[1:])
        for advice in advise(topology, small_cpu) + advise(topology, small_cpu, FLAT):
            if advice.widths is not None:
                Topology(None, full[0], advice.widths)
                assert len(advice.widths) == topology.depth
                assert advice.widths[-1] == topology.output_dim
                changed = {old for old, new in zip(topology.widths, advice.widths, strict=True) if old != new}
                assert len(changed) == 1


@pytest.mark.parametrize("factors", [(0.25, 4.0), (0.5, 2.0), (0.95, 1.05), None])
def test_the_worse_end_of_the_interval_decides(small_cpu, factors):
    random = np.random.default_rng(5)
    said = 0
    for _ in range(60):
        widths = tuple(random.integers(2, 900, random.integers(1, 5)).tolist())
        topology = Topology(None, int(random.integers(2, 800)), (*widths, 10))
        for advice in advise(topology, small_cpu, replace(STEEP, interval=factors)):
            if advice.effect is None:
                continue
            said += 1
            low, high = advice.interval or (advice.effect, advice.effect)
            assert low <= advice.effect <= high
            assert high <= FREE if advice.kind == "free room" else high <= -MIN_SAVING
            if advice.kind == "narrower":
                parameters = Topology(None, topology.input_dim, advice.widths).num_free_parameters
                assert -advice.effect >= MIN_GAIN * (1 - parameters / topology.num_free_parameters)
    assert said


def test_free_room_stays_on_its_levels_and_costs_nothing_more(small_cpu):
    topology = Topology(None, 8, (20, 20, 4))
    room = next(advice for advice in advise(topology, small_cpu, FLAT) if advice.kind == "free room")
    wider = Topology(None, 8, room.widths)
    assert wider.num_free_parameters > 1.1 * topology.num_free_parameters
    assert step_s(wider, small_cpu, FLAT) <= (1 + FREE) * step_s(topology, small_cpu, FLAT)


def test_the_layer_that_alone_pushes_b_is_named(small_cpu):
    topology = Topology(None, 4000, (2, 2, 2))
    pushed = next(advice for advice in advise(topology, small_cpu, training=Training(128)) if advice.kind == "pushes")
    assert pushed.layer == "layer 1"
    assert "alone pushes" in pushed.reason
