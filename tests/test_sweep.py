"""The sizes that are looked at: the grid of first widths, the exact edges of windows, prices and limits."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from sizer.base.errors import UnreachableError, UsageError
from sizer.devices import NO_COEFFICIENTS
from sizer.method.coefficients import Coefficients
from sizer.method.cost import forward_operations, step_costs
from sizer.method.cost_to_loss import Law
from sizer.method.placement import Hierarchy
from sizer.method.request import Request
from sizer.method.sweep import (
    ANCHOR_SETS,
    Family,
    PricedSweep,
    Sweep,
    aligned,
    apply_limits,
    at_widths,
    families,
    free_until,
    memory_bytes,
    only,
    price,
    sweep,
    windows,
)
from sizer.method.training_step import Training

#: Two instances of a small cache, so that what is shared out fills half of what is replicated.
SMALL = Hierarchy(("L1", "RAM"), (10_000, 10**9), (2, 1))
FAMILY = Family("rectangle", 3, 5, 2, Training(8), "training", 1)


def family(**options) -> Family:
    return FAMILY._replace(**options)


def at(*widths: int, hierarchy: Hierarchy = SMALL, **options) -> Sweep:
    return at_widths(family(**options), hierarchy, np.array(widths))


@pytest.fixture
def hierarchy(small_cpu) -> Hierarchy:
    return Hierarchy.of(small_cpu)


def test_every_width_to_256_and_64_an_octave_beyond(hierarchy):
    widths = sweep(FAMILY, hierarchy).first_widths
    assert (widths[0], widths.dtype) == (1, np.int64)
    assert (np.diff(widths) > 0).all()
    assert set(range(1, 257)) <= set(widths.tolist())
    beyond = {round(256 * 2 ** (step / 64)) for step in range(65)}
    assert beyond <= set(widths.tolist())
    assert len(widths[(widths > 256) & (widths <= 512)]) <= len(beyond) + 2 * 4  # (and two at each of a few edges)


@pytest.mark.parametrize("purpose", ANCHOR_SETS)
def test_the_sweep_ends_at_the_first_power_of_two_that_is_past_every_cache(purpose, hierarchy):
    """The largest t_l is not waited for; it grows with the width, and the others with its square."""
    largest = int(sweep(family(purpose=purpose), hierarchy).first_widths[-1])
    last = at(largest // 2, largest, hierarchy=hierarchy, purpose=purpose)
    fills = [last.fill(name, level) for name in ANCHOR_SETS[purpose] if name != "t_max" for level in range(3)]
    assert largest == 2 ** (largest.bit_length() - 1)
    assert any(fill[0] <= 2 for fill in fills)
    assert all(fill[1] > 2 for fill in fills)


def test_the_sweep_ends_at_the_first_power_of_two_that_fits_nowhere():
    """With Adam 5-64-64-2 needs 16 * 4,674 B, which neither 60,000 nor, beside that, 40,000 hold; 5-32-32-2 21,024."""
    found = sweep(FAMILY, Hierarchy(("L1", "RAM"), (60_000, 40_000), (1, 1)))
    assert found.first_widths.tolist() == list(range(1, 65))
    assert found.level_names("o")[31] == "L1"
    assert found.level_names("o")[63] is None
    assert found.fits()[[31, 63]].tolist() == [True, False]


def test_without_a_cache_to_pass_widths_go_on_to_what_can_be_counted():
    """2^18 is the largest power of two w of which w^2 + 9 w + 2 parameters times the batch are within 2^58."""
    memory = Hierarchy(("RAM",), (2**62,), (1,))
    found = at_widths(FAMILY, memory, np.array([1]))
    assert windows(found) == {}
    widths = sweep(family(training=Training(2**20)), memory).first_widths
    assert widths[-1] == 2**18
    assert (2**18 + 9) * 2**18 * 2**20 <= 2**58 < (2**19 + 9) * 2**19 * 2**20


@pytest.mark.parametrize(("multiple", "last"), [(1, 2**29), (16, 2**29), (24, 24 * 2**25)])
def test_widths_end_below_2_to_the_30(multiple, last):
    """Two layers have parameters in proportion to the width, so that all can be counted."""
    found = sweep(family(depth=2, width_multiple=multiple), Hierarchy(("RAM",), (2**62,), (1,)))
    assert (found.first_widths[0], found.first_widths[-1]) == (multiple, last)


@pytest.mark.parametrize(("batch_size", "parameters"), [(2**28, 2**30), (1, 2**44)])
def test_what_can_be_counted_is_counted_up_to_the_last_one(batch_size, parameters):
    """One hidden unit of n inputs and one output have n + 3 parameters: 2^44 at most, and 2^58 times the batch."""
    huge, memory = family(depth=2, output_dim=1, training=Training(batch_size)), Hierarchy(("RAM",), (2**62,), (1,))
    assert sweep(huge._replace(input_dim=parameters - 3), memory).first_widths.tolist() == [1]
    with pytest.raises(UnreachableError, match="even the narrowest rectangle of depth 2"):
        sweep(huge._replace(input_dim=parameters - 2), memory)


@pytest.mark.parametrize("multiple", [1, 8])
@pytest.mark.parametrize("purpose", ANCHOR_SETS)
def test_both_neighbours_of_every_edge_of_a_window_are_in_the_sweep(multiple, purpose, hierarchy):
    found = sweep(family(depth=5, purpose=purpose, width_multiple=multiple), hierarchy)
    assert (found.first_widths % multiple == 0).all()
    edges = 0
    for name in ANCHOR_SETS[purpose]:
        for level in range(3):
            fill = found.fill(name, level)
            for passed in (fill >= 1, fill > 2):
                first = int(np.argmax(passed))
                if passed.any() and first > 0:
                    assert found.first_widths[first] - found.first_widths[first - 1] == multiple
                    edges += 1
    assert edges > len(ANCHOR_SETS[purpose]) * 3


@pytest.mark.parametrize("width", range(290, 296))
def test_the_last_width_inside_a_window_and_the_first_beyond_are_in_the_sweep(width):
    """The weights fill caches of 4 and 2 B a parameter once, which is inside, and twice, which is too."""
    parameters = width**2 + 9 * width + 2
    once, twice = (
        sweep(FAMILY, Hierarchy(("L1", "RAM"), (size * parameters, 10**9), (1, 1))).first_widths for size in (4, 2)
    )
    assert {width - 1, width} <= set(once.tolist())
    assert {width, width + 1} <= set(twice.tolist())


def test_a_multiple_of_the_vector_width_stands_below_each_wide_width(hierarchy):
    plain, beside = (sweep(FAMILY, hierarchy, aligned_to=unit) for unit in (1, 16))
    octave = {round(256 * 2 ** (step / 64)) for step in range(1, 65)}
    assert {width // 16 * 16 for width in octave} <= set(beside.first_widths.tolist())
    added = set(beside.first_widths.tolist()) - set(plain.first_widths.tolist())
    assert added
    assert all(width % 16 == 0 and width >= 256 for width in added)
    multiples = family(width_multiple=16)
    assert sweep(multiples, hierarchy, 16).first_widths.tolist() == sweep(multiples, hierarchy).first_widths.tolist()


def test_what_cannot_be_counted_is_refused(hierarchy):
    with pytest.raises(UnreachableError) as raised:
        sweep(
            family(shape="trapezoid", depth=4, input_dim=2**30, output_dim=2**29, training=Training(2**24)), hierarchy
        )
    assert str(raised.value) == (
        "even the narrowest trapezoid of depth 4 from 1073741824 to 536870912 is beyond what can be counted; reduce "
        "input_dim, output_dim or batch_size"
    )


def test_windows_by_hand():
    """5-w-w-2: 4 B of w^2 + 9 w + 2 parameters; Adam's 16 B a parameter are shared out over two instances."""
    found = windows(at(30, 44, 45, 46, 65, 66))
    parameters = np.array([width**2 + 9 * width + 2 for width in (30, 44, 45, 46, 65, 66)])
    weights = found["f", "L1"]
    assert weights.fill == pytest.approx(4 * parameters / 10_000)
    assert weights.inside.tolist() == [False, False, False, True, True, True]
    optimizer = found["o", "L1"]
    assert optimizer.fill == pytest.approx(8 * parameters / 10_000)
    assert optimizer.inside.tolist() == [False, True, True, False, False, False]
    assert list(found) == [("b", "L1"), ("o", "L1"), ("f", "L1"), ("t_max", "L1")]
    assert list(windows(at(30, purpose="inference"))) == [("f", "L1"), ("t_max", "L1")]


