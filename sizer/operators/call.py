"""One call of an operator as plain data: its name, and what it was given, with shapes, strides and types for tensors.

Two calls with the same data cost the same on a machine, so that a call is the key under which its time is kept.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from functools import cache, cached_property
from math import prod
from typing import Any, NamedTuple

import torch


class TensorSpec(NamedTuple):
    """A tensor without its values. ``strides`` is None for one that is not strided (sparse, compressed)."""

    shape: tuple[int, ...]
    strides: tuple[int, ...] | None
    dtype: str

    @classmethod
    def of(cls, tensor: torch.Tensor) -> TensorSpec:
        """As a tensor is, real or fake."""
        strides = tuple(tensor.stride()) if tensor.layout == torch.strided else None
        return cls(tuple(map(int, tensor.shape)), strides, str(tensor.dtype)[6:])

    @property
    def elements(self) -> int:
        """How many elements it has."""
        return prod(self.shape)

    @property
    def stored(self) -> int:
        """How many of them lie in memory: a dimension that is expanded lies there once."""
        if self.strides is None:
            return self.elements
        return prod(size for size, stride in zip(self.shape, self.strides, strict=True) if stride)

    @property
    def bytes(self) -> int:
        """Bytes in memory."""
        return self.stored * itemsize(self.dtype)

    @property
    def contiguous(self) -> bool:
        """Whether the elements follow one another as they are indexed."""
        return self.strides is not None and _same_strides(self.shape, self.strides)

    @property
    def dense(self) -> bool:
        """Whether the elements fill the memory that they span, in whatever order (channels last, transposed)."""
        return self.strides is not None and self.span == self.elements

    @property
    def span(self) -> int:
        """Elements of memory from the first to behind the last."""
        if not self.elements:
            return 0
        return 1 + sum((size - 1) * stride for size, stride in zip(self.shape, self.strides or (), strict=True))


@cache
def itemsize(dtype: str) -> int:
    """Bytes of an element of a type by its name."""
    return int(getattr(torch, dtype).itemsize)


def _contiguous(shape: tuple[int, ...]) -> tuple[int, ...]:
    strides, step = [], 1
    for size in reversed(shape):
        strides.append(step)
        step *= max(size, 1)
    return tuple(reversed(strides))


def _same_strides(shape: tuple[int, ...], strides: tuple[int, ...]) -> bool:
    step = 1
    for size, stride in zip(reversed(shape), reversed(strides), strict=True):
        if size != 1 and stride != step:
            return False
        step *= max(size, 1)
    return True


@dataclass(frozen=True)
class Call:
    """An operator (``aten.mm.default``) and its arguments: specs for tensors, plain values, tuples for lists."""

    operator: str
    arguments: tuple[Any, ...]
    keywords: tuple[tuple[str, Any], ...]
    outputs: tuple[TensorSpec, ...]
    flops: int

    @cached_property
    def tensors(self) -> tuple[TensorSpec, ...]:
        """The tensors that go in, those in lists too."""
        found: list[TensorSpec] = []
        for value in (*self.arguments, *(value for _, value in self.keywords)):
            _collect(value, found)
        return tuple(found)

    @cached_property
    def key(self) -> str:
        """The text under which its time is kept."""
        keywords = [[name, _encode(value)] for name, value in self.keywords if value is not None]
        return json.dumps(
            [self.operator, [_encode(value) for value in self.arguments], keywords], separators=(",", ":")
        )

    @cached_property
    def packet(self) -> str:
        """The operator without its overload, ``mm``."""
        return self.operator.split(".")[1]

    @property
    def in_place(self) -> bool:
        """Whether it writes into what it is given, by its name."""
        return self.packet.endswith("_")

    @property
    def bytes_in(self) -> int:
        """Bytes of the tensors that go in."""
        return sum(tensor.bytes for tensor in self.tensors)

    @property
    def bytes_out(self) -> int:
        """Bytes of the tensors that come out."""
        return sum(tensor.bytes for tensor in self.outputs)

    def to_json(self) -> list[Any]:
        """As the library keeps it, beside its key: outputs and FLOPs."""
        return [[_encode(output) for output in self.outputs], self.flops]

    @classmethod
    def from_json(cls, key: str, rest: list[Any]) -> Call:
        """Read back. Raises ValueError, TypeError, KeyError or IndexError for what is none."""
        operator, arguments, keywords = json.loads(key)
        outputs, flops = rest
        return cls(
            operator,
            tuple(_decode(value) for value in arguments),
            tuple((name, _decode(value)) for name, value in keywords),
            tuple(_decode(output) for output in outputs),
            int(flops),
        )


def _collect(value: Any, found: list[TensorSpec]) -> None:
    if isinstance(value, TensorSpec):
        found.append(value)
    elif isinstance(value, tuple):
        for one in value:
            _collect(one, found)


class Named(NamedTuple):
    """A type, device, layout or memory format of torch by its name."""

    kind: str
    name: str


def noted(value: Any) -> Any:
    """An argument of an operator as plain data. Raises TypeError for one that is none of torch's own kinds."""
    if isinstance(value, torch.Tensor):
        return TensorSpec.of(value)
    if value is None or isinstance(value, (bool, int, float, str)):
        return value
    if isinstance(value, (list, tuple)):
        return tuple(noted(one) for one in value)
    if isinstance(value, (torch.dtype, torch.layout, torch.memory_format)):
        return Named("torch", str(value).partition(".")[2])
    if isinstance(value, torch.device):
        return Named("device", value.type)
    if isinstance(value, (torch.SymInt, torch.SymFloat)):
        return int(value) if isinstance(value, torch.SymInt) else float(value)
    raise TypeError(type(value).__name__)


def _encode(value: Any) -> Any:
    if isinstance(value, TensorSpec):
        strides = {} if value.contiguous else {"strides": value.strides}
        return {"shape": value.shape, "dtype": value.dtype, **strides}
    if isinstance(value, Named):
        return {value.kind: value.name}
    if isinstance(value, tuple):
        return [_encode(one) for one in value]
    return value


def _decode(value: Any) -> Any:
    if isinstance(value, list):
        return tuple(_decode(one) for one in value)
    if not isinstance(value, dict):
        return value
    if "shape" in value:
        shape = tuple(value["shape"])
        strides = value.get("strides", _contiguous(shape))
        return TensorSpec(shape, None if strides is None else tuple(strides), value["dtype"])
    ((kind, name),) = value.items()
    return Named(kind, name)
