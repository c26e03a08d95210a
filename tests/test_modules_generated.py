"""Generated modules against FlopCounterMode, saved_tensors_hooks and a real optimizer; seeded, several a test."""

from __future__ import annotations

import itertools
import random

import pytest
import torch
from architectures import real_step
from torch import nn

import sizer

#: Mixes of layers, in tests of ten.
MIXES, A_TEST = 200, 10


class Residual(nn.Module):
    def __init__(self, inside):
        super().__init__()
        self.inside = inside

    def forward(self, x):
        return x + self.inside(x)


class Both(nn.Module):
    """Two branches of one input, multiplied or concatenated."""

    def __init__(self, one, other, multiplied):
        super().__init__()
        self.one, self.other, self.multiplied = one, other, multiplied

    def forward(self, x):
        return self.one(x) * self.other(x) if self.multiplied else torch.cat([self.one(x), self.other(x)], 1)


class Last(nn.Module):
    """What a recurrent layer gives at the last step, or attention of a sequence with itself."""

    def __init__(self, inside):
        super().__init__()
        self.inside = inside

    def forward(self, x):
        sequence = x.unsqueeze(1).expand(-1, 3, -1)
        if isinstance(self.inside, nn.MultiheadAttention):
            return self.inside(sequence, sequence, sequence, need_weights=False)[0].mean(1)
        return self.inside(sequence)[0][:, -1]


ACTIVATIONS = [nn.ReLU, nn.GELU, nn.SiLU, nn.Tanh, nn.Sigmoid, nn.ELU, nn.LeakyReLU, nn.Softplus, nn.Hardswish, nn.Mish]
ACTIVATIONS += [lambda: nn.Dropout(0.3), lambda: nn.Softmax(1), lambda: nn.ReLU(inplace=True), nn.Identity, nn.PReLU]


def activation(draw):
    return draw.choice(ACTIVATIONS)()


def dense(draw, width):
    """A layer on (batch, width), and the width that it gives."""
    new = draw.choice((3, 4, 8, 12))
    kinds = {
        "linear": lambda: (nn.Linear(width, new, bias=draw.random() < 0.7), new),
        "norm": lambda: (draw.choice((nn.LayerNorm, nn.BatchNorm1d, nn.RMSNorm))(width), width),
        "activation": lambda: (activation(draw), width),
        "residual": lambda: (Residual(nn.Sequential(nn.Linear(width, width), activation(draw))), width),
        "gated": lambda: (Both(nn.Linear(width, new), nn.Linear(width, new), True), new),
        "both": lambda: (Both(nn.Linear(width, new), nn.Linear(width, 2), False), new + 2),
        "low rank": lambda: (nn.Sequential(nn.Linear(width, 2, bias=False), nn.Linear(2, new)), new),
        "recurrent": lambda: (Last(draw.choice((nn.GRU, nn.RNN))(width, new, batch_first=True)), new),
        "attention": lambda: (Last(nn.MultiheadAttention(width, 1, batch_first=True)), width),
        "frozen": lambda: (nn.Linear(width, new).requires_grad_(False), new),
    }
    return kinds[draw.choice(list(kinds))]()


def convolutional(draw, channels):
    """A layer on (batch, channels, 8, 8) that keeps the last two, and the channels that it gives."""
    new = draw.choice((2, 4, 6))
    groups = draw.choice([size for size in (1, 2) if channels % size == new % size == 0])
    kinds = {
        "convolution": lambda: (nn.Conv2d(channels, new, 3, padding=1, groups=groups), new),
        "dilated": lambda: (nn.Conv2d(channels, new, 3, padding=2, dilation=2, bias=False), new),
        "transposed": lambda: (nn.ConvTranspose2d(channels, new, 3, padding=1), new),
        "pointwise": lambda: (nn.Conv2d(channels, new, 1), new),
        "norm": lambda: (
            draw.choice(
                (nn.BatchNorm2d(channels), nn.GroupNorm(1, channels), nn.InstanceNorm2d(channels, affine=True))
            ),
            channels,
        ),
        "activation": lambda: (activation(draw), channels),
        "pool": lambda: (nn.MaxPool2d(3, 1, 1), channels),
        "average": lambda: (nn.AvgPool2d(3, 1, 1), channels),
        "residual": lambda: (
            Residual(nn.Sequential(nn.Conv2d(channels, channels, 3, padding=1), activation(draw))),
            channels,
        ),
        "up and down": lambda: (nn.Sequential(nn.Upsample(scale_factor=2), nn.MaxPool2d(2)), channels),
    }
    return kinds[draw.choice(list(kinds))]()


def mix(seed):
    """A module and its input."""
    draw = random.Random(seed)  # noqa: S311
    torch.manual_seed(seed)
    images = draw.random() < 0.4
    width, rows = draw.choice((2, 4, 6)), draw.choice((2, 5))
    example = torch.randn(rows, width, 8, 8) if images else torch.randn(rows, width)
    layers, make = [], convolutional if images else dense
    for _ in range(draw.randint(1, 6)):
        layer, width = make(draw, width)
        layers.append(layer)
    if images:
        layers += [nn.AdaptiveAvgPool2d(2), nn.Flatten()]
        width *= 4
    return nn.Sequential(*layers, nn.Linear(width, 3)), example


OPTIMIZERS = [
    torch.optim.Adam,
    torch.optim.AdamW,
    lambda p: torch.optim.Adam(p, amsgrad=True),
    lambda p: torch.optim.SGD(p, lr=0.1),
    lambda p: torch.optim.SGD(p, lr=0.1, momentum=0.9, nesterov=True),
    torch.optim.RMSprop,
    torch.optim.Adagrad,
    torch.optim.Adadelta,
    torch.optim.Adamax,
    torch.optim.NAdam,
    torch.optim.RAdam,
    torch.optim.Rprop,
]


def held(optimizer):
    values = itertools.chain.from_iterable(state.values() for state in optimizer.state.values())
    return sum(value.nbytes for value in values if isinstance(value, torch.Tensor) and value.dim() > 0)


@pytest.mark.parametrize("first", range(0, MIXES, A_TEST))
def test_counts_equal_a_real_step(first):
    for seed in range(first, first + A_TEST):
        module, example = mix(seed)
        trained = [parameter for parameter in module.parameters() if parameter.requires_grad]
        optimizer = OPTIMIZERS[seed % len(OPTIMIZERS)](trained)
        record = sizer.inspect(module, example, optimizer=optimizer)
        counted = record.flops.forward, record.flops.backward, record.saved_activation_bytes
        assert counted == real_step(module, ((example,), {}), None), (seed, module)
        module(example).sum().backward()
        for (
            parameter
        ) in trained:  # one behind a frozen or a dead end has no gradient, and the optimizer no state for it
            parameter.grad = torch.zeros_like(parameter) if parameter.grad is None else parameter.grad
        optimizer.step()
        assert record.optimizer_state_bytes == held(optimizer), (seed, optimizer)
