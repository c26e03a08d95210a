"""The sentences that say why a network is on the list: which set fills which level, what lives where, what to watch."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

import numpy as np

from sizer.placement import place
from sizer.recommendation import Anchor, Neighbour
from sizer.sweep import ANCHOR_SETS, Sweep
from sizer.units import format_bytes, format_widths

SET_CONTENTS = {
    "f": "parameters",
    "b": "parameters, gradients, activations",
    "o": "parameters, gradients, moments",
    "t_max": "activations between two layers",
    "d": "the data set",
}


def why(swept: Sweep, index: int, anchor: Anchor | None, neighbour: Neighbour | None) -> str:
    """Which set fills which cache, where every set lives, and the nearest size that fits inside."""
    parts = [_anchor_part(swept, index, anchor), homes(_levels(swept, index))]
    if anchor is not None and neighbour is not None:
        parts.append(f"the largest that still fits {anchor.level} is {format_widths(neighbour.widths)}")
    return "; ".join(parts)


def _anchor_part(swept: Sweep, index: int, anchor: Anchor | None) -> str:
    if anchor is None:
        return "no set fills a cache once to twice"
    size = format_bytes(float(swept.working_set(anchor.working_set).total[index]))
    contents = SET_CONTENTS[anchor.working_set]
    return f"{anchor.working_set} ({contents}; {size}) fills {anchor.level} {anchor.fill:.2f} times"


def _levels(swept: Sweep, index: int) -> dict[str, str | None]:
    hierarchy = swept.networks.hierarchy
    order = {name: position for position, name in enumerate(hierarchy.names)}
    levels = {
        name: hierarchy.name(int(swept.placement(name).level[index])) for name in ANCHOR_SETS[swept.family.purpose]
    }
    return dict(sorted(levels.items(), key=lambda item: order.get(item[1] or "", len(order))))


def homes(levels: Mapping[str, str | None]) -> str:
    """Where sets live, in short: ``f, t_max live in L2, b in L3``."""
    by_level: dict[str | None, list[str]] = {}
    for name, level in levels.items():
        by_level.setdefault(level, []).append(name)
    parts = [f"{', '.join(sorted(names))} in {level or 'no level'}" for level, names in by_level.items()]
    return f"lives: {'; '.join(parts)}" if len(parts) > 1 else f"all live in {next(iter(by_level))}"


def pushed_up(swept: Sweep, index: int) -> Iterator[str]:
    """A warning for f or b where one wide layer's t_l alone pushes it to a farther level."""
    sizes = swept.networks.sets.t.distributed[:, index]
    if len(sizes) < 2:
        return
    order = np.argsort(sizes)
    widest, second = int(order[-1]), int(sizes[order[-2]])
    hierarchy = swept.networks.hierarchy
    one = swept.working_set("t_max")._replace(replicated=np.array([0]), distributed=np.array([second]))
    below = np.floor(place(np.zeros(1), one, hierarchy).occupied)
    for name in ("f", "b") if swept.family.purpose == "training" else ("f",):
        whole = swept.working_set(name)
        alone = whole._replace(
            replicated=whole.replicated[index : index + 1], distributed=whole.distributed[index : index + 1]
        )
        lives = int(swept.placement(name).level[index])
        without = int(place(below, alone, hierarchy).level[0])
        if 0 <= without < lives:
            yield (
                f"layer {widest + 1}'s inter-layer set ({format_bytes(int(sizes[widest]))}) alone pushes {name} from "
                f"{hierarchy.name(without)} to {hierarchy.name(lives)}"
            )
