"""The steps of a training: its optimizers, and what lies between two steps of the same, put together from what is seen.

A *phase* is what ends in one optimizer's step: calls, backward passes, the step. A training with one optimizer has one
phase a step; one with several has those of the others between two steps of the same.
"""

from __future__ import annotations

import functools
import gc
import weakref
from collections import Counter
from collections.abc import Iterator, Sequence, Set
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import torch
from torch import nn
from torch.optim import Optimizer

from sizer.script_runs.calls import NotedCall


class BackwardPass(NamedTuple):
    """One backward pass: the calls it reached (by index), its FLOPs, and how many calls were made by its end.

    ``accumulated``: the leaves (by id) to whose gradients it added, none for `torch.autograd.grad`.
    """

    calls: frozenset[int]
    accumulated: frozenset[int]
    flops: int
    at_call: int


@dataclass
class Phase:
    """What ended in a step of ``optimizer``. ``calls`` are those begun in it, by index."""

    optimizer: Optimizer
    calls: list[int]
    passes: list[BackwardPass]

    def flops(self, calls: Sequence[NotedCall], first: bool) -> tuple[int, int]:
        """FLOPs outside and inside backward passes; of what came before the first phase's step see `_counts`."""
        counted = _counts(self, calls) if first else self.calls
        forward = sum(calls[index].flops + calls[index].flops_after for index in counted)
        return forward, sum(each.flops for each in self.passes)


def _counts(phase: Phase, calls: Sequence[NotedCall]) -> list[int]:
    """The calls of a first phase that belong to its step.

    Before it a script may have evaluated, or a policy may have been asked for actions. What no backward pass reached
    and was called before all that one did belongs to the step if it was called once (a teacher), and does not if again
    and again.
    """
    reached = {index for each in phase.passes for index in each.calls}
    first = min(reached & set(phase.calls), default=None)
    if first is None:
        return phase.calls
    before = Counter(calls[index].pattern for index in phase.calls if index < first)
    return [index for index in phase.calls if index >= first or before[calls[index].pattern] == 1]


@dataclass
class SeenSteps:
    """All that was observed so far: every call, the phases that have ended, the passes of the one that has not."""

    calls: list[NotedCall] = field(default_factory=list)
    phases: list[Phase] = field(default_factory=list)
    passes: list[BackwardPass] = field(default_factory=list)
    started: int = 0  # index of the first call of the phase that has not ended

    def end_phase(self, optimizer: Optimizer) -> None:
        """An optimizer stepped."""
        calls = list(range(self.started, len(self.calls)))
        self.phases.append(Phase(optimizer, calls, self.passes))
        self.passes, self.started = [], len(self.calls)

    def forget_dropped(self, without_gradient: frozenset[int]) -> None:
        """A backward pass begins with leaves that hold no gradient: what gave them one was zeroed before any step.

        A scaler that skips its first steps does that, and a script that drops a batch.
        """
        dropped = [index for index, each in enumerate(self.passes) if each.accumulated & without_gradient]
        if dropped:
            self.started = self.passes[dropped[-1]].at_call
            self.passes = self.passes[dropped[-1] + 1 :]

    def has_touched(self, parameters: Set[int]) -> bool:
        """Whether a module with one of these parameters (by id) was called, or a backward pass gave one a gradient."""
        return any(call.trainable & parameters for call in self.calls) or any(
            each.accumulated & parameters for phase in self.phases for each in phase.passes
        )

    @property
    def optimizers(self) -> list[Optimizer]:
        """Those that stepped, in the order of their first steps."""
        found: list[Optimizer] = []
        for phase in self.phases:
            if not any(phase.optimizer is known for known in found):
                found.append(phase.optimizer)
        return found

    def last_step(self, optimizer: Optimizer) -> Step:
        """What lies between the last two steps of an optimizer."""
        between = [self.phases[index] for index in self._between(optimizer)]
        flops = [phase.flops(self.calls, phase is self.phases[0]) for phase in between]
        passes = [each for phase in between for each in phase.passes]
        return Step(
            optimizer=optimizer,
            calls=self._calls_of(passes),
            passes=tuple(passes),
            forward_flops=sum(forward for forward, _ in flops),
            backward_flops=sum(backward for _, backward in flops),
            own_flops=sum(flops[-1]),
            others=tuple(phase.optimizer for phase in between[:-1]),
        )

    def _between(self, optimizer: Optimizer) -> list[int]:
        """Indices of the phases between its last two steps, its own last.

        One that has stepped once, in a round that another began and ended, has the phases of that round; one that
        stepped before any round was over, those up to its step.
        """
        own = self._steps_of(optimizer)
        if len(own) > 1:
            return list(range(own[-2] + 1, own[-1] + 1))
        first = self._steps_of(self.phases[0].optimizer)
        if len(first) > 1 and first[-2] < own[0] < first[-1]:
            return [*range(own[0] + 1, first[-1] + 1), *range(first[-2] + 1, own[0] + 1)]
        return list(range(own[0] + 1))

    def _steps_of(self, optimizer: Optimizer) -> list[int]:
        return [index for index, phase in enumerate(self.phases) if phase.optimizer is optimizer]

    def _calls_of(self, passes: Sequence[BackwardPass]) -> tuple[StepCall, ...]:
        """The calls that passes reached, like ones together, in the order of their first."""
        times = Counter(index for each in passes for index in each.calls)
        groups: dict[object, list[int]] = {}
        for index in sorted(times):
            groups.setdefault(self.calls[index].pattern, []).append(index)
        found = []
        for indices in groups.values():
            module = self.calls[indices[0]].module()
            if module is not None:
                in_passes = tuple(sum(index in each.calls for index in indices) for each in passes)
                found.append(StepCall(module, self.calls[indices[-1]], len(indices), in_passes))
        return tuple(found)


