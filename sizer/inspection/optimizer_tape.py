"""The operators of an optimizer's step, noted without a step taken for real."""

from __future__ import annotations

import copy
from collections import defaultdict
from collections.abc import Sequence
from typing import Any

import torch
from torch import nn
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.utils._python_dispatch import TorchDispatchMode

from sizer.operators.tape import OPTIMIZER, Tape

_NAMED = {
    "adam": (torch.optim.Adam, {}),
    "adamw": (torch.optim.AdamW, {}),
    "sgd": (torch.optim.SGD, {}),
    "sgd-momentum": (torch.optim.SGD, {"momentum": 0.9}),
}


def note_optimizer(tape: Tape, optimizer: Any, trainable: Sequence[nn.Parameter]) -> bool:
    """Note the calls of a step of an optimizer, or of a named one in its fused form; False where they are not known."""
    own = Tape()
    if not trainable:
        return True
    try:
        with FakeTensorMode(allow_non_fake_inputs=True), torch.no_grad():
            stand_in = _on_fake_tensors(optimizer, trainable)
            step = type(stand_in).step if isinstance(optimizer, str) else type(optimizer).step
            with _Noting(None):
                step(stand_in)  # makes the state
            with _Noting(own):
                step(stand_in)
    except Exception:  # any optimizer may refuse fake tensors in its own way: then its calls are not known
        return False
    tape.add(own)
    return bool(own.calls)


def _on_fake_tensors(optimizer: Any, trainable: Sequence[nn.Parameter]) -> Any:
    if isinstance(optimizer, str):
        kind, settings = _NAMED[optimizer]
        made: Any = kind([_fake_with_gradient(p) for p in trainable], lr=1e-3, fused=True, **settings)
        return made
    stand_in = copy.copy(optimizer)
    stand_in.param_groups = [
        {**group, "params": [_fake_with_gradient(p) for p in group["params"] if p.requires_grad]}
        for group in optimizer.param_groups
    ]
    stand_in.state = defaultdict(dict)
    return stand_in


def _fake_with_gradient(parameter: torch.Tensor) -> nn.Parameter:
    fake = nn.Parameter(torch.empty_strided(parameter.shape, parameter.stride(), dtype=parameter.dtype, device="cpu"))
    fake.grad = torch.empty_like(fake)
    return fake


class _Noting(TorchDispatchMode):  # type: ignore[no-untyped-call, unused-ignore]
    """Notes each call; a step counter, of which a fake tensor has no value, says 2."""

    def __init__(self, tape: Tape | None) -> None:
        super().__init__()  # type: ignore[no-untyped-call, unused-ignore]
        self.tape = tape

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        """Run an operation on fake tensors and note it."""
        kwargs = kwargs or {}
        if func is torch.ops.aten._local_scalar_dense.default:
            return 2.0
        output = func(*args, **kwargs)
        if self.tape is not None and isinstance(func, torch._ops.OpOverload):
            self.tape.note(func, (args, kwargs), output, "", OPTIMIZER)
        return output
