"""The networks that a calibration draws from: what it may speak for. Pure."""

from __future__ import annotations

from collections.abc import Iterator

from sizer.models.topology import Topology

#: log2 of the number of parameters.
SIZES = (6.0, 21.5)
DEPTHS = (2, 20)
BATCH_SIZES = (32, 1024)
INPUT_DIMS = (2, 784)
OUTPUT_DIMS = (1, 32)

#: Optimizers that do the same work in a step, and so have one calibration.
_SAME_WORK = {"adamw": "adam"}


def outside_range(topology: Topology, batch_size: int) -> Iterator[str]:
    """What of a network was not among those timed, in words; nothing for a network within the range."""
    parameters = round(2 ** SIZES[0]), round(2 ** SIZES[1])
    values = (
        ("depth", topology.depth, DEPTHS),
        ("parameters", topology.num_free_parameters, parameters),
        ("batch", batch_size, BATCH_SIZES),
        ("input", topology.input_dim, INPUT_DIMS),
        ("output", topology.output_dim, OUTPUT_DIMS),
    )
    for name, value, (low, high) in values:
        if not low <= value <= high:
            yield f"{name} {value:,} (timed: {low:,} to {high:,})"


def same_work(optimizer: str, other: str) -> bool:
    """Whether a step of two optimizers does the same work."""
    return _SAME_WORK.get(optimizer, optimizer) == _SAME_WORK.get(other, other)
