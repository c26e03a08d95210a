"""From counter readings to joules: hand-computed windows, wrap-around, and everything a sound counter cannot do."""

from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st
from meter_fakes import at

from sizer.base.errors import MeterError, UsageError
from sizer.meters.counters import Counter, CounterSet
from sizer.meters.protocol import ESTIMATED, MEASURED, Energy, add_up

RANGE = 262_143_328_850
PACKAGE = Counter("package-0", 1_000_000, RANGE, 1000.0)
DRAM = Counter("dram", 1_000_000, 65_712_999_613, 1000.0)
ONE = CounterSet((PACKAGE,), MEASURED, 0.001, 0.1)
TWO = CounterSet((PACKAGE, DRAM), MEASURED, 0.001, 0.1)


def test_energy_is_the_sum_of_the_counters_to_the_last_digit():
    energy = TWO.energy(at(10.0, 1_000_000, 500), at(12.0, 151_250_000, 20_000_500))
    assert energy.joules == 170.25
    assert energy.detail == {"package-0": 150.25, "dram": 20.0}
    assert energy.seconds == 2.0
    assert energy.power_w == 85.125
    assert energy.label == "measured"
    assert energy.warnings == ()


def test_a_counter_that_wraps_once_loses_nothing():
    energy = ONE.energy(at(0.0, RANGE - 30_000_000), at(1.0, 20_000_000))
    assert energy.joules == 50.0


def test_the_longest_window_is_the_one_in_which_the_greatest_power_wraps_the_smallest_range():
    assert ONE.maximum_window_s == 262.14332885
    assert TWO.maximum_window_s == pytest.approx(65.712999613, rel=1e-14)
    assert CounterSet((Counter("gpu", 1000),), MEASURED, 0.1, 1.0).maximum_window_s is None


@pytest.mark.parametrize(
    ("start", "end", "reason"),
    [
        (at(0.0, 100), at(5.0, 100), "package-0 stood still for 5 s"),
        (
            at(0.0, 50_000_000_000),
            at(5.0, 1_000_000),
            r"back by 5e\+04 J, which is no wrap-around: it was reset .suspend, driver reload.$",
        ),
        (at(0.0, 0), at(5.0, 6_000_000_000), "package-0 rose by 6000 J in 5 s, more than 1000 W"),
        (at(0.0, 0), at(0.099, 9_000_000), "lasts 0.099 s.* at least 0.1 s"),
        (at(5.0, 0), at(4.0, 9_000_000), "lasts -1 s"),
        (
            at(0.0, 0),
            at(263.0, 9_000_000),
            "lasts 263 s.* after 262.1 s; take snapshots in between and add .* up$",
        ),
        (at(0.0, None, problem="it is gone"), at(5.0, 1), "it is gone"),
        (at(0.0, 1), at(5.0, None), "rejected: the meter could not be read$"),
        (at(0.0, 1), at(5.0, None, interruptions=1, problem="it is gone"), "it is gone"),
        (at(0.0, 1), at(5.0, 9_000_000, interruptions=1, problem="it was away"), "it was away"),
    ],
)
def test_a_window_that_cannot_be_trusted_is_rejected_with_its_reason(start, end, reason):
    energy = ONE.energy(start, end)
    assert energy.joules is None
    assert energy.power_w is None
    assert energy.detail == {"package-0": None}
    with pytest.raises(MeterError, match=f"^window .*{reason}"):
        energy.required()


def test_one_bad_counter_rejects_the_window_and_leaves_the_others_readable():
    energy = TWO.energy(at(0.0, 1_000_000, 7), at(1.0, 3_000_000, 7))
    assert energy.joules is None
    assert energy.detail == {"package-0": 2.0, "dram": None}
    assert len(energy.warnings) == 1


def test_a_part_that_may_rest_uses_nothing_and_a_counter_without_a_range_never_wraps():
    resting = CounterSet((Counter("chip ane", 1, may_rest=True),), MEASURED, 0.1, 1.0)
    assert resting.energy(at(0.0, 5.0), at(2.0, 5.0)).joules == 0.0
    assert resting.energy(at(0.0, 5.0), at(2.0, 4.0)).joules is None


def test_at_the_edges_of_what_is_allowed_a_window_counts():
    assert ONE.energy(at(0.0, 0), at(0.1, 1)).joules == 1e-6
    assert ONE.energy(at(0.0, 0), at(1.0, 1_000_900_000)).joules == 1000.9
    assert ONE.energy(at(0.0, 0), at(1.0, 1_001_100_000)).joules is None


@pytest.mark.parametrize(
    ("before", "after", "joules", "reason"),
    [
        (2, 6, 4.0, None),
        (2, 7, None, "rose by 5 J"),
        (6, 2, 4.0, None),
        (6, 3, None, "jumped back by 3 J"),
        (8, 0, None, "stood still"),
        (9, 0, None, "jumped back by 9 J"),
    ],
)
def test_a_wrap_around_is_told_from_a_jump_by_the_greatest_power_itself(before, after, joules, reason):
    """4 W at most, for half a second and an update period as long: 4 J; the counter wraps after 8."""
    small = CounterSet((Counter("small", 1, 8, max_power_w=4.0),), MEASURED, 0.5, 0.5)
    energy = small.energy(at(0.0, before), at(0.5, after))
    assert energy.joules == joules
    assert reason is None or reason in energy.warnings[0]


def test_snapshots_of_another_meter_are_no_zeros():
    with pytest.raises(ValueError, match="shorter"):
        TWO.energy(at(0.0, 1_000_000), at(1.0, 3_000_000))


@given(
    start=st.integers(0, RANGE - 1),
    powers=st.lists(st.integers(1_000_000, 999_000_000), min_size=2, max_size=12),
)
def test_splitting_a_window_adds_up_however_the_counter_wraps(start, powers):
    counts = [start]
    for power in powers:
        counts.append((counts[-1] + power) % RANGE)
    snapshots = [at(float(second), count) for second, count in enumerate(counts)]
    parts = [ONE.energy(before, after) for before, after in pairwise(snapshots)]
    whole = ONE.energy(snapshots[0], snapshots[-1])
    assert [part.joules for part in parts] == [power / 1e6 for power in powers]
    assert add_up(parts).joules == pytest.approx(whole.joules, rel=1e-12)
    assert add_up(parts).joules == pytest.approx(sum(powers) / 1e6, rel=1e-12)


@given(before=st.integers(0, RANGE), after=st.integers(0, RANGE), seconds=st.floats(0.1, 262.0))
def test_no_reading_gives_negative_energy_or_more_than_the_stated_power(before, after, seconds):
    joules = ONE.energy(at(0.0, before), at(seconds, after)).joules
    assert joules is None or 0 < joules <= 1000.0 * (seconds + 0.001) * (1 + 1e-12)


def test_adding_up_keeps_what_is_not_known_not_known():
    known = Energy(2.0, 1.0, MEASURED, {"a": 2.0})
    unknown = Energy(None, 1.0, MEASURED, {"a": None}, ("why",))
    total = add_up([known, unknown, unknown])
    assert total.joules is None
    assert total.detail == {"a": None}
    assert total.seconds == 3.0
    assert total.warnings == ("why",)
    both = add_up([known, known])
    assert (both.joules, both.detail) == (4.0, {"a": 4.0})
    assert add_up([known, Energy(1.0, 1.0, ESTIMATED)]).label == "estimated"
    with pytest.raises(UsageError, match=r"^no windows to add up; expected at least one$"):
        add_up([])
