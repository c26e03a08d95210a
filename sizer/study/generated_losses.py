"""Loss curves of generated experiments, by the data-efficiency law (paper equation 10)."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pandas as pd

from sizer.data_efficiency import relative_epochs
from sizer.study import published as study
from sizer.study.schema import LOSS_QUANTILES

IntArray = npt.NDArray[np.int64]
FloatArray = npt.NDArray[np.float64]

#: Epoch of the least loss: this times (log2 NTP + c)^-3, which is 2800 at 2^5 parameters.
EPOCHS_SCALE = 2800.0 * 4.0**3
#: Quantiles of the loss over the repetitions lie this far, in units of the noise, from the median.
_SPREAD = dict(zip(LOSS_QUANTILES, (-1.5, -0.67, 0.0, 0.67, 1.5), strict=True))
#: Loss above what no network gets below: at no training, and at the best of a network of 2^10 parameters.
_LOSS_AT_START, _LOSS_AT_BEST, _LOSS_EXPONENT, _LOSS_FLOOR = 1.0, 0.35, 0.12, 0.05
_OVERFITTING = 0.04


def epochs_recorded(last: int = study.EPOCHS) -> IntArray:
    """Every epoch to 60, then a hundred a factor of ten: enough to find a minimum within 1.2 %."""
    spaced = np.rint(np.geomspace(60, last, max(2, int(100 * np.log10(last / 60))))).astype(np.int64)
    return np.unique(np.concatenate([np.arange(1, 61), spaced]))


def best_epoch(num_free_parameters: IntArray, c: float) -> FloatArray:
    """Epoch of the least test loss, by equation 10: scale x (log2 NTP + c)^-3."""
    return np.asarray(EPOCHS_SCALE * relative_epochs(num_free_parameters, c))


def loss_curves(
    experiments: pd.DataFrame, c: float, noise: float, random: np.random.Generator
) -> dict[str, list[FloatArray | IntArray]]:
    """Lists over the epochs for each experiment (``num_free_parameters``, ``dataset``): epoch and the loss quantiles.

    The loss falls to its least at `best_epoch` and then rises slowly, as networks overfit. Larger networks get lower.
    """
    epochs = epochs_recorded()
    parameters = experiments["num_free_parameters"].to_numpy(np.int64)
    best = best_epoch(parameters, c)
    reached = _LOSS_AT_BEST * (parameters / 1024.0) ** -_LOSS_EXPONENT
    curves: dict[str, list[FloatArray | IntArray]] = {"epoch": []}
    curves |= {name: [] for name in LOSS_QUANTILES}
    for least, at in zip(reached, best, strict=True):
        time = epochs / at
        # A parabola in log time around the minimum, so that the loss is least exactly there.
        shape = np.where(
            time < 1, (1 - np.minimum(time, 1) ** 0.5) ** 2, _OVERFITTING * np.log(np.maximum(time, 1)) ** 2
        )
        median = _LOSS_FLOOR + least + (_LOSS_AT_START - least) * shape
        curves["epoch"].append(epochs)
        for name, spread in _SPREAD.items():
            curves[name].append(median * np.exp(noise * (0.2 * random.normal(size=len(epochs)) + spread)))
    return curves
