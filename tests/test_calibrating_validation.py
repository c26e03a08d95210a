"""Validation on made-up machines: fresh networks, honest errors, resumption, and the same rounds as calibration."""

from __future__ import annotations

import itertools
import json
from dataclasses import replace
from importlib.resources import files

import jsonschema
import numpy as np
import pytest
from calibrating_fakes import make_quick, step_s
from test_calibrating import profile_for

import sizer
from sizer.base.errors import MeasurementError, ProfileError, UsageError
from sizer.calibration import plan as planning
from sizer.calibration.calibration import Settings, calibrate, measurement_path
from sizer.calibration.measurements import read_measurements
from sizer.calibration.validation import fresh_networks, validate, validation_path
from sizer.calibration.validation_record import Errors, ValidatedNetwork, Validation
from sizer.cli import run
from sizer.inspection.networks import inspect_topologies
from sizer.method.coefficients import Coefficients
from sizer.method.training_step import Training
from sizer.models.topology import Topology


@pytest.fixture
def calibrated(small_cpu, monkeypatch):
    """A made-up machine with a calibration of it; the list of cases that were timed."""
    timed = make_quick(monkeypatch, small_cpu)
    calibrate(Settings(budget_s=15.0, meter="none"))
    timed.clear()
    return timed


def test_predicted_against_measured_is_what_inspect_says_against_the_clock(calibrated, small_cpu):
    record = sizer.validate(networks=30, seed=3)
    assert len(record.networks) == 30
    assert record.repeats == planning.MOST_ROUNDS
    assert len(calibrated) == 30 * planning.MOST_ROUNDS
    for network, case in zip(record.networks, calibrated[:30], strict=True):
        assert network.measured_s == step_s(case)
        topology = Topology(network.shape, network.input_dim, network.widths)
        training = Training(batch_size=network.batch_size)
        (said,) = inspect_topologies([topology], training, small_cpu, record.coefficients).networks
        assert (network.predicted_s, network.interval) == (said.time_per_step_s, said.interval)
    assert record.errors.mean == pytest.approx(
        np.mean([abs(n.predicted_s / n.measured_s - 1) for n in record.networks])
    )
    assert record.errors.mean < 0.25


def test_no_network_is_one_that_the_calibration_timed(calibrated):
    settings = Settings()
    seen = set(read_measurements(measurement_path(settings)).plan)
    fresh = list(itertools.islice(fresh_networks(settings, None), 200))
    assert len(set(fresh)) == 200
    assert not seen & set(fresh)
    assert {case.shape for case in fresh} == set(planning.SHAPES)
    assert {len(case.widths) for case in fresh} == set(range(2, 21))
    sizes = np.log2([Topology(c.shape, c.input_dim, c.widths).num_free_parameters for c in fresh])
    assert sizes.min() < 7
    assert sizes.max() > 21
    assert fresh == list(itertools.islice(fresh_networks(settings, None), 200))
    assert not set(fresh) & set(itertools.islice(fresh_networks(settings._replace(seed=1), None), 200))


def test_networks_of_the_calibration_s_file_are_passed_over(calibrated, monkeypatch):
    """Whatever seeds a plan was drawn with."""
    plan = read_measurements(measurement_path(Settings())).plan
    drawn = planning.draw
    monkeypatch.setattr(planning, "draw", lambda count, seed: [*plan[:5], *drawn(count, seed)])
    assert not set(plan) & set(itertools.islice(fresh_networks(Settings(), None), 60))


def test_without_a_calibration_one_line_names_the_command(small_cpu, monkeypatch, capsys):
    make_quick(monkeypatch, small_cpu)
    assert run(["validate", "--quiet"]) == 1
    assert "no calibration of cpu to validate; run `sizer calibrate` first" in capsys.readouterr().err
    profile_for(small_cpu, torch="1.0")
    with pytest.raises(ProfileError, match=r"torch 1\.0.*run `sizer calibrate`"):
        validate(Settings())


def test_settings_that_cannot_work_say_what_is_needed(capsys):
    for option, value, said in (
        ("--budget", "1s", "give 5 s or more"),
        ("--budget", "inf", "'inf' is no time"),
        ("--networks", "0", "networks is 0"),
        ("--seed", "-1", "seed is -1"),
        ("--threads", "4096", "give 1 to"),
        ("--device", "cuda:7", "no device 'cuda:7'"),
    ):
        assert run(["validate", option, value]) == 2
        out, err = capsys.readouterr()
        assert said in err
        assert out == ""
        assert len(err.splitlines()) == 1


