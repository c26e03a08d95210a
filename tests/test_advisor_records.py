"""Every field of a recommendation's record, and what is said with it, worked out for a machine of a few kilobytes."""

from __future__ import annotations

import itertools
import json
from dataclasses import replace

import numpy as np
import pytest
from tiny import TINY, asked, priced

from sizer.base.errors import UnreachableError, UsageError
from sizer.base.units import format_chance
from sizer.devices import NO_COEFFICIENTS
from sizer.method.advisor import recommend, vector_width
from sizer.method.coefficients import OtherSpeed
from sizer.method.cost_to_loss import Law
from sizer.method.epochs_to_loss import Pilot, relative_epochs
from sizer.method.hardware import Device, Level
from sizer.method.recommendation import CurvePoint, Recommendation
from sizer.method.sweep import at_widths, families, windows

#: So dear is a MiB from L2 that the best size keeps its weights in L1.
SPILLING = {"pass": 0.5, "operation": 1e-4, "traffic.L2": 100.0}
GPU = Device("cuda:0", "cuda", "tiny", 2, TINY.levels)


def of_curves(**options) -> Recommendation:
    return recommend(asked(law=None, **options), TINY, priced(**SPILLING))


def reachable(record: Recommendation) -> list[CurvePoint]:
    """The sizes of the curve that fit the machine."""
    return [point for point in record.curve if point.relative_cost_to_loss is not None]


# What is asked, with its defaults.


@pytest.mark.parametrize(
    ("device", "options", "filled"),
    [
        (TINY, {}, {"device": "cpu", "levels": ("L1", "L2"), "width_multiple": 1, "law": "paper"}),
        (TINY, {"law": None}, {"law": "curves"}),
        (TINY, {"law": None, "purpose": "inference"}, {"law": "paper"}),
        (TINY, {"device": "mine", "levels": ("L2",)}, {"device": "mine", "levels": ("L2",)}),
        (TINY, {"width_multiple": None}, {"width_multiple": 16}),
        (TINY, {"width_multiple": None, "dtype": "mixed"}, {"width_multiple": 32}),
        (TINY, {"width_multiple": 0}, {"width_multiple": 1}),
        (TINY, {"width_multiple": 3}, {"width_multiple": 3}),
        (GPU, {"width_multiple": 0}, {"device": "cuda:0", "levels": ("L2",), "width_multiple": 16}),
        (GPU, {"width_multiple": 2}, {"width_multiple": 2}),
    ],
)
def test_what_was_not_said_is_filled_in(device, options, filled):
    request = recommend(asked(**options), device, priced(operation=1.0)).request
    assert {name: getattr(request, name) for name in filled} == filled


@pytest.mark.parametrize(
    ("lines", "dtype", "width"),
    [((64, 128), "float32", 16), ((None, 128), "float64", 16), ((None, None), "float32", 16), ((4, 64), "float64", 1)],
)
def test_a_vector_is_the_nearest_cache_line_that_is_known(lines, dtype, width):
    levels = [Level(f"L{index}", 1000, 1, line_bytes=line) for index, line in enumerate(lines, start=1)]
    assert vector_width(replace(TINY, levels=(*levels, TINY.levels[-1])), dtype) == width


@pytest.mark.parametrize(
    ("device", "level", "said"),
    [
        (TINY, "L3", "'L3' is no cache of cpu; expected one of L1, L2"),
        (TINY, "l1", "'l1' is no cache of cpu; did you mean L1? Expected one of L1, L2"),
        (GPU, "L1", "'L1' is no cache of cuda:0 that holds anything from one kernel to the next; expected one of L2"),
        (GPU, "RAM", "'RAM' is no cache of cuda:0; expected one of L2"),
    ],
)
def test_a_level_that_is_no_cache_is_refused(device, level, said):
    with pytest.raises(UsageError) as refused:
        recommend(asked(levels=(level,)), device, priced(step=1.0))
    assert str(refused.value) == said


