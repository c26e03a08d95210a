"""How modules were called, noted without keeping a tensor, and which of those calls a backward pass reaches."""

from __future__ import annotations

import weakref
from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

import torch
from torch import nn
from torch.utils._pytree import tree_leaves, tree_map

from sizer.base.errors import UsageError
from sizer.models.reading import unwrap

#: Where a node of the graph keeps the index of the call whose output it made.
_MARK = "sizer call"
#: Nodes looked at in a graph; in a larger one every call counts as reached.
MAX_NODES = 50_000


class Described(NamedTuple):
    """What is kept of a tensor."""

    shape: tuple[int, ...]
    stride: tuple[int, ...]
    dtype: torch.dtype
    requires_grad: bool

    def like(self) -> torch.Tensor:
        """A meta tensor of this description."""
        made = torch.empty_strided(self.shape, self.stride, dtype=self.dtype, device="meta")
        return made.requires_grad_(self.requires_grad)


class Undescribed(NamedTuple):
    """A tensor whose layout a shape does not tell: sparse, nested, or a subclass."""

    kind: str


class _Boxed:
    """A description as one leaf: a named tuple would be taken apart."""

    def __init__(self, tensor: torch.Tensor) -> None:
        self.what: Described | Undescribed
        if tensor.layout is not torch.strided or not isinstance(tensor.shape, tuple):
            self.what = Undescribed(str(tensor.layout))
        else:
            self.what = Described(tuple(tensor.shape), tensor.stride(), tensor.dtype, tensor.requires_grad)


class NotedCall:
    """One outermost call of a module: its arguments with descriptions for tensors, and the autocast type.

    ``builds_graph``: gradients were on and the module has something to train. ``flops`` are those counted in the call,
    ``flops_after`` those until the next one; ``reached`` holds the backward passes that reached its output.
    """

    def __init__(self, module: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        self.module = weakref.ref(module)
        self.kind = type(unwrap(module)).__name__
        self.arguments = tree_map(_boxed, (args, kwargs))
        parameters = list(module.parameters())
        self.trainable = frozenset(id(parameter) for parameter in parameters if parameter.requires_grad)
        self.builds_graph = torch.is_grad_enabled() and bool(self.trainable)
        self.trains = self.builds_graph or (torch.is_grad_enabled() and _takes_gradient(self.arguments))
        device = parameters[0].device.type if parameters else "cpu"
        self.autocast = torch.get_autocast_dtype(device) if torch.is_autocast_enabled(device) else None
        self.version = next((p._version for p in parameters if p.requires_grad), 0)
        self.flops = 0
        self.flops_after = 0
        self.reached: list[int] = []
        self.unmarked = False

    @property
    def pattern(self) -> tuple[Any, ...]:
        """What makes two calls alike: module, shapes, types, autocast."""
        shapes = tuple(leaf.what if isinstance(leaf, _Boxed) else type(leaf) for leaf in tree_leaves(self.arguments))
        return id(self.module()), shapes, self.autocast

    def inputs(self) -> tuple[tuple[Any, ...], dict[str, Any]]:
        """Arguments and keyword arguments with meta tensors. Raises UsageError for one that has no such stand-in."""
        args, kwargs = tree_map(_unboxed, self.arguments)
        return args, kwargs

    def mark(self, output: Any, index: int) -> None:
        """Mark the graph nodes that made the output, so that a backward pass through them is known."""
        nodes = [tensor.grad_fn for tensor in tensors_in(output) if tensor.grad_fn is not None]
        for node in nodes:
            node.metadata.setdefault(_MARK, index)  # type: ignore[attr-defined, unused-ignore]
        self.unmarked = not nodes


def _boxed(leaf: Any) -> Any:
    return _Boxed(leaf) if isinstance(leaf, torch.Tensor) else leaf


def _unboxed(leaf: Any) -> Any:
    if not isinstance(leaf, _Boxed):
        return leaf
    if isinstance(leaf.what, Undescribed):
        raise UsageError(f"an input is a tensor of layout {leaf.what.kind}, which has no stand-in without data")
    return leaf.what.like()


def _takes_gradient(arguments: Any) -> bool:
    leaves = (leaf.what for leaf in tree_leaves(arguments) if isinstance(leaf, _Boxed))
    return any(isinstance(what, Described) and what.requires_grad for what in leaves)


def tensors_in(value: Any, depth: int = 3) -> Iterator[torch.Tensor]:
    """The tensors in what a module returned: in containers, and in plain objects such as distributions."""
    for leaf in tree_leaves(value):
        if isinstance(leaf, torch.Tensor):
            yield leaf
        elif depth and hasattr(type(leaf), "__dict__") and not isinstance(leaf, (type, nn.Module)):
            own = getattr(leaf, "__dict__", None)
            if isinstance(own, dict):
                yield from tensors_in(list(own.values()), depth - 1)


class Reached(NamedTuple):
    """What a backward pass reaches: marked calls, and leaves by id.

    Of these it adds to the gradients of ``accumulated``; ``without_gradient`` hold none yet. ``whole`` is False where
    the graph is too large.
    """

    calls: frozenset[int]
    leaves: frozenset[int]
    accumulated: frozenset[int]
    without_gradient: frozenset[int]
    whole: bool


def reached_by(roots: Sequence[Any]) -> Reached:
    """Follow the graph from the outputs of a backward pass."""
    pending = [getattr(root, "grad_fn", None) or getattr(root, "node", None) for root in roots]
    seen: set[Any] = set()  # holds the nodes, so that none is met under a second identity
    calls: set[int] = set()
    leaves: set[int] = set()
    empty: set[int] = set()
    while pending and len(seen) <= MAX_NODES:
        node = pending.pop()
        if node is None or node in seen:
            continue
        seen.add(node)
        mark = node.metadata.get(_MARK)
        if mark is not None:
            calls.add(mark)
        leaf = getattr(node, "variable", None)
        if leaf is not None:
            leaves.add(id(leaf))
            if leaf.grad is None:
                empty.add(id(leaf))
        pending += [parent for parent, _ in node.next_functions]
    return Reached(frozenset(calls), frozenset(leaves), frozenset(leaves), frozenset(empty), whole=not pending)
