"""How a data loader reads: in how many processes, whether they stay over epochs, how far ahead, into pinned memory."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Iterator, Mapping
from typing import Any

from sizer.tuning.levers.protocol import IDENTICAL, ROUNDING, Changed, Keep, Lever, Seen

#: Batches that each worker reads ahead; torch's own default is 2.
_AHEAD = 4


def propose(seen: Seen) -> Iterator[Lever]:
    """Worker processes where there are none, none where there are, and what helps those that are there."""
    if not seen.loaders:
        return
    most = seen.workers
    for workers in sorted({0, 1, min(seen.cpus, 8)} - {most}):
        hope = 0.8 * seen.waiting if workers > most else 0.3 * seen.waiting
        yield _workers(workers, hope * (1.0 if workers != 1 else 0.7), seen.loaders[0].repeats)
    if most and not all(loader.persistent for loader in seen.loaders if loader.workers):
        arguments = {"persistent_workers": True, "prefetch_factor": _AHEAD}
        changes = f"workers stay over epochs and read {_AHEAD} batches ahead"
        yield _lever("persistent-workers", changes, "loader persistence", 0.4 * seen.waiting, arguments, IDENTICAL)
    if seen.device == "cuda" and not all(loader.pinned for loader in seen.loaders):
        changes = "batches lie in pinned memory"
        yield _lever(
            "pinned-memory", changes, "pinned memory", 0.1 + 0.3 * seen.waiting, {"pin_memory": True}, IDENTICAL
        )


def _workers(workers: int, hope: float, repeats: bool) -> Lever:
    many = f"{workers} process{'es' if workers > 1 else ''}"
    arguments: dict[str, Any] = {"num_workers": workers}
    if workers:
        arguments |= {"persistent_workers": True, "prefetch_factor": _AHEAD}
    changes = (
        f"{many} read{'s' if workers == 1 else ''} batches ahead"
        if workers
        else "batches are read by the script itself"
    )
    # (a worker draws its random numbers from a seed of its own: another training where reading draws any)
    return _lever(f"loader-workers={workers}", changes, "loader", hope, arguments, IDENTICAL if repeats else ROUNDING)


def _lever(name: str, changes: str, group: str, hope: float, arguments: Mapping[str, Any], results: str) -> Lever:
    keep = Keep("DataLoader", {key: repr(value) for key, value in arguments.items()})
    return Lever(name, "loader", changes, group, results, hope, {"arguments": dict(arguments)}, keep=keep)


def apply(settings: Mapping[str, Any], changed: Changed) -> None:
    """Give every loader of torch's the arguments; those that need workers only where there are some."""
    from torch.utils.data import DataLoader

    original = DataLoader.__init__
    given = dict(settings["arguments"])
    names = list(inspect.signature(original).parameters)[1:]

    @functools.wraps(original)
    def __init__(self: Any, *args: Any, **kwargs: Any) -> None:  # noqa: N807 (takes its place)
        kwargs = {**dict(zip(names, args, strict=False)), **kwargs, **given}
        if not kwargs.get("num_workers"):
            for name in (
                "persistent_workers",
                "prefetch_factor",
                "multiprocessing_context",
                "timeout",
                "worker_init_fn",
            ):
                kwargs.pop(name, None)
        original(self, **kwargs)
        changed(", ".join(f"{name}={value}" for name, value in given.items()))

    DataLoader.__init__ = __init__  # type: ignore[method-assign]
