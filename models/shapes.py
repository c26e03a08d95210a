"""BUTTER's eight shapes: the rule that turns a first width, a depth and an output width into every layer's width.

Source: Tripp et al., BUTTER (arXiv 2207.12547), section 3; `rectangle_residual` has the widths of `rectangle` and
identity additions between its layers.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import numpy.typing as npt

IntArray = npt.NDArray[np.int64]
FloatArray = npt.NDArray[np.float64]


def _rectangle(s: FloatArray, depth: int, n: int) -> FloatArray:  # noqa: ARG001 (one signature for all shapes)
    return np.broadcast_to(s, (depth - 1, *s.shape))


def _trapezoid(s: FloatArray, depth: int, n: int) -> FloatArray:
    k = np.arange(depth - 1).reshape(-1, *[1] * s.ndim)
    return np.rint(s - k * (s - n) / (depth - 1))


def _exponential(s: FloatArray, depth: int, n: int) -> FloatArray:
    k = np.arange(depth - 1).reshape(-1, *[1] * s.ndim)
    b = np.exp(np.log(n / s) / (depth - 1))
    return np.maximum(n, np.rint(s * b**k))


def _wide_first(factor: int) -> Callable[[FloatArray, int, int], FloatArray]:
    def widths(s: FloatArray, depth: int, n: int) -> FloatArray:  # noqa: ARG001
        rest = np.maximum(1, np.rint(s / factor))
        return np.concatenate([s[None], np.broadcast_to(rest, (depth - 2, *s.shape))])

    return widths


MAX_DEPTH = 1000

#: Hidden widths of each shape: (first width s, depth, output width n) -> array (depth - 1, *s.shape).
_HIDDEN_WIDTHS: dict[str, Callable[[FloatArray, int, int], FloatArray]] = {
    "rectangle": _rectangle,
    "rectangle_residual": _rectangle,
    "trapezoid": _trapezoid,
    "exponential": _exponential,
    "wide_first_2x": _wide_first(2),
    "wide_first_4x": _wide_first(4),
    "wide_first_8x": _wide_first(8),
    "wide_first_16x": _wide_first(16),
}

SHAPES: tuple[str, ...] = tuple(_HIDDEN_WIDTHS)


def layer_widths(
    shape: str, first_width: int | npt.ArrayLike, depth: int, output_dim: int, multiple: int = 1
) -> IntArray:
    """Output width of every dense layer, the output layer included, for one or many first widths.

    Returns shape (depth, *np.shape(first_width)). With ``multiple`` above 1 each hidden width is rounded to the nearest
    multiple of it (at least one), which keeps the shape and suits vector units. Rounding is to even at a half, as
    Python's round() does. Depth 1 has no hidden layer. Raises KeyError for an unknown shape.

    >>> layer_widths("trapezoid", 100, depth=4, output_dim=10)
    array([100,  70,  40,  10])
    """
    s = np.asarray(first_width, dtype=np.float64)
    output = np.full((1, *s.shape), output_dim, dtype=np.int64)
    if depth == 1:
        return output
    hidden = _HIDDEN_WIDTHS[shape](s, depth, output_dim)
    if multiple > 1:
        hidden = np.maximum(1, np.rint(hidden / multiple)) * multiple
    return np.concatenate([hidden.astype(np.int64), output])


def residual_additions(shape: str, depth: int) -> int:
    """How many identity additions a network has: one around each hidden layer but the first in the residual shape."""
    return max(0, depth - 2) if shape == "rectangle_residual" else 0
