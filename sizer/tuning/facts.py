"""What the first run shows of a script: where its steps go, how small its operations are, what it was made with."""

from __future__ import annotations

import functools
import os
import random
import sys
import time
import weakref
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch.optim import Optimizer
from torch.optim.optimizer import register_optimizer_step_pre_hook
from torch.utils._pytree import tree_leaves
from torch.utils.data import DataLoader

from sizer.script_runs.measuring import StepTime, anything_compiled, measured
from sizer.script_runs.observing import Observer
from sizer.tuning.job import WARM_UP
from sizer.tuning.levers.data_in_memory import fits_in_batches
from sizer.tuning.levers.protocol import Place, Seen, SeenLoader, SeenOptimizer
from sizer.tuning.levers.roots import at_first_call
from sizer.tuning.operations import OperationCount
from sizer.tuning.usage import busy_threads_of_children

#: Rows that are read for how long one takes.
_ROWS = 16
#: Where the files of libraries, of Python and of sizer lie.
_NOT_THE_SCRIPTS = (
    "<",
    *(str(Path(file).parents[1]) + os.sep for file in (torch.__file__, np.__file__, __file__)),
    str(Path(os.__file__).parent) + os.sep,
)


class FirstLook:
    """Watches from the import of torch on; ``seen`` is there after `one_more` said so."""

    def __init__(self) -> None:
        self.seen: Seen | None = None
        self._observer = Observer(_plainly, self._ended, lambda call: None)  # noqa: ARG005
        self._optimizer: Optimizer | None = None
        self._begun = False
        self._optimizers: list[tuple[weakref.ReferenceType[Optimizer], Place | None]] = []
        self._loaders: list[tuple[Any, Place | None]] = []
        self._layers: dict[str, None] = {}
        self._autocast = False
        self._sets_threads = False
        self._children = 0
        self._usage: tuple[float, float, float] | None = None
        self._before: tuple[float, float, float] | None = None
        self._optimizers_system_s = 0.0
        self._counting: OperationCount | None = None
        self._step_s = 0.0
        self._timed = 0
        self._times: list[StepTime] = []
        self._worker_threads = 0
        self._facts: tuple[float | None, ...] = (None, None, None)

    def begin(self) -> None:
        """Listen."""
        self._observer.arm()
        self._observer.pause()
        self._observer.only_time(torch.device("cpu"))
        _note_made(Optimizer, lambda made, place: self._optimizers.append((weakref.ref(made), place)))
        _note_made(DataLoader, lambda made, place: self._loaders.append((made, place)))
        _note_call(torch, "set_num_threads", self._note_threads)
        at_first_call(self._look_at)
        register_optimizer_step_pre_hook(self._begins)
        if hasattr(os, "register_at_fork"):
            os.register_at_fork(after_in_parent=self._forked)

    def _note_threads(self) -> None:
        self._sets_threads = True

    def _forked(self) -> None:
        self._children += 1

    def _look_at(self, module: torch.nn.Module) -> None:
        self._layers |= dict.fromkeys(type(part).__name__ for part in module.modules())
        self._autocast |= torch.is_autocast_enabled(next(module.parameters()).device.type)

    def _begins(self, *_: Any) -> None:
        """An optimizer's own step begins."""
        self._before = _usage()

    def _ended(self, optimizer: Optimizer) -> None:
        """A step has ended: the clock's books are closed, for the optimizer that is counted or another."""
        if self._before is not None and (now := _usage()) is not None:
            self._optimizers_system_s += now[1] - self._before[1]
        if self._optimizer is None:
            self._optimizer = optimizer
            if (device := next(p.device for g in optimizer.param_groups for p in g["params"])).type == "cuda":
                self._observer.only_time(device)
                return
        if optimizer is not self._optimizer:
            self._observer.clock.end_of_others()
            return
        # (all but the first: what workers had read ahead by then hides how long the next batches take)
        self._observer.clock.end_of_step(self._begun)
        self._begun = True

    def open(self, device: str) -> None:  # noqa: ARG002
        """Timing begins."""
        self._usage = _usage()
        self._optimizers_system_s = 0.0

    def one_more(self, optimizer: Optimizer, steps: int, step_s: float) -> bool:
        """Called after the last timed step, and again after one in which operations are counted; True at the end."""
        if self._counting is None:
            self._close(steps, step_s)
            self._counting = OperationCount()
            if self._counting.start():
                return False
        self._counting.stop()
        self.seen = self._summed_up(optimizer, self._counting)
        return True

    def end(self, optimizer: Optimizer, steps: int, step_s: float) -> None:
        """The script ended by itself: sum up what is known, without a step in which operations are counted."""
        if self.seen is None:
            if self._counting is None:
                self._close(steps, step_s)
            else:
                self._counting.stop()
            self.seen = self._summed_up(optimizer, OperationCount())

    def _close(self, steps: int, step_s: float) -> None:
        """Timing is over."""
        self._step_s, self._timed = step_s, steps
        self._facts = self._used()
        self._worker_threads = busy_threads_of_children()
        self._times = self._observer.clock.steps()
        self._observer.pause()  # (not left: torch goes through the hooks of its steps just now)

    def _used(self) -> tuple[float | None, ...]:
        """Pages handed out a step, the kernel's share of the time, and that within optimizers' steps, since `open`."""
        now = _usage()
        if now is None or self._usage is None:
            return None, None, None
        elapsed, system, faults = (after - before for after, before in zip(now, self._usage, strict=True))
        timed = max(self._timed - WARM_UP, 1)
        if elapsed <= 0:
            return faults / timed, None, None
        return faults / timed, system / elapsed, self._optimizers_system_s / elapsed

    def _summed_up(self, optimizer: Optimizer, count: OperationCount) -> Seen:
        counted = count.operations > 0
        faults, system, optimizers_system = self._facts
        device = next(p.device for group in optimizer.param_groups for p in group["params"]).type
        shares = measured(self._times).shares._asdict() if self._times else {}
        return Seen(
            device=device,
            cpus=len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1,
            threads=torch.get_num_threads(),
            steps=self._timed,
            time_per_step_s=self._step_s,
            shares=shares,
            operations=count.operations if counted else None,
            faults=faults,
            system_share=system,
            optimizers_system=optimizers_system,
            pointwise=count.pointwise_s / count.spent_s if counted and device == "cpu" else None,
            subnormal=count.subnormal / count.values if count.values else None,
            subnormal_cost=count.subnormal_cost,
            children=self._children,
            worker_threads=self._worker_threads,
            layers=tuple(self._layers),
            compiles=anything_compiled(),
            autocast=self._autocast,
            sets_threads=self._sets_threads,
            optimizers=tuple(
                _optimizer(made, place) for reference, place in self._optimizers if (made := reference()) is not None
            ),
            loaders=tuple(_loader(made, place) for made, place in self._loaders),
        )


