"""What a step of a module computes, saves and moves: in closed form for a fully connected network, else traced."""

from __future__ import annotations

import inspect
import warnings
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from functools import partial
from math import prod
from typing import TYPE_CHECKING, Any

import torch
from torch import nn
from torch._subclasses.fake_tensor import FakeTensor

from sizer.base.errors import UsageError
from sizer.base.units import counted
from sizer.inspection.checks import VALUES, Loss, depends_on_values, expectation, remedy
from sizer.inspection.module_record import Counted, LayerRecord
from sizer.inspection.networks import Passes
from sizer.inspection.operators import kept_random_states
from sizer.inspection.surroundings import kept_surroundings
from sizer.models.reading import ReadNetwork, read_network, read_sequential
from sizer.models.topology import Topology

if TYPE_CHECKING:
    from sizer.inspection.tracing import LayerTrace
    from sizer.operators.tape import Tape

#: Storages of a layer's output size that each activation leaves saved, in a plain and in a residual layer: some keep
#: their result, which the next Linear keeps too; some keep their input as well.
_SAVED_OUTPUTS = {"relu": (1, 2), "tanh": (1, 2), "sigmoid": (1, 2), "gelu": (2, 2), "identity": (1, 1)}


#: Objects around a network that is read in closed form, in at most about 5 ms: a trainer that it refers to has more.
_MOST_NEAR = 4_000


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

    def record(self) -> Counted:
        """What the record says of them."""
        largest = max(self.layers, key=lambda layer: layer.transfer_bytes)
        return Counted(
            widths=None if self.topology is None else self.topology.full,
            saved_activation_bytes=sum(layer.saved_bytes for layer in self.layers),
            largest_transfer_layer=largest.name,
            largest_transfer_bytes=largest.transfer_bytes,
            flops=Passes(*map(sum, zip(*(layer.flops for layer in self.layers), strict=True))),
            layers=self.layers,
        )


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


def count(module: nn.Module, settings: StepSettings, tape: Tape | None = None) -> Counts:
    """Count a step; the random states of Python, NumPy and torch are left as they were.

    The calls of one that is traced, and not counted in closed form, are noted on the ``tape``.

    Raises UsageError, which names the layer, when the module cannot take the input.
    """
    if settings.batch_size == 0:
        raise UsageError(f"{type(module).__name__} was given an empty batch; expected at least one observation")
    network = _read_if_dense(module, settings)
    why = NOT_DENSE if network is None else _why_not_closed(module, network, settings)
    if network is not None and why is None:
        return _closed_form(network, settings)
    with kept_random_states():
        return replace(_traced(module, settings, tape), not_closed=why)


def _read_if_dense(module: nn.Module, settings: StepSettings) -> ReadNetwork | None:
    """The fully connected network that a module is, or None."""
    if len(settings.args) != 1 or settings.kwargs or not isinstance(settings.args[0], torch.Tensor):
        return None
    example = settings.args[0]
    network = read_sequential(module, example)
    if network is not None:
        return network
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            with kept_random_states(), kept_surroundings(module, most_objects=_MOST_NEAR):
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
    """The inter-layer sets of `docs/method.md`, t_l = e B (w_in + w_out); 2 FLOPs a multiply-accumulate."""
    topology, given = Topology(network.shape, network.input_dim, network.widths), settings.args[0]
    element = given.element_size()
    moved = element if settings.autocast is None else settings.autocast.itemsize
    B = given.numel() // topology.input_dim
    saved = _saved_values(topology, _activation(network), B, settings)
    layers = [
        LayerRecord(
            name=weight.removesuffix("weight").removesuffix("."),
            kind="Linear",
            parameters=(w_in + 1) * w_out,
            parameter_bytes=element * (w_in + 1) * w_out,
            saved_bytes=moved * values,
            transfer_bytes=moved * B * (w_in + w_out),
            flops=Passes(2 * B * w_in * w_out, (4 if index else 2) * B * w_in * w_out),
            output_shape=(B, w_out),
        )
        for index, (w_in, w_out, weight, values) in enumerate(
            zip(topology.full, topology.widths, network.linears, saved, strict=False)
        )
    ]
    sizes = moved * B * topology.input_dim, moved * B * topology.output_dim
    return Counts(tuple(layers), *sizes, topology, tuple(dict.fromkeys(network.activations)))


