"""Ten first tasks of a stranger (benchmarks/first_tasks.py): the first five lines of each answer suffice to go on."""

from __future__ import annotations

import importlib.util
from pathlib import Path

import pytest

PATH = Path(__file__).parents[1] / "benchmarks" / "first_tasks.py"


@pytest.fixture(scope="module")
def script():
    specification = importlib.util.spec_from_file_location("first_tasks", PATH)
    module = importlib.util.module_from_spec(specification)
    specification.loader.exec_module(module)
    return module


@pytest.mark.slow
def test_first_tasks(script, tmp_path):
    script.prepare(tmp_path)
    for task in script.tasks(quick=True):
        done, _ = script.run(task, tmp_path)
        assert script.missing(task, done, 5) == [], script.first_lines(done, 5)
        assert max(map(len, done.stdout.splitlines()), default=0) <= 80, task.wish
        assert "Traceback" not in done.stderr


def test_typos_get_one_line(script, tmp_path):
    script.prepare(tmp_path)
    for task in script.typos()[:2]:
        done, _ = script.run(task, tmp_path)
        assert script.missing(task, done, 5) == []
        assert done.stdout == ""
        assert len(done.stderr.splitlines()) == 1
