"""Measurement files under trouble: a full disk, kills, other versions, damage, and locks."""

from __future__ import annotations

import errno
import io
import json
import os
import signal
import subprocess
import sys
import time

import pytest
from calibrating_fakes import make_quick

from sizer.base.errors import MeasurementError, ProfileError
from sizer.calibration import measurements, session
from sizer.calibration.calibration import Settings, calibrate, measurement_path, replay
from sizer.calibration.measurements import Timing, appended, read_measurements
from sizer.cli import run

CALIBRATE = ["calibrate", "--budget", "15s", "--meter", "none", "--quiet"]


@pytest.fixture
def quick(small_cpu, monkeypatch):
    return make_quick(monkeypatch, small_cpu)


class FullDisk(io.FileIO):
    """A file on a disk with room for so many more bytes: the last write takes what fits, the next one fails."""

    room = 10**9

    def write(self, data):
        if not FullDisk.room:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        fits = bytes(data)[: FullDisk.room]
        FullDisk.room -= len(fits)
        return super().write(fits)


@pytest.fixture
def disk(monkeypatch):
    """Measurement files are on a disk whose room the test sets."""
    really = measurements.Path.open

    def opened(path, mode="r", buffering=-1, **options):
        return FullDisk(path, mode) if mode == "ab" else really(path, mode, buffering, **options)

    monkeypatch.setattr(measurements.Path, "open", opened)
    FullDisk.room = 10**9
    return FullDisk


@pytest.mark.parametrize("room", [0, 1, 137, 4001])
def test_a_full_disk_is_one_line_and_the_rerun_goes_on(quick, disk, capsys, room):
    disk.room = room
    assert run(CALIBRATE) == 1
    err = capsys.readouterr().err
    assert len(err.splitlines()) == 1
    assert "No space left on device" in err
    assert "run the same command again: it goes on where it stopped" in err
    path = measurement_path(Settings())
    assert path.read_bytes().endswith(b"\n"), "of a line that did not fit nothing stays"
    before = read_measurements(path).timings
    disk.room = 10**9
    assert run(CALIBRATE) == 0
    after = read_measurements(path)
    assert after.timings[: len(before)] == before
    assert after.finished


def test_a_disk_that_is_full_when_the_profile_is_kept_costs_no_measurement(quick, monkeypatch, capsys):
    from sizer.profiles import loader

    really = loader.write_whole

    def full(path, text):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(loader, "write_whole", full)
    with pytest.raises(ProfileError, match="cannot be written"):
        calibrate(Settings(budget_s=15.0, meter="none"))
    monkeypatch.setattr(loader, "write_whole", really)
    quick.clear()
    assert calibrate(Settings(budget_s=15.0, meter="none")).path.exists()
    assert quick == [], "all was measured already"


def test_a_real_full_disk(tmp_path):
    """/dev/full fails every write."""
    if not os.path.exists("/dev/full"):  # noqa: PTH110
        pytest.skip("no /dev/full here")
    link = tmp_path / "m.jsonl"
    link.symlink_to("/dev/full")
    log = appended(link)
    with pytest.raises(MeasurementError, match=r"m\.jsonl cannot be written \(No space left on device\); free some"):
        log.append(Timing(0, 0, 1.0, 1, None)._asdict())
    log.close()


def test_a_folder_that_may_not_be_written_names_the_variable(quick, monkeypatch, tmp_path, capsys):
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "file"))
    assert run(CALIBRATE) == 1
    assert "set XDG_DATA_HOME to a folder that can" in capsys.readouterr().err


@pytest.mark.parametrize(
    "content",
    [
        b'{"format": "sizer.measurements/9", "settings": {}}\n',
        b"not even JSON",
        b"",
        b'{"format": "sizer.measurements/1"}',
    ],
)
def test_a_file_that_cannot_go_on_is_kept_beside_the_new_one(quick, content):
    path = measurement_path(Settings())
    path.parent.mkdir(parents=True)
    path.write_bytes(content)
    calibrate(Settings(budget_s=15.0, meter="none"))
    assert read_measurements(path).finished
    assert path.with_suffix(".previous.jsonl").read_bytes() == content


def test_a_file_of_another_version_is_named_when_it_is_replayed(tmp_path, capsys):
    path = tmp_path / "m.jsonl"
    path.write_text('{"format": "sizer.measurements/9"}\n')
    assert run(["calibrate", "--replay", str(path)]) == 1
    assert "this version reads sizer.measurements/1" in capsys.readouterr().err
    assert run(["calibrate", "--replay", str(tmp_path / "none.jsonl")]) == 1
    assert "cannot be read" in capsys.readouterr().err


