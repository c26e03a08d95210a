"""What a step of a module computes, saves and moves: in closed form for a fully connected network, else traced."""

from __future__ import annotations

import inspect
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from math import prod
from typing import TYPE_CHECKING, Any

import torch
from torch import nn

from sizer.base.errors import UsageError
from sizer.inspection.checks import VALUES, depends_on_values, expectation
from sizer.inspection.losses import Loss
from sizer.inspection.networks import Passes
from sizer.inspection.operators import kept_random_states
from sizer.models.reading import ReadNetwork, read_network, read_sequential
from sizer.models.topology import Topology

if TYPE_CHECKING:
    from sizer.inspection.tracing import LayerTrace
from sizer.inspection.module_record import LayerRecord

#: Storages of a layer's output size that each activation leaves saved, in a plain and in a residual layer: some keep
#: their result, which the next Linear keeps too; some keep their input as well.
_SAVED_OUTPUTS = {"relu": (1, 2), "tanh": (1, 2), "sigmoid": (1, 2), "gelu": (2, 2), "identity": (1, 1)}


@dataclass(frozen=True)
class Counts:
    """Counts of one step. ``topology`` is set where they are closed forms of a fully connected network."""

    layers: tuple[LayerRecord, ...]
    input_bytes: int
    output_bytes: int
    topology: Topology | None = None
    activations: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()
    not_closed: str | None = None  # why it is not counted in closed form
    called_with: Mapping[str, tuple[int, ...] | None] = field(default_factory=dict)  # layer -> shape of its input


@dataclass(frozen=True)
class StepSettings:
    """How the module is called: arguments, loss, the autocast type (None outside autocast)."""

    args: tuple[Any, ...]
    kwargs: dict[str, Any]
    loss: Loss | None = None
    autocast: torch.dtype | None = None

    @property
    def batch_size(self) -> int | None:
        """First dimension of the first tensor that goes in."""
        tensors = self.tensors
        return tensors[0].shape[0] if tensors and tensors[0].dim() else None

    @property
    def tensors(self) -> list[torch.Tensor]:
        """The tensors that go in."""
        from torch.utils._pytree import tree_leaves

        return [leaf for leaf in tree_leaves((self.args, self.kwargs)) if isinstance(leaf, torch.Tensor)]


def count(module: nn.Module, settings: StepSettings) -> Counts:
    """Count a step; the random states of Python, NumPy and torch are left as they were.

    Raises UsageError, which names the layer, when the module cannot take the input.
    """
    if settings.batch_size == 0:
        raise UsageError(f"{type(module).__name__} was given an empty batch; expected at least one observation")
    example = _only_input(settings)
    network = None if example is None else read_sequential(module, example)
    if network is None:
        with kept_random_states():
            network = read_if_dense(module, settings)
    why = NOT_DENSE if network is None else _why_not_closed(module, network, settings)
    if network is not None and why is None:
        return _closed_form(network, settings)
    with kept_random_states():
        return replace(_traced(module, settings), not_closed=why)


def _only_input(settings: StepSettings) -> torch.Tensor | None:
    """The tensor that a module is called with, if that is all."""
    only = len(settings.args) == 1 and not settings.kwargs and isinstance(settings.args[0], torch.Tensor)
    return settings.args[0] if only else None


def read_if_dense(module: nn.Module, settings: StepSettings) -> ReadNetwork | None:
    """The fully connected network that a module is, or None."""
    example = _only_input(settings)
    if example is None:
        return None
    try:
        return read_network(module, torch.empty(example.shape, dtype=example.dtype, device="meta"))
    except Exception:  # whatever keeps it from being read, the trace says it better
        return None


#: Why there is no closed form where there is none.
NOT_DENSE = "the module is not a plain fully connected network (biased Linear layers, all trained)"


def _why_not_closed(module: nn.Module, network: ReadNetwork, settings: StepSettings) -> str | None:
    """Why the closed forms do not hold; None where they do.

    They are of nothing but biased Linear layers, all trained, with one known activation between.
    """
    parameters = list(module.parameters())
    if not all(parameter.requires_grad for parameter in parameters):
        return "some of the parameters are frozen"
    if settings.args[0].requires_grad:
        return "the input requires a gradient, so that the step computes one more product"
    if settings.loss is not None and settings.loss.name != "mse":
        return f"the loss is {settings.loss.name}, not the mean squared error"
    return None if _is_closed(parameters, network, settings) else NOT_DENSE


def _is_closed(parameters: list[nn.Parameter], network: ReadNetwork, settings: StepSettings) -> bool:
    """Whether a network that was read is of the kind that the closed forms are of."""
    hidden = len(network.widths) - 1
    known = _activation(network) in _SAVED_OUTPUTS and len(network.activations) in (0, hidden)
    return (
        known
        and not network.final_activation
        and network.has_biases
        and network.normalization is None
        and network.dropout == 0
        and len(parameters) == 2 * len(network.widths)
        and {parameter.dtype for parameter in parameters} == {settings.args[0].dtype}
        and (settings.loss is None or settings.autocast is None)
        and (settings.autocast is None or _activation(network) in ("relu", "identity"))
    )