def test_a_window_is_closed_on_both_sides():
    """Width 10 has 192 parameters, 768 B: caches of that and of half that size are filled once and twice."""
    for capacity in (768, 384):
        assert windows(at(10, hierarchy=Hierarchy(("L1", "RAM"), (capacity, 10**9), (1, 1))))["f", "L1"].inside[0]
    for capacity in (769, 383):
        assert not windows(at(10, hierarchy=Hierarchy(("L1", "RAM"), (capacity, 10**9), (1, 1))))["f", "L1"].inside[0]


def test_a_set_that_fills_a_cache_just_once_lives_there():
    """The largest t_l of 5-10-10-2 at batch 8 is 4 * 8 * 20 B."""
    swept = at(10, hierarchy=Hierarchy(("L1", "RAM"), (640, 10**9), (1, 1)))
    assert swept.level_names("t_max") == ["L1"]
    assert windows(swept)["t_max", "L1"].inside[0]


def test_a_set_that_fits_nowhere_fills_a_cache_all_the_same():
    swept = at(46, hierarchy=Hierarchy(("L1",), (6_000,), (1,)))
    assert swept.level_names("f") == [None]
    assert not swept.fits()[0]
    assert windows(swept)["f", "L1"].inside.tolist() == [True]


def test_a_network_fits_where_each_of_its_sets_does():
    """The data set of 10^6 rows of 7 numbers, 28 MB, lives in RAM, and nowhere where that has 20 MB."""
    swept = at(10, 2000, hierarchy=Hierarchy(("L1", "RAM"), (10_000, 20_000_000), (2, 1)))
    assert swept.set_names == ("b", "o", "f", "t_max")
    assert swept.level_names("o") == ["L1", None]
    assert swept.fits().tolist() == [True, False]
    with_data = at(10, hierarchy=swept.networks.hierarchy, training=Training(8, observations=10**6))
    assert with_data.set_names == ("b", "o", "f", "t_max", "d")
    assert with_data.fits().tolist() == [False]
    assert at(10, training=Training(8, observations=10**6), purpose="inference").set_names == ("f", "t_max", "d")
    assert swept.num_free_parameters.tolist() == [192, 2000**2 + 9 * 2000 + 2]


