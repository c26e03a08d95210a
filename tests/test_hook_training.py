"""Training with the hook is bit-identical to training without it, and the hook leaves nothing behind."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import hook_training
import pytest
import torch
from hook_training import GLOBAL_HOOKS
from torch import nn

import sizer
from sizer.hook.watching import Watch

SCRIPT = Path(hook_training.__file__)


@pytest.mark.parametrize("scenario", ["plain", "autocast", "accumulation", "workers", "reentrant", "raising", "noisy"])
def test_training_is_bit_identical(scenario):
    without, _ = hook_training.main(scenario, hooked=False)
    with_hook, said = hook_training.main(scenario, hooked=True)
    assert with_hook == without
    assert said.count("sizer: working sets:") == 1, said
    assert "warning" not in said


COMPILER = shutil.which(os.environ.get("CXX") or "g++") or shutil.which("clang++")
NO_COMPILER = pytest.mark.skipif(COMPILER is None, reason="inductor needs a C++ compiler")
COMPILED = [
    "compiled",
    pytest.param("compiled optimizer", marks=pytest.mark.long),
    pytest.param("inductor", marks=[pytest.mark.long, NO_COMPILER]),
]


@pytest.mark.slow
@pytest.mark.parametrize("scenario", COMPILED)
def test_compiled_training_is_bit_identical(scenario):
    found = [run_script(scenario, state).split() for state in ("off", "on")]
    assert found[0][1] == found[1][1]
    assert found[1][2] == "1"


@pytest.mark.slow
def test_distributed_training_is_bit_identical_and_reports_once():
    launch = ["-m", "torch.distributed.run", "--nproc-per-node", "2", "--master-port", "29511"]
    lines = [sorted(run_script("distributed", state, launch).splitlines()) for state in ("off", "on")]
    assert [line.split()[1] for line in lines[0]] == [line.split()[1] for line in lines[1]]
    assert [line.split()[2] for line in lines[1]] == ["1", "0"]


def run_script(scenario, state, launch=()):
    command = [sys.executable, *launch, str(SCRIPT), scenario, state]
    done = subprocess.run(command, capture_output=True, text=True, timeout=500, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


def trained(model, optimizer, steps=3, width=6):
    for _ in range(steps):
        optimizer.zero_grad()
        model(torch.randn(16, width)).square().mean().backward()
        optimizer.step()


def test_advise_reports_once_with_what_it_learned(capsys, tmp_path):
    model = hook_training.plain_model()
    optimizer = torch.optim.AdamW(model.parameters(), fused=True)
    before = nn.Module.__call__
    sizer.advise(model, optimizer, json_file=tmp_path / "advice.json")
    trained(model, optimizer)
    said = capsys.readouterr()
    assert said.out == ""
    assert said.err.count("working sets:") == 1
    assert "6-12-12-1" in said.err
    assert "batch 16, float32, adamw (fused), on cpu" in said.err
    assert '"format": "sizer.module/1"' in (tmp_path / "advice.json").read_text()
    assert nn.Module.__call__ is before
    assert not GLOBAL_HOOKS


def test_another_model_is_not_reported(capsys):
    teacher, student = hook_training.plain_model(), nn.Linear(6, 1)
    with torch.no_grad():
        teacher(torch.randn(4, 6))
    with sizer.watch() as watch:
        teacher(torch.randn(4, 6))  # builds a graph, but nothing trains it
        trained(student, torch.optim.SGD(student.parameters(), lr=0.1))
    assert watch.record is not None
    assert watch.record.widths == (6, 1)
    assert "Linear 6-1" in capsys.readouterr().err


def test_only_the_advised_model_is_reported():
    first, second = nn.Linear(6, 1), nn.Linear(6, 2)
    with Watch(model=second, quiet=True) as watch:
        trained(first, torch.optim.SGD(first.parameters(), lr=0.1))
        assert watch.record is None
        trained(second, torch.optim.SGD(second.parameters(), lr=0.1))
    assert watch.record.widths == (6, 2)


def test_quiet_and_off_say_nothing(capsys, monkeypatch):
    model = nn.Linear(6, 1)
    with sizer.watch(quiet=True) as watch:
        trained(model, torch.optim.SGD(model.parameters(), lr=0.1))
    assert watch.record is not None
    monkeypatch.setenv("SIZER", "off")
    with sizer.watch() as watch:
        trained(model, torch.optim.SGD(model.parameters(), lr=0.1))
    assert watch.record is None
    assert capsys.readouterr().err == ""


def test_a_watch_without_training_says_so(capsys):
    with sizer.watch():
        nn.Linear(2, 2)(torch.ones(1, 2))
    assert "no training step was seen" in capsys.readouterr().err


@pytest.mark.parametrize("error", [RuntimeError("kaput\nlines"), KeyError("x"), sizer.SizerError("no")])
def test_an_internal_error_is_one_warning_line(capsys, monkeypatch, error):
    def failing(*_):
        raise error

    monkeypatch.setattr("sizer.hook.blocks.block", failing)
    model = nn.Linear(6, 1)
    before = nn.Module.__call__
    with sizer.watch():
        trained(model, torch.optim.SGD(model.parameters(), lr=0.1))
    said = capsys.readouterr().err
    assert said.startswith("sizer: warning: ")
    assert said.count("\n") == 1
    assert nn.Module.__call__ is before


def test_a_wrong_argument_to_advise_is_a_warning(capsys):
    sizer.advise(7)
    assert capsys.readouterr().err.startswith("sizer: warning: ")


def test_an_unwritable_json_file_is_a_warning(capsys):
    model = nn.Linear(6, 1)
    sizer.advise(model, json_file="/proc/none/advice.json")
    trained(model, torch.optim.SGD(model.parameters(), lr=0.1))
    assert "sizer: warning: " in capsys.readouterr().err


def test_measured_steps_are_shown_beside_the_prediction(capsys):
    model = nn.Linear(6, 1)
    with Watch(measure=5) as watch:
        trained(model, torch.optim.SGD(model.parameters(), lr=0.1), steps=10)
    assert watch.measured_s > 0
    assert capsys.readouterr().err.count("sizer: measured ") == 1
