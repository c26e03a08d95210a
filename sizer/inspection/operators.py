"""What fake tensors leave open about torch's operators: what they are made of, and where fake kernels differ."""

from __future__ import annotations

import random
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from typing import Any

import torch

NORMALIZATIONS = frozenset(
    {torch.ops.aten.native_batch_norm, torch.ops.aten.native_group_norm, torch.ops.aten.native_layer_norm}
)
_PRODUCTS = frozenset(
    {torch.ops.aten.mm, torch.ops.aten.addmm, torch.ops.aten.bmm, torch.ops.aten.baddbmm, torch.ops.aten.convolution}
)
_HALF = (torch.bfloat16, torch.float16)


def _rnn_flops(*args: Any, out_val: Any = None, **kwargs: Any) -> int:  # noqa: ARG001
    """Of one layer's weights, a matrix product with each of its 2-D ones for every step and sequence."""
    rows = args[0].numel() // args[0].shape[-1]
    weights = args[1] if isinstance(args[1], (list, tuple)) else args[1:3]
    return 2 * int(rows) * sum(int(weight.numel()) for weight in weights if weight.dim() == 2)


def _rnn_backward_flops(*args: Any, out_val: Any = None, **kwargs: Any) -> int:
    """The gradients of the weights and those of what they were multiplied with."""
    return 2 * _rnn_flops(*args, out_val=out_val, **kwargs)


#: FLOPs of recurrent layers that are one kernel, which `torch.utils.flop_counter` leaves out.
RECURRENT = {
    torch.ops.aten.mkldnn_rnn_layer: _rnn_flops,
    torch.ops.aten.mkldnn_rnn_layer_backward: _rnn_backward_flops,
    torch.ops.aten._cudnn_rnn: _rnn_flops,
    torch.ops.aten._cudnn_rnn_backward: _rnn_backward_flops,
}


@cache
def decomposes(func: torch._ops.OpOverload) -> bool:
    """Whether an operation is made of others (`OpOverload.decompose` would return them, not NotImplemented)."""
    composite = torch._C.DispatchKey.CompositeImplicitAutograd
    name = str(func.name())  # type: ignore[no-untyped-call]
    return composite in func.py_kernels or torch._C._dispatch_has_kernel_for_dispatch_key(name, composite)


def check_one_type(packet: Any, args: Any) -> None:
    """Raises TypeError for a product of two types, which torch refuses with real tensors and passes with fake ones."""
    if packet in _PRODUCTS:
        types = {str(arg.dtype).removeprefix("torch.") for arg in args if isinstance(arg, torch.Tensor)}
        if len(types) > 1:
            raise TypeError(f"a product of {' and '.join(sorted(types))}, which have to be of one type")


def with_float_statistics(outputs: Any, args: Any) -> Any:
    """As the CPU's kernels do: with a 2-byte input and 4-byte weights the saved mean and deviation have 4 bytes.

    The meta kernels (torch 2.13) give them the input's type.
    """
    weights = [arg.dtype for arg in args[1:] if isinstance(arg, torch.Tensor)]
    if args[0].dtype not in _HALF or args[0].device.type != "cpu" or torch.float32 not in weights:
        return outputs
    return (outputs[0], *(torch.empty_like(output, dtype=torch.float32) for output in outputs[1:]))


@contextmanager
def kept_random_states() -> Iterator[None]:
    """The generators of Python, NumPy and torch end as they were: a forward may draw from any of them."""
    numpy = sys.modules.get("numpy")
    python_state, torch_state = random.getstate(), torch.get_rng_state()
    numpy_state = numpy.random.get_state() if numpy is not None else None
    try:
        yield
    finally:
        random.setstate(python_state)
        torch.set_rng_state(torch_state)
        if numpy is not None:
            numpy.random.set_state(numpy_state)
