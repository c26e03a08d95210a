"""One training step on fake tensors: what it computes, saves for the backward pass and moves, layer by layer.

Nothing is allocated and no kernel runs: fake tensors carry shapes, types and the device's dispatch keys, so that
autograd, autocast and checkpointing do what they do in a real step.
"""

from __future__ import annotations

import logging
import sys
import warnings
from collections import defaultdict
from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager, ExitStack, contextmanager, nullcontext
from dataclasses import dataclass, field, replace
from functools import partial
from types import FunctionType, MethodType
from typing import Any

import torch
from torch import nn
from torch._subclasses.fake_tensor import FakeTensor, FakeTensorMode
from torch.autograd.graph import saved_tensors_hooks
from torch.overrides import TorchFunctionMode
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves, tree_map
from torch.utils.flop_counter import flop_registry

from sizer.inspection.checks import Loss
from sizer.inspection.operators import NORMALIZATIONS, RECURRENT, check_one_type, decomposes, with_float_statistics
from sizer.inspection.repeated_calls import RepeatedCalls
from sizer.inspection.surroundings import kept_surroundings
from sizer.models.modules import ModuleCopier
from sizer.operators.tape import BACKWARD, FORWARD, Tape


@dataclass
class LayerTrace:
    """What one layer (the innermost module that did it) computed, saved and moved in a step."""

    flops_forward: int = 0
    flops_backward: int = 0
    saved_bytes: int = 0
    transfer_bytes: int = 0
    output_shapes: tuple[tuple[int, ...], ...] = ()
    called_with: tuple[int, ...] | None = None  # shape of the first tensor that the module itself is called with


@dataclass
class StepTrace:
    """A traced step. ``layers`` is in the order in which layers first did something; "" is the module itself."""

    input_bytes: int = 0
    output_bytes: int = 0
    unknown_workspace: bool = False  # oneDNN's recurrent layers keep a workspace whose size only the library knows
    created: tuple[str, ...] = ()  # parameters that the forward pass made
    has_backward: bool = True  # whether the output led to a tensor that a backward pass could start from
    layers: dict[str, LayerTrace] = field(default_factory=lambda: defaultdict(LayerTrace))


class TraceError(Exception):
    """The module's forward or backward raised; ``layer`` is the innermost module that was running."""

    def __init__(self, layer: str, error: Exception) -> None:
        super().__init__(str(error))
        self.layer = layer
        self.error = error


def trace_step(
    module: nn.Module,
    args: tuple[Any, ...],
    kwargs: dict[str, Any],
    loss: Loss | None = None,
    autocast: torch.dtype | None = None,
    device: str = "cpu",
    with_values: bool = False,
    tape: Tape | None = None,
) -> StepTrace:
    """Trace one step of a module; tensors in ``args`` and ``kwargs`` may be real, meta or fake, only shapes count.

    The backward pass starts from ``loss(output)``, else from the output's own ``loss`` or from every differentiable
    tensor in it. ``with_values`` runs a copy of real tensors instead of fake ones. The module, and what its code can
    reach, is left as it was. Raises TraceError.
    """
    mode = nullcontext() if with_values else FakeTensorMode(allow_non_fake_inputs=True)
    convert = _real if with_values else partial(_fake, device=device)
    with _eager(), kept_surroundings(module, with_values), mode, torch.enable_grad():
        copier = ModuleCopier(convert)
        copied = copier.module(module)
        inputs = tree_map(lambda leaf: convert(leaf) if isinstance(leaf, torch.Tensor) else leaf, (args, kwargs))
        before = {id(parameter) for parameter in copied.parameters()}
        recorder = _Recorder(copied, tree_leaves(inputs), tape)
        cast = torch.autocast(torch.device(device).type, dtype=autocast) if autocast is not None else nullcontext()
        try:
            with _StandIns(copier, {id(leaf) for leaf in tree_leaves(inputs)} | before, with_values):
                recorder.run(copied, inputs, loss, cast)
        except Exception as error:
            raise TraceError(recorder.innermost, error) from error
        created = [name for name, parameter in copied.named_parameters() if id(parameter) not in before]
    return replace(recorder.trace, created=tuple(created))


