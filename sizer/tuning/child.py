"""The process of one run: the script as ``__main__``, levers in place once torch is there, an answer in a file."""

from __future__ import annotations

import contextlib
import ctypes
import io
import os
import signal
import sys
from pathlib import Path
from typing import NoReturn

from sizer.script_runs.script import load_module, load_script, run_program, when_torch_is_imported
from sizer.tuning.counting import Counter
from sizer.tuning.job import ENDED, FAILED, INPUT, read_job

#: prctl(2): the signal that this process gets when its parent is gone.
_PR_SET_PDEATHSIG = 1


class _NoInput(io.TextIOBase):
    """Standard input of a script that is run again and again: reading it ends the run."""

    def __init__(self, counter: Counter) -> None:
        self._counter = counter

    def readable(self) -> bool:
        """As a terminal's."""
        return True

    def readline(self, size: int = -1, /) -> str:  # type: ignore[override]  # noqa: ARG002
        """Answer that the script reads it, and leave."""
        self._counter.answer(INPUT)
        os._exit(1)

    def read(self, size: int | None = -1, /) -> str:  # noqa: ARG002
        """As `readline`."""
        return self.readline()

    def __next__(self) -> str:  # type: ignore[override]
        return self.readline()


def main() -> NoReturn:
    """Run the job in the file that the command line names."""
    _die_with_parent()
    job = read_job(Path(sys.argv[1]))
    counter = Counter(job)
    sys.stdin = _NoInput(counter)
    program = load_module(job.script) if job.module else load_script(job.script)
    when_torch_is_imported(counter.begin)
    failed = True
    try:
        run_program(program, list(job.arguments))
    except SystemExit as leaving:
        failed = leaving.code not in (None, 0)
        raise
    finally:
        counter.answer(FAILED if failed else ENDED)


def _die_with_parent() -> None:
    """So that no run outlives a command that was killed; Linux only."""
    if sys.platform == "linux":
        with contextlib.suppress(OSError, AttributeError):
            ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
