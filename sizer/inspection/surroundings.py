"""What a module's forward may change outside of the copy that runs: found before it runs, put back afterwards.

The copy keeps by reference what is no module, tensor or plain container, and its code may use globals, closures and
attributes of classes. Whatever of that can be reached is noted, shallowly and by identity, and is as it was in the end.
"""

from __future__ import annotations

import functools
import random
import sys
import types
import weakref
from collections import OrderedDict, deque
from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from typing import Any

import torch
from torch import nn
from torch.autograd.grad_mode import _unsafe_preserve_version_counter
from torch.nn.modules import module as torch_module

#: Objects looked at, the nearest first, and items of one container: a few per cent of what the trace takes.
_MOST_OBJECTS, _MOST_ITEMS = 50_000, 10_000
#: Arrays up to this size are copied to be put back.
_MOST_ARRAY_BYTES = 2**20

_ATOMS = frozenset({str, bytes, int, float, complex, bool, type(None), torch.dtype, torch.device, torch.Size})
#: Their objects are no user's state; those of the last three (namespaces, user dictionaries) hold what users put in.
_LIBRARIES = (sys.stdlib_module_names | {"torch", "numpy", "pandas", "scipy", "sizer", "triton", "builtins"}) - {
    *("types", "collections", "argparse")
}
_DICTIONARIES = (dict, OrderedDict)
_CONTAINERS = (dict, OrderedDict, set)
_NOTHING = object()


@contextmanager
def kept_surroundings(
    module: nn.Module, with_values: bool = False, most_objects: int = _MOST_OBJECTS
) -> Iterator[None]:
    """Everything that a module's code can reach ends as it was, and no hook of all modules runs.

    ``with_values`` also keeps the values of tensors, which only a run on real tensors can change.
    """
    found = _Surroundings(with_values, most_objects)
    found.visit(module)
    with ExitStack() as stack:
        stack.callback(found.put_back)
        stack.callback(torch.set_default_dtype, torch.get_default_dtype())
        for name, hooks in vars(torch_module).items():
            if name.startswith("_global_") and isinstance(hooks, dict) and hooks:
                stack.callback(hooks.update, dict(hooks))
                hooks.clear()
        yield


