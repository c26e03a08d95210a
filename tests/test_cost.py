"""The paper's equations as a linear model, against a published row and a case worked out by hand."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from study import MIB, STUDY_CPU, STUDY_GPU

from sizer import profiles
from sizer.inspection.networks import inspect_topologies
from sizer.method.coefficients import LAUNCH_TERMS, Coefficients
from sizer.method.cost import (
    COLUMN_BATCH,
    GRAIN,
    RAMP,
    SMALL_WORK,
    analyse,
    backward_flops,
    backward_row,
    every_step_row,
    forward_flops,
    forward_row,
    launch_and_work,
    launch_row,
    predict,
    predict_step,
    priced_row,
    small_work_row,
    step_costs,
    step_row,
    training_cost,
    waits_for_launches,
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
    assert (networks.working_set("o").total[0], networks.placement("o").level[0]) == (208, 0)


def test_a_set_beyond_l1_is_charged_where_it_lives():
    full = stack([[2, 100, 1]])
    networks = analyse(full, count_parameters(full), Training(1), ONE_LEVEL_EACH)
    step = step_row(networks)
    assert step["access.RAM"][0] == 2  # f (1,604 B) and b; both t_l are small
    assert step["access.L1"][0] == 4
    assert forward_row(networks)["operation"][0] == 2 * 100 + 100 + 100 + 1
    assert step["optimizer.RAM"][0] == pytest.approx(16 * 401 / MIB)


def test_small_work_is_counted_in_each_pass():
    full = stack([[2, 3, 5, 1]])
    networks = analyse(full, count_parameters(full), Training(10), ONE_LEVEL_EACH, additions=1)
    priced = Coefficients("calibrated", "calibrated", "time", {"row": 1.0})
    once, twice = priced_row(networks, priced, forward_only=True), priced_row(networks, priced)
    for name, count in (("row", 30), ("unit", 9), ("activation", 80), ("serial", 80), ("addition", 1), ("added", 40)):
        assert (once[name][0], twice[name][0]) == (count, 2 * count)
    outputs = (10 * 2 + 2 * 3) + (10 * 3 + 3 * 5) + (10 * 5 + 5)
    weights_gradients = (10 * 2 + 10 * 3) + (10 * 3 + 10 * 5) + (10 * 5 + 10)
    inputs_gradients = (10 * 5 + 3 * 5) + (10 + 5)
    assert once["operand"][0] == outputs
    assert twice["operand"][0] == outputs + weights_gradients + inputs_gradients
    assert set(once) == set(forward_row(networks)) | SMALL_WORK


def test_what_the_form_of_products_adds_is_counted_in_each_pass():
    full = stack([[4, 8, 1, 100, 50], [3, 8, 4, 2], [2, 2, 1, 1]])
    networks = analyse(full, count_parameters(full), Training(COLUMN_BATCH), ONE_LEVEL_EACH)
    forward, backward = small_work_row(networks), small_work_row(networks, backward=True)
    for row in (forward, backward):
        assert row["matrix"].tolist() == [2, 3, 1]
        assert row["column"].tolist() == [1, 0, 1]
        assert row["ramp"].tolist() == [32 + 8 + 100 + RAMP, 24 + 32 + 8, 4 + 2 + 1]
    assert not forward["mapped"].any()
    batch = COLUMN_BATCH
    assert forward["unaligned"].tolist() == [batch * (8 + 100 + 5000), batch * (24 + 8), batch * (4 + 2 + 1)]
    assert backward["unaligned"].tolist() == [
        *(2 * batch * (8 + 100 + 5000), batch * (24 + 2 * 8), batch * (4 + 2 * (2 + 1))),
    ]
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
    assert forward_flops(together, 16).tolist() == [2 * 16 * (4 * 8 + 8 * 2), 2 * 16 * (30 * 50 + 50 * 4)]
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
    """4 * 128 * 65536 bytes are 32 MiB."""
    full = stack([(4, 65536, 2)])
    for batch_size, elements in ((144, 144 * 65536), (128, 128 * 65536), (127, 0)):
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


@pytest.mark.parametrize(
    ("form", "of_the_form"),
    [
        ("fused", {}),
        ("foreach", {"launch_foreach": [1, 1], "launch_foreach_tensor": [4, 6]}),
        ("single-tensor", {"launch_single_tensor": [4, 6]}),
    ],
)
def test_a_step_launches_itself_its_layers_and_what_its_optimizer_does_tensor_by_tensor(form, of_the_form):
    """2-3-1 and 2-3-1-1, of 13 and 15 parameters: two and three layers, two tensors each."""
    full = stack([[2, 3, 1], [2, 3, 1, 1]])
    networks = analyse(full, count_parameters(full), Training(10, optimizer_form=form), ONE_LEVEL_EACH)
    moved_again = {} if form == "fused" else {"unfused": [16 * 13 / MIB, 16 * 15 / MIB]}
    expected = {"launch": [1, 1], "launch_layer": [2, 3]} | of_the_form | moved_again
    counts = launch_row(networks)
    assert set(counts) == LAUNCH_TERMS | {"unfused"}
    assert {name: count.tolist() for name, count in counts.items() if count.any()} == expected
    forward = launch_row(networks, forward_only=True)
    third = 1 / 3  # a product and an activation of a layer's six kernels
    assert {name: count.tolist() for name, count in forward.items()} == {
        "launch": [third, third],
        "launch_layer": [2 * third, 3 * third],
    }


@pytest.mark.parametrize("name", sorted(LAUNCH_TERMS | {"unfused"}))
def test_launches_are_counted_beside_the_work_where_any_of_them_has_a_price(name):
    full = stack([[2, 3, 1]])
    networks = analyse(full, count_parameters(full), Training(10), ONE_LEVEL_EACH)
    priced = Coefficients("calibrated", "calibrated", "time", {"operation": 1.0, name: 1.0})
    assert set(priced_row(networks, priced)) == set(step_row(networks)) | LAUNCH_TERMS | {"unfused"}
    forward = {"launch", "launch_layer"}
    assert set(priced_row(networks, priced, forward_only=True)) == set(forward_row(networks)) | forward
    assert set(priced_row(networks, replace(priced, terms={"operation": 1.0}))) == set(step_row(networks))


def test_time_is_the_longer_one_and_energy_a_sum():
    row = {"operation": np.array([1.0, 10.0]), "launch": np.array([1.0, 1.0])}
    terms = {"operation": 2.0, "launch": 5.0}
    cost = [predict(row, Coefficients("calibrated", "calibrated", quantity, terms)) for quantity in ("time", "energy")]
    assert [each.tolist() for each in cost] == [[5.0, 20.0], [7.0, 25.0]]
    launch, work = launch_and_work(row, Coefficients("calibrated", "calibrated", "time", terms))
    assert (launch.tolist(), work.tolist()) == ([5.0, 5.0], [2.0, 20.0])


def one_term_each(**terms) -> Coefficients:
    return Coefficients("calibrated", "calibrated", "time", terms, (0.9, 1.2), conditions={"optimizer": "adam"})


@pytest.mark.parametrize(("launch_s", "waits"), [(474.0, True), (473.0, True), (472.0, False)])
def test_a_step_waits_for_the_program_until_its_work_takes_longer(launch_s, waits, small_cpu):
    """2-3-1 at batch 10 has 130 operations forward and 343 backward, of 1 s each."""
    network, training = Topology(None, 2, (3, 1)), Training(10)
    coefficients = one_term_each(launch=launch_s, operation=1.0)
    assert waits_for_launches(network, training, small_cpu, coefficients) is waits
    assert predict_step(network, training, small_cpu, coefficients)[0] == max(launch_s, 473.0)
    for untold in (replace(coefficients, quantity="energy"), one_term_each(operation=1.0)):
        assert waits_for_launches(network, training, small_cpu, untold) is None


@pytest.mark.parametrize(
    ("optimizer", "batch_size", "factors"),
    [("adam", 32, (0.9, 1.2)), ("adamw", 32, (0.9, 1.2)), ("sgd", 32, (0.25, 4.0)), ("adam", 31, (0.25, 4.0))],
)
def test_the_interval_of_a_step_is_wide_where_nothing_like_it_was_timed(optimizer, batch_size, factors, small_cpu):
    """Timed were Adam and batches of 32 to 1024."""
    network, training = Topology("rectangle", 8, (8, 8, 1)), Training(batch_size, optimizer=optimizer)
    step, interval = predict_step(network, training, small_cpu, one_term_each(layer=1.0))
    assert (step, interval) == (6.0, (6.0 * factors[0], 6.0 * factors[1]))
    unknown = replace(one_term_each(layer=1.0), source="shipped", interval=None)
    assert predict_step(network, training, small_cpu, unknown) == (6.0, None)


def test_the_step_of_one_network_has_its_residual_additions_and_its_sets_where_they_live(small_cpu):
    residual = Topology("rectangle_residual", 4, (4, 4, 4, 4, 1))
    assert predict_step(residual, Training(), small_cpu, one_term_each(addition=1.0))[0] == 2 * 3
    million = Topology("rectangle", 1000, (1000, 1))  # (o takes 15.3 MiB of the 16 of L3)
    moved = predict_step(million, Training(), small_cpu, one_term_each(**{"optimizer.L3": 1.0}))[0]
    assert moved == 16 * million.num_free_parameters / MIB
