"""Cost coefficients: what one pass, operation, layer, access or MiB costs on a machine, and where the number is from.

The terms are those of the paper's equations 2 to 9 and, beside them, what the paper leaves out: the optimizer, and
what small or awkward layers cost beyond their operations. `sizer.method.cost` multiplies them with a network's counts.
Where no machine was timed they are estimated from datasheet peaks; where one was, they speak for networks of the range
that calibration times, and beyond it a prediction is an estimate.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    from sizer.models.topology import Topology

MIB = 2**20

#: Terms of the paper without a level: name -> (symbol in the paper, unit it is counted in, meaning).
_PAPER_TERMS: dict[str, tuple[str, str, str]] = {
    "experiment": ("k_e", "experiment", "starting and ending one training"),
    "pass": ("k_p", "pass", "one forward or backward pass over a batch"),
    "operation": ("k_o", "operation", "one multiply-accumulate"),
    "layer": ("k_d", "layer", "one layer in one pass"),
}
_OTHER_TERMS: dict[str, tuple[str, str, str]] = {
    "step": ("k_s", "step", "one training step: its optimizer call and the loop around it"),
    "row": ("k_b", "row", "one observation in one layer and pass"),
    "unit": ("k_u", "unit", "one output unit of a layer in one pass"),
    "activation": ("k_a", "element", "one element through an activation function in one pass"),
    "serial": (
        "k_1",
        "element",
        "one element through an activation function on one thread, the first 32768 of a layer",
    ),
    "addition": ("k_r", "addition", "one residual addition in one pass"),
    "added": ("k_ra", "element", "one element of a residual addition in one pass"),
    "operand": ("k_x", "element", "one element that a layer's matrix products read in one pass"),
    "matrix": ("k_m", "layer", "one layer of several inputs and outputs in one pass"),
    "column": ("k_c", "layer", "one layer of a single input in one pass over 256 or more rows"),
    "ramp": ("k_g", "weight", "one weight in one pass, the first 4096 of a layer"),
    "unaligned": (
        "k_n",
        "operation",
        "one multiply-accumulate in a layer with a width that is not a multiple of 4, on top",
    ),
    "mapped": (
        "k_f",
        "element",
        "one element of a hidden layer's activations of 32 MiB or more, whose pages are new each time, in one pass",
    ),
    "tensor": ("k_w", "tensor", "one parameter tensor updated by the optimizer"),
    "launch": ("k_l", "step", "launching one training step on a GPU, with a fused optimizer"),
    "launch_layer": ("k_ld", "layer", "launching what one layer does in one training step"),
    "launch_foreach": ("k_lf", "step", "launching a foreach optimizer's step, on top"),
    "launch_foreach_tensor": ("k_lft", "tensor", "launching a foreach optimizer's step for one tensor, on top"),
    "launch_single_tensor": ("k_ls", "tensor", "launching a single-tensor optimizer's step for one tensor, on top"),
    "unfused": (
        "m_u",
        "MiB",
        "moving a MiB of parameters, gradients or moments by an optimizer that is not fused, on top",
    ),
}
#: Terms of the program's time that a GPU's own work does not add to: a step takes the longer of the two.
LAUNCH_TERMS = frozenset(name for name in _OTHER_TERMS if name.startswith("launch"))
#: Terms without a level, those of the paper first; the others say so in their meaning.
PLAIN_TERMS = _PAPER_TERMS | {
    name: (symbol, unit, f"{meaning} (not in the paper)") for name, (symbol, unit, meaning) in _OTHER_TERMS.items()
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

#: How numbers predicted with coefficients of each source are labelled.
LABELS = {
    "calibrated": "calibrated",  # fitted to trainings timed on this machine
    "published": "published",  # the paper's own fit, for the study's machines
    "shipped": "estimated",  # of another machine, or from datasheet peaks
    "none": "estimated",  # nothing is known: operations stand in
}

QUANTITY_UNIT = {"energy": "J", "time": "s"}


def term_unit(name: str, quantity: str) -> str:
    """Unit of a term's coefficient, such as ``J/MiB``. Raises KeyError for a name that is no term."""
    kind, _, level = name.partition(".")
    _, counted, _ = LEVEL_TERMS[kind] if level else PLAIN_TERMS[kind]
    return f"{QUANTITY_UNIT[quantity]}/{counted}"


class OtherSpeed(NamedTuple):
    """Another speed of the machine: its terms, how many times the usual time it takes, in how many sessions."""

    factor: float
    sessions: int
    terms: Mapping[str, float]


@dataclass(frozen=True)
class Coefficients:
    """Non-negative cost coefficients of one machine.

    ``source`` is ``calibrated``, ``published``, ``shipped`` or ``none``; ``label`` (``calibrated``, ``published``,
    ``estimated``) is what every number predicted with them is shown as. ``terms`` are in J or s per unit counted,
    absent ones are zero. ``interval`` holds the factors (low, high) that turn a prediction into its 90 % interval,
    None where nothing is known about the error. ``basis`` is one sentence on where the numbers are from.
    ``other_speeds`` are those of a machine that runs at another speed than this one now and then.
    """

    source: str
    label: str
    quantity: str
    terms: Mapping[str, float] = field(default_factory=dict)
    interval: tuple[float, float] | None = None
    profile: str | None = None
    basis: str = ""
    conditions: Mapping[str, Any] = field(default_factory=dict)
    other_speeds: tuple[OtherSpeed, ...] = ()