def _saved_values(topology: Topology, activation: str, rows: int, settings: StepSettings) -> Iterator[int]:
    """How many values each layer's output leaves saved; under autocast the cast input and weights too.

    The first weight is not among them: the gradient of the input is not computed.
    """
    plain, residual = _SAVED_OUTPUTS[activation]
    for index, width in enumerate(topology.widths):
        adds = topology.shape == "rectangle_residual" and 0 < index < topology.depth - 1
        copies = int(settings.loss is not None) if index == topology.depth - 1 else residual if adds else plain
        cast = 0 if settings.autocast is None else topology.full[index] * (width if index else rows)
        yield copies * rows * width + cast


def note_calls(module: nn.Module, settings: StepSettings, tape: Tape) -> None:
    """Note the calls of a step on a tape, also of a network that is counted in closed form."""
    with kept_random_states():
        _traced(module, settings, tape)


def _traced(module: nn.Module, settings: StepSettings, tape: Tape | None) -> Counts:
    from sizer.inspection.tracing import TraceError, trace_step

    device = next(module.parameters()).device
    on = "cpu" if device.type == "meta" else str(device)
    step = partial(trace_step, module, settings.args, settings.kwargs, settings.loss, settings.autocast, on, tape=tape)
    notes = []
    try:
        try:
            trace = step()
        except TraceError as failure:
            if not depends_on_values(failure.error) or not _has_values(module, settings):
                raise
            if tape is not None:
                tape.clear()
            trace = step(with_values=True)
            notes.append("its shapes depend on values: a copy of it was run for real, once, on the example")
    except TraceError as failure:
        raise UsageError(_why_not(module, settings, failure.layer, failure.error)) from failure.error
    if trace.created:
        raise UsageError(
            f"{type(module).__name__} creates parameters when it is first called ({trace.created[0]} and "
            f"{len(trace.created) - 1} more); run it on a batch first"
        )
    parts = {name: part for name, part in module.named_modules() if part._parameters or name in trace.layers}
    layers = tuple(_layer_record(name, part, trace.layers[name]) for name, part in parts.items())
    notes += [_WORKSPACE] if trace.unknown_workspace else []
    notes += [] if trace.has_backward else [_NO_BACKWARD]
    shapes = {name: trace.layers[name].called_with for name in parts}
    return Counts(layers, trace.input_bytes, trace.output_bytes, notes=tuple(notes), called_with=shapes)


def _has_values(module: nn.Module, settings: StepSettings) -> bool:
    tensors = (*module.parameters(), *module.buffers(), *settings.tensors)
    return not any(tensor.is_meta or isinstance(tensor, FakeTensor) for tensor in tensors)


def _layer_record(name: str, part: nn.Module, traced: LayerTrace) -> LayerRecord:
    own = [tensor for tensor in part._parameters.values() if tensor is not None]
    return LayerRecord(
        name=name,
        kind=type(part).__name__,
        parameters=sum(tensor.numel() for tensor in own),
        parameter_bytes=sum(tensor.nbytes for tensor in own),
        saved_bytes=traced.saved_bytes,
        transfer_bytes=traced.transfer_bytes,
        flops=Passes(traced.flops_forward, traced.flops_backward),
        output_shape=max(traced.output_shapes, key=prod, default=None),
    )


_NO_BACKWARD = (
    "no tensor that requires a gradient was found in its output, so that the step has no backward pass here; return "
    "tensors, or give loss=, a function of the output"
)
_WORKSPACE = "oneDNN's recurrent layers also save a workspace whose size only that library knows; it is not counted"


def _why_not(module: nn.Module, settings: StepSettings, layer: str, error: Exception) -> str:
    shapes = ", ".join(str(tuple(tensor.shape)) for tensor in settings.tensors) or "no tensor"
    reason = " ".join(str(error).split())
    try:
        inspect.signature(module.forward).bind(*settings.args, **settings.kwargs)
    except TypeError as mismatch:
        arguments = counted(len(settings.args), "input") if settings.args else ", ".join(settings.kwargs) or "no input"
        expected = inspect.signature(module.forward)
        return f"{type(module).__name__} takes {expected} and was given {arguments}: {mismatch}"
    if depends_on_values(error):
        return VALUES.format(type(module).__name__)
    fix = remedy(module, layer, [tuple(tensor.shape) for tensor in settings.tensors], reason)
    return f"{expectation(module, layer)}; the module was given {shapes}: {fix or reason[:200]}"
