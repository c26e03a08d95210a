"""From placed working sets to cost: operations, and the paper's equations 2 to 9 as a linear model.

Everything is linear in the coefficients: E = (design row) . k. A design row holds the counts of one training step, a
forward and a backward pass and the optimizer's update; the coefficients say what each count costs in J or s. An
operation is one multiply-accumulate, as in the paper; FLOPs count two for each, as PyTorch does.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from sizer.method.coefficients import LAUNCH_TERMS, MIB, Coefficients, outside_interval, why_outside
from sizer.method.hardware import Device
from sizer.method.placement import FloatArray, Hierarchy, Placement, Placements, place_all
from sizer.method.training_step import Training
from sizer.method.working_sets import (
    IntArray,
    WorkingSet,
    WorkingSets,
    bytes_per_datum,
    count_parameters,
    has_layer,
    stack,
    working_sets,
)
from sizer.models.shapes import residual_additions
from sizer.models.topology import Topology

#: Terms of `small_work_row`.
SMALL_WORK = {
    *("row", "unit", "activation", "serial", "addition", "added", "operand"),
    *("matrix", "column", "ramp", "unaligned", "mapped"),
}
#: Elements that PyTorch leaves to one thread (`at::internal::GRAIN_SIZE`); of more it makes chunks for several.
GRAIN = 32_768
#: Weights up to which each further one makes a layer's products more expensive than their operations say.
RAMP = 4096
#: Observations from which the product of a column with a row is shared out to all threads, which costs more than it is.
COLUMN_BATCH = 256
#: Widths that are a multiple of this keep rows of float32 aligned to 16 bytes.
ALIGNED = 4
#: Bytes from which the C library maps each allocation afresh and gives it back (glibc's `M_MMAP_THRESHOLD`, at most 32
#: MiB): all its pages fault, half of a step of 4-65536-2 at batch 144 (docs/benchmarks.md).
MAPPED_BYTES = 32 * MIB
#: Share of a layer's kernels that its forward pass launches: a product and an activation of six (backward the
#: activation's, two products and a sum).
FORWARD_LAUNCHES = 1 / 3
#: Terms of `launch_row`.
_GPU_TERMS = LAUNCH_TERMS | {"unfused"}

Row = dict[str, FloatArray]


# Operations.


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


# Design rows.


class Networks(NamedTuple):
    """N networks with everything their cost depends on, worked out once: widths, parameters, sets and their levels."""

    full: IntArray
    num_free_parameters: IntArray
    training: Training
    hierarchy: Hierarchy
    sets: WorkingSets
    placements: Placements
    additions: IntArray

    def working_set(self, name: str) -> WorkingSet:
        """A working set by name: f, b, o, t_max or d."""
        found: WorkingSet = getattr(self.sets, name)
        return found

    def placement(self, name: str) -> Placement:
        """Where a working set lives, by name."""
        found: Placement = getattr(self.placements, name)
        return found


def analyse(
    full: IntArray,
    num_free_parameters: IntArray,
    training: Training,
    hierarchy: Hierarchy,
    additions: IntArray | int = 0,
) -> Networks:
    """Working sets and placements of N networks on a machine; ``additions`` counts their residual additions."""
    sets = working_sets(full, num_free_parameters, training)
    placements = place_all(sets, hierarchy)
    added = np.broadcast_to(np.asarray(additions, dtype=np.int64), num_free_parameters.shape)
    return Networks(full, num_free_parameters, training, hierarchy, sets, placements, added)


def forward_row(networks: Networks) -> Row:
    """Design row of E_f, one forward pass: k_p + k_o o_f + k_d |L| + phi(d) + phi(f) + sum phi(t_l) (equation 4).

    Maps a term's name to its count, shape (N,). phi(x) counts one access and s_x MiB at the level where x lives.
    """
    return add_rows(_forward_only(networks), _both_passes(networks))


def backward_row(networks: Networks) -> Row:
    """Design row of E_b, one backward pass: k_p + k_o o_b + k_d |L| + phi(b) + sum phi(t_l) (equation 5)."""
    return add_rows(_backward_only(networks), _both_passes(networks))


def step_row(networks: Networks) -> Row:
    """Design row of one training step: forward pass, backward pass, optimizer."""
    common = _both_passes(networks)
    return add_rows(_forward_only(networks), _backward_only(networks), common, common, _optimizer(networks))


def every_step_row(networks: Networks) -> Row:
    """Design row of one training step with the small work of its two passes."""
    return add_rows(step_row(networks), small_work_row(networks), small_work_row(networks, backward=True))


def priced_row(networks: Networks, coefficients: Coefficients, forward_only: bool = False) -> Row:
    """Design row of a training step, or of a forward pass, with every term that the coefficients price."""
    row = _row_of_work(networks, coefficients, forward_only)
    return row | launch_row(networks, forward_only) if coefficients.terms.keys() & _GPU_TERMS else row


def _row_of_work(networks: Networks, coefficients: Coefficients, forward_only: bool) -> Row:
    if not coefficients.terms.keys() & SMALL_WORK:
        return forward_row(networks) if forward_only else step_row(networks)
    if forward_only:
        return add_rows(forward_row(networks), small_work_row(networks))
    return every_step_row(networks)


def launch_row(networks: Networks, forward_only: bool = False) -> Row:
    """Counts of what the program launches on a GPU for a training step, or a forward pass, shape (N,) each.

    A step and its layers; tensors where the optimizer's form handles them one by one; and what a form that is not fused
    moves again, in MiB.
    """
    depth = _over_layers(has_layer(networks.full))
    if forward_only:
        return {"launch": FORWARD_LAUNCHES * np.ones_like(depth), "launch_layer": FORWARD_LAUNCHES * depth}
    form = networks.training.optimizer_form
    foreach, single = np.float64(form == "foreach"), np.float64(form == "single-tensor")
    return {
        "launch": np.ones_like(depth),
        "launch_layer": depth,
        "launch_foreach": foreach * np.ones_like(depth),
        "launch_foreach_tensor": foreach * 2 * depth,
        "launch_single_tensor": single * 2 * depth,
        "unfused": (foreach + single) * networks.sets.o.total / MIB,
    }


# Their terms.


def _both_passes(networks: Networks) -> Row:
    """What each pass has: k_p + k_d |L| + sum phi(t_l), each t_l at its own level."""
    layers = has_layer(networks.full)
    depth = _over_layers(layers)
    row = {"pass": np.ones_like(depth), "layer": depth}
    size = networks.sets.t.distributed / MIB
    for index, name in enumerate(networks.hierarchy.names):
        here = layers & (networks.placements.t_level == index)
        row[f"access.{name}"] = _over_layers(here)
        row[f"traffic.{name}"] = _over_layers(size * here)
    return row


def _forward_only(networks: Networks) -> Row:
    """k_o o_f + phi(d) + phi(f); s_d is one batch's share while the level of d is that of the whole data set."""
    operations = forward_operations(networks.full, networks.training.batch_size).astype(np.float64)
    f = _phi(networks.sets.f.total, networks.placements.f, networks.hierarchy)
    if networks.placements.d is None:
        return add_rows({"operation": operations}, f)
    share = networks.training.batch_size * bytes_per_datum(networks.full, networks.training)
    return add_rows({"operation": operations}, f, _phi(share, networks.placements.d, networks.hierarchy))


