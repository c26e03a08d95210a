"""Inside the process that trains: counting and timing steps of its optimizer, noting losses, and stopping cleanly."""

from __future__ import annotations

import contextlib
import functools
import os
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sizer.tuning.job import ENOUGH, WARM_UP, Answer, Job, write
from sizer.tuning.levers.catalogue import put_in_place
from sizer.tuning.usage import others_share, others_used_s, peak_bytes

if TYPE_CHECKING:
    import torch

    from sizer.meters.protocol import Meter, Snapshot
    from sizer.tuning.facts import FirstLook

#: Time in s after which a script that goes on after its last step is ended: it caught our exit, or trains in a thread.
_GRACE_S = 3.0


class Enough(SystemExit):
    """Leaves the script from within its optimizer's step, past handlers of ordinary errors."""


class Counter:
    """Counts the steps of the first optimizer that steps, and answers after the last one."""

    def __init__(self, job: Job) -> None:
        self.job = job
        self.ends: list[float] = []
        self.losses: list[Any] = []
        self.changed: list[str] = []
        self.look: FirstLook | None = None
        self._optimizer: int | None = None
        self._trained: torch.optim.Optimizer | None = None
        self._first_unix_s: float | None = None
        self._device = "cpu"
        self._meter: Meter | None = None
        self._window: tuple[Snapshot, Snapshot] | None = None
        self._used: float | None = None
        self._others: float | None = None
        self._answered = False
        self._process = os.getpid()

    def begin(self) -> None:
        """Torch is there: put the levers in place and listen."""
        from torch.optim.optimizer import register_optimizer_step_post_hook

        if self.job.first:
            from sizer.tuning.facts import FirstLook

            self.look = FirstLook()
            self.look.begin()
        put_in_place(self.job.levers, self._note)
        _patch_backward(self.losses)
        register_optimizer_step_post_hook(self._stepped)

    def _note(self, what: str) -> None:
        if what not in self.changed:
            self.changed.append(what)

    def _stepped(self, optimizer: torch.optim.Optimizer, args: Any, kwargs: Any) -> None:  # noqa: ARG002
        if self._optimizer is None:
            self._first(optimizer)
        if id(optimizer) != self._optimizer or self._answered:
            return
        count = len(self.ends) + 1
        if count == self.job.warm_up or count >= self.job.steps:
            self._synchronize()
        self.ends.append(time.perf_counter())
        if count == 1:
            self._first_unix_s = time.time()
        if count == self.job.warm_up:
            self._open_window()
        if self._is_enough():
            self._close_window()
            self._finish(optimizer)

    def _first(self, optimizer: torch.optim.Optimizer) -> None:
        self._optimizer = id(optimizer)
        self._trained = optimizer if self.job.first else None
        device = next((p.device for group in optimizer.param_groups for p in group["params"]), None)
        self._device = "cpu" if device is None else device.type

    def _is_enough(self) -> bool:
        """After the steps that were asked for, or, once a few are timed, after so many seconds of timed ones."""
        count, warm_up = len(self.ends), self.job.warm_up
        if count < warm_up + WARM_UP or count >= self.job.steps:
            return count >= self.job.steps
        return self.ends[-1] - self.ends[warm_up - 1] >= self.job.seconds

    def _synchronize(self) -> None:
        if self._device == "cuda":
            import torch

            torch.cuda.synchronize()

    def _open_window(self) -> None:
        """Timing begins."""
        if self.look is not None:
            self.look.open(self._device)
        if self.job.meter:
            from sizer.meters.choosing import choose_meter

            with contextlib.suppress(Exception):  # (no meter is no reason not to tune)
                self._meter = choose_meter(self.job.meter, "cuda:0" if self._device == "cuda" else "cpu")
                begun = self._meter.snapshot()
                self._window = (begun, begun)
        self._used = others_used_s()
        self.ends[-1] = time.perf_counter()

    def _close_window(self) -> None:
        self._synchronize()
        self.ends[-1] = time.perf_counter()  # (on a GPU the last step ends now, whatever ended the run)
        used, elapsed = others_used_s(), self.ends[-1] - self.ends[self.job.warm_up - 1]
        if used is not None and self._used is not None and elapsed > 0:
            self._others = others_share(self._used, used, elapsed)
        if self._meter is not None and self._window is not None:
            self._window = (self._window[0], self._meter.snapshot())

    def _finish(self, optimizer: torch.optim.Optimizer) -> None:
        """All is measured. A first run looks at the script during one more step."""
        if self.look is not None and not self.look.one_more(optimizer, len(self.ends), self.step_s()):
            self.job = self.job._replace(steps=len(self.ends) + 1, first=False)
            return
        self.answer(ENOUGH)
        threading.Thread(target=_end_anyway, daemon=True).start()
        raise Enough(0)

    def step_s(self) -> float:
        """Time of a step so far, in s."""
        timed = len(self.ends) - self.job.warm_up
        return (self.ends[-1] - self.ends[self.job.warm_up - 1]) / timed if timed > 0 else 0.0

    def answer(self, status: str, why: str = "") -> None:
        """Write down what was measured, once: the first process that got to the end, else the one that was started."""
        is_late = status != ENOUGH and (os.getpid() != self._process or Path(self.job.answer).exists())
        if not (self._answered or is_late):
            self._answered = True
            if self.look is not None and self._trained is not None and len(self.ends) > self.job.warm_up:
                self.look.end(self._trained, len(self.ends), self.step_s())
            write(Path(self.job.answer), self._answer(status, why))

    def _answer(self, status: str, why: str) -> Answer:
        seen = None if self.look is None else self.look.seen
        # (the step in which a first run looked at the script took longer)
        ends = self.ends[: seen.steps] if seen is not None else self.ends
        timed = max(len(ends) - self.job.warm_up, 0)
        warm = ends[min(self.job.warm_up, len(ends)) - 1] - ends[0] if ends else 0.0
        seconds = ends[-1] - ends[self.job.warm_up - 1] if timed else 0.0
        start = None if self._first_unix_s is None else self._first_unix_s - self.job.launched_unix_s
        losses = tuple(float(loss) for loss in self.losses)
        energy = None
        if self._meter is not None and self._window is not None:
            energy = self._meter.energy(*self._window).joules
        meter = "" if self._meter is None or energy is None else self._meter.label
        changed = tuple(self.changed)
        return Answer(
            *(status, len(ends), start, warm, seconds, timed, losses, peak_bytes(self._device), energy, meter, changed),
            why=why,
            seen=seen,
            others_share=self._others,
        )


def _end_anyway() -> None:
    time.sleep(_GRACE_S)
    os._exit(0)


def _patch_backward(losses: list[Any]) -> None:
    """Note each number that a backward pass starts from; on a GPU without waiting for it."""
    import torch

    original: Callable[..., None] = torch.Tensor.backward

    @functools.wraps(original)
    def backward(self: torch.Tensor, *args: Any, **kwargs: Any) -> None:
        if not torch.compiler.is_compiling() and self.numel() == 1:
            losses.append(self.item() if self.device.type == "cpu" else self.detach().clone())
        original(self, *args, **kwargs)

    torch.Tensor.backward = backward  # type: ignore[method-assign]
