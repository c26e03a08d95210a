"""What commands that train say of a machine that is not as it was calibrated, and that asking costs nothing lasting."""

from __future__ import annotations

import subprocess
import sys
import time

import numpy as np
import pytest
import torch
from machine_of_two_speeds import LEVELS
from test_calibrating import profile_for

from sizer.calibration import changes
from sizer.calibration.changes import changes_since_calibration, speed_now
from sizer.cli import run
from sizer.detection.captured_tree import Tree
from sizer.detection.detect import detected


def taken(threads=1.0, near=1.0):
    return [{**LEVELS, "threads": LEVELS["threads"] * threads, "near": LEVELS["near"] * near}] * 5


def test_another_speed_is_said_with_what_is_slower():
    assert speed_now(taken(), LEVELS) is None
    assert speed_now(taken(threads=1.1), LEVELS) is None, "nor is a step in RAM at its quiet time a faster machine"
    said = speed_now(taken(threads=1.45, near=1.2), LEVELS)
    assert "slower now than when it was calibrated: a product on all threads takes 1.42 times" in said
    assert "faster now" in speed_now(taken(near=0.6), LEVELS)


def test_threads_that_hand_over_more_slowly_are_another_speed():
    slow = [{**LEVELS, "handoff": 1.9 * LEVELS["handoff"]}] * 5
    assert "handing small products to all threads takes 1.86 times as long" in speed_now(slow, LEVELS)
    assert speed_now([{**LEVELS, "handoff": 1.3 * LEVELS["handoff"]}] * 5, LEVELS) is None


def test_what_a_step_in_ram_scatters_by_itself_is_no_other_speed():
    """Its median lies up to 1.4 times above its quiet time on a machine that nobody disturbs."""
    assert speed_now([{**LEVELS, "ram": 1.4 * LEVELS["ram"]}] * 5, LEVELS) is None
    assert "one thread in RAM" in speed_now([{**LEVELS, "ram": 1.7 * LEVELS["ram"]}] * 5, LEVELS)


def test_one_disturbed_sample_is_no_other_speed():
    samples = [*taken()[:3], *taken(threads=9.0)[:1]]
    assert speed_now(samples, LEVELS) is None


@pytest.fixture
def calibrated(small_cpu, monkeypatch):
    """A calibrated machine, whose reference steps take what the test says."""
    monkeypatch.setattr(changes, "detected", lambda name: small_cpu)
    now = {"taken": taken()}
    monkeypatch.setattr(changes, "_taken", lambda device: now["taken"])
    profile_for(small_cpu, reference_s=LEVELS, kernel=changes.platform.release())
    return now


def test_nothing_is_said_while_nothing_changed_or_nothing_is_calibrated(calibrated, small_cpu, monkeypatch):
    assert changes_since_calibration("cpu") == ()
    assert changes_since_calibration("cpu", 7, told_elsewhere=True) == ()
    (said,) = changes_since_calibration("cpu", 7)
    assert "was made with threads" in said


def test_speed_kernel_and_governor_are_said(calibrated, small_cpu, monkeypatch, tmp_path):
    calibrated["taken"] = taken(threads=1.3)
    (said,) = changes_since_calibration("cpu")
    assert "1.27 times as long" in said
    calibrated["taken"] = taken()
    monkeypatch.setattr(changes.platform, "release", lambda: "99.1")
    (said,) = changes_since_calibration("cpu")
    assert "the kernel is 99.1, and was" in said
    governor = tmp_path / "sys/devices/system/cpu/cpu0/cpufreq/scaling_governor"
    governor.parent.mkdir(parents=True)
    governor.write_text("powersave\n")
    (said,) = changes._other_system({"governor": "performance"}, Tree(tmp_path))
    assert said.startswith("the governor is powersave, and was performance")
    assert list(changes._other_system({}, Tree(tmp_path))) == []


