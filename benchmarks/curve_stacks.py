"""Trains many small networks at once: the same task, widths and batch size, members that differ in seed and rate.

A small network's step is mostly the dispatch of its operations, so eight members in one batched product take hardly
longer than one. A member is what it would be alone (`python benchmarks/curves.py --check`): `nn.Linear`'s initial
weights from its own seed, its own order of the rows, torch's own fused Adam at its own rate. Nothing of one member
enters another, so one that diverges harms none.
"""

from __future__ import annotations

import math
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import torch

from sizer.models.topology import Topology

#: A member has ended after so many epochs without a better loss, of its raw and of its averaged weights alike.
PATIENCE = 25
MAX_EPOCHS = 150
#: Averaged weights are a moving average over half of the steps so far, but at most over so many epochs.
AVERAGED_EPOCHS = 2.0
#: Epochs after which predictions are kept, where they are.
KEPT_EPOCHS = (1, 2, 4, 8, 16, 32, 64, 128)
#: Rows that are pushed through a network at once where losses are taken: their activations stay in a cache.
_CHUNK = 512


class Member(NamedTuple):
    """What distinguishes a network of a stack."""

    seed: int
    learning_rate: float


class Rows(NamedTuple):
    """Rows as tensors: features (n, inputs), targets (n,) of classes or (n, 1) of numbers."""

    features: torch.Tensor
    targets: torch.Tensor


@dataclass
class Curve:
    """What a member did: losses of each epoch on each part that is looked at, raw and averaged, and how it ended.

    ``losses`` is a list of arrays (2, parts); ``predictions`` maps a kept epoch to an array (2, rows, outputs).
    """

    member: Member
    losses: list[npt.NDArray[np.float32]] = field(default_factory=list)
    predictions: dict[int, npt.NDArray[np.float32]] = field(default_factory=dict)
    ended: str = ""

    def judge(self) -> str:
        """Why the member ends after its last epoch, empty while it does not."""
        if not np.isfinite(self.losses[-1][0]).all():
            return "diverged"
        chosen = np.array([losses[:, 0] for losses in self.losses])
        best = np.nan_to_num(chosen, nan=np.inf).argmin(axis=0).max()
        if len(chosen) - 1 - best >= PATIENCE:
            return "stalled"
        return "epochs" if len(chosen) >= MAX_EPOCHS else ""


