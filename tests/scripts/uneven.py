"""Gradients of batches of several sizes. Expect the largest as the batch."""

import torch
from torch import nn

EXPECTED = {"module": "Sequential", "widths": (8, 16, 1), "calls": 3, "batch_size": 16}


def build():
    model = nn.Sequential(nn.Linear(8, 16), nn.ReLU(), nn.Linear(16, 1))
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)

    def step():
        for size in (16, 16, 5):
            model(torch.randn(size, 8)).square().mean().backward()
        optimizer.step()
        optimizer.zero_grad()

    return step, [model]
