"""Whatever a module is made of, inspecting it leaves it, and what its code can reach, exactly as it was."""

from __future__ import annotations

import functools
import random
import types
import weakref
from collections import deque
from contextlib import nullcontext

import numpy as np
import odd_modules
import pytest
import torch
from odd_modules import ODD
from torch import nn
from torch.nn.modules import module as torch_module
from torch.nn.parameter import is_lazy

import sizer
from sizer.base.errors import UsageError

#: Of these a snapshot makes its own.
_MADE_HERE = (tuple, str, int, float, bytes, types.MethodType)


class Snapshot:
    """Everything reachable, by value and by identity: two of them are equal if and only if nothing changed."""

    def __init__(self, *roots):
        self.seen, self.lines = {}, []
        for root in roots:
            self.add(root)

    def add(self, value):
        if type(value) is weakref.ProxyType:
            return
        if id(value) in self.seen and not isinstance(value, _MADE_HERE):
            self.lines.append(("again", self.seen[id(value)][0]))
            return
        self.seen[id(value)] = len(self.seen), value
        self.lines.append((type(value).__name__, None if isinstance(value, _MADE_HERE) else id(value)))
        for part in self.parts(value):
            self.add(part)

    def note(self, *facts):
        self.lines.append(facts)
        return []

    def parts(self, value):
        if isinstance(value, (str, int, float, bytes, type(None), torch.dtype, torch.Size)):
            return self.note(repr(value))
        if isinstance(value, torch.Tensor) and is_lazy(value):
            return []
        if isinstance(value, torch.Tensor):
            data = value.detach().cpu().numpy().tobytes() if type(value) in (torch.Tensor, nn.Parameter) else b""
            hooks = len(value._backward_hooks or ()), len(getattr(value, "_post_accumulate_grad_hooks", None) or ())
            self.note(data, value.requires_grad, value._version, value.data_ptr(), *hooks)
            return [value.grad] if value.is_leaf else []
        if isinstance(value, torch.Generator):
            return self.note(value.get_state().numpy().tobytes())
        if isinstance(value, random.Random):
            return self.note(value.getstate())
        if isinstance(value, np.random.Generator):
            return self.note(repr(value.bit_generator.state))
        if isinstance(value, np.ndarray):
            return self.note(value.tobytes())
        if isinstance(value, dict):
            return [item for pair in value.items() for item in pair]
        if isinstance(value, (list, tuple, set, frozenset, deque)):
            return list(value)
        if isinstance(value, types.FunctionType) and value.__module__.startswith("torch."):
            return []  # torch notes on its own functions how they are compiled
        if isinstance(value, types.FunctionType):
            return [value.__code__.co_name, *(cell.cell_contents for cell in value.__closure__ or ()), value.__dict__]
        if isinstance(value, (types.MethodType, functools.partial)):
            return [value.__func__, value.__self__] if isinstance(value, types.MethodType) else [value.func, value.args]
        if isinstance(value, weakref.ref):
            return [value()]
        if isinstance(value, functools._lru_cache_wrapper):
            return self.note(value.cache_info().currsize)
        if isinstance(value, type):
            return list(vars(value).items()) if value.__module__ == "odd_modules" else []
        if type(value).__module__.startswith(("torch", "numpy")) and not isinstance(value, nn.Module):
            return []
        slots = [getattr(value, name) for name in getattr(type(value), "__slots__", ()) if hasattr(value, name)]
        return [type(value), getattr(value, "__dict__", None), *slots]


def everything(module, args):
    own = {name: value for name, value in vars(odd_modules).items() if not name.startswith("__") and name != "ODD"}
    own = {name: value for name, value in own.items() if not isinstance(value, types.ModuleType)}
    states = random.getstate(), np.random.get_state()[1].tolist(), torch.get_rng_state().tolist()
    settings = torch.get_default_dtype(), torch.is_grad_enabled(), torch.distributions.Distribution._validate_args
    hooks = [dict(value) for value in vars(torch_module).values() if isinstance(value, dict) and value is not vars]
    return Snapshot(module, *args, *own, *own.values()).lines, states, settings, [len(each) for each in hooks]


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("name", ODD)
def test_nothing_is_left_behind(name):
    module, args = ODD[name]()
    before = everything(module, args)
    with pytest.raises(UsageError, match=REFUSED[name]) if name in REFUSED else nullcontext():
        sizer.inspect(module, args[0] if len(args) == 1 else args)
    after = everything(module, args)
    for one, other in zip(before[0], after[0], strict=False):
        assert one == other
    assert before == after


REFUSED = {
    "lazy_layer": "lazy layers",
    "creates_a_parameter": "creates parameters when it is first called",
    "adds_a_layer": "creates parameters when it is first called",
    "raises_in_forward": "never",
} | dict.fromkeys(("scripted", "scripted_inside", "traced"), "scripted")


def test_there_are_many_of_them():
    assert len(ODD) >= 60
