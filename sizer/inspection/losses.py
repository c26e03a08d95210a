"""The loss that ends a traced step: its function, and the target that a training would hand it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import torch
import torch.nn.functional as F  # noqa: N812 (its name everywhere)
from torch import nn

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
