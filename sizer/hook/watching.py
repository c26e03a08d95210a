"""The pre-training hook: it waits for the first real training step, reports once, and removes itself.

While it waits, `torch.nn.Module.__call__` is replaced by a function that notes how the outermost module is called and
puts the original back before the module runs: nothing inside a model, and nothing that torch.compile traces, ever sees
it. The step itself is known by the first optimizer that steps. No tensor is kept, no random number drawn.
"""

from __future__ import annotations

import contextlib
import os
import sys
import threading
import time
import weakref
from collections.abc import Callable
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import torch
    from torch import nn

    from sizer.hook.first_step import NotedCall
    from sizer.inspection.module_record import ModuleInspection


#: Outermost calls noted before the first optimizer step; a step with more micro-batches repeats what is known by then.
MAX_CALLS = 32


def is_off() -> bool:
    """Whether the environment variable SIZER says that the hook shall do nothing."""
    return os.environ.get("SIZER", "").lower() in ("off", "0", "no", "false")


def warn(message: object) -> None:
    """One warning line on standard error; nothing when even that is gone."""
    with contextlib.suppress(OSError, ValueError, AttributeError):
        print(f"sizer: warning: {' '.join(str(message).split())}", file=sys.stderr)


class Watch:
    """``with sizer.watch():`` advises once on whatever trains inside. It never raises, and leaves nothing behind.

    ``model`` and ``optimizer`` narrow it to one model; ``measure`` times that many steps after the report.
    """

    def __init__(
        self,
        *,
        model: nn.Module | None = None,
        optimizer: torch.optim.Optimizer | None = None,
        json_file: str | os.PathLike[str] | None = None,
        quiet: bool = False,
        measure: int = 0,
    ) -> None:
        self.json_file = None if json_file is None else Path(json_file)
        self.quiet = quiet
        self.measure = measure
        self.record: ModuleInspection | None = None
        self.measured_s: float | None = None
        self.trained = False
        self._model = None if model is None else weakref.ref(model)
        self._optimizer = None if optimizer is None else weakref.ref(optimizer)
        self._calls: list[NotedCall] = []
        self._steps: list[float] = []
        self._restore: Callable[[], None] | None = None
        self._handle: Any = None
        self._lock = threading.RLock()
        self._process = os.getpid()
        self._running = False
        self._failed = False

    def __enter__(self) -> Watch:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        if kind is None:
            self.say_if_nothing_trained()
        self.stop()

    def say_if_nothing_trained(self) -> None:
        """One line when no training step was seen."""
        if self.trained or self.quiet or self._failed or is_off() or os.getpid() != self._process:
            return
        self._safely(lambda: print("sizer: no training step was seen, so there is nothing to report", file=sys.stderr))

    def start(self) -> Watch:
        """Begin to wait."""
        if not is_off() and not self._running:
            self._running = True
            self._safely(self._arm)
        return self

    def stop(self) -> None:
        """Remove whatever is still in place."""
        self._running = False
        self._safely(self._disarm)
        self._safely(self._forget_optimizer)
        self._calls.clear()

    def _safely(self, action: Callable[..., Any], *args: Any) -> None:
        """Nothing that goes wrong in here may reach the training: it becomes one warning line, and the watch ends."""
        try:
            action(*args)
        except Exception as error:
            warn(f"{type(error).__name__}: {error}" if not _is_expected(error) else error)
            self._running, self._failed = False, True
            for undo in (self._disarm, self._forget_optimizer):
                try:
                    undo()
                except Exception as again:  # noqa: PERF203 (each is undone whatever the other does)
                    warn(again)

    def _arm(self) -> None:
        from torch.optim.optimizer import register_optimizer_step_post_hook

        with contextlib.suppress(Exception):  # what fails here fails again at the first step, and is said then
            from sizer.hook.first_step import prepare

            prepare(None if self._model is None else self._model())
        self._handle = register_optimizer_step_post_hook(self._stepped)
        self._patch()

    def _patch(self) -> None:
        import torch
        from torch import nn

        original = nn.Module.__call__
        watch = self

        def __call__(module: nn.Module, *args: Any, **kwargs: Any) -> Any:  # noqa: N807 (takes the place of Module.__call__)
            if torch.compiler.is_compiling() or not watch._is_worth_noting(module):
                return original(module, *args, **kwargs)
            watch._disarm()
            watch._safely(watch._note, module, args, kwargs)
            try:
                return original(module, *args, **kwargs)
            finally:
                if watch._running and not watch.trained and len(watch._calls) < MAX_CALLS:
                    watch._safely(watch._patch)

        def restore() -> None:
            if nn.Module.__call__ is __call__:
                nn.Module.__call__ = original  # type: ignore[method-assign]

        with self._lock:
            if self._restore is None:
                self._restore = restore
                nn.Module.__call__ = __call__  # type: ignore[method-assign]

    def _disarm(self) -> None:
        with self._lock:
            restore, self._restore = self._restore, None
            if restore is not None:
                restore()

    def _forget_optimizer(self) -> None:
        handle, self._handle = self._handle, None
        if handle is not None:
            handle.remove()

    def _is_worth_noting(self, module: nn.Module) -> bool:
        """A call that builds a graph of something trainable, in the process that started the watch."""
        import torch

        return (
            torch.is_grad_enabled()
            and os.getpid() == self._process
            and any(parameter.requires_grad for parameter in module.parameters())
        )

    def _note(self, module: nn.Module, args: Any, kwargs: Any) -> None:
        from sizer.hook.first_step import NotedCall, optimizer_of, trained_version

        version = trained_version(module)
        if not any(call.module() is module and call.version != version for call in self._calls):
            self._calls.append(NotedCall.of(module, args, kwargs))
            return
        optimizer = optimizer_of(module)  # a compiled one has stepped: what torch.compile traces calls no hook
        if optimizer is not None:
            self._first_step(optimizer)

    def _stepped(self, optimizer: torch.optim.Optimizer, args: Any, kwargs: Any) -> None:  # noqa: ARG002
        """After an optimizer's step: the report after the first, the timing after the others, then nothing."""
        import torch

        if torch.compiler.is_compiling() or os.getpid() != self._process:
            return
        if not self._running:
            self._forget_optimizer()
        elif not self.trained:
            self._safely(self._first_step, optimizer)
        elif self.measure:
            self._safely(self._time_step)

    def _first_step(self, optimizer: torch.optim.Optimizer) -> None:
        if self._optimizer is not None and self._optimizer() is not optimizer:
            return
        from sizer.hook.first_step import trained_call

        call = trained_call(self._calls, optimizer, None if self._model is None else self._model())
        if call is None:
            self._calls.clear()
            self._patch()
            return
        self.trained = True
        self._disarm()
        if not self.measure:
            self._forget_optimizer()
        try:
            if _is_first_rank():
                self._report(call, optimizer)
        finally:
            self._calls.clear()

    def _report(self, call: NotedCall, optimizer: torch.optim.Optimizer) -> None:
        from sizer.hook.first_step import inspect_call
        from sizer.report.hook import report_text

        self.record = inspect_call(call, optimizer)
        if not self.quiet:
            print(report_text(self.record), file=sys.stderr, flush=True)
        if self.json_file is not None:
            from sizer.base.storage import write_whole

            write_whole(self.json_file, self.record.to_json() + "\n")

    def _time_step(self) -> None:
        """Note the time of a step; after the last, wait for the device and show measured beside predicted."""
        self._steps.append(time.perf_counter())
        if len(self._steps) <= self.measure:
            return
        self._forget_optimizer()
        from sizer.hook.first_step import quiet_step_s
        from sizer.report.hook import measured_text

        self.measured_s = quiet_step_s(self._steps)
        if self.record is not None and not self.quiet:
            print(measured_text(self.record, self.measured_s, len(self._steps) - 1), file=sys.stderr, flush=True)


def advise_once(
    model: nn.Module, optimizer: torch.optim.Optimizer | None, json_file: str | os.PathLike[str] | None, quiet: bool
) -> None:
    """`sizer.advise`: watch one model until its first step. An argument of the wrong type is a warning, no error."""
    try:
        watch = Watch(model=model, optimizer=optimizer, json_file=json_file, quiet=quiet)
    except TypeError as error:
        warn(f"sizer.advise takes a model and an optimizer: {error}")
        return
    watch.start()


def _is_expected(error: Exception) -> bool:
    from sizer.base.errors import SizerError

    return isinstance(error, SizerError)


def _is_first_rank() -> bool:
    """Rank 0, or no distributed training at all."""
    import torch

    if torch.distributed.is_available() and torch.distributed.is_initialized():
        return torch.distributed.get_rank() == 0
    return os.environ.get("RANK", "0") in ("0", "")
