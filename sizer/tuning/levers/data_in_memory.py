"""The whole data set in memory as tensors: a batch is a slice of them, nothing is read and collated row by row."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from sizer.tuning.levers.protocol import IDENTICAL, TRAINING, Changed, Keep, Lever, Seen, SeenLoader

#: Part of the free memory that a data set may take, and longest time, s, in which a short run may read it.
_MEMORY_SHARE, _READING_S = 0.25, 10.0
_LINES = (
    "x, y = default_collate([dataset[row] for row in range(len(dataset))])",
    "for rows in torch.randperm(len(x)).split(batch_size):  # an epoch",
    "    loss = ...(model(x[rows]), y[rows])",
)


def propose(seen: Seen) -> Iterator[Lever]:
    """Where it fits and is read in good time; where reading a row twice differs, the training is another one."""
    loaders = [loader for loader in seen.loaders if _fits(loader)]
    if not loaders:
        return
    results = IDENTICAL if all(loader.repeats for loader in loaders) else TRAINING
    changes = "the data set lies in memory as tensors, and batches are slices of them"
    if results == TRAINING:
        changes += " (random transformations are drawn once only)"
    yield Lever(
        "data-in-memory", "data_in_memory", changes, "loader", results, 0.9 * seen.waiting, keep=Keep(lines=_LINES)
    )


def _fits(loader: SeenLoader) -> bool:
    if not loader.plain or loader.rows is None or loader.row_bytes is None or loader.read_s is None:
        return False
    return loader.rows * loader.row_bytes < _MEMORY_SHARE * _free_bytes() and loader.rows * loader.read_s < _READING_S


def _free_bytes() -> int:
    from sizer.detection.captured_tree import Tree

    for line in (Tree("/").text("/proc/meminfo", 4096) or "").splitlines():
        if line.startswith("MemAvailable:"):
            return int(line.split()[1]) * 1024
    return 2**30


def apply(settings: Mapping[str, Any], changed: Changed) -> None:  # noqa: ARG001
    """Stand in for the iteration over loaders of torch's own kind; the order and the random numbers stay the same."""
    import torch
    from torch.utils._pytree import tree_flatten, tree_unflatten
    from torch.utils.data import DataLoader

    original = DataLoader.__iter__
    held: dict[int, tuple[Any, Any]] = {}  # (by the data set: a script may make a new loader each epoch)

    def __iter__(loader: Any) -> Iterator[Any]:  # noqa: N807 (takes its place)
        if not fits_in_batches(loader):
            return original(loader)
        if id(loader.dataset) not in held:
            held[id(loader.dataset)] = (loader.dataset, tree_flatten(_collated(loader)))
            changed("the data set is in memory")
        return slices(loader, held[id(loader.dataset)][1])

    def slices(loader: Any, data: Any) -> Iterator[Any]:
        # what torch's own iterator draws, so that the shuffling after it is the same
        torch.empty((), dtype=torch.int64).random_(generator=loader.generator)
        leaves, structure = data
        for rows in _rows_of_batches(loader):
            yield tree_unflatten([leaf[rows] for leaf in leaves], structure)

    DataLoader.__iter__ = __iter__  # type: ignore[method-assign, assignment]


def _rows_of_batches(loader: Any) -> Iterable[Any]:
    """Rows of each batch: of torch's own samplers, which draw once an epoch, all in one tensor."""
    import torch
    from torch.utils.data import BatchSampler, RandomSampler, SequentialSampler

    if type(loader.batch_sampler) is not BatchSampler or type(loader.sampler) not in (RandomSampler, SequentialSampler):
        return map(torch.as_tensor, loader.batch_sampler)
    rows: Any = torch.tensor(list(loader.sampler), dtype=torch.int64)
    batches: tuple[Any, ...] = rows.split(loader.batch_size)
    is_cut = loader.drop_last and len(batches[-1]) < loader.batch_size
    return batches[:-1] if is_cut else batches


def fits_in_batches(loader: Any) -> bool:
    """Whether batches of a loader are rows of a map-style data set, put together by torch's own collation."""
    from torch.utils.data import IterableDataset, default_collate

    return (
        type(loader).__name__ == "DataLoader"
        and not isinstance(loader.dataset, IterableDataset)
        and hasattr(loader.dataset, "__len__")
        and loader.collate_fn is default_collate
        and loader._auto_collation
        and not loader.pin_memory
    )


def _collated(loader: Any) -> Any:
    """All rows as one batch; random numbers that reading draws are given back."""
    import torch

    state = torch.get_rng_state()
    rows = [loader.dataset[row] for row in range(len(loader.dataset))]
    torch.set_rng_state(state)
    return loader.collate_fn(rows)
