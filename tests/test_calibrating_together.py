"""Sessions that are kept and fitted together: quiet ones count, speeds are told apart, worse ones spoil nothing."""

from __future__ import annotations

import gzip
import json
from dataclasses import replace
from importlib.resources import files
from pathlib import Path

import jsonschema
import numpy as np
import pytest
from calibrating_fakes import step_s
from machine_of_two_speeds import TwoSpeeds

from sizer.base.errors import UsageError
from sizer.calibration import plan as planning
from sizer.calibration.calibration import Settings, calibrate, measurement_path, replay
from sizer.calibration.combine import combine
from sizer.calibration.fit import conformal_interval, design, predict_terms
from sizer.calibration.kept_sessions import MOST_SESSIONS, comparable, kept_sessions
from sizer.calibration.measurements import END, Case, Measurements, Timing, create, read_measurements
from sizer.cli import run
from sizer.cli.calibrate import _around_s
from sizer.method.placement import Hierarchy
from sizer.method.training_step import Training
from sizer.profiles import load, names
from sizer.profiles.loader import own_folders

SETTINGS = Settings(budget_s=60.0, meter="none")
SHARED = Path(__file__).parents[2] / "shared" / "measurements"


def error(record) -> float:
    """Mean error of a calibration against the machine's law when it is quiet."""
    cases = planning.draw(60, seed=9)
    predicted = predict_terms(design(cases, Training(), Hierarchy.of(record.device)), record.fits["time"].terms)
    return float(np.mean(np.abs(predicted / np.array([step_s(case) for case in cases]) - 1)))


@pytest.fixture
def machine(small_cpu, monkeypatch):
    return TwoSpeeds(monkeypatch, small_cpu, lambda now: 1.0)


def session(machine, factor):
    """One more calibration while the machine is so."""
    machine.factor = factor
    return calibrate(SETTINGS)


def steady(factor):
    return lambda now: factor


def test_disturbed_then_quiet_then_disturbed_again_is_as_good_as_after_the_second(machine):
    def busy(now):
        return 1.0 if now % 12 < 0.3 else 1.45

    first = session(machine, busy)
    assert not first.sessions[-1].quiet
    second = session(machine, steady(1.0))
    assert second.quiet_line.startswith("quiet")
    third = session(machine, busy)
    assert error(second) < error(first)
    assert error(third) <= 1.05 * error(second)
    assert [one.used for one in third.sessions] == [False, True, False]
    assert "values are not used" in third.quiet_line


def test_a_slower_speed_is_held_beside_the_usual_one_and_the_interval_covers_both(machine):
    alone = session(machine, steady(1.0))
    both = session(machine, steady(1.4))
    assert error(both) == pytest.approx(error(alone), abs=0.005)
    assert [(round(one.factor, 1), one.sessions, one.usual) for one in both.speeds] == [(1.0, 1, True), (1.4, 1, False)]
    low, high = both.fits["time"].interval
    assert low <= alone.fits["time"].interval[0] * 1.01
    assert high > 1.4
    profile = load(both.name)
    assert profile.calibration["speeds"][1]["factor"] == pytest.approx(1.4, rel=0.02)
    assert "at times this machine takes 1.4" in profile.by_quantity["time"].basis
    (slower,) = profile.by_quantity["time"].other_speeds
    assert (round(slower.factor, 1), slower.sessions) == (1.4, 1)
    assert slower.terms["operation"] == pytest.approx(1.4 * both.fits["time"].terms["operation"], rel=0.1)


def test_the_usual_speed_is_the_slower_one_when_clearly_more_sessions_ran_at_it(machine):
    session(machine, steady(1.0))
    for _ in range(2):
        assert session(machine, steady(1.4)).speeds[0].usual
    slow = session(machine, steady(1.4))
    assert [one.usual for one in slow.speeds] == [False, True]
    assert slow.speeds[0].factor == pytest.approx(1 / 1.4, rel=0.02)


def test_quiet_sessions_are_fitted_together(machine):
    session(machine, steady(1.0))
    both = session(machine, steady(1.02))
    assert [one.used for one in both.sessions] == [True, True]
    assert both.speeds == ()
    assert both.sessions[-1].factor == pytest.approx(1.02, abs=0.01)


