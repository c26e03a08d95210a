"""A moving average of a network's weights, kept beside them while they train.

The average is exponential, over a window that grows with the steps so far up to two epochs: late enough to forget the
start, long enough to level out what single batches do. It reaches a loss sooner than the weights themselves at learning
rates that keep these wandering (Ajroldi et al. 2025, arXiv 2502.06761, on when it pays; docs/search.md, figures here).
"""

from __future__ import annotations

import copy
from collections.abc import Mapping
from typing import Any

import torch
from torch import nn

#: The window, in epochs, and as a share of the steps so far while that is less.
WINDOW_EPOCHS = 2.0
WINDOW_SHARE = 0.5
#: Steps between two updates, fewer where an epoch has fewer. An update takes some 20 us, up to a tenth of a small
#: network's step: so seldom, averaging is 0.4 to 2.1 % of a step (4,096 to 262,144 parameters, batches of 32 to 256).
_EVERY = 4

RAW, AVERAGED = "raw", "averaged"


class AveragedWeights:
    """The average of a network's weights; ``module`` computes with it. Call `step` after each step of training."""

    def __init__(self, model: nn.Module, steps_per_epoch: int) -> None:
        self.module = copy.deepcopy(model).requires_grad_(False).eval()
        self._weights: list[torch.Tensor] = [*model.parameters()]
        self._averages: list[torch.Tensor] = [*self.module.parameters()]
        self._window = WINDOW_EPOCHS * steps_per_epoch
        self._every = min(_EVERY, steps_per_epoch)
        self.steps = 0

    @torch.no_grad()
    def step(self) -> None:
        """Take in the weights after one more step."""
        self.steps += 1
        if self.steps % self._every == 0:
            window = min(self._window, WINDOW_SHARE * self.steps)
            torch._foreach_lerp_(self._averages, self._weights, min(1.0, self._every / window))

    def state(self) -> dict[str, Any]:
        """What `restore` takes."""
        return {"steps": self.steps, "weights": self.module.state_dict()}

    def restore(self, state: Mapping[str, Any] | None) -> None:
        """Go back to where `state` was called; None, of a checkpoint without an average, starts one from here."""
        if state is None:
            self.begin_with(dict(zip((name for name, _ in self.module.named_parameters()), self._weights, strict=True)))
            return
        self.module.load_state_dict(state["weights"])
        self.steps = int(state["steps"])

    def begin_with(self, weights: Mapping[str, torch.Tensor]) -> None:
        """Start anew from given weights."""
        self.module.load_state_dict({name: value.detach() for name, value in weights.items()})
        self.steps = 0


def weights_of(state: Mapping[str, Any], which: str) -> dict[str, torch.Tensor]:
    """The raw or the averaged weights of a trial's checkpoint."""
    found: dict[str, torch.Tensor] = state["model"] if which == RAW else state["averaged"]["weights"]
    return found
