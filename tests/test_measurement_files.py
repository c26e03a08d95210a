"""Measurement files: what is written is read back, what cannot be is damage, and an interrupted one goes on."""

from __future__ import annotations

import errno
import json
import os
from pathlib import Path

import pytest

from sizer.base.errors import MeasurementError
from sizer.calibration import measurements
from sizer.calibration.measurements import (
    END,
    MEASUREMENTS_FORMAT,
    Case,
    Measurements,
    Timing,
    appended,
    create,
    interrupted_or_new,
    read_measurements,
    timing_of,
)

PLAN = (Case("rectangle", 4, (8, 8, 1), 32, "foreach"), Case(None, 3, (1,), 1))
TIMING = Timing(1, 0, 1e-3, 10, 0.25)
METERED = Timing(
    *(0, 1, 2e-3, 20, None, 0.5, (100.0, 101.5), "why", {"near": (1e-5, 2e-5)}),
    kernel={"faults": 3.0},
)
SETTINGS = {"same": {"seed": 1}, "date": "2026-11-26"}


def written(path: Path, *lines: object) -> Path:
    path.write_text("".join(json.dumps(each) + "\n" for each in lines))
    return path


def header(**changes: object) -> dict:
    return {"format": MEASUREMENTS_FORMAT, "settings": {}, "plan": [case._asdict() for case in PLAN], **changes}


def refused(path: Path) -> str:
    """What is said of a file that is not read, without its path."""
    with pytest.raises(MeasurementError) as refusal:
        read_measurements(path)
    assert str(refusal.value).startswith(str(path))
    return str(refusal.value)[len(str(path)) :].strip()


# What is written


@pytest.mark.parametrize("finished", [False, True])
def test_what_is_written_is_read_back(tmp_path, finished):
    path = tmp_path / "made if need be" / "m.jsonl"
    log = create(path, SETTINGS, PLAN)
    for line in (TIMING._asdict(), METERED._asdict(), *([END] if finished else [])):
        log.append(line)
    log.close()
    assert read_measurements(path) == Measurements(SETTINGS, PLAN, (TIMING, METERED), finished)


def test_timings_are_listed_by_network_in_the_order_of_the_plan():
    timings = (TIMING, METERED, TIMING._replace(round=2))
    measured = Measurements({}, PLAN, timings).measured()
    assert measured == {0: [METERED], 1: [TIMING, TIMING._replace(round=2)]}
    assert list(measured) == [0, 1]


def test_the_full_widths_begin_with_the_input():
    assert PLAN[0].full == (4, 8, 8, 1)


def test_a_file_in_its_place_is_kept_beside_the_new_one(tmp_path):
    path = written(tmp_path / "m.jsonl", {"old": True})
    create(path, {}, PLAN).close()
    assert (tmp_path / "m.previous.jsonl").read_text() == '{"old": true}\n'
    assert read_measurements(path) == Measurements({}, PLAN)


@pytest.mark.parametrize(
    ("number", "remedy"),
    [
        (errno.ENOSPC, "free some space and run the same command again: it goes on where it stopped"),
        (errno.EDQUOT, "free some space and run the same command again: it goes on where it stopped"),
        (errno.EACCES, "set XDG_DATA_HOME to a folder that can"),
    ],
)
def test_a_file_that_cannot_be_written_says_how_to_go_on(tmp_path, monkeypatch, number, remedy):
    def refuse(*_):
        raise OSError(number, os.strerror(number))

    path = tmp_path / "m.jsonl"
    monkeypatch.setattr(measurements, "write_whole", refuse)
    with pytest.raises(MeasurementError) as refusal:
        create(path, {}, PLAN)
    assert str(refusal.value) == f"{path} cannot be written ({os.strerror(number)}); {remedy}"
    monkeypatch.setattr(os, "fsync", refuse)
    log = appended(path)
    with pytest.raises(MeasurementError) as refusal:
        log.append(END)
    assert str(refusal.value) == f"{path} cannot be written ({os.strerror(number)}); {remedy}"
    log.close()


# What is read


def test_a_file_that_is_not_there_is_one_line(tmp_path):
    assert refused(tmp_path / "m.jsonl") == "cannot be read (No such file or directory); name a measurement file"


@pytest.mark.parametrize("lines", [(), ({"settings": {}},)], ids=["empty", "something else"])
def test_a_file_without_its_first_line_is_none(tmp_path, lines):
    assert refused(written(tmp_path / "m.jsonl", *lines)) == "is no measurement file; `sizer calibrate` writes them"


def test_a_file_of_another_version_is_named(tmp_path):
    assert refused(written(tmp_path / "m.jsonl", header(format="sizer.measurements/9"))) == (
        "is of format 'sizer.measurements/9'; this version reads sizer.measurements/1: calibrate again"
    )


@pytest.mark.parametrize(
    ("changes", "why"),
    [
        ({"plan": 3}, "'int' object is not iterable"),
        ({"plan": [{}]}, "'widths'"),
        ({"settings": 3}, "'int' object is not iterable"),
        ({"plan": [{"shape": None, "input_dim": 1, "widths": [], "batch_size": 1, "more": "x" * 80}]},
         "no network: {'shape': None, 'input_dim': 1, 'widths': [], 'batch_size': 1, 'more': 'xxxxxxxx"),
    ],
    ids=["plan", "case", "settings", "widths"],
)  # fmt: skip
def test_damage_says_why(tmp_path, changes, why):
    said = refused(written(tmp_path / "m.jsonl", header(**changes)))
    assert said == f"is damaged beyond its last line ({why}); calibrate again with --fresh"