def test_a_request_that_nothing_fits_is_refused():
    with pytest.raises(UnreachableError) as refused:
        recommend(asked(observations=10**6), TINY, priced(step=1.0))
    assert str(refused.value) == (
        "no network of this request fits the device's memory: even the smallest has a working set (or a data set) that "
        "no level holds; reduce input_dim, batch_size or observations, or name a larger --device"
    )


@pytest.mark.parametrize(
    ("options", "terms"),
    [
        ({"law": None, "purpose": "inference"}, {"step": 1.0}),  # a forward pass has none
        ({"law": None}, {"traffic.RAM": 1.0}),  # a small network has nothing there
        ({"law": "paper"}, {"operation": 0.0}),
    ],
)
def test_coefficients_by_which_something_costs_nothing_are_refused(options, terms):
    with pytest.raises(UnreachableError) as refused:
        recommend(asked(**options), TINY, priced(**terms))
    assert str(refused.value) == (
        "by the coefficients in use the cheapest network of this request costs nothing, so that no other can be "
        "compared with it; calibrate the device (`sizer calibrate`) or name another --device"
    )


# A candidate's numbers.


@pytest.mark.parametrize(("quantity", "other"), [("time", "energy"), ("energy", "time")])
def test_a_step_of_a_known_cost_is_told_per_datum_and_epoch_in_its_own_unit(quantity, other):
    """95 observations are nine batches of 10 and one of 5, which costs as much."""
    coefficients = replace(priced(quantity, step=3.0), interval=(0.5, 2.0))
    record = recommend(asked(observations=95, learning_rate=0.004, averaged=True), TINY, coefficients)
    unit = {"time": "s", "energy": "j"}
    for one in (*record.candidates, record.optimum):
        assert getattr(one, f"{quantity}_per_datum_{unit[quantity]}") == pytest.approx(0.3)
        assert getattr(one, f"{quantity}_per_epoch_{unit[quantity]}") == pytest.approx(30.0)
        assert getattr(one, f"{other}_per_datum_{unit[other]}") is None
        assert getattr(one, f"{other}_per_epoch_{unit[other]}") is None
        assert one.interval == pytest.approx((0.15, 0.6))
        assert (one.steps_per_epoch, one.learning_rate, one.averaged) == (10, 0.004, True)
    point = record.curve[0]
    told = {"time": point.time_per_datum_s, "energy": point.energy_per_datum_j}
    assert told == {quantity: pytest.approx(0.3), other: None}


def test_what_nobody_knows_is_none():
    interval = replace(NO_COEFFICIENTS, interval=(0.5, 2.0))
    record = recommend(asked(observations=95), TINY, interval)
    for one in (record.best, record.curve[0]):
        assert one.time_per_datum_s is one.energy_per_datum_j is None
    assert record.best.interval is record.best.time_per_epoch_s is record.best.learning_rate is None
    assert record.best.averaged is None
    assert record.hardness is None
    record = recommend(asked(), TINY, priced(step=1.0))
    assert record.best.interval is record.best.time_per_epoch_s is record.best.steps_per_epoch is None


def test_a_candidate_is_described_by_what_it_is_and_where_its_sets_live():
    """4-w-2 at batch 10: P = 7 w + 2; f 4 P, b 8 P + 40 (6 + w) - t_max + ..., o 16 P, t_max 40 (w + 4)."""
    record = recommend(asked(optimizer="adamw", observations=100), TINY, priced(**SPILLING))
    assert {one.anchor.level for one in record.candidates} == {"L1", "L2"}
    assert [one.rank for one in (*record.candidates, record.optimum)] == [*range(1, len(record.candidates) + 1), None]
    for one in (*record.candidates, record.optimum):
        width = one.widths[0]
        parameters = 7 * width + 2
        described = (one.shape, one.depth, one.input_dim, one.widths, one.batch_size, one.optimizer_name, one.label)
        assert described == ("rectangle", 2, 4, (width, 2), 10, "adamw", "estimated")
        assert one.num_free_parameters == parameters
        sizes = {name: found.bytes for name, found in one.working_sets.items()}
        t_max = 40 * (4 + width)
        activations = 40 * (4 + width + 2)
        assert sizes == {
            "f": 4 * parameters,
            "b": 8 * parameters + activations - t_max,
            "o": 16 * parameters,
            "t_max": t_max,
            "d": 100 * 4 * 6,
        }
        assert one.memory_bytes == 16 * parameters + activations
        assert one.working_sets["t_max"].level == ("L1" if t_max <= 2000 else "L2" if t_max <= 8000 else "RAM")
        (point,) = [point for point in record.curve if point.widths == one.widths]
        assert point.levels == {name: found.level for name, found in one.working_sets.items()}
        assert point.relative_cost_to_loss == one.relative_cost_to_loss


