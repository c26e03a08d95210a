"""How a module was called, noted without keeping a tensor; and which noted call an optimizer trains."""

from __future__ import annotations

import gc
import weakref
from collections.abc import Iterable
from typing import Any, NamedTuple

import torch
from torch import nn
from torch.utils._pytree import tree_map

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