def test_asking_leaves_random_numbers_threads_and_memory(small_cpu, monkeypatch):
    monkeypatch.setattr(changes, "detected", lambda name: small_cpu)
    profile_for(small_cpu, reference_s=dict.fromkeys(LEVELS, 1.0))
    torch_state, numpy_state = torch.get_rng_state(), np.random.get_state()[1].tolist()
    threads = torch.get_num_threads()
    (said,) = changes_since_calibration("cpu")
    assert "faster now" in said
    assert torch.equal(torch_state, torch.get_rng_state())
    assert np.random.get_state()[1].tolist() == numpy_state
    assert torch.get_num_threads() == threads


@pytest.mark.parametrize("command", [["validate"], ["search", "sklearn:none", "--loss", "1"], ["study", "run"]])
def test_the_commands_ask_before_they_train(command, monkeypatch, capsys):
    asked = []

    def ask(device, threads=None, told_elsewhere=False):
        asked.append((device, threads))
        raise KeyboardInterrupt

    monkeypatch.setattr(changes, "changes_since_calibration", ask)
    with pytest.raises((KeyboardInterrupt, SystemExit)):
        raise SystemExit(run([*command, "--threads", "1"]))
    assert asked in ([("cpu", 1)], [(None, 1)])  # (a search trains on a GPU if there is one)


def test_reading_a_calibration_does_not_ask(monkeypatch, small_cpu):
    def asked(*arguments):
        raise AssertionError("the machine was timed")

    monkeypatch.setattr(changes, "changes_since_calibration", asked)
    monkeypatch.setattr(changes, "_taken", asked)
    profile_for(small_cpu, reference_s=LEVELS)
    assert run(["inspect", "4-8-1", "--device", "cpu"]) in (0, 1, 2)


@pytest.fixture
def slower_than_calibrated(small_cpu):
    """A calibration of this machine, by whose reference steps everything takes ten thousand times as long now."""
    profile_for(detected("cpu"), reference_s=dict.fromkeys(LEVELS, 1e-9))


def test_a_child_answers_and_leaves_this_process_as_it_was(slower_than_calibrated):
    """By a fresh interpreter; by a fork of one in which nothing has worked yet, see below."""
    torch_state, threads = torch.get_rng_state(), torch.get_num_threads()
    (said,) = changes._by_a_fresh_interpreter("cpu")
    assert "this machine is slower now than when it was calibrated" in said
    assert torch.equal(torch_state, torch.get_rng_state())
    assert torch.get_num_threads() == threads


def test_a_child_that_hangs_or_fails_is_given_up(monkeypatch):
    monkeypatch.setattr(changes, "_CHILD_S", 0.1)
    monkeypatch.setattr(changes, "changes_since_calibration", lambda name: time.sleep(60))
    assert changes.changes_by_a_child("cpu") == ()
    monkeypatch.setattr(changes, "changes_since_calibration", lambda name: 1 / 0)
    assert changes.changes_by_a_child("cpu") == ()


TRAINING = """
import torch
torch.manual_seed(0)
model = torch.nn.Linear(4, 1)
optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
for _ in range(40):
    optimizer.zero_grad()
    model(torch.rand(8, 4)).sum().backward()
    optimizer.step()
print(round(torch.rand(1).item(), 4), round(model.weight.sum().item(), 4))
"""


@pytest.fixture(scope="module")
def printed():
    """What the training prints without sizer."""
    return subprocess.run([sys.executable, "-c", TRAINING], capture_output=True, text=True, check=True).stdout


@pytest.mark.parametrize(("options", "says"), [(["--measure"], True), ([], False), (["--measure", "--quiet"], False)])
def test_a_script_that_is_measured_is_told_first_and_runs_as_without(
    options, says, slower_than_calibrated, printed, tmp_path
):
    script = tmp_path / "train.py"
    script.write_text(TRAINING)
    command = [sys.executable, "-m", "sizer", "run", *options, str(script)]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert done.stdout == printed
    assert ("sizer: warning: this machine is slower now than when it was" in done.stderr) == says
    assert not says or done.stderr.index("slower now") < done.stderr.index("working sets")
