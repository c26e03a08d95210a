"""Reading a topology back from a module: its forward runs once on meta tensors, which hold no data, under a watcher.

The watcher sees torch's functions, so that it does not matter how the module is written: a Sequential, a class with its
own forward, functional activations, residual additions.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import torch
from torch import nn
from torch.overrides import TorchFunctionMode

from sizer.base.errors import UsageError
from sizer.models.modules import ACTIVATIONS, DenseNetwork, ModuleCopier
from sizer.models.shapes import MAX_DEPTH, SHAPES, layer_widths

_ACTIVATIONS = (frozenset(ACTIVATIONS) - {"identity"}) | {"softmax", "log_softmax"}
_NORMALIZATIONS = {"batch_norm": "batch", "layer_norm": "layer"}
_RESHAPES = frozenset({"flatten", "view", "reshape"})
_ADDITIONS = frozenset({"add", "add_", "__add__", "__iadd__", "__radd__", "iadd"})
#: Functions that leave the value as it is.
_QUERIES = frozenset(
    {
        *("__get__", "__len__", "size", "dim", "ndimension", "numel", "stride", "is_floating_point"),
        *("contiguous", "to", "float"),
    }
)
#: Activations whose module says all there is to know of them.
_PLAIN_ACTIVATIONS = {nn.ReLU: "relu", nn.Tanh: "tanh", nn.Sigmoid: "sigmoid", nn.GELU: "gelu"}


@dataclass(frozen=True)
class ReadNetwork:
    """What was read: shape and widths of the topology, and what surrounds its matrix products.

    ``activations`` holds one name for each activation met in a forward pass, in order; ``final_activation`` says
    whether one follows the last layer. ``linears`` are the weights' names in the module, in order.
    """

    shape: str | None
    input_dim: int
    widths: tuple[int, ...]
    activations: tuple[str, ...]
    normalization: str | None
    dropout: float
    has_biases: bool
    final_activation: bool
    linears: tuple[str, ...]


class _NotDenseError(Exception):
    """The module does something that a fully connected network does not."""


def read_network(module: nn.Module, example: torch.Tensor | None = None) -> ReadNetwork:
    """Read a fully connected network. Without an example the input is as wide as the first Linear of the module.

    Raises UsageError with what it is that keeps the module from being one.
    """
    inner = unwrap(module)
    example = _example_for(inner) if example is None else example
    plain = read_sequential(inner, example)
    if plain is not None:
        return plain
    copied = ModuleCopier(_on_meta).module(inner)
    watcher = _Watcher(example, copied)
    try:
        with torch.no_grad(), watcher:
            output = copied(example)
        watcher.finish(output)
    except _NotDenseError as reason:
        raise UsageError(f"{type(inner).__name__} is not a fully connected network: {reason}") from None
    except Exception as error:  # whatever the module's own code raises
        message = " ".join(f"{type(error).__name__}: {error}".split())
        raise UsageError(
            f"{type(inner).__name__} is not a fully connected network: it raises {message[:200]}"
        ) from error
    return watcher.network(inner)


def read_sequential(module: nn.Module, example: torch.Tensor) -> ReadNetwork | None:
    """Read a Sequential of Linear layers and activations from its parts, without running it; None for all else."""
    layers = _sequential_layers(module, example)
    if layers is None:
        return None
    linears = [part for part in module.modules() if isinstance(part, nn.Linear)]
    return _network(module, layers, None, 0.0, all(part.bias is not None for part in linears))


def _sequential_layers(module: nn.Module, example: torch.Tensor) -> list[_Layer] | None:
    if type(module) is not nn.Sequential or example.dim() != 2 or "forward" in vars(module):
        return None
    layers: list[_Layer] = []
    for name, part in module._modules.items():
        if part is None or "forward" in vars(part) or part._forward_pre_hooks:
            return None
        tensors = {key for key, tensor in part._parameters.items() if tensor is not None}
        if type(part) is nn.Linear and tensors in ({"weight"}, {"weight", "bias"}):
            layers.append(_Layer(f"{name}.weight", part.weight.shape[1], part.weight.shape[0]))
        elif type(part) in _PLAIN_ACTIVATIONS and layers:
            layers[-1].activations.append(_PLAIN_ACTIVATIONS[type(part)])
        else:
            return None
    weights = [part.weight for part in module._modules.values() if isinstance(part, nn.Linear)]
    widths = [example.shape[1], *(layer.w_out for layer in layers)]
    fits = [layer.w_in for layer in layers] == widths[:-1] and {weight.dtype for weight in weights} == {example.dtype}
    return layers if fits and len({*map(id, weights)}) == len(weights) <= MAX_DEPTH else None


def unwrap(module: nn.Module) -> nn.Module:
    """The module inside torch.compile's, DataParallel's and DistributedDataParallel's wrappers."""
    while not isinstance(module, torch.jit.ScriptModule):
        compiled = module.__dict__.get("_modules", {}).get("_orig_mod")
        if compiled is not None:
            module = compiled
        elif isinstance(module, (nn.DataParallel, nn.parallel.DistributedDataParallel)):
            module = module.module
        else:
            break
    return module


