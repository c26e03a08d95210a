"""The first batch is dropped before a step, as a gradient scaler drops one. Expect a step of one call."""

import torch
from torch import nn

EXPECTED = {"module": "Sequential", "widths": (8, 16, 1), "calls": 1, "batch_size": 16, "predicted": True}


def build():
    model = nn.Sequential(nn.Linear(8, 16), nn.ReLU(), nn.Linear(16, 1))
    optimizer = torch.optim.Adam(model.parameters(), fused=True)
    model(torch.rand(16, 8)).square().mean().backward()

    def step():
        optimizer.zero_grad()
        model(torch.rand(16, 8)).square().mean().backward()
        optimizer.step()

    return step, [model]
