"""The data-efficiency law (paper equation 10) fitted to epochs counted in training, with its error.

(epochs)^(-1/3) is about affine in log NTP: epochs = (slope (log2 NTP + c))^-3. Two counts of epochs are fitted: to the
lowest loss of a training, as in the paper, and to a given loss, which is what a recommendation needs.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pandas as pd

from sizer.placement import FloatArray
from sizer.study import loss_curves
from sizer.study.loss_curves import FAMILY, LOSS
from sizer.study.loss_minima import LEAST_SIZES
from sizer.working_sets import IntArray

#: Largest c tried: there the law is nearly flat over any sizes that one can train.
_LARGEST_C = 1000.0


def epochs_to_minimum(summaries: pd.DataFrame) -> pd.DataFrame:
    """Epochs to the lowest median test loss of each network: dataset, shape, depth, size, num_free_parameters, epochs.

    ``censored`` marks networks whose loss was still falling when the training ended: the epochs are too few.
    """
    losses, _ = loss_curves.usable(summaries)
    found = [loss_curves.epoch_of_minimum(row.epoch, getattr(row, LOSS)) for row in losses.itertuples()]
    networks = losses[[*FAMILY, "size", "num_free_parameters"]]
    return networks.assign(epochs=[epoch for epoch, _ in found], censored=[censored for _, censored in found])


def fit_laws(summaries: pd.DataFrame, curves: pd.DataFrame) -> tuple[pd.DataFrame, pd.DataFrame]:
    """The law fitted to epochs to the lowest loss and to epochs to each loss: (networks, `fit_law` of both).

    ``curves`` are `sizer.study.iso_loss.IsoLoss.curves`; the networks are those of `epochs_to_minimum`.
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
    return pd.DataFrame(_fits(fitted, curve, epochs_to), columns=_COLUMNS)


_COLUMNS = [
    *("epochs_to", "dataset", "c", "c_standard_error"),
    *("rms_log_residual", "rms_log_no_dependence", "networks", "curves"),
]


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
