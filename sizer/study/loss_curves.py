"""Epochs to a loss, from the test loss after each epoch."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd

from sizer.placement import FloatArray
from sizer.study.quantity import require_columns
from sizer.study.step import Rule

#: The median over an experiment's repetitions, by epoch.
LOSS = "test_loss_quantile_50"
#: A family: networks that differ in size only. Loss does not depend on the hardware.
FAMILY = ["dataset", "shape", "depth"]
NEEDED = (*FAMILY, "size", "num_free_parameters", "epoch", LOSS)


def usable(summaries: pd.DataFrame) -> tuple[pd.DataFrame, Rule]:
    """The summaries with a loss above 0 at two epochs or more, one for each network, and the rule that removed others.

    Of a network with several (other learning rates, regularizers) the one with the most repetitions, then epochs, is
    kept. Raises MeasurementError for missing columns.
    """
    require_columns(summaries, NEEDED, "the summaries by epoch")
    lengths = summaries[LOSS].map(_finite)
    known = summaries.assign(_epochs=lengths)[lengths >= 2]
    best = ["num_runs", "_epochs"] if "num_runs" in known else ["_epochs"]
    known = known.sort_values(best, ascending=False, kind="stable").drop_duplicates([*FAMILY, "size"])
    left_out = len(summaries) - len(known)
    meaning = "fewer than two epochs with a loss above 0, or a network that another summary has with more repetitions"
    return known.drop(columns="_epochs").sort_values([*FAMILY, "size"]), Rule("no loss", meaning, left_out, "networks")


def _finite(losses: object) -> int:
    """Epochs with a loss above 0; 0 for anything but a list of numbers."""
    values = np.asarray(losses if losses is not None else (), dtype=np.float64)
    return int(np.count_nonzero(np.isfinite(values) & (values > 0)))


def best_so_far(epochs: Any, losses: Any) -> tuple[FloatArray, FloatArray]:
    """(epochs, lowest loss up to each), in order, without the epochs whose loss is not a number above 0."""
    epoch, loss = np.asarray(epochs, dtype=np.float64), np.asarray(losses, dtype=np.float64)
    fine = np.isfinite(loss) & (loss > 0) & (epoch > 0)
    order = np.argsort(epoch[fine], kind="stable")
    return epoch[fine][order], np.minimum.accumulate(loss[fine][order])


def epochs_to_loss(epochs: Any, losses: Any, targets: Sequence[float] | FloatArray) -> FloatArray:
    """Epochs until the loss first was at or below each target, shape (targets,); NaN where it never was.

    Between two epochs log epochs are interpolated over the log of the lowest loss so far.
    """
    epoch, lowest = best_so_far(epochs, losses)
    new_best = np.concatenate([[True], lowest[1:] < lowest[:-1]])
    x, y = np.log(lowest[new_best]), np.log(epoch[new_best])
    # np.interp wants rising x; beyond the first loss the first epoch stands, beyond the last nothing is known.
    return np.exp(np.interp(np.log(targets), x[::-1], y[::-1], left=np.nan))


def epoch_of_minimum(epochs: Any, losses: Any) -> tuple[float, bool]:
    """(epoch of the lowest loss, whether the loss was still falling to it when the training ended)."""
    epoch, lowest = best_so_far(epochs, losses)
    position = int(np.argmin(lowest))
    return float(epoch[position]), position == len(epoch) - 1