def test_a_file_without_its_machine_is_one_line(quick):
    calibrate(Settings(budget_s=15.0, meter="none"))
    path = measurement_path(Settings())
    header, *rest = path.read_text().split("\n")
    for name in ("device", "dtype", "date", "identity"):
        damaged = json.loads(header)
        del damaged["settings"][name]
        path.write_text("\n".join([json.dumps(damaged), *rest]))
        with pytest.raises(MeasurementError, match="does not describe its machine"):
            replay(path, keep=True)


def test_an_interruption_between_the_plan_and_the_first_timing_leaves_a_readable_file(quick, monkeypatch):
    from sizer.calibration import rounds

    def interrupted(*arguments):
        raise KeyboardInterrupt

    monkeypatch.setattr(rounds, "time_run", interrupted)
    with pytest.raises(KeyboardInterrupt):
        calibrate(Settings(budget_s=15.0, meter="none"))
    found = read_measurements(measurement_path(Settings()))
    assert len(found.plan) >= 40
    assert found.timings == ()


class FakeMsvcrt:
    """Windows' locking of a byte of a file, by path instead of by process."""

    LK_NBLCK = 2

    def __init__(self):
        self.locked: dict[int, int] = {}

    def locking(self, handle, mode, count):
        assert (mode, count) == (self.LK_NBLCK, 1)
        assert os.lseek(handle, 0, os.SEEK_CUR) == 0, "every process must lock the same byte"
        inode = os.fstat(handle).st_ino
        self.locked.pop(handle, None)  # of a file that was closed: its number is used again
        for other, found in list(self.locked.items()):
            if not _is_open(other):
                del self.locked[other]  # closing lets go
            elif found == inode:
                raise OSError(errno.EACCES, "Permission denied")
        self.locked[handle] = inode


def _is_open(handle):
    try:
        os.fstat(handle)
    except OSError:
        return False
    return True


def test_two_calibrations_at_once_are_refused_on_windows_too(monkeypatch):
    monkeypatch.setitem(sys.modules, "fcntl", None)
    monkeypatch.setitem(sys.modules, "msvcrt", FakeMsvcrt())
    with (
        session.only_one(),
        pytest.raises(MeasurementError, match="another calibration is running"),
        session.only_one(),
    ):
        pass
    with session.only_one():
        pass


@pytest.mark.slow
def test_a_second_calibration_is_refused_in_one_line_and_the_first_goes_on(isolated_user):
    """Two real processes, the second as soon as the first holds the lock."""
    calibrating = [sys.executable, "-m", "sizer", "calibrate", "--meter", "none"]
    first = subprocess.Popen([*calibrating, "--budget", "20s"], stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    try:
        until = time.monotonic() + 60
        while not measurement_path(Settings()).with_name("lock").exists() and time.monotonic() < until:
            time.sleep(0.05)
        second = subprocess.run([*calibrating, "--quick"], capture_output=True, text=True, check=False, timeout=60)
        assert second.returncode == 1
        assert second.stdout == ""
        (line,) = second.stderr.splitlines()
        assert "another calibration is running on this machine; wait for it to end" in line
        assert first.poll() is None
    finally:
        first.kill()
        first.communicate()


def test_the_lock_is_let_go_of_by_a_killed_process(isolated_user):
    script = (
        "import time\nfrom sizer.calibration.session import only_one\n"
        "with only_one():\n    print('held', flush=True)\n    time.sleep(100)"
    )
    process = subprocess.Popen([sys.executable, "-c", script], stdout=subprocess.PIPE, text=True)
    try:
        assert process.stdout.readline() == "held\n"
        with pytest.raises(MeasurementError, match="another calibration"), session.only_one():
            pass
    finally:
        process.send_signal(signal.SIGKILL)
        process.wait()
        process.stdout.close()
    with session.only_one():
        pass


@pytest.mark.long
def test_killed_at_three_moments_the_file_is_readable_and_the_rerun_goes_on(isolated_user):
    """benchmarks/kill.py does it at fifty."""
    sys.path.insert(0, str(measurements.Path(__file__).parents[1] / "benchmarks"))
    try:
        import kill
    finally:
        sys.path.pop(0)
    outcomes = list(kill.kill_often(3, seed=1, folder=isolated_user))
    assert all(outcome.problem is None for outcome in outcomes)
    assert len(outcomes) == 3
    assert max(outcome.timings_after for outcome in outcomes) > 0
