"""Convolutions over images whose channels lie next to each other in memory, as most kernels want them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from sizer.tuning.levers.protocol import ROUNDING, Changed, Keep, Lever, Seen


def propose(seen: Seen) -> Iterator[Lever]:
    """Where there are convolutions over images."""
    if any(layer.startswith(("Conv2d", "ConvTranspose2d")) for layer in seen.layers):
        keep = Keep(note="model = model.to(memory_format=torch.channels_last) before the optimizer is made")
        changes = "images and filters lie with their channels last"
        yield Lever(
            "channels-last", "channels_last", changes, "memory format", ROUNDING, 0.4 * seen.computing, keep=keep
        )


def apply(settings: Mapping[str, Any], changed: Changed) -> None:  # noqa: ARG001
    """Turn each model before its first call, and images on their way into it."""
    import torch

    from sizer.tuning.levers.roots import at_first_call

    def turned(value: Any) -> Any:
        is_image = isinstance(value, torch.Tensor) and value.dim() == 4
        return value.contiguous(memory_format=torch.channels_last) if is_image else value

    def turn(module: torch.nn.Module) -> None:
        if any(isinstance(part, (torch.nn.Conv2d, torch.nn.ConvTranspose2d)) for part in module.modules()):
            for parameter in module.parameters():
                if parameter.dim() == 4:
                    parameter.data = parameter.data.contiguous(memory_format=torch.channels_last)
            module.register_forward_pre_hook(lambda _, args: tuple(turned(value) for value in args))
            changed("channels_last")

    at_first_call(turn)
