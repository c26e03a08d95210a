"""Advice that needs no prediction: which layer pushes a set to a farther level; batches that others price. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from math import prod
from typing import NamedTuple

import numpy as np

from sizer.base.units import format_bytes, format_count
from sizer.inspection.module_record import Advice, LayerRecord
from sizer.method.placement import Hierarchy, place
from sizer.method.training_step import SET_NAMES
from sizer.method.working_sets import IntArray, WorkingSet, WorkingSets


class Subject(NamedTuple):
    """A module as the advice for any architecture sees it."""

    layers: Sequence[LayerRecord]
    sets: WorkingSets
    hierarchy: Hierarchy


def advise_other(subject: Subject) -> Iterator[Advice]:
    """Advice for any module, without a predicted effect: which layer, and which dimension of it.

    No batch size: a batch that brings a set nearer gained nothing on one script and cost 14 % on another.
    """
    names = [f"{layer.name or 'the module itself'} ({layer.kind})" for layer in subject.layers]
    yield from pushes(subject.sets, subject.hierarchy, names, subject.layers)


def smaller_batches(batch_size: int) -> list[int]:
    """Smaller batches worth trying: multiples of 16 (an eighth of a small batch), largest first, down to half."""
    multiple = max(16, batch_size // 32) if batch_size >= 64 else max(1, batch_size // 8)
    return [size for size in range(batch_size - 1, batch_size // 2 - 1, -1) if size % multiple == 0 and size > 0]


def level_name(hierarchy: Hierarchy, level: int) -> str:
    """A level's name; one past the last is none."""
    return hierarchy.names[level] if level < len(hierarchy.names) else "no level"


def pushes(
    sets: WorkingSets, hierarchy: Hierarchy, names: Sequence[str], layers: Sequence[LayerRecord] | None
) -> Iterator[Advice]:
    """The layer whose inter-layer set alone pushes f or b to a farther level."""
    sizes = sets.t.distributed[:, 0]
    if len(sizes) < 2:
        return
    order = np.argsort(sizes)
    widest, second = int(order[-1]), int(order[-2])
    for name, (lives, without) in zip("bf", _levels_above(sets, sizes[[widest, second]], hierarchy), strict=True):
        if 0 <= without < lives:
            dimension = _widest_dimension(layers[widest]) if layers is not None else ""
            yield Advice(
                kind="pushes",
                change=f"{names[widest]}{dimension}",
                reason=(
                    f"its inter-layer set ({format_bytes(int(sizes[widest]))}) is the largest and alone pushes "
                    f"{SET_NAMES[name]} from {hierarchy.name(without)} to {hierarchy.name(lives)}"
                ),
                layer=names[widest] if layers is None else layers[widest].name,
            )
            return


def _levels_above(sets: WorkingSets, transfers: IntArray, hierarchy: Hierarchy) -> list[list[int]]:
    """Levels of b, and of f, when each is placed on inter-layer sets of the given sizes."""
    below = np.floor(place(np.zeros(1), WorkingSet(np.zeros_like(transfers), transfers), hierarchy).occupied)
    parts = [np.repeat([part[0] for part in pair], len(transfers)) for pair in zip(sets.b, sets.f, strict=True)]
    level = place(np.tile(below, 2), WorkingSet(*parts), hierarchy).level
    return np.reshape(level, (2, -1)).astype(int).tolist()


def _widest_dimension(layer: LayerRecord) -> str:
    """Which dimension of a layer's output is the largest, the batch left out."""
    shape = layer.output_shape
    if shape is None or len(shape) < 2:
        return ""
    dimension = max(range(1, len(shape)), key=lambda index: shape[index])
    share = f"{format_count(shape[dimension])} of {format_count(prod(shape[1:]))} a datum"
    return f", dimension {dimension} of its output ({share})"
