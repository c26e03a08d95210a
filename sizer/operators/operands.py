"""Tensors to call an operator with: views into pools of memory, so that no time goes into making them.

For each type there is one pool. A set of operands lies side by side in it; further sets lie behind, so that calls that
go through the sets find nothing of what they read in a cache.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch

from sizer.operators.call import Call, Named, TensorSpec, itemsize

#: Memory that cold calls go through: four times the largest effective last cache seen on a virtual machine (33 MiB).
POOL_BYTES = 128 * 2**20
#: Sets of operands in a pool: more take longer to make than to run through.
MOST_SETS = 256
_PIECE = 2**18
_INTEGERS = ("int64", "int32", "int16", "int8", "uint8")
#: Operator -> which of its tensors the indices among the others point into, and along which dimension (or argument).
_INDEXED = {
    "index": 0,
    "index_put_": 0,
    "index_put": 0,
    "_unsafe_index": 0,
    "_unsafe_index_put": 0,
    "index_select": 0,
    "gather": 0,
    "scatter_add": 0,
    "scatter_add_": 0,
    "index_add": 0,
    "index_add_": 0,
}


class Pools:
    """A pool for each type, made when it is first used."""

    def __init__(self, pool_bytes: int = POOL_BYTES) -> None:
        self.pool_bytes = pool_bytes
        self._pools: dict[tuple[str, int], torch.Tensor] = {}
        self._used: dict[tuple[str, int], int] = {}
        self._reached: dict[tuple[str, int], int] = {}  # how much of a pool was used since it had its first values

    def sets(self, call: Call, count: int) -> list[tuple[list[Any], dict[str, Any]]]:
        """Arguments and keyword arguments for a call, ``count`` times, none of which overlap."""
        bound, self._used = _bound(call), {}
        return [
            (
                [self._real(value, bound) for value in call.arguments],
                {n: self._real(v, bound) for n, v in call.keywords},
            )
            for _ in range(count)
        ]

    def refill(self) -> None:
        """Give what was used of all pools its first values again, after calls that changed it."""
        for key, reached in self._reached.items():
            if key in self._pools:
                _fill(self._pools[key][:reached], *key)
        self.keep()

    def keep(self) -> None:
        """Say that what was used still has its first values."""
        self._reached = {}

    def _real(self, value: Any, bound: int) -> Any:
        if isinstance(value, TensorSpec):
            return self._view(value, bound)
        if isinstance(value, Named):
            return torch.device(value.name) if value.kind == "device" else getattr(torch, value.name)
        if isinstance(value, tuple):
            return [self._real(one, bound) for one in value]
        return value

    def _view(self, spec: TensorSpec, bound: int) -> torch.Tensor:
        """The next part of its type's pool; one that is larger than the pool gets memory of its own."""
        if spec.strides is None:
            raise TypeError("not strided")
        key = spec.dtype, bound if spec.dtype in _INTEGERS else 0
        size = self.pool_bytes // itemsize(spec.dtype) // (8 if key[1] else 1)
        if spec.span > size:
            made = torch.empty(spec.span, dtype=getattr(torch, spec.dtype))
            return _fill(made, *key).as_strided(spec.shape, spec.strides)
        if key not in self._pools:
            if key[1]:  # (another bound, another pool: only one of them is kept)
                self._pools = {each: pool for each, pool in self._pools.items() if not each[1]}
            self._pools[key] = _fill(torch.empty(size, dtype=getattr(torch, spec.dtype)), *key)
        start = self._used.get(key, 0)
        if start + spec.span > size:
            start = 0
        self._used[key] = end = start + -(-spec.span // 64) * 64  # (aligned as torch's allocator aligns: 64 bytes)
        self._reached[key] = max(self._reached.get(key, 0), end)
        return self._pools[key].as_strided(spec.shape, spec.strides, start)


def _fill(pool: torch.Tensor, dtype: str, bound: int) -> torch.Tensor:
    """Values between 0.05 and 1, for which every function is defined and no product becomes denormal.

    The same again and again: to draw 128 MiB takes longer than most calls are timed.
    """
    piece = _drawn(pool[: min(_PIECE, len(pool))], dtype, bound)
    for start in range(len(piece), len(pool), len(piece)):
        rest = pool[start : start + len(piece)]
        rest.copy_(piece[: len(rest)])
    return pool


def _drawn(pool: torch.Tensor, dtype: str, bound: int) -> torch.Tensor:
    if dtype == "bool":
        return pool.bernoulli_(0.5)
    if dtype in _INTEGERS:
        return pool.random_(0, max(bound, 1))
    return pool.uniform_(0.05, 1) if pool.is_floating_point() else pool.fill_(1)


def _bound(call: Call) -> int:
    """What indices among the operands must stay below."""
    tensors, name = call.tensors, call.packet
    if name in _INDEXED and tensors:
        sizes = tensors[_INDEXED[name]].shape
        dimension = next((value for value in call.arguments if isinstance(value, int)), None)
        chosen = name not in ("index", "_unsafe_index") and dimension is not None
        return sizes[dimension] if chosen and dimension is not None else min(sizes, default=1)
    if name in ("embedding", "embedding_dense_backward"):
        return int(call.arguments[2]) if name == "embedding_dense_backward" else tensors[0].shape[0]
    if name.startswith(("nll_loss", "max_pool2d_with_indices_backward")):
        inputs = tensors[0] if name.endswith("forward") else tensors[1]
        return inputs.shape[1] if name.startswith("nll") else inputs.shape[-1] * inputs.shape[-2]
    return 1


def bytes_of(values: Sequence[TensorSpec]) -> int:
    """Bytes that operands span."""
    return sum(spec.span * itemsize(spec.dtype) for spec in values)
