"""The log of one's own study: what is appended is read back, and what is none is said in one line."""

from __future__ import annotations

import errno
import json
import os
from pathlib import Path

import pytest

from sizer.base.errors import MeasurementError
from sizer.method.hardware import device_to_dict
from sizer.study import published
from sizer.study.files.schema import GENERATED
from sizer.study.own_runs.log import LOG_FORMAT, LOG_NAME, OwnStudy, RunLog, origin_of, read_log

RUN = {"run_id": "a", "size": 128}


@pytest.fixture
def header(small_cpu):
    return {
        "format": LOG_FORMAT,
        "same": {"torch": "2.13.0"},
        "device": device_to_dict(small_cpu),
        "meter": {"label": "measured", "source": "RAPL"},
    }


def written(folder: Path, *lines: object) -> Path:
    (folder / LOG_NAME).write_text("".join(json.dumps(line) + "\n" for line in lines))
    return folder


def refused(folder: Path) -> str:
    """What is said of a log that is not read, without its path."""
    with pytest.raises(MeasurementError) as refusal:
        read_log(folder)
    start = str(folder / LOG_NAME)
    assert str(refusal.value).startswith(start)
    return str(refusal.value)[len(start) :].strip()


# What is appended


def test_runs_are_read_back_in_the_order_in_which_they_ended(tmp_path, header):
    log = RunLog(tmp_path / "made" / "if need be")
    assert log.is_empty()
    assert {path.name for path in log.path.parent.iterdir()} == {LOG_NAME, "lock"}
    for line in (header, RUN, {**RUN, "run_id": "b"}):
        log.append(line)
    assert not log.is_empty()
    log.close()
    assert read_log(log.path.parent) == OwnStudy(header, [RUN, {**RUN, "run_id": "b"}])


def test_a_log_that_is_cleared_begins_anew(tmp_path, header):
    log = RunLog(tmp_path)
    log.append(header)
    log.append(RUN)
    log.clear()
    assert log.path.read_bytes() == b""
    log.append(header)
    log.close()
    assert read_log(tmp_path) == OwnStudy(header, [])


def test_a_log_is_one_process_s_until_it_is_closed(tmp_path):
    log = RunLog(tmp_path)
    with pytest.raises(MeasurementError) as refusal:
        RunLog(tmp_path)
    assert str(refusal.value) == f"another study is running in {tmp_path}; wait for it, or name another --folder"
    log.close()
    RunLog(tmp_path).close()


def test_a_folder_that_cannot_be_made_is_one_line(tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(MeasurementError) as refusal:
        RunLog(tmp_path / "file" / "study")
    path = tmp_path / "file" / "study" / LOG_NAME
    assert str(refusal.value) == f"{path} cannot be written (Not a directory); name another --folder"


@pytest.mark.parametrize("link", [LOG_NAME, "lock"])
def test_a_link_is_named(tmp_path, link):
    (tmp_path / link).symlink_to(tmp_path / "mine")
    with pytest.raises(MeasurementError) as refusal:
        RunLog(tmp_path)
    assert str(refusal.value) == (
        f"{tmp_path / link} is a symbolic link, which a study does not write to; name another --folder"
    )


def test_a_run_for_which_there_is_no_room_is_one_line(tmp_path, monkeypatch):
    def full(handle):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    log = RunLog(tmp_path)
    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(MeasurementError) as refusal:
        log.append(RUN)
    assert str(refusal.value) == (
        f"{log.path} cannot be written (No space left on device); free some space and run the same command again: it "
        f"goes on where it stopped"
    )
    log.close()


# What is read


def test_a_log_that_is_not_there_is_one_line(tmp_path):
    assert refused(tmp_path) == "cannot be read (No such file or directory); `sizer study run` writes it"


@pytest.mark.parametrize("lines", [(), ({"run_id": "a"},)], ids=["empty", "a run first"])
def test_a_log_without_its_first_line_is_none(tmp_path, lines):
    assert (
        refused(written(tmp_path, *lines)) == "is no log of a study; name another --folder, or start anew with --fresh"
    )


def test_a_log_of_another_version_is_named(tmp_path, header):
    assert refused(written(tmp_path, {**header, "format": "sizer.own_study/9"}, RUN)) == (
        "is of format 'sizer.own_study/9'; this version reads sizer.own_study/1: start anew with --fresh"
    )


def test_a_line_that_is_no_run_is_damage(tmp_path, header):
    assert refused(written(tmp_path, header, {"run": "a"}, RUN)) == (
        "is damaged: a line in it is no run; restore it, or start anew with --fresh"
    )


@pytest.mark.parametrize("name", ["device", "meter", "same"])
def test_a_first_line_that_lacks_something_is_damage(tmp_path, header, name):
    """Without what must stay the same, `sizer study run` ended in a KeyError."""
    del header[name]
    assert refused(written(tmp_path, header, RUN)) == (
        "is damaged: its first line does not describe a machine; restore it, or start anew with --fresh"
    )


@pytest.mark.parametrize("odd", [None, "x", [["torch", "2.13.0"]]], ids=str)
def test_what_must_stay_the_same_is_a_table(tmp_path, header, odd):
    assert "does not describe a machine" in refused(written(tmp_path, {**header, "same": odd}))


# Where runs are from


@pytest.mark.parametrize(
    ("label", "remarks"),
    [
        ("measured", ()),
        ("estimated", ("joules are estimated, not measured: RAPL",)),
        ("unknown", ("the quantity is time: RAPL",)),
    ],
)
def test_joules_that_were_not_measured_are_remarked_on(tmp_path, header, label, remarks):
    header["meter"]["label"] = label
    assert origin_of(written(tmp_path, header)).remarks == remarks


def test_the_hierarchy_of_a_study_is_its_machines(tmp_path, header):
    levels = origin_of(written(tmp_path, header)).levels
    assert list(levels) == ["cpu"]
    assert levels["cpu"].names == ("L1", "L2", "L3", "RAM")
    header["device"] |= {"id": "cuda:0", "kind": "cuda"}
    assert list(origin_of(written(tmp_path, header)).levels) == ["gpu"]


def test_runs_without_a_log_are_from_the_published_machines(tmp_path):
    assert origin_of(tmp_path) == (published.hierarchies(), ())
    (tmp_path / GENERATED).touch()
    assert origin_of(tmp_path) == (
        published.hierarchies(),
        (f"the runs in {tmp_path} are generated from the cost model, not measured",),
    )
