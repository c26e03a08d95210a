"""What is measured of a real step: its FLOPs, as torch's FlopCounterMode counts them, and where its time goes.

The counter lies on torch's stack of dispatch modes between a step's first call and the report. It runs every operation
as it is and adds up: no random number is drawn and no result is other than without it. Nothing is counted, and nothing
put on the stack, where a script compiles anything, since torch compiles no frame below a mode.
"""

from __future__ import annotations

import math
import sys
import threading
import time
from collections.abc import Sequence
from typing import Any, NamedTuple

import torch
from torch.utils._python_dispatch import TorchDispatchMode, _get_current_dispatch_mode_stack, _pop_mode, _push_mode
from torch.utils.flop_counter import flop_registry

from sizer.inspection.operators import decomposes


def anything_compiled() -> bool:
    """Whether `torch.compile` was called in this process."""
    frames = sys.modules.get("torch._dynamo.eval_frame")
    backends = getattr(frames, "cached_backends", {})
    return any(callable(backend) for backend in list(backends.values()))


def _inside_transform() -> bool:
    """Whether a function transform (`torch.func.grad`, `vmap`) is running."""
    return torch._C._functorch.peek_interpreter_stack() is not None


class FlopCount(TorchDispatchMode):  # type: ignore[no-untyped-call, unused-ignore]
    """A dispatch mode that adds up FLOPs of passes. ``whole`` turns False once an operation could not be counted."""

    supports_higher_order_operators = True

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call, unused-ignore]
        self.forward = 0
        self.backward = 0
        self.in_backward = False
        self.whole = True
        self.in_inference = False
        self._thread: int | None = None

    @property
    def is_on(self) -> bool:
        """Whether it lies on the stack."""
        return self._thread is not None

    def start(self) -> bool:
        """Put it on the stack, unless modes or function transforms of the script are there, or it compiles.

        What is put there in inference mode has to be taken off in it (`stop`): leaving it forgets that modes are on.
        """
        if _get_current_dispatch_mode_stack() or anything_compiled() or _inside_transform():
            return False
        _push_mode(self)
        self._thread, self.in_inference = threading.get_ident(), torch.is_inference_mode_enabled()
        return True

    @property
    def thread(self) -> int | None:
        """The thread on whose stack it lies, the only one that can take it off."""
        return self._thread

    def stop(self) -> None:
        """Take it off the stack of this thread, from below modes that the script has put on it since."""
        if self._thread != threading.get_ident() or self.in_inference != torch.is_inference_mode_enabled():
            return
        above: list[Any] = []
        while _get_current_dispatch_mode_stack():
            mode = _pop_mode()
            if mode is self:
                self._thread = None
                break
            above.append(mode)
        for mode in reversed(above):
            _push_mode(mode)

    @classmethod
    def _should_skip_dynamo(cls) -> bool:
        """Nothing is compiled while it is on, so that torch need not guard each operation against it."""
        return False

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        """Run an operation and count it; one that is made of others (in inference mode) as those."""
        kwargs = kwargs or {}
        formula = flop_registry.get(getattr(func, "_overloadpacket", func))
        if formula is None:
            if isinstance(func, torch._ops.OpOverload) and decomposes(func):
                with self:
                    return func.decompose(*args, **kwargs)
            return func(*args, **kwargs)
        output = func(*args, **kwargs)
        try:
            flops = int(formula(*args, **kwargs, out_val=output))
        except Exception:  # a formula of the script's own: the training goes on, the count is not whole
            self.whole = False
            return output
        if self.in_backward:
            self.backward += flops
        else:
            self.forward += flops
        return output


#: What a step's time is split into, in the order of a report.
PARTS = ("waiting", "forward", "backward", "optimizer", "others", "rest")


class StepTime(NamedTuple):
    """The time between two steps of one optimizer, in s, split into what the thread did.

    ``waiting`` for a data loader; ``forward`` in calls of modules, ``backward`` in backward passes, ``optimizer`` in
    its own step; ``others`` all of what ended in another optimizer's step; ``rest`` everything else of the script.
    """

    waiting: float
    forward: float
    backward: float
    optimizer: float
    others: float
    rest: float

    @property
    def total(self) -> float:
        """The whole time."""
        return sum(self)

    @property
    def computing(self) -> float:
        """What a prediction is of: forward, backward, optimizer."""
        return self.forward + self.backward + self.optimizer