class _Surroundings:
    """Notes of objects, each with how to put it back."""

    def __init__(self, with_values: bool, most_objects: int) -> None:
        self.with_values, self.most_objects = with_values, most_objects
        self.seen: dict[int, Any] = {}
        self.notes: list[Callable[[], object]] = []
        self.mappings: list[tuple[Any, Any]] = []  # (tuples, since a closure for each would wake the garbage collector)
        self.tensors: list[tuple[torch.Tensor, torch.Tensor | None, bool]] = []
        self.empty: list[Any] = []  # dictionaries of modules, most of them for hooks that there are none of

    def visit(self, root: Any) -> None:
        """Note everything that can be reached from an object."""
        pending = deque([root])
        while pending and len(self.seen) < self.most_objects:
            value = pending.popleft()
            if type(value) in _ATOMS or id(value) in self.seen:
                continue
            self.seen[id(value)] = value
            with suppress(Exception):  # a dead proxy, a class that answers for another: nothing to look into
                pending.extend(self._inside(value))

    def put_back(self) -> None:
        """Everything noted as it was, also where one of it refuses to be."""
        notes = (
            *self.notes,
            *(functools.partial(_put_items_back, *mapping) for mapping in self.mappings),
            *(functools.partial(_put_tensor_back, *tensor) for tensor in self.tensors),
            *(each.clear for each in self.empty if each),
        )
        for note in notes:
            with suppress(Exception):
                note()

    def _inside(self, value: Any) -> Iterable[Any]:
        """Note an object; what is inside of it."""
        for kinds, note in _NOTED:
            if isinstance(value, kinds):
                return note(self, value)
        if type(value).__module__.partition(".")[0] == "numpy":
            return self._numpy(value)
        return () if _is_library(type(value).__module__) else self._attributes(value)

    def _module(self, value: nn.Module) -> Iterable[Any]:
        inside: list[Any] = [type(value)]
        for item in self._mapping(value.__dict__):
            if type(item) in _CONTAINERS and not item:
                self.empty.append(item)
            elif type(item) not in _ATOMS:
                inside.append(item)
        return [*inside, *self._slots(value)]

    def _mapping(self, value: dict[Any, Any]) -> Iterable[Any]:
        before = value.copy() if type(value) in _DICTIONARIES else _plain_copy(value)
        self.mappings.append((value, before))
        return before.values() if len(before) <= _MOST_ITEMS else list(before.values())[:_MOST_ITEMS]

    def _sequence(self, value: Any) -> Iterable[Any]:
        before = list(value)

        def put_back() -> None:
            if len(value) != len(before) or any(map(_differ, value, before)):
                value.clear()
                value.update(before) if isinstance(value, set) else value.extend(before)

        self.notes.append(put_back)
        return before[:_MOST_ITEMS]

    def _tensor(self, value: torch.Tensor) -> Iterable[Any]:
        if value.is_leaf:
            self.tensors.append((value, value.grad, value.requires_grad))
        if self.with_values and not value.is_meta and value.layout == torch.strided:
            self._values(value)
        return [value.__dict__] if value.__dict__ else []

    def _values(self, value: torch.Tensor) -> None:
        before, version, keeper = value.detach().clone(), value._version, _unsafe_preserve_version_counter(value)

        def put_back() -> None:
            if value._version != version:
                with torch.no_grad(), keeper:
                    value.copy_(before)

        self.notes.append(put_back)

    def _function(self, value: types.FunctionType) -> Iterable[Any]:
        if _is_library(value.__module__):
            return ()
        self._names(value.__globals__, _names_in(value.__code__))
        names = [value.__globals__.get(name) for name in _names_in(value.__code__)]
        for cell in value.__closure__ or ():
            self._cell(cell)
        cells = [_content(cell) for cell in value.__closure__ or ()]
        modules = [self._names(vars(part), _names_in(value.__code__)) for part in names if _is_own_module(part)]
        return [*names, *cells, *(item for items in modules for item in items), value.__defaults__, value.__dict__]

    def _names(self, namespace: dict[str, Any], names: Iterable[str]) -> list[Any]:
        """Note the values of names in a module; which values there are."""
        before = {name: namespace.get(name, _NOTHING) for name in names}

        def put_back() -> None:
            for name, old in before.items():
                if namespace.get(name, _NOTHING) is not old:
                    _put_name(namespace, name, old)

        self.notes.append(put_back)
        return [each for each in before.values() if each is not _NOTHING]

    def _cell(self, cell: types.CellType) -> None:
        before = _content(cell)

        def put_back() -> None:
            if _content(cell) is not before:
                cell.cell_contents = before

        if before is not _NOTHING:
            self.notes.append(put_back)

    def _class(self, value: type) -> Iterable[Any]:
        if _is_library(value.__module__):
            return ()
        before = dict(vars(value))

        def put_back() -> None:
            for name, now in list(vars(value).items()):
                if name not in before:
                    delattr(value, name)
                elif now is not before[name]:
                    setattr(value, name, before[name])

        self.notes.append(put_back)
        return [*before.values(), *value.__bases__]

    def _attributes(self, value: Any) -> Iterable[Any]:
        """An object's own attributes, in its dictionary or in slots, and its class."""
        try:
            attributes = object.__getattribute__(value, "__dict__")
        except AttributeError:
            attributes = None
        return [type(value), attributes, *self._slots(value)]

    def _slots(self, value: Any) -> Iterable[Any]:
        if not hasattr(type(value), "__slots__"):
            return ()
        own = [kind.__dict__.get("__slots__", ()) for kind in type(value).__mro__]
        names = [name for slots in own for name in ([slots] if isinstance(slots, str) else slots)]
        held = {name: getattr(value, name) for name in names if not name.startswith("__") and hasattr(value, name)}
        if held:

            def put_back() -> None:
                for name, old in held.items():
                    if getattr(value, name, _NOTHING) is not old:
                        object.__setattr__(value, name, old)

            self.notes.append(put_back)
        return held.values()

    def _cached(self, value: Any) -> Iterable[Any]:
        """A function with `functools.cache`: what it cached of a trace goes, and with it what it held before."""
        size = value.cache_info().currsize
        self.notes.append(lambda: value.cache_info().currsize == size or value.cache_clear())
        return [value.__wrapped__]

    def _generator(self, value: Any) -> Iterable[Any]:
        if isinstance(value, torch.Generator):
            self.notes.append(functools.partial(value.set_state, value.get_state()))
        elif isinstance(value, random.Random):
            self.notes.append(functools.partial(value.setstate, value.getstate()))
        return ()

    def _numpy(self, value: Any) -> Iterable[Any]:
        """An array, or a generator of random numbers."""
        numpy = sys.modules["numpy"]
        if isinstance(value, numpy.random.Generator):
            self.notes.append(functools.partial(setattr, value.bit_generator, "state", value.bit_generator.state))
        elif isinstance(value, numpy.random.RandomState):
            self.notes.append(functools.partial(value.set_state, value.get_state()))
        elif isinstance(value, numpy.ndarray) and value.nbytes <= _MOST_ARRAY_BYTES and value.flags.writeable:
            self.notes.append(functools.partial(numpy.copyto, value, value.copy()))
        return ()

    def _bound(self, value: Any) -> Iterable[Any]:
        """What leads to other objects and does not change itself."""
        names = ("__func__", "__self__", "func", "args", "keywords", "fget")
        return [getattr(value, name, None) for name in names]


