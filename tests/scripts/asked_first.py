"""A policy is asked for actions, gradients on, before it trains on a batch. Expect the batch, and its FLOPs alone."""

import torch
from torch import nn

EXPECTED = {"module": "Sequential", "widths": (4, 16, 2), "calls": 1, "batch_size": 64, "predicted": True}


def build():
    model = nn.Sequential(nn.Linear(4, 16), nn.ReLU(), nn.Linear(16, 2))
    optimizer = torch.optim.Adam(model.parameters())
    for _ in range(9):
        model(torch.rand(1, 4)).argmax().item()

    def step():
        optimizer.zero_grad()
        model(torch.rand(64, 4)).square().mean().backward()
        optimizer.step()

    return step, [model]
