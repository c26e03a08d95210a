"""The places in torch that tell what a training does, and functions put there for a while.

A module's outermost call, an outermost backward pass, an optimizer's step, a data loader's next batch, torch.compile.
What is inside a call never sees the function that stands in for `Module.__call__`: the original is back in place while
a module runs, so that nothing that torch.compile traces is other than without it.
"""

from __future__ import annotations

import functools
import os
import threading
from collections.abc import Callable
from typing import Any, Protocol

import torch
from torch import nn
from torch.optim.optimizer import register_optimizer_step_post_hook, register_optimizer_step_pre_hook
from torch.utils.data.dataloader import _BaseDataLoaderIter
from torch.utils.hooks import RemovableHandle


class Listener(Protocol):
    """What is told of a training. Nothing that these raise reaches it."""

    def wants(self, module: nn.Module) -> bool:
        """Whether a call of this module is to be told."""

    def called(self, module: nn.Module, args: Any, kwargs: Any) -> Any:
        """A module is about to be called; the answer comes back with `returned`."""

    def returned(self, token: Any, output: Any) -> None:
        """The call is over; the output is None where it raised."""

    def backward_begins(self, roots: Any, accumulates: bool) -> Any:
        """A backward pass begins from some tensors, and adds to the gradients of leaves, or hands them out."""

    def backward_ended(self, token: Any) -> None:
        """It is over."""

    def step_begins(self, optimizer: torch.optim.Optimizer) -> None:
        """An optimizer steps."""

    def stepped(self, optimizer: torch.optim.Optimizer) -> None:
        """It has."""

    def waits(self, iterator: Any) -> Any:
        """The script asks a data loader for a batch."""

    def waited(self, token: Any) -> None:
        """It has it."""

    def compiles(self) -> None:
        """Something is about to be compiled: what runs is no longer what is seen."""

    def safely(self, action: Callable[..., Any], *args: Any) -> Any:
        """The action's answer; None, and the end of listening, where it raised."""


