"""Checks of the hook on a GPU: a training under it is the same, bit for bit, in each of its forms."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import nullcontext
from typing import NamedTuple

import torch
from gpu_findings import Finding, Setting
from torch import nn

from sizer.calibration.validity import calibration_of


def hook(asked: Setting) -> Iterator[Finding]:
    """Under the hook a training is the same, bit for bit, in each form; nothing synchronises or stays behind."""
    forms = ("plain", "fused", "foreach", "scaler", "compile", "checkpoint", "graph")
    for form in forms if not asked.dry else forms[:3]:
        try:
            plain, watched = _trained(form, False, asked), _trained(form, True, asked)
        except Exception as error:  # what cannot be trained here is said, and the others go on
            yield Finding(form, f"{type(error).__name__}: {str(error).splitlines()[0]}", None, False)
            continue
        same = all(torch.equal(one, other) for one, other in zip(plain.weights, watched.weights, strict=True))
        yield Finding(f"{form}: bit-identical", same, True, same)
        yield Finding(f"{form}: random state", watched.state == plain.state, True, watched.state == plain.state)
        grown = watched.allocated - plain.allocated
        yield Finding(f"{form}: bytes left on the device", grown, 0, grown <= 0)


def aged(asked: Setting) -> Iterator[Finding]:
    """The same beside a calibration that is old, which is used, said to be unchecked, and trains nothing."""
    found = calibration_of(asked.device)
    said = found.remark or found.not_used
    yield Finding("what is said of the calibration", said, "its age, unchecked", "days old, unchecked" in (said or ""))
    yield from hook(asked)


class Trained(NamedTuple):
    """Weights after a few steps, the random states, and the bytes that were allocated then."""

    weights: list[torch.Tensor]
    state: bytes
    allocated: int


def _trained(form: str, watched: bool, asked: Setting) -> Trained:
    import sizer

    torch.manual_seed(0)
    layers = [nn.Linear(32, 64), nn.ReLU(), nn.Dropout(0.1), nn.Linear(64, 4)]
    model = nn.Sequential(*layers).to(asked.id)
    options = {"fused": form == "fused", "foreach": form == "foreach", "capturable": form == "graph"}
    optimizer = torch.optim.Adam(model.parameters(), **options)
    batch = torch.randn(64, 32, device=asked.id)
    called = torch.compile(model, mode="reduce-overhead") if form == "compile" else model
    scaler = torch.amp.GradScaler("cuda", enabled=form == "scaler")

    def forward() -> torch.Tensor:
        if form == "checkpoint":
            from torch.utils.checkpoint import checkpoint

            return checkpoint(called, batch, use_reentrant=False).square().mean()
        with torch.autocast("cuda", torch.float16, enabled=form == "scaler"):
            return called(batch).float().square().mean()

    def step() -> None:
        optimizer.zero_grad(set_to_none=form != "graph")
        scaler.scale(forward()).backward()
        scaler.step(optimizer)
        scaler.update()

    step()  # what it loads may synchronise
    with sizer.watch(quiet=True) if watched else nullcontext():
        _strictly(asked, form, step if form != "graph" else _graphed(step))
    states = [torch.get_rng_state(), *([] if asked.dry else [torch.cuda.get_rng_state(asked.id)])]
    weights = [parameter.detach().cpu().clone() for parameter in model.parameters()]
    allocated = 0 if asked.dry else torch.cuda.memory_stats(asked.id)["allocated_bytes.all.current"]
    return Trained(weights, b"".join(bytes(state.tolist()) for state in states), allocated)


def _strictly(asked: Setting, form: str, step: Callable[[], None]) -> None:
    """Six steps while synchronising is an error, the hook's own among them, unless the form itself synchronises."""
    strict = not (asked.dry or form in ("scaler", "compile"))
    if strict:
        torch.cuda.set_sync_debug_mode("error")
    try:
        for _ in range(6):
            step()
    finally:
        if strict:
            torch.cuda.set_sync_debug_mode("default")


def _graphed(step: Callable[[], None]) -> Callable[[], None]:
    """The step as a graph, captured after three warm-up steps on a stream of its own."""
    side = torch.cuda.Stream()
    side.wait_stream(torch.cuda.current_stream())
    with torch.cuda.stream(side):
        for _ in range(3):
            step()
    torch.cuda.current_stream().wait_stream(side)
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        step()
    return graph.replay
