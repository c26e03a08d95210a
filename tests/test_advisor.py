"""Recommendations: every candidate keeps its word, the order is that of the cost, the record survives JSON."""

from __future__ import annotations

import itertools
import json
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from study import KIB, MIB
from tiny import TINY, asked, priced

from sizer.base.errors import UnreachableError, UsageError
from sizer.devices import NO_COEFFICIENTS
from sizer.method.advisor import recommend, vector_width
from sizer.method.cost import step_costs
from sizer.method.epochs_to_loss import relative_epochs
from sizer.method.explanation import explain, why_not
from sizer.method.hardware import Device, Level
from sizer.method.placement import Hierarchy
from sizer.method.recommendation import Recommendation
from sizer.method.request import Request, parse_depths, parse_shapes
from sizer.method.sweep import Family, sweep
from sizer.method.training_step import SET_NAMES, Training
from sizer.method.working_sets import count_parameters, stack, working_sets
from sizer.models import SHAPES, Topology


def fill_of(candidate, request, device) -> float:
    """The candidate's fill worked out from its widths alone, by the formula of `docs/method.md`."""
    topology = Topology(candidate.shape, candidate.input_dim, candidate.widths)
    full = stack([topology.full])
    sets = working_sets(full, count_parameters(full), request.training(candidate.batch_size))
    replicated, distributed = getattr(sets, candidate.anchor.working_set)
    level = next(level for level in device.sizing_levels() if level.name == candidate.anchor.level)
    return float((replicated + distributed / level.instances)[0] / level.sizing_bytes)


requests = st.builds(
    Request,
    input_dim=st.integers(1, 2000),
    output_dim=st.integers(1, 200),
    depth=st.tuples(st.integers(2, 12)),
    batch_size=st.tuples(st.sampled_from([1, 32, 256, 1000])),
    shape=st.tuples(st.sampled_from(SHAPES)),
    dtype=st.sampled_from(["float32", "float64", "bfloat16", "mixed"]),
    optimizer=st.sampled_from(["adam", "sgd", "sgd-momentum"]),
    width_multiple=st.sampled_from([1, 1, 8, 16]),
    purpose=st.sampled_from(["training", "inference"]),
)


