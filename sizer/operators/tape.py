"""The calls of operators in a traced step, in order, each with its layer and with how near its tensors are.

How near: between a tensor's last use and this one other bytes were touched, and what was touched since is what stands
between it and the cache (the reuse distance). A tensor that no call has touched yet, as parameters at the beginning of
a step, was last used a whole step ago.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from functools import cache
from typing import Any, NamedTuple

import torch

from sizer.operators.call import Call, TensorSpec, noted

FORWARD, BACKWARD, OPTIMIZER = "forward", "backward", "optimizer"


class TapeCall(NamedTuple):
    """One call in a step. ``distances`` has for each tensor that goes in its bytes and its reuse distance in bytes.

    A distance of None is that of a tensor that the step has not touched yet. What comes out of
    a forward pass's calls lies in memory that was not used lately, since it piles up until the backward pass.
    """

    call: Call
    layer: str
    phase: str
    distances: tuple[tuple[int, int | None], ...]

    def far_share(self, capacity_bytes: float, step_bytes: int) -> float:
        """Share of its bytes that lie beyond a cache of that capacity, in a step that touches ``step_bytes`` in all."""
        far = sum(size for size, since in self.distances if (step_bytes if since is None else since) > capacity_bytes)
        fresh = 0 if self.call.in_place else self.call.bytes_out
        given = sum(size for size, _ in self.distances) + fresh
        if self.phase == FORWARD and step_bytes > capacity_bytes:
            far += fresh
        return far / given if given else 0.0


class Tape:
    """The calls of a step. ``unnoted`` counts those whose arguments are not plain data, by operator."""

    def __init__(self) -> None:
        self.clear()

    def clear(self) -> None:
        """Begin anew."""
        self.calls: list[TapeCall] = []
        self.views: dict[str, int] = {}  # phase -> calls that only make another view, which run no kernel
        self.unnoted: dict[str, int] = {}
        self.step_bytes = 0
        self._last: dict[int, int] = {}
        self._known: dict[Any, Call] = {}

    def note(self, func: Any, given: tuple[Any, Any], output: Any, layer: str, phase: str, flops: int = 0) -> None:
        """Add a call of an operator; ``given`` are its arguments and keyword arguments."""
        if func.namespace in ("profiler", "prim"):
            return
        func = _as_really(func, given[0], phase)
        if is_view(func):
            self.views[phase] = self.views.get(phase, 0) + 1
            return
        args, kwargs = given
        tensors, outputs = list(_tensors((*args, *kwargs.values()))), list(_tensors((output,)))
        try:
            arguments, keywords = noted(tuple(args)), tuple((name, noted(value)) for name, value in kwargs.items())
        except TypeError:
            self.unnoted[str(func)] = self.unnoted.get(str(func), 0) + 1
            return
        identity = (func, arguments, keywords)
        call = self._known.get(identity)
        if call is None:
            specs = tuple(map(TensorSpec.of, outputs))
            call = self._known[identity] = Call(str(func), arguments, keywords, specs, flops)
        self.calls.append(TapeCall(call, layer, phase, tuple(self._distances(tensors))))
        for tensor in outputs:
            self._touch(tensor)

    def add(self, other: Tape) -> None:
        """Add the calls of another tape, which touches no tensor of this one."""
        self.calls += other.calls
        self._known |= other._known
        self.step_bytes += other.step_bytes
        for phase, count in other.views.items():
            self.views[phase] = self.views.get(phase, 0) + count
        for name, count in other.unnoted.items():
            self.unnoted[name] = self.unnoted.get(name, 0) + count

    def distinct(self) -> dict[str, Call]:
        """Each call once, by its key."""
        return {call.key: call for call in self._known.values()}

    def _distances(self, tensors: list[torch.Tensor]) -> Iterator[tuple[int, int | None]]:
        for tensor in tensors:
            last = self._last.get(_storage(tensor))
            yield _bytes(tensor), None if last is None else self.step_bytes - last
        for tensor in tensors:
            self._touch(tensor)

    def _touch(self, tensor: torch.Tensor) -> None:
        self.step_bytes += _bytes(tensor)
        self._last[_storage(tensor)] = self.step_bytes


def _as_really(func: Any, args: tuple[Any, ...], phase: str) -> Any:
    """Gradients that meet are added in place, which autograd does not do while a mode looks on."""
    if phase != BACKWARD or func is not torch.ops.aten.add.Tensor:
        return func
    alike = isinstance(args[1], torch.Tensor) and args[0].shape == args[1].shape
    return torch.ops.aten.add_.Tensor if alike else func


@cache
def is_view(func: Any) -> bool:
    """Whether an operator only makes another view of what it is given."""
    if func.__name__.startswith("_unsafe_view"):  # (says that it copies, and does not)
        return True
    returns = func._schema.returns
    return bool(returns) and all(each.alias_info is not None and not each.alias_info.is_write for each in returns)


def _tensors(values: Iterable[Any]) -> Iterator[torch.Tensor]:
    for value in values:
        if isinstance(value, torch.Tensor):
            yield value
        elif isinstance(value, (list, tuple)):
            yield from _tensors(value)


def _storage(tensor: torch.Tensor) -> int:
    return int(tensor.untyped_storage()._cdata)


def _bytes(tensor: torch.Tensor) -> int:
    return min(tensor.numel() * tensor.element_size(), tensor.untyped_storage().nbytes())
