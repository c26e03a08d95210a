"""GPUs without one: timing behind a made-up asynchronous device, and the script that a machine with a GPU runs."""

from __future__ import annotations

import json
import math
import os
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch

from sizer.calibration import timed_step
from sizer.calibration.measurements import Case
from sizer.calibration.plan import MIN_STEPS, WARM_UP
from sizer.meters.protocol import Energy, NullMeter, Snapshot
from sizer.method.training_step import Training
from sizer.profiles import load

ROOT = Path(__file__).parents[1]
CASE = Case("rectangle", 4, (4, 1), 32)


class AsynchronousDevice:
    """Launching a step takes 50 us of the program's time; the device works on it for 200 us and reports after 2 ms."""

    launch_s, work_s, report_s = 50e-6, 200e-6, 2e-3

    def __init__(self, monkeypatch) -> None:
        self.now = self.idle_from = 0.0
        self.waited_for: list[object] = []
        self.waits = self.steps = 0
        self.first_s = self.launch_s  # the first step loads kernels
        monkeypatch.setattr(timed_step.time, "perf_counter", lambda: self.now)
        monkeypatch.setattr(torch.cuda, "synchronize", self.synchronize)
        monkeypatch.setattr(torch.cuda, "current_stream", lambda device: device)
        monkeypatch.setattr(torch.cuda, "is_current_stream_capturing", lambda: False)
        monkeypatch.setattr(torch.cuda, "Event", lambda enable_timing: Mark(self))
        monkeypatch.setattr(timed_step, "make_step", lambda case, training, device: self.step)

    def step(self) -> None:
        self.now += self.launch_s if self.steps else self.first_s
        self.idle_from = max(self.idle_from, self.now) + self.work_s
        self.steps += 1

    def synchronize(self, device=None) -> None:
        self.waited_for.append(device)
        self.now = max(self.now, self.idle_from) + self.report_s
        self.waits += 1


class Mark:
    """An event of the asynchronous device: the time at which its work gets there."""

    def __init__(self, device: AsynchronousDevice) -> None:
        self.device = device

    def record(self, stream) -> None:
        assert stream == torch.device("cuda:0")
        self.at = max(self.device.now, self.device.idle_from)

    def synchronize(self) -> None:
        self.device.now = max(self.device.now, self.at)
        self.device.waits += 1

    def elapsed_time(self, later: Mark) -> float:
        return 1000 * (later.at - self.at)


def test_the_first_batch_is_no_time_of_a_step(monkeypatch):
    """It holds the context and the kernels that are loaded: two seconds here, which one batch would seem to last."""
    device = AsynchronousDevice(monkeypatch)
    device.first_s = 2.0
    run = timed_step.time_run(CASE, Training(), 0.1, "cuda:0")
    assert run.step_s == pytest.approx(device.work_s, rel=0.01)
    assert run.steps > 100


def test_the_device_that_is_meant_is_waited_for(monkeypatch):
    device = AsynchronousDevice(monkeypatch)
    timed_step.time_run(CASE, Training(), 0.01, "cuda:0")
    assert set(device.waited_for) == {"cuda:0"}


def test_no_run_gets_far_ahead_of_the_device(monkeypatch):
    """Launching is 4 times faster than working: a run of a second must not leave four to wait for."""
    device = AsynchronousDevice(monkeypatch)
    timed_step.time_run(CASE, Training(), 1.0, "cuda:0")
    assert device.idle_from < 1.2


def test_the_wait_is_shared_by_many_steps(monkeypatch):
    """Waiting after each, a step would seem to take 2.25 ms; it takes the 0.2 ms of the device's work."""
    device = AsynchronousDevice(monkeypatch)
    monkeypatch.setattr(timed_step, "_BATCH_S", 0.5)
    run = timed_step.time_run(CASE, Training(), 2.0, "cuda:0")
    assert run.step_s == pytest.approx(device.work_s, rel=0.1)
    assert run.steps > 100 * MIN_STEPS
    assert device.waits < device.steps / 20


def test_long_steps_are_timed_one_by_one(monkeypatch):
    device = AsynchronousDevice(monkeypatch)
    device.work_s = 0.3
    run = timed_step.time_run(CASE, Training(), 0.01, "cuda:0")
    assert run.steps == MIN_STEPS
    assert run.step_s == pytest.approx(0.3, rel=0.01)
    assert device.steps <= MIN_STEPS + 3 * WARM_UP


class EdgedMeter(NullMeter):
    """A counter of the asynchronous device's energy at 300 W, that moves every 0.1 s."""

    minimum_window_s, edge_period_s, label = 1.0, 0.1, "measured"

    def __init__(self, device: AsynchronousDevice) -> None:
        super().__init__()
        self.device = device
        self.taken: list[float] = []

    def snapshot(self) -> Snapshot:
        self.device.now += 1e-5
        self.taken.append(self.device.now)
        moved = math.floor(self.device.now / 0.1 + 1e-9) * 0.1
        return Snapshot(self.device.now, self.device.now, (300.0 * moved,))

    def energy(self, start: Snapshot, end: Snapshot) -> Energy:
        return Energy(end.readings[0] - start.readings[0], end.time_s - start.time_s, "measured")


