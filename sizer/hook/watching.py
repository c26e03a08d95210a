"""The pre-training hook: it waits for the first real training step, reports once, and removes itself.

What it sees is what `sizer.script_runs.observing` tells: calls of modules, backward passes, steps of optimizers. A
model is what an optimizer trains, a step what lies between two of its steps. No tensor is kept, no random number drawn.
"""

from __future__ import annotations

import atexit
import contextlib
import os
import sys
import weakref
from collections.abc import Callable
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any

from sizer.base.visible import visible

if TYPE_CHECKING:
    import torch
    from torch import nn

    from sizer.hook.blocks import Unseen
    from sizer.inspection.module_record import MeasuredRecord, ModuleInspection
    from sizer.script_runs.calls import NotedCall
    from sizer.script_runs.observing import Observer


#: Calls that build a graph after which the hook leaves, if no optimizer has stepped by then.
MAX_CALLS = 200
#: Steps after which a report does not wait for optimizers that have not stepped: a critic may step five times first.
MAX_STEPS = 12
#: Steps of an optimizer without a call of what it trains after which that is said.
MAX_WITHOUT_CALL = 3


def is_off() -> bool:
    """Whether the environment variable SIZER says that the hook shall do nothing."""
    return os.environ.get("SIZER", "").lower() in ("off", "0", "no", "false")


def warn(message: object) -> None:
    """One warning line on standard error; nothing when even that is gone."""
    with contextlib.suppress(OSError, ValueError, AttributeError):
        print(f"sizer: warning: {visible(' '.join(str(message).split()))}", file=sys.stderr)


