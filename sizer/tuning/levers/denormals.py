"""Subnormal numbers taken for zero: processors do some operations on them in microcode, far more slowly."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from sizer.tuning.levers.protocol import ROUNDING, Changed, Keep, Lever, Seen

#: Share of subnormal values from which an operation is timed without them: below, a vector of 16 seldom meets one.
MANY = 1e-3


def propose(seen: Seen) -> Iterator[Lever]:
    """On the CPU; as hopeful as operations were faster without those that were seen."""
    if seen.device == "cpu":
        hope = max((seen.subnormal_cost or 0.0) * seen.busy, 0.03)
        keep = Keep(lines=("torch.set_flush_denormal(True)",))
        changes = "subnormal numbers count as zero"
        yield Lever("flush-denormals", "denormals", changes, "denormals", ROUNDING, hope, keep=keep)


def apply(settings: Mapping[str, Any], changed: Changed) -> None:  # noqa: ARG001
    """Before OpenMP starts its threads, which inherit the mode from this one."""
    import torch

    if torch.set_flush_denormal(True):
        changed("set_flush_denormal(True)")