def test_alignment_is_that_of_every_hidden_width():
    """A trapezoid from 96 to 2 in three layers has hidden widths of 96 and 49, from 94 of 94 and 48."""
    assert aligned(at(95, 96), 16).tolist() == [False, True]
    assert aligned(at(94, 96, shape="trapezoid"), 2).tolist() == [True, False]
    assert aligned(at(95, shape="trapezoid"), 16).tolist() == [False]  # (95 and 48)
    assert aligned(at(96, shape="trapezoid", width_multiple=8), 8).tolist() == [True]  # (96 and 48)


def test_a_residual_family_has_its_additions():
    assert at(10, shape="rectangle_residual", depth=6).networks.additions.tolist() == [4]
    assert at(10, depth=6).networks.additions.tolist() == [0]


def test_one_family_a_shape_depth_and_batch_size():
    request = Request(
        30, (3, 4), 2, batch_size=(8, 16), shape=("trapezoid", "rectangle"), width_multiple=None, purpose="inference"
    )
    found = list(families(request))
    assert [one.key for one in found] == [
        (shape, depth, batch_size) for shape in ("trapezoid", "rectangle") for depth in (3, 4) for batch_size in (8, 16)
    ]
    assert found[0] == Family("trapezoid", 3, 30, 2, Training(8), "inference", 1)
    assert next(families(replace(request, width_multiple=8))).width_multiple == 8


def test_a_price_by_equation_10_is_the_step_over_the_batch_times_the_epochs(hierarchy, time_coefficients):
    law = Law.of(Request(5, (3,), 2, law="paper", batch_size=(8,)))
    swept = at(10, 20, hierarchy=hierarchy)
    priced = price(swept, time_coefficients, law)
    step = step_costs(swept.networks.full, Training(8), hierarchy, time_coefficients)
    assert priced.per_datum == pytest.approx(step / 8)
    assert priced.to_loss == pytest.approx(step / 8 * (np.log2([192, 582]) - 1) ** -3.0)
    assert priced.windows.keys() == windows(swept).keys()
    assert priced.sweep is swept


def test_a_price_by_learning_curves_knows_the_shape(hierarchy, time_coefficients):
    law = Law.of(Request(5, (3,), 2, learning_rate=1e-3))
    for shape in ("rectangle", "trapezoid"):
        swept = at(10, 20, hierarchy=hierarchy, shape=shape)
        priced = price(swept, time_coefficients, law)
        assert priced.to_loss == pytest.approx(law.reaching(swept.networks, shape, priced.per_datum).cost)
        assert priced.learning_rate.tolist() == [1e-3, 1e-3]


