"""How far `sizer inspect` is from what a step of single modules takes, 24 of them, priced by their operators.

    python benchmarks/single_modules.py --folder DIR [--calibrate 120] [--missing 10] [--only resnet,vit] [--limit 400]

In the folder everything is kept as it is taken, so that slices add up: the truth before (the 20th percentile of a run,
the least of three rounds), a library of operators calibrated in there, predictions by it, predictions after
``--missing`` seconds of `--measure-missing` each, the truth after. Modules of transformers are built from their
configurations, without weights. Needs transformers.
"""

from __future__ import annotations

import argparse
import json
import os
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import nn

import sizer
from sizer.base.storage import JsonLines, read_objects

ROUNDS, RUN_S, FEWEST = 3, 0.4, 3


class Case(NamedTuple):
    """A module with its inputs as keyword arguments, which hold its labels."""

    module: nn.Module
    inputs: Mapping[str, torch.Tensor]


def image(batch: int, side: int, classes: int = 10) -> dict[str, torch.Tensor]:
    """A batch of images with a label each."""
    return {"pixel_values": torch.randn(batch, 3, side, side), "labels": torch.randint(0, classes, (batch,))}


def words(batch: int, length: int, vocabulary: int) -> torch.Tensor:
    """A batch of tokens."""
    return torch.randint(0, vocabulary, (batch, length))


def of_transformers(name: str) -> Case:
    """A small configuration of a well-known architecture."""
    import transformers as hf

    small = {"hidden_size": 192, "num_hidden_layers": 4, "num_attention_heads": 4, "intermediate_size": 768}
    text = {**small, "vocab_size": 6000}
    tokens = words(4, 128, 6000)
    label = torch.randint(0, 2, (4,))
    two = {"num_labels": 2}
    made: dict[str, Callable[[], Case]] = {
        "resnet": lambda: Case(
            hf.ResNetForImageClassification(
                hf.ResNetConfig(
                    depths=[2, 2, 2, 2], layer_type="basic", hidden_sizes=[64, 128, 256, 512], num_labels=10
                )
            ),
            image(4, 128),
        ),
        "resnet-bottleneck": lambda: Case(
            hf.ResNetForImageClassification(
                hf.ResNetConfig(depths=[2, 2, 2, 2], hidden_sizes=[128, 256, 512, 1024], num_labels=10)
            ),
            image(4, 96),
        ),
        "convnext": lambda: Case(
            hf.ConvNextForImageClassification(
                hf.ConvNextConfig(hidden_sizes=[48, 96, 192, 384], depths=[2, 2, 6, 2], num_labels=10)
            ),
            image(4, 128),
        ),
        "mobilenet": lambda: Case(
            hf.MobileNetV2ForImageClassification(hf.MobileNetV2Config(num_labels=10)), image(4, 128)
        ),
        "regnet": lambda: Case(
            hf.RegNetForImageClassification(
                hf.RegNetConfig(hidden_sizes=[64, 128, 256, 512], depths=[1, 2, 4, 1], groups_width=32, num_labels=10)
            ),
            image(4, 96),
        ),
        "vit": lambda: Case(
            hf.ViTForImageClassification(hf.ViTConfig(**small, image_size=96, patch_size=8, num_labels=10)),
            image(8, 96),
        ),
        "deit": lambda: Case(
            hf.DeiTForImageClassification(
                hf.DeiTConfig(**{**small, "num_attention_heads": 3}, image_size=112, patch_size=16, num_labels=10)
            ),
            image(16, 112),
        ),
        "swin": lambda: Case(
            hf.SwinForImageClassification(
                hf.SwinConfig(image_size=112, embed_dim=48, depths=[2, 2, 2], num_heads=[2, 4, 8], num_labels=10)
            ),
            image(4, 112),
        ),
        "segformer": lambda: Case(
            hf.SegformerForSemanticSegmentation(hf.SegformerConfig(num_labels=5)),
            {"pixel_values": torch.randn(2, 3, 96, 96), "labels": torch.randint(0, 5, (2, 96, 96))},
        ),
        "bert": lambda: Case(
            hf.BertForSequenceClassification(hf.BertConfig(**text, **two)), {"input_ids": tokens, "labels": label}
        ),
        "distilbert": lambda: Case(
            hf.DistilBertForSequenceClassification(
                hf.DistilBertConfig(dim=256, n_layers=3, n_heads=8, hidden_dim=1024, vocab_size=6000, **two)
            ),
            {"input_ids": tokens, "attention_mask": torch.ones_like(tokens), "labels": label},
        ),
        "albert": lambda: Case(
            hf.AlbertForSequenceClassification(hf.AlbertConfig(**text, embedding_size=64, **two)),
            {"input_ids": tokens, "labels": label},
        ),
        "gpt2": lambda: Case(
            hf.GPT2LMHeadModel(
                hf.GPT2Config(n_embd=192, n_layer=4, n_head=6, vocab_size=6000, bos_token_id=1, eos_token_id=2)
            ),
            {"input_ids": tokens, "labels": tokens},
        ),
        "llama": lambda: Case(
            hf.LlamaForCausalLM(hf.LlamaConfig(**text, num_key_value_heads=2)), {"input_ids": tokens, "labels": tokens}
        ),
        "t5": lambda: Case(
            hf.T5ForConditionalGeneration(
                hf.T5Config(
                    d_model=192,
                    d_kv=32,
                    d_ff=768,
                    num_layers=3,
                    num_heads=6,
                    vocab_size=6000,
                    decoder_start_token_id=0,
                )
            ),
            {"input_ids": tokens, "labels": words(4, 64, 6000)},
        ),
        "wav2vec2": lambda: Case(
            hf.Wav2Vec2ForSequenceClassification(
                hf.Wav2Vec2Config(**{**small, "num_hidden_layers": 3}, conv_dim=[128] * 7, mask_time_prob=0.0, **two)
            ),
            {"input_values": torch.randn(2, 12_000), "labels": torch.randint(0, 2, (2,))},
        ),
    }
    return made[name]()