@settings(max_examples=20, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(request=requests)
def test_every_candidate_satisfies_its_own_fill_and_the_order_is_that_of_the_cost(
    request, small_cpu, time_coefficients
):
    record = recommend(request, small_cpu, time_coefficients)
    costs = [candidate.relative_cost_to_loss for candidate in record.candidates]
    assert costs == sorted(costs)
    assert [candidate.rank for candidate in record.candidates] == list(range(1, len(costs) + 1))
    assert record.optimum.relative_cost_to_loss == 1.0
    assert all(cost >= 1.0 for cost in costs)
    for candidate in record.candidates:
        assert 1.0 <= candidate.anchor.fill <= 2.0
        assert candidate.anchor.fill == pytest.approx(fill_of(candidate, request, small_cpu), rel=1e-12)
        assert candidate.anchor.level != "RAM"
        assert all(width % request.width_multiple == 0 for width in candidate.widths[:-1])
        assert candidate.num_free_parameters == candidate.topology.num_free_parameters
    text = record.to_json()
    again = Recommendation.from_dict(json.loads(text))
    assert again == record
    assert again.to_json() == text


def test_the_best_candidate_is_the_cheapest_of_all_that_fill_a_cache():
    """Every first width is tried, so a sweep that skipped the best one would be found out."""
    request, coefficients = asked(), priced(**{"pass": 0.5, "operation": 1e-4, "traffic.L2": 100.0})
    record = recommend(request, TINY, coefficients)
    costs = {}
    for first_width in range(1, 600):  # (no set fills a cache only once to twice beyond 571)
        candidate = replace(record.best, widths=(first_width, 2))
        for working_set, level in itertools.product(("f", "b", "o", "t_max"), ("L1", "L2")):
            anchored = replace(candidate, anchor=record.best.anchor._replace(working_set=working_set, level=level))
            if 1 <= fill_of(anchored, request, TINY) <= 2:
                costs[first_width] = _cost_to_loss(candidate, request, coefficients)
    assert record.best.widths[0] == min(costs, key=costs.get)


def _cost_to_loss(candidate, request, coefficients) -> float:
    full = stack([(candidate.input_dim, *candidate.widths)])
    step = step_costs(full, request.training(10), Hierarchy.of(TINY), coefficients)
    return float(step[0] * relative_epochs(count_parameters(full))[0])


def test_window_edges_are_exact(small_cpu):
    """Widths on either side of an edge are neighbours: no size between them was passed over."""
    family = Family("rectangle", 5, 100, 2, Training(), "training", 1)
    swept = sweep(family, Hierarchy.of(small_cpu))
    for name in ("f", "b", "o"):
        for level in range(3):
            inside = np.flatnonzero(swept.fill(name, level) >= 1)
            assert inside[0] == 0 or swept.first_widths[inside[0]] - swept.first_widths[inside[0] - 1] == 1


def test_effective_bytes_replace_the_reported_capacity(small_cpu, time_coefficients):
    shrunk = replace(
        small_cpu,
        levels=tuple(
            replace(level, effective_bytes=4 * MIB) if level.name == "L3" else level for level in small_cpu.levels
        ),
    )
    sizes = [
        {
            candidate.anchor.working_set: candidate.num_free_parameters
            for candidate in recommend(Request(50, (4,), levels=("L3",)), device, time_coefficients).candidates
        }
        for device in (small_cpu, shrunk)
    ]
    assert all(sizes[0][name] / sizes[1][name] == pytest.approx(4, rel=0.1) for name in ("f", "o"))


def test_hybrid_cores_size_by_the_first_kind(small_cpu, time_coefficients):
    small = Level("L1", 16 * KIB, 4, 1, 64, "test", core_kind="E")
    hybrid = replace(small_cpu, levels=(small_cpu.levels[0], small, *small_cpu.levels[1:]))
    request = Request(50, (4,))
    plain, mixed = (recommend(request, device, time_coefficients) for device in (small_cpu, hybrid))
    assert [c.widths for c in plain.candidates] == [c.widths for c in mixed.candidates]


def test_a_network_that_several_shapes_share_is_listed_once(small_cpu, time_coefficients):
    record = recommend(Request(50, (2,), shape=SHAPES, top=50), small_cpu, time_coefficients)
    widths = [candidate.widths for candidate in record.candidates]
    assert len(widths) == len(set(widths))
    assert {candidate.shape for candidate in record.candidates} == {SHAPES[0]}


def test_without_coefficients_operations_give_the_order(small_cpu):
    record = recommend(Request(784, (6,)), small_cpu, NO_COEFFICIENTS)
    assert record.coefficients.source == "none"
    assert record.best.time_per_datum_s is record.best.energy_per_datum_j is record.best.interval is None
    assert [c.relative_cost_to_loss for c in record.candidates] == sorted(
        c.relative_cost_to_loss for c in record.candidates
    )


def test_the_data_set_is_placed_when_its_size_is_given(small_cpu, time_coefficients):
    record = recommend(Request(784, (6,), output_dim=10, observations=60_000), small_cpu, time_coefficients)
    placed = record.best.working_sets["d"]
    assert placed.bytes == 60_000 * 4 * 794
    assert placed.level == "RAM"
    steps = -(-60_000 // 256)
    assert record.best.time_per_epoch_s == pytest.approx(record.best.time_per_datum_s * 256 * steps)


def test_a_data_set_larger_than_memory_is_refused(small_cpu, time_coefficients):
    with pytest.raises(UnreachableError, match="no network of this request fits"):
        recommend(Request(784, (6,), observations=10**9), small_cpu, time_coefficients)


def test_limits_answer_the_inverse_question(small_cpu, time_coefficients):
    free = recommend(Request(784, (4,)), small_cpu, time_coefficients)
    limited = recommend(Request(784, (4,), max_bytes=4 * MIB), small_cpu, time_coefficients)
    assert free.largest is None
    assert limited.largest.memory_bytes <= 4 * MIB
    wider = Topology.of_first_width("rectangle", limited.largest.widths[0] + 20, 4, 784, 1)
    full = stack([wider.full])
    sets = working_sets(full, count_parameters(full), Training())
    assert sets.o.total[0] + sets.b.distributed[0] + sets.t_max.total[0] > 4 * MIB
    timed = recommend(Request(784, (4,), max_time=0.002), small_cpu, time_coefficients)
    assert timed.largest.time_per_datum_s * 256 <= 0.002
    with pytest.raises(UsageError, match="limit on energy"):
        recommend(Request(784, (4,), max_energy=1.0), small_cpu, time_coefficients)
    with pytest.raises(UnreachableError, match="within the limits"):
        recommend(Request(784, (4,), max_bytes=10), small_cpu, time_coefficients)


def test_one_wide_layer_that_pushes_a_set_up_is_named(small_cpu, time_coefficients):
    record = recommend(Request(784, (6,), levels=("L1",)), small_cpu, time_coefficients)
    assert any(
        "layer 1's inter-layer set" in warning and "pushes" in warning
        for c in record.candidates
        for warning in c.warnings
    )


def test_explanations_end_in_the_candidates_own_numbers(small_cpu, time_coefficients):
    record = recommend(Request(784, (6,), observations=1000), small_cpu, time_coefficients)
    for candidate in record.candidates:
        text = "\n".join(explain(record, candidate))
        assert f"= {candidate.num_free_parameters:,} trainable parameters" in text
        for name in ("f", "o", "t_max", "d"):
            assert f"= {candidate.working_sets[name].bytes:,} B" in text
        anchor = candidate.anchor
        assert any(
            line.startswith(f"{anchor.working_set} ({SET_NAMES[anchor.working_set]}) fills {anchor.level} ")
            and line.endswith(f"= {anchor.fill:.3f} times")
            for line in text.splitlines()
        )
        assert f"= {candidate.time_per_datum_s:.4g} s a datum" in text


def test_why_not_names_the_rank_the_window_or_the_gap(small_cpu, time_coefficients):
    record = recommend(Request(784, (6,)), small_cpu, time_coefficients)
    listed = record.candidates[0].widths[0]
    assert "rank 1" in "".join(why_not(record, listed))
    last = max(record.candidates, key=lambda candidate: candidate.num_free_parameters)
    assert "cheaper size of the same window" in "".join(why_not(record, last.widths[0] + 1))
    assert "no set fills a cache 1 to 2 times" in "".join(why_not(record, 60))


def test_depths_and_shapes_are_read_as_written():
    assert parse_depths(["6", "2-4", 3]) == (6, 2, 3, 4)
    assert parse_shapes(["trapezoid", "all"])[0] == "trapezoid"
    assert set(parse_shapes(["all"])) == set(SHAPES)
    for text, said in (
        ("x", "expected a whole number"),
        ("8-2", "write it as 2-8"),
        ("1", "no hidden|hidden layer"),
        ("-3", "whole"),
    ):
        with pytest.raises(UsageError, match=said):
            parse_depths([text])


def test_a_device_without_known_caches_is_refused(time_coefficients):
    bare = Device("cpu", "cpu", "bare", 1, (Level("L1", None, 1), Level("RAM", 2**30, 1)))
    with pytest.raises(UnreachableError, match="--device PROFILE"):
        recommend(Request(10, (3,)), bare, time_coefficients)


def test_levels_must_be_caches(small_cpu, time_coefficients):
    with pytest.raises(UsageError, match="'RAM' is no cache"):
        recommend(Request(10, (3,), levels=("RAM",)), small_cpu, time_coefficients)


def test_a_set_that_lives_nearer_is_no_anchor(time_coefficients):
    """Many small caches hold more than one shared one: a distributed set then lives nearer than the cache it fills."""
    device = Device(
        "cpu", "cpu", "many", 80, (Level("L1", 128 * KIB, 80), Level("L2", 4 * MIB, 1), Level("RAM", 2**34, 1))
    )
    record = recommend(Request(784, (4,), levels=("L2",), top=50), device, time_coefficients)
    order = {"L1": 0, "L2": 1, "RAM": 2}
    for candidate in record.candidates:
        lives = candidate.working_sets[candidate.anchor.working_set].level
        assert order[lives] >= order[candidate.anchor.level]


def test_the_l1_of_a_gpu_is_a_fact_and_no_level_to_size_for(time_coefficients):
    """Nothing stays in it between the kernels of an eager step."""
    levels = (Level("L1", 256 * KIB, 132, line_bytes=128), Level("L2", 60 * MIB, 1), Level("RAM", 2**37, 1))
    device = Device("cuda:0", "cuda", "GPU", 132, levels)
    record = recommend(Request(784, (6,)), device, time_coefficients)
    assert {candidate.anchor.level for candidate in record.candidates} == {"L2"}
    assert {
        placed.level for candidate in record.candidates for placed in candidate.working_sets.values() if placed
    } <= {
        "L2",
        "RAM",
    }
    assert record.device.levels[0].name == "L1"
    assert vector_width(device, "float32") == 32
    with pytest.raises(UsageError, match="'L1' is no cache of cuda:0 that holds anything from one kernel to the next"):
        recommend(Request(784, (6,), levels=("L1",)), device, time_coefficients)
