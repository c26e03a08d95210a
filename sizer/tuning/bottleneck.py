"""What a script's steps wait for most, named before any lever is tried, by what the first run showed of them."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

from sizer.base.units import counted, format_quantity
from sizer.tuning.levers.compiled import DISPATCH_S
from sizer.tuning.levers.protocol import Seen

#: Share of a step from which a part of it is its bottleneck, and of the kernel's time, which nobody asked for.
_LARGE, _SYSTEM = 0.3, 0.12
#: What stands for less of a step than this is no bottleneck.
_LEAST = 0.1
#: Part of operations element by element that fusing them saves, so that pages of memory are named before it.
_SAVED_BY_FUSING = 0.4


class Bottleneck(NamedTuple):
    """A name for programs, a sentence for people, and the share of a step's time that it stands for."""

    name: str
    told: str
    share: float


def bottleneck(seen: Seen) -> Bottleneck:
    """The largest of what stands out; ``none`` where nothing does."""
    found = sorted((claim for claim in _claims(seen) if claim.share >= _LEAST), key=lambda claim: -claim.share)
    return found[0] if found else Bottleneck("none", "nothing stands out: it computes", 0.0)


def _claims(seen: Seen) -> Iterator[Bottleneck]:
    if seen.waiting >= _LARGE:
        yield Bottleneck("loader", f"a step waits for data for {seen.waiting:.0%} of its time", seen.waiting)
    if seen.oversubscribed and seen.waiting >= _LEAST:
        told = (
            f"{seen.workers} worker processes with {counted(seen.worker_threads, 'thread')}, and the script's own "
            f"{seen.threads}, share {seen.cpus} processors"
        )
        yield Bottleneck("worker threads", told, 1.0)
    if seen.children and not seen.loaders and seen.threads * (seen.children + 1) > seen.cpus:
        threads = counted(seen.threads, "thread")
        told = f"processes that the script starts work on {threads} each, on {seen.cpus} processors"
        yield Bottleneck("worker threads", told, 1.0)
    slowed = seen.subnormal_cost or 0.0
    lost = slowed * seen.busy
    if lost >= _LARGE:
        told = (
            f"{seen.subnormal or 0.0:.1%} of the numbers are subnormal, which this processor works on slowly: for "
            f"{lost:.0%} of the time"
        )
        yield Bottleneck("denormals", told, lost)
    optimizer = seen.shares.get("optimizer", 0.0)
    if optimizer >= _LARGE:  # (what subnormal numbers cost of it is theirs)
        told = f"the optimizer's own step takes {optimizer:.0%} of the time"
        yield Bottleneck("optimizer", told, optimizer * (1 - slowed))
    system = seen.system_share or 0.0
    if optimizer >= _LARGE:  # (nor are its pages anybody else's)
        system -= seen.optimizers_system or 0.0
    if system >= _SYSTEM and seen.faults:
        told = f"the kernel hands out {seen.faults:,.0f} pages of memory a step, for {system:.0%} of the time"
        yield Bottleneck("allocator", told, system)
    if seen.operation_s is not None and seen.operation_s < DISPATCH_S:
        told = (
            f"{seen.operations:,} operations a step of {format_quantity(seen.operation_s, 's')} each: mostly dispatch"
        )
        yield Bottleneck("dispatch", told, seen.computing)
    elif (seen.pointwise or 0.0) >= _LARGE:
        told = f"{seen.pointwise:.0%} of computing goes into operations element by element, each through memory"
        yield Bottleneck("memory traffic", told, _SAVED_BY_FUSING * (seen.pointwise or 0.0) * seen.computing)
    rest = seen.shares.get("rest", 0.0)
    if rest >= _LARGE:
        yield Bottleneck("script", f"the script's own code takes {rest:.0%} of the time", rest)
