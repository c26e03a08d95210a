"""The data-efficiency law: how many epochs a network of a given size needs to reach a loss."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

#: Fits seven real tasks; any value from -2 to +1 is as good (DESIGN section 2).
DEFAULT_C = -1.0


#: The size whose epochs `saturation` is a share of.
_SATURATION_SIZE = 2.0**16


def relative_epochs(
    num_free_parameters: npt.ArrayLike, c: float = DEFAULT_C, saturation: float = 0.0
) -> npt.NDArray[np.float64]:
    """Epochs to a loss, up to a factor that depends on the task: (log2 NTP + c)^-3.

    Source: paper equation 10, (epochs to the minimum loss)^(-1/3) is about affine in log NTP. Holds as long as the
    loss is within reach of the size; the root mean square of the log residual is 0.40 (DESIGN section 2). Infinite
    where log2 NTP + c is not positive. ``saturation`` adds epochs that no size saves, as a share of those that the law
    gives 2^16 parameters: a loss that is reached in a few epochs is hardly reached in fewer by a larger network.
    """
    base = np.log2(np.asarray(num_free_parameters, dtype=np.float64)) + c
    with np.errstate(divide="ignore"):
        epochs = np.where(base > 0, np.maximum(base, 0.0) ** -3.0, np.inf)
    return np.asarray(epochs + saturation * (np.log2(_SATURATION_SIZE) + c) ** -3.0)
