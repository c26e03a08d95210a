"""What the time of a call depends on: its family, within which times are interpolated, and where it stands in it."""

from __future__ import annotations

from functools import cache
from math import log2, prod
from typing import Any, NamedTuple

import torch

from sizer.operators.call import Call, TensorSpec

#: Operator -> family, where several are one: products differ in what is added to them.
_PRODUCTS = ("mm", "addmm", "bmm", "baddbmm")
#: What flags weigh beside doublings of a size: a stride or a layout changes a time as about two of them.
_FLAG = 2.0
ELEMENTWISE = "element-wise"
#: Kinds of which an operator that was not timed is told by the others: what they take goes by the bytes that they move.
TELLING = (
    ELEMENTWISE,
    "copies",
    "softmax",
    "normalisation",
    "pooling",
    "reductions",
    "losses",
    "optimizer",
    "interpolation",
)
#: What the family of a convolution's calls ends with that have a kernel for each channel.
DEPTHWISE = " depthwise"
#: Types of numbers with a fraction begin so.
_FRACTIONS = ("float", "bfloat", "complex")
#: How families are called in a table.
_NAMES = {
    "product": "matrix products",
    "convolution": "convolutions",
    "convolution_backward": "convolutions",
    "embedding": "embeddings",
    "embedding_dense_backward": "embeddings",
    "mkldnn_rnn_layer": "recurrent kernels",
    "mkldnn_rnn_layer_backward": "recurrent kernels",
    "clone": "copies",
    "copy_": "copies",
    "cat": "copies",
    "_to_copy": "copies",
    "stack": "copies",
    "constant_pad_nd": "copies",
}
_PARTS = (
    ("attention", "attention"),
    ("norm", "normalisation"),
    ("softmax", "softmax"),
    ("pool", "pooling"),
    ("upsample", "interpolation"),
    ("fused_", "optimizer"),
    ("foreach", "optimizer"),
    ("loss", "losses"),
)
_REDUCTIONS = ("sum", "mean", "amax", "max", "min", "var_mean", "var", "argmax", "linalg_vector_norm")


class Place(NamedTuple):
    """Where a call stands in its family: one coordinate a feature; see `Interpolation`.

    Sizes are base-2 logarithms, half of them where the trend of the family tells most of what they do.
    """

    family: str
    features: tuple[float, ...]


def place_of(call: Call) -> Place:
    """The family of a call and its features. Calls in another type than float32 are families of their own.

    Kernels of other types are other code: a product in bfloat16 takes a tenth of one in float32, or ten times as long.
    """
    place, other = _place_in_float32(call), other_types(call)
    return Place(f"{place.family} in {' and '.join(other)}", place.features) if other else place


def other_types(call: Call) -> list[str]:
    """The types of numbers with a fraction that a call is given and gives, beside float32."""
    types = {spec.dtype for spec in (*call.tensors, *call.outputs)}
    return sorted(name for name in types if name != "float32" and name.startswith(_FRACTIONS))


def _place_in_float32(call: Call) -> Place:
    name = call.packet
    try:
        if name in _PRODUCTS:
            return Place("product", _product(call))
        if name in ("convolution", "convolution_backward", "_convolution"):
            features = _convolution(call)
            return Place(f"{name}{DEPTHWISE}" if features[_DEPTHWISE] else name, features)
        if "attention" in name:
            return Place(name, _attention(call))
        if "pool" in name:
            return Place(call.operator, (*_any(call), *_pooling(call)))
        if "rnn" in name or "lstm" in name or "gru" in name:
            return Place(name, _recurrent(call))
    except (IndexError, TypeError, AttributeError):
        pass  # an overload with other arguments: as any other operator
    return Place(call.operator, _any(call))


@cache
def is_elementwise(operator: str) -> bool:
    """Whether torch tags an operator as element-wise."""
    found: Any = torch.ops
    try:
        for name in operator.split("."):
            found = getattr(found, name)
    except AttributeError:
        return False
    return torch.Tag.pointwise in found.tags


def kind_of(call: Call) -> str:
    """What people call operators of that kind."""
    name = call.packet
    family = "product" if name in _PRODUCTS else name
    if family in _NAMES:
        return _NAMES[family]
    for part, kind in _PARTS:
        if part in family:
            return kind
    if is_elementwise(call.operator):
        return ELEMENTWISE
    return "reductions" if family in _REDUCTIONS else "others"


def _log(value: float) -> float:
    return log2(max(value, 1))


def _element(spec: TensorSpec) -> float:
    return 0.0 if spec.dtype == "float32" else _FLAG * (1 + len(spec.dtype) / 10)


def _transposed(spec: TensorSpec) -> float:
    return _FLAG * float(bool(spec.strides) and spec.strides is not None and spec.strides[-1] != 1)


def _aligned(size: int) -> float:
    """0 for whole vectors of 16 elements, a flag for others, half for those of 8."""
    return _FLAG / 2 * (float(size % 16 != 0) + float(size % 8 != 0))