def _fake(tensor: torch.Tensor, device: str) -> torch.Tensor:
    """A fake tensor like the given one; strides are kept, since saved storages depend on them."""
    made = torch.empty_strided(tensor.shape, tensor.stride(), dtype=tensor.dtype, device=device)
    if isinstance(tensor, nn.Parameter):
        return nn.Parameter(made, requires_grad=tensor.requires_grad)
    return made.requires_grad_(tensor.requires_grad)


def _real(tensor: torch.Tensor) -> torch.Tensor:
    """A tensor with the same values."""
    made = tensor.detach().clone()
    if isinstance(tensor, nn.Parameter):
        return nn.Parameter(made, requires_grad=tensor.requires_grad)
    return made.requires_grad_(tensor.requires_grad)


class _StandIns(TorchFunctionMode):
    """Puts a copy in the place of a tensor from outside of the module (a closure's, a global) that trains or changes.

    Its gradient, its hooks and its values are not the module's to change.
    """

    def __init__(self, copier: ModuleCopier, own: set[int], with_values: bool) -> None:
        super().__init__()
        self.copier, self.own = copier, own
        self.with_values = with_values  # then intermediate tensors are real too, and values are put back in the end

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        """Run a function, on copies where an argument is from outside."""
        kwargs = kwargs or {}
        if getattr(func, "__name__", "") == "__get__" or not _may_hold_real(args, kwargs):
            return func(*args, **kwargs)
        outside = list(filter(self._is_outside, tree_leaves((args, kwargs))))
        changes = not self.with_values and _changes(func, kwargs)
        if outside and (changes or any(tensor.is_leaf and tensor.requires_grad for tensor in outside)):
            args, kwargs = tree_map(
                lambda leaf: self.copier.value(leaf) if self._is_outside(leaf) else leaf, (args, kwargs)
            )
        return func(*args, **kwargs)

    def _is_outside(self, value: Any) -> bool:
        return (
            isinstance(value, torch.Tensor)
            and not isinstance(value, FakeTensor)
            and id(value) not in self.own
            and not torch._C._functorch.is_functorch_wrapped_tensor(value)
        )


def _may_hold_real(args: Any, kwargs: Any) -> bool:
    """Whether there may be a tensor that is not fake among the arguments, told at once for most calls."""
    return any(type(arg) not in _NOT_REAL for arg in args) or any(type(arg) not in _NOT_REAL for arg in kwargs.values())


_NOT_REAL = frozenset({FakeTensor, int, float, bool, str, type(None), torch.dtype, torch.device})


_OPERATORS = ("add", "sub", "mul", "div", "truediv", "floordiv", "mod", "pow", "and", "or", "xor", "lshift", "rshift")
_IN_PLACE = frozenset({"__setitem__", "__set__", *(f"__i{name}__" for name in _OPERATORS)})


def _changes(func: Any, kwargs: Any) -> bool:
    """Whether a function changes one of its arguments."""
    name = getattr(func, "__name__", "")
    return name in _IN_PLACE or (name.endswith("_") and not name.startswith("__")) or "out" in kwargs