def test_a_network_of_an_earlier_release_has_the_fused_form(tmp_path):
    case = PLAN[0]._asdict()
    del case["form"]
    assert read_measurements(written(tmp_path / "m.jsonl", header(plan=[case]))).plan == (
        PLAN[0]._replace(form="fused"),
    )


@pytest.mark.parametrize("name", ["input_dim", "batch_size", "widths"])
@pytest.mark.parametrize(
    ("value", "can_be"),
    [(1, True), (2**31, True), (0, False), (2**31 + 1, False), (True, False), (1.0, False), (None, False)],
)
def test_sizes_of_a_network_are_whole_and_from_one_on(tmp_path, name, value, can_be):
    case = PLAN[0]._replace(**{name: (8, value, 1) if name == "widths" else value})
    path = written(tmp_path / "m.jsonl", header(plan=[case._asdict()]))
    if can_be:
        assert read_measurements(path).plan == (case,)
    else:
        assert "(no network: " in refused(path)


@pytest.mark.parametrize("change", [{"widths": []}, {"form": "round"}, {"form": None}], ids=str)
def test_a_network_without_layers_or_of_another_form_is_damage(tmp_path, change):
    assert "(no network: " in refused(written(tmp_path / "m.jsonl", header(plan=[PLAN[0]._asdict() | change])))


CAN_BE = [
    {"case": 0}, {"round": 2**31}, {"steps": 1}, {"steps": 2**31}, {"step_s": 1e-300}, {"disturbed": 0},
    {"energy_j": 2}, {"reference_s": {}}, {"reference_s": {"near": (0.25, 1e300)}}, {"kernel": None},
]  # fmt: skip
CANNOT_BE = [
    {"case": 2}, {"case": -1}, {"case": True}, {"round": -1}, {"round": 2**31 + 1}, {"round": 1.0}, {"steps": 0},
    {"steps": 1.5}, {"steps": 2**31 + 1}, {"step_s": 0.0}, {"step_s": float("inf")}, {"step_s": float("nan")},
    {"disturbed": "x"}, {"disturbed": False}, {"energy_j": "x"}, {"energy_j": [1]},
    {"reference_s": {"near": (0.0, 1.0)}}, {"reference_s": {"near": (1.0, float("inf"))}},
]  # fmt: skip


@pytest.mark.parametrize("change", CAN_BE, ids=str)
def test_a_timing_that_can_be_is_read(change):
    record = METERED._asdict() | change
    assert timing_of(record, planned=2) == METERED._replace(**change)


@pytest.mark.parametrize("change", CANNOT_BE, ids=str)
def test_a_timing_that_cannot_be_is_refused(change):
    record = METERED._asdict() | change
    with pytest.raises(ValueError, match=r"^no timing: ") as refusal:
        timing_of(record, planned=2)
    assert str(refusal.value) == f"no timing: {str(record)[:80]}"


@pytest.mark.parametrize(
    "change",
    [
        {"reference_s": 3},
        {"reference_s": {"near": [1.0]}},
        {"window_unix_s": [1.0]},
        {"step_s": "soon"},
        {"case": len(PLAN)},
    ],
    ids=str,
)
def test_a_timing_of_another_make_is_damage(tmp_path, change):
    path = written(tmp_path / "m.jsonl", header(), METERED._asdict() | change, TIMING._asdict())
    assert refused(path).startswith("is damaged beyond its last line (")


def test_a_timing_of_a_later_release_says_more(tmp_path):
    path = written(tmp_path / "m.jsonl", header(), {**TIMING._asdict(), "later": 3}, {"end": False, **TIMING._asdict()})
    assert read_measurements(path) == Measurements({}, PLAN, (TIMING, TIMING), False)


def test_times_are_read_as_they_were(tmp_path):
    window, around = [1, 2], {"near": [1, 2], "far": [3, 4]}
    found = timing_of(TIMING._asdict() | {"window_unix_s": window, "reference_s": around})
    assert found.window_unix_s == (1.0, 2.0)
    assert found.reference_s == {"near": (1.0, 2.0), "far": (3.0, 4.0)}


# What goes on


def goes_on(path: Path, same: dict | None) -> bool:
    """Whether a file goes on for settings; if not, a new one is in its place."""
    new = Measurements({"same": same}, PLAN[:1])
    log, found = interrupted_or_new(path, same, lambda: new)
    log.append(TIMING._replace(case=0)._asdict())
    log.close()
    assert read_measurements(path).timings[-1].case == 0
    assert read_measurements(path).plan == found.plan
    assert (found is new) == (path.with_suffix(".previous.jsonl").exists())
    return found is not new


def test_an_interrupted_file_of_the_same_settings_goes_on(tmp_path):
    path = written(tmp_path / "m.jsonl", header(settings=SETTINGS), METERED._asdict())
    assert goes_on(path, {"seed": 1})
    assert read_measurements(path).timings == (METERED, TIMING._replace(case=0))


@pytest.mark.parametrize(
    ("lines", "same"),
    [
        ((header(settings=SETTINGS),), {"seed": 2}),
        ((header(settings=SETTINGS),), None),
        ((header(),), None),
        ((header(settings=SETTINGS), END), {"seed": 1}),
        ((header(settings=SETTINGS), {"case": -1}), {"seed": 1}),
    ],
    ids=["others", "never", "neither", "done", "damaged"],
)
def test_any_other_file_is_begun_anew(tmp_path, lines, same):
    assert not goes_on(written(tmp_path / "m.jsonl", *lines), same)
