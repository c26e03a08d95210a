"""A larger batch with the learning rate scaled: fewer steps for as many observations, and another training."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Iterator, Mapping
from typing import Any

from sizer.tuning.levers.protocol import TRAINING, Changed, Keep, Lever, Seen

#: How many times as large the batch becomes.
FACTOR = 2
#: Adam's kind divides a gradient by its scale, so that the rate grows with the root (Malladi et al., arXiv 2205.10287);
#: that of SGD grows with the batch (Goyal et al., arXiv 1706.02677).
_BY_ROOT = ("Adam", "AdamW", "NAdam", "RAdam", "Adamax", "RMSprop", "Adagrad", "Adadelta")


def propose(seen: Seen) -> Iterator[Lever]:
    """Where torch's own data loader makes the batches."""
    loaders = [loader for loader in seen.loaders if loader.batch_size and loader.plain]
    if not loaders or loaders[0].rows is None or loaders[0].rows < 4 * (loaders[0].batch_size or 1):
        return
    size = FACTOR * (loaders[0].batch_size or 1)
    changes = f"{size} observations a step in place of {loaders[0].batch_size}, the learning rate scaled"
    keep = Keep("DataLoader", {"batch_size": f"{size}"}, note="and scale the learning rate: see docs/tuning.md")
    yield Lever(
        "larger-batch",
        "batch_size",
        changes,
        "batch size",
        TRAINING,
        0.1,
        {"factor": FACTOR},
        keep=keep,
        observations=FACTOR,
    )


def apply(settings: Mapping[str, Any], changed: Changed) -> None:
    """Scale the batches of loaders and the rates of optimizers as they are made."""
    from torch.optim import Optimizer
    from torch.utils.data import DataLoader

    factor = int(settings["factor"])
    load, names = DataLoader.__init__, list(inspect.signature(DataLoader.__init__).parameters)[1:]
    optimize = Optimizer.__init__

    @functools.wraps(load)
    def load_more(self: Any, *args: Any, **kwargs: Any) -> None:
        kwargs = {**dict(zip(names, args, strict=False)), **kwargs}
        if kwargs.get("batch_sampler") is None and kwargs.get("batch_size", 1) is not None:
            kwargs["batch_size"] = factor * kwargs.get("batch_size", 1)
            changed(f"batch_size={kwargs['batch_size']}")
        load(self, **kwargs)

    @functools.wraps(optimize)
    def scale(self: Any, params: Any, defaults: Any) -> None:
        optimize(self, params, defaults)
        by = factor**0.5 if type(self).__name__ in _BY_ROOT else factor
        for group in self.param_groups:
            group["lr"] = group["lr"] * by

    DataLoader.__init__ = load_more  # type: ignore[method-assign]
    Optimizer.__init__ = scale  # type: ignore[method-assign]
