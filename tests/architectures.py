"""Architectures whose inspection is compared with what PyTorch really does: name -> (module, inputs, autocast type)."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from typing import Any

import torch
import torch.nn.functional as F  # noqa: N812
from torch import nn
from torch.utils.checkpoint import checkpoint


class Residual(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.first, self.second, self.last = nn.Linear(12, 24), nn.Linear(24, 24), nn.Linear(24, 3)

    def forward(self, x):
        x = F.gelu(self.first(x))
        return self.last(x + F.silu(self.second(x)))


class Convolutional(nn.Sequential):
    def __init__(self) -> None:
        super().__init__(
            nn.Conv2d(3, 8, 3, padding=1), nn.BatchNorm2d(8), nn.ReLU(), nn.MaxPool2d(2),
            nn.Conv2d(8, 16, 3, stride=2, groups=4), nn.GroupNorm(4, 16), nn.SiLU(),
            nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(16, 5),
        )  # fmt: skip


class Transposed(nn.Sequential):
    def __init__(self) -> None:
        super().__init__(nn.ConvTranspose2d(4, 6, 3, stride=2), nn.ReLU(), nn.Conv2d(6, 2, 1, bias=False))


class Attention(nn.Module):
    """Scaled dot product attention with several heads, causal."""

    def __init__(self, width: int = 32, heads: int = 4) -> None:
        super().__init__()
        self.heads = heads
        self.qkv, self.out = nn.Linear(width, 3 * width), nn.Linear(width, width)

    def forward(self, x):
        batch, time, width = x.shape
        q, k, v = (part.view(batch, time, self.heads, -1).transpose(1, 2) for part in self.qkv(x).chunk(3, -1))
        mixed = F.scaled_dot_product_attention(q, k, v, is_causal=True)
        return self.out(mixed.transpose(1, 2).reshape(batch, time, width))


class PlainAttention(Attention):
    """The same written out: scores, softmax, dropout."""

    def forward(self, x):
        batch, time, width = x.shape
        q, k, v = (part.view(batch, time, self.heads, -1).transpose(1, 2) for part in self.qkv(x).chunk(3, -1))
        scores = F.dropout((q @ k.transpose(-1, -2) / 8**0.5).softmax(-1), 0.1, self.training)
        return self.out((scores @ v).transpose(1, 2).reshape(batch, time, width))


class LanguageModel(nn.Module):
    """Embedding and output layer share their weight."""

    def __init__(self) -> None:
        super().__init__()
        self.embedding = nn.Embedding(50, 32)
        self.block = nn.TransformerEncoderLayer(32, 4, 64, dropout=0.1, batch_first=True)
        self.head = nn.Linear(32, 50, bias=False)
        self.head.weight = self.embedding.weight

    def forward(self, tokens):
        return self.head(self.block(self.embedding(tokens)))


class Recurrent(nn.Module):
    def __init__(self, kind: type[nn.RNNBase]) -> None:
        super().__init__()
        self.cells, self.out = kind(10, 16, num_layers=2, batch_first=True), nn.Linear(16, 4)

    def forward(self, x):
        return self.out(self.cells(x)[0][:, -1])


class Frozen(nn.Sequential):
    def __init__(self) -> None:
        super().__init__(nn.Linear(12, 20), nn.ReLU(), nn.Linear(20, 20), nn.ReLU(), nn.Linear(20, 3))
        self[0].requires_grad_(False)


class LowRank(nn.Module):
    """LoRA: a frozen layer and a trained product of two thin ones beside it."""

    def __init__(self) -> None:
        super().__init__()
        self.base = nn.Linear(24, 24).requires_grad_(False)
        self.down, self.up, self.head = nn.Linear(24, 4, bias=False), nn.Linear(4, 24, bias=False), nn.Linear(24, 2)

    def forward(self, x):
        return self.head(torch.relu(self.base(x) + 2.0 * self.up(self.down(x))))


class Checkpointed(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.blocks = nn.ModuleList(nn.Sequential(nn.Linear(16, 48), nn.GELU(), nn.Linear(48, 16)) for _ in range(3))
        self.head = nn.Linear(16, 2)

    def forward(self, x):
        for block in self.blocks:
            x = x + checkpoint(block, x, use_reentrant=False)
        return self.head(x)


class MixtureOfTwo(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.gate, self.experts = nn.Linear(10, 2), nn.ModuleList(nn.Linear(10, 6) for _ in range(2))

    def forward(self, x):
        weights = self.gate(x).softmax(-1)
        return torch.einsum("be,beo->bo", weights, torch.stack([expert(x) for expert in self.experts], 1))


class Reused(nn.Module):
    """One layer used three times."""

    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.Linear(9, 9)

    def forward(self, x):
        for _ in range(3):
            x = torch.tanh(self.layer(x))
        return x


class TwoInputs(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.mix, self.scale = nn.Bilinear(5, 7, 6), nn.Parameter(torch.ones(6))

    def forward(self, left, right):
        return {"score": self.mix(left, right) * self.scale, "norm": left.pow(2).sum(-1)}


class Unfused(nn.Module):
    """In-place activation, views, a buffer, instance and layer normalisation, one-dimensional convolution."""

    def __init__(self) -> None:
        super().__init__()
        self.convolution, self.norm = nn.Conv1d(4, 8, 5, padding=2), nn.InstanceNorm1d(8, affine=True)
        self.layer_norm, self.out = nn.LayerNorm(20), nn.Linear(160, 3)
        self.register_buffer("window", torch.ones(20))

    def forward(self, x):
        x = F.relu(self.norm(self.convolution(x)) * self.window, inplace=True)
        return self.out(self.layer_norm(x).flatten(1))


def mlp(*widths: int) -> nn.Sequential:
    layers = [part for pair in itertools.pairwise(widths) for part in (nn.Linear(*pair), nn.ReLU())]
    return nn.Sequential(*layers[:-1])


def normal(*shape: int) -> Callable[[], torch.Tensor]:
    return lambda: torch.randn(*shape)


def tokens(*shape: int) -> Callable[[], torch.Tensor]:
    return lambda: torch.randint(0, 50, shape)


ARCHITECTURES: dict[str, tuple[Callable[[], nn.Module], tuple[Callable[[], torch.Tensor], ...], torch.dtype | None]] = {
    "mlp": (lambda: mlp(12, 30, 20, 5), (normal(16, 12),), None),
    "mlp of sequences": (lambda: mlp(12, 30, 5), (normal(4, 6, 12),), None),
    "mlp autocast": (lambda: mlp(12, 30, 20, 5), (normal(16, 12),), torch.bfloat16),
    "residual": (Residual, (normal(16, 12),), None),
    "convolutional": (Convolutional, (normal(4, 3, 16, 16),), None),
    "convolutional autocast": (Convolutional, (normal(4, 3, 16, 16),), torch.bfloat16),
    "transposed": (Transposed, (normal(2, 4, 8, 8),), None),
    "attention": (Attention, (normal(2, 12, 32),), None),
    "attention autocast": (Attention, (normal(2, 12, 32),), torch.bfloat16),
    "plain attention": (PlainAttention, (normal(2, 12, 32),), None),
    "multihead attention": (
        lambda: nn.TransformerEncoderLayer(32, 4, 64, batch_first=True),
        (normal(2, 12, 32),),
        None,
    ),
    "decoder": (lambda: nn.Transformer(16, 2, 1, 1, 32, batch_first=True), (normal(2, 5, 16), normal(2, 7, 16)), None),
    "tied language model": (LanguageModel, (tokens(2, 9),), None),
    "lstm": (lambda: Recurrent(nn.LSTM), (normal(3, 7, 10),), None),
    "gru": (lambda: Recurrent(nn.GRU), (normal(3, 7, 10),), None),
    "rnn": (lambda: Recurrent(nn.RNN), (normal(3, 7, 10),), None),
    "frozen layer": (Frozen, (normal(8, 12),), None),
    "low rank": (LowRank, (normal(8, 24),), None),
    "checkpointed": (Checkpointed, (normal(8, 16),), None),
    "mixture": (MixtureOfTwo, (normal(8, 10),), None),
    "reused layer": (Reused, (normal(8, 9),), None),
    "two inputs": (TwoInputs, (normal(8, 5), normal(8, 7)), None),
    "unfused": (Unfused, (normal(4, 4, 20),), None),
}


def real_step(module: nn.Module, inputs: Any, autocast: torch.dtype | None) -> tuple[int, int, int]:
    """Run a real step. FLOPs of the forward and of the backward pass, and bytes saved in between."""
    from torch.utils._pytree import tree_leaves
    from torch.utils.flop_counter import FlopCounterMode

    args, kwargs = inputs
    own = [*module.parameters(), *module.buffers(), *tree_leaves((args, kwargs))]
    known = {leaf.untyped_storage().data_ptr() for leaf in own if isinstance(leaf, torch.Tensor)}
    kept: dict[int, Any] = {}

    def pack(tensor):
        storage = tensor.untyped_storage()
        if storage.data_ptr() not in known:
            kept[storage.data_ptr()] = (storage.nbytes(), tensor)
        return tensor

    with FlopCounterMode(display=False) as forward, torch.autograd.graph.saved_tensors_hooks(pack, lambda kept_: kept_):
        with torch.autocast("cpu", dtype=autocast) if autocast else torch.enable_grad():
            output = module(*args, **kwargs)
        own_loss = getattr(output, "loss", None)
        leaves = [own_loss] if own_loss is not None else tree_leaves(output)
        starts = [leaf for leaf in leaves if isinstance(leaf, torch.Tensor) and leaf.requires_grad]
    saved = sum(size for size, _ in kept.values())
    with FlopCounterMode(display=False) as backward:
        torch.autograd.backward(starts, [torch.ones_like(start) for start in starts])
    return forward.get_total_flops(), backward.get_total_flops(), saved
