"""Which of the networks that a search has trained anyway, averaged, come nearest to the target. Pure numpy.

Greedy selection with replacement (Caruana et al. 2004, "Ensemble selection from libraries of models", ICML): begin with
the best network, add the one with which the average of the predictions is best, again and again, while that gains; one
that is added twice counts twice. Predictions of classes are averaged as probabilities. The rows that choose choose the
members, the rows that decide say how good they are together (`data.halves`).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from sizer.size_search.data.halves import Rows, Validation
from sizer.size_search.data.metrics import CLASSIFICATION

Floats = npt.NDArray[np.floating]

#: How often a network is added at most: a look at a dozen at each addition is a hundred evaluations of the metric, some
#: milliseconds on a thousand rows.
_MOST_ADDED = 8
#: Different networks of an ensemble where the search chooses: what more would gain, each prediction would pay for.
MOST_MEMBERS = 4
#: Probabilities below this count as this: their logarithm must exist.
_LEAST = 1e-30


class Kept(NamedTuple):
    """What a network predicted after its best epoch, by the rows that choose: for these, and for those that decide.

    Both (n, outputs), probabilities of classes or numbers, for the rows of `Validation.kept`.
    """

    epoch: int
    choosing: Floats
    deciding: Floats


class Selection(NamedTuple):
    """Networks whose predictions are averaged, by name, each with its share, and what the rows that decide say of them.

    ``choosing`` is the metric on the rows that chose, None where the halves were crossed.
    """

    shares: dict[str, float]
    loss: float
    value: float
    choosing: float | None


def averageable(outputs: Floats, kind: str) -> Floats:
    """A network's outputs as what is averaged: probabilities of classes, or numbers."""
    if kind != CLASSIFICATION:
        return outputs
    shifted = np.exp(outputs - outputs.max(axis=1, keepdims=True))
    return np.asarray(shifted / shifted.sum(axis=1, keepdims=True))


def as_outputs(averaged: Floats, kind: str) -> Floats:
    """An average as a network would put it: logits of classes, or numbers."""
    return np.log(np.maximum(averaged, _LEAST)) if kind == CLASSIFICATION else averaged


def select(validation: Validation, kept: Mapping[str, Kept], most: int = MOST_MEMBERS) -> Selection | None:
    """The best average of at most so many different networks; None where no two gain on the best one alone."""
    halves = [half[within] for half, within in zip(validation.halves[:2], validation.kept, strict=True)]
    ordered = sorted(kept.items())
    parts = [{name: of.choosing for name, of in ordered}, {name: of.deciding for name, of in ordered}]
    if validation.halves.is_crossed:
        return _crossed(validation, parts, halves, most)
    chosen = _greedy(validation, parts[0], halves[0], most)
    decided = _averaged(parts[1], chosen, validation.kind)
    choosing = validation.value_on(_averaged(parts[0], chosen, validation.kind), halves[0])
    return _selection(validation, chosen, decided, halves[1], choosing)


def _crossed(
    validation: Validation, parts: Sequence[Mapping[str, Floats]], halves: Sequence[Rows], most: int
) -> Selection | None:
    """Each half decides on the members that the other chose; those that both choose together are the ensemble."""
    rows = np.concatenate(halves)
    together = {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}
    chosen = [_greedy(validation, part, half, most) for part, half in zip(parts, halves, strict=True)]
    judged = [_averaged(parts[half], chosen[1 - half], validation.kind) for half in (0, 1)]
    return _selection(validation, _greedy(validation, together, rows, most), np.concatenate(judged), rows, None)


def _selection(
    validation: Validation, chosen: Counter[str], decided: Floats, rows: Rows, choosing: float | None
) -> Selection | None:
    if len(chosen) < 2:
        return None
    shares = {name: count / chosen.total() for name, count in sorted(chosen.items(), key=lambda item: -item[1])}
    return Selection(shares, validation.loss_on(decided, rows), validation.value_on(decided, rows), choosing)


def _greedy(validation: Validation, members: Mapping[str, Floats], rows: Rows, most: int) -> Counter[str]:
    """How often each network is added, by the metric on some rows."""

    def standing(total: Floats, added: int) -> tuple[float, float]:
        return validation.standing(as_outputs(total / added, validation.kind), rows)

    alone = {name: standing(predicted, 1) for name, predicted in members.items()}
    ordered = sorted(members, key=alone.__getitem__)
    chosen = Counter(ordered[:1])
    best, total = alone[ordered[0]], np.array(members[ordered[0]], dtype=np.float64)
    for added in range(2, _MOST_ADDED + 1):
        allowed = ordered if len(chosen) < most else [name for name in ordered if name in chosen]
        found = {name: standing(total + members[name], added) for name in allowed}
        name = min(allowed, key=found.__getitem__)
        if found[name] >= best:
            break
        best, total = found[name], total + members[name]
        chosen[name] += 1
    return chosen


def _averaged(members: Mapping[str, Floats], chosen: Counter[str], kind: str) -> Floats:
    """What the chosen networks say together, as a network would put it."""
    total = sum(count * members[name].astype(np.float64) for name, count in chosen.items())
    return as_outputs(np.asarray(total) / chosen.total(), kind)
