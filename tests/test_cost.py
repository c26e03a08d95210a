"""The paper's equations as a linear model, against a published row and a case worked out by hand."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from study import MIB, STUDY_CPU, STUDY_GPU

from sizer import profiles
from sizer.inspection.networks import inspect_topologies
from sizer.method.coefficients import Coefficients
from sizer.method.cost import (
    COLUMN_BATCH,
    GRAIN,
    RAMP,
    SMALL_WORK,
    analyse,
    backward_flops,
    backward_row,
    every_step_row,
    forward_row,
    predict,
    priced_row,
    small_work_row,
    step_costs,
    step_row,
    training_cost,
)
from sizer.method.epochs_to_loss import difficulty_of, relative_epochs
from sizer.method.placement import NOWHERE, Hierarchy
from sizer.method.training_step import Training
from sizer.method.working_sets import count_parameters, stack
from sizer.models import SHAPES, Topology

ONE_LEVEL_EACH = Hierarchy(("L1", "RAM"), (1000, 10**9), (1, 1))


def test_published_gpu_rows_are_predicted_within_3_5_percent(reference):
    profile = profiles.load("butter-e-gpu")
    rows = [row for row in reference("butter_e_pollen_rows.json") if row["hardware"] == "gpu"]
    assert rows
    for row in rows:
        training = Training(256, observations=3848)
        networks = analyse(stack([[4, *row["widths"]]]), np.array([row["num_free_parameters"]]), training, STUDY_GPU)
        predicted = training_cost(networks, profile.coefficients, epochs=3000, training_batches=13, test_batches=4)
        assert abs(predicted[0] / row["std_energy"] - 1) <= 0.035


def test_design_rows_by_hand():
    """2-3-1 at batch 10 on a 1000-byte L1: every count worked out on paper."""
    full = stack([[2, 3, 1]])
    parameters = count_parameters(full)
    assert parameters.tolist() == [13]
    networks = analyse(full, parameters, Training(10, observations=50), ONE_LEVEL_EACH)
    # t: 4 B x 10 x 5 = 200 and 160, L1. f: 52 on 200, L1. b: 104 + 4 x 10 x 6 - 200 = 144 on 200, L1.
    # d: 50 x 4 x 3 = 600 on 344, L1; a batch's share is 120. o: 16 x 13 = 208, L1.
    forward, backward, step = forward_row(networks), backward_row(networks), step_row(networks)
    assert (forward["pass"][0], forward["layer"][0]) == (1, 2)
    assert forward["operation"][0] == 10 * (2 * 3 + 3 + 3 * 1 + 1)
    assert backward["operation"][0] == 10 * (2 * 3 + 6 + 2 * 1 + 3 + 3) + 13 * 11
    assert (forward["access.L1"][0], backward["access.L1"][0], step["access.L1"][0]) == (4, 3, 7)
    assert forward["traffic.L1"][0] == pytest.approx((52 + 120 + 360) / MIB)
    assert backward["traffic.L1"][0] == pytest.approx((104 + 40 + 360) / MIB)
    assert step["optimizer.L1"][0] == pytest.approx(208 / MIB)
    assert (step["tensor"][0], step["step"][0], step["pass"][0]) == (4, 1, 2)
    assert all(not count.any() for name, count in step.items() if name.endswith(".RAM"))


def test_a_set_beyond_l1_is_charged_where_it_lives():
    full = stack([[2, 100, 1]])
    networks = analyse(full, count_parameters(full), Training(1), ONE_LEVEL_EACH)
    step = step_row(networks)
    assert step["access.RAM"][0] == 2  # f (1,604 B) and b; both t_l are small
    assert step["access.L1"][0] == 4
    assert step["optimizer.RAM"][0] == pytest.approx(16 * 401 / MIB)


def test_small_work_is_counted_in_each_pass():
    full = stack([[2, 3, 3, 1]])
    networks = analyse(full, count_parameters(full), Training(10), ONE_LEVEL_EACH, additions=1)
    priced = Coefficients("calibrated", "calibrated", "time", {"row": 1.0})
    once, twice = priced_row(networks, priced, forward_only=True), priced_row(networks, priced)
    for name, count in (("row", 30), ("unit", 7), ("activation", 60), ("serial", 60), ("addition", 1), ("added", 30)):
        assert (once[name][0], twice[name][0]) == (count, 2 * count)
    outputs = (10 * 2 + 2 * 3) + (10 * 3 + 3 * 3) + (10 * 3 + 3)
    weights_gradients = (10 * 2 + 10 * 3) + (10 * 3 + 10 * 3) + (10 * 3 + 10)
    inputs_gradients = (10 * 3 + 3 * 3) + (10 + 3)
    assert once["operand"][0] == outputs
    assert twice["operand"][0] == outputs + weights_gradients + inputs_gradients


def test_what_the_form_of_products_adds_is_counted_in_each_pass():
    full = stack([[4, 8, 1, 100, 50], [3, 8, 4, 2, 0]])
    networks = analyse(full, count_parameters(full), Training(COLUMN_BATCH), ONE_LEVEL_EACH)
    forward, backward = small_work_row(networks), small_work_row(networks, backward=True)
    for row in (forward, backward):
        assert row["matrix"].tolist() == [2, 3]
        assert row["column"].tolist() == [1, 0]
        assert row["ramp"].tolist() == [32 + 8 + 100 + RAMP, 24 + 32 + 8]
    assert forward["mapped"].tolist() == [0, 0]
    assert forward["unaligned"].tolist() == [COLUMN_BATCH * (8 + 100 + 5000), COLUMN_BATCH * (24 + 8)]
    assert backward["unaligned"].tolist() == [2 * COLUMN_BATCH * (8 + 100 + 5000), COLUMN_BATCH * (24 + 2 * 8)]
    few = analyse(full, count_parameters(full), Training(COLUMN_BATCH - 1), ONE_LEVEL_EACH)
    assert not small_work_row(few)["column"].any()


def test_a_price_on_any_count_of_small_work_is_charged():
    full = stack([[2, 3, 3, 1]])
    networks = analyse(full, count_parameters(full), Training(10), ONE_LEVEL_EACH)
    assert set(small_work_row(networks)) == SMALL_WORK
    for name in SMALL_WORK:
        assert name in priced_row(networks, Coefficients("calibrated", "calibrated", "time", {name: 1.0}))


def test_one_thread_handles_the_first_elements_of_a_layer_only():
    full = stack([[2, 3, 5, 1], [2, 7, 1]])
    networks = analyse(full, count_parameters(full), Training(GRAIN // 4), ONE_LEVEL_EACH)
    assert small_work_row(networks)["serial"].tolist() == [3 * GRAIN // 4 + GRAIN, GRAIN]


def test_residual_additions_are_priced_in_an_inspection(small_cpu):
    priced = Coefficients("calibrated", "calibrated", "time", {"addition": 1.0})
    shapes = [Topology(shape, 4, (4, 4, 4, 4, 1)) for shape in ("rectangle", "rectangle_residual")]
    found = inspect_topologies(shapes, Training(), small_cpu, priced)
    assert [network.time_per_step_s for network in found.networks] == [0, 6]


def test_a_training_adds_up_as_equation_2():
    full = stack([[4, 8, 2]])
    networks = analyse(full, count_parameters(full), Training(16), STUDY_CPU)
    coefficients = Coefficients("published", "published", "energy", {"experiment": 100.0, "pass": 1.0, "layer": 0.1})
    pass_cost = 1.0 + 2 * 0.1
    whole = training_cost(networks, coefficients, epochs=7, training_batches=5, test_batches=3)
    assert whole[0] == pytest.approx(100 + 7 * (5 * 2 * pass_cost + 3 * pass_cost))
    bare = replace(coefficients, terms={"pass": 1.0, "layer": 0.1})
    assert training_cost(networks, bare, 7, 5, 3)[0] == pytest.approx(whole[0] - 100), "no k_e is none"


def test_flops_of_several_networks_are_each_ones():
    together = stack([[4, 8, 2], [30, 50, 4]])
    assert backward_flops(together, 16).tolist() == [
        2 * 16 * (2 * (4 * 8 + 8 * 2) - 4 * 8),
        2 * 16 * (2 * (30 * 50 + 50 * 4) - 30 * 50),
    ]


def test_chunks_change_nothing():
    topologies = [Topology.of_first_width(shape, width, 5, 20, 3) for shape in SHAPES for width in (3, 70, 900)]
    full = stack(topology.full for topology in topologies)
    coefficients = profiles.load("butter-e-cpu").coefficients
    networks = analyse(full, count_parameters(full), Training(128), STUDY_CPU)
    whole = predict(step_row(networks), coefficients)
    assert step_costs(full, Training(128), STUDY_CPU, coefficients, chunk=5).tolist() == whole.tolist()


def test_epochs_fall_with_size_by_the_law():
    assert relative_epochs(2**11) == pytest.approx(10**-3)
    assert relative_epochs([2**3, 2**5]).tolist() == pytest.approx([1 / 8, 1 / 64])
    assert relative_epochs([1, 2]).tolist() == [np.inf, np.inf]


def test_activations_of_32_mib_are_mapped_afresh(small_cpu):
    """4 * 144 * 65536 bytes are 36 MiB; at batch 64 they are 16."""
    full = stack([(4, 65536, 2)])
    for batch_size, elements in ((144, 144 * 65536), (64, 0)):
        networks = analyse(full, count_parameters(full), Training(batch_size), Hierarchy.of(small_cpu))
        for backward in (False, True):
            assert small_work_row(networks, backward)["mapped"].tolist() == [elements]


def test_epochs_that_no_size_saves_are_a_share_of_those_at_2_16():
    """With c = -1 the law gives 2^16 parameters 15^-3; half of that is added whatever the size."""
    sizes = [2**1.5, 2**3, 2**16]
    expected = [8 + 0.5 / 3375, 1 / 8 + 0.5 / 3375, 1.5 / 3375]
    assert relative_epochs(sizes, saturation=0.5).tolist() == pytest.approx(expected)


def test_how_hard_a_target_is_depends_on_its_ratio_alone():
    for best in (0.25, 4.0):
        assert [difficulty_of(ratio * best, best) for ratio in (1.05, 1.4, 3.0)] == ["hard", "medium", "easy"]


def test_every_step_is_the_step_and_the_small_work_of_both_passes():
    full = stack([[2, 3, 1]])
    networks = analyse(full, count_parameters(full), Training(10), ONE_LEVEL_EACH)
    every = every_step_row(networks)
    assert (every["pass"][0], every["step"][0], every["row"][0], every["unit"][0]) == (2, 1, 2 * 10 * 2, 2 * 4)


def test_a_level_has_its_name_and_nowhere_has_none():
    assert [ONE_LEVEL_EACH.name(index) for index in (0, 1, NOWHERE)] == ["L1", "RAM", None]
