"""The scripts of `examples/` run as they are. A calibration's steps are timed by formula; no machine is waited for."""

from __future__ import annotations

import contextlib
import doctest
import importlib
import io
import re
import runpy
import subprocess
import sys
from pathlib import Path

import pytest
from calibrating_fakes import make_quick

import sizer
from sizer import cli
from sizer.families import timing
from sizer.study.own_runs import plan
from sizer.study.own_runs import run as own_runs

EXAMPLES = Path(__file__).parents[1] / "examples"
SAID = {
    "size_and_train": (r"parameters\n", r"epoch 3: training loss 0\.\d+\n"),
    "advise_while_training": (r"sizer\.module/1: seen at batch 100\n",),
    "calibrate_and_plan": (r"networks timed; the profile is .*cpu\.json", r"here: .*\(\w+\)", r"H200: .*\(estimated\)"),
    "search_a_csv": (r"sizes tried\n", r"\[.*\d.*\]"),
    "width_of_your_own": (r"train width \d+: \d", r"  width 16: \d", r"\d parameters\n"),
    "study_of_your_own": (r"12 trainings\n", r"caches: "),
}


def run_example(name: str, monkeypatch, *arguments: str) -> None:
    path = EXAMPLES / f"{name}.py"
    monkeypatch.setattr(sys, "argv", [str(path), *arguments])
    runpy.run_path(str(path), run_name="__main__")


def test_every_example_is_run_here():
    assert {path.stem for path in EXAMPLES.glob("*.py")} == set(SAID)


@pytest.mark.parametrize("path", sorted(EXAMPLES.glob("*.py")), ids=lambda path: path.stem)
def test_an_example_is_short_and_uses_the_public_face_alone(path):
    text = path.read_text(encoding="utf-8")
    assert 15 <= sum(1 for line in text.splitlines() if line.strip()) <= 40
    assert not re.search(r"\b(from|import) sizer\.", text)
    assert set(re.findall(r"\bsizer\.(\w+)", text)) <= {*sizer.__all__, "models", "profiles", "integrations"}


@pytest.mark.parametrize("name", ["size_and_train", "advise_while_training", "search_a_csv", "width_of_your_own"])
def test_an_example_runs(name, monkeypatch, capsys):
    monkeypatch.setattr(timing, "_RUN_S", 0.005)
    run_example(name, monkeypatch)
    printed = capsys.readouterr().out
    for pattern in SAID[name]:
        assert re.search(pattern, printed), printed


def test_the_example_of_a_calibration_runs(small_cpu, monkeypatch, capsys):
    make_quick(monkeypatch, small_cpu)
    run_example("calibrate_and_plan", monkeypatch)
    printed = capsys.readouterr().out
    for pattern in SAID["calibrate_and_plan"]:
        assert re.search(pattern, printed), printed


def test_the_example_of_a_study_runs(monkeypatch, capsys):
    """Its commands run in this process, where a training ends after its least epochs, long before its time."""

    really = subprocess.run

    def called(command, **options):
        if Path(command[0]).name != "sizer":
            return really(command, **options)
        with io.StringIO() as stdout, contextlib.redirect_stdout(stdout):
            assert cli.run(command[1:]) == 0
            return subprocess.CompletedProcess(command, 0, stdout.getvalue())

    monkeypatch.setattr(subprocess, "run", called)
    monkeypatch.setattr(plan, "RUN_S", 20.0)
    monkeypatch.setattr(own_runs, "_ALLOTTED", (0.0, 0.0))
    monkeypatch.setattr(own_runs, "sweep_accesses", list)
    monkeypatch.setattr(own_runs, "with_effective_capacity", lambda device, times: device)
    run_example("study_of_your_own", monkeypatch, "4")
    printed = capsys.readouterr().out
    for pattern in SAID["study_of_your_own"]:
        assert re.search(pattern, printed), printed


@pytest.mark.parametrize("module", ["sizer", "sizer.models.topology", "sizer.models.shapes", "sizer.profiles.loader"])
def test_the_examples_in_docstrings_hold(module):
    found = doctest.testmod(importlib.import_module(module), optionflags=doctest.NORMALIZE_WHITESPACE)
    assert found.failed == 0
    assert found.attempted > 0
