"""Reference steps decide which timings were disturbed, on machines whose law and neighbours are known."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
import torch
from calibrating_fakes import step_s
from machine_of_two_speeds import LEVELS, TwoSpeeds

from sizer.calibration.calibration import Settings, calibrate, measurement_path
from sizer.calibration.combine import SessionSummary
from sizer.calibration.disturbance import (
    Counters,
    disturbed,
    explanation,
    of_steps,
    quiet_levels,
    quietness,
    read_counters,
    room,
    slowdown,
    unsettled,
)
from sizer.calibration.measurements import Case, Timing, read_measurements
from sizer.calibration.record import Calibration
from sizer.calibration.reference_steps import ReferenceSteps
from sizer.calibration.timed_step import time_run
from sizer.detection.captured_tree import Tree
from sizer.detection.detect import detected
from sizer.method.training_step import Training

SETTINGS = Settings(budget_s=60.0, meter="none")


def timing(case=0, step=1e-3, slow=1.0, **changes):
    around = {**{name: (level, level) for name, level in LEVELS.items()}, "threads": (slow * 1e-4, slow * 1e-4)}
    return Timing(case, 0, step, 5, None, reference_s=around, **changes)


def test_a_timing_is_disturbed_when_the_steps_around_it_are_slow_and_not_when_the_kernel_says_so():
    timings = [timing(), timing(slow=1.05), timing(slow=1.3), timing()._replace(disturbed=0.9, kernel={"stolen_s": 1})]
    levels = quiet_levels(timings)
    assert [disturbed(one, levels) for one in timings] == [False, False, True, False]
    assert slowdown(timings[2], levels) == pytest.approx(1.3, rel=0.03)


def test_one_slow_sample_of_two_disturbs_only_when_the_mean_is_slow():
    levels = LEVELS
    after = timing()._replace(reference_s={"threads": (1e-4, 1.15e-4)})
    assert not disturbed(after, levels)
    assert disturbed(after._replace(reference_s={"threads": (1e-4, 1.5e-4)}), levels)


def test_without_reference_steps_nothing_is_disturbed_and_nothing_is_said():
    old = Timing(0, 0, 1e-3, 5, 0.9)
    assert not disturbed(old, quiet_levels([old]))
    assert quietness([old]) is None
    assert unsettled({0: [old] * 3}, {}) == []


def test_a_neighbour_six_seconds_on_and_four_off_leaves_quiet_values(small_cpu, monkeypatch):
    TwoSpeeds(monkeypatch, small_cpu, lambda now: 1.6 if now % 10 < 6 else 1.0)
    record = calibrate(SETTINGS)
    found = read_measurements(measurement_path(SETTINGS)).measured()
    plan = read_measurements(measurement_path(SETTINGS)).plan
    high = [min(one.step_s for one in timings) / step_s(plan[case]) - 1 for case, timings in found.items()]
    assert np.mean(high) < 0.02
    quiet = quietness(read_measurements(measurement_path(SETTINGS)).timings)
    assert quiet.quiet
    assert 0.4 < quiet.disturbed_share < 0.7
    assert record.fits["time"].mean_error < 0.2


def test_disturbed_networks_are_taken_again_after_the_rounds(small_cpu, monkeypatch):
    """The neighbour is there for the first 50 s of 60: what is left goes to those that were never seen quiet."""
    TwoSpeeds(monkeypatch, small_cpu, lambda now: 1.6 if now < 50 else 1.0)
    calibrate(SETTINGS)
    found = read_measurements(measurement_path(SETTINGS))
    levels = quiet_levels(found.timings)
    assert all(any(not disturbed(one, levels) for one in timings) for timings in found.measured().values())


def test_a_quiet_machine_does_not_use_the_time_that_is_kept_for_disturbed_networks(small_cpu, monkeypatch):
    machine = TwoSpeeds(monkeypatch, small_cpu, lambda now: 1.0)
    calibrate(SETTINGS)
    assert machine.now_s < 0.9 * SETTINGS.budget_s
    assert {one.round for one in read_measurements(measurement_path(SETTINGS)).timings} == set(range(8))


def test_a_neighbour_throughout_is_said_with_what_it_may_do_to_values(small_cpu, monkeypatch):
    """Half a second of rest now and then shows the level; most networks are never seen quiet."""
    TwoSpeeds(monkeypatch, small_cpu, lambda now: 1.0 if now % 12 < 0.5 else 1.4)
    calibrate(SETTINGS)
    found = read_measurements(measurement_path(SETTINGS))
    quiet = quietness(found.timings)
    true_bias = np.mean(
        [min(t.step_s for t in timings) / step_s(found.plan[case]) - 1 for case, timings in found.measured().items()]
    )
    assert 0.8 < quiet.disturbed_share < 1
    assert true_bias <= quiet.high_by <= 2 * true_bias + 0.02


def test_threads_that_are_further_apart_for_a_while_disturb_networks_although_a_product_hardly_shows_it(
    small_cpu, monkeypatch
):
    """On machine C of docs/benchmarks.md networks take 1.28 times as long in such minutes, a large product 1.12."""
    TwoSpeeds(monkeypatch, small_cpu, lambda now: 1.28 if now < 10 else 1.0, far_apart=True)
    record = calibrate(SETTINGS)
    found = read_measurements(measurement_path(SETTINGS))
    high = [min(t.step_s for t in timings) / step_s(found.plan[case]) - 1 for case, timings in found.measured().items()]
    assert np.mean(high) < 0.02
    assert record.high_by < 0.05


def test_threads_that_come_closer_within_the_budget_are_waited_for(small_cpu, monkeypatch):
    """The rounds are done after 15 s of 60, and nothing was disturbed: there was no better moment yet."""
    machine = TwoSpeeds(monkeypatch, small_cpu, lambda now: 1.28 if now < 25 else 1.0, far_apart=True)
    record = calibrate(SETTINGS)
    found = read_measurements(measurement_path(SETTINGS))
    high = [min(t.step_s for t in timings) / step_s(found.plan[case]) - 1 for case, timings in found.measured().items()]
    assert np.mean(high) < 0.02
    assert record.high_by < 0.05
    assert machine.now_s < 50


def test_a_session_with_its_threads_far_apart_says_so_and_one_at_another_moment_is_another_speed(
    small_cpu, monkeypatch
):
    TwoSpeeds(monkeypatch, small_cpu, lambda now: 1.28, far_apart=True)
    first = calibrate(SETTINGS)
    assert 0.27 <= first.high_by <= 2 * 0.28
    assert "slower than they could be" in first.quiet_line
    assert first.fits["time"].interval[0] < 1 / 1.28
    TwoSpeeds(monkeypatch, small_cpu, lambda now: 1.0, far_apart=True)
    second = calibrate(SETTINGS)
    assert second.high_by == 0.0
    assert [(each.usual, round(each.factor, 1)) for each in second.speeds] == [(True, 1.0), (False, 1.3)]


def test_hand_offs_count_as_much_as_networks_feel_them_and_waits_for_a_core_do_not():
    around = {name: (level, level) for name, level in LEVELS.items()}
    twice = timing()._replace(reference_s={**around, "handoff": (2 * LEVELS["handoff"],) * 2})
    waiting = timing()._replace(reference_s={**around, "handoff": (1000 * LEVELS["handoff"],) * 2})
    assert slowdown(twice, LEVELS) == pytest.approx(1.38, abs=0.02)
    assert slowdown(waiting, LEVELS) == pytest.approx(1.8)
    assert of_steps("handoff", 0.5) == pytest.approx(1 / 1.4)
    assert of_steps("threads", 1.4) == 1.4


def test_real_reference_steps_leave_random_numbers_and_memory(small_cpu):
    before = torch.get_rng_state()
    state = np.random.get_state()[1].tolist()
    with ReferenceSteps(detected("cpu")) as steps:
        taken = steps.take()
    assert set(taken) >= {"near", "last", "ram", "threads"}
    assert ("alone" in taken) == ("handoff" in taken) == (torch.get_num_threads() > 1)
    assert all(0 < seconds < 10 for seconds in taken.values())
    assert torch.equal(before, torch.get_rng_state())
    assert np.random.get_state()[1].tolist() == state
    assert steps.take() == {}


def test_one_threads_share_is_timed_alone_and_torch_has_its_threads_again(small_cpu):
    before = torch.get_num_threads()
    torch.set_num_threads(2)
    try:
        with ReferenceSteps(detected("cpu")) as steps:
            assert {"alone", "handoff"} <= set(steps.take())
            assert torch.get_num_threads() == 2
        torch.set_num_threads(1)
        with ReferenceSteps(detected("cpu")) as steps:
            assert not {"alone", "handoff"} & set(steps.take())
    finally:
        torch.set_num_threads(before)


def test_threads_that_slow_each_other_leave_room(small_cpu):
    assert room({"threads": 1e-4, "alone": 0.9e-4}) == 1.0
    assert room({"threads": 1.9e-4, "alone": 1e-4}) == pytest.approx(1.7, abs=0.03)
    assert room({"threads": 1e-4}) == room({}) == 1.0
    near = {"threads": 1e-4, "alone": 0.97e-4, "handoff": 0.51e-4}
    assert room(near) == 1.0
    assert room(near | {"handoff": 0.86e-4}) == pytest.approx(1.27, abs=0.02)


def test_a_step_longer_than_a_series_does_not_slip_between_a_neighbours_turns():
    """Two of three series are disturbed: a short step is timed in the third, one of 20 ms never."""

    def beside(number: int, step_s: float) -> Timing:
        series = tuple(1e-4 if each % 3 == 0 else 5e-4 for each in (number, number + 1))
        return timing(case=number, step=step_s)._replace(reference_s={"threads": (1e-4, 1e-4), "series": series})

    assert quietness([beside(number, 5e-4) for number in range(0, 300, 3)]).quiet
    mixed = [beside(number, 2e-2) for number in range(300)]
    assert 1.4 * 1.5 < quietness(mixed).high_by < 1.4 * 4
    assert quiet_levels(mixed)["series"] == pytest.approx(1e-4)


def test_an_impossible_percentage_is_said_as_times(small_cpu):
    last = SessionSummary("2026-11-26", 40, 1.0, False, 0.98, 192.4, True)
    said = [
        Calibration("calibrated-cpu", small_cpu, {}, 0.1, 40, None, sessions=(each,)).quiet_line
        for each in (last, last._replace(high_by=0.301))
    ]
    assert "disturbed for 98% of the time; values may be up to 193 times too high; run again" in said[0]
    assert "values may be up to 31 % high" in said[1]


def test_what_nvml_tells_of_a_gpu_explains_a_disturbance():
    quiet = [timing() for _ in range(5)]
    shared = [*quiet, timing(slow=2.0, kernel={"other_processes": 2.0, "sm_clock_mhz": 900.0})]
    assert explanation(shared) == "meanwhile 2 other processes used the GPU"
    hot = {"other_processes": 0.0, "sm_clock_mhz": 990.0, "sm_clock_most_mhz": 1980.0}
    assert "its clock was at 50% of the highest" in explanation([*quiet, timing(slow=2.0, kernel=hot)])
    assert explanation([*quiet, timing(kernel=hot)]) is None


def captured(folder, stolen=100, total=2_000_000, switches=7):
    for path, text in (
        ("stat", f"cpu  1000 0 500 90000 10 0 5 {stolen} 0 0\ncpu0 1 2 3\n"),
        ("pressure/cpu", f"some avg10=0.00 avg60=0.00 avg300=0.00 total={total}\nfull avg10=0.00 total=0\n"),
        ("self/status", f"Name:\tpython\nvoluntary_ctxt_switches:\t3\nnonvoluntary_ctxt_switches:\t{switches}\n"),
    ):
        file = folder / "proc" / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text)
    return Tree(folder)


def test_kernel_counters_of_a_captured_machine(tmp_path):
    before = read_counters(captured(tmp_path / "a"), 100)
    after = read_counters(captured(tmp_path / "b", stolen=150, total=2_500_000, switches=9), 100)
    assert before.stolen_s == 1.0
    since = after.since(before)
    assert (since["stolen_s"], since["waited_s"], since["switches"]) == (0.5, 0.5, 2)
    assert since["used_s"] == pytest.approx(0.5, abs=0.1)  # (less what this process used meanwhile)


def test_counters_that_a_kernel_does_not_have_are_no_zero(tmp_path):
    nothing = read_counters(Tree(tmp_path), 100)
    assert nothing == Counters()
    (tmp_path / "proc").mkdir()
    (tmp_path / "proc" / "stat").write_text("cpu  1 2 x\n")
    assert read_counters(Tree(tmp_path), 100) == Counters()
    assert nothing.since(Counters(1.0, 1.0, 1.0, 1)) == {}


def test_a_real_timing_without_counters_has_no_warning(monkeypatch, tmp_path):
    from sizer.calibration import timed_step

    monkeypatch.setattr(timed_step, "_TREE", Tree(tmp_path))
    run = time_run(Case("rectangle", 4, (4, 1), 32), Training(), 0.01)
    assert (run.disturbed, run.kernel) == (None, None)


def test_reference_times_are_kept_and_read_back(small_cpu, monkeypatch):
    TwoSpeeds(monkeypatch, small_cpu, lambda now: 1.0)
    calibrate(SETTINGS)
    timings = read_measurements(measurement_path(SETTINGS)).timings
    assert all(set(one.reference_s) == set(LEVELS) for one in timings)
    for one, following in itertools.pairwise(timings):
        assert one.reference_s["ram"][1] == following.reference_s["ram"][0]
