"""What the hook does at the first step: inspect the module of a noted call; and the value of the steps it times."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from typing import TYPE_CHECKING

import torch
from torch import nn

from sizer.errors import UsageError
from sizer.models.reading import unwrap
from sizer.modules.chosen import chosen_for
from sizer.modules.counts import StepSettings
from sizer.modules.inspection import inspect_step, precision
from sizer.modules.record import ModuleInspection

if TYPE_CHECKING:
    from sizer.hook.noted_calls import NotedCall


def inspect_call(call: NotedCall, optimizer: torch.optim.Optimizer) -> ModuleInspection:
    """Inspect the module of a noted call on the device it is on. Raises SizerError where that cannot be done."""
    module = call.module()
    if module is None:
        raise UsageError("the model was freed before its first step ended")
    inner = unwrap(module)
    _check_alone(inner)
    settings = StepSettings(call.args, call.kwargs, None, call.autocast)
    chosen = chosen_for(_device_name(inner), precision(inner, settings))
    return inspect_step(module, settings, optimizer, None, chosen.device, chosen.coefficients)


def prepare(module: nn.Module | None) -> None:
    """Do ahead of the training what a first step would wait for: imports, the reads, and torch's first calls.

    Without a module the reads are those of a float32 one on each kind of device in use.
    """
    import sizer.hook.noted_calls
    import sizer.report.hook  # noqa: F401 (both are used inside the step)

    names = ["cpu"] if module is None else [_device_name(unwrap(module))]
    if module is None and torch.cuda.is_initialized():  # type: ignore[no-untyped-call, unused-ignore]
        names.append("cuda:0")
    for name in names:
        chosen = chosen_for(name, "float32")
    example = nn.Sequential(nn.Linear(2, 2, device="meta"), nn.ReLU(), nn.Linear(2, 2, device="meta"))
    settings = StepSettings((torch.empty(2, 2, device="meta"),), {})
    inspect_step(example, settings, "adam", None, chosen.device, chosen.coefficients)


def _device_name(module: nn.Module) -> str:
    device = next(module.parameters()).device
    return f"cuda:{device.index or 0}" if device.type == "cuda" else device.type


def _check_alone(module: nn.Module) -> None:
    """A layer that talks to other processes would wait for them for ever: only this one inspects."""
    alone = not (torch.distributed.is_available() and torch.distributed.is_initialized())
    if not alone and any(isinstance(part, nn.SyncBatchNorm) for part in module.modules()):
        raise UsageError("the model has SyncBatchNorm layers, which cannot be inspected inside a distributed training")


def quiet_step_s(ends: Sequence[float]) -> float:
    """The 20th percentile of the times between the ends of successive steps, in s."""
    times = sorted(after - before for before, after in itertools.pairwise(ends))
    return times[len(times) // 5]
