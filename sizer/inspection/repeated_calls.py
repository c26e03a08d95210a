"""Operations on fake tensors that a step calls again and again, as unrolled time steps do: their outputs made anew.

A fake kernel works out shapes, strides and types in Python. A call with the same operator and arguments of the same
shapes gives the same again, so that only the first of them asks for it. Torch's own cache of fake kernels does
likewise, and takes longer to look up than most of them take to run.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from functools import cache
from typing import Any, NamedTuple

import torch
from torch._subclasses.fake_tensor import FakeTensor

#: Operators that may give something else for the same shapes, or change what they are given beside its values.
_NEVER = (torch.Tag.data_dependent_output, torch.Tag.dynamic_output_shape, torch.Tag.inplace_view)
#: Where in memory these give a view, their arguments say; all others begin where what they are given begins.
_ABSOLUTE = (torch.ops.aten.as_strided, torch.ops.aten._reshape_alias)
#: What stands for outputs that cannot be made anew.
_NOT = None


class _Made(NamedTuple):
    """What it takes to make an output anew.

    ``within`` is the position of the argument whose memory it lies in, ``offset`` elements behind that one's beginning.
    """

    shape: tuple[int, ...]
    strides: tuple[int, ...]
    dtype: torch.dtype
    offset: int
    within: int | None


class _Outputs(NamedTuple):
    """The outputs of a call, and whether they come as one tensor, a tuple or a list."""

    made: tuple[_Made, ...]
    kind: type | None

    def again(self, args: Sequence[Any]) -> Any:
        """Outputs like these, of arguments like those."""
        mode, device = _first(args).fake_mode, _first(args).fake_device
        found = [FakeTensor(mode, self._memory(each, args), device) for each in self.made]
        return found[0] if self.kind is None else self.kind(found)

    @staticmethod
    def _memory(made: _Made, args: Sequence[Any]) -> torch.Tensor:
        """A tensor without memory that has an output's shape, in an argument's storage where it is a view."""
        with torch._C._DisableTorchDispatch():
            if made.within is None:
                return torch.empty_strided(made.shape, made.strides, dtype=made.dtype, device="meta")
            given, empty = args[made.within], torch.empty(0, dtype=made.dtype, device="meta")
            offset = given.storage_offset() + made.offset
            return empty.set_(given.untyped_storage(), offset, made.shape, made.strides)


class RepeatedCalls:
    """The calls of one step, each with what it gave."""

    def __init__(self) -> None:
        self._known: dict[Any, _Outputs | int | None] = {}

    def run(self, func: Any, args: Sequence[Any], kwargs: dict[str, Any]) -> Any:
        """What an operation gives: from the fake kernel the first time, from then on without it where that may be."""
        key = _key(func, args, kwargs)
        if key is None:
            return func(*args, **kwargs)
        if key not in self._known:
            output = func(*args, **kwargs)
            self._known[key] = _outputs(output, args)
            return output
        known = self._known[key]
        if known is _NOT:
            return func(*args, **kwargs)
        return args[known] if isinstance(known, int) else known.again(args)


def _key(func: Any, args: Sequence[Any], kwargs: dict[str, Any]) -> Any:
    """What a call's outputs depend on; None where they may depend on more."""
    if not _is_told_by_shapes(func):
        return None
    told: list[Any] = [id(func), torch.get_default_dtype(), *kwargs]
    known = _tell(args, told) and _tell(kwargs.values(), told)
    return tuple(told) if known and any(type(arg) is FakeTensor for arg in _inside(args)) else None


def _tell(values: Iterable[Any], told: list[Any]) -> bool:
    """Add what fake kernels see of values; False where they may see more."""
    for value in values:
        kind = type(value)
        if kind is FakeTensor:
            if value.constant is not None or value.layout is not torch.strided:
                return False
            told += (value.shape, value.stride(), value.dtype, value.fake_device)
        elif kind in _PLAIN:
            told += (kind, value)
        elif kind in (list, tuple):
            told += (kind, len(value))
            if not _tell(value, told):
                return False
        else:
            return False
    return True


def _inside(args: Sequence[Any]) -> Iterator[Any]:
    """Arguments, and those in lists."""
    for arg in args:
        yield from arg if isinstance(arg, (list, tuple)) else (arg,)


_PLAIN = frozenset({int, float, bool, str, type(None), torch.dtype, torch.device, torch.layout, torch.memory_format})


@cache
def _is_told_by_shapes(func: Any) -> bool:
    """Whether the shapes of an operator's arguments tell what it gives; it may write into the first, and give that."""
    if not isinstance(func, torch._ops.OpOverload) or func.namespace != "aten" or func._overloadpacket in _ABSOLUTE:
        return False
    schema = func._schema
    writes = [bool(each.alias_info is not None and each.alias_info.is_write) for each in schema.arguments]
    in_place = writes[:1] == [True] and not any(writes[1:]) and schema.name.endswith("_") and len(schema.returns) == 1
    return (in_place or not any(writes)) and not any(tag in func.tags for tag in _NEVER)


def _first(args: Sequence[Any]) -> FakeTensor:
    return next(arg for arg in _inside(args) if type(arg) is FakeTensor)


def _outputs(output: Any, args: Sequence[Any]) -> _Outputs | int | None:
    """How to make the outputs of a call anew: 0 where it gives its first argument.

    `_NOT` where they are more than plain tensors on their inputs' device.
    """
    if args and output is args[0]:
        return 0
    kind = type(output) if isinstance(output, (list, tuple)) else None
    every = [output] if kind is None else list(output)
    if kind not in (None, list, tuple) or not all(type(one) is FakeTensor for one in every):
        return _NOT
    storages = {_storage(arg): index for index, arg in enumerate(args) if type(arg) is FakeTensor}
    own = [_storage(one) for one in every if _storage(one) not in storages]
    if len(set(own)) < len(own) or any(map(_is_special, every)) or any(one is arg for one in every for arg in args):
        return _NOT
    if any(_storage(arg) in own for arg in _inside(args) if type(arg) is FakeTensor):
        return _NOT  # (a view of a tensor in a list)
    if any(one.fake_device != _first(args).fake_device for one in every):
        return _NOT
    found = _Outputs(tuple(_made(one, storages.get(_storage(one)), args) for one in every), kind)
    again = [found.again(args)] if kind is None else found.again(args)
    alike = all(map(_dispatch_alike, every, again))
    return found if alike else _NOT


def _made(output: FakeTensor, within: int | None, args: Sequence[Any]) -> _Made:
    began = 0 if within is None else int(args[within].storage_offset())
    return _Made(tuple(output.shape), output.stride(), output.dtype, int(output.storage_offset()) - began, within)


def _is_special(tensor: FakeTensor) -> bool:
    special = tensor.constant is not None or tensor.layout is not torch.strided or tensor.requires_grad
    return special or tensor.is_conj() or tensor.is_neg() or tensor.is_inference()


def _dispatch_alike(one: torch.Tensor, other: torch.Tensor) -> bool:
    """Whether torch calls the same kernels for both, and as much memory lies behind them."""
    keys = torch._C._dispatch_key_set(one) == torch._C._dispatch_key_set(other)
    return keys and one.untyped_storage().nbytes() == other.untyped_storage().nbytes()


def _storage(tensor: torch.Tensor) -> int:
    return int(tensor.untyped_storage()._cdata)
