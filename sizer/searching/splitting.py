"""Setting validation rows aside: seeded, and stratified so that both parts look alike. Pure numpy."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

#: A regression is stratified by this many equally filled ranges of its (first) target.
_RANGES = 10

Rows = npt.NDArray[np.int64]


class Split(NamedTuple):
    """Positions of the rows of either part, ascending."""

    train: Rows
    validation: Rows


def strata_of(targets: npt.NDArray[Any], is_classification: bool) -> Rows:
    """The stratum of each row: its class, or the range that its target lies in."""
    if is_classification:
        return targets.astype(np.int64)
    ranks = np.argsort(np.argsort(targets, kind="stable"), kind="stable")
    return np.asarray(ranks * min(_RANGES, len(targets)) // len(targets), dtype=np.int64)


def split_rows(strata: Rows, share: float, seed: int) -> Split:
    """Set about ``share`` of the rows aside, the same share of every stratum as nearly as whole rows allow.

    Each stratum keeps at least one row for training. The same strata, share and seed always give the same split.
    """
    random = np.random.default_rng(seed)
    order = random.permutation(len(strata))
    order = order[np.argsort(strata[order], kind="stable")]
    _, starts, counts = np.unique(strata[order], return_index=True, return_counts=True)
    is_aside = np.zeros(len(strata), dtype=bool)
    for start, count in zip(starts, _shared_out(counts, share), strict=True):
        is_aside[order[start : start + count]] = True
    return Split(np.flatnonzero(~is_aside), np.flatnonzero(is_aside))


def _shared_out(counts: Rows, share: float) -> Rows:
    """Rows to set aside of each stratum: the whole part of its share, then one more where the most is left over."""
    exact = counts * share
    taken = np.floor(exact).astype(np.int64)
    left_over = exact - taken
    missing = round(float(exact.sum())) - int(taken.sum())
    taken[np.argsort(-left_over, kind="stable")[:missing]] += 1
    return np.asarray(np.minimum(taken, counts - 1), dtype=np.int64)
