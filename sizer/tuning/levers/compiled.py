"""`torch.compile`: operations fused into kernels of their own; on a GPU also whole graphs launched at once."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from sizer.tuning.levers.protocol import ROUNDING, Changed, Keep, Lever, Seen

#: An operation shorter than this is mostly its dispatch, which compiling saves (docs/tuning.md).
DISPATCH_S = 20e-6


def propose(seen: Seen) -> Iterator[Lever]:
    """Where the script compiles nothing itself."""
    if seen.compiles:
        return
    short = seen.operation_s is not None and seen.operation_s < DISPATCH_S
    hope = max(0.5 if short else 0.2, 0.7 * (seen.pointwise or 0.0)) * seen.computing
    yield _lever("compile", "the model is compiled", hope, {}, "model.compile()")
    if seen.device == "cuda":
        settings = {"mode": "reduce-overhead"}
        call = 'model.compile(mode="reduce-overhead")'
        yield _lever("cuda-graphs", "the model is compiled and launched as CUDA graphs", hope, settings, call)


def _lever(name: str, changes: str, hope: float, settings: Mapping[str, Any], call: str) -> Lever:
    keep = Keep(note=f"{call} before the first step")
    return Lever(name, "compiled", changes, "compile", ROUNDING, hope, settings, keep=keep)


def apply(settings: Mapping[str, Any], changed: Changed) -> None:
    """Compile each model in place before its first call."""
    from sizer.tuning.levers.roots import at_first_call

    def compile_it(module: Any) -> None:
        module.compile(**settings)
        changed("compiled")

    at_first_call(compile_it)