# Estimates from a datasheet.

#: Time outside the arithmetic, in s: of one step, and of one layer in one pass. CPU: rounded from the measured profile
#: x86-vm-2cpu, two passes of 25 us and 17 us for reaching a layer's nearest set. Accelerators: assumed, eight kernel
#: launches a layer and step at 10 us each.
OVERHEADS_S: dict[str, dict[str, float]] = {
    "cpu": {"step": 50e-6, "layer": 17e-6},
    "other": {"step": 300e-6, "layer": 40e-6},
}

#: Share of a peak rate or bandwidth that dense training reaches; the interval below is wide because this varies.
ACHIEVED = 0.5

#: Factors of the 90 % interval of such an estimate: half to a fifth of the peak is usual, overheads differ by three.
INTERVAL = (1 / 3, 3.0)


def from_datasheet(
    kind: str, peak_flop_per_s: float, bandwidths_bytes_per_s: Mapping[str, float], profile: str, dtype: str
) -> Coefficients:
    """Time coefficients from a peak rate (FLOP/s of the dtype) and bandwidths by level (bytes/s, all instances)."""
    terms = dict(OVERHEADS_S["cpu" if kind == "cpu" else "other"])
    terms["operation"] = 2 / (ACHIEVED * peak_flop_per_s)
    for level, bandwidth in bandwidths_bytes_per_s.items():
        terms[f"traffic.{level}"] = terms[f"optimizer.{level}"] = MIB / (ACHIEVED * bandwidth)
    return Coefficients(
        source="shipped",
        label="estimated",
        quantity="time",
        terms=terms,
        interval=INTERVAL,
        profile=profile,
        basis=f"from the datasheet peaks in profile {profile} ({dtype}) and typical PyTorch overheads",
    )


# The range that a calibration times, and beyond.

#: What `sizer calibrate` times: log2 of the number of parameters, and the other sizes, lowest and highest.
SIZES = (6.0, 21.5)
DEPTHS = (2, 20)
BATCH_SIZES = (32, 1024)
INPUT_DIMS = (2, 784)
OUTPUT_DIMS = (1, 32)

#: Optimizers that do the same work in a step, and so have one calibration.
_SAME_WORK = {"adamw": "adam"}

OUTSIDE = "outside what was calibrated"
#: Factors of the 90 % interval outside the range: an assumption, as wide as for another machine of the kind.
_OUTSIDE_INTERVAL = (0.25, 4.0)


def why_outside(topology: Topology, optimizer: str, batch_size: int, coefficients: Coefficients) -> str | None:
    """Why a calibration does not speak for a network or for the conditions; None where it does, or is none."""
    if coefficients.source != "calibrated":
        return None
    timed = coefficients.conditions.get("optimizer", optimizer)
    others = [] if same_work(timed, optimizer) else [f"optimizer {optimizer} (timed: {timed})"]
    found = [*others, *_outside_range(topology, batch_size, coefficients.conditions)]
    return f"{OUTSIDE}: {', '.join(found)}" if found else None


def _outside_range(topology: Topology, batch_size: int, conditions: Mapping[str, Any]) -> Iterator[str]:
    """What of a network was not among those timed, in words; nothing for a network within the range."""
    sizes, batch_sizes = _timed(conditions, "sizes", SIZES), _timed(conditions, "batch_sizes", BATCH_SIZES)
    values = (
        ("depth", topology.depth, DEPTHS),
        ("parameters", topology.num_free_parameters, (round(2 ** min(sizes[0], 62)), round(2 ** min(sizes[1], 62)))),
        ("batch", batch_size, (round(batch_sizes[0]), round(batch_sizes[1]))),
        ("input", topology.input_dim, INPUT_DIMS),
        ("output", topology.output_dim, OUTPUT_DIMS),
    )
    for name, value, (low, high) in values:
        if not low <= value <= high:
            yield f"{name} {value:,} (timed: {low:,} to {high:,})"


def _timed(conditions: Mapping[str, Any], name: str, usual: tuple[float, float]) -> tuple[float, float]:
    """The range that was timed: the usual one, or what a calibration of a GPU noted, whose networks are larger."""
    noted = conditions.get(name)
    if isinstance(noted, list) and len(noted) == 2 and all(type(end) in (int, float) for end in noted):
        return noted[0], noted[1]
    return usual


def same_work(optimizer: str, other: str) -> bool:
    """Whether a step of two optimizers does the same work."""
    return _SAME_WORK.get(optimizer, optimizer) == _SAME_WORK.get(other, other)


def outside_interval(coefficients: Coefficients) -> tuple[float, float]:
    """Factors of the 90 % interval where the calibration does not speak for a network."""
    low, high = coefficients.interval or (1.0, 1.0)
    return min(low, _OUTSIDE_INTERVAL[0]), max(high, _OUTSIDE_INTERVAL[1])
