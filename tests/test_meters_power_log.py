"""Energy from power samples: hand-computed holds, the study's rejections, gaps, disorder, time zones."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from sizer.base.errors import MeterError
from sizer.meters.power_log import energy_between, held_energy, power_log


def minutes(*watts: float, start: float = 0.0):
    """A log with a sample a minute."""
    return power_log([(start + 60.0 * index, value) for index, value in enumerate(watts)], 60.0)


def test_samples_are_held_until_the_next_and_cut_at_both_ends():
    log = minutes(100.0, 200.0, 400.0, 50.0)
    energy = energy_between(log, 30.0, 150.0)
    assert energy.joules == 100.0 * 30 + 200.0 * 60 + 400.0 * 30
    assert energy.seconds == 120.0
    assert energy.detail == {"wall": 27000.0}
    assert energy.label == "measured"
    assert energy.warnings == ()


def test_steps_of_any_length_are_held():
    log = power_log([(0.0, 10.0), (1.5, 20.0), (2.0, 40.0), (3.75, 80.0), (5.0, 160.0)])
    assert log.period_s == 1.375
    assert energy_between(log, 1.0, 4.0).joules == 10 * 0.5 + 20 * 0.5 + 40 * 1.75 + 80 * 0.25


def test_the_last_sample_is_held_to_the_end_of_the_run():
    assert energy_between(minutes(100.0, 200.0), 0.0, 120.0).joules == 18000.0
    assert energy_between(minutes(100.0, 200.0), 0.0, 170.0).joules == 100.0 * 60 + 200.0 * 110


def test_a_run_that_starts_before_the_log_is_charged_at_its_first_sample_and_told():
    energy = energy_between(minutes(100.0, 200.0, 300.0, start=1000.0), 970.0, 1120.0)
    assert energy.joules == 100.0 * 30 + 100.0 * 60 + 200.0 * 60
    assert energy.warnings == ("the log begins 30 s after the run; its first sample is used for that time",)


@pytest.mark.parametrize(("duration", "samples"), [(600.0, 9), (630.0, 10), (660.0, 10)])
def test_the_study_s_count_of_samples_is_the_least_that_is_enough(duration, samples):
    """Fewer than duration / 60 - 1 are too few: 9 for 600 s, 9.5 for 630 s, 10 for 660 s."""
    times = [1.0 + 66.0 * index for index in range(samples)]
    enough = power_log([(time_s, 100.0) for time_s in times], 60.0)
    fewer = power_log([(time_s, 100.0) for time_s in times[: samples - 1]], 60.0)
    assert energy_between(enough, 0.5, 0.5 + duration).joules == pytest.approx(100.0 * duration)
    energy = energy_between(fewer, 0.5, 0.5 + duration)
    assert energy.joules is None
    assert f"{samples - 1} samples inside a run of {duration:.4g} s, expected at least {samples}" in energy.warnings[0]


@pytest.mark.parametrize(
    ("log", "run", "reason"),
    [
        (minutes(100.0, 0.0, 100.0), (30.0, 150.0), "1970-01-01T00:01:00Z is 0 W"),
        (minutes(0.0, 100.0, 100.0), (30.0, 150.0), "1970-01-01T00:00:00Z is 0 W"),
        (minutes(100.0, -5.0, 100.0), (30.0, 150.0), "is -5 W"),
        (minutes(100.0, 100.0, 100.0), (70.0, 110.0), "0 samples inside a run of 40 s"),
        (minutes(100.0, 100.0), (0.0, 241.0), "the log ends at 1970-01-01T00:01:00Z, 181 s before the run"),
        (minutes(100.0, 100.0, start=61.0), (0.0, 120.0), "begins at 1970-01-01T00:01:01Z, 61 s after the run"),
        (minutes(100.0, 100.0), (50.0, 50.0), "ends .* before it starts"),
        (power_log([(5.0, 100.0)]), (0.0, 10.0), "a single sample"),
        (
            power_log([(0.0, 100.0), (60.0, 100.0), (241.0, 100.0), (280.0, 100.0)], 60.0),
            (0.0, 300.0),
            "a gap of 181 s after 1970-01-01T00:01:00Z; one is expected every 60 s",
        ),
        (
            power_log([(0.0, 100.0), (120.0, 100.0), (60.0, 100.0), (180.0, 100.0)], 60.0),
            (0.0, 240.0),
            "out of order: after 1970-01-01T00:02:00Z it goes back to 1970-01-01T00:01:00Z",
        ),
        (
            power_log([(0.0, 100.0), (60.0, 100.0), (60.0, 110.0), (120.0, 100.0)], 60.0),
            (0.0, 180.0),
            "two different samples have the time 1970-01-01T00:01:00Z",
        ),
    ],
)
def test_a_run_that_the_log_cannot_speak_for_is_rejected_with_the_reason(log, run, reason):
    energy = energy_between(log, *run)
    assert energy.joules is None
    assert energy.detail == {"wall": None}
    assert (energy.seconds, energy.label) == (run[1] - run[0], "measured")
    with pytest.raises(MeterError, match=f"window rejected: .*{reason}"):
        energy.required()


def test_what_is_wrong_elsewhere_in_the_log_does_not_matter():
    samples = [(60.0 * index, 100.0) for index in range(20)]
    samples[1], samples[2] = samples[2], samples[1]
    samples[4] = (240.0, 0.0)
    del samples[16:19]
    log = power_log(samples, 60.0)
    assert energy_between(log, 400.0, 700.0).joules == 30000.0
    assert energy_between(log, 130.0, 200.0).joules == 7000.0
    for run in ((0.0, 100.0), (250.0, 400.0), (800.0, 1100.0)):
        assert energy_between(log, *run).joules is None


def test_one_missing_sample_is_accepted_as_the_study_does():
    log = power_log([(0.0, 100.0), (60.0, 200.0), (180.0, 100.0)], 60.0)
    assert energy_between(log, 0.0, 240.0).joules == 100.0 * 60 + 200.0 * 120 + 100.0 * 60


def test_a_sample_written_twice_counts_once():
    log = power_log([(0.0, 100.0), (60.0, 200.0), (60.0, 200.0), (120.0, 100.0)])
    assert log.disorders == ()
    assert energy_between(log, 0.0, 180.0).joules == 24000.0


def test_no_overlap_names_both_ranges_and_suspects_the_time_zone():
    hour = 3600.0
    log = minutes(*[100.0] * 120, start=1_600_000_000.0)
    run = 1_600_000_000.0 + 7 * hour + 600, 1_600_000_000.0 + 7 * hour + 3000
    (warning,) = energy_between(log, *run).warnings
    assert "the log covers 2020-09-13T12:26:40Z to 2020-09-13T14:26:40Z" in warning
    assert "the run lasted from 2020-09-13T19:36:40Z to 2020-09-13T20:16:40Z" in warning
    assert "they would at +6 h" in warning
    assert "time_zone" in warning
    (warning,) = energy_between(log, run[0] - 14 * hour, run[1] - 14 * hour).warnings
    assert "they would at -7 h" in warning
    (warning,) = energy_between(log, run[0] + 30 * hour, run[1] + 30 * hour).warnings
    assert "check that it is this run's log" in warning
    assert " h," not in warning


def test_a_log_of_another_zone_that_overlaps_a_little_is_suspected_too():
    log = minutes(*[100.0] * 120)
    (warning,) = energy_between(log, 6000.0, 9000.0).warnings
    assert "the log ends at 1970-01-01T01:59:00Z, 1860 s before the run" in warning
    assert "+1 h" in warning


@pytest.mark.parametrize("hours", [-14, -2, -1, 1, 2, 13, 14])
def test_a_run_within_the_log_at_whole_hours_is_said_to_be_so_to_the_second(hours):
    """The log covers 0 to 7200 s; a run as long fits at whole hours, and no longer when it is moved by a second."""
    log, shift = minutes(*[100.0] * 120), 3600.0 * hours
    (warning,) = energy_between(log, shift, shift + 7200.0).warnings
    assert f"they would at {hours:+d} h, so its times may be of another time zone: name it with time_zone" in warning
    for moved in (shift - 1, shift + 1):
        (warning,) = energy_between(log, moved, moved + 7200.0).warnings
        assert warning.endswith("; check that it is this run's log, and both clocks")


def test_the_nearest_time_zone_is_named():
    (warning,) = energy_between(minutes(*[100.0] * 600), 15 * 3600.0, 15.5 * 3600.0).warnings
    assert "they would at +6 h" in warning
    (warning,) = energy_between(minutes(*[100.0] * 600), 26 * 3600.0, 26.5 * 3600.0).warnings
    assert "check that it is this run's log" in warning


@pytest.mark.parametrize("others", [(), (minutes(100.0, 100.0, 100.0, start=9000.0),)])
def test_a_run_that_touches_the_log_s_ends_alone_does_not_overlap(others):
    """It covers 600 to 780 s, the last sample held for a period."""
    log = replace(minutes(100.0, 100.0, 100.0, start=600.0), others=others)
    for run in ((500.0, 600.0), (780.0, 900.0)):
        (warning,) = energy_between(log, *run).warnings
        assert "they do not overlap" in warning
    assert "do not overlap" not in energy_between(log, 500.0, 601.0).warnings[0]


def test_of_two_readings_of_the_dates_the_one_that_the_run_lies_in_is_used():
    day = replace(minutes(*[100.0] * 10), order="day first", source="power log x", warnings=("its zone is assumed",))
    month = replace(minutes(*[200.0] * 10, start=86400.0), order="month first", source="power log x")
    both = replace(day, others=(month,))
    energy = energy_between(both, 86400.0, 86700.0)
    assert energy.joules == 200.0 * 300
    assert energy.warnings == (
        "the dates of the power log x fit more than one order; they are read as those of the run (month first)",
    )
    assert energy_between(both, 86350.0, 86430.0).joules == 200.0 * 80
    energy = energy_between(both, 0.0, 300.0)
    assert energy.joules == 100.0 * 300
    assert energy.warnings == (
        "its zone is assumed",
        "the dates of the power log x fit more than one order; they are read as those of the run (day first)",
    )
    neither = energy_between(both, 40000.0, 40300.0)
    assert "they do not overlap" in neither.warnings[0]
    assert neither.warnings[1:] == ("its zone is assumed",)


def test_a_run_that_lies_in_two_readings_of_the_dates_is_refused_with_the_way_out():
    log = replace(minutes(*[100.0] * 10), others=(minutes(*[100.0] * 10, start=300.0),))
    energy = energy_between(log, 350.0, 500.0)
    assert energy.joules is None
    assert energy.warnings[0].endswith(
        "the dates of the power log fit more than one order, and the run lies in several; write year-month-day"
    )


@pytest.mark.parametrize(
    ("log", "run", "is_known"),
    [
        # Only the sample before the run's start is held into it, and what is at its end is not.
        (minutes(0.0, 100.0, 100.0, 100.0), (60.0, 180.0), True),
        (minutes(0.0, 100.0, 100.0, 100.0), (59.0, 180.0), False),
        (minutes(100.0, 100.0, 100.0, 0.0), (60.0, 180.0), True),
        (minutes(100.0, 100.0, 100.0, 0.0), (60.0, 181.0), False),
        # A clock that went back counts up to the moments that it went from and to, those included.
        (power_log([(0.0, 5.0), (180.0, 5.0), (120.0, 5.0), (240.0, 5.0), (300.0, 5.0)], 60.0), (0.0, 119.0), True),
        (power_log([(0.0, 5.0), (180.0, 5.0), (120.0, 5.0), (240.0, 5.0), (300.0, 5.0)], 60.0), (0.0, 120.0), False),
        (power_log([(0.0, 5.0), (180.0, 5.0), (120.0, 5.0), (240.0, 5.0), (300.0, 5.0)], 60.0), (180.0, 300.0), False),
        (power_log([(0.0, 5.0), (180.0, 5.0), (120.0, 5.0), (240.0, 5.0), (300.0, 5.0)], 60.0), (181.0, 300.0), True),
        # A log may begin a period after the run, and its last sample be held for three.
        (minutes(100.0, 100.0, 100.0, start=160.0), (100.0, 240.0), True),
        (minutes(100.0, 100.0, 100.0, start=160.5), (100.0, 240.0), False),
        (power_log([(10.0, 5.0), (20.0, 5.0), (30.0, 5.0), (40.0, 5.0)], 10.0), (10.0, 60.0), True),
        (power_log([(10.0, 5.0), (20.0, 5.0), (30.0, 5.0), (40.0, 5.0)], 10.0), (10.0, 65.0), False),
        (power_log([(t, 5.0) for t in (0.0, 30.0, 60.0, 240.0, 270.0, 300.0)], 60.0), (0.0, 330.0), True),
        (power_log([(t, 5.0) for t in (0.0, 30.0, 60.0, 241.0, 271.0, 301.0)], 60.0), (0.0, 330.0), False),
        (power_log([(t, 5.0) for t in (0.0, 60.0, 150.0, 210.0)], 60.0, bad=[(120.0, "x")]), (151.0, 230.0), True),
        # A row without a power, at 120 s, would be held from there to the next sample, or for a period.
        (power_log([(0.0, 5.0), (60.0, 5.0), (180.0, 5.0)], 60.0, bad=[(120.0, "x")]), (0.0, 120.0), True),
        (power_log([(0.0, 5.0), (60.0, 5.0), (180.0, 5.0)], 60.0, bad=[(120.0, "x")]), (0.0, 121.0), False),
        (power_log([(0.0, 5.0), (60.0, 5.0), (180.0, 5.0)], 60.0, bad=[(120.0, "x")]), (179.0, 230.0), False),
        (
            power_log([(0.0, 5.0), (60.0, 5.0), (180.0, 5.0), (240.0, 5.0)], 60.0, bad=[(120.0, "x")]),
            (180.0, 250.0),
            True,
        ),
        (power_log([(0.0, 5.0), (60.0, 5.0)], 60.0, bad=[(120.0, "x")]), (60.0, 121.0), False),
        # So would an hour that came twice, which lasts from 60 to 180 s.
        (replace(minutes(*[5.0] * 6), twice=((60.0, 180.0),)), (0.0, 60.0), True),
        (replace(minutes(*[5.0] * 6), twice=((60.0, 180.0),)), (0.0, 61.0), False),
        (replace(minutes(*[5.0] * 6), twice=((60.0, 180.0),)), (179.0, 300.0), False),
        (replace(minutes(*[5.0] * 6), twice=((60.0, 180.0),)), (180.0, 300.0), True),
    ],
)
def test_what_is_wrong_in_a_log_counts_to_the_second(log, run, is_known):
    assert (energy_between(log, *run).joules is not None) == is_known


@pytest.mark.parametrize(
    ("log", "run", "said"),
    [
        (
            minutes(100.0, 100.0, 100.0, start=161.0),
            (100.0, 300.0),
            "the log begins at 1970-01-01T00:02:41Z, 61 s after the run; one is expected every 60 s; check that it is "
            "this run's log, and both clocks",
        ),
        (
            minutes(100.0, 100.0, start=60.0),
            (60.0, 301.0),
            "the log ends at 1970-01-01T00:02:00Z, 181 s before the run; check that it is this run's log, and both "
            "clocks",
        ),
        (
            minutes(100.0, 100.0, 100.0, start=30.0),
            (40.0, 80.0),
            "0 samples inside a run of 40 s, expected at least 1; the log has one every 60 s",
        ),
        (
            minutes(100.0, 100.0),
            (50.0, 20.0),
            "the run ends (1970-01-01T00:00:20Z) before it starts (1970-01-01T00:00:50Z)",
        ),
        (
            power_log([(5.0, 100.0)]),
            (0.0, 10.0),
            "the log has a single sample, at 1970-01-01T00:00:05Z; name its period to use it",
        ),
        (
            power_log([(0.0, 5.0), (60.0, 5.0), (180.0, 5.0)], 60.0, bad=[(120.0, "line 4 ('120,')")]),
            (0.0, 240.0),
            "the sample of 1970-01-01T00:02:00Z is no power: line 4 ('120,')",
        ),
        (
            replace(minutes(*[5.0] * 6), twice=((60.0, 180.0),)),
            (0.0, 240.0),
            "the log's times from 1970-01-01T00:01:00Z on come twice, as clocks are put back then, and it does not "
            "tell which they are; log in UTC, or name the offset of these times with --log-time-zone (+02:00)",
        ),
    ],
)
def test_a_refusal_says_what_is_there_and_what_is_expected(log, run, said):
    (warning,) = energy_between(log, *run).warnings
    assert warning == f"window rejected: {said}"


def test_a_log_that_begins_with_the_run_needs_no_word():
    assert energy_between(minutes(100.0, 100.0, start=60.0), 60.0, 180.0).warnings == ()
    late = energy_between(minutes(100.0, 100.0, start=60.0), 59.5, 180.0)
    assert late.warnings == ("the log begins 0.5 s after the run; its first sample is used for that time",)


@pytest.mark.parametrize(
    ("times", "bad", "period_s"),
    [
        ([0.0, 60.0, 121.0], [], 60.5),
        ([0.0, 60.0, 121.0, 183.0], [], 61.0),
        ([0.0, 60.0, 60.0], [], 60.0),
        ([0.0, 10.0, 30.0], [20.0], 10.0),
        ([0.0, 10.0], [-20.0], 15.0),
    ],
)
def test_the_usual_step_is_the_median_of_those_above_zero_with_the_rows_without_a_power(times, bad, period_s):
    samples = [(time_s, 50.0 + index) for index, time_s in enumerate(times)]
    assert power_log(samples, bad=[(time_s, "") for time_s in bad]).period_s == period_s


def test_a_log_is_in_order_of_time_and_keeps_where_its_clock_went_back():
    samples = [(0.0, 1.0), (180.0, 2.0), (60.0, 3.0), (120.0, 4.0), (180.0, 5.0), (240.0, 6.0)]
    log = power_log(samples, 60.0, "power log x", ["a warning"], [(9.0, "later"), (7.0, "earlier")])
    assert log.times_s == (0.0, 60.0, 120.0, 180.0, 180.0, 240.0)
    assert log.watts == (1.0, 3.0, 4.0, 2.0, 5.0, 6.0)
    assert log.disorders == ((60.0, 180.0), (120.0, 180.0), (180.0, 180.0))
    assert (log.source, log.warnings, log.covers_s) == ("power log x", ("a warning",), (0.0, 300.0))
    assert log.bad == ((7.0, "earlier"), (9.0, "later"))
    assert power_log([]) is None


def test_several_runs_are_charged_at_once():
    times, watts = [0, 60, 120, 180], [100, 200, 300, 400]
    runs = [(0, 60), (30, 130), (60, 60), (130, 140), (170, 300), (-30, 30)]
    joules = held_energy(times, watts, [start for start, _ in runs], [end for _, end in runs])
    # 3000 + 12000 + 3000; 300 x 10; 300 x 10 + 400 x 120; the first sample also stands for what is before it.
    assert joules.tolist() == [6000, 18000, 0, 3000, 51000, 6000]


samples_of_any_step = st.lists(st.tuples(st.floats(0.5, 1.2), st.floats(1.0, 1000.0)), min_size=12, max_size=40)


@given(steps=samples_of_any_step, cut=st.floats(0.0, 1.0))
def test_splitting_a_run_adds_up(steps, cut):
    times = [0.0]
    for step, _ in steps:
        times.append(times[-1] + step)
    log = power_log([(time_s, watts) for time_s, (_, watts) in zip(times, steps, strict=False)], 1.0)
    start, end = 0.3, times[len(steps) - 1]
    middle = start + cut * (end - start)
    first, second, whole = (energy_between(log, *run) for run in ((start, middle), (middle, end), (start, end)))
    assume(None not in (first.joules, second.joules, whole.joules))
    assert first.joules + second.joules == pytest.approx(whole.joules, rel=1e-9)
    lowest, highest = min(watts for _, watts in steps), max(watts for _, watts in steps)
    assert lowest * (1 - 1e-9) <= whole.power_w <= highest * (1 + 1e-9)


@given(shift=st.integers(-(10**6), 10**6), steps=samples_of_any_step)
def test_energy_does_not_depend_on_when_the_clock_began(shift, steps):
    written = [(float(index), watts) for index, (_, watts) in enumerate(steps)]
    later = [(time_s + shift, watts) for time_s, watts in written]
    end = float(len(steps))
    now, then = energy_between(power_log(written), 0.5, end), energy_between(power_log(later), shift + 0.5, shift + end)
    assert now.joules is not None
    assert now.joules == then.joules