def _shortcut(name: str, value: Any, args: Any, kwargs: Any) -> Any:
    """What the frequent functions return, made directly: torch's own meta kernels take about a millisecond each."""
    if not args or args[0] is not value:
        return None
    if name == "linear" and value.dim() == 2 and value.shape[1] == args[1].shape[1] and value.dtype == args[1].dtype:
        made: torch.Tensor = value.new_empty(value.shape[0], args[1].shape[0])
        return made
    if name.rstrip("_") not in _ACTIVATIONS:
        return None
    return value if name.endswith("_") or kwargs.get("inplace") else value.detach()


def _on_meta(tensor: torch.Tensor) -> torch.Tensor:
    return tensor if tensor.is_meta else torch.empty(tensor.shape, dtype=tensor.dtype, device="meta")


def _example_for(module: nn.Module) -> torch.Tensor:
    first = next((layer for layer in module.modules() if isinstance(layer, nn.Linear)), None)
    if first is None:
        raise UsageError(f"{type(module).__name__} is not a fully connected network: it has no Linear layer")
    return torch.empty(2, first.in_features, dtype=first.weight.dtype, device="meta")


@dataclass
class _Layer:
    """One Linear as met: its weight's name and widths, and what followed it."""

    name: str
    w_in: int
    w_out: int
    activations: list[str] = field(default_factory=list)
    added: bool = False


