"""Cost coefficients: what one pass, operation, layer, access or MiB costs on a machine, and where the number is from.

The terms are those of the paper's equations 2 to 9 and, beside them, what the paper leaves out: the optimizer, and
what small or awkward layers cost beyond their operations. Pure data; `sizer.cost` multiplies them with the counts of a
network.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

#: Terms without a level: name -> (symbol in the paper, unit it is counted in, meaning).
PLAIN_TERMS: dict[str, tuple[str, str, str]] = {
    "experiment": ("k_e", "experiment", "starting and ending one training"),
    "pass": ("k_p", "pass", "one forward or backward pass over a batch"),
    "operation": ("k_o", "operation", "one multiply-accumulate"),
    "layer": ("k_d", "layer", "one layer in one pass"),
    "step": ("k_s", "step", "one training step: its optimizer call and the loop around it (not in the paper)"),
    "row": ("k_b", "row", "one observation in one layer and pass (not in the paper)"),
    "unit": ("k_u", "unit", "one output unit of a layer in one pass (not in the paper)"),
    "activation": ("k_a", "element", "one element through an activation function in one pass (not in the paper)"),
    "serial": (
        "k_1",
        "element",
        "one element through an activation function on one thread, the first 32768 of a layer (not in the paper)",
    ),
    "addition": ("k_r", "addition", "one residual addition in one pass (not in the paper)"),
    "added": ("k_ra", "element", "one element of a residual addition in one pass (not in the paper)"),
    "operand": ("k_x", "element", "one element that a layer's matrix products read in one pass (not in the paper)"),
    "matrix": ("k_m", "layer", "one layer of several inputs and outputs in one pass (not in the paper)"),
    "column": ("k_c", "layer", "one layer of a single input in one pass over 256 or more rows (not in the paper)"),
    "ramp": ("k_g", "weight", "one weight in one pass, the first 4096 of a layer (not in the paper)"),
    "unaligned": (
        "k_n",
        "operation",
        "one multiply-accumulate in a layer with a width that is not a multiple of 4, on top (not in the paper)",
    ),
    "tensor": ("k_w", "tensor", "one parameter tensor updated by the optimizer (not in the paper)"),
}

#: Terms with one coefficient a memory level, named ``access.L2`` and so on.
LEVEL_TERMS: dict[str, tuple[str, str, str]] = {
    "access": ("a", "access", "reaching for a working set that lives at the level"),
    "traffic": ("m", "MiB", "moving a MiB of a working set that lives at the level"),
    "optimizer": (
        "m_o",
        "MiB",
        "moving a MiB of parameters, gradients or moments in the optimizer step (not in the paper)",
    ),
}

QUANTITY_UNIT = {"energy": "J", "time": "s"}


def term_unit(name: str, quantity: str) -> str:
    """Unit of a term's coefficient, such as ``J/MiB``. Raises KeyError for a name that is no term."""
    kind, _, level = name.partition(".")
    _, counted, _ = LEVEL_TERMS[kind] if level else PLAIN_TERMS[kind]
    return f"{QUANTITY_UNIT[quantity]}/{counted}"


@dataclass(frozen=True)
class Coefficients:
    """Non-negative cost coefficients of one machine.

    ``source`` is ``calibrated``, ``published``, ``shipped`` or ``none``; ``label`` (``calibrated``, ``published``,
    ``estimated``) is what every number predicted with them is shown as. ``terms`` are in J or s per unit counted,
    absent ones are zero. ``interval`` holds the factors (low, high) that turn a prediction into its 90 % interval,
    None where nothing is known about the error. ``basis`` is one sentence on where the numbers are from.
    """

    source: str
    label: str
    quantity: str
    terms: Mapping[str, float] = field(default_factory=dict)
    interval: tuple[float, float] | None = None
    profile: str | None = None
    basis: str = ""
    conditions: Mapping[str, Any] = field(default_factory=dict)