class Recurrent(nn.Module):
    """Words, two recurrent layers, words."""

    def __init__(self, kind: type[nn.RNNBase], width: int) -> None:
        super().__init__()
        self.table, self.inner = nn.Embedding(3000, 128), kind(128, width, 2, batch_first=True)
        self.last = nn.Linear(width, 3000)

    def forward(self, given: torch.Tensor) -> torch.Tensor:
        """Scores of each next word."""
        return self.last(self.inner(self.table(given))[0])


class UNet(nn.Module):
    """Down twice, up twice, joined."""

    def __init__(self, width: int) -> None:
        super().__init__()

        def twice(taken: int, given: int) -> nn.Sequential:
            parts = nn.Conv2d(taken, given, 3, padding=1), nn.GroupNorm(8, given), nn.SiLU()
            return nn.Sequential(*parts, nn.Conv2d(given, given, 3, padding=1), nn.SiLU())

        self.first, self.second, self.third = twice(3, width), twice(width, 2 * width), twice(2 * width, 4 * width)
        self.up = nn.ConvTranspose2d(4 * width, 2 * width, 2, 2)
        self.fourth, self.fifth = twice(4 * width, 2 * width), twice(3 * width, width)
        self.last = nn.Conv2d(width, 1, 1)

    def forward(self, given: torch.Tensor) -> torch.Tensor:
        """A map of the size of the images."""
        one = self.first(given)
        two = self.second(nn.functional.max_pool2d(one, 2))
        three = self.up(self.third(nn.functional.avg_pool2d(two, 2)))
        four = self.fourth(torch.cat([two, three], 1))
        wide = nn.functional.interpolate(four, scale_factor=2, mode="bilinear")
        return self.last(self.fifth(torch.cat([one, wide], 1)))


