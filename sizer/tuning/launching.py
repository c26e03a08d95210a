"""Runs of a script in processes of their own: started, waited for up to a limit, and never left behind."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import IO, NamedTuple

from sizer.tuning.job import FAILED, Answer, Applied, Job, read_answer, write
from sizer.tuning.levers.protocol import Lever

#: Without the folder that Python puts in front, where a script's own `sizer` folder would hide this package.
_START = (
    "import sys; own = sys.path[:1] if sys.path[:1] == [''] else []; del sys.path[: len(own)]; "
    "from sizer.tuning.child import main; sys.path[:0] = own; main()"
)
#: How long, s, a process may take to end after its answer is there, and between looks for the answer.
_GRACE_S, _LOOK_S = 4.0, 0.25
#: Experiment trackers are offline: a run of five seconds is no experiment.
OFFLINE = {
    "WANDB_MODE": "disabled",
    "MLFLOW_TRACKING_URI": "file:mlruns",
    "COMET_START_ONLINE": "0",
    "NEPTUNE_MODE": "offline",
    "CLEARML_OFFLINE_MODE": "1",
    "SWANLAB_MODE": "disabled",
    "TRACKIO_MODE": "disabled",
}
#: How it is said that a run had to be ended.
NOT_DONE = "it was not done"
#: Seconds of steps that no run takes.
_NO_LIMIT_S = 1e9
#: Characters of an error's last line that are told.
_TOLD = 200


class Script(NamedTuple):
    """What is run: a file or a module, what its owner calls it, its arguments, and the folder that it runs in."""

    name: str
    path: str
    module: bool
    arguments: tuple[str, ...]
    folder: Path


class Run(NamedTuple):
    """One run: its answer (None where it left none), how long the process lasted in s, why there is no answer."""

    answer: Answer | None
    lasted_s: float
    error: str = ""


class Launcher:
    """Starts runs one at a time; a context manager that leaves no process and no file behind."""

    def __init__(self, script: Script, meter: str = "auto", afterwards: Callable[[], None] | None = None) -> None:
        self.script = script
        self._meter = meter
        self._afterwards = afterwards
        self._folder = tempfile.TemporaryDirectory(prefix="sizer-tune-", ignore_cleanup_errors=True)
        self._count = 0
        self._process: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> Launcher:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()
        self._folder.cleanup()

    def run(
        self,
        levers: Sequence[Lever],
        steps: int,
        warm_up: int,
        limit_s: float,
        most_s: float = _NO_LIMIT_S,
        first: bool = False,
    ) -> Run:
        """Run the script with levers for so many steps, or ``most_s`` seconds of them, and at most so long in all.

        What was asked for at the beginning is done ``afterwards``. A ``first`` run looks at the script; the first of
        them shows its output.
        """
        self._count += 1
        folder = Path(self._folder.name)
        answer, told = folder / f"{self._count}.answer", folder / f"{self._count}.job"
        applied = tuple(Applied(lever.file, lever.settings) for lever in levers)
        script = self.script
        job = Job(
            *(script.path, script.module, script.arguments, applied, steps, warm_up),
            *(first, most_s, self._meter, str(answer), time.time()),
        )
        write(told, job)
        with (folder / "output").open("w+b") as output:
            began = time.perf_counter()
            code = self._wait(self._started(levers, told, output, first and self._count == 1), answer, limit_s)
            lasted = time.perf_counter() - began
            found = read_answer(answer)
            error = "" if found is not None and found.status != FAILED else _why(code, output, limit_s)
        if self._afterwards is not None:
            self._afterwards()
        return Run(found, lasted, error)

    def _started(
        self, levers: Sequence[Lever], job: Path, output: IO[bytes], is_shown: bool
    ) -> subprocess.Popen[bytes]:
        environment = {**os.environ, **OFFLINE, **environment_of(levers)}
        environment.setdefault("TORCHINDUCTOR_CACHE_DIR", str(Path(self._folder.name) / "inductor"))
        self._process = subprocess.Popen(  # noqa: S603 (the interpreter that runs this, and its own package)
            [sys.executable, "-c", _START, str(job)],
            cwd=self.script.folder,
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=2 if is_shown else output,  # (standard output is the report's)
            stderr=output,
            start_new_session=True,
        )
        return self._process

    def _wait(self, process: subprocess.Popen[bytes], answer: Path, limit_s: float) -> int | None:
        """Wait for the process; its exit code, None where it had to be ended."""
        deadline, code = time.perf_counter() + limit_s, None
        try:
            while code is None and time.perf_counter() < deadline:
                with contextlib.suppress(subprocess.TimeoutExpired):
                    code = process.wait(min(_LOOK_S, max(deadline - time.perf_counter(), 0.0)))
                if code is None and answer.exists():
                    deadline = min(deadline, time.perf_counter() + _GRACE_S)
        finally:
            self.stop()
        return code

    def stop(self) -> None:
        """End the process and all that it started in its group."""
        process, self._process = self._process, None
        if process is None:
            return
        with contextlib.suppress(OSError):
            os.killpg(process.pid, signal.SIGKILL) if hasattr(os, "killpg") else process.kill()
        process.wait()


def environment_of(levers: Sequence[Lever]) -> Mapping[str, str]:
    """The variables of levers; tunables of glibc and libraries to load first add up."""
    found: dict[str, str] = {}
    for lever in levers:
        for name, value in lever.environment.items():
            joins = name in found and name in ("GLIBC_TUNABLES", "LD_PRELOAD")
            found[name] = f"{found[name]}:{value}" if joins else value
    return found


def _why(code: int | None, output: IO[bytes], limit_s: float) -> str:
    """Why a run left no answer, in a line: the last one of its error output, a signal, or its time was over."""
    output.seek(0)
    lines = [line for line in output.read().decode("utf-8", "replace").splitlines() if line.strip()]
    if code is None:
        return f"{NOT_DONE} after {limit_s:.0f} s"
    if code < 0:
        return f"it was ended by signal {signal.Signals(-code).name}"
    return " ".join(lines[-1].split())[:_TOLD] if lines else f"it ended with exit code {code}"