class Watch:
    """``with sizer.watch():`` advises once on whatever trains inside. It never raises, and leaves nothing behind.

    ``model`` and ``optimizer`` narrow it to one model; ``measure`` times that many steps and holds the report back
    until then. ``record`` is that of the first optimizer that stepped; it holds those of the others.
    """

    def __init__(
        self,
        *,
        model: nn.Module | None = None,
        optimizer: torch.optim.Optimizer | None = None,
        json_file: str | os.PathLike[str] | None = None,
        quiet: bool = False,
        measure: int = 0,
        html_file: str | os.PathLike[str] | None = None,
    ) -> None:
        self.json_file = None if json_file is None else Path(json_file)
        self.html_file = None if html_file is None else Path(html_file)
        self.quiet = quiet
        self.measure = measure
        self.record: ModuleInspection | None = None
        self.measured_s: float | None = None
        self.trained = False
        self._model = None if model is None else weakref.ref(model)
        self._optimizer = None if optimizer is None else weakref.ref(optimizer)
        self._observer: Observer | None = None
        self._process = os.getpid()
        self._running = False
        self._failed = False
        self._blocks: list[ModuleInspection | Unseen] = []
        self._waited: float | None = None
        self._timed: weakref.ReferenceType[torch.optim.Optimizer] | None = None
        self._unsaid = False  # whether a report waits to be printed
        self._whole_step = False  # whether the time since the last step is that of a whole one

    def __enter__(self) -> Watch:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.stop()
        if kind is None:
            self.say_if_nothing_trained()

    def say_if_nothing_trained(self) -> None:
        """When no training step was seen, that and why."""
        done = self.trained or self.quiet or self._failed or os.getpid() != self._process
        if not (done or is_off()) and is_first_rank():
            self._safely(self._say_nothing_trained)

    def _say_nothing_trained(self) -> None:
        from sizer.hook.blocks import why_nothing
        from sizer.report.hook import wrapped

        print("\n".join(wrapped(f"no training step was seen: {why_nothing(self._observer)}")), file=sys.stderr)

    def start(self, look: bool = True) -> Watch:
        """Begin to wait; ``look`` for the optimizers that are there already."""
        if not is_off() and not self._running and not self.trained:
            self._running = True
            self._safely(self._arm, look)
        return self

    def stop(self) -> None:
        """Report what was not reported yet, and remove whatever is still in place."""
        if os.getpid() != self._process:
            return
        if self._unsaid:
            self._safely(self._finish)
        elif not self.trained and self._observer is not None and not self._failed:
            self._safely(self._report_unfinished)
        self._leave()

    def _leave(self) -> None:
        self._running = False
        if self._observer is not None:
            self._observer.leave()
        atexit.unregister(self._at_exit)

    def _safely(self, action: Callable[..., Any], *args: Any) -> Any:
        """Nothing that goes wrong in here may reach the training: it becomes one warning line, and the watch ends."""
        try:
            return action(*args)
        except Exception as error:
            warn(f"{type(error).__name__}: {error}" if not _is_expected(error) else error)
            self._failed, self._unsaid = True, False
            try:
                self._leave()
            except Exception as again:
                warn(again)
            return None

    def _arm(self, look: bool) -> None:
        from sizer.script_runs.observing import Observer

        if is_first_rank():
            with contextlib.suppress(Exception):  # what fails here fails again at the first step, and is said then
                from sizer.hook.blocks import prepare

                prepare(None if self._model is None else self._model())
        self._observer = Observer(self._safely, self._stepped, self._called)
        if look and self._optimizer is None:
            self._observer.optimizers.look()
        self._observer.arm()

    def until_exit(self) -> None:
        """Say at the script's end what has not been said by then."""
        atexit.register(self._at_exit)

    def _at_exit(self) -> None:
        self.stop()
        self.say_if_nothing_trained()

    def _called(self, call: NotedCall) -> None:
        """A call was noted: it may tell that a compiled optimizer has stepped, or that none ever does."""
        from sizer.hook.blocks import compiled_step

        assert self._observer is not None
        optimizer = compiled_step(call, self._observer)
        if optimizer is not None:
            self._observer.steps += 1
            self._observer.end_phase(optimizer)
        elif self._observer.graph_calls >= MAX_CALLS and not self.trained:
            self._leave_unseen()

    def _leave_unseen(self) -> None:
        """After so many calls: report what was seen of a step, or say why there is none, and be gone."""
        from sizer.hook.blocks import why_left

        assert self._observer is not None
        if self._observer.seen.phases:
            self._report_unfinished()
        if not self.trained:
            self._failed = True
            warn(f"{why_left(self._observer)}; the hook is gone")
            self._leave()

    def _stepped(self, optimizer: torch.optim.Optimizer) -> None:
        """An optimizer has stepped: the report after the first steps, the timing after the others, then nothing."""
        if not self.trained:
            if self._is_known(optimizer):
                self._report_if_wanted()
        elif self._timed is not None:
            self._time_step(optimizer)

    def _is_known(self, optimizer: torch.optim.Optimizer) -> bool:
        """Whether enough has stepped to report on what is wanted."""
        assert self._observer is not None
        if self._optimizer is not None:
            return self._optimizer() is optimizer
        seen, waiting = self._observer.seen, self._waiting_for()
        if not waiting and len(seen.optimizers) == 1:
            return True
        again = sum(phase.optimizer is seen.optimizers[0] for phase in seen.phases) > 1
        return (again and not waiting) or len(seen.phases) >= MAX_STEPS

    def _waiting_for(self) -> list[torch.optim.Optimizer]:
        """The wanted optimizers that have not stepped.

        Not among them are wrappers and successors of one that has, which train nothing else, nor those that were there
        before of whose parameters nothing was seen: their training may be over.
        """
        from sizer.script_runs.steps import trained_by

        assert self._observer is not None
        seen, known = self._observer.seen, self._observer.optimizers
        trained = {key for one in seen.optimizers for key in trained_by(one)}
        others = [(each, trained_by(each).keys()) for each in self._wanted()]
        return [
            each
            for each, own in others
            if not own <= trained and not (known.was_there(each) and not seen.has_touched(own))
        ]

    def _wanted(self) -> list[torch.optim.Optimizer]:
        """The optimizers of the model that was named; without one, all that may step."""
        from sizer.script_runs.steps import trained_by

        assert self._observer is not None
        model = None if self._model is None else self._model()
        if model is None:
            return list(self._observer.optimizers)
        own = {id(parameter) for parameter in model.parameters()}
        return [optimizer for optimizer in self._observer.optimizers if trained_by(optimizer).keys() & own]

    def _report_if_wanted(self) -> None:
        """Inspect the steps seen, unless they are none of the model's."""
        from sizer.hook.blocks import Unseen, block

        assert self._observer is not None
        observer, model = self._observer, None if self._model is None else self._model()
        steps = [observer.seen.last_step(each) for each in self._reported()]
        without_call = not any(each.calls for each in steps)
        if not steps or (without_call and len(observer.seen.phases) < MAX_WITHOUT_CALL * len(steps)):
            return
        self.trained, counted, self._waited = True, observer.counted, observer.waiting_share
        observer.pause() if self.measure else observer.leave()
        if is_first_rank():
            self._blocks = [block(each, counted, model) for each in steps]
            self._unsaid = True
        records = [each for each in self._blocks if not isinstance(each, Unseen)]
        if records:
            self.record = _with_others(records[0], records[1:])
        timed = next(
            (step.optimizer for step, each in zip(steps, self._blocks, strict=False) if each is not None), None
        )
        if self.measure and timed is not None and self._unsaid:
            self._timed = weakref.ref(timed)
            self._whole_step = observer.seen.phases[-1].optimizer is timed
            observer.only_time(_device_of(timed))
        else:
            self._finish()

    def _reported(self) -> list[torch.optim.Optimizer]:
        """The optimizers that stepped and are wanted."""
        assert self._observer is not None
        if self._optimizer is not None:
            only = self._optimizer()
            return [each for each in self._observer.seen.optimizers if each is only]
        if self._model is None:
            return self._observer.seen.optimizers
        wanted = self._wanted()
        return [each for each in self._observer.seen.optimizers if any(each is one for one in wanted)]

    def _report_unfinished(self) -> None:
        """At the end: a report on steps of which one more was waited for."""
        if self._observer is not None and self._observer.seen.phases:
            self._report_if_wanted()
            if self._unsaid:
                self._finish()

    def _time_step(self, optimizer: torch.optim.Optimizer) -> None:
        """Note the time of a step; after the last, report."""
        assert self._observer is not None
        assert self._timed is not None
        clock = self._observer.clock
        if optimizer is not self._timed():
            clock.end_of_others()
            return
        clock.end_of_step(self._whole_step)
        self._whole_step = True
        if clock.num_steps >= self.measure:
            self._finish()

    def _finish(self) -> None:
        """Leave the training, and report with what was measured."""
        from sizer.hook.blocks import measured_record
        from sizer.report.hook import training_text

        self._leave()
        clock = None if self._observer is None or self._timed is None else self._observer.clock
        self._unsaid, self._timed = False, None
        measured = None if clock is None else measured_record(clock)
        if measured is not None:
            self.measured_s = measured.time_per_step_s
            self._with_measured(measured)
        if not self.quiet and self._blocks:
            print(training_text(self._blocks, measured, self._waited), file=sys.stderr, flush=True)
        if self.json_file is not None and self.record is not None:
            from sizer.base.storage import write_whole

            write_whole(self.json_file, self.record.to_json() + "\n")
        if self.html_file is not None and self.record is not None:
            self.record.to_html(self.html_file)

    def _with_measured(self, measured: MeasuredRecord) -> None:
        from dataclasses import replace

        if self.record is not None:
            self.record = replace(self.record, measured=measured)