class _Watcher(TorchFunctionMode):
    """Follows the one value that flows through a fully connected network; any other computation is refused."""

    def __init__(self, example: torch.Tensor, module: nn.Module) -> None:
        super().__init__()
        self.current: Any = example
        self.before_layer: Any = None  # the value that went into the layer being followed: what a residual layer adds
        self.names = {id(tensor): name for name, tensor in module.named_parameters()}
        self.buffers = {id(tensor) for tensor in module.buffers()}
        self.layers: list[_Layer] = []
        self.normalizations: set[str] = set()
        self.dropouts: set[float] = set()
        self.has_biases = True

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        """Run a function and follow what it does to the value."""
        kwargs = kwargs or {}
        name = getattr(func, "__name__", str(func))
        before = self.current
        operands = [value for value in (*args, *kwargs.values()) if isinstance(value, torch.Tensor)]
        of_buffers = all(id(operand) in self.buffers for operand in operands)
        if name not in _QUERIES and not of_buffers and not any(operand is before for operand in operands):
            raise _NotDenseError(f"{name} works on something else than the previous layer's output")
        result = _shortcut(name, before, args, kwargs)
        if result is None:
            result = func(*args, **kwargs)
        if name in _QUERIES:
            if isinstance(result, torch.Tensor) and result is not before and args and args[0] is before:
                self.current = result if result.shape == before.shape else before
            return result
        if of_buffers:
            return result  # a normalisation that counts its batches
        self._follow(name, operands, args, kwargs, before, result)
        self.current = result
        return result

    def _follow(self, name: str, operands: list[Any], args: Any, kwargs: Any, before: Any, result: Any) -> None:
        if name == "linear":
            self._linear(operands)
        elif name.rstrip("_") in _ACTIVATIONS and self.layers:
            self.layers[-1].activations.append(name.rstrip("_"))
        elif name in _NORMALIZATIONS and self.layers:
            self.normalizations.add(_NORMALIZATIONS[name])
        elif name == "dropout":
            self.dropouts.add(float(kwargs["p"] if "p" in kwargs else args[1]))
        elif name in _ADDITIONS:
            self._addition(operands, before)
        elif not (name in _RESHAPES and (not self.layers or result.shape == before.shape)):
            raise _NotDenseError(f"it uses {name}")

    def _linear(self, operands: list[Any]) -> None:
        value, weight = operands[:2]
        name = self.names.get(id(weight))
        if value.dim() != 2 or name is None:
            raise _NotDenseError(
                f"a Linear works on an input of {value.dim()} dimensions, or on a weight that is computed"
            )
        if any(layer.name == name for layer in self.layers):
            raise _NotDenseError(f"{name} is used more than once")
        self.has_biases &= len(operands) == 3
        self.before_layer = value
        self.layers.append(_Layer(name, weight.shape[1], weight.shape[0]))

    def _addition(self, operands: list[Any], before: Any) -> None:
        others = [operand for operand in operands if operand is not before]
        if len(operands) != 2 or not self.layers or len(others) != 1 or others[0] is not self.before_layer:
            raise _NotDenseError("it adds something else than a layer's own input to the layer's output")
        self.layers[-1].added = True

    def finish(self, output: Any) -> None:
        """Check that what the module returns is the value that was followed."""
        if output is not self.current:
            raise _NotDenseError("it returns something else than its last layer's output")
        if not 1 <= len(self.layers) <= MAX_DEPTH:
            raise _NotDenseError(f"it has {len(self.layers)} Linear layers in its forward pass")
        added = [layer.added for layer in self.layers]
        if any(added) and added != [False] + [True] * (len(added) - 2) + [False]:
            raise _NotDenseError("its residual additions are not around each hidden layer but the first")

    def network(self, module: nn.Module) -> ReadNetwork:
        """The record of what was followed."""
        normalization, dropout = next(iter(self.normalizations), None), max(self.dropouts, default=0.0)
        return _network(module, self.layers, normalization, dropout, self.has_biases)


def _network(
    module: nn.Module, layers: list[_Layer], normalization: str | None, dropout: float, has_biases: bool
) -> ReadNetwork:
    widths = tuple(layer.w_out for layer in layers)
    return ReadNetwork(
        _shape(module, widths, any(layer.added for layer in layers)),
        layers[0].w_in,
        widths,
        tuple(name for layer in layers for name in layer.activations),
        normalization,
        dropout,
        has_biases,
        bool(layers[-1].activations),
        tuple(layer.name for layer in layers),
    )


def _shape(module: nn.Module, widths: tuple[int, ...], residual: bool) -> str | None:
    """The shape that the module says it has, if widths and additions agree; else the first of the eight that fits."""
    claimed = [module.shape] if isinstance(module, DenseNetwork) else []
    if claimed == [None] and not residual:
        return None
    for shape in (*(shape for shape in claimed if shape), *SHAPES):
        expected = tuple(layer_widths(shape, widths[0], len(widths), widths[-1]).tolist())
        adds = shape == "rectangle_residual" and len(widths) > 2
        if expected == widths and adds == residual:
            return shape
    return None
