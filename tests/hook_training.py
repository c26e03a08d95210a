"""One deterministic training, with or without the hook, printed as a digest: `hook_training.py SCENARIO on|off`."""

from __future__ import annotations

import contextlib
import hashlib
import io
import os
import random
import sys

import numpy as np
import torch
from torch import nn
from torch.optim.optimizer import _global_optimizer_post_hooks as GLOBAL_HOOKS  # noqa: N812

STEPS = 200


class Reentrant(nn.Module):
    """Calls itself once."""

    def __init__(self) -> None:
        super().__init__()
        self.layer, self.depth = nn.Linear(6, 6), 0

    def forward(self, x):
        if self.depth:
            return torch.tanh(self.layer(x))
        self.depth = 1
        try:
            return self(self.layer(x))
        finally:
            self.depth = 0


class Raising(nn.Sequential):
    """Raises now and then, as a bad batch makes a model do."""

    def __init__(self) -> None:
        super().__init__(nn.Linear(6, 8), nn.ReLU(), nn.Dropout(0.2), nn.Linear(8, 1))
        self.calls = 0

    def forward(self, x):
        self.calls += 1
        if self.calls % 3 == 1:
            raise ValueError("bad batch")
        return super().forward(x)


class Noisy(nn.Module):
    """Draws from all three generators, has a buffer that moves, and no closed form."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.norm, self.last = nn.Linear(6, 8), nn.BatchNorm1d(8), nn.Linear(8, 1)

    def forward(self, x):
        noise = random.random() + np.random.rand() + torch.rand(())  # noqa: S311
        return self.last(nn.functional.dropout(self.norm(self.first(x)).relu(), 0.1)) * noise


def data(step: int) -> torch.Tensor:
    return torch.randn(16, 6, generator=torch.Generator().manual_seed(step))


def plain_model() -> nn.Module:
    return nn.Sequential(nn.Linear(6, 12), nn.ReLU(), nn.Linear(12, 12), nn.ReLU(), nn.Linear(12, 1))


def train(scenario: str) -> tuple[nn.Module, list[float]]:
    models = {"reentrant": Reentrant, "raising": Raising, "noisy": Noisy, "autocast": Noisy}
    model = models.get(scenario, plain_model)()
    optimizer = torch.optim.Adam(model.parameters(), lr=0.01)
    called, step_optimizer = model, optimizer.step
    if scenario in ("compiled", "inductor"):
        called = torch.compile(model, backend="inductor" if scenario == "inductor" else "aot_eager")
    if scenario == "compiled optimizer":
        step_optimizer = torch.compile(optimizer.step, backend="aot_eager")
    if scenario == "distributed":
        called = nn.parallel.DistributedDataParallel(model)
    accumulated = 4 if scenario == "accumulation" else 1
    batches = (data(step) for step in range(STEPS * accumulated))
    if scenario == "workers":
        stored = torch.stack([data(step) for step in range(STEPS)])
        loader = torch.utils.data.DataLoader(stored, batch_size=None, num_workers=2, shuffle=True)
        batches = iter(loader)
    losses = []
    for _ in range(STEPS):
        optimizer.zero_grad()
        for _ in range(accumulated):
            with contextlib.suppress(ValueError), contextlib.ExitStack() as stack:
                if scenario == "autocast":
                    stack.enter_context(torch.autocast("cpu", torch.bfloat16))
                loss = called(next(batches)).square().mean()
                losses.append(loss.item())
                loss.backward()
        step_optimizer()
    return model, losses


def digest(model: nn.Module, losses: list[float]) -> str:
    state = hashlib.sha256()
    for name, value in model.state_dict().items():
        state.update(name.encode() + value.numpy().tobytes())
    state.update(repr(losses).encode())
    state.update(repr(random.getstate()).encode() + repr(np.random.get_state()).encode())
    state.update(torch.get_rng_state().numpy().tobytes())
    return state.hexdigest()


def main(scenario: str, hooked: bool) -> tuple[str, str]:
    """The digest of a training and what the hook wrote on standard error."""
    random.seed(0)
    np.random.seed(0)
    torch.manual_seed(0)
    said = io.StringIO()
    with contextlib.redirect_stderr(said):
        if hooked:
            import sizer

            before = nn.Module.__call__
            with sizer.watch() as watch:
                result = digest(*train(scenario))
            assert nn.Module.__call__ is before
            assert not GLOBAL_HOOKS
            assert watch.trained
        else:
            result = digest(*train(scenario))
    return result, said.getvalue()


if __name__ == "__main__":
    if sys.argv[1] == "distributed":
        torch.distributed.init_process_group("gloo")
    found, text = main(sys.argv[1], sys.argv[2] == "on")
    # one write, so that the lines of two processes do not run into each other
    sys.stdout.write(f"{os.environ.get('RANK', '0')} {found} {text.count('working sets:')}\n")
    sys.stdout.flush()
    if sys.argv[1] == "distributed":
        torch.distributed.destroy_process_group()
        os._exit(0)  # or torch's own threads abort the ending process once in four times, hook or no hook
