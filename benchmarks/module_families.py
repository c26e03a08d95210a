"""How well sizes of nine families of modules are predicted from six that were timed.

    python benchmarks/module_families.py --folder FOLDER --measure 400   # seconds; goes on where it stopped
    python benchmarks/module_families.py --folder FOLDER                 # the figures, from what was measured
    python benchmarks/module_families.py --tracing                       # forty sizes traced, beside single inspections

Of each family, batch size and optimizer all sizes are timed twice, as `sizer recommend package.module:make` times them,
some time apart. The first time gives the six sizes that it would choose; the truth of the others is the quieter of
both. How far the two times are apart is the noise, where there was a second time.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
import torch.nn.functional as F  # noqa: N812 (its name everywhere)
from torch import nn

from sizer.families.making import Family
from sizer.families.request import FamilyRequest


class ResidualBlock(nn.Module):
    """Two convolutions with normalisation, added to what goes in."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.first = nn.Conv2d(channels, channels, 3, padding=1, bias=False)
        self.second = nn.Conv2d(channels, channels, 3, padding=1, bias=False)
        self.norms = nn.ModuleList([nn.BatchNorm2d(channels), nn.BatchNorm2d(channels)])

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """What goes out."""
        inner = F.relu(self.norms[0](self.first(x)))
        return F.relu(x + self.norms[1](self.second(inner)))


def cnn(width: int) -> nn.Module:
    """Three convolutions with pooling."""
    layers: list[nn.Module] = []
    for before, after in ((3, width), (width, 2 * width), (2 * width, 2 * width)):
        layers += [nn.Conv2d(before, after, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2)]
    return nn.Sequential(*layers, nn.Flatten(), nn.Linear(2 * width * 16, 10))


def residual_cnn(width: int) -> nn.Module:
    """A stem and two residual blocks."""
    stem = [nn.Conv2d(3, width, 3, padding=1, bias=False), nn.BatchNorm2d(width), nn.ReLU()]
    down = [nn.Conv2d(width, 2 * width, 3, stride=2, padding=1), nn.ReLU()]
    blocks = [ResidualBlock(width), *down, ResidualBlock(2 * width), nn.AdaptiveAvgPool2d(1)]
    return nn.Sequential(*stem, *blocks, nn.Flatten(), nn.Linear(2 * width, 10))