def test_a_validation_that_was_interrupted_goes_on(calibrated, small_cpu, monkeypatch):
    from sizer.calibration import rounds

    quick, left = rounds.time_run, [12]

    def interrupted(*arguments):
        left[0] -= 1
        if left[0] < 0:
            raise KeyboardInterrupt
        return quick(*arguments)

    monkeypatch.setattr(rounds, "time_run", interrupted)
    with pytest.raises(KeyboardInterrupt):
        validate(Settings(), networks=8)
    before = read_measurements(validation_path(Settings()))
    assert len(before.timings) == 12
    monkeypatch.setattr(rounds, "time_run", quick)
    calibrated.clear()
    assert len(validate(Settings(), networks=8).networks) == 8
    assert len(calibrated) == 8 * planning.MOST_ROUNDS - 12
    after = read_measurements(validation_path(Settings()))
    assert after.timings[:12] == before.timings
    assert after.finished


def test_a_validation_and_a_calibration_at_once_are_refused(calibrated):
    from sizer.calibration.session import only_one

    with only_one(), pytest.raises(MeasurementError, match="another calibration is running"):
        validate(Settings())


def made_up(ratios, interval=(0.5, 2.0)):
    """Networks of these ratios; each measured at 1 s, of growing size."""
    return tuple(
        ValidatedNetwork(
            "rectangle", 4, (2**index, 1), 6 * 2**index + 1, 32, ratio, (ratio * interval[0], ratio * interval[1]), 1.0
        )
        for index, ratio in enumerate(ratios)
    )


def test_the_error_table_is_that_of_its_definition():
    errors = Errors.of(made_up([1.1, 0.8, 1.0, 3.0]))
    assert errors.networks == 4
    assert errors.mean == pytest.approx((0.1 + 0.2 + 0 + 2) / 4)
    assert errors.median == pytest.approx(0.15)
    assert errors.p95 == pytest.approx(np.quantile([0.1, 0.2, 0, 2], 0.95))
    assert errors.coverage == 0.75
    assert Errors.of([replace(made_up([1.0])[0], interval=None)]).coverage is None


def test_the_report_fits_80_columns_and_the_json_its_schema(small_cpu):
    from rich.console import Console

    networks = made_up([1.0, 1.1, 0.9, 4.0, 0.2, *[1.05] * 15])
    found = Coefficients("calibrated", "calibrated", "time", {"pass": 1e-4}, (0.5, 2.0), "calibrated-cpu", "a test")
    record = Validation(small_cpu, "calibrated-cpu", found, networks, 0, 3, None)
    assert [network.ratio for network in record.worst()] == [0.2, 4.0, 0.9, 1.1, 1.05]
    console = Console(record=True, width=80)
    console.print(record)
    text = console.export_text()
    assert max(map(len, text.splitlines())) <= 80
    assert "below 1,024" in text
    assert "262,144" in text
    schema = json.loads((files("sizer.schemas") / "validation-1.json").read_text(encoding="utf-8"))
    jsonschema.Draft202012Validator.check_schema(schema)
    data = json.loads(record.to_json())
    jsonschema.validate(data, schema)
    assert sum(one["errors"]["networks"] for one in data["by_size"]) == len(networks)
    frame = record.to_frame()
    assert len(frame) == len(networks)
    assert {"predicted_s", "measured_s", "ratio", "inside_interval"} <= set(frame)


def test_a_machine_that_is_not_as_it_was_is_named(small_cpu):
    found = Coefficients("calibrated", "calibrated", "time", {"pass": 1e-4}, (0.9, 1.1), "calibrated-cpu", "a test")
    busy = Validation(small_cpu, "calibrated-cpu", found, made_up([0.5] * 30, (0.9, 1.1)), 0, 3, None)
    assert "only 0% of the networks are inside" in busy.remarks()[0]
    same = replace(busy, networks=made_up([1.0] * 30, (0.9, 1.1)))
    assert same.remarks() == ()


def test_a_budget_too_small_for_any_says_so(calibrated, monkeypatch):
    """The first round goes on until there are enough networks for a table."""
    record = validate(Settings(budget_s=5.0))
    assert len(record.networks) >= 20
    with pytest.raises(UsageError, match="from 1 to 1000"):
        validate(Settings(), networks=1001)