class _Recorder(TorchDispatchMode):  # type: ignore[no-untyped-call, unused-ignore]
    """Counts every operation below autograd, and every tensor that autograd saves, under the module that is running."""

    def __init__(self, module: nn.Module, inputs: list[Any], tape: Tape | None = None) -> None:
        super().__init__()  # type: ignore[no-untyped-call, unused-ignore]
        self.trace = StepTrace()
        self.tape = tape
        self.stack = [""]
        self.innermost = ""
        self.backward = False
        self.calls = RepeatedCalls()
        own = [*module.parameters(), *module.buffers(), *(leaf for leaf in inputs if isinstance(leaf, torch.Tensor))]
        self.parameters = {_storage(tensor) for tensor in (*module.parameters(), *module.buffers())}
        self.known = {_storage(tensor) for tensor in own}  # storages that are not activations, or counted already
        self.alive: list[Any] = list(own)
        self.trace.input_bytes = _bytes(leaf for leaf in inputs if isinstance(leaf, torch.Tensor))
        self._follow(module)

    def run(self, module: nn.Module, inputs: Any, loss: Loss | None, precision: AbstractContextManager[Any]) -> None:
        """The forward and the backward pass."""
        args, kwargs = inputs
        with self, saved_tensors_hooks(self._saved, lambda tensor: tensor):
            with precision:
                output = module(*args, **kwargs)
                starts = differentiable(output) if loss is None else [self._loss(loss, output)]
            self._label(starts, "")
            self.trace.output_bytes = _bytes(_tensors(output), self.parameters)
            self.backward = True
            self.trace.has_backward = bool(starts)
            if starts:
                torch.autograd.backward(starts, [torch.ones_like(start) for start in starts])

    def _loss(self, loss: Loss, output: Any) -> torch.Tensor:
        """The loss of an output; its target is an input, so that what is saved of it does not count."""
        if loss.make_target is None:
            return loss.function(output)
        target = loss.make_target(output)
        self.alive.append(target)
        self.known.add(_storage(target))
        return loss.function(output, target)

    def _follow(self, module: nn.Module) -> None:
        """Keep the stack of running modules with hooks on the copy, outermost call first."""
        for name, part in module.named_modules():
            part.register_forward_pre_hook(partial(self._enter, name), with_kwargs=True, prepend=True)
            part.register_forward_hook(partial(self._leave, name), with_kwargs=True, always_call=True)

    def _enter(self, name: str, *_: Any) -> None:
        self.stack.append(name)
        self.innermost = name

    def _leave(self, name: str, module: nn.Module, args: Any, kwargs: Any, output: Any) -> None:
        if len(self.stack) > 1:
            self.stack.pop()
        inputs, outputs = _tensors((args, kwargs)), _tensors(output)
        if not outputs:
            return
        self.innermost = self.stack[-1]
        self._label(outputs, name)
        if any(parameter is not None for parameter in module._parameters.values()):
            self._moved(name, inputs, outputs)
            self.trace.layers[name].called_with = tuple(inputs[0].shape) if inputs else None

    def _moved(self, name: str, inputs: list[torch.Tensor], outputs: list[torch.Tensor]) -> None:
        layer = self.trace.layers[name]
        moved = _bytes((*inputs, *outputs), self.parameters)
        if moved >= layer.transfer_bytes:
            layer.transfer_bytes = moved
            layer.output_shapes = tuple(tuple(tensor.shape) for tensor in outputs)

    def _label(self, outputs: list[torch.Tensor], name: str) -> None:
        """Mark the backward nodes made since the last marking as this module's: their FLOPs are charged to it."""
        pending = [tensor.grad_fn for tensor in outputs if tensor.grad_fn is not None]
        while pending:
            node = pending.pop()
            metadata: Any = node.metadata
            if _LABEL in metadata:
                continue
            metadata[_LABEL] = name
            pending += [parent for parent, _ in node.next_functions if parent is not None]

    def _saved(self, tensor: torch.Tensor) -> torch.Tensor:
        storage = _storage(tensor)
        if storage not in self.known and not self.backward:  # what the backward pass recomputes is soon gone again
            self.known.add(storage)
            self.alive.append(tensor)
            self.trace.layers[self.stack[-1]].saved_bytes += tensor.untyped_storage().nbytes()
        return tensor

    @classmethod
    def _should_skip_dynamo(cls) -> bool:
        """Nothing is compiled while a step is traced, so that torch need not guard each operation against it."""
        return False

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        """Run an operation, decomposed where FlopCounterMode decomposes it, and count it as that does."""
        if (
            func is torch.ops.prim.device.default
            and isinstance(args[0], FakeTensor)
            and not args[0].fake_mode.in_kernel_invocation
        ):
            return args[0].fake_device  # asked for by autograd, more often than all other operations together
        kwargs = kwargs or {}
        packet: Any = func._overloadpacket if isinstance(func, torch._ops.OpOverload) else None
        formula = flop_registry.get(packet) or RECURRENT.get(packet)
        if formula is None:
            return self._uncounted(func, args, kwargs)
        if packet is torch.ops.aten.mkldnn_rnn_layer:
            self.trace.unknown_workspace = True
        check_one_type(packet, args)
        output = self.calls.run(func, args, kwargs)
        flops = formula(*args, **kwargs, out_val=output)
        self._note(func, args, kwargs, output, flops)
        if not self.backward:
            layer = self.trace.layers[self.stack[-1]]
            layer.flops_forward += flops
            self._moved(self.stack[-1], _tensors((args, kwargs)), _tensors(output))
        else:
            self.trace.layers[self._running()].flops_backward += flops
        return output

    def _uncounted(self, func: Any, args: Any, kwargs: Any) -> Any:
        if getattr(func, "_overloadpacket", None) in NORMALIZATIONS:
            output = with_float_statistics(func(*args, **kwargs), args)
            self._note(func, args, kwargs, output)
            return output
        if isinstance(func, torch._ops.OpOverload) and decomposes(func):
            with self:
                return func.decompose(*args, **kwargs)
        output = self.calls.run(func, args, kwargs)
        self._note(func, args, kwargs, output)
        return output

    def _note(self, func: Any, args: Any, kwargs: Any, output: Any, flops: int = 0) -> None:
        """Put a call on the tape, where there is one."""
        if self.tape is not None and isinstance(func, torch._ops.OpOverload):
            layer, phase = (self._running(), BACKWARD) if self.backward else (self.stack[-1], FORWARD)
            self.tape.note(func, (args, kwargs), output, layer, phase, flops)

    def _running(self) -> str:
        """The module whose backward is running: recomputed layers are on the stack, the others label their nodes."""
        if len(self.stack) > 1:
            return self.stack[-1]
        node = torch._C._current_autograd_node()
        metadata: Any = {} if node is None else node.metadata
        return str(metadata.get(_LABEL, ""))