def _backward_only(networks: Networks) -> Row:
    """k_o o_b + phi(b)."""
    operations = backward_operations(networks.full, networks.num_free_parameters, networks.training.batch_size)
    b = _phi(networks.sets.b.total, networks.placements.b, networks.hierarchy)
    return add_rows({"operation": operations.astype(np.float64)}, b)


def _optimizer(networks: Networks) -> Row:
    """The optimizer's update (not in the paper): one step, its two tensors a layer, the set o at the level of o."""
    depth = _over_layers(has_layer(networks.full))
    row = {"step": np.ones_like(depth), "tensor": 2 * depth}
    o = _phi(networks.sets.o.total, networks.placements.o, networks.hierarchy)
    return row | {f"optimizer.{name}": o[f"traffic.{name}"] for name in networks.hierarchy.names}


def _phi(size: IntArray, placement: Placement, hierarchy: Hierarchy) -> Row:
    """Phi of one set: an access and its MiB at the level where it lives (equation 9)."""
    row: Row = {}
    for index, name in enumerate(hierarchy.names):
        here = (placement.level == index).astype(np.float64)
        row[f"access.{name}"] = here
        row[f"traffic.{name}"] = here * (size / MIB)
    return row


def _over_layers(values: npt.ArrayLike) -> FloatArray:
    """The sum over the layers, shape (N,), of values of shape (layers, N)."""
    return np.asarray(np.add.reduce(values, axis=0, dtype=np.float64))


