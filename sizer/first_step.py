"""What the hook does at the first step: inspect the module of a noted call; and the value of the steps it times."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from typing import TYPE_CHECKING

from sizer.devices import choose
from sizer.errors import UsageError
from sizer.models.reading import unwrap
from sizer.module_counts import StepSettings
from sizer.module_inspection import inspect_step, precision
from sizer.module_record import ModuleInspection

if TYPE_CHECKING:
    import torch
    from torch import nn

    from sizer.watching import NotedCall


def inspect_call(call: NotedCall, optimizer: torch.optim.Optimizer) -> ModuleInspection:
    """Inspect the module of a noted call on the device it is on. Raises SizerError where that cannot be done."""
    module = call.module()
    if module is None:
        raise UsageError("the model was freed before its first step ended")
    inner = unwrap(module)
    _check_alone(inner)
    settings = StepSettings(call.args, call.kwargs, None, call.autocast)
    device = next(inner.parameters()).device
    chosen = choose("cpu" if device.type == "cpu" else f"{device.type}:{device.index or 0}", precision(inner, settings))
    return inspect_step(module, settings, optimizer, None, chosen.device, chosen.coefficients)


def _check_alone(module: nn.Module) -> None:
    """A layer that talks to other processes would wait for them for ever: only this one inspects."""
    import torch

    alone = not (torch.distributed.is_available() and torch.distributed.is_initialized())
    if not alone and any(isinstance(part, torch.nn.SyncBatchNorm) for part in module.modules()):
        raise UsageError("the model has SyncBatchNorm layers, which cannot be inspected inside a distributed training")


def quiet_step_s(ends: Sequence[float]) -> float:
    """The 20th percentile of the times between the ends of successive steps, in s."""
    times = sorted(after - before for before, after in itertools.pairwise(ends))
    return times[len(times) // 5]
