"""What the time of a member's step is made of: few counts of its trace, none of a negative cost. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

import numpy as np

from sizer.method.placement import NOWHERE, FloatArray, Placements
from sizer.method.working_sets import WorkingSets


class Counted(Protocol):
    """What is read of a traced member."""

    @property
    def sets(self) -> WorkingSets:
        """Its working sets, one network."""

    @property
    def flops(self) -> int:
        """FLOPs of a step."""

    @property
    def padded_flops(self) -> float:
        """The same with convolutions' channels rounded up to whole vectors."""

    @property
    def saved_bytes(self) -> int:
        """Bytes that are saved for the backward pass."""

    @property
    def layers(self) -> int:
        """Layers with parameters."""


Row = dict[str, FloatArray]


def terms(members: Sequence[Counted]) -> Row:
    """Counts of each term, shape (N,): the step itself, layers, operations, saved bytes, the optimizer's bytes."""
    return {
        "step": np.ones(len(members)),
        "layer": np.array([one.layers for one in members], dtype=np.float64),
        "operation": np.array([one.padded_flops for one in members], dtype=np.float64),
        "traffic": np.array([one.saved_bytes for one in members], dtype=np.float64),
        "optimizer": np.array([one.sets.o.total[0] for one in members], dtype=np.float64),
    }


#: Rough costs of a term: 0.1 ms a step, 30 us a layer, 50 GFLOP/s, 4 GB/s; only to spread sizes before any was timed.
_CRUDE_S = {"step": 1e-4, "layer": 3e-5, "operation": 2e-11, "traffic": 2.5e-10, "optimizer": 2.5e-10}


def crude_times_s(members: Sequence[Counted]) -> FloatArray:
    """About what steps take in s, shape (N,), before any is timed."""
    found = terms(members)
    return np.asarray(sum(_CRUDE_S[name] * found[name] for name in found))


def every_term(members: Sequence[Counted], placements: Placements) -> Row:
    """The terms with bytes apart by the level where they live, and padding: what a design should tell apart."""
    found = terms(members)
    rows = {name: found[name] for name in ("step", "operation")}
    rows["padding"] = found["operation"] - np.array([one.flops for one in members], dtype=np.float64)
    for name, placement in (("traffic", placements.b), ("optimizer", placements.o)):
        for level in range(NOWHERE, int(placement.level.max()) + 1):
            if (here := placement.level == level).any():
                rows[f"{name}.{level}"] = np.where(here, found[name], 0.0)
    return rows
