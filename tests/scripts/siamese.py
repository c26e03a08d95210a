"""One network called twice in a step. Expect the FLOPs and the memory of both calls, and a predicted time."""

import torch
from torch import nn

EXPECTED = {"module": "Sequential", "widths": (8, 16, 4), "calls": 2, "batch_size": 16, "predicted": True}


def build():
    model = nn.Sequential(nn.Linear(8, 16), nn.ReLU(), nn.Linear(16, 4))
    optimizer = torch.optim.Adam(model.parameters(), fused=True)

    def step():
        first, second = model(torch.rand(16, 8)), model(torch.rand(16, 8))
        optimizer.zero_grad()
        (first - second).square().mean().backward()
        optimizer.step()

    return step, [model]