def test_a_wide_layer_that_pushes_a_set_outwards_is_warned_of():
    """4-81-2 keeps 3,400 bytes between its first layers, and 3,320 behind them."""
    record = recommend(asked(), TINY, priced(**SPILLING))
    warned = {one.widths: one.warnings for one in record.candidates if one.warnings}
    assert warned == {(81, 2): ("layer 1's inter-layer set (3.32 KiB) alone pushes backward from L2 to RAM",)}


def test_a_size_that_no_level_holds_has_no_cost_to_a_loss():
    """The optimizer's set of 4-w-2, 16 (7 w + 2) bytes, is beyond what is left of 100,000 first."""
    last = recommend(asked(), TINY, priced(**SPILLING)).curve[-1]
    assert last.widths[0] > 800
    assert (last.relative_cost_to_loss, last.levels["o"]) == (None, None)
    assert last.time_per_datum_s is not None


def test_sets_that_inference_does_without_are_none():
    record = recommend(asked(law=None, purpose="inference"), TINY, priced(**SPILLING))
    assert {name for name, found in record.best.working_sets.items() if found is not None} == {"f", "t_max"}
    assert set(record.curve[0].levels) == {"f", "t_max"}


def test_every_other_cache_that_a_candidate_fills_is_named_too():
    record = recommend(asked(), TINY, priced(**SPILLING))
    for one in record.candidates:
        found = windows(at_widths(next(families(record.request)), hierarchy(), np.array([one.widths[0]])))
        filled = {key: window.fill[0] for key, window in found.items() if window.inside[0]}
        named = {(name, level): times for name, level, times in (one.anchor, *one.also_fills)}
        assert named == filled
        assert one.anchor not in one.also_fills
    assert any(one.also_fills for one in record.candidates)


def hierarchy():
    from sizer.method.placement import Hierarchy

    return Hierarchy.of(TINY, anchored=True)


@pytest.mark.parametrize("terms", [SPILLING, {"pass": 1.0}])
def test_the_network_that_still_fits_is_one_width_below_the_edge(terms):
    record = recommend(asked(), TINY, priced(**terms))
    family = next(families(record.request))
    curve = {point.widths: point for point in record.curve}
    for one in record.candidates:
        within = one.fits_inside
        edge = at_widths(family, hierarchy(), np.array([within.widths[0], within.widths[0] + 1]))
        filled = edge.fill(one.anchor.working_set, TINY_LEVELS.index(one.anchor.level))
        assert filled[0] <= 1 <= filled[1]
        assert filled[1] > 1 or within.widths[0] + 1 == one.widths[0]
        point = curve[within.widths]
        assert within[1:] == (point.num_free_parameters, point.relative_cost_to_loss)
    assert f"fits {one.anchor.level} is {within.widths[0]}-2" in one.why
    assert record.optimum.anchor is not None or record.optimum.fits_inside is None


TINY_LEVELS = [level.name for level in TINY.levels]


def test_no_network_fits_inside_where_the_first_is_past_the_edge():
    """40-3-2 has 131 parameters, whose b takes 1,048 + 80 / 2 bytes of each L1."""
    record = recommend(asked(input_dim=40, width_multiple=3, levels=("L1",)), TINY, priced(**SPILLING))
    (first,) = [one for one in record.candidates if one.widths == (3, 2)]
    assert (first.anchor, first.fits_inside) == (("b", "L1", 1.088), None)


