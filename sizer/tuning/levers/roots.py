"""What is done to a model from outside: before its first call with gradients on, once, to the module that is called."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any

import torch
from torch import nn
from torch.optim.optimizer import register_optimizer_step_post_hook

#: Steps of any optimizer after which no model is waited for any more, so that calls cost what they did.
_STEPS = 4

_actions: list[Callable[[nn.Module], None]] = []
_reached: list[Any] = []


def at_first_call(action: Callable[[nn.Module], None]) -> None:
    """Call the action with each outermost module that has something to train, before its first call with gradients."""
    _actions.append(action)
    if len(_actions) == 1:
        _Waiting().put()


class _Waiting:
    """Stands in for ``Module.__call__`` until the first steps are over; the original is in place inside a call."""

    def __init__(self) -> None:
        self._original = nn.Module.__call__
        self._inside: set[int] = set()
        self._steps = 0

    def put(self) -> None:
        waiting, original = self, self._original

        def __call__(module: nn.Module, *args: Any, **kwargs: Any) -> Any:  # noqa: N807 (takes Module.__call__'s place)
            if torch.compiler.is_compiling():  # first, since torch.compile traces these lines then
                return original(module, *args, **kwargs)
            thread = threading.get_ident()
            if waiting._steps >= _STEPS or thread in waiting._inside or not torch.is_grad_enabled():
                return original(module, *args, **kwargs)
            waiting._inside.add(thread)
            try:
                waiting._reach(module)
                return original(module, *args, **kwargs)
            finally:
                waiting._inside.discard(thread)

        self._own = __call__
        nn.Module.__call__ = __call__  # type: ignore[method-assign]
        register_optimizer_step_post_hook(self._stepped)

    def _reach(self, module: nn.Module) -> None:
        if any(module is one for one in _reached) or not any(p.requires_grad for p in module.parameters()):
            return
        _reached.append(module)
        for action in _actions:
            action(module)

    def _stepped(self, *_: Any) -> None:
        self._steps += 1  # (torch goes through the hooks just now: none may be taken out)
        if self._steps == _STEPS:
            if nn.Module.__call__ is self._own:
                nn.Module.__call__ = self._original  # type: ignore[method-assign]
            _actions.clear()
            _reached.clear()
