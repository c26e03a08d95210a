"""`sizer calibrate --operators`: operators of reference blocks, timed on this machine until the time is over.

Blocks are traced for the calls they are made of; each call that the library lacks is timed, and of some blocks a whole
step as well, which tells what lies between operators. The last part of the time goes into calls that are known: of two
timings the quieter holds.
"""

from __future__ import annotations

import random
import time
from collections import Counter
from collections.abc import Iterable, Iterator
from contextlib import closing
from typing import Any

import numpy as np
import torch
from torch import nn

from sizer.base.errors import UsageError
from sizer.base.progress import Progress, silent
from sizer.calibration.session import only_one
from sizer.calibration.timed_step import make_optimizer
from sizer.detection.detect import detected
from sizer.devices import chosen_for
from sizer.inspection.counts import StepSettings, note_calls
from sizer.inspection.operator_prices import cache_bytes, kept_bytes
from sizer.inspection.operators import kept_random_states
from sizer.inspection.optimizer_tape import note_optimizer
from sizer.inspection.tracing import trace_step
from sizer.method.hardware import Device
from sizer.operators.between import FEWEST_STEPS, TERMS, fit_between, made_of
from sizer.operators.calibration_record import KindErrors, OperatorCalibration
from sizer.operators.call import Call
from sizer.operators.kinds import computed, kind_of, place_of
from sizer.operators.library import Library, Log, conditions, library_path, read_library
from sizer.operators.operands import Pools, bytes_of
from sizer.operators.prices import Prices
from sizer.operators.reference_blocks import Block, block, together
from sizer.operators.step_price import sum_step
from sizer.operators.tape import Tape
from sizer.operators.timing import OperatorTime, quiet_process, time_call

#: Share of the time in which new calls are timed; the rest times them again.
_NEW_SHARE = 0.7
#: Blocks up to so many FLOPs and bytes touched: one of 5 GFLOP takes 50 to 100 ms a step on two cores.
_MOST_FLOPS, _MOST_BYTES = 5 * 10**9, 2**30
#: A block that is larger gets a quarter of its batch, so often.
_QUARTERINGS = 3
#: Of every so many blocks a whole step is timed, and one of so many blocks together.
_STEP_EVERY, _TOGETHER = 4, 4
#: Calls of a family that are timed in one go: those that compute are most of a step, of the others few tell the rest.
_MOST_COMPUTING, _MOST_OTHERS = 300, 60
#: A step is timed for so long, at least so many times, after some in which memory is handed out.
_STEP_S, _FEWEST_SAMPLES, _WARM_UP = 0.25, 8, 2
#: Timings in one line of the log: what a crash loses at most.
_LINE_CALLS = 50
MIN_BUDGET_S = 5.0
BUDGET_S = 120.0


def calibrate_operators(
    budget_s: float = BUDGET_S, threads: int | None = None, fresh: bool = False, progress: Progress = silent
) -> OperatorCalibration:
    """Time operators on this machine's CPU for about ``budget_s`` seconds; what is known is added to, unless ``fresh``.

    Raises UsageError for a budget too small to time anything, MeasurementError where another calibration runs or the
    library cannot be written.
    """
    if budget_s < MIN_BUDGET_S:
        raise UsageError(
            f"a budget of {budget_s:g} s is too small to time operators in; give at least {MIN_BUDGET_S:g} s"
        )
    began = time.perf_counter()
    before = torch.get_num_threads()
    torch.set_num_threads(threads or before)
    try:
        with closing(only_one()):
            if fresh:
                library_path().unlink(missing_ok=True)
            now = conditions(torch.get_num_threads())
            library = read_library(library_path(), now)
            known = len(library.times)
            with closing(Log(library_path(), now)) as log:
                _Timing(library, log, began + budget_s, progress).run()
        return _record(library, known, time.perf_counter() - began)
    finally:
        torch.set_num_threads(before)


def measure_missing(module: nn.Module, settings: StepSettings, optimizer: Any, device: Device, budget_s: float) -> None:
    """Time the calls of a module's step that the library lacks, the most telling first, for so many seconds at most.

    Raises UsageError for another device than this machine's CPU, or a time that is none, MeasurementError where another
    calibration runs or the library cannot be written.
    """
    if device.id != "cpu":
        raise UsageError(f"measure_missing is for this machine's CPU, and the device is {device.id}; give device cpu")
    if not budget_s > 0:
        raise UsageError(f"measure_missing is {budget_s:g} s; expected a time such as 10 s")
    end, tape = time.perf_counter() + budget_s, Tape()
    note_calls(module, settings, tape)
    note_optimizer(tape, optimizer, [p for p in module.parameters() if p.requires_grad])
    now = conditions(torch.get_num_threads())
    with closing(only_one()), closing(Log(library_path(), now)) as log, kept_random_states(), quiet_process():
        timing = _Timing(read_library(library_path(), now), log, end, silent)
        timing.time(timing.missing(tape), end)