_LABEL = "sizer"


def _storage(tensor: torch.Tensor) -> int:
    return int(tensor.untyped_storage()._cdata)


def _bytes(tensors: Any, without: Any = ()) -> int:
    """Bytes of the tensors, each storage once; the storages in ``without`` are left out."""
    sizes = {_storage(tensor): tensor.numel() * tensor.element_size() for tensor in tensors}
    return sum(size for storage, size in sizes.items() if storage not in without)


def _tensors(tree: Any) -> list[torch.Tensor]:
    found: list[torch.Tensor] = []
    for leaf in tree_leaves(tree):
        _collect(leaf, found, set())
    return found


def _collect(value: Any, found: list[torch.Tensor], seen: set[int]) -> None:
    """The tensors in a value: in records, in the attributes of an object, as distributions have them."""
    if isinstance(value, torch.Tensor):
        found.append(value)
    elif id(value) not in seen and not isinstance(value, (type, nn.Module, FunctionType, MethodType, *_ATOMS)):
        seen.add(id(value))
        inside = value.values() if isinstance(value, Mapping) else value
        if not isinstance(value, (Mapping, list, tuple, set)):
            slots = [name for kind in type(value).__mro__ for name in _as_tuple(getattr(kind, "__slots__", ()))]
            inside = [*getattr(value, "__dict__", {}).values(), *(getattr(value, name, None) for name in slots)]
        for one in inside:
            _collect(one, found, seen)


def _as_tuple(slots: Any) -> Any:
    return (slots,) if isinstance(slots, str) else slots


_ATOMS = (str, bytes, int, float, complex, type(None), torch.dtype, torch.device)


def differentiable(output: Any) -> list[torch.Tensor]:
    """Where the backward pass starts without a loss: the output's own, else every differentiable tensor in it."""
    own = output.get("loss") if isinstance(output, Mapping) else getattr(output, "loss", None)
    tensors = [own] if isinstance(own, torch.Tensor) else _tensors(output)
    return list({id(tensor): tensor for tensor in tensors if tensor.requires_grad}.values())


@contextmanager
def _eager() -> Iterator[None]:
    """Functions that the module had compiled run uncompiled; torch logs and warns nothing.

    Distributions do not check their parameters, whose values are not there.
    """
    with ExitStack() as stack:
        stack.enter_context(warnings.catch_warnings())
        warnings.simplefilter("ignore")
        distribution = torch.distributions.Distribution
        stack.callback(distribution.set_default_validate_args, distribution._validate_args)
        distribution.set_default_validate_args(False)
        logger = logging.getLogger("torch._subclasses.fake_tensor")
        stack.callback(setattr, logger, "disabled", logger.disabled)
        logger.disabled = True  # it writes a traceback for an input of the wrong shape; the error says it in one line
        if "torch._dynamo" in sys.modules and hasattr(torch.compiler, "set_stance"):
            stack.enter_context(torch.compiler.set_stance("force_eager"))
        yield
