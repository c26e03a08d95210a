"""Products in fewer bits: bfloat16 under autocast, TF32 on a GPU."""

from __future__ import annotations

import functools
from collections.abc import Iterator, Mapping
from typing import Any

from sizer.tuning.levers.compiled import DISPATCH_S
from sizer.tuning.levers.protocol import ROUNDING, TRAINING, Changed, Keep, Lever, Seen


def propose(seen: Seen) -> Iterator[Lever]:
    """bfloat16 where the script has no autocast of its own; TF32 where there is a GPU."""
    if not seen.autocast:
        short = seen.operation_s is not None and seen.operation_s < DISPATCH_S  # (casts are operations more)
        has_units = seen.device == "cuda" or _multiplies_bfloat16()
        hope = (0.4 if has_units and not short else 0.02) * seen.computing
        note = f'with torch.autocast("{seen.device}", torch.bfloat16): around the call of the model'
        changes = "products are in bfloat16 under autocast, weights stay float32"
        settings = {"autocast": seen.device}
        yield Lever("bfloat16", "precision", changes, "precision", TRAINING, hope, settings, keep=Keep(note=note))
    if seen.device == "cuda":
        keep = Keep(lines=('torch.set_float32_matmul_precision("high")',))
        changes = "products of float32 are in TF32"
        yield Lever("tf32", "precision", changes, "tf32", ROUNDING, 0.3 * seen.computing, {"tf32": True}, keep=keep)


def _multiplies_bfloat16() -> bool:
    from sizer.detection.captured_tree import Tree
    from sizer.detection.procfs import read_cpuinfo

    info = read_cpuinfo(Tree("/"))
    return any(info.has_flag(flag) for flag in ("amx_bf16", "avx512_bf16", "bf16"))


def apply(settings: Mapping[str, Any], changed: Changed) -> None:
    """TF32 by torch's own switches; autocast around the forward function of each model, whose output stays float32."""
    import torch

    if settings.get("tf32"):
        torch.set_float32_matmul_precision("high")
        torch.backends.cudnn.allow_tf32 = True
        changed('set_float32_matmul_precision("high")')
        return
    from sizer.tuning.levers.roots import at_first_call

    device = str(settings["autocast"])

    def wrap(module: torch.nn.Module) -> None:
        module.forward = _under_autocast(module.forward, device)
        changed("autocast(bfloat16)")

    at_first_call(wrap)


def _under_autocast(forward: Any, device: str) -> Any:
    import torch
    from torch.utils._pytree import tree_map

    def whole(value: Any) -> Any:
        is_half = isinstance(value, torch.Tensor) and value.dtype == torch.bfloat16
        return value.float() if is_half else value

    @functools.wraps(forward)
    def under(*args: Any, **kwargs: Any) -> Any:
        with torch.autocast(device, torch.bfloat16):
            output = forward(*args, **kwargs)
        return tree_map(whole, output)  # (a loss in the script's own code expects what it had)

    return under