class _Timing:
    """Timing under way, until a moment on the `time.perf_counter` clock."""

    def __init__(self, library: Library, log: Log, end: float, progress: Progress) -> None:
        self.library, self.log, self.end, self.progress = library, log, end, progress
        self.pools, self.began = Pools(), time.perf_counter()
        self.members = Counter(place_of(call).family for call in library.calls.values())
        self.complete: list[Block] = []
        self.cache_bytes = cache_bytes(chosen_for("cpu", "float32").device)

    def run(self) -> None:
        """New calls first, then known ones again."""
        new_until = self.began + _NEW_SHARE * (self.end - self.began)
        with kept_random_states(), quiet_process():
            number = 0
            while time.perf_counter() < new_until:
                self._say(f"block {number + 1}")
                self._block(number, new_until)
                number += 1
            self._again()

    def _block(self, number: int, until: float) -> None:
        """The calls of a block that are not known, and a step of it."""
        with torch.enable_grad():
            made, tape = traced_block(number)
        if tape is None:
            return
        self.time(self._new(tape), until)
        if self._new(tape):
            return  # (the time is over)
        if number % _STEP_EVERY == 0:
            self._step(made, tape, until)
        self.complete.append(made)
        if len(self.complete) == _TOGETHER:
            several, self.complete = together(self.complete), []
            self._together(several, until)

    def _together(self, several: Block, until: float) -> None:
        """A step of several blocks, whose optimizer takes all of their parameters at once."""
        with torch.enable_grad():
            tape = _tape_of(several)[0]
        if tape.step_bytes <= _MOST_BYTES:
            self.time(self._new(tape), until)
            self._step(several, tape, until)

    def _new(self, tape: Tape) -> list[Call]:
        """The calls of a step that are not known, of families of which more are to be timed."""
        return [call for key, call in tape.distinct().items() if not (self._is_known(key) or self._is_told(call))]

    def _is_told(self, call: Call) -> bool:
        most = _MOST_COMPUTING if call.flops else _MOST_OTHERS
        return self.members[place_of(call).family] >= most

    def missing(self, tape: Tape) -> list[Call]:
        """The calls of a step that are not known, those first by which its predicted time may be off most."""
        found = sum_step(tape, Prices(self.library), self.cache_bytes)
        doubt = {key: seconds * found.known[key][1].deviation for key, seconds in found.by_call.items()}
        missing = [key for key in doubt if not self._is_known(key) and _fits(found.known[key][0])]
        return [found.known[key][0] for key in sorted(missing, key=lambda key: -doubt[key])]

    def _is_known(self, key: str) -> bool:
        return key in self.library.times or key in self.library.untimable

    def time(self, calls: Iterable[Call], until: float) -> None:
        """Time calls one after the other and keep them."""
        found: list[tuple[Call, OperatorTime | None]] = []
        for call in calls:
            if time.perf_counter() > until:
                break
            timed = time_call(call, self.pools)
            self.members[place_of(call).family] += not self._is_known(call.key)
            self.library.add(call, timed)
            found.append((call, timed))
            if len(found) >= _LINE_CALLS:
                self.log.timings(found)
                found = []
        self.log.timings(found)

    def _again(self) -> None:
        calls = list(self.library.calls.values())
        random.Random(0).shuffle(calls)  # noqa: S311 (no secret)
        for start in range(0, len(calls), _LINE_CALLS):
            self._say("again")
            self.time(calls[start : start + _LINE_CALLS], self.end)

    def _step(self, made: Block, tape: Tape, until: float) -> None:
        """A whole step of a block, if there is time for one."""
        if time.perf_counter() > until:
            return
        found = sum_step(tape, Prices(self.library), self.cache_bytes)
        with torch.enable_grad():
            row = {"block": made.name, **made_of(found, kept_bytes(tape)), "measured_s": measured_step_s(made)}
        self.library.steps.append(row)
        self.log.steps([row])

    def _say(self, what: str) -> None:
        self.progress(what, (time.perf_counter() - self.began) / max(self.end - self.began, 1e-9))


