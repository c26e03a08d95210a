"""Which optimizers there are, known without asking any object for its ``__class__``."""

from __future__ import annotations

import functools
import gc
import weakref
from collections.abc import Iterator
from typing import Any

import torch


class KnownOptimizers:
    """The optimizers made while it watches, and, where it looks, those made before. None is kept alive."""

    def __init__(self) -> None:
        self._found: list[weakref.ReferenceType[torch.optim.Optimizer]] = []
        self._before: list[weakref.ReferenceType[torch.optim.Optimizer]] = []
        self._original: Any = None
        self._own: Any = None

    def look(self) -> None:
        """Find the optimizers among all objects, by type: weak proxies and deprecated modules answer ``__class__``."""
        # torch marks a class's step when the first of its kind is made; instances refer to their class
        kinds = [kind for kind in _with_subclasses(torch.optim.Optimizer) if getattr(kind.step, "hooked", False)]
        for found in gc.get_referrers(*kinds) if kinds else ():
            if type(found) in kinds:
                self.add(found)
        self._before = list(self._found)

    def was_there(self, optimizer: torch.optim.Optimizer) -> bool:
        """Whether an optimizer was found by looking: it may be of a training that is over."""
        return any(reference() is optimizer for reference in self._before)

    def add(self, optimizer: torch.optim.Optimizer) -> None:
        """Know one more."""
        if not any(known is optimizer for known in self):
            self._found.append(weakref.ref(optimizer))

    def __iter__(self) -> Iterator[torch.optim.Optimizer]:
        """Those that are still alive and have parameters to train."""
        for reference in list(self._found):
            optimizer = reference()
            if optimizer is not None and trained_by(optimizer):
                yield optimizer

    def watch(self) -> None:
        """Note every optimizer that is made from now on."""
        original = torch.optim.Optimizer.__init__
        known = self

        @functools.wraps(original)
        def __init__(self: torch.optim.Optimizer, *args: Any, **kwargs: Any) -> None:  # noqa: N807 (takes its place)
            original(self, *args, **kwargs)
            known.add(self)

        self._original, self._own = original, __init__
        torch.optim.Optimizer.__init__ = __init__  # type: ignore[method-assign]

    def leave(self) -> None:
        """Put torch's own function back, unless somebody else's is there by now."""
        if self._own is not None and torch.optim.Optimizer.__init__ is self._own:
            torch.optim.Optimizer.__init__ = self._original  # type: ignore[method-assign]
        self._own = None


def _with_subclasses(kind: type[torch.optim.Optimizer]) -> Iterator[type[torch.optim.Optimizer]]:
    yield kind
    for below in kind.__subclasses__():
        yield from _with_subclasses(below)


def trained_by(optimizer: torch.optim.Optimizer) -> dict[int, torch.Tensor]:
    """The parameters that an optimizer trains, by id."""
    groups = getattr(optimizer, "param_groups", ())
    return {id(p): p for group in groups for p in group["params"] if isinstance(p, torch.Tensor) and p.requires_grad}
