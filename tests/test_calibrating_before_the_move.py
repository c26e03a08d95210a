"""Files that the release before the move of the modules wrote (commit 733539e) are still read, to as good a fit."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from sizer.calibration.calibration import measurement_path
from sizer.calibration.measurements import END, Case, Timing, read_measurements
from sizer.calibration.session import Settings
from sizer.cli import run
from sizer.profiles import load

#: `sizer calibrate --budget 12s` of that release, and the profile that it kept.
FOLDER = Path(__file__).parent / "data" / "before_the_move" / "calibration"
MEASUREMENTS, PROFILE = FOLDER / "cpu.jsonl", FOLDER / "calibrated-cpu.json"


@pytest.fixture(scope="module")
def then():
    return json.loads(PROFILE.read_text(encoding="utf-8"))


def test_its_measurements_fit_as_well_as_they_did(then, capsys):
    assert run(["calibrate", "--replay", str(MEASUREMENTS), "--json"]) == 0
    now = json.loads(capsys.readouterr().out)
    fit = now["fits"]["time"]
    kept = then["coefficients"]["time"]
    errors = then["calibration"]["errors"]["time"]
    assert fit["error_mean"] < 1.15 * errors["error_mean"]  # (costs of levels are ordered now)
    assert fit["terms"]["operation"] == pytest.approx(kept["terms"]["operation"]["value"], rel=0.3)
    low, high = kept["interval_90"]
    assert fit["interval_90"] == pytest.approx([low, high], rel=0.1)  # (corners have no say in it now)
    assert (now["networks"], now["noise"]) == (then["calibration"]["networks"], then["calibration"]["noise"])


def test_its_profile_is_read_whole(then):
    profile = load(PROFILE)
    kept = then["coefficients"]["time"]
    time = profile.by_quantity["time"]
    assert (time.source, time.label) == ("calibrated", "calibrated")
    assert time.terms == {name: term["value"] for name, term in kept["terms"].items()}
    assert list(time.interval) == kept["interval_90"]
    assert profile.calibration["identity"] == then["calibration"]["identity"]
    levels = [(level.name, level.capacity_bytes, level.effective_bytes) for level in profile.device.levels]
    assert levels == [(one["name"], one["capacity_bytes"], one["effective_bytes"]) for one in then["levels"]]


def test_replaying_with_keep_writes_that_profile_again(then, capsys):
    assert run(["calibrate", "--replay", str(MEASUREMENTS), "--keep"]) == 0
    capsys.readouterr()
    kept = measurement_path(Settings()).parents[1] / "profiles" / PROFILE.name
    now = json.loads(kept.read_text(encoding="utf-8"))
    assert set(now) >= set(then)
    assert now["calibration"]["identity"] == then["calibration"]["identity"]
    assert now["levels"] == then["levels"]


def test_every_line_is_read():
    """What a line holds is what a timing holds; fields that later releases add are passed over."""
    header, *lines = (json.loads(line) for line in MEASUREMENTS.read_text(encoding="utf-8").splitlines())
    found = read_measurements(MEASUREMENTS)
    assert found.finished
    assert lines.pop() == END
    added = {"reference_s": None, "kernel": None}
    assert list(map(Timing._asdict, found.timings)) == [{**line, **added} for line in lines]
    assert [case._asdict() for case in found.plan] == [
        Case(**{**case, "widths": tuple(case["widths"])})._asdict() for case in header["plan"]
    ]


def test_fields_that_a_later_release_adds_are_passed_over(tmp_path):
    header, first, *_ = (json.loads(line) for line in MEASUREMENTS.read_text(encoding="utf-8").splitlines())
    later = {**header, "later": 1, "plan": [{**case, "later": 1} for case in header["plan"]]}
    path = tmp_path / "m.jsonl"
    path.write_text("".join(json.dumps(one) + "\n" for one in (later, {**first, "later": 1})), encoding="utf-8")
    before, found = read_measurements(MEASUREMENTS), read_measurements(path)
    assert found.plan == before.plan
    assert found.timings == before.timings[:1]
