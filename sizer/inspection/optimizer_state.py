"""How many bytes an optimizer keeps beside parameters and gradients, without a step taken for real."""

from __future__ import annotations

import copy
from collections import defaultdict
from collections.abc import Sequence
from typing import Any

import torch
from torch import nn
from torch.utils._pytree import tree_leaves

from sizer.method.training_step import OPTIMIZER_MOMENTS

#: What the cost model knows of torch's optimizers.
_ADAMS = {torch.optim.Adam: "adam", torch.optim.AdamW: "adamw"}


def known_name(optimizer: Any) -> str | None:
    """The name in `OPTIMIZER_MOMENTS` of an optimizer, or None for one that the cost model does not cover."""
    if isinstance(optimizer, str):
        return optimizer if optimizer in OPTIMIZER_MOMENTS else None
    groups = optimizer.param_groups
    if type(optimizer) in _ADAMS:
        return None if any(group.get("amsgrad") for group in groups) else _ADAMS[type(optimizer)]
    if type(optimizer) is torch.optim.SGD:
        momenta = {bool(group.get("momentum")) for group in groups}
        return None if len(momenta) > 1 else "sgd-momentum" if momenta == {True} else "sgd"
    return None


def implementation(optimizer: Any) -> str | None:
    """``fused``, ``foreach`` or ``single-tensor`` for one of torch's optimizers, None where it does not say."""
    if isinstance(optimizer, str):
        return "fused"
    group = optimizer.param_groups[0]
    if "foreach" not in group:
        return None
    if group.get("fused"):
        return "fused"
    foreach = group["foreach"] or (group["foreach"] is None and all(p.is_cuda for p in group["params"]))
    return "foreach" if foreach else "single-tensor"


def state_bytes(optimizer: Any, trainable: Sequence[nn.Parameter]) -> int | None:
    """Bytes of the optimizer's state, its scalars (step counters of 4 bytes a tensor) left out; None when not known.

    Closed form for Adam, AdamW and SGD; otherwise what the optimizer holds, or what it would hold after a step on fake
    tensors.
    """
    name = known_name(optimizer)
    if name is None:
        state = optimizer.state or _state_after_a_step(optimizer)
        values = None if state is None else tree_leaves(list(state.values()))
        return (
            None
            if values is None
            else sum(value.nbytes for value in values if isinstance(value, torch.Tensor) and value.dim() > 0)
        )
    groups = [{"params": trainable}] if isinstance(optimizer, str) else optimizer.param_groups
    return OPTIMIZER_MOMENTS[name] * sum(p.nbytes for group in groups for p in group["params"] if p.requires_grad)


def _state_after_a_step(optimizer: torch.optim.Optimizer) -> Any:
    from torch._subclasses.fake_tensor import FakeTensorMode

    stand_in = copy.copy(optimizer)
    try:
        with FakeTensorMode():
            stand_in.param_groups = [
                {**group, "params": [_fake_with_gradient(p) for p in group["params"] if p.requires_grad]}
                for group in optimizer.param_groups
            ]
            stand_in.state = defaultdict(dict)
            type(optimizer).step(stand_in)
    except Exception:  # any optimizer may refuse fake tensors in its own way: then its state is not known
        return None
    return stand_in.state


def _fake_with_gradient(parameter: torch.Tensor) -> nn.Parameter:
    fake = nn.Parameter(torch.empty(parameter.shape, dtype=parameter.dtype))
    fake.grad = torch.empty(parameter.shape, dtype=parameter.dtype)
    return fake