class Stack:
    """The weights of M networks of one topology as one tensor (M, parameters), with Adam's moments and the average."""

    def __init__(self, topology: Topology, members: Sequence[Member], regression: bool) -> None:
        self.topology, self.members, self.regression = topology, list(members), regression
        self.weights = torch.stack([_initial(topology, member.seed) for member in members])
        self.moments = torch.zeros_like(self.weights), torch.zeros_like(self.weights)
        self.average = self.weights.clone()
        self.orders = [torch.Generator().manual_seed(member.seed) for member in members]
        self.steps = 0
        self._arrange()

    def _arrange(self) -> None:
        """Views of each layer, and an Adam whose groups are the stretches of members with the same rate."""
        self.gradients = torch.zeros_like(self.weights)
        self.layers = _layers(self.topology, self.weights)
        self.layer_gradients = _layers(self.topology, self.gradients)
        rates = [member.learning_rate for member in self.members]
        starts = [i for i in range(len(rates)) if i == 0 or rates[i] != rates[i - 1]]
        stretches = [slice(a, b) for a, b in zip(starts, [*starts[1:], len(rates)], strict=True)]
        groups = [{"params": [self.weights[some]], "lr": rates[some.start]} for some in stretches]
        self.adam = torch.optim.Adam(groups, fused=True)
        for group, some in zip(self.adam.param_groups, stretches, strict=True):
            (part,) = group["params"]
            part.grad = self.gradients[some]
            first, second = (moment[some] for moment in self.moments)
            self.adam.state[part] = {
                "step": torch.tensor(float(self.steps)),
                "exp_avg": first,
                "exp_avg_sq": second,
            }

    def keep(self, positions: Sequence[int]) -> None:
        """Let the other members go."""
        self.members = [self.members[i] for i in positions]
        self.orders = [self.orders[i] for i in positions]
        index = torch.tensor(positions)
        self.weights, self.average = self.weights[index], self.average[index]
        self.moments = self.moments[0][index], self.moments[1][index]
        self._arrange()

    def train_epoch(self, rows: Rows, batch_size: int) -> None:
        """Every member sees every row once, in its own order."""
        order = torch.stack([torch.randperm(len(rows.targets), generator=own) for own in self.orders])
        window = AVERAGED_EPOCHS * math.ceil(order.shape[1] / batch_size)
        for batch in order.split(batch_size, dim=1):
            self._step(rows.features[batch], rows.targets[batch])
            self.average.lerp_(self.weights, 1 / min(self.steps / 2 + 1, window))
            self.steps += 1

    def _step(self, features: torch.Tensor, targets: torch.Tensor) -> None:
        """One step of every member: features (M, B, inputs)."""
        activations = [features]
        for position, (weights, biases) in enumerate(self.layers):
            out = torch.baddbmm(biases, activations[-1], weights.transpose(1, 2))
            activations.append(out if position == len(self.layers) - 1 else out.relu_())
        gradient = self._loss_gradient(activations.pop(), targets)
        for position in reversed(range(len(self.layers))):
            weights, biases = self.layer_gradients[position]
            torch.bmm(gradient.transpose(1, 2), activations[position], out=weights)
            torch.sum(gradient, 1, keepdim=True, out=biases)
            if position:
                gradient = torch.bmm(gradient, self.layers[position][0])
                gradient = torch.ops.aten.threshold_backward(gradient, activations[position], 0)
        self.adam.step()

    def _loss_gradient(self, outputs: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
        """Of the mean over a batch: (softmax - one hot) / B of cross entropy, 2 (y - t) / (B outputs) of squares."""
        count = outputs.shape[1]
        if self.regression:
            return (outputs - targets).mul_(2 / (count * outputs.shape[2]))
        gradient = outputs.softmax(2)
        gradient.scatter_add_(2, targets[:, :, None], gradient.new_full((1, 1, 1), -1.0).expand(*targets.shape, 1))
        return gradient.div_(count)

    def outputs(self, features: torch.Tensor) -> torch.Tensor:
        """What raw and averaged weights say, shape (2, M, n, outputs)."""
        return torch.stack([self._outputs(weights, features) for weights in (self.weights, self.average)])

    def _outputs(self, flat: torch.Tensor, features: torch.Tensor) -> torch.Tensor:
        layers = _layers(self.topology, flat)
        chunks = []
        for chunk in features.split(_CHUNK):
            out = chunk.expand(len(flat), *chunk.shape)
            for position, (weights, biases) in enumerate(layers):
                out = torch.baddbmm(biases, out, weights.transpose(1, 2))
                out = out if position == len(layers) - 1 else out.relu_()
            chunks.append(out)
        return torch.cat(chunks, dim=1)


def losses_of(outputs: torch.Tensor, targets: torch.Tensor, regression: bool) -> torch.Tensor:
    """Cross entropy or squared error of each row: outputs (..., n, outputs) to losses (..., n)."""
    if regression:
        return ((outputs - targets) ** 2).mean(-1)
    chosen = outputs.gather(-1, targets[:, None].expand(*outputs.shape[:-1], 1))[..., 0]
    return outputs.logsumexp(-1) - chosen


def train(
    stack: Stack, rows: Rows, looked_at: Rows, counts: Sequence[int], batch_size: int, cpu_s: float, kept_rows: int = 0
) -> Iterator[list[Curve]]:
    """Train until every member has ended, or so much of this process' CPU time is spent; yields the curves as they are.

    ``counts`` says how many of the rows looked at belong to each part; the losses of the first part decide when a
    member ends. Predictions are kept for ``kept_rows`` rows of the first two parts each.
    """
    curves = [Curve(member) for member in stack.members]
    alive = list(range(len(curves)))
    started = time.process_time()
    kept = torch.cat([torch.arange(kept_rows), counts[0] + torch.arange(kept_rows)])
    while alive:
        stack.train_epoch(rows, batch_size)
        outputs = stack.outputs(looked_at.features)
        parts = losses_of(outputs, looked_at.targets, stack.regression).split(list(counts), dim=2)
        losses = torch.stack([part.mean(2) for part in parts], dim=2).numpy()
        over = time.process_time() - started > cpu_s
        for position, index in enumerate(alive):
            curve = curves[index]
            curve.losses.append(losses[:, position])
            if kept_rows and len(curve.losses) in KEPT_EPOCHS:
                curve.predictions[len(curve.losses)] = outputs[:, position, kept].numpy()
            curve.ended = curve.judge() or ("time" if over else "")
        yield curves
        staying = [position for position, index in enumerate(alive) if not curves[index].ended]
        if len(staying) < len(alive):
            alive = [alive[position] for position in staying]
            if alive:
                stack.keep(staying)


def _initial(topology: Topology, seed: int) -> torch.Tensor:
    """A network's parameters, layer by layer weights and biases, as torch initialises them from a seed."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return torch.cat([p.detach().flatten() for p in topology.build().parameters()])


def _layers(topology: Topology, flat: torch.Tensor) -> list[tuple[torch.Tensor, torch.Tensor]]:
    """Views of the layers' weights (M, out, in) and biases (M, 1, out) in a tensor (M, parameters)."""
    layers, start = [], 0
    for w_in, w_out in zip(topology.full, topology.widths, strict=False):
        weights = flat[:, start : start + w_in * w_out].view(len(flat), w_out, w_in)
        start += w_in * w_out
        layers.append((weights, flat[:, start : start + w_out].view(len(flat), 1, w_out)))
        start += w_out
    return layers
