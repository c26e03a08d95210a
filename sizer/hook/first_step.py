"""How a module was called, noted without keeping a tensor; and which noted call an optimizer trains."""

from __future__ import annotations

import gc
import itertools
import weakref
from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple

import torch
from torch import nn
from torch.utils._pytree import tree_map

from sizer.base.errors import UsageError
from sizer.devices import chosen_for
from sizer.inspection.counts import StepSettings
from sizer.inspection.module import inspect_step, precision
from sizer.inspection.module_record import ModuleInspection
from sizer.models.reading import unwrap


class NotedCall(NamedTuple):
    """How a module was called: its arguments with meta tensors in place of the tensors, and the autocast type.

    ``version`` is torch's count of in-place changes of its first trained parameter: an optimizer's step raises it.
    """

    module: weakref.ReferenceType[nn.Module]
    version: int
    args: tuple[Any, ...]
    kwargs: dict[str, Any]
    autocast: torch.dtype | None

    @classmethod
    def of(cls, module: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]) -> NotedCall:
        """Note a call that is about to be made."""
        kept_args, kept_kwargs = tree_map(_described, (args, kwargs))
        device = next(module.parameters()).device.type
        autocast = torch.get_autocast_dtype(device) if torch.is_autocast_enabled(device) else None
        return cls(weakref.ref(module), trained_version(module), kept_args, kept_kwargs, autocast)


def _described(leaf: Any) -> Any:
    """A meta tensor in place of a tensor; everything else as it is."""
    if not isinstance(leaf, torch.Tensor):
        return leaf
    with torch.no_grad():
        made = torch.empty_strided(leaf.shape, leaf.stride(), dtype=leaf.dtype, device="meta")
    return made.requires_grad_(leaf.requires_grad)


def trained_version(module: nn.Module) -> int:
    """How often the first trained parameter of a module was changed in place."""
    return next(parameter._version for parameter in module.parameters() if parameter.requires_grad)


def optimizer_of(module: nn.Module) -> torch.optim.Optimizer | None:
    """An optimizer of a module's parameters, found among all objects."""
    own = {id(parameter) for parameter in module.parameters()}
    for candidate in gc.get_objects():
        if isinstance(candidate, torch.optim.Optimizer) and any(
            id(parameter) in own for group in candidate.param_groups for parameter in group["params"]
        ):
            return candidate
    return None


def trained_call(
    calls: Iterable[NotedCall], optimizer: torch.optim.Optimizer, wanted: nn.Module | None
) -> NotedCall | None:
    """The noted call of the module (the wanted one, if any) with the most parameters that the optimizer trains."""
    trained = {id(parameter) for group in optimizer.param_groups for parameter in group["params"]}
    best, best_share = None, 0
    for call in calls:
        module = call.module()
        if module is None or (wanted is not None and unwrap(module) is not unwrap(wanted)):
            continue
        share = sum(parameter.numel() for parameter in module.parameters() if id(parameter) in trained)
        if share > best_share:
            best, best_share = call, share
    return best


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