def test_a_disturbed_session_alone_says_so_and_its_interval_reaches_down(machine):
    record = session(machine, lambda now: 1.0 if now % 12 < 0.3 else 1.45)
    assert "disturbed for 9" in record.quiet_line
    assert "run again, or --until-quiet 10m" in record.quiet_line
    assert record.fits["time"].interval[0] < 0.8

    assert "was not quiet: times may be up to" in load(record.name).by_quantity["time"].basis


def overloaded(now):
    """Quiet for a moment now and then: the reference steps show how much others slow everything else."""
    return 1.0 if now % 12 < 0.3 else 12.0


def test_a_session_under_overload_makes_no_profile_and_is_said(machine, capsys):
    machine.factor = overloaded
    assert run(["calibrate", "--meter", "none", "--quiet"]) == 1
    printed = capsys.readouterr()
    assert "could not be measured: others kept it too busy" in printed.out
    assert "no profile was made of them; run `sizer calibrate` again later, or --until-quiet 10m" in printed.err
    assert "calibrated-cpu" not in names()
    assert len(kept_sessions(measurement_path(SETTINGS))) == 1
    quiet = session(machine, steady(1.0))
    assert [one.used for one in quiet.sessions] == [False, True]
    assert load(quiet.name).calibration["sessions"][1]["used"]
    assert error(session(machine, overloaded)) <= 1.05 * error(quiet), "the quiet one stays"


def test_a_session_under_overload_leaves_the_profile_that_is_there(machine):
    before = session(machine, steady(1.0)).path.read_bytes()
    for kept in kept_sessions(measurement_path(SETTINGS)):
        kept.path.unlink()  # (as it is when the kernel is another one, or the sessions are too old)
    record = session(machine, overloaded)
    assert (record.usable, record.path, record.to_dict()["usable"]) == (False, None, False)
    assert (own_folders()[-1] / f"{record.name}.json").read_bytes() == before


def test_a_speed_at_which_others_kept_the_machine_is_none_of_its_own(machine):
    alone = session(machine, steady(1.0))
    both = session(machine, lambda now: 1.5 if now % 12 < 0.3 else 12.0)
    assert both.speeds == ()
    assert both.fits["time"].interval == alone.fits["time"].interval


def test_a_slow_state_from_the_first_moment_to_the_last_is_said_and_covered(machine, capsys):
    """No step was ever quick: only that threads slow each other shows that there may be a quicker state."""
    record = session(machine, steady(1.5))
    assert not record.sessions[-1].quiet
    assert 0.4 < record.sessions[-1].high_by < 0.6
    assert "all threads together are 1.4" in record.quiet_line
    assert "run again later" in record.quiet_line
    low, high = record.fits["time"].interval
    assert low < 1 / 1.5 < 1 < high
    assert run(["calibrate", "--show"]) == 0
    assert "threads 1.4" in capsys.readouterr().out
    assert "may be up to" in session(machine, steady(1.5)).quiet_line, "a minute later is no other moment"
    quiet = session(machine, steady(1.0))
    assert quiet.sessions[-1].quiet
    assert error(quiet) < 0.05


def dated(found: Measurements, date: str) -> Measurements:
    return replace(found, settings={**found.settings, "date": date})


def test_sessions_at_other_moments_that_agree_are_the_machine_as_it_is(machine):
    session(machine, steady(1.5))
    found = read_measurements(measurement_path(SETTINGS))
    first = dated(found, "2026-11-26T04:33:07+00:00")
    alone, soon, later = (
        combine([first, *more], 0)
        for more in ([], [dated(found, "2026-11-26T04:35:00+00:00")], [dated(found, "2026-11-26T04:50:00+00:00")])
    )
    assert alone.high_by == soon.high_by > 0.4
    assert later.high_by == 0
    assert [one.quiet for one in later.sessions] == [True, True]
    assert [one.room for one in later.sessions] == [None, None]


def test_until_quiet_waits_for_a_neighbour_who_was_there_from_the_start(machine):
    machine.factor = lambda now: 1.0 if now > 130 else 1.5
    record = calibrate(SETTINGS._replace(until_quiet_s=600.0))
    assert 130 < machine.now_s < 300
    assert record.sessions[-1].quiet
    assert error(record) < 0.05