class ViT(nn.Module):
    """A vision transformer of three layers on 64 patches."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.patches = nn.Conv2d(3, width, 4, stride=4)
        self.position = nn.Parameter(torch.zeros(1, 64, width))
        layer = nn.TransformerEncoderLayer(width, 4, 4 * width, 0.1, "gelu", batch_first=True, norm_first=True)
        self.encoder = nn.TransformerEncoder(layer, 3, enable_nested_tensor=False)
        self.head = nn.Linear(width, 10)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """What goes out."""
        tokens = self.patches(x).flatten(2).transpose(1, 2) + self.position
        return self.head(self.encoder(tokens).mean(1))


class GPTBlock(nn.Module):
    """Causal attention and a perceptron, each with its normalisation."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.norms = nn.ModuleList([nn.LayerNorm(width), nn.LayerNorm(width)])
        self.qkv, self.out = nn.Linear(width, 3 * width), nn.Linear(width, width)
        self.mlp = nn.Sequential(nn.Linear(width, 4 * width), nn.GELU(), nn.Linear(4 * width, width))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """What goes out."""
        batch, length, width = x.shape
        q, k, v = self.qkv(self.norms[0](x)).view(batch, length, 3, 4, width // 4).permute(2, 0, 3, 1, 4)
        attended = F.scaled_dot_product_attention(q, k, v, is_causal=True)
        x = x + self.out(attended.transpose(1, 2).reshape(batch, length, width))
        return x + self.mlp(self.norms[1](x))


class GPT(nn.Module):
    """Two blocks between an embedding and its logits."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.tokens, self.positions = nn.Embedding(1000, width), nn.Parameter(torch.zeros(64, width))
        self.blocks = nn.Sequential(GPTBlock(width), GPTBlock(width))
        self.head = nn.Linear(width, 1000, bias=False)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """What goes out."""
        return self.head(self.blocks(self.tokens(x) + self.positions[: x.shape[1]])).transpose(1, 2)


class Recurrent(nn.Module):
    """Two recurrent layers; the last step is classified."""

    def __init__(self, kind: type[nn.RNNBase], width: int) -> None:
        super().__init__()
        self.cells, self.head = kind(24, width, 2, batch_first=True), nn.Linear(width, 10)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """What goes out."""
        return self.head(self.cells(x)[0][:, -1])


def lstm(width: int) -> nn.Module:
    """A recurrent network of LSTMs."""
    return Recurrent(nn.LSTM, width)


def gru(width: int) -> nn.Module:
    """A recurrent network of GRUs."""
    return Recurrent(nn.GRU, width)


def bn_mlp(width: int) -> nn.Module:
    """A perceptron with normalisation, GELU and dropout."""
    layers: list[nn.Module] = []
    for before in (100, width, width):
        layers += [nn.Linear(before, width), nn.BatchNorm1d(width), nn.GELU(), nn.Dropout(0.1)]
    return nn.Sequential(*layers, nn.Linear(width, 10))


class Graph(nn.Module):
    """Two rounds of messages along edges, added up at their ends."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.into = nn.Linear(16, width)
        self.messages = nn.ModuleList([nn.Linear(2 * width, width) for _ in range(2)])
        self.updates = nn.ModuleList([nn.Linear(2 * width, width) for _ in range(2)])
        self.head = nn.Linear(width, 10)

    def forward(self, nodes: torch.Tensor, edges: torch.Tensor) -> torch.Tensor:
        """What goes out."""
        x = F.relu(self.into(nodes))
        for message, update in zip(self.messages, self.updates, strict=True):
            sent = F.relu(message(torch.cat([x[edges[0]], x[edges[1]]], 1)))
            received = torch.zeros_like(x).index_add(0, edges[1], sent)
            x = F.relu(update(torch.cat([x, received], 1)))
        return self.head(x)


class UNet(nn.Module):
    """Two levels down and up again."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.down = nn.ModuleList([self._pair(3, width), self._pair(width, 2 * width)])
        self.bottom = self._pair(2 * width, 4 * width)
        self.up = nn.ModuleList(
            [nn.ConvTranspose2d(4 * width, 2 * width, 2, 2), nn.ConvTranspose2d(2 * width, width, 2, 2)]
        )
        self.joined = nn.ModuleList([self._pair(4 * width, 2 * width), self._pair(2 * width, width)])
        self.head = nn.Conv2d(width, 4, 1)

    @staticmethod
    def _pair(before: int, after: int) -> nn.Module:
        return nn.Sequential(
            nn.Conv2d(before, after, 3, padding=1), nn.ReLU(), nn.Conv2d(after, after, 3, padding=1), nn.ReLU()
        )

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """What goes out."""
        first = self.down[0](x)
        second = self.down[1](F.max_pool2d(first, 2))
        x = self.bottom(F.max_pool2d(second, 2))
        x = self.joined[0](torch.cat([self.up[0](x), second], 1))
        return self.head(self.joined[1](torch.cat([self.up[1](x), first], 1)))


#: Family -> what builds it, its shapes for a batch, its batch sizes, the widths that are timed, its loss.
FAMILIES: dict[str, tuple[Callable[..., nn.Module], Callable[[int], tuple[str, ...]], tuple[int, int], str, str]] = {
    "cnn": (cnn, lambda b: (f"{b},3,32,32",), (16, 64), "4,6,8,12,16,20,24,30,32,40,48,57,64", "cross_entropy"),
    "residual_cnn": (
        residual_cnn,
        lambda b: (f"{b},3,32,32",),
        (8, 32),
        "4,6,8,12,16,20,24,28,32,40,48,56,64",
        "cross_entropy",
    ),
    "vit": (ViT, lambda b: (f"{b},3,32,32",), (8, 32), "16,24,32,48,64,76,96,120,128,160,192,224,256", "cross_entropy"),
    "gpt": (
        GPT,
        lambda b: (f"{b},64:int64",),
        (4, 16),
        "16,24,32,48,64,84,96,120,128,160,192,224,256",
        "cross_entropy",
    ),
    "lstm": (
        lstm,
        lambda b: (f"{b},32,24",),
        (16, 64),
        "16,24,32,48,64,81,96,112,128,160,192,224,256",
        "cross_entropy",
    ),
    "gru": (gru, lambda b: (f"{b},32,24",), (16, 64), "16,24,32,48,64,81,96,112,128,160,192,224,256", "cross_entropy"),
    "bn_mlp": (
        bn_mlp,
        lambda b: (f"{b},100",),
        (64, 256),
        "32,48,64,96,128,200,256,333,384,512,640,768,1024",
        "cross_entropy",
    ),
    "graph": (
        Graph,
        lambda b: (f"{b},16", f"2,{4 * b}:int64"),
        (500, 2000),
        "8,12,16,24,32,44,48,64,80,96,111,128,160",
        "mse",
    ),
    "unet": (UNet, lambda b: (f"{b},3,32,32",), (2, 8), "4,6,8,12,16,18,20,24,28,32,36,40,48", "mse"),
}


def combinations() -> list[tuple[str, int, str]]:
    """Every family at each batch size with each optimizer; those of one family far apart."""
    settings = ((0, "adam"), (1, "sgd"), (0, "sgd"), (1, "adam"))
    return [(name, *setting) for setting in settings for name in FAMILIES]


def family_of(name: str, size: int, optimizer: str, budget_s: float) -> Family:
    """The family of a name at one of its batch sizes."""
    from sizer.families.request import values_of
    from sizer.inspection.checks import as_loss

    make, inputs, batches, widths, loss = FAMILIES[name]
    values = (values_of(widths, "width", 40),)
    request = FamilyRequest(name, ("width",), values, inputs(batches[size]), optimizer, loss, budget_s=budget_s)
    return Family(request, lambda width: make(width), None, as_loss(loss))


def measure(folder: Path, seconds: float) -> None:
    """Time what is missing, all combinations once before any is timed again."""
    from sizer.base.progress import silent
    from sizer.base.storage import JsonLines
    from sizer.detection.detect import detected
    from sizer.families.kept import KeptTimings
    from sizer.families.timing import Plan, time_members
    from sizer.families.tracing import trace_members

    until, device = time.perf_counter() + seconds, detected("cpu")
    folder.mkdir(parents=True, exist_ok=True)
    log = JsonLines(folder / "families.jsonl")
    done = {(each["family"], each["batch"], each["optimizer"], each["pass"]) for each in lines(folder)}
    for number in (0, 1):
        for name, size, optimizer in combinations():
            if (name, size, optimizer, number) in done:
                continue
            if time.perf_counter() > until:
                print("not done; call again", file=sys.stderr)
                return
            family = family_of(name, size, optimizer, 60.0)
            members, left = trace_members(family, family.request.sizes(), silent)
            assert not left, left
            kept = KeptTimings(folder / f"{name}-{size}-{optimizer}-{number}.jsonl")
            timed, left = time_members(family, members, Plan(range(len(members))), device, kept, silent)
            assert not left, left
            step_s = {one.values[0]: one.step_s for one in timed}
            quiet = {one.values[0]: one.quiet for one in timed}
            entry = {"family": name, "batch": size, "optimizer": optimizer, "pass": number}
            log.append({**entry, "step_s": step_s, "quiet": quiet})
            print(name, size, optimizer, number, {w: f"{1e3 * s:.2f} ms" for w, s in step_s.items()}, flush=True)


def lines(folder: Path) -> list[dict[str, Any]]:
    """What was measured."""
    from sizer.base.storage import read_objects

    path = folder / "families.jsonl"
    return read_objects(path) if path.is_file() else []


class Cell(NamedTuple):
    """A size that was not among those timed: what was predicted, with its interval, what it took, and the noise."""

    family: str
    predicted_s: float
    low_s: float
    high_s: float
    truth_s: float
    noise: float | None

    @property
    def error(self) -> float:
        """Share by which the prediction is off."""
        return abs(self.predicted_s / self.truth_s - 1)


class Advised(NamedTuple):
    """How many times as dear as the best of all sizes the advised one is, by loss and by time."""

    family: str
    by_loss: float
    by_time: float


def compared(folder: Path) -> tuple[list[Cell], list[Advised]]:
    """The predictions for every combination that was measured, beside the truth."""
    passes: dict[tuple[str, int, str], dict[int, dict[str, Any]]] = {}
    for each in lines(folder):
        passes.setdefault((each["family"], each["batch"], each["optimizer"]), {})[each["pass"]] = each
    cells: list[Cell] = []
    advised: list[Advised] = []
    for key, found in passes.items():
        if 0 in found:
            of_one, regret = _compared(key, found[0]["step_s"], found[1]["step_s"] if 1 in found else None)
            cells += of_one
            advised.append(regret)
    return cells, advised


def _compared(
    key: tuple[str, int, str], first: dict[str, float], second: dict[str, float] | None
) -> tuple[list[Cell], Advised]:
    from sizer.base.progress import silent
    from sizer.detection.detect import detected
    from sizer.families.answer import Answer, weights
    from sizer.families.choosing import CHOSEN_LATER, CONFIRMED, TIMED, choose, choose_cheapest, choose_next
    from sizer.families.timing import Timed
    from sizer.families.tracing import together, trace_members
    from sizer.method.placement import Hierarchy, place_all

    family, device = family_of(*key, 60.0), detected("cpu")
    members, _ = trace_members(family, family.request.sizes(), silent)
    hierarchy, sets = Hierarchy.of(device), together([one.sets for one in members])
    placements = place_all(sets, hierarchy)
    widths = [str(one.values[0]) for one in members]
    chosen = choose(members, placements, TIMED - CHOSEN_LATER)
    for _ in range(CHOSEN_LATER):
        known = {index: first[widths[index]] for index in chosen}
        chosen.append(choose_next(members, known, chosen) or 0)
    timed = [Timed(members[index].values, first[widths[index]], 3, True) for index in chosen]
    answer = Answer(family, device, hierarchy, members, sets, placements, timed, [], torch.get_num_threads())
    again = second or first
    truth_s = np.array([min(first[width], again[width]) for width in widths])
    noise = [None if second is None else abs(first[width] / second[width] - 1) for width in widths]
    cells = [
        Cell(key[0], float(answer.step_s[index]), *answer.interval(index), truth_s[index], noise[index])
        for index in range(len(widths))
        if index not in chosen
    ]
    weight = weights(family.request, members)
    for _ in range(CONFIRMED):
        known = {index: first[widths[index]] for index in chosen}
        if (cheapest := choose_cheapest(members, known, known, weight)) is not None:
            chosen.append(cheapest)
    timed = [Timed(members[index].values, first[widths[index]], 3, True) for index in chosen]
    confirmed = replace(answer, timed=timed)
    best = widths.index(str(confirmed.record().best.values["width"]))
    by_time = int(np.argmin(confirmed.step_s))
    cost = truth_s * weight
    regret = Advised(key[0], float(cost[best] / cost.min()), float(truth_s[by_time] / truth_s.min()))
    return cells, regret


def show(cells: list[Cell], advised: list[Advised]) -> None:
    """The figures, by family and in all."""
    print(
        f"{'family':>14} {'cells':>5} {'mean':>6} {'p95':>6} {'covered':>8} {'high/low':>8} {'noise':>6} {'regret':>7}"
    )
    for name in (*FAMILIES, "all"):
        own = [cell for cell in cells if name in (cell.family, "all")]
        regrets = [max(one.by_loss, one.by_time) - 1 for one in advised if name in (one.family, "all")]
        if own:
            print(f"{name:>14} {' '.join(_figures(own))} {100 * max(regrets):6.1f}%")


def _figures(cells: list[Cell]) -> list[str]:
    errors = np.array([cell.error for cell in cells])
    covered = np.mean([cell.low_s <= cell.truth_s <= cell.high_s for cell in cells])
    ratio = np.median([cell.high_s / cell.low_s for cell in cells])
    twice = [cell.noise for cell in cells if cell.noise is not None]
    noise = f"{100 * np.median(twice):5.1f}%" if twice else f"{'':6}"
    shares = (np.mean(errors), np.quantile(errors, 0.95))
    texts = [f"{100 * share:5.1f}%" for share in shares]
    return [f"{len(cells):5}", *texts, f"{100 * covered:7.1f}%", f"{ratio:8.2f}", noise]


def tracing() -> None:
    """How long forty sizes take to trace, beside as many single inspections; fake kernels are forgotten before each."""
    import sizer
    from sizer.base.progress import silent
    from sizer.families.request import spread
    from sizer.families.tracing import trace_members

    for name in FAMILIES:
        family = family_of(name, 0, "adam", 60.0)
        sizes = [(4 * width,) for width in spread(4, 80, 40)]

        def inspect_each(family: Family = family, sizes: list[tuple[int]] = sizes) -> None:
            for size in sizes:
                module = family.outlined(size)
                sizer.inspect(module, family.settings(module, size).args, "adam", family.request.loss)

        trace_members(family, sizes[:1], silent)  # (what is only done once in a process)
        together_s = _cold_s(lambda family=family, sizes=sizes: trace_members(family, sizes, silent))
        singly_s = _cold_s(inspect_each)
        ratio = together_s / singly_s
        print(f"{name:>14} {len(sizes)} sizes: {together_s:5.2f} s, singly {singly_s:5.2f} s, {ratio:.2f} of it")


def _cold_s(work: Callable[[], object]) -> float:
    """How long work takes on shapes that no fake tensor has seen, in s."""
    from torch._subclasses.fake_tensor import FakeTensorMode

    FakeTensorMode.cache_clear()
    began = time.perf_counter()
    work()
    return time.perf_counter() - began


def main() -> None:
    """Measure, or say what was measured."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--folder", type=Path, help="where measurements are kept")
    parser.add_argument("--measure", type=float, metavar="SECONDS", help="measure for so long")
    parser.add_argument("--tracing", action="store_true", help="how long tracing takes")
    arguments = parser.parse_args()
    if arguments.measure:
        measure(arguments.folder, arguments.measure)
    elif arguments.tracing:
        tracing()
    else:
        show(*compared(arguments.folder))


if __name__ == "__main__":
    main()
