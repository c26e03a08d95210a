"""Losses by epoch: epochs to a loss and to the lowest one, and the law of epochs fitted to them (equation 10).

The law is of the paper: a network of P trainable parameters needs epochs proportional to (log2 P + c)^-3.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import pandas as pd

from sizer.method.placement import FloatArray
from sizer.method.working_sets import IntArray
from sizer.study.analysis.quantity import require_columns
from sizer.study.step import Rule

#: The median over an experiment's repetitions, by epoch.
LOSS = "test_loss_quantile_50"
#: A family: networks that differ in size only. Loss does not depend on the hardware.
FAMILY = ["dataset", "shape", "depth"]
NEEDED = (*FAMILY, "size", "num_free_parameters", "epoch", LOSS)
#: A minimum, a curve of the law and a family's losses need this many sizes.
LEAST_SIZES = 3
#: Largest c tried: there the law is nearly flat over any sizes that one can train.
_LARGEST_C = 1000.0
_LAW_COLUMNS = [
    *("epochs_to", "dataset", "c", "c_standard_error"),
    *("rms_log_residual", "rms_log_no_dependence", "networks", "curves"),
]


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


def epochs_to_minimum(summaries: pd.DataFrame) -> pd.DataFrame:
    """Epochs to the lowest median test loss of each network: dataset, shape, depth, size, num_free_parameters, epochs.

    ``censored`` marks networks whose loss was still falling when the training ended: the epochs are too few.
    """
    losses, _ = usable(summaries)
    found = [epoch_of_minimum(row.epoch, getattr(row, LOSS)) for row in losses.itertuples()]
    networks = losses[[*FAMILY, "size", "num_free_parameters"]]
    return networks.assign(epochs=[epoch for epoch, _ in found], censored=[censored for _, censored in found])


def fit_laws(summaries: pd.DataFrame, curves: pd.DataFrame) -> tuple[pd.DataFrame, pd.DataFrame]:
    """The law fitted to epochs to the lowest loss and to epochs to each loss: (networks, `fit_law` of both).

    ``curves`` are `sizer.study.analysis.iso_loss.IsoLoss.curves`; the networks are those of `epochs_to_minimum`.
    """
    networks = epochs_to_minimum(summaries)
    known = networks[~networks["censored"]]
    # Loss does not depend on the hardware, so each network counts once.
    to_loss = curves.drop_duplicates([*FAMILY, "size", "loss"])
    laws = [fit_law(known, FAMILY, "minimum"), fit_law(to_loss, [*FAMILY, "loss"], "loss")]
    return networks, pd.concat(laws, ignore_index=True)


def fit_law(networks: pd.DataFrame, curve: list[str], epochs_to: str) -> pd.DataFrame:
    """Fit the law to each data set and to all together; a row each.

    ``networks`` has num_free_parameters, epochs, dataset and the columns ``curve`` that tell curves apart; each curve
    has a slope of its own, c is shared. Columns: epochs_to, dataset (``all``), c, c_standard_error, rms_log_residual,
    rms_log_no_dependence (the same with epochs alike for all sizes), networks, curves. Curves of fewer than three
    sizes are left out. c is NaN where nothing is left, its error NaN where c ends at a limit.
    """
    sizes = networks.groupby(curve)["num_free_parameters"].transform("size")
    fitted = networks[(sizes >= LEAST_SIZES) & (networks["num_free_parameters"] > 1)]
    return pd.DataFrame(_fits(fitted, curve, epochs_to), columns=_LAW_COLUMNS)


def _fits(networks: pd.DataFrame, curve: list[str], epochs_to: str) -> Iterator[tuple[object, ...]]:
    for name, some in [("all", networks), *networks.groupby("dataset")]:
        if some.empty:
            continue
        group = some.groupby(curve).ngroup().to_numpy()
        size = np.log2(some["num_free_parameters"].to_numpy(np.float64))
        log_epochs = np.log(some["epochs"].to_numpy(np.float64))
        c, error, residual, flat = fit_c(size, log_epochs, group)
        yield (epochs_to, name, c, error, residual, flat, len(some), len(set(group)))


def fit_c(log2_size: FloatArray, log_epochs: FloatArray, group: IntArray) -> tuple[float, float, float, float]:
    """(c, its standard error, rms residual, rms with no dependence) of log epochs = k_g - 3 log(log2 P + c).

    Each group g has its own k; it is the mean residual, so only c is searched for. Its error is that of the law made
    linear around it; NaN where c ends at a limit of the search.
    """
    from scipy.optimize import minimize_scalar

    least = -float(log2_size.min())
    freedom = max(len(log_epochs) - len(set(group.tolist())) - 1, 1)

    def squares(log_offset: float) -> float:
        return _spread(log_epochs + 3 * np.log(log2_size + least + np.exp(log_offset)), group)

    # c > -min(log2 P) is searched for by the logarithm of its distance from there.
    limits = (np.log(1e-3), np.log(_LARGEST_C))
    best = minimize_scalar(squares, bounds=limits, method="bounded", options={"xatol": 1e-6})
    offset, total = float(np.exp(best.x)), float(best.fun)
    at_limit = min(best.x - limits[0], limits[1] - best.x) < 1e-2
    seen = _spread(3 / (log2_size + least + offset), group)
    error = float("nan") if at_limit or not seen else float(np.sqrt(total / freedom / seen))
    flat = _spread(log_epochs, group)
    return least + offset, error, float(np.sqrt(total / freedom)), float(np.sqrt(flat / freedom))


def _spread(values: FloatArray, group: IntArray) -> float:
    """Sum of squares around the mean of each group."""
    means = np.bincount(group, values) / np.bincount(group)
    return float(np.square(values - means[group]).sum())
