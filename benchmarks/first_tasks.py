"""Ten first tasks as a stranger does them: one command from `--help` each, and the first lines of its answer.

    python benchmarks/first_tasks.py [--lines 5]

Each task runs in a fresh process, in a folder of its own, as a new user. Printed are the command, how long it took, its
exit code, the first lines of what it says, and whether they hold what is needed to go on (exit code 1 if not all do).
"""

from __future__ import annotations

import argparse
import os
import random
import re
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import NamedTuple

SIZER = [sys.executable, "-P", "-c", "from sizer.cli import main; main()"]

NET = """
from torch import nn

class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.conv = nn.Conv2d(3, 32, 3, padding=1)
        self.head = nn.Linear(32 * 32 * 32, 10)

    def forward(self, x):
        return self.head(self.conv(x).relu().flatten(1))
"""


class Task(NamedTuple):
    """What somebody wants, the command for it, and what its first lines must hold (a regular expression each)."""

    wish: str
    arguments: tuple[str, ...]
    needed: tuple[str, ...]
    exit_code: int = 0


def tasks(quick: bool = False) -> list[Task]:
    """The ten, a calibration of eight seconds or (quick) none among them."""
    measured = ("calibrate", "--quick", "--quiet")
    return [
        Task("size from a file", ("recommend", "house.csv", "--target", "price"), (r"^Train \d+x3-1: 5-", "an epoch")),
        Task("size by hand", ("recommend", "--input-dim", "30"), (r"^Train \d+x3-1: 30-", "parameters", "a datum")),
        *(
            []
            if quick
            else [
                Task(
                    "calibrate",
                    measured,
                    (r"off by \d+% typically", "Quality: (good|fair|poor)", "Next: `sizer recommend"),
                )
            ]
        ),
        Task("what a calibration rests on", ("calibrate", "--show"), ("taken|no calibration",)),
        Task(
            "inspect a CNN",
            ("inspect", "net.py", "--input", "64,3,32,32"),
            (r"^Net: 328,\d+ parameters", "onvolutions"),
        ),
        Task(
            "search on data",
            ("search", "house.csv", "--target", "price", "--r2", "0.8", "--save", "m.pt2", "--quiet"),
            ("^Reached r2", "sizer predict m.pt2", "Training took"),
        ),
        Task("predict in a fresh process", ("predict", "m.pt2", "house.csv"), ("^price$", r"^\d+\.\d+$")),
        Task(
            "a search that fails",
            ("search", "house.csv", "--target", "price", "--r2", "0.9999", "--max-epochs", "25", "--quiet"),
            ("^Not reached: r2 of at least 0.9999; the best is 0", r"bout r2 0\.\d+ looks possible"),
            exit_code=1,
        ),
        Task(
            "plan for a GPU",
            ("recommend", "house.csv", "--target", "price", "--fleet", "cpu,nvidia-t4"),
            ("^Cheapest: ", "nvidia-t4"),
        ),
        Task("a plot", ("recommend", "--input-dim", "30", "--plot", "curve.svg"), ("^Train ", "wrote curve.svg")),
        *typos(),
    ]


def typos() -> list[Task]:
    """Five slips of the hand, each answered by one line with the nearest name or the remedy."""
    return [
        Task("typo: command", ("recomend",), ("did you mean recommend",), 2),
        Task("typo: option", ("recommend", "--inputdim", "30"), ("did you mean --input-dim",), 2),
        Task("typo: column", ("recommend", "house.csv", "--target", "prise"), ("did you mean price",), 2),
        Task(
            "typo: profile", ("recommend", "--input-dim", "30", "--device", "nvidia-h20"), ("did you mean nvidia",), 1
        ),
        Task(
            "a goal left out", ("search", "house.csv", "--target", "price"), ("how good is good enough: --r2 0.9",), 2
        ),
    ]


def prepare(folder: Path) -> None:
    """A table of houses and a network in a file."""
    draw = random.Random(5)  # noqa: S311 (made-up data)
    rows = ["size,rooms,city,price"]
    for _ in range(400):
        size, rooms, city = draw.gauss(90, 25), draw.randint(1, 6), draw.choice(["Bern", "Genoa", "Lyon"])
        price = 3 * size + 10 * rooms + {"Bern": 80, "Genoa": 0, "Lyon": 30}[city] + draw.gauss(0, 12)
        rows.append(f"{size:.1f},{rooms},{city},{price:.1f}")
    (folder / "house.csv").write_text("\n".join(rows) + "\n", encoding="utf-8")
    (folder / "net.py").write_text(NET, encoding="utf-8")


def run(task: Task, folder: Path, columns: int = 80) -> tuple[subprocess.CompletedProcess[str], float]:
    """The task in a fresh process of a new user, and the seconds that it took."""
    home = {f"XDG_{name}_HOME": str(folder / name.lower()) for name in ("CACHE", "DATA", "CONFIG")}
    environment = {**os.environ, **home, "HOME": str(folder), "COLUMNS": str(columns), "PYTHONIOENCODING": "utf-8"}
    before = time.perf_counter()
    done = subprocess.run(
        [*SIZER, *task.arguments], cwd=folder, env=environment, capture_output=True, text=True, check=False
    )
    return done, time.perf_counter() - before


def first_lines(done: subprocess.CompletedProcess[str], lines: int) -> str:
    """The first lines of standard output, and what standard error begins with."""
    return "\n".join([*done.stdout.splitlines()[:lines], *done.stderr.splitlines()[:1]])


def missing(task: Task, done: subprocess.CompletedProcess[str], lines: int) -> list[str]:
    """What the first lines lack."""
    text = first_lines(done, lines)
    joined = " ".join(text.split())
    found = [not re.search(needed, text, re.MULTILINE) and not re.search(needed, joined) for needed in task.needed]
    lacking = [needed for needed, lacks in zip(task.needed, found, strict=True) if lacks]
    return lacking + ([] if done.returncode == task.exit_code else [f"exit code {task.exit_code}"])


def main() -> None:
    """Do the tasks in turn and show what they say."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--lines", type=int, default=5)
    lines = parser.parse_args().lines
    lacking = 0
    with tempfile.TemporaryDirectory(prefix="first-tasks-") as name:
        prepare(Path(name))
        for task in tasks():
            done, seconds = run(task, Path(name))
            wrong = missing(task, done, lines)
            lacking += bool(wrong)
            print(f"\n== {task.wish}: sizer {' '.join(task.arguments)}   ({seconds:.1f} s, exit {done.returncode})")
            print(first_lines(done, lines))
            print(f"-- lacks {', '.join(wrong)}" if wrong else "-- enough to go on")
    sys.exit(1 if lacking else 0)


if __name__ == "__main__":
    main()