def _activation(network: ReadNetwork) -> str:
    kinds = set(network.activations) or {"identity"}
    return kinds.pop() if len(kinds) == 1 else "several"


def _closed_form(network: ReadNetwork, settings: StepSettings) -> Counts:
    """DESIGN section 2: t_l = e B (w_in + w_out); 2 FLOPs a multiply-accumulate of the matrix products."""
    topology, given = _topology(network), settings.args[0]
    element = given.element_size()
    moved = element if settings.autocast is None else settings.autocast.itemsize
    B = given.numel() // topology.input_dim
    pairs = list(zip(topology.full[:-1], topology.widths, strict=True))
    saved = _saved_bytes(network, B, moved, cast=settings.autocast is not None, loss=settings.loss is not None)
    layers = [
        LayerRecord(
            name=weight.removesuffix("weight").removesuffix("."),
            kind="Linear",
            parameters=(w_in + 1) * w_out,
            parameter_bytes=element * (w_in + 1) * w_out,
            saved_bytes=saved[index],
            transfer_bytes=moved * B * (w_in + w_out),
            flops=Passes(2 * B * w_in * w_out, (4 if index else 2) * B * w_in * w_out),
            output_shape=(B, w_out),
        )
        for index, ((w_in, w_out), weight) in enumerate(zip(pairs, network.linears, strict=True))
    ]
    sizes = moved * B * topology.input_dim, moved * B * topology.output_dim
    return Counts(tuple(layers), *sizes, topology, tuple(dict.fromkeys(network.activations)))


def _topology(network: ReadNetwork) -> Topology:
    return Topology(network.shape, network.input_dim, network.widths)


def _saved_bytes(network: ReadNetwork, rows: int, element: int, cast: bool, loss: bool) -> list[int]:
    """What each layer's output leaves saved, in bytes; under autocast the cast input and weights too.

    The first weight is not among them: the gradient of the input is not computed.
    """
    topology = _topology(network)
    plain, residual = _SAVED_OUTPUTS[_activation(network)]
    saved = []
    for index, width in enumerate(topology.widths):
        adds = topology.shape == "rectangle_residual" and 0 < index < topology.depth - 1
        copies = int(loss) if index == topology.depth - 1 else residual if adds else plain
        size = copies * rows * width
        if cast:
            size += rows * topology.input_dim if index == 0 else topology.full[index] * width
        saved.append(element * size)
    return saved


def _traced(module: nn.Module, settings: StepSettings) -> Counts:
    from sizer.inspection.tracing import TraceError, trace_step

    device = next(module.parameters()).device
    on = "cpu" if device.type == "meta" else str(device)
    try:
        trace = trace_step(module, settings.args, settings.kwargs, settings.loss, settings.autocast, on)
    except TraceError as failure:
        raise UsageError(_why_not(module, settings, failure.layer, failure.error)) from failure.error
    parts = {name: part for name, part in module.named_modules() if part._parameters or name in trace.layers}
    layers = tuple(_layer_record(name, part, trace.layers[name]) for name, part in parts.items())
    notes = (_WORKSPACE,) if trace.unknown_workspace else ()
    shapes = {name: trace.layers[name].called_with for name in parts}
    return Counts(layers, trace.input_bytes, trace.output_bytes, notes=notes, called_with=shapes)


def _layer_record(name: str, part: nn.Module, traced: LayerTrace) -> LayerRecord:
    own = [tensor for tensor in part._parameters.values() if tensor is not None]
    return LayerRecord(
        name=name,
        kind=type(part).__name__,
        parameters=sum(tensor.numel() for tensor in own),
        parameter_bytes=sum(tensor.numel() * tensor.element_size() for tensor in own),
        saved_bytes=traced.saved_bytes,
        transfer_bytes=traced.transfer_bytes,
        flops=Passes(traced.flops_forward, traced.flops_backward),
        output_shape=max(traced.output_shapes, key=prod, default=None),
    )


_WORKSPACE = "oneDNN's recurrent layers also save a workspace whose size only that library knows; it is not counted"


def _why_not(module: nn.Module, settings: StepSettings, layer: str, error: Exception) -> str:
    shapes = ", ".join(str(tuple(tensor.shape)) for tensor in settings.tensors) or "no tensor"
    reason = " ".join(str(error).split())
    try:
        inspect.signature(module.forward).bind(*settings.args, **settings.kwargs)
    except TypeError as mismatch:
        arguments = f"{len(settings.args)} inputs" if settings.args else ", ".join(settings.kwargs) or "no input"
        expected = inspect.signature(module.forward)
        return f"{type(module).__name__} takes {expected} and was given {arguments}: {mismatch}"
    if depends_on_values(error):
        return VALUES.format(type(module).__name__)
    return f"{expectation(module, layer)}; the module was given {shapes}: {reason[:200]}"