def of_torch(name: str) -> Case:
    """A module of torch.nn or of our own."""
    relu = nn.ReLU
    made: dict[str, Callable[[], Case]] = {
        "cnn": lambda: Case(
            nn.Sequential(
                *(nn.Conv2d(3, 32, 3, padding=1), relu(), nn.MaxPool2d(2), nn.Conv2d(32, 64, 3, padding=1), relu()),
                *(nn.MaxPool2d(2), nn.Flatten(), nn.Linear(4096, 128), relu(), nn.Linear(128, 10)),
            ),
            {"input": torch.randn(64, 3, 32, 32)},
        ),
        "bn-mlp": lambda: Case(
            nn.Sequential(
                *(nn.Linear(200, 512), nn.BatchNorm1d(512), nn.GELU(), nn.Dropout(0.1), nn.Linear(512, 512)),
                *(nn.BatchNorm1d(512), nn.GELU(), nn.Dropout(0.1), nn.Linear(512, 10)),
            ),
            {"input": torch.randn(256, 200)},
        ),
        "lstm": lambda: Case(Recurrent(nn.LSTM, 192), {"given": words(16, 32, 3000)}),
        "gru": lambda: Case(Recurrent(nn.GRU, 192), {"given": words(16, 32, 3000)}),
        "encoder": lambda: Case(
            nn.TransformerEncoder(nn.TransformerEncoderLayer(128, 4, 512, batch_first=True), 3),
            {"src": torch.randn(16, 64, 128)},
        ),
        "unet": lambda: Case(UNet(24), {"given": torch.randn(4, 3, 64, 64)}),
        "depthwise": lambda: Case(
            nn.Sequential(
                *(nn.Conv2d(3, 72, 3, 2, 1), nn.BatchNorm2d(72), nn.Hardswish()),
                *(
                    nn.Conv2d(72, 72, 5, padding=2, groups=72),
                    nn.BatchNorm2d(72),
                    nn.Hardswish(),
                    nn.Conv2d(72, 120, 1),
                ),
                *(nn.Conv2d(120, 120, 3, padding=1, groups=120), nn.SiLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten()),
                nn.Linear(120, 10),
            ),
            {"input": torch.randn(16, 3, 64, 64)},
        ),
        "sound": lambda: Case(
            nn.Sequential(
                *(nn.Conv1d(1, 48, 10, 5), nn.GroupNorm(1, 48), nn.GELU(), nn.Conv1d(48, 96, 5, 2), nn.GELU()),
                *(nn.Conv1d(96, 96, 3), nn.LeakyReLU(), nn.AdaptiveAvgPool1d(1), nn.Flatten(), nn.Linear(96, 4)),
            ),
            {"input": torch.randn(16, 1, 8000)},
        ),
    }
    return made[name]()


TRANSFORMERS = (
    *("resnet", "resnet-bottleneck", "convnext", "mobilenet", "regnet", "vit", "deit", "swin", "segformer", "bert"),
    *("distilbert", "albert", "gpt2", "llama", "t5", "wav2vec2"),
)
OWN = ("cnn", "bn-mlp", "lstm", "gru", "encoder", "unet", "depthwise", "sound")


def made(name: str) -> tuple[Case, torch.optim.Optimizer]:
    """A module in training with its optimizer."""
    torch.manual_seed(0)
    case = of_transformers(name) if name in TRANSFORMERS else of_torch(name)
    case.module.train()
    return case, torch.optim.AdamW(case.module.parameters(), lr=1e-4, fused=True)


def truth_s(names: list[str]) -> dict[str, float]:
    """Quiet time of a step of each in s."""
    cases = {name: made(name) for name in names}
    best = dict.fromkeys(names, float("inf"))
    for case, optimizer in cases.values():
        for _ in range(3):
            step(case, optimizer)
    for _ in range(ROUNDS):
        for name, (case, optimizer) in cases.items():
            times, end = [], time.perf_counter() + RUN_S
            while len(times) < FEWEST or time.perf_counter() < end:
                began = time.perf_counter()
                step(case, optimizer)
                times.append(time.perf_counter() - began)
            best[name] = min(best[name], float(np.quantile(times, 0.2)))
    return best


def step(case: Case, optimizer: torch.optim.Optimizer) -> None:
    """A step of a training."""
    optimizer.zero_grad(set_to_none=True)
    output = case.module(**case.inputs)
    loss = output if isinstance(output, torch.Tensor) else output["loss"]
    loss.backward(torch.ones_like(loss))
    optimizer.step()


def predicted(name: str, missing_s: float | None) -> dict[str, Any]:
    """What inspect says."""
    case, optimizer = made(name)
    record = sizer.inspect(case.module, dict(case.inputs), optimizer, device="cpu", measure_missing_s=missing_s)
    by = record.operators
    shares = {} if by is None else {"measured": by.measured_share, "unknown": by.unknown_share}
    kinds = {} if by is None else {each.kind: each.time_s for each in by.kinds[:4]}
    return {
        "time_s": record.time_per_step_s,
        "interval": record.interval,
        "outside": record.outside,
        **shares,
        "k": kinds,
    }