class Patches:
    """Puts them in place, in one thread and process, and takes them out again."""

    def __init__(self, listener: Listener) -> None:
        self.listener = listener
        self.armed = False
        self._process = os.getpid()
        self._in_call: set[int] = set()  # threads
        self._in_backward: set[int] = set()
        self._undo: list[Callable[[], None]] = []
        self._unpatch_call: Callable[[], None] | None = None
        self._lock = threading.RLock()
        self._handles: list[RemovableHandle] = []
        self._inside = False  # a hook of ours is told of a step: torch goes through all of them just now

    def put(self) -> None:
        """Put everything in place."""
        self.armed = True
        self._handles = [register_optimizer_step_pre_hook(self._before), register_optimizer_step_post_hook(self._after)]
        self._undo.append(self._patch_backward())
        self._undo.append(self._patch_loader())
        self._undo.append(self._patch_compile())
        self._patch_call()

    def remove(self) -> None:
        """Take everything out."""
        self.armed = False
        self._call_as_before()
        while self._undo:
            self._undo.pop()()
        self._take_hooks_out()

    def _take_hooks_out(self) -> None:
        # (torch stumbles over a hook that is taken out while it has others after that to go through; a report that is
        # made in there calls modules too)
        if self._inside and not all(map(_is_last, self._handles)):
            self.when_next_called_in(threading.get_ident(), self._take_hooks_out)
            return
        while self._handles:
            self._handles.pop().remove()

    def _ours(self) -> bool:
        """Whether it is this process, outside of a backward pass, which may call modules again to recompute."""
        return self.armed and os.getpid() == self._process and threading.get_ident() not in self._in_backward

    def _patch_call(self) -> None:
        original, patches = nn.Module.__call__, self

        def __call__(module: nn.Module, *args: Any, **kwargs: Any) -> Any:  # noqa: N807 (takes Module.__call__'s place)
            if torch.compiler.is_compiling():  # first, since torch.compile traces these lines then
                return original(module, *args, **kwargs)
            listener = patches.listener
            thread, output = threading.get_ident(), None
            if thread in patches._in_call or not patches._ours() or not listener.safely(listener.wants, module):
                return original(module, *args, **kwargs)
            patches._call_as_before()
            patches._in_call.add(thread)
            token = listener.safely(listener.called, module, args, kwargs)
            try:
                output = original(module, *args, **kwargs)
                return output
            finally:
                patches._in_call.discard(thread)
                listener.safely(listener.returned, token, output)
                if patches.armed:
                    listener.safely(patches._patch_call)

        def restore() -> None:
            if nn.Module.__call__ is __call__:
                nn.Module.__call__ = original  # type: ignore[method-assign]

        with self._lock:
            if self._unpatch_call is None:
                self._unpatch_call = restore
                nn.Module.__call__ = __call__  # type: ignore[method-assign]

    def when_next_called_in(self, thread: int, action: Callable[[], None]) -> None:
        """Act before the next call of a module in a thread, whether this is armed by then or not."""
        self._call_as_before()
        original = nn.Module.__call__

        def __call__(module: nn.Module, *args: Any, **kwargs: Any) -> Any:  # noqa: N807 (takes Module.__call__'s place)
            here = not torch.compiler.is_compiling() and threading.get_ident() == thread
            if here and not torch.is_inference_mode_enabled():
                if nn.Module.__call__ is __call__:
                    nn.Module.__call__ = original  # type: ignore[method-assign]
                action()
            return original(module, *args, **kwargs)

        nn.Module.__call__ = __call__  # type: ignore[method-assign]

    def _call_as_before(self) -> None:
        with self._lock:
            restore, self._unpatch_call = self._unpatch_call, None
            if restore is not None:
                restore()

    def _patch_backward(self) -> Callable[[], None]:
        return self._patched(torch.autograd, "_engine_run_backward", self._around_backward)

    def _around_backward(self, original: Callable[..., Any], roots: Any, args: Any, kwargs: Any) -> Any:
        if not self._ours():
            return original(roots, *args, **kwargs)
        thread = threading.get_ident()
        self._in_backward.add(thread)
        accumulates = bool(kwargs.get("accumulate_grad", True))
        token = self.listener.safely(self.listener.backward_begins, roots, accumulates)
        try:
            return original(roots, *args, **kwargs)
        finally:
            self._in_backward.discard(thread)
            self.listener.safely(self.listener.backward_ended, token)

    def _patch_loader(self) -> Callable[[], None]:
        return self._patched(_BaseDataLoaderIter, "__next__", self._around_next)

    def _around_next(self, original: Callable[..., Any], iterator: Any, args: Any, kwargs: Any) -> Any:
        if not self._ours():
            return original(iterator, *args, **kwargs)
        token = self.listener.safely(self.listener.waits, iterator)
        try:
            return original(iterator, *args, **kwargs)
        finally:
            self.listener.safely(self.listener.waited, token)

    def _patch_compile(self) -> Callable[[], None]:
        original = torch.compile

        @functools.wraps(original)
        def compile(*args: Any, **kwargs: Any) -> Any:  # noqa: A001 (takes torch.compile's place)
            if self._ours():
                self.listener.safely(self.listener.compiles)
            return original(*args, **kwargs)

        def restore() -> None:
            if torch.compile is compile:
                torch.compile = original

        torch.compile = compile
        return restore

    def _patched(self, owner: Any, name: str, around: Callable[..., Any]) -> Callable[[], None]:
        """Put ``around(original, first argument, others, keywords)`` in a function's place; the answer undoes it."""
        original = getattr(owner, name)

        def stands_in(first: Any, *args: Any, **kwargs: Any) -> Any:
            if torch.compiler.is_compiling():  # first, since torch.compile traces these lines then
                return original(first, *args, **kwargs)
            return around(original, first, args, kwargs)

        def restore() -> None:
            if getattr(owner, name) is stands_in:
                setattr(owner, name, original)

        setattr(owner, name, stands_in)
        return restore

    def _before(self, optimizer: torch.optim.Optimizer, args: Any, kwargs: Any) -> None:  # noqa: ARG002
        self._tell(self.listener.step_begins, optimizer)

    def _after(self, optimizer: torch.optim.Optimizer, args: Any, kwargs: Any) -> None:  # noqa: ARG002
        self._tell(self.listener.stepped, optimizer)

    def _tell(self, action: Callable[[torch.optim.Optimizer], None], optimizer: torch.optim.Optimizer) -> None:
        if not torch.compiler.is_compiling() and os.getpid() == self._process:
            self._inside = True
            self.listener.safely(action, optimizer)
            self._inside = False


def _is_last(handle: RemovableHandle) -> bool:
    hooks = handle.hooks_dict_ref()
    return not hooks or next(reversed(hooks)) == handle.id
