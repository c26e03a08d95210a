"""What a training step keeps for each parameter and activation: element types, optimizers, batch size."""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple


class Dtype(NamedTuple):
    """Bytes that one element takes, by what it is.

    With mixed precision, activations and the parameters' cast copies have 2 bytes while the master weights, their
    gradients and the optimizer's moments stay float32 (`docs/method.md`).
    """

    name: str
    activation_bytes: int
    forward_parameter_bytes: int
    backward_parameter_bytes: int
    master_bytes: int

    @property
    def data_bytes(self) -> int:
        """Bytes of one element of the data set, which is kept in the type of the master weights."""
        return self.master_bytes


def _uniform(name: str, size: int) -> Dtype:
    return Dtype(name, size, size, 2 * size, size)


DTYPES: dict[str, Dtype] = {
    "float32": _uniform("float32", 4),
    "float64": _uniform("float64", 8),
    "bfloat16": _uniform("bfloat16", 2),
    "float16": _uniform("float16", 2),
    # Forward reads the 2-byte cast copies; backward holds those and the float32 gradients: 2 + 4.
    "mixed": Dtype("mixed", 2, 2, 6, 4),
}

#: Optimizer name -> moments it keeps for each parameter.
OPTIMIZER_MOMENTS: dict[str, int] = {"adam": 2, "adamw": 2, "sgd": 0, "sgd-momentum": 1}

#: What people call the working sets; the letters are the paper's, and stay in records.
SET_NAMES = {"f": "weights", "b": "backward", "o": "optimizer", "t_max": "activations", "d": "data"}

#: Other names that people and frameworks have for these.
_ALSO = {
    **dict.fromkeys(("fp32", "f32", "float", "single"), "float32"),
    **dict.fromkeys(("fp64", "f64", "double"), "float64"),
    **dict.fromkeys(("fp16", "f16", "half"), "float16"),
    **dict.fromkeys(("bf16",), "bfloat16"),
    **dict.fromkeys(("amp", "autocast"), "mixed"),
    **dict.fromkeys(("momentum", "sgdm", "sgd-m"), "sgd-momentum"),
    **dict.fromkeys(("infer", "predict", "prediction"), "inference"),
    **dict.fromkeys(("train",), "training"),
}


def known_as(value: object, known: Iterable[str]) -> str | None:
    """The known name that a value stands for, as ``AdamW``, ``torch.float16``, ``bf16`` do; None where none is.

    Upper case and the kind of dash do not count.
    """
    text = str(value).strip().lower().replace("_", "-").rpartition(".")[2]
    plain = {name.replace("_", "-"): name for name in known}
    return plain.get(text, plain.get(_ALSO.get(text, "")))


#: How PyTorch updates parameters: in one kernel, in one a kind of operation, or tensor by tensor.
OPTIMIZER_FORMS = ("fused", "foreach", "single-tensor")


class Training(NamedTuple):
    """The settings of a training step that its working sets and its cost depend on.

    ``observations`` None leaves the data set out. ``datum_elements`` is the number of features and targets of one
    observation, where that is not the input plus the output width (class labels kept as one number, say).
    ``optimizer_form`` is one of `OPTIMIZER_FORMS`.
    """

    batch_size: int = 256
    dtype: str = "float32"
    optimizer: str = "adam"
    observations: int | None = None
    datum_elements: int | None = None
    optimizer_form: str = "fused"

    @property
    def element(self) -> Dtype:
        """Sizes of the dtype's elements."""
        return DTYPES[self.dtype]

    @property
    def moments(self) -> int:
        """Optimizer moments for each parameter."""
        return OPTIMIZER_MOMENTS[self.optimizer]
