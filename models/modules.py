"""A stand-in for a module whose tensors are others (meta or fake), so that its forward can run without touching it."""

from __future__ import annotations

import contextlib
import functools
import types
import weakref
from collections import OrderedDict
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, TypeVar

import torch
from torch import nn

from sizer.base.errors import UsageError

if TYPE_CHECKING:
    from sizer.models.topology import Topology


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


ACTIVATIONS: dict[str, Callable[[], nn.Module]] = {
    "relu": nn.ReLU,
    "leaky_relu": nn.LeakyReLU,
    "elu": nn.ELU,
    "selu": nn.SELU,
    "gelu": nn.GELU,
    "silu": nn.SiLU,
    "mish": nn.Mish,
    "softplus": nn.Softplus,
    "hardswish": nn.Hardswish,
    "tanh": nn.Tanh,
    "sigmoid": nn.Sigmoid,
    "identity": nn.Identity,
}

#: Normalisation of a layer's outputs before its activation, from the layer's width.
NORMALIZATIONS: dict[str, Callable[[int], nn.Module]] = {"batch": nn.BatchNorm1d, "layer": nn.LayerNorm}


class ResidualLayer(nn.Module):
    """A hidden layer with an identity addition after its activation, x of shape (batch, width).

    x + dropout(activation(normalization(W x + b))), where normalisation and dropout may be absent.
    """

    def __init__(
        self, width: int, activation: str = "relu", normalization: str | None = None, dropout: float = 0.0
    ) -> None:
        super().__init__()
        self.linear = nn.Linear(width, width)
        self.after = nn.Sequential(*_after(width, activation, normalization, dropout))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Return the sum of x and the layer's output."""
        layer_output: torch.Tensor = self.after(self.linear(x))
        return x + layer_output


class DenseNetwork(nn.Sequential):
    """A fully connected network in the order of its layers; ``shape`` is the topology's."""

    def __init__(self, shape: str | None, *layers: nn.Module) -> None:
        super().__init__(*layers)
        self.shape = shape


def build(
    topology: Topology, activation: str = "relu", normalization: str | None = None, dropout: float = 0.0
) -> DenseNetwork:
    """The network of a topology.

    Each hidden layer is Linear, normalisation (``"batch"``, ``"layer"`` or None), activation (a name of `ACTIVATIONS`)
    and dropout where it is above 0; nothing follows the last Linear. The residual shape has an identity addition around
    each hidden layer but the first. Raises UsageError for an unknown name or a dropout outside [0, 1).
    """
    _check(activation, normalization, dropout)
    layers: list[nn.Module] = []
    pairs = list(zip(topology.full[:-1], topology.widths, strict=True))
    for index, (w_in, w_out) in enumerate(pairs[:-1]):
        if topology.shape == "rectangle_residual" and index > 0:
            layers.append(ResidualLayer(w_out, activation, normalization, dropout))
        else:
            layers += [nn.Linear(w_in, w_out), *_after(w_out, activation, normalization, dropout)]
    layers.append(nn.Linear(*pairs[-1]))
    return DenseNetwork(topology.shape, *layers)


def _after(width: int, activation: str, normalization: str | None, dropout: float) -> list[nn.Module]:
    """What follows a hidden layer's products."""
    layers = [] if normalization is None else [NORMALIZATIONS[normalization](width)]
    layers.append(ACTIVATIONS[activation]())
    return [*layers, nn.Dropout(dropout)] if dropout else layers


def _check(activation: str, normalization: str | None, dropout: float) -> None:
    if activation not in ACTIVATIONS:
        raise UsageError(f"unknown activation {activation!r}; expected one of {', '.join(ACTIVATIONS)}")
    if normalization is not None and normalization not in NORMALIZATIONS:
        known = ", ".join(NORMALIZATIONS)
        raise UsageError(f"unknown normalization {normalization!r}; expected one of {known}, or None")
    if isinstance(dropout, bool) or not isinstance(dropout, (int, float)) or not 0 <= dropout < 1:
        raise UsageError(f"dropout is {dropout!r}; expected a number from 0 up to, but not including, 1")
