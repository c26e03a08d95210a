"""`sizer.tune(step)`: levers that can be put in place and taken out again in a running process, around a function.

Each call of the function makes one step of a training. Blocks of calls under a lever lie between blocks without one.
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import torch

from sizer.base.errors import UsageError
from sizer.script_runs.measuring import anything_compiled
from sizer.tuning.job import ENOUGH, Answer
from sizer.tuning.launching import Run, Script
from sizer.tuning.levers.protocol import Lever, Seen
from sizer.tuning.operations import OperationCount
from sizer.tuning.outcome import outcome
from sizer.tuning.record import Tuning, Where
from sizer.tuning.session import Session
from sizer.tuning.tuning import least_budget, machine, python_version, torch_version


def tune_step(step: Callable[[], object], budget_s: float, device: str) -> Tuning:
    """Tune a function that makes one step. Raises UsageError for what is none, and what it raises itself."""
    if not callable(step):
        raise UsageError(f"sizer.tune takes a function that makes one step, or a script's path; got {step!r}")
    least_budget(budget_s)
    blocks = Blocks(step, device)
    session = Session(blocks, budget_s, None, lambda what, share: None, lambda text: None, can_try=_is_in_process)  # noqa: ARG005
    session.look()
    complete = True
    try:
        session.try_levers()
        session.confirm()
    except KeyboardInterrupt:
        complete = False
    where = Where(blocks.script.name, False, (), "", torch_version(), python_version(), *machine())
    return outcome(session, where, complete, str)


class Blocks:
    """Blocks of calls in place of runs of a script."""

    def __init__(self, step: Callable[[], object], device: str) -> None:
        name = getattr(step, "__name__", type(step).__name__)
        self.script = Script(name, name, False, (), Path())
        self._step, self._device = step, device

    def run(
        self, levers: Sequence[Lever], steps: int, warm_up: int, limit_s: float, most_s: float, first: bool = False
    ) -> Run:
        """Call the function so many times under levers, or for so many seconds."""
        began = time.perf_counter()
        with contextlib.ExitStack() as stack:
            for lever in levers:
                stack.enter_context(_IN_PLACE[lever.name.partition("=")[0]](lever))
            for _ in range(warm_up):
                self._step()
            self._wait()
            start, count = time.perf_counter(), 0
            until = start + min(limit_s, most_s)
            while count < steps - warm_up and (time.perf_counter() < until or count < 3):
                self._step()
                count += 1
            self._wait()
            lasted = time.perf_counter() - start
        seen = self._seen(count, lasted / count) if first else None
        total = time.perf_counter() - began
        names = tuple(lever.name for lever in levers)
        answer = Answer(ENOUGH, warm_up + count, 0.0, start - began, lasted, count, (), None, None, "", names, "", seen)
        return Run(answer, total)

    def stop(self) -> None:
        """Nothing runs."""

    def _wait(self) -> None:
        if self._device.startswith("cuda"):
            torch.cuda.synchronize(self._device)

    def _seen(self, steps: int, step_s: float) -> Seen:
        counting = OperationCount()
        if counting.start():
            try:
                self._step()
            finally:
                counting.stop()
        return Seen(
            device="cuda" if self._device.startswith("cuda") else "cpu",
            cpus=_cpus(),
            threads=torch.get_num_threads(),
            steps=steps,
            time_per_step_s=step_s,
            shares={},
            operations=counting.operations or None,
            faults=None,
            system_share=None,
            optimizers_system=None,
            pointwise=None,
            subnormal=counting.subnormal / counting.values if counting.values else None,
            subnormal_cost=counting.subnormal_cost,
            children=0,
            worker_threads=0,
            layers=(),
            compiles=anything_compiled(),
            autocast=torch.is_autocast_enabled(self._device.partition(":")[0]),
            sets_threads=True,
            optimizers=(),
            loaders=(),
        )


def _cpus() -> int:
    import os

    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


@contextlib.contextmanager
def _threads(lever: Lever) -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(int(lever.settings["threads"]))
    try:
        yield
    finally:
        torch.set_num_threads(before)


@contextlib.contextmanager
def _flushed(lever: Lever) -> Iterator[None]:  # noqa: ARG001
    torch.set_flush_denormal(True)
    try:
        yield
    finally:
        torch.set_flush_denormal(False)


@contextlib.contextmanager
def _tf32(lever: Lever) -> Iterator[None]:  # noqa: ARG001
    before = torch.get_float32_matmul_precision()
    torch.set_float32_matmul_precision("high")
    try:
        yield
    finally:
        torch.set_float32_matmul_precision(before)


def _half(lever: Lever) -> Any:
    return torch.autocast(str(lever.settings["autocast"]), torch.bfloat16)


#: Name of a lever before its value -> what puts it in place for a while.
_IN_PLACE: dict[str, Callable[[Lever], Any]] = {
    "threads": _threads,
    "flush-denormals": _flushed,
    "tf32": _tf32,
    "bfloat16": _half,
}


def _is_in_process(lever: Lever) -> bool:
    return lever.name.partition("=")[0] in _IN_PLACE
