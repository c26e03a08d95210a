"""The form of the optimizer's step: one kernel over all parameters, lists of tensors, or one tensor after another."""

from __future__ import annotations

import functools
from collections.abc import Iterator, Mapping
from typing import Any

from sizer.tuning.levers.protocol import ROUNDING, Changed, Keep, Lever, Seen, SeenOptimizer

#: Optimizers with a fused form, on the CPU too (torch's documentation), and those with one for lists of tensors.
FUSED = ("Adam", "AdamW", "SGD", "Adagrad")
FOREACH = (*FUSED, "NAdam", "RAdam", "RMSprop", "Adamax", "Adadelta", "ASGD", "Rprop")

#: Part of the optimizer's time that its fused form saves: nearly all of 56 % in benchmarks/tune_scripts/optimizer.py,
#: where each tensor in between was new memory.
_FUSED_SAVES = 0.9


def propose(seen: Seen) -> Iterator[Lever]:
    """Each form that an optimizer of the script has and does not use; none with sparse gradients, which they refuse."""
    share = seen.shares.get("optimizer", 0.0) + seen.shares.get("others", 0.0)
    dense = [one for one in seen.optimizers if not one.sparse]
    for form, kinds, hope in (("fused", FUSED, _FUSED_SAVES), ("foreach", FOREACH, 0.4)):
        fitting = [one for one in dense if one.kind in kinds and one.form != form]
        if fitting:
            yield _lever(form, fitting[0], hope * share)


def _lever(form: str, optimizer: SeenOptimizer, hope: float) -> Lever:
    keep = Keep(optimizer.kind, {form: "True"})
    changes = f"{optimizer.kind} steps in its {form} form"
    return Lever(
        f"{form}-optimizer", "optimizer_form", changes, "optimizer form", ROUNDING, hope, {"form": form}, keep=keep
    )


def apply(settings: Mapping[str, Any], changed: Changed) -> None:
    """Make every optimizer that has the form in that form, whatever the script says."""
    import torch

    form = str(settings["form"])
    for name in FUSED if form == "fused" else FOREACH:
        kind = getattr(torch.optim, name, None)
        if kind is not None:
            _patch(kind, form, changed)


def _patch(kind: Any, form: str, changed: Changed) -> None:
    original = kind.__init__

    @functools.wraps(original)
    def __init__(self: Any, *args: Any, **kwargs: Any) -> None:  # noqa: N807 (takes its place)
        if type(self) is kind:  # (a subclass, of torch's or the script's own, need not know the form)
            other = "foreach" if form == "fused" else "fused"
            kwargs.pop(other, None)
            kwargs[form] = True
            changed(f"{kind.__name__}({form}=True)")
        original(self, *args, **kwargs)

    kind.__init__ = __init__
