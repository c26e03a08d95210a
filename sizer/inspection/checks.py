"""What cannot be inspected, each with one line that says why and what to do."""

from __future__ import annotations

import torch
from torch import nn
from torch.nn.parameter import is_lazy

from sizer.base.errors import UsageError


def check_module(module: nn.Module) -> None:
    """Raises UsageError for a module that is scripted, quantised, lazy, without parameters or on several devices."""
    kind, parts = type(module).__name__, list(module.named_modules())
    if any(isinstance(part, torch.jit.ScriptModule) for _, part in parts):
        raise UsageError(
            f"{kind} is scripted (TorchScript), so its Python forward is gone; inspect the module before scripting"
        )
    tensors = [(f"{name}.{own}".lstrip("."), tensor) for name, part in parts for own, tensor in _own(part)]
    lazy = [name for name, tensor in tensors if is_lazy(tensor)]
    if lazy:
        raise UsageError(
            f"{kind} has lazy layers without sizes yet ({lazy[0]} and {len(lazy) - 1} more); run it on a batch first"
        )
    quantised = next((name for name, part in parts if _is_quantised(part)), None)
    if quantised is not None:
        raise UsageError(
            f"{kind} is quantised (at {quantised or 'its root'}) and cannot train; inspect the float module instead"
        )
    if not any(isinstance(tensor, nn.Parameter) for _, tensor in tensors):
        raise UsageError(f"{kind} has no parameters, so there is nothing to train or to size")
    devices = {tensor.device for _, tensor in tensors}
    if len(devices) > 1:
        raise UsageError(
            f"{kind} lies on several devices ({', '.join(sorted(map(str, devices)))}); "
            f"move it to one, or inspect each part alone"
        )


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
    "validate_args=False where it is a check of torch.distributions, `sizer run --measure` on a script that trains it "
    "for its FLOPs and time"
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


def expectation(module: nn.Module, name: str) -> str:
    """What a layer expects of its input, for the message about one that does not fit."""
    layer = dict(module.named_modules()).get(name)
    where = f"layer {name!r} ({type(layer).__name__})" if name else type(module).__name__
    if isinstance(layer, nn.Linear):
        return f"{where} expected a last dimension of {layer.in_features}"
    if isinstance(layer, nn.modules.conv._ConvNd):
        dimensions = len(layer.kernel_size) + 2
        return f"{where} expected {layer.in_channels} channels in dimension 1 of {dimensions} dimensions"
    if isinstance(layer, nn.Embedding):
        return f"{where} expected whole numbers (int64)"
    if isinstance(layer, nn.modules.batchnorm._NormBase):
        return f"{where} expected {layer.num_features} channels in dimension 1"
    if isinstance(layer, nn.LayerNorm):
        return f"{where} expected trailing dimensions {tuple(layer.normalized_shape)}"
    if isinstance(layer, nn.RNNBase):
        return f"{where} expected a last dimension of {layer.input_size}"
    return f"{where} refused its input"
