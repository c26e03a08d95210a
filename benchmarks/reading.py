"""How many modules of sizer one has to read to follow one recommendation, one calibration timing, one search trial.

    python benchmarks/reading.py [--modules]

A module counts when one of its functions runs (`sys.setprofile`, on every thread); what only runs while a module is
imported does not. Measured is the sizer that this interpreter imports, of any release: each task is a call of the
public face, in a process of its own with empty user folders, the machine detected before. `--modules` lists them.

  recommendation      sizer.recommend(input_dim=784, depth=6) for this machine
  calibration timing  sizer.calibrate, from the begin of its first round until the first timing is in the file
  search trial        sizer.search on 60 rows, its loop of rounds: one trial, which meets the target
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import subprocess
import sys
import tempfile
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from types import CodeType, FrameType
from typing import Any

_OPTIMIZED = 0x1  # of a code object's flags: set for functions, not for the bodies of modules and classes


class Done(BaseException):
    """What was to be watched has happened; no `except Exception` of sizer's stops it."""


class Functions:
    """Notes the modules whose functions run while `watching`.

    ``first`` and ``last`` are functions by module and name, the module's package left out: counted is from a call of
    the one on, and when the other returns, `Done` is raised.
    """

    def __init__(self, folders: tuple[str, ...]) -> None:
        self.modules: set[str] = set()
        self.first: set[tuple[str, str]] = set()
        self.last: set[tuple[str, str]] = set()
        self._folders = folders
        self._seen: set[CodeType] = set()

    @contextlib.contextmanager
    def watching(self) -> Iterator[None]:
        """Note functions that start within, on this thread and on those that begin meanwhile."""
        threading.setprofile(self._note)
        sys.setprofile(self._note)
        try:
            yield
        finally:
            sys.setprofile(None)
            threading.setprofile(None)  # type: ignore[arg-type]  # (None is what switches it off)

    def _note(self, frame: FrameType, event: str, _: Any) -> None:
        code = frame.f_code
        if self.first or self.last:
            name = (str(frame.f_globals.get("__name__")).rpartition(".")[2], code.co_name)
            if event == "call" and name in self.first:
                self.first = set()
            if self.first:
                return
            if event == "return" and name in self.last:
                raise Done
        if event != "call" or code in self._seen or not code.co_filename.startswith(self._folders):
            return
        if code.co_flags & _OPTIMIZED and not self._importing(frame):
            self._seen.add(code)
            self.modules.add(str(frame.f_globals["__name__"]))

    def _importing(self, frame: FrameType) -> bool:
        """Whether the function runs for a module or class body of sizer."""
        outer = frame.f_back
        while outer is not None:
            if not outer.f_code.co_flags & _OPTIMIZED and outer.f_code.co_filename.startswith(self._folders):
                return True
            outer = outer.f_back
        return False


def recommendation(functions: Functions) -> None:
    """One recommendation for the machine as it is."""
    import sizer

    with functions.watching():
        sizer.recommend(input_dim=784, depth=6)


def calibration_timing(functions: Functions) -> None:
    """A calibration up to its first timing. The budget is never spent; a machine of any speed can plan with it."""
    import sizer

    functions.first = {("rounds", "_take_round"), ("rounds", "_take")}  # (before and after the move)
    functions.last = {("json_lines", "append"), ("storage", "append")}
    with contextlib.suppress(Done), functions.watching():
        sizer.calibrate(budget_s=3600, meter="none")


def search_trial(functions: Functions) -> None:
    """The rounds of a search that its first trial ends."""
    import numpy as np

    import sizer

    x = np.linspace(-1, 1, 120).reshape(60, 2)
    functions.first = {("running", "run"), ("search", "run")}
    functions.last = set(functions.first)
    with contextlib.suppress(Done), functions.watching():
        sizer.search((x, x[:, 0]), target_loss=0.9, depth=2, meter="none")


TASKS: dict[str, Callable[[Functions], None]] = {
    "recommendation": recommendation,
    "calibration timing": calibration_timing,
    "search trial": search_trial,
}


def modules_of(task: str) -> list[str]:
    """The modules whose functions run in a task, from a process of its own."""
    with tempfile.TemporaryDirectory() as home:
        folders = {f"XDG_{name}_HOME": f"{home}/{name.lower()}" for name in ("CACHE", "DATA", "CONFIG")}
        command = [sys.executable, str(Path(__file__).resolve()), "--task", task]
        done = subprocess.run(command, env=os.environ | folders, cwd=home, stdout=subprocess.PIPE, check=True)
    return [str(name) for name in json.loads(done.stdout)]


def _run_task(task: str) -> None:
    import sizer
    import sizer.models
    import sizer.profiles

    packages = (sizer, sizer.models, sizer.profiles)
    functions = Functions(tuple(str(Path(str(package.__file__)).parent) + os.sep for package in packages))
    sizer.detect()
    TASKS[task](functions)
    print(json.dumps(sorted(functions.modules)))


def main() -> None:
    """Count or list the modules of each task."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--modules", action="store_true", help="list the modules")
    parser.add_argument("--task", choices=TASKS, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.task:
        _run_task(options.task)
        return
    for task in TASKS:
        modules = modules_of(task)
        print(f"{task:20} {len(modules):3} modules")
        if options.modules:
            print(*(f"    {name}" for name in modules), sep="\n")


if __name__ == "__main__":
    main()
