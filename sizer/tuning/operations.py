"""Torch's operations in one step: how many, how long, and what subnormal numbers among theirs cost on this processor.

How slow subnormal numbers are differs by processor and operation: on an AMD Zen 4 products of them take no longer, and
square roots 19 times as long (docs/tuning.md). So each operation that meets some is made again on copies, on one
thread, as it is and with them taken for zero (in what it is given too: some libraries put the mode aside).
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Iterator
from typing import Any

import torch
from torch import set_num_threads  # (as it is here: a first look notes who calls it later)
from torch.utils._pytree import tree_leaves, tree_map

from sizer.script_runs.measuring import FlopCount
from sizer.tuning.levers.denormals import MANY

#: Values of a tensor that are looked at, largest operation that is made again, in bytes, and how often each way.
_SAMPLED, _MOST_BYTES, _TAKES = 4096, 2**28, 3


class OperationCount(FlopCount):  # type: ignore[no-untyped-call, unused-ignore]
    """Counts torch's operations in one step, times in s.

    ``subnormal`` of the ``values`` looked at, of what operations take and give, are subnormal; without them
    ``saved_s`` less would have been ``spent_s``.
    """

    def __init__(self) -> None:
        super().__init__()
        self.operations = 0
        self.spent_s = 0.0
        self.pointwise_s = 0.0
        self.values = 0
        self.subnormal = 0
        self.saved_s = 0.0
        self._saved_shares: dict[Any, float] = {}

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        """Run an operation as it is and count it."""
        kwargs = kwargs or {}
        began = time.perf_counter()
        output = func(*args, **kwargs)
        spent = time.perf_counter() - began
        self.operations += 1
        self.spent_s += spent
        self.pointwise_s += spent if torch.Tag.pointwise in getattr(func, "tags", ()) else 0.0
        tensors = [one for one in tree_leaves((args, kwargs, output)) if _is_looked_at(one)]
        if sum(map(self._subnormal, tensors)):
            key = (func, tuple(tuple(one.shape) for one in tensors))
            if key not in self._saved_shares:
                self._saved_shares[key] = _saved_share(func, args, kwargs)
            self.saved_s += spent * self._saved_shares[key]
        return output

    @property
    def subnormal_cost(self) -> float | None:
        """Share of the operations' time that subnormal numbers cost, None where none was counted."""
        return self.saved_s / self.spent_s if self.values and self.spent_s else None

    def _subnormal(self, tensor: torch.Tensor) -> bool:
        """Count the subnormal numbers in a sample; whether they are many."""
        flat = tensor.detach().reshape(-1)[:: max(tensor.numel() // _SAMPLED, 1)]
        small = int(((flat.abs() < torch.finfo(flat.dtype).tiny) & (flat != 0)).sum())
        self.values += flat.numel()
        self.subnormal += small
        return small >= MANY * flat.numel()


def _is_looked_at(value: Any) -> bool:
    return (
        isinstance(value, torch.Tensor)
        and value.is_floating_point()
        and value.device.type == "cpu"
        and value.layout is torch.strided
        and value.numel() > 0
    )


def _saved_share(func: Any, args: Any, kwargs: Any) -> float:
    """Which part of an operation's time it would not take if subnormal numbers counted as zero; 0 if not known."""
    size = sum(one.numel() * one.element_size() for one in tree_leaves((args, kwargs)) if isinstance(one, torch.Tensor))
    if size > _MOST_BYTES:
        return 0.0
    threads, state = torch.get_num_threads(), torch.get_rng_state()
    try:
        set_num_threads(1)  # (the mode is a thread's own)
        as_it_is = _least_s(func, args, kwargs, _copy)
        with _flushed():
            return max(1 - _least_s(func, args, kwargs, _without) / as_it_is, 0.0)
    except Exception:  # (what cannot be made again on copies stays unknown)
        return 0.0
    finally:
        torch.set_rng_state(state)
        set_num_threads(threads)


def _least_s(func: Any, args: Any, kwargs: Any, copy: Callable[[Any], Any]) -> float:
    """The least time of a few calls on copies, in s."""
    least = float("inf")
    for _ in range(_TAKES):
        copied, named = tree_map(copy, (args, kwargs))
        began = time.perf_counter()
        func(*copied, **named)
        least = min(least, time.perf_counter() - began)
    return least


def _copy(value: Any) -> Any:
    return value.clone() if isinstance(value, torch.Tensor) else value


def _without(value: Any) -> Any:
    """A copy as it would be had no operation before given a subnormal number."""
    if not (isinstance(value, torch.Tensor) and value.is_floating_point() and value.layout is torch.strided):
        return _copy(value)
    return torch.where(value.abs() < torch.finfo(value.dtype).tiny, torch.zeros_like(value), value)


@contextlib.contextmanager
def _flushed() -> Iterator[None]:
    """Subnormal numbers count as zero on this thread, for a while."""
    was = not bool((torch.full((1,), 1e-39) * 0.5).item())
    torch.set_flush_denormal(True)
    try:
        yield
    finally:
        torch.set_flush_denormal(was)