def test_operations_stand_in_for_coefficients_and_a_forward_pass_for_inference(hierarchy):
    """o_f + o_b of 5-10-10-2 by the formulas of the paper's counts; of inference o_f alone."""
    law = Law.of(Request(5, (3,), 2, law="paper", batch_size=(8,)))
    forward = 8 * (50 + 10 + 100 + 10 + 20 + 2)
    backward = 8 * (2 * 22 + 170 + 120) + 192 * 9
    assert price(at(10), NO_COEFFICIENTS, law).per_datum == pytest.approx([(forward + backward) / 8])
    assert price(at(10, purpose="inference"), NO_COEFFICIENTS, law).per_datum == pytest.approx([forward / 8])
    assert forward_operations(at(10).networks.full, 8).tolist() == [forward]


def test_a_network_that_fits_nowhere_reaches_no_loss_at_any_cost(time_coefficients):
    law = Law.of(Request(5, (3,), 2, law="paper", batch_size=(8,)))
    swept = at(10, 2000, hierarchy=Hierarchy(("L2", "RAM"), (10_000, 20_000_000), (2, 1)))
    assert np.isfinite(price(swept, time_coefficients, law).to_loss).tolist() == [True, False]


@pytest.mark.parametrize(
    ("operation_s", "launch_s", "width"),
    [(1e-9, 1.0, 40), (1.0, 1e-9, None), (2**-20, 18_406 * 2**-20, 20), (2**-20, 18_405 * 2**-20, 10)],
)
def test_size_is_free_while_a_step_waits_for_the_program(operation_s, launch_s, width):
    """Of widths 10, 20 and 40 a step has 5,936, 18,406 and 63,146 operations."""
    terms = {"operation": operation_s, "launch": launch_s}
    swept = at(10, 20, 40)
    assert free_until(swept, Coefficients("calibrated", "calibrated", "time", terms)) == width
    assert free_until(swept, Coefficients("calibrated", "calibrated", "energy", terms)) is None
    del terms["launch"]
    assert free_until(swept, Coefficients("calibrated", "calibrated", "time", terms)) is None


def test_memory_by_hand():
    """Training 5-10-10-2 keeps 16 B a parameter with Adam and 27 activations for each of 8 rows; inference less."""
    assert memory_bytes(at(10)).tolist() == [16 * 192 + 4 * 8 * 27]
    assert memory_bytes(at(10, purpose="inference")).tolist() == [4 * 192 + 4 * 8 * 20]
    assert memory_bytes(at(10)).dtype == np.float64


def made_up(*costs: float) -> PricedSweep:
    """Networks of widths 10, 20 and 30 with a step of 8, 16 and 24 seconds or joules."""
    swept = at(10, 20, 30)
    nothing = np.full(3, np.nan)
    return PricedSweep(swept, {}, np.array([1.0, 2.0, 3.0]), np.array(costs), nothing, nothing > 0)


@pytest.mark.parametrize(
    ("limits", "quantity", "within"),
    [
        ({}, "time", [1.0, 2.0, 3.0]),
        ({"max_time": 16.0}, "time", [1.0, 2.0, np.inf]),
        ({"max_time": 15.9}, "time", [1.0, np.inf, np.inf]),
        ({"max_energy": 16.0}, "energy", [1.0, 2.0, np.inf]),
        ({"max_bytes": 16 * 582 + 32 * 47}, "time", [1.0, 2.0, np.inf]),
        ({"max_bytes": 16 * 582 + 32 * 47 - 1}, "energy", [1.0, np.inf, np.inf]),
        ({"max_bytes": 10**6, "max_time": 8.0}, "time", [1.0, np.inf, np.inf]),
        ({"max_bytes": 4000, "max_time": 24.0}, "time", [1.0, np.inf, np.inf]),
    ],
)
def test_limits_are_for_one_step(limits, quantity, within):
    request = Request(5, (3,), 2, **limits)
    assert apply_limits(made_up(1.0, 2.0, 3.0), request, quantity).to_loss.tolist() == within


def test_what_has_no_cost_is_within_no_limit():
    assert apply_limits(made_up(np.inf, np.nan, 3.0), Request(5, (3,), 2), "time").to_loss.tolist() == [
        *[np.inf] * 2,
        3,
    ]
    assert only(made_up(1.0, 2.0, 3.0), np.array([False, True, False])).to_loss.tolist() == [np.inf, 2.0, np.inf]


@pytest.mark.parametrize(("limit", "quantity"), [("time", "energy"), ("energy", "time")])
def test_a_limit_on_what_is_not_predicted_is_refused(limit, quantity):
    with pytest.raises(UsageError) as raised:
        apply_limits(made_up(1.0, 2.0, 3.0), Request(5, (3,), 2, **{f"max_{limit}": 100.0}), quantity)
    assert str(raised.value) == (
        f"a limit on {limit} was given, but the coefficients in use predict {quantity}; limit that"
    )
