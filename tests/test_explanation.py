"""What is said for and against a size, on a machine so small that every number is worked out by hand."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from tiny import TINY, asked, priced

from sizer.base.errors import UsageError
from sizer.devices import NO_COEFFICIENTS
from sizer.method.advisor import recommend
from sizer.method.coefficients import Coefficients
from sizer.method.explanation import Half, Prospects, explain, home, pushed_up, why, why_not
from sizer.method.hardware import Device, Level
from sizer.method.placement import Hierarchy
from sizer.method.recommendation import Anchor, Candidate, Neighbour, PlacedSet, Recommendation
from sizer.method.request import Request
from sizer.method.sweep import Sweep, at_widths, families


def alone(request: Request, first_width: int, device: Device = TINY) -> Sweep:
    return at_widths(next(families(request)), Hierarchy.of(device, anchored=True), np.array([first_width]))


def candidate_of(record: Recommendation, first_width: int) -> Candidate:
    """The network of a first width as a candidate, with its sets where they live."""
    swept = alone(record.request, first_width)
    sets = dict.fromkeys(("f", "b", "o", "t_max", "d"))
    sets |= {name: PlacedSet(int(swept.networks.working_set(name).total[0]), "L1") for name in swept.set_names}
    return replace(
        record.optimum,
        widths=tuple(swept.networks.full[1:, 0].tolist()),
        num_free_parameters=int(swept.num_free_parameters[0]),
        working_sets=sets,
    )


def explained(coefficients: Coefficients, first_width: int = 8, **options) -> list[str]:
    record = recommend(asked(**options), TINY, coefficients)
    return list(explain(record, candidate_of(record, first_width)))


def test_an_explanation_works_out_every_number_of_a_network():
    """4-8-2 at batch 10: 580 operations forward, 10 x 84 + 58 x 11 = 1478 backward."""
    terms = {"pass": 1.0, "operation": 0.01, "layer": 0.25, "step": 0.0, "access.RAM": 7.0}
    assert explained(priced(**terms), observations=100) == [
        "P = (4 + 1) x 8 + (8 + 1) x 2 = 58 trainable parameters",
        "t_max (activations) = 4 B x 10 x (4 + 8) = 480 B (480 B), layer 1, distributed",
        "f (weights) = 4 B x 58 = 232 B (232 B), replicated",
        "b (backward) = 8 B x 58 = 464 B (464 B) replicated + 4 B x 10 x 14 - t_max = 80 B (80 B) distributed",
        "o (optimizer) = (2 + 2) x 4 B x 58 = 928 B (928 B), distributed",
        "d (data) = 100 x 4 B x (4 + 2) = 2,400 B (2.34 KiB), distributed",
        "b (backward) fills L1 (464 + 80 / 2) / 1,000 = 0.504 times",
        "o (optimizer) fills L1 (0 + 928 / 2) / 1,000 = 0.464 times",
        "f (weights) fills L1 (232 + 0 / 2) / 1,000 = 0.232 times",
        "t_max (activations) fills L1 (0 + 480 / 2) / 1,000 = 0.240 times",
        "b (backward) fills L2 (464 + 80 / 1) / 8,000 = 0.068 times",
        "o (optimizer) fills L2 (0 + 928 / 1) / 8,000 = 0.116 times",
        "f (weights) fills L2 (232 + 0 / 1) / 8,000 = 0.029 times",
        "t_max (activations) fills L2 (0 + 480 / 1) / 8,000 = 0.060 times",
        "operation: 2058 x 0.01 s = 20.58 s a step",
        "pass: 2 x 1 s = 2 s a step",
        "layer: 4 x 0.25 s = 1 s a step",
        "one step 23.58 s / batch 10 = 2.358 s a datum",
    ]


def test_inference_is_explained_by_its_forward_pass():
    lines = explained(priced("energy", operation=0.5), purpose="inference", law=None)
    assert [line.partition(" ")[0] for line in lines[:-2]] == ["P", "t_max", "f", "f", "t_max", "f", "t_max"]
    assert lines[-2:] == ["operation: 580 x 0.5 J = 290 J a step", "one step 290 J / batch 10 = 29 J a datum"]


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"dtype": "mixed"}, "t_max (activations) = 2 B x 10 x (4 + 8) = 240 B (240 B), layer 1, distributed"),
        ({"dtype": "mixed"}, "f (weights) = 2 B x 58 = 116 B (116 B), replicated"),
        (
            {"dtype": "mixed"},
            "b (backward) = 6 B x 58 = 348 B (348 B) replicated + 2 B x 10 x 14 - t_max = 40 B (40 B) distributed",
        ),
        ({"dtype": "mixed"}, "o (optimizer) = (2 + 2) x 4 B x 58 = 928 B (928 B), distributed"),
        (
            {"dtype": "mixed", "observations": 7},
            "d (data) = 7 x 4 B x (4 + 2) = 168 B (168 B), distributed",
        ),
        ({"optimizer": "sgd"}, "o (optimizer) = (2 + 0) x 4 B x 58 = 464 B (464 B), distributed"),
        ({"depth": (4,)}, "P = (4 + 1) x 8 + 2 x (8 + 1) x 8 + (8 + 1) x 2 = 202 trainable parameters"),
        ({"output_dim": 5}, "t_max (activations) = 4 B x 10 x (8 + 5) = 520 B (520 B), layer 2, distributed"),
        ({"input_dim": 100}, "P = (100 + 1) x 8 + (8 + 1) x 2 = 826 trainable parameters"),
    ],
)
def test_an_explanation_uses_the_sizes_of_what_was_asked(options, said):
    assert said in explained(priced(step=1.0), **options)


def test_prices_are_left_out_where_none_is_known():
    assert not any("a step" in line or "a datum" in line for line in explained(NO_COEFFICIENTS))


@pytest.mark.parametrize(
    ("quantity", "ends"),
    [
        (
            "time",
            [
                "launching takes 500 s, the GPU's work 20.58 s: the longer counts",
                "one step 500 s / batch 10 = 50 s a datum",
            ],
        ),
        ("energy", ["operation: 2058 x 0.01 J = 20.58 J a step", "one step 520.6 J / batch 10 = 52.06 J a datum"]),
    ],
)
def test_a_step_that_waits_for_its_launches_takes_as_long_as_those_and_the_joules_of_both(quantity, ends):
    lines = explained(priced(quantity, operation=0.01, launch=500.0))
    assert lines[-len(ends) :] == ends
    assert sum("launching takes" in line for line in lines) == (quantity == "time")


# Why a size is listed.

EVERYWHERE = {
    "f": PlacedSet(232, "L1"),
    "b": PlacedSet(544, "L2"),
    "o": PlacedSet(928, "L2"),
    "t_max": PlacedSet(480, "L1"),
    "d": PlacedSet(2400, "RAM"),
}


def reasons(anchor=None, neighbour=None, prospects=None, placed=EVERYWHERE) -> list[str]:
    return why(alone(asked(), 8), placed, anchor, neighbour, prospects).split("; ")


def test_a_size_is_listed_for_the_cache_it_fills():
    said = reasons(Anchor("o", "L1", 1.314), Neighbour((7, 2), 51, 1.2))
    assert said == [
        "optimizer (weights, gradients, moments",
        "928 B) fills L1 1.31 times",
        "weights, activations in L1",
        "optimizer in L2",
        "backward in L2 (activations already fill L1)",
        "the largest that still fits L1 is 7-2",
    ]
    two = {"f": EVERYWHERE["f"], "b": EVERYWHERE["b"], "t_max": EVERYWHERE["t_max"]}
    assert reasons(placed=two)[1:] == ["weights, activations in L1", "backward in L2 (activations already fill L1)"]
    assert "480 B) fill L2 1.00 times" in reasons(Anchor("t_max", "L2", 1.0)), "activations are many"


def test_a_size_that_fills_no_cache_says_so_and_what_it_reaches():
    near = {name: found._replace(level="L1") for name, found in EVERYWHERE.items()}
    prospects = Prospects("hard", 0.6, None)
    said = reasons(None, Neighbour((7, 2), 51, 1.2), prospects, near)
    assert said == ["reaches hard targets with 60 %", "no set fills a cache once to twice", "all live in L1"]
    assert reasons(prospects=Prospects("target", 0.999, None))[0] == "reaches the target with over 99 %"


@pytest.mark.parametrize(
    ("saved", "failing", "said"),
    [
        (0.3, 0.8, "half as wide would be 30 % cheaper a datum and fail twice as often"),
        (0.9, 0.816, "half as wide would be 90 % cheaper a datum and fail twice as often"),
        (-0.05, 0.42, "half as wide would be 5 % dearer a datum and fail as often"),
        (0.0099, 0.64, "half as wide would cost the same and fail 1.6 times as often"),
        (-0.01, 0.45, "half as wide would be 1 % dearer a datum and fail 1.1 times as often"),
        (0.01, 0.005, "half as wide would be 1 % cheaper a datum and fail as rarely"),
    ],
)
def test_half_as_wide_is_weighed_against_a_network_that_fails_in_two_of_five(saved, failing, said):
    assert reasons(prospects=Prospects("hard", 0.6, Half(saved, 1 - failing)))[-1] == said


@pytest.mark.parametrize("chance", [0.9999, 1.0])
def test_what_hardly_ever_fails_is_not_divided_by(chance):
    said = reasons(prospects=Prospects("easy", chance, Half(0.5, 0.7)))[-1]
    assert said == "half as wide would be 50 % cheaper a datum and fail over 90 times as often"


@pytest.mark.parametrize(
    ("name", "size", "level", "said"),
    [
        ("f", 1001, "L2", "L2"),  # too large for L1 anyway
        ("f", 1000, "L2", "L2 (activations already fill L1)"),
        ("b", 1000, "L2", "L2 (activations already fill L1)"),
        ("d", 900, "RAM", "RAM (backward already fills L1)"),
        ("d", 5000, "RAM", "RAM (backward already fills L2)"),
        ("o", 900, "L2", "L2"),  # nothing is placed before it
        ("t_max", 900, "L2", "L2"),
        ("f", 900, "L1", "L1"),
        ("f", 900, None, "no level"),
    ],
)
def test_what_keeps_a_set_from_a_cache_that_would_hold_it_is_named(name, size, level, said):
    capacities = {"L1": 1000.0, "L2": 8000.0, "RAM": 100_000.0}
    assert home(name, {name: PlacedSet(size, level)}, capacities) == said


def test_a_set_that_is_left_out_lives_nowhere():
    assert home("b", {"b": None}, {"L1": 1000.0}) == "no level"
    of_inference = {"f": EVERYWHERE["f"], "t_max": EVERYWHERE["t_max"], "b": None, "o": None, "d": None}
    assert reasons(placed=of_inference)[-1] == "all live in L1"


@pytest.mark.parametrize(
    ("first_level", "purpose", "said"),
    [
        # 100-4-4-1 at batch 1: t_l of 416, 32 and 20 bytes, f of 1716, b of 3432 + 20
        (2000, "training", ["layer 1's inter-layer set (416 B) alone pushes weights from L1 to L2"]),
        (3484, "training", ["layer 1's inter-layer set (416 B) alone pushes backward from L1 to L2"]),
        (3483, "training", []),
        (3868, "training", []),
        (3867, "training", ["layer 1's inter-layer set (416 B) alone pushes backward from L1 to L2"]),
        (3867, "inference", []),
        (1748, "inference", ["layer 1's inter-layer set (416 B) alone pushes weights from L1 to L2"]),
        (2132, "inference", []),
        (1747, "inference", []),
    ],
)
def test_a_wide_layer_that_alone_pushes_a_set_outwards_is_warned_of(first_level, purpose, said):
    device = replace(TINY, levels=(Level("L1", first_level, 1), Level("L2", 50_000, 1), Level("RAM", 10**9, 1)))
    request = asked(input_dim=100, depth=(3,), output_dim=1, batch_size=(1,), purpose=purpose, law=None)
    assert list(pushed_up(alone(request, 4, device), 0)) == said


@pytest.mark.parametrize(
    ("first_level", "said"),
    [
        (2143, []),
        (2144, ["layer 3's inter-layer set (416 B) alone pushes weights from L1 to L2"]),
        (2528, []),
        (4275, []),
        (4276, ["layer 3's inter-layer set (416 B) alone pushes backward from L1 to L2"]),
    ],
)
def test_the_widest_layer_is_named_by_its_place_and_the_network_by_its_position(first_level, said):
    """1-4-4-100 has 416 and 32 bytes between layers, f of 2112 and b of 4224 + 20; those of 1-1-1-100 lie in L1."""
    device = replace(TINY, levels=(Level("L1", first_level, 1), Level("L2", 50_000, 1), Level("RAM", 10**9, 1)))
    request = asked(input_dim=1, depth=(3,), output_dim=100, batch_size=(1,))
    swept = at_widths(next(families(request)), Hierarchy.of(device), np.array([1, 4]))
    assert [list(pushed_up(swept, index)) for index in (0, 1)] == [[], said]


# Why a size is not listed.


def record_with(curve=(), **options) -> Recommendation:
    """A recommendation whose curve has the given (parameters, relative cost) of 4-w-2."""
    record = recommend(asked(**options), TINY, priced(step=1.0))
    like = record.curve[0]
    points = [like._replace(num_free_parameters=size, relative_cost_to_loss=cost) for size, cost in curve]
    other = like._replace(batch_size=99, num_free_parameters=58, relative_cost_to_loss=50.0)
    return replace(record, candidates=(), curve=(other, *points))


def test_a_size_on_the_list_has_its_rank():
    record = record_with()
    listed = replace(candidate_of(record, 8), rank=3)
    others = (replace(candidate_of(record, 9), rank=1), replace(listed, rank=2, batch_size=99))
    found = list(why_not(replace(record, candidates=(*others, listed)), 8))
    assert found == ["rectangle, depth 2, batch 10, 8-2: it is on the list, rank 3"]


def test_a_size_that_fills_nothing_is_told_how_far_it_is_and_what_it_costs():
    """4-8-2 has 58 parameters, the geometric mean of 29 and 116."""
    record = record_with([(29, 1.0), (116, 4.0), (232, None)])
    (said,) = why_not(record, 8)
    assert said == (
        "rectangle, depth 2, batch 10, 8-2: no set fills a cache 1 to 2 times (backward fills L1 0.50 times, "
        "optimizer fills L1 0.46 times, weights fill L1 0.23 times, activations fill L1 0.24 times, "
        "backward fills L2 0.07 times, optimizer fills L2 0.12 times, weights fill L2 0.03 times, "
        "activations fill L2 0.06 times); reaching a loss costs 2x the optimum"
    )
    (fewer,) = why_not(replace(record, request=replace(record.request, levels=("L2",))), 8)
    assert "L1" not in fewer


def test_a_size_beyond_the_sweep_is_not_given_the_cost_of_its_end():
    record = record_with([(29, 1.0), (57, 4.0), (58, None)])
    (said,) = why_not(record, 8)
    assert said.endswith(
        "); it is larger than every size compared, the largest of which costs 4x the optimum to reach a loss"
    )
    (at_the_end,) = why_not(record_with([(29, 1.0), (58, 4.0)]), 8)
    assert at_the_end.endswith("); reaching a loss costs 4x the optimum")


def test_a_size_in_a_window_is_told_which_and_that_another_is_listed():
    """4-18-2 has 128 parameters: b is 1024 + 80 / 2 on L1, o 2048 / 2."""
    (said,) = why_not(record_with([(64, 1.5), (256, 1.5)]), 18)
    assert said == (
        "rectangle, depth 2, batch 10, 18-2: backward fills L1 1.06 times and optimizer fills L1 1.02 times, but a "
        "cheaper size of the same window is listed, or --top cut it off; reaching a loss costs 1.5x the optimum"
    )


@pytest.mark.parametrize(
    ("options", "first_width", "said"),
    [
        ({}, 900, "it has a working set that no level of the device holds"),  # o takes 101 kB, RAM has 100
        ({"max_bytes": 5000}, 40, "it is beyond the limit given"),  # weights, gradients and moments alone are 4512
        ({"max_time": 0.5}, 8, "it is beyond the limit given"),
    ],
)
def test_a_size_out_of_bounds_is_told_which(options, first_width, said):
    record = replace(record_with(), request=replace(asked(**options), levels=("L1", "L2")))
    (found,) = why_not(record, first_width)
    assert found.endswith(f"{first_width}-2: {said}")


@pytest.mark.parametrize("first_width", [0, -1, 2**30 + 1])
def test_a_width_that_no_layer_has_is_refused(first_width):
    with pytest.raises(UsageError) as refused:
        list(why_not(record_with(), first_width))
    assert str(refused.value) == f"the first width is {first_width}; expected a whole number from 1 to {2**30}"


def test_a_size_whose_parameters_are_beyond_counting_says_so():
    """Two layers of 2^30 have 2^60 weights between them."""
    record = record_with([(58, 1.0)], depth=(3, 2))
    lines = list(why_not(record, 2**30))
    assert lines[0] == "rectangle, depth 3, batch 10, 1073741824 wide: it is beyond what can be counted"
    assert lines[1].endswith("it has a working set that no level of the device holds")


def test_each_family_asked_for_has_its_own_answer():
    record = record_with([(58, 1.0)], batch_size=(10, 99))
    heads = [line.partition(":")[0] for line in why_not(record, 8)]
    assert heads == ["rectangle, depth 2, batch 10, 8-2", "rectangle, depth 2, batch 99, 8-2"]
