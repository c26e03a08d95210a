"""Observing a training until its steps are known: calls, backward passes and FLOPs between the steps of optimizers."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any

import torch
from torch import nn

from sizer.script_runs.calls import NotedCall, Reached, reached_by
from sizer.script_runs.measuring import DeviceStepClock, FlopCount, StepClock, anything_compiled
from sizer.script_runs.patches import Patches
from sizer.script_runs.steps import BackwardPass, KnownOptimizers, SeenSteps

#: Calls that build no graph with which counting may begin: of a script that evaluates first, the rest is not counted.
_UNCOUNTED_CALLS = 32


class Observer:
    """Listens to a training. ``on_step(optimizer)`` and ``on_call()`` are told when one has ended; `leave` ends it.

    After `pause` and `only_time` it only keeps the time.
    """

    def __init__(
        self,
        safely: Callable[..., Any],
        on_step: Callable[[torch.optim.Optimizer], None],
        on_call: Callable[[NotedCall], None],
    ) -> None:
        self.safely = safely
        self.seen = SeenSteps()
        self.optimizers = KnownOptimizers()
        self.clock = StepClock()
        self.graph_calls = 0  # calls that built a graph of something trainable
        self.other_calls = 0
        self.steps = 0  # steps of any optimizer
        self._loader_began: float | None = None  # of one without workers: the first batch of others waits for a start
        self._counter: FlopCount | None = FlopCount()
        self._mark = 0  # forward FLOPs that are charged to calls already
        self._on_step, self._on_call = on_step, on_call
        self._patches = Patches(self)
        self._stepping: list[tuple[int, int]] = []  # optimizers whose step runs, and the clock's depth
        self._in_backward = False
        self._after_backward: list[torch.optim.Optimizer] = []  # those that stepped inside a backward pass

    @property
    def counted(self) -> bool:
        """Whether all FLOPs since the first call were counted."""
        return self._counter is not None and self._counter.whole and self._counter.is_on

    @property
    def waiting_share(self) -> float | None:
        """Share of the time since the first batch was asked for that went into waiting; None without such a loader."""
        if self._loader_began is None:
            return None
        waited = self.clock.so_far().waiting
        return waited / (self.clock.since - self._loader_began) if self.clock.since > self._loader_began else None

    def arm(self) -> None:
        """Begin."""
        self.optimizers.watch()
        self._patches.put()

    def pause(self) -> None:
        """Note and count no more, and for now keep no time either."""
        counter, self._counter = self._counter, None
        if counter is not None:
            counter.stop()
            if counter.thread is not None:  # an optimizer that steps in another thread than the model runs in
                self._patches.when_next_called_in(counter.thread, counter.stop)
        self.optimizers.leave()
        self._patches.armed = False

    def only_time(self, device: torch.device) -> None:
        """Go on with keeping the time, from now: by the device's own clock where it is a CUDA one."""
        self.seen = SeenSteps()
        self.clock = DeviceStepClock(device) if device.type == "cuda" else StepClock()
        self._patches.armed = True

    def leave(self) -> None:
        """Take everything out of torch."""
        self.pause()
        self._patches.remove()

    def wants(self, module: nn.Module) -> bool:
        """Only what has parameters is told of: a loss without any is part of the script's rest."""
        return next(module.parameters(), None) is not None

    def called(self, module: nn.Module, args: Any, kwargs: Any) -> Any:
        """Note a call, and begin to count with it."""
        depth = self.clock.enter("forward")
        if self._counter is None or self._is_one_more_without_graph():
            return depth, None
        call = NotedCall(module, args, kwargs)
        self.graph_calls += call.builds_graph
        self.other_calls += not call.builds_graph
        self._count_from(call)
        self._charge()
        self._on_call(call)
        self.seen.calls.append(call)
        return depth, call

    def _is_one_more_without_graph(self) -> bool:
        """Whether gradients are off, and were often enough: an evaluation, or a policy's actions, before a step."""
        if torch.is_grad_enabled() or self.other_calls < _UNCOUNTED_CALLS:
            return False
        self.other_calls += 1
        if not self.graph_calls and self._counter is not None and self._counter.is_on:
            self._counter.stop()
        return True

    def _count_from(self, call: NotedCall) -> None:
        assert self._counter is not None
        elsewhere = self._counter.is_on and self._counter.thread != threading.get_ident()
        if elsewhere or (self._counter.is_on and anything_compiled()):
            self._counter.stop()
            self._counter.whole = False
        elif not self._counter.is_on and self._counter.whole:
            begins = call.trains or self.other_calls <= _UNCOUNTED_CALLS
            self._counter.whole = self._counter.start() if begins else True
            self._mark = self._counter.forward

    def compiles(self) -> None:
        """Something is about to be compiled, and what is compiled beside a count stays slow: it ends here."""
        if self._counter is not None and self._counter.is_on:
            self._counter.stop()
            self._counter.whole = False

    def _charge(self) -> None:
        """What was counted since the last call ended belongs to the script after it."""
        if self._counter is not None and self.seen.calls:
            self.seen.calls[-1].flops_after += self._counter.forward - self._mark
        self._mark = self._counter.forward if self._counter is not None else 0

    def returned(self, token: Any, output: Any) -> None:
        """The call is over."""
        if token is None:
            return
        depth, call = token
        self.clock.leave(depth)
        if call is None or self._counter is None:
            return
        call.flops += self._counter.forward - self._mark
        self._mark = self._counter.forward
        if self._counter.in_inference:
            self._counter.stop()
        if call.trains and output is not None:
            call.mark(output, self.seen.calls.index(call))

    def backward_begins(self, roots: Any, accumulates: bool) -> Any:
        """A backward pass begins: what it will reach is in the graph."""
        depth, self._in_backward = self.clock.enter("backward"), True
        if self._counter is None:
            return depth, None, 0
        reached = reached_by(roots)
        if not accumulates:
            reached = reached._replace(without_gradient=frozenset(), accumulated=frozenset())
        elif not self._stepping:  # a closure zeroes gradients inside its step
            self.seen.forget_dropped(reached.without_gradient)
        self._counter.in_backward = True
        return depth, reached, self._counter.backward

    def backward_ended(self, token: Any) -> None:
        """It is over."""
        self._in_backward = False
        if token is None:
            return
        depth, reached, before = token
        self.clock.leave(depth)
        if reached is not None and self._counter is not None:
            self._note_pass(reached, before)
        waiting, self._after_backward = self._after_backward, []
        for optimizer in waiting:
            self.end_phase(optimizer)

    def _note_pass(self, reached: Reached, before: int) -> None:
        assert self._counter is not None
        self._counter.in_backward = False
        calls = {index for index in reached.calls if index < len(self.seen.calls)}
        for index, call in enumerate(self.seen.calls):
            if call.trains and (call.unmarked or not reached.whole) and call.trainable & reached.leaves:
                calls.add(index)
        flops = self._counter.backward - before
        found = BackwardPass(frozenset(calls), reached.accumulated, flops, len(self.seen.calls))
        self.seen.passes.append(found)

    def step_begins(self, optimizer: torch.optim.Optimizer) -> None:
        """An optimizer steps, perhaps inside another's step."""
        self._stepping.append((id(optimizer), self.clock.enter("optimizer")))

    def stepped(self, optimizer: torch.optim.Optimizer) -> None:
        """An optimizer has stepped; inside of another's step this is a part of that."""
        own = next((index for index, (key, _) in enumerate(self._stepping) if key == id(optimizer)), None)
        if own is not None:
            self.clock.leave(self._stepping[own][1])
            del self._stepping[own:]
        if not self._stepping:
            self.steps += 1
            self.optimizers.add(optimizer)
            if self._in_backward:
                self._after_backward.append(optimizer)
            else:
                self.end_phase(optimizer)

    def end_phase(self, optimizer: torch.optim.Optimizer) -> None:
        """What was noted since the last step ended in this one's."""
        if self._counter is not None:
            self._charge()
            self.seen.end_phase(optimizer)
        self._on_step(optimizer)

    def waits(self, iterator: Any) -> Any:
        """The script waits for a batch."""
        depth = self.clock.enter("waiting")
        if self._loader_began is None and not getattr(iterator, "_num_workers", 1):
            self._loader_began = self.clock.since
        return depth

    def waited(self, token: Any) -> None:
        """It has it."""
        if token is not None:
            self.clock.leave(token)
