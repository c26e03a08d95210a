"""The forward of an instance is rebound to a closure that calls the old one. Expect the whole model."""

import torch
from torch import nn

EXPECTED = {"module": "Sequential", "calls": 1, "batch_size": 16, "share": 1.0}


def build():
    model = nn.Sequential(nn.Linear(8, 16), nn.ReLU(), nn.Linear(16, 1))
    optimizer = torch.optim.Adam(model.parameters())
    before = model.forward
    model.forward = lambda x: before(x) * 2

    def step():
        optimizer.zero_grad()
        model(torch.rand(16, 8)).square().mean().backward()
        optimizer.step()

    return step, [model]