def add_rows(*rows: Row) -> Row:
    """The rows added term by term."""
    total: Row = {}
    for row in rows:
        for name, count in row.items():
            total[name] = total[name] + count if name in total else count
    return total


def small_work_row(networks: Networks, backward: bool = False) -> Row:
    """Counts of what a forward or a backward pass does beside its products, which the paper leaves out.

    Matters where products are small: observations a layer, output units, elements activated (of them, those that one
    thread handles), residual additions and their elements, elements that the products read, elements of activations so
    large that their pages are new each time; and what products cost beside their operations: `_product_forms`.
    """
    batch_size = float(networks.training.batch_size)
    layers = has_layer(networks.full)
    hidden = batch_size * networks.full[1:-1] * layers[1:]
    activated, depth = _over_layers(hidden), _over_layers(layers)
    additions = networks.additions.astype(np.float64)
    return {
        "row": batch_size * depth,
        "unit": _over_layers(networks.full[1:]),
        "activation": activated,
        "serial": _over_layers(np.minimum(hidden, GRAIN)),
        "addition": additions,
        "added": additions * activated / np.maximum(depth - 1, 1),  # (residual networks' hidden layers are alike)
        "operand": _operands(networks, backward),
        "mapped": _over_layers(hidden * (hidden * networks.training.element.activation_bytes >= MAPPED_BYTES)),
        **_product_forms(networks, backward),
    }


def _product_forms(networks: Networks, backward: bool) -> Row:
    """What the form of a pass's products adds to their operations, shape (N,) each.

    Layers whose weights are a matrix and no vector; layers of one input in a large batch; weights of each layer up to
    `RAMP`, since small products are not at full speed; operations of layers with a width that is not aligned.
    """
    w_in, w_out, batch_size = networks.full[:-1], networks.full[1:], networks.training.batch_size
    weights = w_in * w_out
    unaligned = batch_size * weights * ((w_in % ALIGNED != 0) | (w_out % ALIGNED != 0))
    operations = np.add.reduce(unaligned, axis=0)
    return {
        "matrix": _over_layers((w_in > 1) & (w_out > 1)),
        "column": _over_layers((w_in == 1) & (w_out > 0)) * (batch_size >= COLUMN_BATCH),
        "ramp": _over_layers(np.minimum(weights, RAMP)),
        "unaligned": np.asarray(2 * operations - unaligned[0] if backward else operations, dtype=np.float64),
    }


def _operands(networks: Networks, backward: bool) -> FloatArray:
    """Elements that the matrix products of a pass read, shape (N,).

    Forward B w_in + w_in w_out a layer; backward B w_in + B w_out for the weights' gradient and B w_out + w_in w_out
    for that of the inputs, which the first layer does without.
    """
    batch_size = float(networks.training.batch_size)
    w_in, w_out = networks.full[:-1].astype(np.float64), networks.full[1:].astype(np.float64)
    weights, outputs = w_in * w_out, batch_size * w_out
    read = (batch_size * w_in + weights) * has_layer(networks.full)
    if not backward:
        return _over_layers(read)
    return np.asarray(_over_layers(read + 2 * outputs) - weights[0] - outputs[0])


# Prices.


