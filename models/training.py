"""What a recommended network trains with: its optimizer, in PyTorch's fused form, and averages of its weights."""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch.optim.swa_utils import AveragedModel

#: The momentum of ``sgd-momentum``, as it is timed too.
MOMENTUM = 0.9
#: Weights are averaged over so many epochs, as in the recorded learning curves (docs/method.md).
AVERAGED_EPOCHS = 2
#: Steps between two updates of averages, fewer where an epoch has fewer than four times as many: an update takes 72 us,
#: which beside each step of 48x3-2 at batch 256 would be 25 % of it, and so is 3 % (one thread, AMD EPYC, Zen 4).
UPDATE_EVERY = 8

_FORMS: dict[str, tuple[Callable[..., torch.optim.Optimizer], dict[str, Any]]] = {
    "adam": (torch.optim.Adam, {}),
    "adamw": (torch.optim.AdamW, {}),
    "sgd": (torch.optim.SGD, {}),
    "sgd-momentum": (torch.optim.SGD, {"momentum": MOMENTUM}),
}


def fused_optimizer(name: str, model: torch.nn.Module, learning_rate: float | None) -> torch.optim.Optimizer:
    """The optimizer of a name for a model's parameters; at PyTorch's own rate where none is given."""
    form, options = _FORMS[name]
    rate: dict[str, Any] = {} if learning_rate is None else {"lr": learning_rate}
    return form(model.parameters(), **options, **rate, fused=True)


class RunningAverage(AveragedModel):
    """A copy of a model whose weights are averages of the model's over about two epochs.

    Exponential averages over a window that grows with the steps so far, half as many, up to two epochs: late enough to
    forget the start, long enough to level out what single batches do. Call `update_parameters` after each step.
    """

    def __init__(self, model: torch.nn.Module, steps_per_epoch: int) -> None:
        self._every = max(1, min(UPDATE_EVERY, steps_per_epoch // 4))
        window = AVERAGED_EPOCHS * steps_per_epoch / self._every
        super().__init__(model, multi_avg_fn=functools.partial(_move, window=window))
        self._steps = 0

    def update_parameters(self, model: torch.nn.Module) -> None:
        """Take in the model's weights after one more step."""
        if self._steps % self._every == 0:
            super().update_parameters(model)
        self._steps += 1


def _move(
    averages: Sequence[torch.Tensor], weights: Sequence[torch.Tensor], updates: torch.Tensor, window: float
) -> None:
    share = torch.clamp(1 / (updates / 2 + 1), min=1 / window)  # a tensor, so that no GPU is waited for
    for average, weight in zip(averages, weights, strict=True):
        average.lerp_(weight, share.to(average.dtype))
