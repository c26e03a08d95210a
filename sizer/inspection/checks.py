"""What of a module, an input and a loss can be inspected; what cannot gets one line that says why and what to do."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from typing import Any, NamedTuple

import torch
import torch.nn.functional as F  # noqa: N812 (its name everywhere)
from torch import nn
from torch.nn.parameter import is_lazy

from sizer.base.errors import UsageError


class Loss(NamedTuple):
    """``function(output)``, or ``function(output, target)`` where ``make_target`` gives a target for an output."""

    function: Callable[..., torch.Tensor]
    make_target: Callable[[torch.Tensor], torch.Tensor] | None
    name: str


def _classes(output: torch.Tensor) -> torch.Tensor:
    """One class index for each prediction; dimension 1 of the output counts the classes."""
    return torch.zeros((output.shape[0], *output.shape[2:]), dtype=torch.int64, device=output.device)


def _like(output: torch.Tensor) -> torch.Tensor:
    return torch.zeros_like(output, requires_grad=False)


_NAMED = {"mse": Loss(F.mse_loss, _like, "mse"), "cross_entropy": Loss(F.cross_entropy, _classes, "cross_entropy")}
_INDEXED = (nn.CrossEntropyLoss, nn.NLLLoss)
_ELEMENTWISE = (nn.MSELoss, nn.L1Loss, nn.SmoothL1Loss, nn.HuberLoss, nn.BCEWithLogitsLoss, nn.BCELoss)


def as_loss(loss: Any) -> Loss | None:
    """A loss from its name, a torch loss module, or a function of the output alone. Raises UsageError for another."""
    if loss is None or isinstance(loss, Loss):
        return loss
    if isinstance(loss, str) and loss in _NAMED:
        return _NAMED[loss]
    if isinstance(loss, _INDEXED):
        return Loss(loss, _classes, type(loss).__name__)
    if isinstance(loss, _ELEMENTWISE):
        return Loss(loss, _like, "mse" if type(loss) is nn.MSELoss else type(loss).__name__)
    if callable(loss) and not isinstance(loss, nn.Module):
        return Loss(loss, None, getattr(loss, "__name__", "loss"))
    raise UsageError(
        f"loss is {loss!r}; expected {', '.join(map(repr, _NAMED))}, one of torch's loss modules with an elementwise "
        f"or class target, or a function of the model's output"
    )


def check_module(module: nn.Module) -> None:
    """Raises UsageError for a module that is scripted, quantised, lazy, without parameters or on several devices."""
    reason = next(_reasons_against(list(module.named_modules())), None)
    if reason is not None:
        raise UsageError(f"{type(module).__name__} {reason}")


def _reasons_against(parts: list[tuple[str, nn.Module]]) -> Iterator[str]:
    """Why a module, given as its parts by name, cannot be inspected, and what to do."""
    if any(isinstance(part, torch.jit.ScriptModule) for _, part in parts):
        yield "is scripted (TorchScript), so its Python forward is gone; inspect the module before scripting"
    tensors = [(f"{name}.{own}".lstrip("."), tensor) for name, part in parts for own, tensor in _own(part)]
    lazy = [name for name, tensor in tensors if is_lazy(tensor)]
    if lazy:
        yield f"has lazy layers without sizes yet ({lazy[0]} and {len(lazy) - 1} more); run it on a batch first"
    quantised = next((name or "its root" for name, part in parts if _is_quantised(part)), None)
    if quantised is not None:
        yield f"is quantised (at {quantised}) and cannot train; inspect the float module instead"
    if not any(isinstance(tensor, nn.Parameter) for _, tensor in tensors):
        yield "has no parameters, so there is nothing to train or to size"
    devices = sorted({str(tensor.device) for _, tensor in tensors})
    if len(devices) > 1:
        yield f"lies on several devices ({', '.join(devices)}); move it to one, or inspect each part alone"


def _own(part: nn.Module) -> list[tuple[str, torch.Tensor]]:
    """The parameters and buffers of a part itself, by name."""
    own = [*part._parameters.items(), *part._buffers.items()]
    return [(name, tensor) for name, tensor in own if tensor is not None]


def _is_quantised(part: nn.Module) -> bool:
    in_package = ".quantized." in f"{type(part).__module__}."
    return in_package or any(tensor.is_quantized for _, tensor in _own(part))


def check_trainable(module: nn.Module) -> None:
    """Raises UsageError when every parameter is frozen."""
    if not any(parameter.requires_grad for parameter in module.parameters()):
        raise UsageError(
            f"every parameter of {type(module).__name__} is frozen (requires_grad=False): nothing would train"
        )


#: What to do about a module whose trace needs values. Fake tensors have none.
VALUES = (
    "the shapes or branches of {} depend on values of tensors, which a trace on shapes alone does not have; "
    "give a real example instead of shapes (sizer.inspect(module, batch)), validate_args=False where it is a check of "
    "torch.distributions, `sizer run --measure` on a script that trains it for its FLOPs and time"
)


def depends_on_values(error: BaseException | None) -> bool:
    """Whether an error, or one that it came from, says that a tensor's values were asked for."""
    while error is not None:
        if type(error).__name__ in _VALUE_ERRORS or ("meta tensors" in str(error) and "item" in str(error)):
            return True
        error = error.__cause__ or error.__context__
    return False


