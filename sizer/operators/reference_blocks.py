"""What `sizer calibrate --operators` times: the operators of small modules of the usual kinds, in random sizes.

Which operators with which layouts a step of convolutions, attention or recurrent layers is made of, PyTorch decides:
tracing a block tells them all, forward and backward. Sizes are drawn from the ranges in which people train on a CPU,
those that architectures favour (multiples of 8, feature maps of 7 to 112) and others.
"""

from __future__ import annotations

import random
from collections.abc import Callable
from typing import Any, NamedTuple

import torch
from torch import nn
from torch.nn import functional as F  # noqa: N812 (as everybody calls it)

from sizer.operators.between import SEVERAL


class Block(NamedTuple):
    """A module with its example input (meta tensors), and its optimizer's name and form."""

    name: str
    module: nn.Module
    inputs: tuple[torch.Tensor, ...]
    optimizer: str
    form: str


class _Draw:
    """Random sizes; in one of two blocks all of them are multiples of 16, as those of most architectures are."""

    def __init__(self, seed: int) -> None:
        self.random = random.Random(seed)  # noqa: S311 (no secret)
        self._vectors = self.random.random() < 0.5

    def size(self, low: int, high: int) -> int:
        """A size, in logarithms alike; where it is large enough and need not be of 16, two in three are of 8."""
        size: int = round(low * (high / low) ** self.random.random())
        if self._vectors:
            return max(16, round(size / 16) * 16) if size >= 12 else size
        return max(8, size // 8 * 8) if size >= 12 and self.random.random() < 0.67 else size

    def of(self, *values: Any) -> Any:
        """One of some values."""
        return self.random.choice(values)


_ACTIVATIONS = (nn.ReLU, nn.GELU, nn.SiLU, nn.Tanh, nn.Sigmoid, nn.LeakyReLU, nn.Hardswish, nn.ELU, nn.ReLU6, nn.Mish)


def _meta(*shape: int) -> torch.Tensor:
    return torch.empty(shape, device="meta")


def _image(draw: _Draw, channels: int, most: float = 2**22) -> torch.Tensor:
    """A batch of feature maps that has so many elements at most."""
    side = draw.of(7, 8, 14, 16, 28, 32, 56, 64, 112)
    batch = draw.size(1, 64)
    while batch > 1 and batch * channels * side * side > most:
        batch //= 2
    while side > 7 and batch * channels * side * side > most:
        side //= 2
    return _meta(batch, channels, side, side)


def _convolutions(draw: _Draw) -> tuple[nn.Module, torch.Tensor]:
    """Three convolutions with batch normalisation: of one size, pointwise, strided, depthwise or grouped."""
    taken, given = draw.size(3, 512), draw.size(8, 512)
    kernel, stride = draw.of(1, 1, 3, 3, 3, 5, 7), draw.of(1, 1, 1, 2)
    groups = draw.of(1, 1, 1, 4, taken, taken)
    if taken % groups or (groups == taken and groups > 1):
        given = taken
    if taken % groups or given % groups:
        groups = 1
    first = nn.Conv2d(taken, given, kernel, stride, kernel // 2, groups=groups, bias=draw.of(True, False))
    last = nn.Conv2d(given, draw.size(8, 256), draw.of(1, 3), padding=draw.of(0, 1), bias=False)
    wide, kernel = last.out_channels, draw.of(1, 3, 3)
    same = nn.Conv2d(wide, wide, kernel, padding=kernel // 2, groups=draw.of(1, 1, wide), bias=False)
    norms = nn.BatchNorm2d(given), nn.BatchNorm2d(wide)
    parts = first, norms[0], draw.of(*_ACTIVATIONS)(), last, norms[1], nn.ReLU(inplace=draw.of(True, False)), same
    return nn.Sequential(*parts), _image(draw, taken)


def _stem(draw: _Draw) -> tuple[nn.Module, torch.Tensor]:
    """The beginning of a network for images: a large kernel on three channels, pooling."""
    given, kernel, stride = draw.size(16, 96), draw.of(3, 4, 7, 16), draw.of(2, 4)
    first = nn.Conv2d(draw.of(1, 3, 3), given, kernel, stride, kernel // 3)
    pool = draw.of(nn.MaxPool2d(3, 2, 1), nn.MaxPool2d(2), nn.AvgPool2d(2))
    side, batch = draw.of(64, 96, 128, 224), draw.size(1, 8)
    parts = *draw.of((), (nn.ZeroPad2d(1),)), first, nn.BatchNorm2d(given), nn.ReLU(), pool
    return nn.Sequential(*parts), _meta(batch, first.in_channels, side, side)


class _ChannelsLastBlock(nn.Module):
    """A depthwise convolution, then a normalised perceptron over channels, as ConvNeXt has it."""

    def __init__(self, width: int, kernel: int, wide: int) -> None:
        super().__init__()
        self.depthwise = nn.Conv2d(width, width, kernel, padding=kernel // 2, groups=width)
        self.norm = nn.LayerNorm(width)
        self.inner = nn.Sequential(nn.Linear(width, wide), nn.GELU(), nn.Linear(wide, width))
        self.scale = nn.Parameter(torch.ones(width))

    def forward(self, given: torch.Tensor) -> torch.Tensor:
        mixed = self.depthwise(given).permute(0, 2, 3, 1)
        result: torch.Tensor = given + (self.scale * self.inner(self.norm(mixed))).permute(0, 3, 1, 2)
        return result


def _channels_last(draw: _Draw) -> tuple[nn.Module, torch.Tensor]:
    width = draw.size(16, 384)
    return _ChannelsLastBlock(width, draw.of(3, 5, 7), 4 * width), _image(draw, width, 2**21)


def _up_and_down(draw: _Draw) -> tuple[nn.Module, torch.Tensor]:
    """Down by pooling or stride, up by a transposed convolution or interpolation, joined, as a U-Net does."""
    width = draw.size(8, 128)
    down = draw.of(nn.MaxPool2d(2), nn.Conv2d(width, width, 3, 2, 1))
    up = draw.of(
        nn.ConvTranspose2d(width, width, 2, 2),
        nn.Upsample(scale_factor=2, mode=draw.of("nearest", "bilinear", "bilinear")),
    )
    norm = draw.of(
        nn.GroupNorm(draw.of(1, 2), width) if width % 2 == 0 else nn.BatchNorm2d(width), nn.BatchNorm2d(width)
    )
    image = _image(draw, width, 2**21)
    return _Joined(nn.Sequential(down, norm, nn.ReLU(), up), width), image[
        ..., : image.shape[-2] // 2 * 2, : image.shape[-1] // 2 * 2
    ]


class _Joined(nn.Module):
    def __init__(self, inner: nn.Module, width: int) -> None:
        super().__init__()
        self.inner, self.last = inner, nn.Conv2d(2 * width, width, 3, padding=1)

    def forward(self, given: torch.Tensor) -> torch.Tensor:
        result: torch.Tensor = self.last(torch.cat([given, self.inner(given)], dim=1))
        return result


class _AttentionBlock(nn.Module):
    """A transformer's block; attention by torch's function, with dropout or without, or by products and a softmax."""

    def __init__(self, width: int, heads: int, causal: bool, how: str, activation: nn.Module, wide: int) -> None:
        super().__init__()
        self.heads, self.causal, self.how = heads, causal, how
        self.norms = nn.ModuleList([nn.LayerNorm(width), nn.LayerNorm(width)])
        self.query, self.key, self.value = (nn.Linear(width, width) for _ in range(3))
        self.out = nn.Linear(width, width)
        self.inner = nn.Sequential(nn.Linear(width, wide), activation, nn.Linear(wide, width), nn.Dropout(0.1))

    def forward(self, given: torch.Tensor) -> torch.Tensor:
        batch, length, width = given.shape
        normed = self.norms[0](given)
        q, k, v = (
            part(normed).view(batch, length, self.heads, width // self.heads).transpose(1, 2)
            for part in (self.query, self.key, self.value)
        )
        dropped = 0.1 if self.how == "dropout" else 0.0  # (with which torch's function is products and a softmax, too)
        mixed = (
            self._by_hand(q, k, v)
            if self.how == "by hand"
            else F.scaled_dot_product_attention(q, k, v, None, dropped, self.causal)
        )
        given = given + self.out(mixed.transpose(1, 2).reshape(batch, length, width))
        result: torch.Tensor = given + self.inner(self.norms[1](given))
        return result

    def _by_hand(self, q: torch.Tensor, k: torch.Tensor, v: torch.Tensor) -> torch.Tensor:
        scores = torch.matmul(q, k.transpose(-1, -2)) * q.shape[-1] ** -0.5
        if self.causal:
            scores = scores + scores.new_zeros(scores.shape[-2:])
        return torch.matmul(F.dropout(scores.softmax(dim=-1), 0.1, self.training), v)


def _attention(draw: _Draw) -> tuple[nn.Module, torch.Tensor]:
    per_head, heads = draw.of(16, 32, 64, 64, 96, 128), draw.of(1, 2, 3, 4, 8, 12)
    width = per_head * heads
    length, batch = draw.size(16, 512), draw.size(1, 32)
    while batch > 1 and batch * length * width > 2**20:
        batch //= 2
    small = batch * heads * length * length <= 2**23  # (what products make of attention is so many scores, kept)
    how = draw.of("kernel", "kernel", "kernel", *(("dropout", "by hand") if small else ()))
    activation = draw.of(nn.GELU(), nn.GELU("tanh"), nn.ReLU(), nn.SiLU())
    block = _AttentionBlock(width, heads, draw.of(True, False), how, activation, draw.of(2, 4) * width)
    return block, _meta(batch, length, width)


def _perceptron(draw: _Draw) -> tuple[nn.Module, torch.Tensor]:
    rows, sizes = draw.size(1, 4096), [draw.size(1, 2048) for _ in range(3)]
    while rows > 1 and rows * sizes[0] * sizes[1] > 2**30:
        rows //= 2
    normed = draw.of(nn.BatchNorm1d(sizes[1]), nn.LayerNorm(sizes[1])) if rows > 1 else nn.LayerNorm(sizes[1])
    parts = nn.Linear(sizes[0], sizes[1]), normed, draw.of(*_ACTIVATIONS)(), nn.Dropout(0.2)
    return nn.Sequential(*parts, nn.Linear(sizes[1], sizes[2], bias=draw.of(True, False))), _meta(rows, sizes[0])


class _Recurrent(nn.Module):
    def __init__(self, inner: nn.RNNBase) -> None:
        super().__init__()
        self.inner = inner

    def forward(self, given: torch.Tensor) -> torch.Tensor:
        result: torch.Tensor = self.inner(given)[0]
        return result


def _recurrent(draw: _Draw) -> tuple[nn.Module, torch.Tensor]:
    taken, width = draw.size(8, 512), draw.size(16, 512)
    kind = draw.of(nn.LSTM, nn.LSTM, nn.GRU, nn.RNN)
    inner = kind(taken, width, 2, batch_first=draw.of(True, False), bidirectional=draw.of(True, False, False))
    return _Recurrent(inner), _meta(draw.size(4, 64), draw.size(4, 64), taken)


class _Words(nn.Module):
    """Embeddings looked up, and a loss over classes as many as there are words."""

    def __init__(self, words: int, width: int) -> None:
        super().__init__()
        self.table, self.last = nn.Embedding(words, width), nn.Linear(width, words, bias=False)

    def forward(self, tokens: torch.Tensor) -> torch.Tensor:
        scores = self.last(self.table(tokens))
        return F.cross_entropy(scores.flatten(0, 1), tokens.flatten())


def _words(draw: _Draw) -> tuple[nn.Module, torch.Tensor]:
    words, width = draw.size(64, 32768), draw.size(16, 512)
    batch, length = draw.size(1, 16), draw.size(16, 256)
    while length > 16 and batch * length * words > 2**24:
        length //= 2
    return _Words(words, width), torch.empty(batch, length, dtype=torch.int64, device="meta")


def _sound(draw: _Draw) -> tuple[nn.Module, torch.Tensor]:
    """Convolutions over time."""
    taken, width = draw.size(1, 256), draw.size(16, 256)
    kernel, stride = draw.of(2, 3, 5, 10), draw.of(1, 2, 5)
    parts = nn.Conv1d(taken, width, kernel, stride, bias=draw.of(True, False)), nn.GroupNorm(draw.of(1, width), width)
    length = draw.size(64, 4096)
    batch = max(1, min(draw.size(1, 16), 2**20 // (length * taken)))
    return nn.Sequential(*parts, nn.GELU(), nn.Conv1d(width, width, 3, padding=1)), _meta(batch, taken, length)


class _Graph(nn.Module):
    """Messages gathered along edges and added up at nodes, a softmax, reductions."""

    source: torch.Tensor
    target: torch.Tensor

    def __init__(self, nodes: int, edges: int, width: int) -> None:
        super().__init__()
        self.nodes, self.inner = nodes, nn.Linear(width, width)
        self.register_buffer("source", torch.zeros(edges, dtype=torch.int64))
        self.register_buffer("target", torch.zeros(edges, dtype=torch.int64))

    def forward(self, given: torch.Tensor) -> torch.Tensor:
        messages = self.inner(given)[self.source]
        summed = torch.zeros_like(given).index_add(0, self.target, messages)
        weights = torch.log_softmax(summed, dim=-1)
        return weights.mean(dim=0) + summed.sum(dim=0) + summed.var(dim=0) + given.pow(2).mean(dim=0)


def _graph(draw: _Draw) -> tuple[nn.Module, torch.Tensor]:
    nodes, width = draw.size(64, 8192), draw.size(8, 128)
    return _Graph(nodes, nodes * draw.of(2, 4, 8), width), _meta(nodes, width)


class _Arithmetic(nn.Module):
    """Element-wise operators in one go, on whole tensors and across dimensions."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.scale, self.shift = nn.Parameter(torch.ones(width)), nn.Parameter(torch.zeros(width))

    def forward(self, given: torch.Tensor) -> torch.Tensor:
        scaled = given * self.scale + self.shift
        gated = scaled * torch.sigmoid(scaled)
        normed = gated * torch.rsqrt(gated.pow(2).mean(dim=-1, keepdim=True) + 1e-6)
        first, second = normed.chunk(2, dim=-1)
        joined = torch.cat([first * second, torch.exp(-second.abs()), F.softplus(first)], dim=-1)
        turned = joined.transpose(-1, -2).contiguous()
        masked = torch.where(turned > 0.5, turned, turned / 2).masked_fill(turned > 1, 0.0)
        return masked - masked.mean(dim=-1, keepdim=True) + torch.log1p(masked.clamp(min=0)).sqrt()


def _arithmetic(draw: _Draw) -> tuple[nn.Module, torch.Tensor]:
    width = 2 * draw.size(8, 512)
    rows = max(1, min(draw.size(16, 16384), 2**21 // width))
    return _Arithmetic(width), _meta(draw.of(1, 1, 4), rows, width)


class _Activations(nn.Module):
    def __init__(self, parts: list[nn.Module]) -> None:
        super().__init__()
        self.parts = nn.ModuleList(parts)

    def forward(self, given: torch.Tensor) -> torch.Tensor:
        return sum((part(given) for part in self.parts), given)


def _activations(draw: _Draw) -> tuple[nn.Module, torch.Tensor]:
    shape = _image(draw, draw.size(4, 256)).shape if draw.of(True, False) else (draw.size(1, 4096), draw.size(8, 1024))
    parts = [kind() for kind in _ACTIVATIONS] + [nn.Softmax(-1), nn.Dropout(0.1), nn.GELU("tanh")]
    return _Activations(parts), _meta(*shape).requires_grad_()


#: The kinds in turn; those whose times depend on most come more often.
_KINDS: tuple[Callable[[_Draw], tuple[nn.Module, torch.Tensor]], ...] = (
    *(_convolutions, _attention, _convolutions, _perceptron, _stem, _words, _convolutions, _channels_last),
    *(_arithmetic, _attention, _recurrent, _convolutions, _sound, _up_and_down, _perceptron, _graph, _activations),
)
_OPTIMIZERS = (
    *(("adamw", "fused"), ("adam", "fused"), ("sgd", "fused"), ("sgd-momentum", "fused"), ("adam", "single-tensor")),
    *(("adamw", "foreach"), ("sgd", "single-tensor"), ("sgd-momentum", "foreach")),
)


class _Together(nn.Module):
    """Blocks beside each other, each with its own input: a step of several parts, as those that people train are."""

    def __init__(self, parts: list[nn.Module]) -> None:
        super().__init__()
        self.parts = nn.ModuleList(parts)

    def forward(self, *given: torch.Tensor) -> tuple[torch.Tensor, ...]:
        return tuple(part(one) for part, one in zip(self.parts, given, strict=True))


def together(blocks: list[Block]) -> Block:
    """Several blocks as one, with the optimizer of the first."""
    inputs = tuple(one for each in blocks for one in each.inputs)
    parts = _Together([each.module for each in blocks])
    return Block(SEVERAL, parts, inputs, blocks[0].optimizer, blocks[0].form)


def block(number: int, seed: int = 0) -> Block:
    """The block of that number: kinds come in turn, sizes are drawn with the number for a seed."""
    draw = _Draw(1_000_003 * seed + number)
    make = _KINDS[number % len(_KINDS)]
    with torch.device("meta"):
        module, example = make(draw)
    optimizer, form = draw.of(*_OPTIMIZERS)
    return Block(make.__name__.strip("_"), module, (example,), optimizer, form)
