"""How many threads PyTorch works on, within an operation and between operations."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from sizer.tuning.levers.protocol import ROUNDING, Changed, Keep, Lever, Seen

#: Operations shorter than this gain nothing from a second thread; it costs 5 to 10 us to wake one (docs/tuning.md).
_SHORT_S = 50e-6


def propose(seen: Seen) -> Iterator[Lever]:
    """One thread, half of the processors (two threads of a core share its units), all of them."""
    if seen.device != "cpu":
        return
    computing = seen.computing + seen.shares.get("optimizer", 0.0) + seen.shares.get("rest", 0.0)
    short = seen.operation_s is not None and seen.operation_s < _SHORT_S
    busy = seen.children > 0
    for threads in sorted({1, max(seen.cpus // 2, 1), seen.cpus} - {seen.threads}):
        hope = (0.4 if busy else 0.25 if short else 0.05) if threads < seen.threads else 0.4
        yield _threads(threads, seen, hope * computing)
    yield Lever(
        "interop-threads=1",
        "threads",
        "one thread runs operations side by side",
        "interop threads",
        ROUNDING,
        0.01,
        {"interop": 1},
        keep=Keep(lines=("torch.set_num_interop_threads(1)",)),
    )


def _threads(threads: int, seen: Seen, hope: float) -> Lever:
    named = f"{threads} thread{'s' if threads > 1 else ''}"
    lines = (f"torch.set_num_threads({threads})",)
    changes = f"PyTorch works on {named} in place of {seen.threads}"
    settings = {"threads": threads}
    if seen.sets_threads:  # (the script's own call would undo the environment)
        keep = Keep(lines=lines, note="in place of the script's own torch.set_num_threads")
        return Lever(f"threads={threads}", "threads", changes, "threads", ROUNDING, hope, settings, keep=keep)
    environment = {"OMP_NUM_THREADS": f"{threads}", "MKL_NUM_THREADS": f"{threads}"}
    keep = Keep(lines=lines)
    return Lever(f"threads={threads}", "threads", changes, "threads", ROUNDING, hope, settings, environment, keep)


def apply(settings: Mapping[str, Any], changed: Changed) -> None:
    """Set the number, and keep the script from setting another."""
    import torch

    for name, kind in (("threads", "num"), ("interop", "num_interop")):
        if name in settings:
            own, asked = f"set_{kind}_threads", int(settings[name])
            getattr(torch, own)(asked)
            setattr(torch, own, lambda number: None)  # noqa: ARG005 (the script's own call has no say)
            changed(f"{own}({asked})")