_VALUE_ERRORS = frozenset(
    {"DataDependentOutputException", "DynamicOutputShapeException", "GuardOnDataDependentSymNode"}
)


#: What layers expect of their input, as text for the layer and the number of its input's dimensions.
_EXPECTED: tuple[tuple[type[nn.Module], str], ...] = (
    (nn.Linear, "a last dimension of {0.in_features}"),
    (nn.modules.conv._ConvNd, "{0.in_channels} channels in dimension 1 of {1} dimensions"),
    (nn.Embedding, "whole numbers (int64)"),
    (nn.modules.batchnorm._NormBase, "{0.num_features} channels in dimension 1"),
    (nn.LayerNorm, "trailing dimensions {0.normalized_shape}"),
    (nn.RNNBase, "a last dimension of {0.input_size}"),
)


def expectation(module: nn.Module, name: str) -> str:
    """What a layer expects of its input, for the message about one that does not fit."""
    layer = dict(module.named_modules()).get(name)
    where = f"layer {name!r} ({type(layer).__name__})" if name else type(module).__name__
    expected = next((text for kind, text in _EXPECTED if isinstance(layer, kind)), None)
    if expected is None:
        return f"{where} refused its input"
    return f"{where} expected {expected.format(layer, len(getattr(layer, 'kernel_size', ())) + 2)}"


#: How torch words a product whose sides do not fit, of real tensors and of fake ones.
_PRODUCT = re.compile(r"\(\d+x(\d+) and \d+x\d+\)|got \[\d+, (\d+)\] X \[\d+, \d+\]")


def remedy(module: nn.Module, name: str, shapes: Sequence[tuple[int, ...]], reason: str) -> str | None:
    """What to change where a layer refused its input, None where that is not known.

    A dimension for the batch that is missing, channels that stand last, a Linear for another number of features.
    """
    first = next((part for part in module.modules() if part._parameters), None)
    if isinstance(first, nn.modules.conv._ConvNd) and shapes:
        given, wanted = shapes[0], len(first.kernel_size) + 2
        if len(given) == wanted - 1:
            return f"the dimension of the batch is missing; give {_listed((64, *given))}"
        if len(given) == wanted and given[1] != first.in_channels == given[-1]:
            return f"the channels stand last; give {_listed((given[0], given[-1], *given[1:-1]))}"
        if len(given) == wanted and given[1] != first.in_channels:
            right = _listed((given[0], first.in_channels, *given[2:]))
            return f"dimension 1 counts the channels; give {right}, or build the layer for {given[1]} channels"
    layer, sides = dict(module.named_modules()).get(name), _PRODUCT.search(reason)
    if isinstance(layer, nn.Linear) and sides is not None:
        got = sides[1] or sides[2]
        remedy = f"make it nn.Linear({got}, {layer.out_features}), or give another size of input"
        return f"it got {got} features; {remedy}"
    return None


def _listed(shape: Sequence[int]) -> str:
    return ",".join(map(str, shape))
