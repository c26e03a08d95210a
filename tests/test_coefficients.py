"""Coefficients: their units, what a datasheet makes of them, and what a calibration does not speak for."""

from __future__ import annotations

from dataclasses import replace

import pytest

from sizer.method import coefficients as module
from sizer.method.coefficients import Coefficients, from_datasheet, outside_interval, same_work, term_unit, why_outside
from sizer.models import Topology

CALIBRATED = Coefficients("calibrated", "calibrated", "time", {"operation": 1e-11}, (0.9, 1.2))
#: 784 inputs, two layers, 784 * 10 + 10 + 10 * 32 + 32 = 8,202 parameters: within the range on its edges.
INSIDE = Topology("rectangle", 784, (10, 32))


@pytest.mark.parametrize(
    ("name", "quantity", "unit"),
    [
        ("experiment", "energy", "J/experiment"),
        ("operation", "time", "s/operation"),
        ("unfused", "time", "s/MiB"),
        ("traffic.L2", "energy", "J/MiB"),
        ("access.RAM", "time", "s/access"),
    ],
)
def test_a_coefficient_is_in_joules_or_seconds_per_what_its_term_counts(name, quantity, unit):
    assert term_unit(name, quantity) == unit


@pytest.mark.parametrize("name", ["moves", "operation.L1", "access"])
def test_what_is_no_term_has_no_unit(name):
    with pytest.raises(KeyError):
        term_unit(name, "time")


@pytest.mark.parametrize(
    ("kind", "overheads"),
    [("cpu", {"step": 50e-6, "layer": 17e-6}), ("cuda", {"step": 300e-6, "layer": 40e-6})],
)
def test_a_datasheet_by_hand(kind, overheads):
    """Half of the peaks is taken as reached: 2 FLOPs an operation at 1e12, a MiB at 2^30 B/s in 2/1024 s."""
    found = from_datasheet(kind, 1e12, {"L2": 2.0**30, "RAM": 2.0**27}, "a-machine", "float32")
    assert found.terms == {
        **overheads,
        "operation": pytest.approx(4e-12),
        "traffic.L2": 2 / 1024,
        "optimizer.L2": 2 / 1024,
        "traffic.RAM": 16 / 1024,
        "optimizer.RAM": 16 / 1024,
    }
    assert (found.source, found.label, found.quantity, found.profile) == ("shipped", "estimated", "time", "a-machine")
    assert found.interval == (1 / 3, 3.0)
    assert found.basis == "from the datasheet peaks in profile a-machine (float32) and typical PyTorch overheads"
    assert module.OVERHEADS_S["cpu"].keys() == {"step", "layer"}


@pytest.mark.parametrize("batch_size", [32, 1024])
def test_a_calibration_speaks_for_the_edges_of_its_range(batch_size):
    assert why_outside(INSIDE, "adam", batch_size, CALIBRATED) is None


@pytest.mark.parametrize(
    ("network", "batch_size", "said"),
    [
        (Topology("rectangle", 2, (4,) * 20 + (1,)), 64, "depth 21 (timed: 2 to 20)"),
        (Topology("rectangle", 2, (5, 5)), 64, "parameters 45 (timed: 64 to 2,965,821)"),
        (INSIDE, 31, "batch 31 (timed: 32 to 1,024)"),
        (INSIDE, 1025, "batch 1,025 (timed: 32 to 1,024)"),
        (Topology("rectangle", 785, (10, 1)), 64, "input 785 (timed: 2 to 784)"),
        (Topology("rectangle", 784, (10, 33)), 64, "output 33 (timed: 1 to 32)"),
    ],
)
def test_what_was_not_timed_is_said(network, batch_size, said):
    assert why_outside(network, "adam", batch_size, CALIBRATED) == f"outside what was calibrated: {said}"
    shipped = replace(CALIBRATED, source="shipped")
    assert why_outside(network, "adam", batch_size, shipped) is None


def test_all_that_was_not_timed_is_said_in_one_line():
    found = why_outside(
        Topology("rectangle", 1, (8, 1)), "sgd", 8, replace(CALIBRATED, conditions={"optimizer": "adam"})
    )
    assert found == (
        "outside what was calibrated: optimizer sgd (timed: adam), parameters 25 (timed: 64 to 2,965,821), "
        "batch 8 (timed: 32 to 1,024), input 1 (timed: 2 to 784)"
    )


def test_adamw_does_the_work_of_adam():
    timed = replace(CALIBRATED, conditions={"optimizer": "adam"})
    assert why_outside(INSIDE, "adamw", 64, timed) is None
    assert same_work("adamw", "adam")
    assert same_work("adam", "adamw")
    assert same_work("sgd", "sgd")
    assert not same_work("sgd", "sgd-momentum")
    assert not same_work("adamw", "sgd")


@pytest.mark.parametrize(
    ("noted", "said"),
    [
        ({"sizes": [13, 14]}, None),
        ({"sizes": [6.0, 12.5]}, "parameters 8,202 (timed: 64 to 5,793)"),
        ({"sizes": [14, 99]}, "parameters 8,202 (timed: 16,384 to 4,611,686,018,427,387,904)"),
        ({"sizes": [80, 99]}, f"parameters 8,202 (timed: {2**62:,} to {2**62:,})"),
        ({"batch_sizes": [128, 4096]}, "batch 64 (timed: 128 to 4,096)"),
        ({"batch_sizes": [128, 4096, 8192]}, None),  # no range: the usual one counts
        ({"batch_sizes": ["128", "4096"]}, None),
        ({"batch_sizes": [True, 4096]}, None),
        ({"batch_sizes": (128, 4096)}, None),
        ({"batch_sizes": None}, None),
    ],
)
def test_a_range_that_a_calibration_noted_counts_in_place_of_the_usual(noted, said):
    found = why_outside(INSIDE, "adam", 64, replace(CALIBRATED, conditions=noted))
    assert found == (said and f"outside what was calibrated: {said}")


@pytest.mark.parametrize(
    ("known", "outside"),
    [(None, (0.25, 4.0)), ((0.9, 1.2), (0.25, 4.0)), ((0.1, 9.0), (0.1, 9.0)), ((0.1, 1.2), (0.1, 4.0))],
)
def test_outside_the_range_the_interval_is_a_factor_of_four_at_least(known, outside):
    assert outside_interval(replace(CALIBRATED, interval=known)) == outside
