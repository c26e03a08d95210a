"""A stand-in for a module whose tensors are others (meta or fake), so that its forward can run without touching it."""

from __future__ import annotations

import contextlib
import functools
import types
import weakref
from collections import OrderedDict
from collections.abc import Callable
from typing import Any, TypeVar

import torch
from torch import nn

ModuleT = TypeVar("ModuleT", bound=nn.Module)

#: Where a module keeps its hooks. The user's are dropped from the copy: they may log or store what they are shown.
_HOOKS = frozenset(name for name in vars(nn.Module()) if "_hooks" in name)


class ModuleCopier:
    """Copies modules, the containers in them and their bound methods; tensors go through ``convert``.

    Each object is copied once, so what is shared (a tied weight, a module used twice) stays shared. Everything else
    (configurations, data sets, a trainer that the module refers to) is kept by reference, which `copy.deepcopy` would
    copy too. What the copy's forward assigns to itself stays in the copy.
    """

    def __init__(self, convert: Callable[[torch.Tensor], torch.Tensor]) -> None:
        self.convert = convert
        self._copies: dict[int, Any] = {}
        self._originals: list[Any] = []  # kept alive, so that no id is given out twice

    def module(self, original: ModuleT) -> ModuleT:
        """The copy of a module."""
        copied: ModuleT = self.value(original)
        return copied

    def value(self, original: Any) -> Any:
        """The copy of anything that a module may hold."""
        if type(original) in (str, int, float, bool, type, type(None)) or _is_dead(original):
            return original
        if isinstance(original, types.FunctionType):
            original = getattr(original, "_torchdynamo_orig_callable", original)  # what torch.compile wrapped
            if original.__closure__ is None:
                return original
        if id(original) in self._copies:
            return self._copies[id(original)]
        self._originals.append(original)
        copied = self._copy(original)
        self._copies[id(original)] = copied
        return copied

    def _copy(self, original: Any) -> Any:
        if isinstance(original, torch.Tensor):
            return self.convert(original)
        if isinstance(original, nn.Module):
            return self._module(original)
        if isinstance(original, types.FunctionType):
            return self._function(original)
        if isinstance(original, types.MethodType):
            return types.MethodType(original.__func__, self.value(original.__self__))
        if isinstance(original, functools.partial):
            keywords = {name: self.value(value) for name, value in original.keywords.items()}
            return functools.partial(self.value(original.func), *map(self.value, original.args), **keywords)
        if type(original) in (dict, OrderedDict):
            return type(original)((key, self.value(value)) for key, value in original.items())
        if type(original) in (list, tuple, set):
            return type(original)(map(self.value, original))
        return original

    def _function(self, original: types.FunctionType) -> types.FunctionType:
        """A function in which a module is enclosed, as a rebound forward has it, with the module's copy instead."""
        cells = [types.CellType() for _ in original.__closure__ or ()]
        made = types.FunctionType(
            original.__code__, original.__globals__, original.__name__, original.__defaults__, tuple(cells)
        )
        made.__kwdefaults__ = original.__kwdefaults__
        self._copies[id(original)] = made  # first, since a function may enclose itself
        for cell, old in zip(cells, original.__closure__ or (), strict=True):
            with contextlib.suppress(ValueError):  # an empty cell
                cell.cell_contents = self.value(old.cell_contents)
        made.__dict__.update((name, self.value(value)) for name, value in original.__dict__.items())
        return made

    def _module(self, original: nn.Module) -> nn.Module:
        compiled = original.__dict__.get("_modules", {}).get("_orig_mod")
        if compiled is not None:  # torch.compile's wrapper: its forward would compile the copy
            inside: nn.Module = self.module(compiled)
            return inside
        copied: nn.Module = object.__new__(original.__class__)  # a class may count what its own __new__ makes
        self._copies[id(original)] = copied  # first, since a module's attributes may refer back to it
        for name, value in original.__dict__.items():
            copied.__dict__[name] = _own_hooks(name, value) if name in _HOOKS else self.value(value)
        for name in _slots(original) if hasattr(type(original), "__slots__") else ():
            object.__setattr__(copied, name, self.value(getattr(original, name)))
        copied.__dict__["_compiled_call_impl"] = None
        return copied


def _is_dead(original: Any) -> bool:
    """Whether it is a proxy of an object that is gone, which cannot be asked for anything, not even for its class."""
    try:
        return type(original) in weakref.ProxyTypes and original.__class__ is None
    except ReferenceError:
        return True


def _slots(original: nn.Module) -> list[str]:
    """Names of the slots that are filled, of its class and of those above."""
    own = [kind.__dict__.get("__slots__", ()) for kind in type(original).__mro__]
    names = [name for slots in own for name in ([slots] if isinstance(slots, str) else slots)]
    return [name for name in names if not name.startswith("__") and hasattr(original, name)]


def _own_hooks(name: str, hooks: OrderedDict[int, Any]) -> OrderedDict[int, Any]:
    """Those that torch itself needs: the older weight_norm, spectral_norm and pruning compute the weight in one."""
    kept = hooks.items() if name == "_forward_pre_hooks" else ()
    return OrderedDict((key, hook) for key, hook in kept if type(hook).__module__.startswith("torch.nn.utils"))
