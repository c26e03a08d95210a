"""The record of an inspected module: what a step of it computes, keeps and moves, layer by layer. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from sizer.base.records import Record, plain
from sizer.inspection.networks import Passes, Placed
from sizer.method.coefficients import Coefficients
from sizer.method.hardware import Device, device_to_dict

MODULE_FORMAT = "sizer.module/1"


@dataclass(frozen=True)
class LayerRecord:
    """One layer: the innermost module that did the work. ``name`` is empty for the module itself.

    ``saved_bytes`` are kept for the backward pass; ``transfer_bytes`` go into the layer and come out of it (t_l).
    """

    name: str
    kind: str
    parameters: int
    parameter_bytes: int
    saved_bytes: int
    transfer_bytes: int
    flops: Passes
    output_shape: tuple[int, ...] | None


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
    """A module on a device. Bytes and counts are for one step; not known is None."""

    device: Device
    coefficients: Coefficients
    module: str
    batch_size: int | None
    optimizer: str
    optimizer_implementation: str | None
    loss: str | None
    advice: tuple[Advice, ...]
    notes: tuple[str, ...]

    def to_dict(self) -> dict[str, Any]:
        """The record as the JSON data ``sizer.module/1``."""
        return {"format": MODULE_FORMAT, **plain(self), "device": device_to_dict(self.device)}

    def remarks(self) -> tuple[str, ...]:
        """The notes, and the device's warnings."""
        return (*self.notes, *self.device.warnings)

    def rows(self) -> list[dict[str, Any]]:
        """One row a layer."""
        rows = [plain(layer) for layer in self.layers]
        return [row | {f"flops_{name}": count for name, count in row.pop("flops").items()} for row in rows]