#: What is noted of which kinds, the first that fits.
_NOTED: tuple[tuple[Any, Callable[[_Surroundings, Any], Iterable[Any]]], ...] = (
    (torch.Tensor, _Surroundings._tensor),
    (dict, _Surroundings._mapping),
    ((list, set, deque, bytearray), _Surroundings._sequence),
    ((tuple, frozenset), lambda _, value: list(value)[:_MOST_ITEMS]),
    (nn.Module, _Surroundings._module),
    (types.FunctionType, _Surroundings._function),
    (functools._lru_cache_wrapper, _Surroundings._cached),
    (weakref.ref, lambda _, value: [value()]),
    ((torch.Generator, random.Random), _Surroundings._generator),
    (type, _Surroundings._class),
    (types.ModuleType, lambda *_: ()),
    ((types.MethodType, functools.partial, property, staticmethod, classmethod), _Surroundings._bound),
)


def _is_library(name: str | None) -> bool:
    return (name or "").partition(".")[0] in _LIBRARIES


def _is_own_module(value: Any) -> bool:
    return isinstance(value, types.ModuleType) and not _is_library(value.__name__)


@functools.cache
def _names_in(code: types.CodeType) -> tuple[str, ...]:
    """The names that a function's code uses, those of functions in it too."""
    inner = [_names_in(part) for part in code.co_consts if isinstance(part, types.CodeType)]
    return tuple(dict.fromkeys([*code.co_names, *(name for names in inner for name in names)]))


def _content(cell: types.CellType) -> Any:
    try:
        return cell.cell_contents
    except ValueError:
        return _NOTHING


def _put_name(namespace: dict[str, Any], name: str, old: Any) -> None:
    if old is _NOTHING:
        del namespace[name]
    else:
        namespace[name] = old


def _plain_copy(value: Any) -> dict[Any, Any]:
    kind: Any = OrderedDict if isinstance(value, OrderedDict) else dict
    return dict(kind.items(value))


def _put_items_back(value: Any, before: dict[Any, Any]) -> None:
    kind: Any = OrderedDict if isinstance(value, OrderedDict) else dict  # past what a subclass makes of them
    now = list(kind.items(value))
    if len(now) != len(before) or any(
        k is not key or v is not old for (k, v), (key, old) in zip(now, before.items(), strict=True)
    ):
        kind.clear(value)
        kind.update(value, before)


def _put_tensor_back(value: torch.Tensor, grad: torch.Tensor | None, requires_grad: bool) -> None:
    if value.grad is not grad:
        value.grad = grad
    if value.requires_grad is not requires_grad:
        value.requires_grad_(requires_grad)


def _differ(one: Any, other: Any) -> bool:
    return one is not other