# Around the best, and beyond it.


@pytest.mark.parametrize("law", ["paper", None])
def test_sizes_about_as_good_are_those_around_the_best_without_a_gap(law):
    record = recommend(asked(law=law), TINY, priced(**SPILLING))
    near = [p for p in reachable(record) if p.relative_cost_to_loss <= 1.1 * record.best.relative_cost_to_loss]
    sizes = [point.num_free_parameters for point in near]
    gaps = [index for index, (one, two) in enumerate(itertools.pairwise(sizes), start=1) if two > 1.5 * one]
    stretches = [sizes[start:end] for start, end in itertools.pairwise([0, *gaps, len(sizes)])]
    (around,) = [stretch for stretch in stretches if record.best.num_free_parameters in stretch]
    told = record.near_best
    assert told.within == 1.1
    assert [told.smallest.num_free_parameters, told.largest.num_free_parameters] == [around[0], around[-1]]
    ends = [next(point for point in near if point.widths == end.widths) for end in told[1:]]
    assert [end.relative_cost_to_loss for end in told[1:]] == [end.relative_cost_to_loss for end in ends]


@pytest.mark.parametrize("options", [{"law": "paper"}, {"law": None}, {"law": None, "levels": ("L1",)}])
def test_a_step_up_is_a_listed_size_within_twice_to_four_times_or_the_cheapest_a_little_above_twice(options):
    record = recommend(asked(**options), TINY, priced(**SPILLING))
    listed = sorted(one.num_free_parameters for one in record.candidates)
    before = record.best.num_free_parameters
    assert 1 <= len(record.next_sizes) <= 3
    for step in record.next_sizes:
        enough = [point for point in reachable(record) if point.num_free_parameters >= 2 * before]
        first = enough[0].num_free_parameters
        near = [size for size in listed if first <= size <= 4 * before]
        alike = [point for point in enough if point.num_free_parameters <= 1.1 * first]
        cheapest = min(alike, key=lambda point: point.relative_cost_to_loss).num_free_parameters
        assert step.num_free_parameters == (near[0] if near else cheapest)
        (point,) = [point for point in record.curve if point.widths == step.widths]
        assert step.relative_cost_to_loss == point.relative_cost_to_loss
        before = step.num_free_parameters


def test_a_step_up_has_its_own_settings_and_chance():
    record = of_curves(observations=1000)
    chances = [record.best.chance, *(step.chance for step in record.next_sizes)]
    assert chances == sorted(chances)
    assert len(set(chances)) == len(chances)
    law = Law.of(record.request)
    for step in record.next_sizes:
        assert type(step.learning_rate) is float
        assert type(step.averaged) is bool
        full = np.array([[4], *([width] for width in step.widths)])
        found = law.outlook(full, record.request.training(10), step.learning_rate, step.averaged)
        assert step.chance == pytest.approx(found.chance)
    by_equation_10 = recommend(asked(), TINY, priced(**SPILLING)).next_sizes[0]
    assert (by_equation_10.learning_rate, by_equation_10.averaged, by_equation_10.chance) == (None, None, None)


# What it reaches.


@pytest.mark.parametrize(
    ("options", "basis"),
    [
        ({}, "any target"),
        ({"difficulty": "hard"}, "hard targets"),
        ({"pilots": (Pilot(100, 0.4), Pilot(400, 0.3)), "target_loss": 0.26}, "the target, after 2 pilots"),
    ],
)
def test_how_hard_the_target_is_taken_to_be_is_told(options, basis):
    found = of_curves(**options).hardness
    assert found.basis == basis
    assert sum(found.weights) == pytest.approx(1.0)
    law = Law.of(asked(law=None, **options))
    assert (found.ratios, found.weights) == (tuple(law.ratios), tuple(law.weights))


