"""Which networks of a sweep are listed: made-up costs and windows over a few real networks."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from sizer.base.errors import UnreachableError
from sizer.method.picks import anchors_at, largest, optimum, ranked
from sizer.method.placement import Hierarchy
from sizer.method.recommendation import Anchor
from sizer.method.request import Request
from sizer.method.sweep import ANCHOR_SETS, Family, PricedSweep, Window, at_widths, only
from sizer.method.training_step import Training

LEVELS = Hierarchy(("L1", "L2", "RAM"), (1000, 10_000, 10**9), (1, 1, 1))
REQUEST = Request(5, (3,), levels=("L1", "L2"))
INF = np.inf


def priced(
    widths: list[int], costs: list[float], filling: dict[tuple[str, str], list[int]], shape="rectangle", **family
) -> PricedSweep:
    """Networks 5-w-w-2 with made-up costs; ``filling`` has the widths that are in a window."""
    settings = {"depth": 3, "input_dim": 5, "output_dim": 2, "training": Training(32), "purpose": "training"} | family
    swept = at_widths(Family(shape, **settings, width_multiple=1), LEVELS, np.array(widths))
    fill = np.linspace(1.0, 2.0, len(widths))
    windows = {
        (name, level): Window(fill, np.isin(widths, filling.get((name, level), [])))
        for level in ("L1", "L2")
        for name in ANCHOR_SETS["training"]
    }
    nothing = np.full(len(widths), np.nan)
    return PricedSweep(swept, windows, nothing, np.array(costs), nothing, nothing > 0)


def listed(sweeps: list[PricedSweep], request: Request = REQUEST, unit: int = 1) -> list[tuple]:
    """First width, cost and anchor of each network listed."""
    return [(pick.widths[0], pick.cost, pick.anchor) for pick in ranked(sweeps, request, unit)]


def test_of_each_window_the_cheapest_is_listed_and_the_cheapest_first():
    sweep = priced([4, 5, 6, 7], [4.0, 3.0, 2.0, 1.0], {("b", "L1"): [4, 5], ("o", "L2"): [4, 5, 6]})
    assert listed([sweep]) == [
        (6, 2.0, Anchor("o", "L2", pytest.approx(5 / 3))),
        (5, 3.0, Anchor("b", "L1", pytest.approx(4 / 3))),
    ]


def test_a_network_is_listed_once_with_the_first_anchor_that_it_fills():
    """Backward comes before the optimizer, and the weights after both; of one set the nearer cache comes first."""
    everywhere = {(name, level): [4, 5] for name in ("f", "o", "b") for level in ("L2", "L1")}
    assert listed([priced([4, 5], [1.0, 2.0], everywhere)]) == [(4, 1.0, Anchor("b", "L1", 1.0))]
    later = {key: widths for key, widths in everywhere.items() if key[0] != "b"}
    assert listed([priced([4, 5], [1.0, 2.0], later)]) == [(4, 1.0, Anchor("o", "L1", 1.0))]


def test_only_the_caches_and_the_sets_that_are_asked_about_are_anchors():
    sweep = priced([4, 5], [1.0, 2.0], {("b", "L1"): [4], ("f", "L2"): [5]})
    assert [width for width, *_ in listed([sweep], replace(REQUEST, levels=("L2",)))] == [5]
    assert [width for width, *_ in listed([sweep], replace(REQUEST, purpose="inference"))] == [5]
    assert listed([sweep], replace(REQUEST, levels=None)) == []


def test_a_window_of_which_nothing_is_within_the_limits_lists_nothing():
    sweep = priced([4, 5], [INF, 2.0], {("b", "L1"): [4], ("o", "L1"): [5]})
    assert [width for width, *_ in listed([sweep])] == [5]


@pytest.mark.parametrize(
    ("costs", "unit", "width"),
    [
        ([1.0, 1.05, 1.04, 1.03], 16, 16),  # at most 5 % dearer: the multiple of 16 is preferred to that of 8
        ([1.0, 1.06, 1.04, 1.03], 16, 24),  # else that of half the unit,
        ([1.0, 1.06, 1.06, 1.03], 16, 28),  # or of a quarter of it,
        ([1.0, 1.06, 1.06, 1.06], 16, 15),  # else the cheapest
        ([1.0, 1.06, 1.06, 1.03], 8, 28),
        ([1.0, 1.06, 1.06, 1.03], 32, 15),  # (an eighth of the unit is no alignment)
        ([1.0, 1.06, 1.04, 1.03], 4, 28),  # of multiples of 4, which all three are, the cheapest
        ([1.0, 1.0, 1.0, 1.0], 2, 15),  # multiples below 4 are not looked at
        ([1.0, 1.0, 1.0, 1.0], 1, 15),
    ],
)
def test_at_about_the_same_cost_the_best_aligned_width_is_listed(costs, unit, width):
    sweep = priced([15, 16, 24, 28], costs, {("b", "L1"): [15, 16, 24, 28]})
    assert [found for found, *_ in listed([sweep], unit=unit)] == [width]


def test_of_the_aligned_widths_the_cheapest_is_listed():
    sweep = priced([15, 16, 32], [1.0, 1.04, 1.02], {("b", "L1"): [15, 16, 32]})
    assert [found for found, *_ in listed([sweep], unit=16)] == [32]


def test_a_network_that_two_shapes_share_is_listed_under_the_first():
    filling = {("b", "L1"): [4]}
    two_layers = [
        priced([4], [cost], filling, shape=shape, depth=2) for shape, cost in (("trapezoid", 2.0), ("exponential", 1.0))
    ]
    found = ranked(two_layers, REQUEST, 1)
    assert [(pick.priced.sweep.family.shape, pick.widths) for pick in found] == [("trapezoid", (4, 2))]


def test_networks_that_differ_in_batch_size_or_in_residual_additions_are_not_the_same():
    filling = {("b", "L1"): [4]}
    plain = priced([4], [1.0], filling)
    assert len(ranked([plain, priced([4], [1.0], filling, shape="rectangle_residual")], REQUEST, 1)) == 2
    assert len(ranked([plain, priced([4], [1.0], filling, training=Training(64))], REQUEST, 1)) == 2
    assert len(ranked([plain, priced([4], [1.0], filling, training=Training(32))], REQUEST, 1)) == 1


def test_the_optimum_is_the_cheapest_of_all_sweeps_whether_or_not_it_fills_a_cache():
    dear, cheap = priced([4, 5], [3.0, 2.0], {}), priced([6, 7, 8], [1.5, 1.0, 2.5], {("o", "L2"): [6]})
    found = optimum([dear, cheap])
    assert (found.widths, found.cost, found.anchor) == ((7, 7, 2), 1.0, None)
    found = optimum([dear, only(cheap, np.array([True, False, True]))])
    assert (found.widths, found.cost, found.anchor) == ((6, 6, 2), 1.5, Anchor("o", "L2", 1.0))


def test_the_largest_is_that_with_the_most_parameters_within_the_limits():
    one, other = priced([4, 5, 9], [1.0, 1.0, INF], {}), priced([6, 7], [1.0, 8.0], {("f", "L1"): [7]})
    found = largest([one, other])
    assert (found.widths, found.anchor) == ((7, 7, 2), Anchor("f", "L1", 2.0))
    assert largest([one, only(other, np.zeros(2, dtype=bool))]).widths == (5, 5, 2)


@pytest.mark.parametrize("pick", [optimum, largest])
def test_without_a_network_within_the_limits_the_way_out_is_said(pick):
    with pytest.raises(UnreachableError) as raised:
        pick([priced([4, 5], [INF, INF], {})])
    assert str(raised.value) == (
        "no network is within the limits given; even the smallest exceeds them: raise the limit"
    )


def test_every_cache_that_a_network_fills_is_named_the_nearest_first():
    sweep = priced([4, 5, 6], [1.0] * 3, {("t_max", "L2"): [5], ("f", "L1"): [5, 6], ("b", "L1"): [4]})
    assert list(anchors_at(sweep, 1)) == [Anchor("f", "L1", 1.5), Anchor("t_max", "L2", 1.5)]
    assert list(anchors_at(sweep, 0)) == [Anchor("b", "L1", 1.0)]