class StepCall(NamedTuple):
    """Like calls of a module in a step: how many, and how many of them each backward pass reaches."""

    module: nn.Module
    noted: NotedCall
    times: int
    in_passes: tuple[int, ...]


class Step(NamedTuple):
    """What lies between two steps of an optimizer.

    FLOPs are those counted between them, ``own_flops`` those of its own phase; ``others`` are the optimizers that
    stepped in between, once for each step.
    """

    optimizer: Optimizer
    calls: tuple[StepCall, ...]
    passes: tuple[BackwardPass, ...]
    forward_flops: int
    backward_flops: int
    own_flops: int
    others: tuple[Optimizer, ...]


class KnownOptimizers:
    """The optimizers made while it watches, and, where it looks, those made before. None is kept alive."""

    def __init__(self) -> None:
        self._found: list[weakref.ReferenceType[Optimizer]] = []
        self._before: list[weakref.ReferenceType[Optimizer]] = []
        self._original: Any = None
        self._own: Any = None

    def look(self) -> None:
        """Find the optimizers among all objects, by type: weak proxies and deprecated modules answer ``__class__``."""
        # torch marks a class's step when the first of its kind is made; instances refer to their class
        kinds = [kind for kind in _with_subclasses(Optimizer) if getattr(kind.step, "hooked", False)]
        for found in gc.get_referrers(*kinds) if kinds else ():
            if type(found) in kinds:
                self.add(found)
        self._before = list(self._found)

    def was_there(self, optimizer: Optimizer) -> bool:
        """Whether an optimizer was found by looking: it may be of a training that is over."""
        return any(reference() is optimizer for reference in self._before)

    def add(self, optimizer: Optimizer) -> None:
        """Know one more."""
        if not any(known is optimizer for known in self):
            self._found.append(weakref.ref(optimizer))

    def __iter__(self) -> Iterator[Optimizer]:
        """Those that are still alive and have parameters to train."""
        for reference in list(self._found):
            optimizer = reference()
            if optimizer is not None and trained_by(optimizer):
                yield optimizer

    def watch(self) -> None:
        """Note every optimizer that is made from now on."""
        original = Optimizer.__init__
        known = self

        @functools.wraps(original)
        def __init__(self: Optimizer, *args: Any, **kwargs: Any) -> None:  # noqa: N807 (takes its place)
            original(self, *args, **kwargs)
            known.add(self)

        self._original, self._own = original, __init__
        Optimizer.__init__ = __init__  # type: ignore[method-assign]

    def leave(self) -> None:
        """Put torch's own function back, unless somebody else's is there by now."""
        if self._own is not None and Optimizer.__init__ is self._own:
            Optimizer.__init__ = self._original  # type: ignore[method-assign]
        self._own = None


def _with_subclasses(kind: type[Optimizer]) -> Iterator[type[Optimizer]]:
    yield kind
    for below in kind.__subclasses__():
        yield from _with_subclasses(below)


def trained_by(optimizer: Optimizer) -> dict[int, torch.Tensor]:
    """The parameters that an optimizer trains, by id."""
    groups = getattr(optimizer, "param_groups", ())
    return {id(p): p for group in groups for p in group["params"] if isinstance(p, torch.Tensor) and p.requires_grad}