@pytest.mark.parametrize(
    ("options", "aim"),
    [
        ({}, "medium targets"),
        ({"difficulty": "hard"}, "hard targets"),
        ({"pilots": (Pilot(100, 0.4), Pilot(400, 0.3)), "target_loss": 0.26}, "the target"),
    ],
)
def test_the_reason_tells_the_chance_and_half_as_wide_at_a_pinned_rate(options, aim):
    record = of_curves(learning_rate=1e-3, **options)
    for one in record.candidates:
        chance = one.chance if aim == "the target" else one.chance_to_reach[aim.partition(" ")[0]]
        assert one.why.startswith(f"reaches {aim} with {format_chance(chance)}; ")
        half = min(record.curve, key=lambda point: abs(point.widths[0] - one.widths[0] / 2))
        full = np.array([[4], [half.widths[0]], [2]])
        outlook = Law.of(record.request).outlook(full, record.request.training(10), 1e-3, False)
        half_chance = outlook.chance if aim == "the target" else outlook.chance_to_reach[aim.partition(" ")[0]]
        saved = 1 - half.time_per_datum_s / one.time_per_datum_s
        cost = "cost the same" if saved < 0.01 else f"be {100 * saved:.0f} % cheaper a datum"
        times = (1 - half_chance) / (1 - chance)
        often = "as often" if times < 1.1 else f"{times:.2g} times as often"
        assert one.why.endswith(f"; half as wide would {cost} and fail {often}")


def test_the_narrowest_has_no_half():
    """Of multiples of 18, 18 itself is listed (o on L1: 1,024 bytes), 36 (f: 1,016) and 72 (t_max: 1,520)."""
    record = of_curves(width_multiple=18, levels=("L1",))
    assert {one.widths[0]: "half as wide" in one.why for one in record.candidates} == {18: False, 36: True, 72: True}
    assert all(one.why.startswith("reaches medium targets with ") for one in record.candidates)


def test_settings_are_plain_and_left_out_where_no_curve_was_recorded():
    best = of_curves().best
    assert type(best.learning_rate) is float
    assert type(best.averaged) is bool
    other = of_curves(optimizer="sgd").best
    assert (other.learning_rate, other.averaged) == (None, None)
    assert other.chance is not None


# Notes.


def test_a_list_of_nothing_says_so():
    record = recommend(asked(width_multiple=128, levels=("L1",)), TINY, priced(**SPILLING))
    assert record.candidates == ()
    assert record.notes[0] == (
        "no size of this request fills a cache once to twice; the optimum of the sweep is given instead. "
        "Try another depth, batch size or --levels"
    )
    assert record.near_best.smallest.num_free_parameters <= record.optimum.num_free_parameters


@pytest.mark.parametrize("other_terms", [{"step": 2.0}, {"operation": 1.0}])
def test_another_speed_is_noted_where_it_puts_another_size_first(other_terms):
    """Where operations cost all the time, a narrow network is best."""
    coefficients = replace(priced(step=1.0), other_speeds=(OtherSpeed(1.5, 2, other_terms),))
    record = recommend(asked(), TINY, coefficients)
    (other,) = record.at_other_speeds
    there = recommend(asked(), TINY, priced(**other_terms))
    assert other[:4] == (1.5, 2, there.best.widths, there.best.num_free_parameters)
    cost = next(p.relative_cost_to_loss for p in there.curve if p.widths == record.best.widths)
    assert other.relative_cost_of_best == pytest.approx(cost / there.best.relative_cost_to_loss)
    width, narrow = record.best.widths[0], there.best.widths[0]
    noted = (
        f"at another speed of this machine, 1.50 times the usual time (2 of its sessions), {narrow}-2 would come first "
        f"instead of {width}-2, which costs {other.relative_cost_of_best:.2f}x as much there"
    )
    assert record.notes == (() if narrow == width else (noted,))