def test_until_quiet_goes_on_until_the_values_have_settled(machine):
    machine.factor = lambda now: 1.0 if now > 200 or 5 < now < 8 else 1.5
    record = calibrate(SETTINGS._replace(until_quiet_s=600.0))
    assert 200 < machine.now_s < 300
    assert record.sessions[-1].quiet
    machine.now_s, machine.factor = 0.0, lambda now: 1.0 if 5 < now < 7 else 1.5
    record = calibrate(SETTINGS._replace(until_quiet_s=90.0), fresh=True)
    assert machine.now_s == pytest.approx(90, abs=6)


def test_until_quiet_shorter_than_a_calibration_is_refused(machine):
    with pytest.raises(UsageError, match="give 60 s or more"):
        calibrate(SETTINGS._replace(until_quiet_s=20.0))


def test_sessions_of_another_kernel_or_threads_stay_out(machine, monkeypatch):
    session(machine, steady(1.0))
    monkeypatch.setattr("platform.release", lambda: "another kernel")
    record = session(machine, steady(1.0))
    assert len(record.sessions) == 1
    assert len(kept_sessions(measurement_path(SETTINGS))) == 2
    one = {"identity": {"threads": 2}, "kernel": "a", "dtype": "float32", "optimizer": "adam"}
    assert comparable(one, {**one, "kernel": None})
    assert not comparable(one, {**one, "identity": {"threads": 1}})
    assert not comparable(one, {**one, "optimizer": "sgd"})


def test_only_so_many_and_so_old_sessions_are_kept(machine):
    path = measurement_path(SETTINGS)
    for _ in range(MOST_SESSIONS + 2):
        log = create(path, {"date": "2026-11-26T04:33:07+00:00"}, ())
        log.append(END)
        log.close()
        from sizer.calibration.kept_sessions import keep_finished

        keep_finished(path)
    assert len(list((path.parent / "sessions").iterdir())) == MOST_SESSIONS - 1
    log = create(path, {"date": "2020-01-01T00:00:00+00:00"}, ())
    log.append(END)
    log.close()
    assert path not in [kept.path for kept in kept_sessions(path)]


def test_the_command_lists_names_and_forgets(machine, capsys):
    assert run(["calibrate", "--show"]) == 0
    assert "no calibration of cpu is kept" in capsys.readouterr().err
    session(machine, steady(1.0))
    session(machine, steady(1.4))
    capsys.readouterr()
    assert run(["calibrate", "--show"]) == 0
    out = capsys.readouterr().out
    assert "calibrations of cpu that are kept" in out
    assert len([line for line in out.splitlines() if line.startswith("20")]) == 2
    assert "1.40" in out
    assert run(["calibrate", "--show", "--json"]) == 0
    shown = json.loads(capsys.readouterr().out)
    assert [one["used"] for one in shown["sessions"]] == [True, False]
    jsonschema.validate(shown, json.loads((files("sizer.schemas") / "calibration_sessions-1.json").read_text()))
    machine.factor = steady(1.0)
    assert run(["calibrate", "--meter", "none", "--quiet", "--forget"]) == 0
    err = capsys.readouterr().err
    assert err.count("forgetting cpu, ") == 2
    assert len(kept_sessions(measurement_path(SETTINGS))) == 1


@pytest.mark.parametrize(
    ("given", "said"),
    [
        (("--quick", "--budget", "30s"), "--quick takes 8 s and measures times alone: leave out --budget"),
        (("--quick", "--until-quiet", "5m"), "leave out --until-quiet"),
        (("--until-quiet", "5m", "--budget", "60s"), "--until-quiet takes the place of --budget: leave out --budget"),
        (("--show", "--forget"), "--show measures nothing and removes nothing: leave out --forget"),
    ],
)
def test_options_of_which_one_would_be_passed_over_are_refused(given, said, capsys):
    assert run(["calibrate", *given]) == 2
    assert said in capsys.readouterr().err


def test_files_are_for_replay(capsys):
    assert run(["calibrate", "some.jsonl"]) == 2
    assert "files are for --replay" in capsys.readouterr().err


def test_files_of_different_machines_are_not_fitted_together(machine, tmp_path, capsys):
    session(machine, steady(1.0))
    path = measurement_path(SETTINGS)
    header, *lines = path.read_text().splitlines()
    other = json.loads(header)
    other["settings"]["identity"]["threads"] = 64
    (tmp_path / "other.jsonl").write_text("\n".join([json.dumps(other), *lines]) + "\n")
    assert run(["calibrate", "--replay", str(path), str(tmp_path / "other.jsonl")]) == 2
    assert "is of another machine, number of threads" in capsys.readouterr().err