def _product(call: Call) -> tuple[float, ...]:
    first, second = call.tensors[-2:]
    m, k, n = first.shape[-2], first.shape[-1], second.shape[-1]
    batch = first.shape[0] if len(first.shape) == 3 else 1
    return (
        *(_log(batch), _log(m), _log(k), _log(n)),
        *(_transposed(first), _transposed(second), _FLAG / 2 * (len(call.tensors) == 3), _element(first)),
        *(_FLAG * (batch > 1), _aligned(k) / 2, _aligned(n) / 2),
    )


#: Which feature of a convolution tells that each channel has a kernel of its own: another code, at a tenth of the rate.
_DEPTHWISE = 10


def _convolution(call: Call) -> tuple[float, ...]:
    """Features of a convolution; those of a backward one are told by the shapes of its forward one.

    Of one with a kernel for each channel the kernel's size counts twice: 3 by 3 has code of its own.
    """
    tensors, backward = call.tensors, call.packet == "convolution_backward"
    inputs, weight = (tensors[1], tensors[2]) if backward else (tensors[0], tensors[1])
    outputs = tensors[0] if backward else call.outputs[0]
    stride, dilation, transposed, groups = (
        (call.arguments[4], *call.arguments[6:8], call.arguments[9])
        if backward
        else (call.arguments[3], *call.arguments[5:7], call.arguments[8])
    )
    taken = (weight.shape[0] if transposed else inputs.shape[1]) // groups
    given = outputs.shape[1] // groups
    depthwise = groups > 1 and taken == 1
    wanted = call.arguments[10] if backward else (True,)
    return (
        *(_log(inputs.shape[0]) / 2, _log(outputs.shape[0] * prod(outputs.shape[2:])) / 2, _log(taken), _log(given)),
        *(
            _log(groups),
            _log(prod(weight.shape[2:])) * (1 + depthwise),
            _log(prod(stride)),
            _FLAG * (prod(dilation) > 1),
        ),
        *(_aligned(groups if depthwise else taken), 0.0 if depthwise else _aligned(given), 2 * _FLAG * depthwise),
        *(_FLAG * float(not inputs.contiguous), 2 * _FLAG * bool(transposed), 2 * _FLAG * (len(inputs.shape) - 4)),
        *(_element(inputs), _FLAG * bool(wanted[0]), _FLAG * (groups > 1)),
    )


def computed(call: Call) -> int:
    """FLOPs that a call computes.

    Torch's registry has those of a convolution's backward pass as if each channel met every other (torch 2.13), far too
    many where there are groups; here they are those of a forward pass for each gradient that is wanted.
    """
    if call.packet != "convolution_backward":
        return call.flops
    outputs, _, weight = call.tensors[:3]
    forward = 2 * outputs.elements * prod(weight.shape[1:])
    return forward * sum(map(bool, call.arguments[10][:2]))


def _attention(call: Call) -> tuple[float, ...]:
    query, key = (call.tensors[1], call.tensors[2]) if "backward" in call.packet else call.tensors[:2]
    causal = any(value is True for value in call.arguments)
    masked = any(name == "attn_mask" and value is not None for name, value in call.keywords)
    return (
        *(_log(prod(query.shape[:2])), _log(query.shape[2]), _log(key.shape[2]), _log(query.shape[3])),
        *(_FLAG * causal, _FLAG * masked, _element(query), _transposed(query)),
    )


def _recurrent(call: Call) -> tuple[float, ...]:
    inputs, weight = call.tensors[0], call.tensors[1]
    return (*map(_log, inputs.shape[-3:]), _log(weight.shape[0]), _element(inputs))


def _pooling(call: Call) -> tuple[float, ...]:
    """Elements that are looked at for each that comes out, and how far apart: window and stride, or given sizes."""
    lists = [value for value in call.arguments if isinstance(value, tuple) and not isinstance(value, TensorSpec)]
    return tuple(_log(prod(sizes)) for sizes in (*lists, (), ())[:2])


def _any(call: Call) -> tuple[float, ...]:
    """Bytes in and out, tensors, the length of a row, whether memory is read in order, the type, and what is said.

    A normalisation in evaluation says that it is not in training, and is another code.
    """
    tensors, said = call.tensors, _FLAG * sum(value is True for value in call.arguments)
    if not tensors:
        return (0.0, _log(call.bytes_out) / 2, 0.0, 0.0, 0.0, 0.0, said)
    first = max(tensors, key=lambda spec: spec.elements)
    row = first.shape[-1] if first.shape else 1
    in_order = all(spec.contiguous for spec in (*tensors, *call.outputs))
    dense = all(spec.dense for spec in tensors)
    return (
        *(_log(call.bytes_in) / 2, _log(call.bytes_out) / 2, _log(len(tensors)), _log(row) / 2),
        *(_FLAG * (float(not in_order) + float(not dense)), _element(first), said),
    )