def test_a_metered_window_begins_after_a_second_of_load_and_on_edges(monkeypatch):
    """Between edges a counter is up to 0.1 s old: a window of a second would be wrong by a tenth."""
    device = AsynchronousDevice(monkeypatch)
    meter = EdgedMeter(device)
    run = timed_step.time_run(CASE, Training(), 0.01, "cuda:0", meter)
    start, end = run.window_unix_s
    assert start >= timed_step._LOADED_S
    for edge in run.window_unix_s:
        assert edge % 0.1 < 0.02  # (a batch is 5 ms)
    assert end - start >= meter.minimum_window_s
    assert run.energy_j == pytest.approx(300.0 * device.work_s, rel=0.01)


def test_a_meter_without_edges_is_read_when_the_time_is_up(monkeypatch):
    device = AsynchronousDevice(monkeypatch)
    meter = EdgedMeter(device)
    meter.edge_period_s = None
    timed_step.time_run(CASE, Training(), 0.01, "cuda:0", meter)
    assert len(meter.taken) == 2


def test_windows_of_sampled_power_begin_at_shifted_phases(monkeypatch):
    """A register of power is renewed every 0.1 s: five windows must not all begin at the same tenth of it."""
    starts = []
    for _ in range(5):
        device = AsynchronousDevice(monkeypatch)
        meter = EdgedMeter(device)
        meter.edge_period_s = None
        timed_step.time_run(CASE, Training(), 0.01, "cuda:0", meter)
        starts.append(meter.taken[0] % 0.1)
    assert len({round(start, 2) for start in starts}) >= 4, starts
    assert all(start < timed_step._LOADED_S + 0.2 for start in starts)


@pytest.mark.parametrize(
    ("capability", "half"), [((7, 0), "float16"), ((7, 5), "float16"), ((8, 0), "bfloat16"), ((9, 0), "bfloat16")]
)
def test_mixed_precision_is_float16_on_v100_and_t4(monkeypatch, capability, half):
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda device: capability)
    assert timed_step.half_of("cuda:0") == getattr(torch, half)
    assert timed_step.half_of("cpu") == torch.bfloat16


@pytest.mark.slow
@pytest.mark.long
def test_one_command_writes_profile_and_tables_of_a_gpu(tmp_path):
    """With a made-up H200: what it measures is this machine's CPU, and only that the files are right is checked."""
    out = tmp_path / "out"
    environment = {
        **os.environ,
        "PYTHON": sys.executable,
        "PYTHONPATH": str(ROOT / "tests" / "fake_cuda"),
        "CALIBRATE_S": "16",
        "VALIDATE_S": "5",
        "DRY": "1",
    }
    began = time.monotonic()
    done = subprocess.run(
        [str(ROOT / "benchmarks" / "gpu_run.sh"), str(out)],
        env=environment,
        capture_output=True,
        text=True,
        check=False,
        timeout=540,
        cwd=tmp_path,
    )
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]
    assert time.monotonic() - began < 540
    files = ("calibration.json", "calibration.txt", "environment.json", "measurements.jsonl", "nvidia-h200.json")
    assert sorted(path.name for path in out.iterdir()) == sorted(
        [*files, "checks.jsonl", "checks.txt", "tests.txt", "validation.json", "validation.txt"]
    )
    profile = load(out / "nvidia-h200.json")
    assert (profile.name, profile.kind) == ("nvidia-h200", "cuda")
    assert profile.by_quantity["time"].source == "shipped"
    assert "measured with sizer calibrate" in profile.by_quantity["time"].basis
    assert profile.peaks_flop_per_s == load("nvidia-h200").peaks_flop_per_s
    assert json.loads((out / "validation.json").read_text())["errors"]["networks"] >= 20
    assert json.loads((out / "calibration.json").read_text())["device"]["id"] == "cuda:0"
    assert "skipped" in (out / "tests.txt").read_text()
    assert str(tmp_path) not in (out / "nvidia-h200.json").read_text()
    findings = [json.loads(line) for line in (out / "checks.jsonl").read_text().splitlines()]
    assert {finding["check"] for finding in findings} >= {"facts", "times", "energy", "hook", "fresh", "aged", "search"}
    assert not any(finding["ok"] is False for finding in findings)


def test_a_check_that_finds_something_wrong_is_the_exit_status(tmp_path):
    """With a made-up GPU whose NVML meters another: what went wrong is a finding, and the checks after it run."""
    checks = ROOT / "benchmarks" / "gpu_checks.py"
    environment = {**os.environ, "PYTHONPATH": str(ROOT / "tests" / "fake_cuda"), "FAKE_NVML_FAILS": "1"}
    done = subprocess.run(
        [sys.executable, str(checks), str(tmp_path), "meters", "facts", "--dry"],
        env=environment,
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )
    assert done.returncode == 1, done.stdout + done.stderr
    findings = [json.loads(line) for line in (tmp_path / "checks.jsonl").read_text().splitlines()]
    assert [finding["ok"] for finding in findings if finding["check"] == "meters"] == [False]
    assert any(finding["ok"] for finding in findings if finding["check"] == "facts")