def test_limits_hold_at_another_speed_too():
    """Steps of 2 s are beyond the limit there, so nothing comes first."""
    coefficients = replace(priced(step=1.0), other_speeds=(OtherSpeed(2.0, 1, {"step": 2.0}),))
    assert len(recommend(asked(max_time=2.0), TINY, coefficients).at_other_speeds) == 1
    assert recommend(asked(max_time=1.5), TINY, coefficients).at_other_speeds == ()


def test_a_size_that_another_speed_takes_beyond_the_limit_has_no_cost_there():
    """An operation takes ten times as long there, so the usual best is beyond 1.5 s and a narrower network is not."""
    other = OtherSpeed(1.5, 2, {"step": 1.0, "operation": 1e-4})
    coefficients = replace(priced(step=1.0, operation=1e-5), other_speeds=(other,))
    record = recommend(asked(max_time=1.5), TINY, coefficients)
    (there,) = record.at_other_speeds
    assert there.relative_cost_of_best is None
    ends = f"{there.widths[0]}-2 would come first instead of {record.best.widths[0]}-2, which is beyond the limit there"
    assert record.notes[0].endswith(ends)
    assert Recommendation.from_dict(json.loads(record.to_json())) == record


def test_a_limit_keeps_what_it_allows_and_is_noted():
    record = of_curves(max_bytes=5000)
    assert of_curves().largest is None
    assert of_curves().notes == recommend(asked(max_bytes=5000), TINY, priced(**SPILLING)).notes == ()
    assert record.largest.widths == (31, 2)  # 16 (7 x 31 + 2) + 40 (4 + 31 + 2) = 4984 bytes
    assert record.notes == (
        "a size that fails is taken to be followed by the next octave, beyond the limit given too: near the limit, "
        "what a size reaches counts more than its rank",
    )


def test_a_step_that_waits_is_noted_with_the_width_until_which():
    """4-w-2 at batch 10 has 10 (12 w + 4) + ... operations; launching takes as long as those of 4-8-2, 2058."""
    record = recommend(asked(), GPU, priced(operation=1.0, launch=2058.0))
    assert record.notes == (
        "rectangle of depth 2, batch 10: a step waits for the program that launches it up to width 8, and size is free "
        "until there; CUDA graphs or torch.compile(mode='reduce-overhead') would help",
    )
    assert recommend(asked(), GPU, priced(operation=1.0, launch=1.0)).notes == ()


# The sweep.


def test_a_wide_size_has_its_whole_vectors_beside_it_where_curves_count():
    """A line of 64 bytes holds 16 numbers, which is the unit beyond 256."""
    wide = {point.widths[0] for point in of_curves().curve if point.widths[0] > 256}
    assert {width // 16 * 16 for width in wide} <= wide | {256}
    assert len(wide) > 20


def test_the_least_cost_to_a_loss_is_that_of_the_optimum_by_equation_10():
    record = recommend(asked(), TINY, priced(**SPILLING))
    costs = [p.time_per_datum_s * float(relative_epochs(p.num_free_parameters)) for p in reachable(record)]
    assert record.least_cost_to_loss == pytest.approx(min(costs))


# Several families.


def test_shapes_depths_and_batches_are_compared_with_each_other():
    record = recommend(asked(depth=(2, 3), batch_size=(10, 20), top=50), TINY, priced(**SPILLING))
    keys = {(one.depth, one.batch_size) for one in record.candidates}
    assert len(keys) == 4
    assert {(point.depth, point.batch_size) for point in record.curve} == set(itertools.product((2, 3), (10, 20)))
    assert record.optimum.relative_cost_to_loss == 1.0
    assert min(point.relative_cost_to_loss for point in reachable(record)) == 1.0
    for one in record.candidates:
        (cost,) = {
            point.relative_cost_to_loss
            for point in record.curve
            if (point.depth, point.batch_size, point.widths) == (one.depth, one.batch_size, one.widths)
        }
        assert one.relative_cost_to_loss == cost
    assert len(recommend(asked(top=3), TINY, priced(**SPILLING)).candidates) == 3
