"""What runs prove: ratios to unchanged runs around them, intervals that cover, tests that hold together."""

from __future__ import annotations

import math

import numpy as np
import pytest

from sizer.tuning.comparing import (
    FAMILY_ERROR,
    WORTH,
    CostOf,
    Scatter,
    apart,
    comparable,
    compared,
    holm,
    log_ratios,
    scatter,
)
from sizer.tuning.losses import ALIKE, DIFFERENT, ROUNDED, SAME, UNKNOWN, UNLIKE, verdict


def runs_of(rng, ratios, rounds, noise=0.02, drift=0.0):
    """Rounds of an unchanged run and one of each lever, on a machine that grows slower by ``drift`` a run."""
    found, at = [], 0
    for _ in range(rounds):
        for name, ratio in (("", 1.0), *ratios.items()):
            found.append(CostOf(float(at), name, ratio * math.exp(drift * at + noise * rng.normal())))
            at += 1
    found.append(CostOf(float(at), "", math.exp(drift * at + noise * rng.normal())))
    return found


def judged(runs):
    logs = log_ratios(runs)
    unchanged = scatter(logs[""])
    return {name: compared(values, unchanged) for name, values in logs.items() if name}


def test_a_machine_that_grows_slower_slows_both():
    rng = np.random.default_rng(0)
    found = judged(runs_of(rng, {"half": 0.5, "same": 1.0}, 4, noise=0.0, drift=0.05))
    assert found["half"].ratio == pytest.approx(0.5)
    assert found["same"].ratio == pytest.approx(1.0)


def test_a_lever_is_held_against_the_runs_around_it():
    runs = [CostOf(0, "", 1.0), CostOf(1, "a", 1.0), CostOf(2, "", 4.0)]
    assert log_ratios(runs)["a"] == [pytest.approx(-math.log(2))]
    assert log_ratios([CostOf(0, "a", 1.0)]) == {}


def test_a_run_that_no_unchanged_one_follows_proves_nothing():
    runs = [CostOf(0, "", 1.0), CostOf(1, "a", 0.5), CostOf(2, "", 1.0), CostOf(3, "a", 3.0)]
    assert log_ratios(runs)["a"] == [pytest.approx(math.log(0.5))]
    assert log_ratios(runs, between=False)["a"] == [pytest.approx(math.log(0.5)), pytest.approx(math.log(3.0))]
    assert "a" not in log_ratios(runs[:2])


def test_a_run_is_held_against_unchanged_ones_at_its_own_speed():
    """At the slow speed a lever gains less: both count, and neither is held against the other's unchanged runs."""
    slow = [CostOf(0, "", 2.0, 1), CostOf(1, "a", 1.0, 1), CostOf(2, "", 2.0, 1)]
    mixed = [CostOf(3, "a", 0.2), CostOf(4, "", 1.0)]
    usual = [CostOf(5, "a", 0.4), CostOf(6, "", 1.0), CostOf(7, "", 1.0)]
    found = log_ratios([*slow, *mixed, *usual])
    assert found["a"] == pytest.approx([math.log(0.5), math.log(0.4)])
    assert found[""] == [0.0]  # (between unchanged ones at its speed)
    assert comparable([*slow, *mixed], between=False) == [slow[1]]


def test_what_is_not_worth_it_is_seldom_recommended_however_many_are_tried():
    rng = np.random.default_rng(1)
    wrong = 0
    for _ in range(400):
        found = judged(runs_of(rng, dict.fromkeys("abc", WORTH), 4))
        wrong += min(holm({name: one.p for name, one in found.items()}).values()) <= FAMILY_ERROR
    assert wrong / 400 <= FAMILY_ERROR + 0.03


def test_a_clear_gain_is_proven_in_three_rounds():
    rng = np.random.default_rng(2)
    proven = [judged(runs_of(rng, {"a": 0.8, "b": 0.99}, 3)) for _ in range(50)]
    assert sum(holm({n: one.p for n, one in found.items()})["a"] <= FAMILY_ERROR for found in proven) >= 48


def test_intervals_hold_nine_of_ten_fresh_pairs():
    rng = np.random.default_rng(3)
    inside = 0
    for _ in range(400):
        found = judged(runs_of(rng, {"a": 0.8, "b": 1.1}, 4))["a"]
        fresh = 0.8 * math.exp(0.02 * (rng.normal() - rng.normal()))
        inside += found.low <= fresh <= found.high
    assert 0.85 <= inside / 400 <= 0.96


def test_one_run_alone_proves_nothing():
    alone = compared([math.log(0.5)], Scatter(0.0, 0.0))
    assert (alone.p, alone.low, alone.high) == (1.0, 0.0, math.inf)
    assert apart(Scatter(0.0, 0.0)) is None


def test_holms_procedure_on_his_own_terms():
    assert holm({"a": 0.01, "b": 0.04, "c": 0.03}) == {
        "a": pytest.approx(0.03),
        "c": pytest.approx(0.06),
        "b": pytest.approx(0.06),
    }


LOSSES = [1.0, 0.9, 0.8, 0.7, 0.6, 0.5]


@pytest.mark.parametrize(
    ("unchanged", "changed", "said"),
    [
        ([LOSSES, LOSSES], LOSSES, SAME),
        ([LOSSES, LOSSES], LOSSES[:4], SAME),
        ([LOSSES], [loss * (1 + 1e-6) for loss in LOSSES], ROUNDED),
        ([LOSSES], [*LOSSES[:5], 0.55], ROUNDED),  # (rounding has grown by then)
        ([LOSSES], [loss * 1.01 for loss in LOSSES], DIFFERENT),
        ([[math.nan] * 3], [math.nan] * 3, SAME),
        ([LOSSES, [loss * 1.1 for loss in LOSSES]], [loss * 1.05 for loss in LOSSES], ALIKE),
        ([LOSSES, [loss * 1.01 for loss in LOSSES]], [loss * 2 for loss in LOSSES], UNLIKE),
        ([[], []], LOSSES, UNKNOWN),
        ([LOSSES], [], UNKNOWN),
    ],
)
def test_losses_are_told_apart(unchanged, changed, said):
    assert verdict(unchanged, changed) == said
