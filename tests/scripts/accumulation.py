"""Gradients of eight batches, then a step. Expect eight calls, the memory of one, and a time predicted as such."""

import torch
from torch import nn

EXPECTED = {"module": "Sequential", "widths": (8, 16, 1), "calls": 8, "batch_size": 16, "predicted": True}


def build():
    model = nn.Sequential(nn.Linear(8, 16), nn.ReLU(), nn.Linear(16, 1))
    optimizer = torch.optim.Adam(model.parameters(), fused=True)

    def step():
        for _ in range(8):
            (model(torch.randn(16, 8)).square().mean() / 8).backward()
        optimizer.step()
        optimizer.zero_grad()

    return step, [model]
