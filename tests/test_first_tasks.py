"""Ten first tasks of a stranger (benchmarks/first_tasks.py): the first five lines of each answer suffice to go on."""

from __future__ import annotations

import importlib.util
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]


@pytest.fixture(scope="module")
def script():
    return loaded("first_tasks")


def loaded(name: str):
    """A script of benchmarks/ as a module."""
    specification = importlib.util.spec_from_file_location(name, ROOT / "benchmarks" / f"{name}.py")
    module = importlib.util.module_from_spec(specification)
    specification.loader.exec_module(module)
    return module


@pytest.mark.long
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


def test_the_tour_of_readme_is_what_its_script_writes(monkeypatch):
    """The commands of benchmarks/tour.py in their order, each with an answer, which the script put there."""
    monkeypatch.syspath_prepend(ROOT / "benchmarks")
    tour = loaded("tour")
    block = tour._BLOCK.search((ROOT / "README.md").read_text(encoding="utf-8")).group()
    lines = block.splitlines()
    assert [line for line in lines if line.startswith("$ ")] == [
        "$ pip install .",
        *(f"$ {stop.command}" for stop in tour.STOPS),
    ]
    assert max(map(len, lines)) <= 80
    stop = tour.Stop("sizer run train.py", about="sizer: to do")
    assert list(tour.shown(stop, "", "sizer: a\nsizer: to do: b\n")) == [
        "$ sizer run train.py",
        " ...",
        "sizer: to do: b",
    ]
    assert list(tour.shown(tour.Stop("x"), "a\nb\n\nc\n", "")) == ["$ x", "a", "b", " ..."]
