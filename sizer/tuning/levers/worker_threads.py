"""One thread in each process that the script starts: with more threads than processors they wait for each other."""

from __future__ import annotations

import ctypes
import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from sizer.tuning.levers.protocol import ROUNDING, Changed, Keep, Lever, Seen

_ENVIRONMENT = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS", "NUMEXPR_NUM_THREADS")
#: Functions of numerical libraries that set their number of threads.
_SETTERS = (
    *("openblas_set_num_threads", "openblas_set_num_threads64_", "scipy_openblas_set_num_threads64_"),
    *("scipy_openblas_set_num_threads", "MKL_Set_Num_Threads", "omp_set_num_threads"),
)
_LIBRARIES = ("openblas", "libmkl_rt", "libgomp", "libomp", "libiomp")


def propose(seen: Seen) -> Iterator[Lever]:
    """Where the script starts processes."""
    if not (seen.workers or seen.children):
        return
    hope = max(0.9 * seen.waiting, 0.02)
    if seen.oversubscribed or (seen.children and not seen.workers):
        hope = max(hope, 0.5)
    note = "call it first thing in each worker: DataLoader(..., worker_init_fn=...), or the process's own function"
    yield Lever(
        "worker-threads=1",
        "worker_threads",
        "each process that the script starts works on one thread",
        "worker threads",
        ROUNDING,
        hope,
        {"threads": 1},
        keep=Keep(lines=("torch.set_num_threads(1)",), note=note),
    )


def apply(settings: Mapping[str, Any], changed: Changed) -> None:
    """Now for processes that start with a fresh interpreter, at the fork for those that do not."""
    threads = int(settings["threads"])
    for name in _ENVIRONMENT:  # (this process has read them: only its children will)
        os.environ[name] = f"{threads}"

    def limit() -> None:
        import torch

        torch.set_num_threads(threads)
        torch.set_num_threads = lambda number: None  # type: ignore[assignment]  # noqa: ARG005
        _limit_libraries(threads)

    if hasattr(os, "register_at_fork"):
        os.register_at_fork(after_in_child=limit)
    changed(f"{threads} thread a process")


def _limit_libraries(threads: int) -> None:
    """Tell the numerical libraries of this process; those that are not there have nothing to be told."""
    maps = Path("/proc/self/maps")
    loaded = {line.split()[-1] for line in maps.read_text().splitlines() if "/" in line} if maps.exists() else set()
    for path in loaded:
        if any(name in path for name in _LIBRARIES):
            library = ctypes.CDLL(path)
            for setter in _SETTERS:
                if hasattr(library, setter):
                    getattr(library, setter)(threads)
