"""The record of an inspected module: what a step of it computes, keeps and moves, layer by layer. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, NamedTuple

from sizer.base.records import Record, plain
from sizer.base.units import counted
from sizer.inspection.networks import Passes, Placed
from sizer.method.coefficients import Coefficients
from sizer.method.hardware import Device, device_to_dict

MODULE_FORMAT = "sizer.module/1"


@dataclass(frozen=True)
class LayerRecord:
    """One layer: the innermost module that did the work. ``name`` is empty for the module itself.

    ``saved_bytes`` are kept for the backward pass; ``transfer_bytes`` go into the layer and come out of it (t_l). Times
    are what its operators are predicted to take in a step, in s, with their part of what lies between operators; None
    where a step was not priced by its operators. Levels are where its parameters and what it saved are found in its
    backward pass, where the optimizer finds its state, and which level holds its inter-layer set (`layer_levels`).
    """

    name: str
    kind: str
    parameters: int
    parameter_bytes: int
    saved_bytes: int
    transfer_bytes: int
    flops: Passes
    output_shape: tuple[int, ...] | None
    time_forward_s: float | None = None
    time_backward_s: float | None = None
    time_optimizer_s: float | None = None
    parameter_level: str | None = None
    saved_level: str | None = None
    optimizer_level: str | None = None
    transfer_level: str | None = None

    @property
    def time_s(self) -> float | None:
        """Its part of a step's time in s."""
        times = self.time_forward_s, self.time_backward_s, self.time_optimizer_s
        known = [seconds for seconds in times if seconds is not None]
        return sum(known) if known else None


class KindTime(NamedTuple):
    """Operators of one kind in a step: their time in s, and their share of that of all operators."""

    kind: str
    time_s: float
    share: float


@dataclass(frozen=True)
class OperatorsRecord:
    """What a step's time was added up from: its calls of operators.

    ``source`` is ``timed`` (on this machine) or ``datasheet``. Shares are of the operators' time: ``measured`` calls
    were timed as they are, ``interpolated`` ones are told by others of their kind, ``unknown`` ones are guesses.
    ``passes_s`` is forward and backward pass, ``optimizer_s`` the optimizer's step, ``between_s`` what of both lies
    between operators; ``unknown`` names the operators of which nothing is known, ``timed_calls`` counts the library.
    """

    source: str
    measured_share: float
    interpolated_share: float
    unknown_share: float
    calls: int
    passes_s: float
    optimizer_s: float
    between_s: float
    kinds: tuple[KindTime, ...]
    unknown: tuple[str, ...]
    timed_calls: int


@dataclass(frozen=True)
class Advice:
    """A change worth making, or a fact worth knowing.

    ``change`` says what (``hidden 512 -> 500``), ``reason`` why. ``effect`` is the predicted relative change of the
    cost of a step (of a datum where the batch changes), -0.09 for 9 % less, and ``interval`` its 90 % interval; None
    where the module is outside what was calibrated. ``widths`` are the rewritten widths of a fully connected network.
    """

    kind: str
    change: str
    reason: str
    layer: str | None = None
    effect: float | None = None
    interval: tuple[float, float] | None = None
    widths: tuple[int, ...] | None = None
    batch_size: int | None = None


@dataclass(frozen=True)
class PartRecord:
    """A module that a step calls: how often, on what batch, and what it has to train.

    ``trained_parameters`` are those of the step's optimizer; ``batch_size`` is None where it is not known, and
    ``first_dimension`` that of its first input.
    """

    name: str
    kind: str
    widths: tuple[int, ...] | None
    num_parameters: int
    trained_parameters: int
    calls: int
    batch_size: int | None
    first_dimension: int | None