class StepClock:
    """Charges time to the innermost part that is running, so that nothing counts twice; by the host's clock."""

    on_device = False

    def __init__(self) -> None:
        self._spent = dict.fromkeys(PARTS, 0.0)
        self._running = ["rest"]
        self._steps: list[StepTime] = []
        self.since = time.perf_counter()

    def enter(self, part: str) -> int:
        """A part begins; the answer is what `leave` takes."""
        self._charge()
        self._running.append(part)
        return len(self._running) - 1

    def leave(self, depth: int) -> None:
        """The part that began at a depth ends, and with it whatever an exception left open inside."""
        self._charge()
        del self._running[depth:]

    def end_of_others(self) -> None:
        """Another optimizer stepped: what was spent since the last step is its."""
        self._charge()
        spent, self._spent = self._spent, dict.fromkeys(PARTS, 0.0)
        self._spent["others"] = sum(spent.values())

    def end_of_step(self, whole: bool = True) -> None:
        """The reported optimizer stepped: one more of `steps`, if the time since its last is ``whole``."""
        self._charge()
        spent, self._spent = self._spent, dict.fromkeys(PARTS, 0.0)
        if whole:
            self._steps.append(StepTime(**spent))

    @property
    def num_steps(self) -> int:
        """Whole steps so far."""
        return len(self._steps)

    def steps(self) -> list[StepTime]:
        """The whole steps, those left out of which a part is not known."""
        return [step for step in self._steps if not math.isnan(step.total)]

    def so_far(self) -> StepTime:
        """The time since the last step."""
        self._charge()
        return StepTime(**self._spent)

    def _charge(self) -> None:
        now = time.perf_counter()
        self._spent[self._running[-1]] += now - self.since
        self.since = now


class DeviceStepClock(StepClock):
    """The same by the clock of a CUDA device, whose times are not known before the end: `steps` waits for it, once.

    The host is ahead of a device that is busy, and its own clock would show how long launching takes. Where a part ends
    the stream is marked; while one captures a graph it is not, and the time of such a step is not known.
    """

    on_device = True

    def __init__(self, device: torch.device) -> None:
        from sizer.calibration.timed_step import StreamClock  # (what else times steps is not loaded for the CPU's)

        super().__init__()
        self._stream = StreamClock(device)
        self._stream.mark()
        self._ended: list[str | bool | None] = []  # a part; a step, whole or not; None: another optimizer's

    def end_of_others(self) -> None:
        """Another optimizer stepped."""
        self._charge()
        self._ended.append(None)

    def end_of_step(self, whole: bool = True) -> None:
        """The reported optimizer stepped."""
        self._charge()
        self._ended.append(whole)

    @property
    def num_steps(self) -> int:
        """Whole steps so far."""
        return sum(end is True for end in self._ended)

    def steps(self) -> list[StepTime]:
        """The whole steps that are known. Waits for the device."""
        books, intervals = _Books(), iter(self._stream.intervals_s())
        for end in self._ended:
            if isinstance(end, str):
                books.spend(end, next(intervals))
            elif end is None:
                books.end_of_others()
            else:
                books.end_of_step(end)
        return books.steps()

    def _charge(self) -> None:
        self._stream.mark()
        self._ended.append(self._running[-1])


class _Books(StepClock):
    """A clock that is told how long each part took."""

    def spend(self, part: str, seconds: float) -> None:
        """A part took so long."""
        self._spent[part] += seconds

    def _charge(self) -> None:
        """Nothing passes by itself."""


def quiet(values: Sequence[float]) -> float:
    """The 20th percentile."""
    return sorted(values)[len(values) // 5]


class Measured(NamedTuple):
    """Steps that were timed: how many, the quiet time of one, that of its computing, and the share of each part."""

    steps: int
    time_per_step_s: float
    computing_s: float
    shares: StepTime

    @property
    def lost(self) -> float:
        """Share of the time that no network's size changes: waiting for data, and the script's rest."""
        return self.shares.waiting + self.shares.rest


def measured(times: Sequence[StepTime]) -> Measured:
    """Sum up timed steps, at least one; the shares are those of all of them together."""
    total = sum(step.total for step in times) or 1.0
    shares = StepTime(*(sum(part) / total for part in zip(*times, strict=True)))
    return Measured(len(times), quiet([t.total for t in times]), quiet([t.computing for t in times]), shares)
