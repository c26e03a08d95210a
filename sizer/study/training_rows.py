"""Design rows of whole trainings: E = k_e + n (h_t (E_f + E_b) + h_s E_f') counted term by term (equations 2 to 9)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd

from sizer.cost import Row, every_step_row, forward_row, small_work_row
from sizer.placement import Hierarchy
from sizer.study.networks import Group, analysed


def training_rows(experiments: pd.DataFrame, levels: Mapping[str, Hierarchy], kinds: Sequence[str]) -> Row:
    """A term's name to its count in each whole training, shape (N,): every term whose first part is in ``kinds``.

    ``experiments`` has the columns of a runs frame (`sizer.study.networks`), ``levels`` the hierarchy of each hardware
    in it. A level that only another hardware has counts 0.
    """
    total: Row = {"experiment": np.ones(len(experiments))}
    for group in analysed(experiments, levels):
        for name, count in _counts(group).items():
            if name.partition(".")[0] in kinds:
                total.setdefault(name, np.zeros(len(experiments)))[group.positions] = count
    return total


def _counts(group: Group) -> Row:
    """A whole training's counts: n h_t steps and n h_s test passes, each with its small work."""
    steps, tests = float(group.epochs * group.h_t), float(group.epochs * group.h_s)
    total: Row = {}
    rows = ((every_step_row, steps), (forward_row, tests), (small_work_row, tests))
    for row, times in rows:
        for name, count in row(group.networks).items():
            total[name] = total.get(name, 0.0) + times * count
    return total