def _with_others(record: ModuleInspection, others: list[ModuleInspection]) -> ModuleInspection:
    from dataclasses import replace

    return replace(record, other_optimizers=tuple(others))


def _device_of(optimizer: torch.optim.Optimizer) -> torch.device:
    """The device of the first parameter that an optimizer trains."""
    from sizer.script_runs.steps import trained_by

    return next(iter(trained_by(optimizer).values())).device


def advise_once(
    model: nn.Module, optimizer: torch.optim.Optimizer | None, json_file: str | os.PathLike[str] | None, quiet: bool
) -> None:
    """`sizer.advise`: watch one model until its first step. An argument of the wrong type is a warning, no error."""
    if (wrong := _wrong_arguments(model, optimizer)) is not None:
        warn(wrong)
        return
    try:
        watch = Watch(model=model, optimizer=optimizer, json_file=json_file, quiet=quiet)
    except TypeError as error:
        warn(f"sizer.advise takes a model and an optimizer: {error}")
        return
    watch.start()
    watch.until_exit()


def _wrong_arguments(model: Any, optimizer: Any) -> str | None:
    """What is wrong with the arguments of `sizer.advise`, and what to write."""
    import torch

    if isinstance(model, torch.optim.Optimizer) and isinstance(optimizer, torch.nn.Module):
        return "the arguments of sizer.advise are swapped; write sizer.advise(model, optimizer)"
    if not isinstance(model, torch.nn.Module):
        return f"sizer.advise(model, optimizer) takes a torch.nn.Module first, and was given a {type(model).__name__}"
    if optimizer is not None and not hasattr(optimizer, "step"):
        return f"sizer.advise(model, optimizer) takes an optimizer second, and was given a {type(optimizer).__name__}"
    return None


def _is_expected(error: Exception) -> bool:
    from sizer.base.errors import SizerError

    return isinstance(error, SizerError)


def is_first_rank() -> bool:
    """Rank 0, or no distributed training at all: the others would say the same, and prepare for nothing."""
    torch = sys.modules.get("torch")
    if torch is not None and torch.distributed.is_available() and torch.distributed.is_initialized():
        return bool(torch.distributed.get_rank() == 0)
    return os.environ.get("RANK", "0") in ("0", "")