def _fits(call: Call) -> bool:
    """Whether a call's tensors take less than a quarter of this machine's memory."""
    memory = detected("cpu").known_levels()[-1].capacity_bytes or 0
    return bytes_of((*call.tensors, *call.outputs)) <= memory / 4


def traced_block(number: int) -> tuple[Block, Tape | None]:
    """A reference block and the calls of its step; None for one that is too large."""
    made = block(number)
    for _ in range(_QUARTERINGS):
        tape, flops = _tape_of(made)
        if flops <= _MOST_FLOPS and tape.step_bytes <= _MOST_BYTES:
            return made, tape
        made = made._replace(inputs=tuple(example[: -(-len(example) // 4)] for example in made.inputs))
    return made, None


def _tape_of(made: Block) -> tuple[Tape, int]:
    """The calls of a block's step, and its FLOPs."""
    tape = Tape()
    trace_step(made.module, made.inputs, {}, tape=tape)
    note_optimizer(tape, _optimizer(made), list(made.module.parameters()))
    return tape, sum(computed(each.call) for each in tape.calls)


def _optimizer(made: Block) -> Any:
    fused = made.form == "fused" or not list(made.module.parameters())
    return made.optimizer if fused else make_optimizer(made.module, made.optimizer, made.form)


def measured_step_s(made: Block) -> float:
    """Quiet time of a step of a block in s."""
    module = made.module.to_empty(device="cpu")
    with torch.no_grad():
        for tensor in (*module.parameters(), *module.buffers()):
            tensor.uniform_(-0.05, 0.05) if tensor.is_floating_point() else tensor.zero_()
    inputs = [_filled(example) for example in made.inputs]
    trained = list(module.parameters())
    optimizer = make_optimizer(module, made.optimizer, made.form) if trained else None
    for group in () if optimizer is None else optimizer.param_groups:
        group["lr"] = 0.0  # (what is trained towards nothing soon is infinite or denormal, and slow)
    samples: list[float] = []
    end = time.perf_counter() + _STEP_S
    for _ in _rounds(end, samples):
        began = time.perf_counter()
        _train(module, inputs, optimizer)
        samples.append(time.perf_counter() - began)
    return float(np.quantile(samples[_WARM_UP:], 0.2))


def _rounds(end: float, samples: list[float]) -> Iterator[None]:
    while len(samples) <= _FEWEST_SAMPLES or time.perf_counter() < end:
        yield


def _filled(example: torch.Tensor) -> torch.Tensor:
    if example.is_floating_point():
        return torch.randn(example.shape, dtype=example.dtype).requires_grad_(example.requires_grad)
    return torch.zeros(example.shape, dtype=example.dtype)


def _train(module: nn.Module, inputs: list[torch.Tensor], optimizer: torch.optim.Optimizer | None) -> None:
    if optimizer is not None:
        optimizer.zero_grad(set_to_none=True)
    output = module(*inputs)
    outputs = output if isinstance(output, tuple) else (output,)
    torch.autograd.backward(outputs, [torch.ones_like(each) for each in outputs])
    if optimizer is not None:
        optimizer.step()


def _record(library: Library, known: int, took_s: float) -> OperatorCalibration:
    prices, device = Prices(library), detected("cpu")
    steps = [step for step in library.steps if step.get("measured_s")]
    fitted = fit_between(library.steps)
    off = [abs(fitted.step_s(step) / step["measured_s"] - 1) for step in steps if all(name in step for name in TERMS)]
    now = conditions(torch.get_num_threads())
    return OperatorCalibration(
        device=device.id,
        name=device.name,
        torch=now["torch"],
        threads=now["threads"],
        calls=len(library.times),
        new_calls=len(library.times) - known,
        kinds=tuple(_kinds(library, prices)),
        steps=len(steps),
        step_error=float(np.mean(off)) if len(off) >= FEWEST_STEPS else None,
        took_s=took_s,
        path=str(library_path()),
    )


def _kinds(library: Library, prices: Prices) -> Iterator[KindErrors]:
    """The kinds with their calls and the error of one that is told by the others, the largest first."""
    members: dict[str, list[Call]] = {}
    for call in library.calls.values():
        members.setdefault(kind_of(call), []).append(call)
    for kind, calls in sorted(members.items(), key=lambda item: -len(item[1])):
        errors = [error for error in map(prices.left_out_error, calls) if error is not None]
        yield KindErrors(kind, len(calls), float(np.mean(errors)) if errors else None)