def _plainly(action: Callable[..., Any], *args: Any) -> Any:
    return action(*args)


def _usage() -> tuple[float, float, float] | None:
    """The clock, the kernel's time and pages handed out so far; None where there is no such count."""
    try:
        import resource
    except ImportError:
        return None
    used = resource.getrusage(resource.RUSAGE_SELF)
    return time.perf_counter(), used.ru_stime, float(used.ru_minflt)


def _place() -> Place | None:
    """Where in the script's own files the call is that led here: outside of libraries and of sizer."""
    frame = sys._getframe(2)
    while frame is not None:
        file = frame.f_code.co_filename
        if not file.startswith(_NOT_THE_SCRIPTS):
            return Place(file, frame.f_lineno)
        frame = frame.f_back  # type: ignore[assignment]
    return None


def _note_made(kind: Any, note: Callable[[Any, Place | None], None]) -> None:
    original = kind.__init__

    @functools.wraps(original)
    def __init__(self: Any, *args: Any, **kwargs: Any) -> None:  # noqa: N807 (takes its place)
        original(self, *args, **kwargs)
        note(self, _place())

    kind.__init__ = __init__


def _note_call(owner: Any, name: str, note: Callable[[], None]) -> None:
    original = getattr(owner, name)

    def noted(*args: Any, **kwargs: Any) -> Any:
        if _place() is not None:
            note()
        return original(*args, **kwargs)

    setattr(owner, name, noted)


def _optimizer(made: Optimizer, place: Place | None) -> SeenOptimizer:
    from sizer.inspection.optimizer_state import implementation

    parameters = [p for group in made.param_groups for p in group["params"]]
    sparse = any(p.grad is not None and p.grad.is_sparse for p in parameters)
    return SeenOptimizer(type(made).__name__, implementation(made) or "", len(parameters), sparse, place)


def _loader(made: Any, place: Place | None) -> SeenLoader:
    """A loader, with a few rows read for how large they are and how long that takes."""
    plain = fits_in_batches(made)
    rows = row_bytes = read_s = None
    repeats = False
    if plain and len(made.dataset):
        rows = len(made.dataset)
        row_bytes, read_s, repeats = _read_some(made, min(rows, _ROWS))
    size = made.batch_size if isinstance(made.batch_size, int) else None
    return SeenLoader(
        made.num_workers,
        bool(made.persistent_workers),
        bool(made.pin_memory),
        size,
        rows,
        row_bytes,
        read_s,
        repeats,
        plain,
        place,
    )


def _read_some(loader: Any, count: int) -> tuple[int, float, bool]:
    before = _random_state()
    began = time.perf_counter()
    first = loader.collate_fn([loader.dataset[row] for row in range(count)])
    read_s = (time.perf_counter() - began) / count
    untouched = all(map(_same, before, _random_state()))
    again = loader.collate_fn([loader.dataset[row] for row in range(count)])
    leaves, others = tree_leaves(first), tree_leaves(again)
    repeats = untouched and all(map(_same, leaves, others))
    size = sum(leaf.numel() * leaf.element_size() for leaf in leaves if isinstance(leaf, torch.Tensor))
    return max(size // count, 1), read_s, repeats


def _random_state() -> tuple[Any, ...]:
    return torch.get_rng_state(), random.getstate(), np.random.get_state()[1].copy()  # type: ignore[index]


def _same(one: Any, other: Any) -> bool:
    if isinstance(one, torch.Tensor):
        return isinstance(other, torch.Tensor) and torch.equal(one, other)
    if isinstance(one, np.ndarray):
        return np.array_equal(one, other)
    return bool(one == other)
