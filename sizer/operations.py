"""How much arithmetic a network's passes take, counted in two ways that are never mixed.

The paper's *operations* count a multiply-accumulate as 1; *FLOPs* count it as 2 and matrix products only, as torch's
FlopCounterMode does.
"""

from __future__ import annotations

import numpy as np

from sizer.working_sets import IntArray


def forward_operations(full: IntArray, batch_size: int) -> IntArray:
    """o_f = B sum(w_in w_out + w_out), the paper's count of one forward pass, shape (N,)."""
    w_in, w_out = full[:-1], full[1:]
    return np.asarray(batch_size * (w_in * w_out + w_out).sum(axis=0))


def backward_operations(full: IntArray, num_free_parameters: IntArray, batch_size: int) -> IntArray:
    """o_b = B sum(2 w_out + w_in w_out + [not first layer] w_in w_out) + P (1 + B), the paper's count, shape (N,)."""
    w_in, w_out = full[:-1], full[1:]
    products = w_in * w_out
    layers = (2 * w_out + 2 * products).sum(axis=0) - products[0]
    return np.asarray(batch_size * layers + num_free_parameters * (1 + batch_size))


def forward_flops(full: IntArray, batch_size: int) -> IntArray:
    """FLOPs of the forward pass's matrix products, biases left out, shape (N,)."""
    return np.asarray(2 * batch_size * (full[:-1] * full[1:]).sum(axis=0))


def backward_flops(full: IntArray, batch_size: int) -> IntArray:
    """FLOPs of the backward pass's matrix products; the gradient of the network's input is not computed, shape (N,)."""
    products = full[:-1] * full[1:]
    return np.asarray(2 * batch_size * (2 * products.sum(axis=0) - products[0]))