def test_a_network_timed_twice_counts_only_where_none_was_timed_thrice():
    plan = (Case("rectangle", 4, (4, 1), 32), Case("rectangle", 4, (8, 1), 32))
    often = [Timing(case, number, 1.0 + case, 5, None) for case in (0, 1) for number in range(3)]
    rarely = [Timing(0, 0, 1.5, 5, None), *(Timing(1, number, 2.2, 5, None) for number in range(3))]
    rarely += [Timing(1, 3, 2.0, 5, None)]
    both = combine([Measurements({"date": "1"}, plan, tuple(each)) for each in (often, rarely)], 0)
    assert both.used == (1,), "nothing compares two sessions that share two networks"


@pytest.fixture
def shared(tmp_path):
    if not SHARED.exists():
        pytest.skip("no ../shared/measurements here")
    paths = {}
    for name in ("quiet-1", "quiet-2", "slow", "disturbed"):
        paths[name] = tmp_path / f"{name}.jsonl"
        paths[name].write_bytes(gzip.decompress((SHARED / f"epyc-2cpu-{name}.jsonl.gz").read_bytes()))
    truth = json.loads((SHARED / "epyc-2cpu-truth.json").read_text())["networks"]
    cases = [Case(None, one["input_dim"], tuple(one["widths"]), one["batch_size"]) for one in truth]
    return paths, cases, np.array([min(one["before_s"], one["after_s"]) for one in truth])


def against_truth(record, cases, truth_s):
    terms = record.fits["time"].terms
    ratios = predict_terms(design(cases, Training(), Hierarchy.of(record.device)), terms) / truth_s
    low, high = record.fits["time"].interval
    inside = float(np.mean((1 / ratios >= low) & (1 / ratios <= high)))
    return float(np.exp(np.mean(np.log(ratios)))), float(np.mean(np.abs(ratios - 1))), inside


def test_the_four_shared_files_fitted_together_predict_the_quiet_truth(shared):
    paths, cases, truth_s = shared
    record = replay(*paths.values(), keep=False)
    bias, mean, inside = against_truth(record, cases, truth_s)
    assert abs(bias - 1) <= 0.04
    assert inside >= 0.86
    assert mean < 0.055
    assert [(one.sessions, one.usual) for one in record.speeds] == [(3, True), (1, False)]
    quiet = replay(paths["quiet-1"], paths["quiet-2"], keep=False)
    assert against_truth(quiet, cases, truth_s)[1] == pytest.approx(mean, abs=0.005)
    assert quiet.speeds == ()
    assert read_measurements(paths["slow"]).timings[0].reference_s is None


def test_networks_at_the_corners_have_no_say_in_the_interval(machine):
    machine.factor = steady(1.0)
    found = calibrate(SETTINGS)
    drawn = [one.ratio for one in found.timed if one.widths not in {case.full for case in planning.CORNERS}]
    assert len(drawn) <= found.networks - 5
    low, high = conformal_interval(np.array(drawn))
    assert found.fits["time"].interval == pytest.approx((low / 1.02, high))


def test_the_wall_clock_of_a_quick_calibration_stretches_as_its_imports_did():
    assert _around_s(0.2, 2.0, 2.0, 1.2) == pytest.approx(0.8)
    assert _around_s(0.2, 6.0, 2.0, 1.2) == pytest.approx(3 * 0.8 + 2 * 1.2)
    assert _around_s(900.0, 2.0, 2.0, 1.2) == pytest.approx(2.6), (
        "a program that has run for long starts no interpreter"
    )


def test_a_quick_calibration_keeps_to_its_few_seconds_and_predicts(machine):
    record = calibrate(Settings(budget_s=6.0, meter="none", quick=True))
    assert machine.now_s <= 6.0
    assert 30 <= record.networks < 120
    assert error(record) < 0.12
    settings = read_measurements(measurement_path(SETTINGS)).settings
    assert settings["quick"] is True


def test_the_command_gives_a_quick_calibration_what_its_imports_leave(machine, monkeypatch, capsys):
    from sizer.calibration import calibration

    budgets = []
    take = calibration.take_rounds
    monkeypatch.setattr(
        calibration,
        "take_rounds",
        lambda session, *more: budgets.append(session.settings.budget_s) or take(session, *more),
    )
    assert run(["calibrate", "--quick", "--quiet"]) == 0
    assert 3.0 <= budgets[0] < 8.0
