"""Working sets, placement and operations against the study's own numbers and hand-made cases."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from study import STUDY_CPU, STUDY_GPU

from sizer.base.errors import UnreachableError
from sizer.method.cost import backward_flops, backward_operations, forward_flops, forward_operations
from sizer.method.hardware import Device, Level
from sizer.method.placement import NOWHERE, Hierarchy, fill, place, place_all, place_alone
from sizer.method.training_step import DTYPES, OPTIMIZER_MOMENTS, Training
from sizer.method.working_sets import WorkingSet, bytes_per_datum, count_parameters, stack, working_sets
from sizer.models import SHAPES, Topology

STUDY_NAMES = {"f": "fwd_pass", "b": "bwd_pass", "d": "epoch"}


@pytest.fixture
def pol(reference):
    """The 201_pol experiment: its row, its sets and their placements. One observation has 48 features and a label."""
    row = reference("butter_e_201_pol_row.json")
    training = Training(row["batch_size"], observations=row["n_observations"], datum_elements=row["n_features"] + 1)
    sets = working_sets(stack([row["full_widths"]]), np.array([row["num_free_parameters"]]), training)
    return row, sets, place_all(sets, STUDY_CPU)


@pytest.mark.parametrize("name", ["f", "b", "d"])
def test_201_pol_sets_equal_the_study(pol, name):
    row, sets, placements = pol
    placed, whole = getattr(placements, name), getattr(sets, name)
    study = {key: row.get(f"{STUDY_NAMES[name]}_working_set_{key}") for key in _KEYS}
    ours = {
        "replicated": int(whole.replicated[0]),
        "distributed": int(whole.distributed[0]),
        "singular_size": int(whole.total[0]),
        "cache_level": int(placed.level[0]) + 1,
        "cached_size": int(placed.cached[0]),
        "occupied_size": int(placed.occupied[0]),
    }
    assert {key: value for key, value in ours.items() if study[key] is not None} == {
        key: value for key, value in study.items() if value is not None
    }


_KEYS = ("replicated", "distributed", "singular_size", "cache_level", "cached_size", "occupied_size")


def test_201_pol_inter_layer_sets_equal_the_study(pol):
    row, sets, placements = pol
    prefix = "per_layer_interlayer_working_set"
    each = place(np.zeros(1), sets.t, STUDY_CPU)
    assert sets.t.distributed[:, 0].tolist() == row[f"{prefix}_distributed"]
    assert each.cached[:, 0].tolist() == row[f"{prefix}_cached_size"]
    assert each.occupied[:, 0].tolist() == row[f"{prefix}_occupied_size"]
    assert (each.level[:, 0] + 1).tolist() == row[f"{prefix}_cache_level"]
    assert int(placements.t_max.occupied[0]) == row[f"{prefix}_max_occupied_size"]
    assert int(sets.t_max.distributed[0]) == row[f"{prefix}_max_distributed"]


def test_201_pol_operations_equal_the_study(pol):
    row, *_ = pol
    full, parameters = stack([row["full_widths"]]), np.array([row["num_free_parameters"]])
    assert forward_operations(full, 256).tolist() == [row["fwd_operations"]]
    assert backward_operations(full, parameters, 256).tolist() == [row["bwd_operations"]]


def test_all_22_cache_boundaries(reference):
    rows = reference("butter_e_cache_boundaries.json")
    assert len(rows) == 22
    for row in rows:
        hierarchy = STUDY_CPU if row["hardware"] == "cpu" else STUDY_GPU
        name = {"l": "t_max"}.get(row["working_set"], row["working_set"])
        levels = [_level(row, side, name, hierarchy) for side in ("inside", "outside")]
        assert levels[0] <= row["level"] < levels[1], row


def _level(row, side, name, hierarchy):
    full = stack([[row["n_features_used_for_working_sets"], *row[f"widths_{side}"]]])
    sets = working_sets(full, np.array([row[f"ntp_{side}"]]), Training())
    return int(getattr(place_all(sets, hierarchy), name).level[0]) + 1


def test_sets_by_hand_with_adam_in_mixed_precision():
    full = stack([[10, 20, 5]])
    sets = working_sets(full, count_parameters(full), Training(8, "mixed", "adam", observations=100))
    parameters = 11 * 20 + 21 * 5
    assert sets.f == (2 * parameters, 0)
    assert sets.t.distributed[:, 0].tolist() == [2 * 8 * 30, 2 * 8 * 25]
    assert sets.b == (6 * parameters, 2 * 8 * 35 - 2 * 8 * 30)
    assert sets.o == (0, 4 * 4 * parameters)
    assert sets.d == (0, 100 * 4 * 15)


@pytest.mark.parametrize(("optimizer", "tensors"), [("adam", 4), ("adamw", 4), ("sgd-momentum", 3), ("sgd", 2)])
@pytest.mark.parametrize("dtype", ["float32", "float64", "bfloat16", "float16"])
def test_the_optimizer_set_counts_parameters_gradients_and_moments(optimizer, tensors, dtype):
    full = stack([[3, 4, 2]])
    sets = working_sets(full, count_parameters(full), Training(1, dtype, optimizer))
    assert sets.o.distributed[0] == tensors * (4 * 4 + 5 * 2) * {"float32": 4, "float64": 8}.get(dtype, 2)
    assert sets.f.replicated[0] * tensors == sets.o.distributed[0]


def test_placement_by_hand():
    two = Hierarchy(("L1", "RAM"), (100, 1000), (4, 1))
    cases = {
        (0, 100, 0): (0, 100.0, 100.0),  # fills L1 to the last byte
        (0, 101, 0): (1, 101.0, 201.0),  # spills: L1 counts as full
        (0, 0, 400): (0, 100.0, 100.0),  # shared out over four instances
        (60, 41, 0): (1, 41.0, 141.0),
        (100, 1, 0): (1, 1.0, 101.0),  # nothing left in L1
        (100, 0, 0): (1, 0.0, 100.0),  # not even an empty set lives on a level that is full
        (0, 1001, 0): (NOWHERE, None, None),
    }
    for (occupied, replicated, distributed), (level, cached, filled) in cases.items():
        placed = place(np.array([occupied]), WorkingSet(np.array([replicated]), np.array([distributed])), two)
        assert placed.level[0] == level
        assert placed.level.dtype == np.int8
        if cached is not None:
            assert (placed.cached[0], placed.occupied[0]) == (cached, filled)


def test_a_distributed_set_alone_lives_where_its_share_fits():
    """Four instances of 100 bytes hold 400; one of 300 holds less, and is passed by; RAM holds 1,000."""
    hierarchy = Hierarchy(("L1", "L2", "RAM"), (100, 300, 1000), (4, 1, 1))
    levels = place_alone(np.array([[0, 400], [401, 1000], [1001, 10**9]]), hierarchy)
    assert levels.tolist() == [[0, 0], [2, 2], [NOWHERE, NOWHERE]]
    assert levels.dtype == np.int8


def test_a_set_fills_a_level_by_what_each_instance_caches_of_it():
    two = Hierarchy(("L1", "RAM"), (100, 1000), (4, 1))
    working_set = WorkingSet(np.array([30, 0]), np.array([80, 600]))
    assert fill(working_set, two, 0).tolist() == [0.5, 1.5]
    assert fill(working_set, two, 1).tolist() == [0.11, 0.6]


def test_the_hierarchy_of_a_device():
    levels = (Level("L1", 1000, 4), Level("L2", 5000, None, effective_bytes=3000), Level("L3", None, 1))
    device = Device("cpu", "cpu", "a CPU", 4, (*levels, Level("RAM", 10**6, 1)))
    hierarchy = Hierarchy.of(device, anchored=True)
    assert hierarchy == Hierarchy(("L1", "L2", "RAM"), (1000, 3000, 10**6), (4, 1, 1))
    assert hierarchy.caches() == [(0, "L1"), (1, "L2")]


def test_sizes_need_a_known_level_and_anchors_a_known_cache():
    bare = Device("cpu", "cpu", "bare", 1, (Level("L1", None, 1), Level("RAM", 2**30, 1)))
    assert Hierarchy.of(bare) == Hierarchy(("RAM",), (2**30,), (1,))
    assert Hierarchy.of(bare).caches() == []
    with pytest.raises(UnreachableError) as raised:
        Hierarchy.of(bare, anchored=True)
    assert str(raised.value) == (
        "no cache of 'cpu' has a known capacity, so no size can be anchored to one; name a machine with --device "
        "PROFILE (`sizer profiles list` shows them)"
    )
    with pytest.raises(UnreachableError) as raised:
        Hierarchy.of(Device("cpu", "cpu", "unknown", 1, (Level("RAM", None, 1),)))
    assert str(raised.value) == "no memory level of 'cpu' has a known capacity; name a machine with --device PROFILE"


sizes = st.integers(0, 2**45)


@given(st.lists(sizes, min_size=1, max_size=30), st.sampled_from([STUDY_CPU, STUDY_GPU]))
def test_placing_alone_is_placing_on_nothing(distributed, hierarchy):
    array = np.array(distributed, dtype=np.int64)
    slow = place(np.zeros(1), WorkingSet(np.zeros_like(array), array), hierarchy)
    assert place_alone(array, hierarchy).tolist() == slow.level.tolist()


networks = st.tuples(
    st.sampled_from(SHAPES), st.integers(1, 3000), st.integers(2, 12), st.integers(1, 900), st.integers(1, 30)
)


@given(networks, st.sampled_from(sorted(DTYPES)), st.sampled_from(sorted(OPTIMIZER_MOMENTS)), st.integers(1, 1024))
def test_growing_a_network_shrinks_no_set_and_raises_no_level(network, dtype, optimizer, batch_size):
    shape, first_width, *rest = network
    training = Training(batch_size, dtype, optimizer, observations=1000)
    grown = [Topology.of_first_width(shape, width, *rest) for width in (first_width, first_width + 1)]
    full = stack(topology.full for topology in grown)
    sets = working_sets(full, count_parameters(full), training)
    placements = place_all(sets, STUDY_CPU)
    for name in ("f", "b", "o", "d"):
        small, large = getattr(sets, name).total
        assert small <= large, name
        nearer, farther = getattr(placements, name).level
        assert farther == NOWHERE or nearer <= farther, name


def test_many_networks_of_any_depth_equal_one_by_one():
    topologies = [Topology.of_first_width(shape, 40 + depth, depth, 17, 3) for shape in SHAPES for depth in (2, 5, 20)]
    full = stack(topology.full for topology in topologies)
    assert count_parameters(full).tolist() == [topology.num_free_parameters for topology in topologies]
    training = Training(64, observations=5000)
    together = working_sets(full, count_parameters(full), training)
    for index, topology in enumerate(topologies):
        one = stack([topology.full])
        alone = working_sets(one, count_parameters(one), training)
        for name in ("f", "b", "o", "d", "t_max"):
            assert getattr(together, name).total[index] == getattr(alone, name).total[0]


def test_below_the_output_of_a_shallow_network_there_is_no_layer():
    sets = working_sets(stack([[3, 4, 2], [3, 4, 5, 6, 2]]), np.array([26, 81]), Training(1))
    assert sets.t.distributed.T.tolist() == [[28, 24, 0, 0], [28, 36, 44, 32]]
    assert stack([]).shape == (1, 0)


@pytest.mark.parametrize("elements", [None, 7])
def test_a_datum_is_its_features_and_targets_or_what_is_said_of_it(elements):
    full = stack([[3, 4, 2], [3, 4, 5, 6, 1]])
    found = bytes_per_datum(full, Training(1, "mixed", datum_elements=elements))
    assert found.tolist() == ([4 * 5, 4 * 4] if elements is None else [4 * 7, 4 * 7])


def test_flops_are_those_that_torch_counts():
    torch = pytest.importorskip("torch")
    from torch.utils.flop_counter import FlopCounterMode

    topology = Topology("trapezoid", 30, (50, 34, 17, 4))
    module, batch = topology.build(), torch.randn(8, 30)
    with FlopCounterMode(display=False) as forward:
        output = module(batch)
    with FlopCounterMode(display=False) as backward:
        output.sum().backward()
    full = stack([topology.full])
    assert forward_flops(full, 8).tolist() == [forward.get_total_flops()]
    assert backward_flops(full, 8).tolist() == [backward.get_total_flops()]