class Slices:
    """What is kept in the folder, and the time that this slice has."""

    def __init__(self, folder: Path, limit_s: float) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self.path, self.end = folder / "single_modules.jsonl", time.perf_counter() + limit_s
        self.rows = read_objects(self.path) if self.path.exists() else []
        self.file = JsonLines(self.path)

    def do(self, what: str, name: str, work: Callable[[], Any]) -> None:
        """Do a piece of work and keep its answer, if it was not done and there is time left."""
        if time.perf_counter() < self.end and self.find(what, name) is None:
            row = {"what": what, "name": name, "answer": work()}
            self.file.append(row)
            self.rows.append(row)

    def find(self, what: str, name: str) -> Any:
        """A kept answer."""
        return next((row["answer"] for row in self.rows if row["what"] == what and row["name"] == name), None)


def main() -> None:
    """Run a slice and print what is known so far."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--folder", type=Path, required=True)
    parser.add_argument("--calibrate", type=float, default=120.0)
    parser.add_argument("--missing", type=float, default=10.0)
    parser.add_argument("--limit", type=float, default=400.0, help="Seconds that this slice has.")
    parser.add_argument("--only", default="")
    given = parser.parse_args()
    os.environ["XDG_DATA_HOME"] = str(given.folder / "data")
    names = [name for name in (*TRANSFORMERS, *OWN) if not given.only or name in given.only.split(",")]
    slices = Slices(given.folder, given.limit)
    for name in names:
        slices.do("before", name, lambda name=name: truth_s([name])[name])
    slices.do("calibrated", "", lambda: sizer.calibrate_operators(budget_s=given.calibrate).calls)
    if slices.find("calibrated", "") is not None:
        for name in names:
            slices.do("predicted", name, lambda name=name: predicted(name, None))
        if all(slices.find("predicted", name) for name in names):
            for name in names:
                slices.do("after", name, lambda name=name: truth_s([name])[name])
                slices.do("missing", name, lambda name=name: predicted(name, given.missing))
    show(slices, names)


def show(slices: Slices, names: list[str]) -> None:
    """A row each, then the errors."""
    errors: dict[str, list[float]] = {"predicted": [], "missing": []}
    inside, widths, noise = [], [], []
    print(f"{'module':<18} {'before':>9} {'after':>9} {'predicted':>11} {'':>6} {'measured':>11} {'':>6}  unknown")
    for name in names:
        before, after = slices.find("before", name), slices.find("after", name)
        known = [seconds for seconds in (before, after) if seconds]
        cells = [f"{1e3 * seconds:9.2f}" if seconds else f"{'':9}" for seconds in (before, after)]
        noise += [abs(after / before - 1)] if len(known) == 2 else []
        unknown = ""
        for what in errors:
            found = slices.find(what, name)
            if not found or not found["time_s"] or not known:
                cells.append(f"{'outside' if found else '':>11} {'':>6}")
                continue
            ratio = found["time_s"] / min(known)
            errors[what].append(abs(ratio - 1))
            low, high = found["interval"]
            inside.append(low <= min(known) <= high)
            widths.append(high / low)
            cells.append(f"{1e3 * found['time_s']:11.2f} {ratio:6.2f}")
            unknown = f"{found['unknown']:.0%}"
        print(f"{name:<18} {' '.join(cells)}  {unknown}")
    for what, off in errors.items():
        if off:
            print(f"{what}: {len(off)} modules, mean {np.mean(off):.1%}, 90th percentile {np.quantile(off, 0.9):.1%}")
    if inside:
        print(f"coverage {np.mean(inside):.0%} of {len(inside)}, high over low {np.median(widths):.2f} (median)")
    if noise:
        print(f"truth before and after differ by {np.mean(noise):.1%} in the mean, {max(noise):.1%} at most")
    print(json.dumps({"torch": torch.__version__, "threads": torch.get_num_threads()}))


if __name__ == "__main__":
    main()
