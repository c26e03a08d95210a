"""Timings of a family that are kept: by structure, of this machine, young, and damaged ones left out."""

from __future__ import annotations

import datetime
import errno
import json
import platform
import re
from pathlib import Path

import pytest
from golden_records import SMALL_CPU

from sizer.base.errors import MeasurementError
from sizer.base.storage import data_folder, read_objects
from sizer.calibration.measurements import Timing
from sizer.families import kept as kept_module
from sizer.families.kept import KeptTimings

TIMING = Timing(0, 1, 1e-3, 5, 0.25, reference_s={"near": (1e-5, 2e-5)})


def line(days: float = 0, structure: str = "a", **changes: object) -> dict:
    """A line as it was written so many days ago."""
    date = datetime.datetime.now(datetime.timezone.utc) - datetime.timedelta(days=days)
    told = json.loads(json.dumps(TIMING._asdict()))
    return {"structure": structure, "date": date.isoformat(timespec="seconds"), **told, **changes}


def written(path: Path, *lines: object) -> Path:
    path.write_text("".join(json.dumps(each) + "\n" for each in lines))
    return path


def test_timings_are_found_by_structure_in_their_order(tmp_path):
    path = tmp_path / "made" / "if need be" / "kept.jsonl"
    kept = KeptTimings(path)
    assert kept.timings("a") == []
    for structure, round_ in (("a", 0), ("b", 1), ("a", 2)):
        kept.add(structure, TIMING._replace(round=round_))
    kept.close()
    for one in (kept, KeptTimings(path)):
        assert one.timings("a") == [TIMING._replace(round=0), TIMING._replace(round=2)]
        assert one.timings("b") == [TIMING._replace(round=1)]


def test_a_timing_says_when_it_was_taken(tmp_path):
    kept = KeptTimings(tmp_path / "kept.jsonl")
    kept.add("a", TIMING)
    kept.close()
    (entry,) = read_objects(kept.path)
    age = datetime.datetime.now(datetime.timezone.utc) - datetime.datetime.fromisoformat(entry["date"])
    assert -1 <= age.total_seconds() < 600


def test_timings_are_of_a_machine_its_threads_and_its_kernel(monkeypatch):
    path = KeptTimings.of(SMALL_CPU, 1).path
    assert path.parent == data_folder() / "families"
    assert re.fullmatch(r"[0-9a-f]{16}\.jsonl", path.name)
    assert KeptTimings.of(SMALL_CPU, 1).path == path
    assert KeptTimings.of(SMALL_CPU, 2).path != path
    monkeypatch.setattr(platform, "release", lambda: "another")
    assert KeptTimings.of(SMALL_CPU, 1).path != path


@pytest.mark.parametrize(("days", "found"), [(89.9, 1), (90.1, 0)])
def test_timings_of_a_season_are_used(tmp_path, days, found):
    assert len(KeptTimings(written(tmp_path / "kept.jsonl", line(days))).timings("a")) == found


ODD = [
    {"date": None}, {"date": "soon"}, {"date": "2026-01-01T00:00:00"},
    {"reference_s": {"near": [10**400, 1.0]}}, {"reference_s": {"near": [1.0]}}, {"reference_s": 3}, {"case": None},
]  # fmt: skip


@pytest.mark.parametrize("odd", ODD, ids=lambda odd: str(odd)[:40])
def test_lines_that_are_none_are_left_out(tmp_path, odd):
    path = written(tmp_path / "kept.jsonl", line(**odd), {"date": line()["date"]}, line())
    assert KeptTimings(path).timings("a") == [TIMING]


def test_a_line_without_a_structure_is_left_out(tmp_path):
    nameless = line()
    del nameless["structure"]
    assert KeptTimings(written(tmp_path / "kept.jsonl", nameless, line())).timings("a") == [TIMING]


def test_a_file_that_has_grown_long_keeps_the_newest_half(tmp_path, monkeypatch):
    monkeypatch.setattr(kept_module, "_MOST_LINES", 6)
    lines = [line(round=number) for number in range(7)]
    path = written(tmp_path / "kept.jsonl", *lines[:6])
    assert [timing.round for timing in KeptTimings(path).timings("a")] == [0, 1, 2, 3, 4, 5]
    assert read_objects(path) == lines[:6]
    written(path, *lines)
    assert [timing.round for timing in KeptTimings(path).timings("a")] == [4, 5, 6]
    assert read_objects(path) == lines[4:]


def test_a_file_that_has_grown_old_loses_what_is_not_used(tmp_path, monkeypatch):
    monkeypatch.setattr(kept_module, "_MOST_LINES", 6)
    old, young = [line(100)] * 6, line()
    path = written(tmp_path / "kept.jsonl", *old, young)
    assert KeptTimings(path).timings("a") == [TIMING]
    assert read_objects(path) == [young]


def test_a_long_file_that_cannot_be_written_is_read(tmp_path, monkeypatch):
    def refuse(path, content):
        raise OSError(errno.EROFS, "Read-only file system")

    monkeypatch.setattr(kept_module, "_MOST_LINES", 1)
    monkeypatch.setattr(kept_module, "write_whole", refuse)
    assert KeptTimings(written(tmp_path / "kept.jsonl", line(), line())).timings("a") == [TIMING]


def test_a_file_that_cannot_be_used_is_one_line(tmp_path):
    remedy = "free some space, or set XDG_DATA_HOME to a folder that can"
    with pytest.raises(MeasurementError) as refusal:
        KeptTimings(tmp_path)
    assert str(refusal.value) == f"{tmp_path} cannot be used (Is a directory); {remedy}"
    for path, why in ((tmp_path / "kept.jsonl", "Is a directory"), (tmp_path / "file" / "kept.jsonl", "File exists")):
        kept = KeptTimings(path)
        path.mkdir() if why == "Is a directory" else path.parent.touch()
        with pytest.raises(MeasurementError) as refusal:
            kept.add("a", TIMING)
        assert str(refusal.value) == f"{path} cannot be used ({why}); {remedy}"
        assert kept.timings("a") == []