def predict(row: Mapping[str, FloatArray], coefficients: Coefficients) -> FloatArray:
    """Cost of each network in J or s: the design row times the coefficients, shape (N,). Absent terms cost nothing.

    A GPU works while the program launches: where both are known apart the time is the longer one. Joules add up.
    """
    if coefficients.quantity == "time" and coefficients.terms.keys() & LAUNCH_TERMS:
        launch, work = launch_and_work(row, coefficients)
        return np.maximum(launch, work)
    return _priced(row, coefficients.terms)


def launch_and_work(row: Mapping[str, FloatArray], coefficients: Coefficients) -> tuple[FloatArray, FloatArray]:
    """What the program takes to launch each network's step, and the GPU to work on it, in s, shape (N,) each."""
    launch = {name: value for name, value in coefficients.terms.items() if name in LAUNCH_TERMS}
    work = {name: value for name, value in coefficients.terms.items() if name not in LAUNCH_TERMS}
    return _priced(row, launch), _priced(row, work)


def _priced(row: Mapping[str, FloatArray], terms: Mapping[str, float]) -> FloatArray:
    cost: FloatArray = np.zeros(len(next(iter(row.values()))))
    for name, value in terms.items():
        if value and name in row:
            cost = cost + value * row[name]
    return cost


def step_costs(
    full: IntArray, training: Training, hierarchy: Hierarchy, coefficients: Coefficients, chunk: int = 8192
) -> FloatArray:
    """Cost of one training step of each of N networks, in J or s, shape (N,).

    Works in chunks whose temporary arrays stay in a cache: a million networks at once would move gigabytes through RAM.
    """
    costs = np.empty(full.shape[1])
    for start in range(0, full.shape[1], chunk):
        part = full[:, start : start + chunk]
        networks = analyse(part, count_parameters(part), training, hierarchy)
        costs[start : start + chunk] = predict(priced_row(networks, coefficients), coefficients)
    return costs


def training_cost(
    networks: Networks, coefficients: Coefficients, epochs: int, training_batches: int, test_batches: int
) -> FloatArray:
    """E = k_e + n (h_t (E_f + E_b) + h_s E_f'): a whole training of n epochs, in J or s, shape (N,) (equations 2, 3).

    ``training_batches`` is h_t and ``test_batches`` h_s, both in batches an epoch. The optimizer's update, which the
    paper's equations leave out, costs what its coefficients say, nothing where they are absent.
    """
    step = predict(priced_row(networks, coefficients), coefficients)
    test = predict(priced_row(networks, coefficients, forward_only=True), coefficients)
    start = coefficients.terms.get("experiment", 0.0)
    return np.asarray(start + epochs * (training_batches * step + test_batches * test))


def waits_for_launches(
    topology: Topology, training: Training, device: Device, coefficients: Coefficients
) -> bool | None:
    """Whether a step waits for the program on a GPU, by the prediction; None where launching is not told apart."""
    if coefficients.quantity != "time" or not coefficients.terms.keys() & LAUNCH_TERMS:
        return None
    row = priced_row(_alone(topology, training, device), coefficients)
    launch_s, work_s = launch_and_work(row, coefficients)
    return bool(launch_s[0] >= work_s[0])


def _alone(topology: Topology, training: Training, device: Device) -> Networks:
    full = stack([topology.full])
    additions = np.array([residual_additions(topology.shape or "", topology.depth)])
    return analyse(full, count_parameters(full), training, Hierarchy.of(device), additions)


def predict_step(
    topology: Topology, training: Training, device: Device, coefficients: Coefficients
) -> tuple[float, tuple[float, float] | None]:
    """Cost of one training step of a network, in J or s, with its 90 % interval, None where there is none."""
    networks = _alone(topology, training, device)
    (step,) = predict(priced_row(networks, coefficients), coefficients).tolist()
    outside = why_outside(topology, training.optimizer, training.batch_size, coefficients)
    factors = outside_interval(coefficients) if outside else coefficients.interval
    return step, None if factors is None else (step * factors[0], step * factors[1])