@dataclass(frozen=True)
class StepRecord:
    """What lies between two steps of an optimizer, as it was seen in a training.

    ``optimizer_parameters`` are those it trains, ``covered_parameters`` those of them in the parts. ``flops_counted``
    says whether the record's FLOPs were counted in the step (as FlopCounterMode does) or are those of the traced calls;
    of them ``own_flops`` end in this optimizer's step, the rest in a step of ``others``.
    """

    parts: tuple[PartRecord, ...]
    calls: int
    backward_passes: int
    optimizer_parameters: int
    covered_parameters: int
    flops_counted: bool
    own_flops: int
    others: tuple[str, ...]


@dataclass(frozen=True)
class MeasuredRecord:
    """Steps that were timed: the time between two steps of the optimizer, its 20th percentile, and where it goes.

    ``computing_s`` is that of forward, backward and optimizer, which a prediction is of. ``shares`` of the whole time,
    by part: waiting, forward, backward, optimizer, others, rest. ``clock`` is whose time it is: the ``host``'s or the
    ``device``'s, which on a GPU is what steps take while the host is ahead of it.
    """

    steps: int
    time_per_step_s: float
    computing_s: float
    shares: Mapping[str, float]
    clock: str = "host"


@dataclass(frozen=True)
class Memory:
    """What a training keeps whatever the batch; ``dtype`` is the name in `DTYPES` of what a step computes in."""

    dtype: str
    num_parameters: int
    num_trainable_parameters: int
    parameter_bytes: int
    gradient_bytes: int
    buffer_bytes: int
    optimizer_state_bytes: int | None


@dataclass(frozen=True)
class Counted:
    """What a step computes, saves and moves. ``widths`` (the input's first) are a fully connected network's."""

    widths: tuple[int, ...] | None
    saved_activation_bytes: int
    largest_transfer_layer: str | None
    largest_transfer_bytes: int
    flops: Passes
    layers: tuple[LayerRecord, ...]


@dataclass(frozen=True)
class Prediction:
    """What a step is predicted to cost, ``label`` what the prediction is; ``outside`` why there is none.

    ``operations``, the paper's count, are known for a fully connected network.
    """

    operations: Passes | None
    time_per_step_s: float | None
    energy_per_step_j: float | None
    interval: tuple[float, float] | None
    label: str
    outside: str | None


@dataclass(frozen=True)
class ModuleInspection(Placed, Prediction, Counted, Memory, Record):
    """A module on a device. Bytes and counts are for one step; not known is None.

    ``step``, ``measured`` and ``other_optimizers`` (a record for each) are set by the hook, which saw a training.
    ``first_dimension`` is that of the first input, where ``batch_size`` is None because it may be no batch.
    ``operators`` is what the time was added up from, where the module was priced by its operators.
    """

    device: Device
    coefficients: Coefficients
    module: str
    batch_size: int | None
    optimizer: str
    optimizer_implementation: str | None
    loss: str | None
    advice: tuple[Advice, ...]
    notes: tuple[str, ...]
    first_dimension: int | None = None
    step: StepRecord | None = None
    measured: MeasuredRecord | None = None
    other_optimizers: tuple[ModuleInspection, ...] = ()
    operators: OperatorsRecord | None = None

    main = "layers"

    def in_short(self) -> str:
        """The module, its size, its batch and device."""
        return (
            f"{self.module}, {counted(self.num_parameters, 'parameter')}, batch {self.batch_size} on {self.device.id}"
        )

    def to_dict(self) -> dict[str, Any]:
        """The record as the JSON data ``sizer.module/1``."""
        others = [other.to_dict() for other in self.other_optimizers]
        own = {**plain(replace(self, other_optimizers=())), "other_optimizers": others}
        return {"format": MODULE_FORMAT, **own, "device": device_to_dict(self.device)}

    def remarks(self) -> tuple[str, ...]:
        """The notes, and the device's warnings."""
        return (*self.notes, *self.device.warnings)

    def rows(self) -> list[dict[str, Any]]:
        """One row a layer."""
        rows = [plain(layer) for layer in self.layers]
        return [row | {f"flops_{name}": count for name, count in row.pop("flops").items()} for row in rows]
