"""From topologies to working sets: f, t_l, b, o and d of many networks at once (`docs/method.md`).

Networks are columns: ``full`` has shape (layers + 1, N), the input width in row 0 and each layer's width below it,
padded with zeros below a network's output layer. The number of trainable parameters is a separate argument because
the study mixes raw and true input widths: its widths start with the raw feature count, its parameter counts do not.

Each set has a *replicated* part, which every core or SM needs whole, and a *distributed* part, which they share out.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from sizer.method.training_step import Training

IntArray = npt.NDArray[np.int64]
BoolArray = npt.NDArray[np.bool_]


class WorkingSet(NamedTuple):
    """Bytes of a working set, shape (N,) or (layers, N)."""

    replicated: IntArray
    distributed: IntArray

    @property
    def total(self) -> IntArray:
        """The whole set, as if one core held it: the study's *singular* size."""
        return self.replicated + self.distributed


class WorkingSets(NamedTuple):
    """The working sets of N networks.

    ``t`` holds one inter-layer set a layer, zero where a network has no such layer; ``d`` is None without a data set.
    """

    f: WorkingSet
    t: WorkingSet
    b: WorkingSet
    o: WorkingSet
    d: WorkingSet | None

    @property
    def t_max(self) -> WorkingSet:
        """The largest inter-layer set of each network."""
        return WorkingSet(self.t.replicated.max(axis=0), self.t.distributed.max(axis=0))


def stack(networks: Iterable[Sequence[int]]) -> IntArray:
    """Full widths ([input, *widths]) of networks of any depth as one zero-padded array (layers + 1, N)."""
    columns = [np.asarray(full, dtype=np.int64) for full in networks]
    stacked = np.zeros((max(map(len, columns), default=1), len(columns)), dtype=np.int64)
    for index, column in enumerate(columns):
        stacked[: len(column), index] = column
    return stacked


def has_layer(full: IntArray) -> BoolArray:
    """Which entries of (layers, N) are layers and not padding."""
    return full[1:] > 0


def count_parameters(full: IntArray) -> IntArray:
    """Number of trainable parameters, the sum of (w_in + 1) w_out, shape (N,)."""
    return np.asarray(((full[:-1] + 1) * full[1:]).sum(axis=0))


def working_sets(full: IntArray, num_free_parameters: IntArray, training: Training) -> WorkingSets:
    """Working sets of N networks in one training step (`docs/method.md`, the table of working sets).

    f: parameters. t_l: activations between two layers, or their gradients. b: parameters, gradients, and one activation
    or gradient for each unit and datum beyond the largest t_l. o: parameters, gradients, optimizer moments. d: data
    set.
    """
    P, B, element = num_free_parameters, training.batch_size, training.element
    activations = element.activation_bytes * B
    t = activations * np.where(has_layer(full), full[:-1] + full[1:], 0)
    observations = training.observations
    return WorkingSets(
        f=WorkingSet(element.forward_parameter_bytes * P, np.zeros_like(P)),
        t=_distributed(t),
        b=WorkingSet(element.backward_parameter_bytes * P, activations * full.sum(axis=0) - t.max(axis=0)),
        o=_distributed((2 + training.moments) * element.master_bytes * P),
        d=None if observations is None else _distributed(observations * bytes_per_datum(full, training)),
    )


def _distributed(size: IntArray) -> WorkingSet:
    return WorkingSet(np.zeros_like(size), size)


def bytes_per_datum(full: IntArray, training: Training) -> IntArray:
    """Bytes of one observation, its features and targets: by default the input and the output width, shape (N,)."""
    elements = full[0] + output_widths(full) if training.datum_elements is None else training.datum_elements
    return np.full_like(full[0], training.element.data_bytes * elements)


def output_widths(full: IntArray) -> IntArray:
    """Width of each network's last layer."""
    last = np.count_nonzero(full, axis=0) - 1
    return np.asarray(np.take_along_axis(full, last[None], axis=0)[0])
