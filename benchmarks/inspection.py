"""How long `sizer.inspect` takes and how much memory, beside torchinfo, which runs the module for real.

    python benchmarks/inspection.py [--repeats 50] [--json FILE]

A 6-layer MLP (784-512x5-10, batch 32) many times, alternating with torchinfo in the same process: the minimum and the
20th percentile of each, in wall and in processor time. GPT-2 (124 million parameters, 8 sequences of 1,024) and one of
70 billion parameters (Llama's, 80 layers, one sequence of 4,096), built on the meta device from transformers'
configurations without weights, each in a fresh process: wall and processor time of the first and of the second
inspection, and how much the process' peak memory rose above what the imports and the module took. Left out without
transformers or torchinfo.
"""

from __future__ import annotations

import argparse
import contextlib
import importlib.util
import itertools
import json
import resource
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import torch
from torch import nn

WIDTHS = (784, 512, 512, 512, 512, 512, 10)
BATCH = 32


def small(repeats: int) -> dict[str, float]:
    """Times of the MLP, ms: sizer's and torchinfo's in turn."""
    import sizer

    layers = [part for pair in itertools.pairwise(WIDTHS) for part in (nn.Linear(*pair), nn.ReLU())]
    module = nn.Sequential(*layers[:-1])
    tools: dict[str, Callable[[], object]] = {"sizer": lambda: sizer.inspect(module, batch_size=BATCH)}
    if importlib.util.find_spec("torchinfo"):
        import torchinfo

        tools["torchinfo"] = lambda: torchinfo.summary(module, (BATCH, WIDTHS[0]), verbose=0, device="cpu")
    times: dict[str, list[float]] = {name + kind: [] for name in tools for kind in ("", "_processor")}
    for inspect in tools.values():
        inspect()
    for _ in range(repeats):
        for name, inspect in tools.items():
            wall, processor = time.perf_counter(), time.thread_time()
            inspect()
            times[name].append(1e3 * (time.perf_counter() - wall))
            times[f"{name}_processor"].append(1e3 * (time.thread_time() - processor))
    ordered = {name: sorted(taken) for name, taken in times.items()}
    figures = {f"mlp_{name}_minimum_ms": taken[0] for name, taken in ordered.items()}
    return figures | {f"mlp_{name}_p20_ms": taken[len(taken) // 5] for name, taken in ordered.items()}


def gpt2() -> tuple[nn.Module, torch.Tensor]:
    """GPT-2's smallest release, and tokens."""
    from transformers import GPT2Config, GPT2LMHeadModel

    return GPT2LMHeadModel(GPT2Config()), torch.empty(8, 1024, dtype=torch.int64)


def llama_70b() -> tuple[nn.Module, torch.Tensor]:
    """70 billion parameters, and tokens."""
    from transformers import LlamaConfig, LlamaForCausalLM

    config = LlamaConfig(
        num_hidden_layers=80,
        hidden_size=8192,
        intermediate_size=28672,
        num_attention_heads=64,
        num_key_value_heads=8,
        vocab_size=128256,
    )
    return LlamaForCausalLM(config), torch.empty(1, 4096, dtype=torch.int64)


def large(name: str) -> dict[str, float]:
    """First and second inspection of a language model: wall and processor time in s, and memory in MiB."""
    import sizer

    with torch.device("meta"):
        module, tokens = {"gpt2": gpt2, "llama_70b": llama_70b}[name]()
    inputs = {"input_ids": tokens, "labels": tokens, "use_cache": False}
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    figures: dict[str, float] = {}
    for order in ("first", "second"):
        wall, processor = time.perf_counter(), time.process_time()
        with contextlib.redirect_stderr(None):
            sizer.inspect(module, inputs)
        figures[f"{name}_{order}_s"] = time.perf_counter() - wall
        figures[f"{name}_{order}_processor_s"] = time.process_time() - processor
    return figures | {f"{name}_peak_mib": (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) / 1024}


def in_fresh_process(name: str) -> dict[str, float]:
    """`large` in a process of its own."""
    folder = str(Path(__file__).parent)
    code = f"import sys, json; sys.path.insert(0, {folder!r}); from inspection import large; "
    code += f"print(json.dumps(large({name!r})))"
    done = subprocess.run([sys.executable, "-W", "ignore", "-c", code], capture_output=True, text=True, check=True)
    figures: dict[str, float] = json.loads(done.stdout.splitlines()[-1])
    return figures


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--repeats", type=int, default=50)
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    figures = small(options.repeats)
    if importlib.util.find_spec("transformers"):
        figures |= in_fresh_process("gpt2") | in_fresh_process("llama_70b")
    for name, value in figures.items():
        print(f"{name}: {value:.3g}")
    if options.json is not None:
        options.json.write_text(json.dumps(figures, indent=2) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
